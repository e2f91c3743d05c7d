"""The benchmark prints every case, and ours agree with the peer's."""

import pytest

from spexjax.experiments.bench import regression
from spexjax.experiments.bench.regression import Config


def test_ours_agree_with_the_peers():
    pytest.importorskip("sklearn")
    rows = list(regression.run(Config(120, 30, ("masks",), rounds=1)).rows)
    assert [row[:2] for row in rows] == [("lasso", "masks"), ("ridge", "masks")]
    for *_, error, steps in rows:
        assert error < 1e-3 and steps < 1.1


def test_unknown_design():
    with pytest.raises(ValueError, match="kind"):
        regression.design("plane", 10, 5)
    with pytest.raises(ValueError, match="rows must be at least 5, got 4"):
        regression.run(Config(rows=4))
