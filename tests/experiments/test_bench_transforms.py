"""The benchmark's own butterfly is right, and the script prints every case."""

import numpy as np

from spexjax.experiments.bench import transforms as bench_transforms
from spexjax.spectra import transforms


def test_numpy_butterfly():
    x = np.random.default_rng(0).standard_normal((3, 16, 5)).astype(np.float32)
    for axis, table in [(1, x), (-1, x.swapaxes(1, 2).copy()), (0, x.swapaxes(0, 1).copy())]:
        ours = transforms.fwht(table, axis=axis)
        np.testing.assert_allclose(bench_transforms.numpy_butterfly(table, axis), ours, atol=1e-5)


def test_main(capsys):
    bench_transforms.main(["--log2-size", "10", "--rounds", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(bench_transforms.cases(10))
    assert all(float(line.split()[-1]) < 1e-5 for line in lines[2:])
