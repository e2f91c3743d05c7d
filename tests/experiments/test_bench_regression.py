"""The script prints every case, and ours agree with the peer's."""

import pytest

from spexjax.experiments.bench import regression as bench_regression


def test_main(capsys):
    bench_regression.main(
        ["--rows", "120", "--columns", "30", "--rounds", "1", "--designs", "masks"]
    )
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(bench_regression.FITS)
    for line in lines[2:]:
        error, steps = map(float, line.split()[-2:])
        assert error < 1e-3 and steps < 1.1


def test_unknown_design():
    with pytest.raises(ValueError, match="kind"):
        bench_regression.design("plane", 10, 5)
