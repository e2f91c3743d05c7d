"""The peer runs on our masks; tests that call it are slow, since ``galois`` compiles first."""

import logging
import sys

import numpy as np
import pytest

from spexjax.experiments.functions import synthetic
from spexjax.experiments.peers import sparse_transform as peers

installed = pytest.mark.skipif(not peers.available(), reason="sparse-transform is not installed")


def coded_masks(rng, groups, b, delays):
    """M_c ℓ + d_i + s_c for all c, i, ℓ, from the definition."""
    n = delays.shape[1]
    matrices = rng.random((groups, n, b)) < 0.5
    shifts = rng.random((groups, n)) < 0.5
    masks = [
        (matrices[c] @ (index >> np.arange(b) & 1) + delays[i] + shifts[c]) % 2 == 1
        for c in range(groups)
        for i in range(len(delays))
        for index in range(2**b)
    ]
    return np.array(masks), matrices, delays ^ shifts[:, None]


def delays_for(rng, n, p):
    return np.concatenate([np.zeros((1, n), bool), rng.random((p, n)) < 0.5])


def test_read_design():
    rng = np.random.default_rng(0)
    masks, matrices, offsets = coded_masks(rng, 2, 3, delays_for(rng, 9, 5))
    design = peers.read_design(masks, groups=2, b=3)
    np.testing.assert_array_equal(design.matrices, matrices)
    np.testing.assert_array_equal(design.offsets, offsets)
    masks[17, 4] ^= True
    with pytest.raises(ValueError, match="not of the form"):
        peers.read_design(masks, groups=2, b=3)
    with pytest.raises(ValueError, match="2\\^b = 16"):
        peers.read_design(masks[:40], groups=2, b=4)


def test_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sparse_transform", None)
    for name in [m for m in sys.modules if m.startswith("sparse_transform.")]:
        monkeypatch.delitem(sys.modules, name)
    assert not peers.available()
    with pytest.raises(ImportError, match="pip install sparse-transform"):
        peers.decode_words(np.zeros((1, 10)), n=20, t=2)


@installed
@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["soft", "hard"])
def test_decodes_our_masks(decoder, capfd):
    """Every planted term is found with its coefficient, silently, global state left alone."""
    n, b, t, groups = 24, 5, 2, 3
    rng = np.random.default_rng(1)
    with peers._quiet():
        delays = np.asarray(peers._code(n, t).get_delay_matrix()).astype(bool)
    masks, _, _ = coded_masks(rng, groups, b, delays)
    f = synthetic.flat(n, seed=0, n_terms=10, degrees=[1, 2])
    np.random.seed(7)  # noqa: NPY002
    handlers = logging.getLogger().handlers[:]
    result = peers.decode(masks, f(masks), groups, b, t, decoder=decoder)
    assert np.random.random() == np.random.RandomState(7).random()  # noqa: NPY002
    assert logging.getLogger().handlers == handlers and capfd.readouterr() == ("", "")
    assert 0 < result.seconds < 60
    found = {k: v for k, v in result.spectrum.items() if abs(v) > 1e-3}
    assert found == pytest.approx(f.fourier(), abs=1e-4)
    with pytest.raises(ValueError, match="values must have shape"):
        peers.decode(masks, f(masks)[1:], groups, b, t)
    with pytest.raises(ValueError, match="not those of the peer's BCH code"):
        peers.decode(masks, f(masks), groups, b, t=3)


@installed
@pytest.mark.slow
def test_samples_and_decodes():
    f = synthetic.flat(24, seed=0, n_terms=10, degrees=[1, 2], noise=0.01)
    result = peers.sample_and_decode(f, 24, groups=3, b=5, t=2)
    found = {k: v for k, v in result.spectrum.items() if abs(v) > 0.1}
    assert found == pytest.approx(f.fourier(), abs=0.02)


@installed
@pytest.mark.slow
def test_decodes_words():
    """Soft decoding repairs words in which t + 1 parity bits are wrong, if these are weakest."""
    n, t = 24, 2
    with peers._quiet():
        delays = np.asarray(peers._code(n, t).get_delay_matrix()).astype(bool)
    rng = np.random.default_rng(0)
    messages = np.zeros((20, n), bool)
    for row in messages:
        row[rng.choice(n, t, replace=False)] = True
    parity = messages.astype(int) @ delays[1:].T.astype(int) % 2
    words = (1 - 2.0 * parity) * rng.uniform(0.5, 1, parity.shape)
    for decoder in ("soft", "hard"):
        decoded, ok = peers.decode_words(words, n, t, decoder=decoder)
        assert ok.all()
        np.testing.assert_array_equal(decoded, messages)
    words[:, :3] *= -0.01
    soft, _ = peers.decode_words(words, n, t)
    hard, _ = peers.decode_words(words, n, t, decoder="hard")
    right = [(decoded == messages).all(axis=1).mean() for decoded in (soft, hard)]
    assert right[0] > right[1] and right[0] > 0.3
    with pytest.raises(ValueError, match="words must have shape"):
        peers.decode_words(words[:, 1:], n, t)
