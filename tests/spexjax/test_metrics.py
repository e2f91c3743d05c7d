"""R² and its interval."""

import jax
import numpy as np
import pytest

from spexjax import metrics


def test_r2_is_the_definition():
    rng = np.random.default_rng(0)
    f = rng.standard_normal((50, 2)) + 10
    g = f + 0.3 * rng.standard_normal((50, 2))
    expected = 1 - ((f - g) ** 2).sum(0) / ((f - f.mean(0)) ** 2).sum(0)
    np.testing.assert_allclose(metrics.r2(np.float32(f), np.float32(g)), expected, rtol=1e-4)


def test_a_constant_function():
    ones = np.ones(5, np.float32)
    assert float(metrics.r2(ones, ones)) == 1.0
    assert float(metrics.r2(ones, 2 * ones)) == -np.inf
    assert float(metrics.r2(np.arange(5.0, dtype=np.float32), 2 * ones)) == 0.0


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="predictions must have the shape of values"):
        metrics.r2(np.ones(5), np.ones(4))


def test_the_interval_surrounds_r2_and_shrinks(key):
    rng = np.random.default_rng(0)
    widths = []
    for N in (50, 800):
        f = np.float32(rng.standard_normal(N))
        g = np.float32(f + 0.5 * rng.standard_normal(N))
        low, high = metrics.r2_interval(key, f, g)
        assert low < metrics.r2(f, g) < high
        widths.append(float(high - low))
    assert widths[1] < 0.5 * widths[0]


def test_the_interval_of_outputs_is_that_of_each(key):
    rng = np.random.default_rng(0)
    f = np.float32(rng.standard_normal((40, 2)))
    g = np.float32(f + 0.2 * rng.standard_normal((40, 2)))
    both = metrics.r2_interval(key, f, g)
    one = jax.jit(metrics.r2_interval)(key, f[:, 1], g[:, 1])
    np.testing.assert_allclose([both[0][1], both[1][1]], one, rtol=1e-4)
