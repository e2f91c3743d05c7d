"""Scores against their definitions."""

import jax
import numpy as np
import pytest

from spexjax.models.values.scores import score

LOGITS = np.random.default_rng(0).normal(0, 2, (4, 5, 3)).astype(np.float32)


def oracle(z, c, kind):
    p = np.exp(z - z.max())
    p /= p.sum()
    rest = [z[i] for i in range(len(z)) if i != c]
    return {
        "logit": z[c],
        "log-odds": np.log(p[c] / (1 - p[c])),
        "probability": p[c],
        "margin": z[c] - max(rest),
    }[kind]


@pytest.mark.parametrize("kind", ["logit", "log-odds", "probability", "margin"])
@pytest.mark.parametrize("label", [0, 2])
def test_definition(kind, label):
    want = np.array([[oracle(z.astype(float), label, kind) for z in row] for row in LOGITS])
    found = score(LOGITS, label, kind)
    assert found.shape == (4, 5)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, want, rtol=2e-5, atol=2e-5)
    traced = jax.jit(lambda z, c: score(z, c, kind))(LOGITS, label)
    np.testing.assert_allclose(traced, found, rtol=1e-6, atol=1e-6)


def test_log_odds_do_not_saturate():
    z = np.float32([[60.0, -60.0]])
    np.testing.assert_allclose(score(z, 0, "log-odds"), [120.0])
    np.testing.assert_allclose(score(z, 1, "log-odds"), [-120.0])
    np.testing.assert_allclose(score(z, 1, "margin"), [-120.0])


def test_errors():
    with pytest.raises(ValueError, match="'odds'"):
        score(LOGITS, 0, "odds")
    with pytest.raises(ValueError, match="two classes"):
        score(LOGITS[..., :1], 0, "margin")
