"""A question's value function on eight forced devices: the numbers of one, by copies or shards."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EIGHT = """
import sys

import jax
import numpy as np
from test_language_value import CONTEXT, QUESTION, VOCABULARY, tokenizer
from spexjax.models.values.components import Asked, head_value
from spexjax.models.llama.language import LanguageModel
from spexjax.models.values.language import language_value
from spexjax.models.llama import LlamaConfig, init_params
from spexjax.models.llama.sharding import device_mesh, shard

assert jax.local_device_count() == int(sys.argv[2])
config = LlamaConfig(
    vocab_size=len(VOCABULARY), dim=16, n_layers=2, n_heads=4, n_kv_heads=2, head_dim=4,
    hidden_dim=24, max_position_embeddings=64, eos_token_ids=(3,),
)
shapes = jax.eval_shape(lambda: init_params(config, jax.random.key(0)))
rng = np.random.default_rng(3)
params = jax.tree.map(lambda x: np.float32(rng.normal(0, 0.4, x.shape)), shapes)
special = {"bos_token": "[BOS]", "unk_token": "[UNK]"}
masks = np.random.default_rng(4).random((40, 4)) < 0.5
heads = np.random.default_rng(5).random((20, 8)) < 0.5
found = {}
for name in sys.argv[3:]:
    mesh = None if name == "copies" else device_mesh(4)
    placed = params if mesh is None else shard(params, config, mesh)
    model = LanguageModel(config, placed, tokenizer(), special=special, mesh=mesh)
    f = language_value(model, "Ann has a dog . " + CONTEXT, QUESTION, "a cat", rows=4)
    g = head_value(model, [Asked(CONTEXT, "Bob"), Asked(QUESTION, "a cat")], rows=4)
    assert f.batch_size == g.batch_size == 4 * (jax.local_device_count() if mesh is None else 2)
    f(masks), g(heads)
    with jax.transfer_guard("disallow"):  # nothing but masks, which are sent explicitly
        found[name] = f(masks)
        found[name + " heads"] = g(heads)
np.savez(sys.argv[1], **found)
"""


def values(path, devices, *kinds):
    flags = f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0"
    done = subprocess.run(
        [sys.executable, "-c", EIGHT, str(path), str(devices), *kinds],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True, text=True, timeout=300, cwd=Path(__file__).parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return np.load(path)


@pytest.mark.slow
def test_eight_devices_agree_with_one(tmp_path):
    one = values(tmp_path / "one.npz", 1, "copies")
    eight = values(tmp_path / "eight.npz", 8, "copies", "shards")
    assert sorted(eight) == ["copies", "copies heads", "shards", "shards heads"]
    for name in eight:
        want = one["copies heads" if "heads" in name else "copies"]
        assert np.ptp(want) > 0.1
        np.testing.assert_allclose(eight[name], want, atol=2e-5, rtol=1e-4)
