"""The benchmark compares what it says, and says where a budget is too small."""

import numpy as np
import pytest

from spexjax.experiments.bench import baselines as bench_baselines

pytestmark = pytest.mark.loose_promotion


def test_games_are_sums_of_conjunctions():
    f = bench_baselines.game(5, 0, terms=3)
    rng = np.random.default_rng(0)
    sets = rng.random((3, 5)) < rng.uniform(0.1, 0.6, (3, 1))
    weights = rng.standard_normal(3)
    masks = np.random.default_rng(1).random((20, 5)) < 0.5
    right = [sum(w for w, s in zip(weights, sets, strict=True) if m[s].all()) for m in masks]
    np.testing.assert_allclose(f(masks), right)


def test_main(capsys):
    pytest.importorskip("shapiq")
    bench_baselines.main(["--games", "2", "--players", "6", "--budget", "40", "64",
                          "--method", "kernelshap", "faith-shapley 3"])  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 games of 6 players"
    name, index, budget, ours, theirs, ratio, peer = lines[2].split()
    assert (name, index, budget, peer) == ("kernelshap", "SV", "40", "KernelSHAP")
    assert float(ours) > 0 and float(ratio) == pytest.approx(float(ours) / float(theirs), abs=0.05)
    assert "budget must be below 2^n = 64, got 64" in lines[3]
    assert "the number of sets, for method 'faith-shapley'" in lines[4]
