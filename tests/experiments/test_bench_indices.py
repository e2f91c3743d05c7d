"""The terms drawn have the degrees stated, and the script prints every index."""

import numpy as np

from spexjax import indices
from spexjax.experiments.bench import indices as bench_indices


def test_random_terms():
    supports, coefficients = bench_indices.random_terms(24, 40, 4, all_largest=False)
    degrees = np.bitwise_count(supports).sum(axis=1)
    assert np.bincount(degrees).tolist() == [0, 6, 6, 6, 6] and coefficients.shape == (24,)
    supports, _ = bench_indices.random_terms(24, 5, 4, all_largest=True)
    assert (np.bitwise_count(supports).sum(axis=1) == 4).all() and supports.max() < 32


def test_main(capsys):
    bench_indices.main(["--terms", "50", "--features", "30", "--degree", "3"])
    head, _, *lines = capsys.readouterr().out.splitlines()
    assert head == "50 terms of degree 1 to 3, n = 30"
    assert [line.split()[0] for line in lines] == [*indices.INDICES, "Joint-SV"]
    orders = {line.split()[0]: int(line.split()[1]) for line in lines}
    assert orders["SV"] == orders["Joint-SV"] == 1 and orders["FSII"] == orders["Sobol"] == 3
    assert all(int(line.split()[2]) > 0 for line in lines)


def test_some_indices(capsys):
    chosen = ["--order", "2", "--all-largest", "--index", "SII", "BII"]
    bench_indices.main(["--terms", "20", "--features", "30", *chosen])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "20 terms of degree 8, n = 30"
    assert [line.split()[:2] for line in lines[2:]] == [["SII", "2"], ["BII", "2"]]
    assert int(lines[3].split()[2]) == 0  # (-2)^|S| F(S), and no set of two has F
