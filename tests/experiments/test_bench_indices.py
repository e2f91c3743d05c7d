"""The terms drawn have the degrees stated, and the script prints every index."""

import numpy as np

from spexjax.experiments import bench_indices


def test_random_terms():
    supports, coefficients = bench_indices.random_terms(24, 40, 4, all_largest=False)
    degrees = np.bitwise_count(supports).sum(axis=1)
    assert np.bincount(degrees).tolist() == [0, 6, 6, 6, 6] and coefficients.shape == (24,)
    supports, _ = bench_indices.random_terms(24, 5, 4, all_largest=True)
    assert (np.bitwise_count(supports).sum(axis=1) == 4).all() and supports.max() < 32


def test_main(capsys):
    bench_indices.main(["--terms", "50", "--features", "30", "--degree", "3"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["SV", "FSII", "BII", "SII", "Moebius"]
    assert int(lines[2].split()[2]) > 20
