"""Attention in blocks beside attention as a whole."""

import jax
import numpy as np

from spexjax.models.nn import prenorm
from spexjax.models.nn.attention import attend, attend_in_blocks


def test_blocks_give_what_the_whole_gives():
    q, k, v = np.random.default_rng(0).normal(size=(3, 2, 3, 32, 8)).astype(np.float32)
    want = attend(q, k, v, np.ones(32, bool))
    np.testing.assert_allclose(attend_in_blocks(q, k, v, block=8), want, atol=1e-6)


def test_a_long_row_of_patches_takes_blocks(monkeypatch):
    width = prenorm.Width(8, 2, 16, "gelu", 1e-6)
    layer = prenorm.Attention(width)
    x = np.random.default_rng(1).normal(size=(1, 512, 8)).astype(np.float32)
    params = layer.init(jax.random.key(0), x)
    taken = []

    def noted(*given):
        taken.append(given[0].shape)
        return attend_in_blocks(*given)

    monkeypatch.setattr(prenorm, "attend_in_blocks", noted)
    found = layer.apply(params, x)
    monkeypatch.setattr(prenorm, "_long", lambda T: False)
    np.testing.assert_allclose(found, layer.apply(params, x), atol=1e-6)
    assert taken == ([(1, 2, 512, 4)] if jax.default_backend() == "cpu" else [])
