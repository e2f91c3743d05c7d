"""What is there and what is wrong; the version; completion by TAB."""

import shutil

import numpy as np
import pytest

import spexjax as sx
from spexjax.models.cli import doctor_command
from spexjax.models.cli.main import main


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("spexjax.models.cli.main.use_compilation_cache", lambda jax: None)
    monkeypatch.setattr(doctor_command, "_cache", lambda folder: cache(str(tmp_path)))
    monkeypatch.setattr(shutil, "which", lambda name: None)


cache = doctor_command._cache


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "calls.sqlite"
    sx.explain(lambda m: m[:, 0] * 1.0, 3, budget=8, store=path, store_key="mine")
    return path


def test_all_is_well(capsys, store):
    assert main(["doctor", "--store", str(store)]) == 0
    printed = capsys.readouterr().out
    for words in (f"spexjax {'':7} {sx.__version__}", "cpu", "“a good film” is positive",
                  "1 value functions, 8 values", "nothing is wrong"):  # fmt: skip
        assert words in printed


def test_a_damaged_store_is_wrong(capsys, store):
    raw = bytearray(store.read_bytes())
    raw[100:] = np.random.default_rng(0).bytes(len(raw) - 100)
    store.write_bytes(raw)
    assert main(["doctor", "--store", str(store)]) == 1
    told = capsys.readouterr()
    assert "wrong: " in told.out and "1 thing is wrong" in told.err
    assert main(["doctor", "--store", "absent"]) == 2


def test_a_cache_that_cannot_be_used(tmp_path):
    assert "set XDG_CACHE_HOME" in cache(None).wrong
    assert "compiles anew" in cache(str(tmp_path / "absent")).wrong
    (tmp_path / "program").write_bytes(b"x" * 3_000_000)
    found = cache(str(tmp_path))
    assert "1 files, 3 MB" in found.found and not found.wrong


def test_a_driver_without_its_jax(monkeypatch):
    import jax

    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    (found,) = doctor_command._devices(jax)
    assert 'pip install "jax[cuda12]"' in found.wrong


def test_the_version_and_completion(capsys):
    for arguments, words in (
        (["--version"], f"spexjax {sx.__version__}"),
        (["--print-completion", "bash"], "--dry-run"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0 and words in capsys.readouterr().out
