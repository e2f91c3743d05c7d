"""The benchmark of a first value: a folder is written, and what a fresh process does with it."""

import subprocess

from spexjax.experiments.bench import first_value, llama
from spexjax.models.llama.config import LlamaConfig

TINY = LlamaConfig(
    vocab_size=40, dim=64, n_layers=1, n_heads=2, n_kv_heads=1, head_dim=8, hidden_dim=64,
    max_position_embeddings=64, tie_embeddings=True,
)  # fmt: skip


def test_the_fresh_process_loads_and_evaluates(monkeypatch, capsys):
    monkeypatch.setitem(llama.GEOMETRIES, "small", TINY)

    def here(command, **_):
        assert "child(sys.argv[1], took)" in command[2]
        first_value.child(command[3], 0.25)
        return subprocess.CompletedProcess(command, 0, capsys.readouterr().out)

    monkeypatch.setattr(subprocess, "run", here)
    config = first_value.Config("small", context=9, rows=2, dtype="float32", repeats=1)
    (row,) = first_value.run(config).rows
    name, brought, load, first, after, both = row
    assert name == "small" and brought == 0.25 and both == load + first
    assert 0 < after < first
