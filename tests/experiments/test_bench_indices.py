"""The terms drawn have the degrees stated, and the script prints every index."""

import numpy as np
import pytest

from spexjax import indices
from spexjax.experiments.bench import indices as bench_indices


def test_random_terms():
    supports, coefficients = bench_indices.random_terms(24, 40, 4, all_largest=False)
    degrees = np.bitwise_count(supports).sum(axis=1)
    assert np.bincount(degrees).tolist() == [0, 6, 6, 6, 6] and coefficients.shape == (24,)
    supports, _ = bench_indices.random_terms(24, 5, 4, all_largest=True)
    assert (np.bitwise_count(supports).sum(axis=1) == 4).all() and supports.max() < 32


def test_every_index_has_a_row():
    config = bench_indices.Config(terms=50, features=30, degree=3)
    rows = list(bench_indices.run(config).rows)
    assert [row[0] for row in rows] == [*indices.INDICES, "Joint-SV"]
    orders = {row[0]: row[1] for row in rows}
    assert orders["SV"] == orders["Joint-SV"] == 1 and orders["FSII"] == orders["Sobol"] == 3
    sets = {row[0]: row[2] for row in rows}
    assert 20 < sets["SV"] <= 30 and sets["Moebius"] > 50


def test_some_indices(capsys):
    chosen = bench_indices.Config(20, 30, order=2, all_largest=True, index=("SII", "BII"))
    rows = bench_indices.run(chosen).show()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "20 terms of degree 8, n = 30" and len(lines) == 4
    assert [row[:2] for row in rows] == [("SII", 2), ("BII", 2)]
    assert rows[1][2] == 0  # (-2)^|S| F(S), and no set of two has F
    with pytest.raises(ValueError, match="degree must be from 1 to 5, got 8"):
        bench_indices.run(bench_indices.Config(features=5))
