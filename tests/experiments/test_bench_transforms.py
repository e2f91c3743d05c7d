"""The benchmark's own butterfly is right, and the script prints every case."""

import numpy as np
import pytest

from spexjax.experiments.bench import transforms as bench_transforms
from spexjax.experiments.reporting.rows import Rows
from spexjax.spectra import transforms


def test_numpy_butterfly():
    x = np.random.default_rng(0).standard_normal((3, 16, 5)).astype(np.float32)
    for axis, table in [(1, x), (-1, x.swapaxes(1, 2).copy()), (0, x.swapaxes(0, 1).copy())]:
        ours = transforms.fwht(table, axis=axis)
        np.testing.assert_allclose(bench_transforms.numpy_butterfly(table, axis), ours, atol=1e-5)


def test_every_shape_is_right():
    rows = list(bench_transforms.run(bench_transforms.Config(10, 1)).rows)
    assert [row[:2] for row in rows][:2] == [("1024", -1), ("32x32", -1)]
    assert len(rows) == len(bench_transforms.cases(10))
    assert all(row[-1] < 1e-5 for row in rows)
    assert all(row[5] == pytest.approx(row[3] / row[4]) for row in rows)
    with pytest.raises(ValueError, match="log2_size must be at least 10, got 9"):
        bench_transforms.run(bench_transforms.Config(9))


def test_large_tables_without_numpy():
    rows = list(bench_transforms.run(bench_transforms.Config(10, 1, numpy=False)).rows)
    assert len(rows) == len(bench_transforms.cases(10))
    assert all(row[6:8] == (None, None) and row[-1] < 1e-5 for row in rows)
    assert rows[0][-1] > 0  # it is measured


def test_a_table_is_printed_as_it_grows(capsys):
    def rows():
        yield "a", 1.234, 5
        assert "1.23" in capsys.readouterr().out
        yield "b", None, 7

    table = Rows("title", {"name": "<5", "x": ">6.2f", "k": ">3d"}, rows(), lambda r: [f"{len(r)}"])
    assert table.show() == [("a", 1.234, 5), ("b", None, 7)]
    assert capsys.readouterr().out == "b           –    7\n2\n"
