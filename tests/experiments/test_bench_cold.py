"""The benchmark of first answers: what fresh processes are told, and what they answer."""

import os
import subprocess

import pytest

from spexjax.experiments.bench import cold


def test_a_process_keeps_the_platform_alone(monkeypatch, capsys):
    """No cache on disk that the caller may have; but the device that was asked for."""
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/elsewhere")
    told = []

    def here(command, env, **_):
        told.append({name: env[name] for name in env if name.startswith("JAX_")})
        assert env["PATH"] == os.environ["PATH"]
        cold.child(command[3], 0.25)
        return subprocess.CompletedProcess(command, 0, capsys.readouterr().out)

    monkeypatch.setattr(subprocess, "run", here)
    monkeypatch.setitem(cold.CASES, "linear", (cold.Run(8, 40, "linear"),))
    (row,) = cold.run(cold.Config(repeats=1, cases=("linear",))).rows
    assert told == [{"JAX_PLATFORMS": "cpu"}]
    assert row[:3] == ("linear", 8, 40) and row[4] == 0.25 and row[3] > 0


def test_an_unknown_case_is_named():
    with pytest.raises(ValueError, match="case"):
        cold.run(cold.Config(cases=("warm",)))
