"""``method="linear"``: ridge regression on uniform masks."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from spexjax import regression
from spexjax.codes import gf2
from spexjax.masks import sampling
from spexjax.masks.budget import held_out_size
from spexjax.masks.design import Design
from spexjax.spectra import spectrum
from spexjax.spectra.spectrum import Spectrum
from spexjax.surrogates.fitted import Fit, Standardised
from spexjax.typing import Key

FOLDS = 5  # scikit-learn's default


@dataclasses.dataclass(frozen=True)
class Linear:
    """Ridge regression on single inputs, its strength chosen by 5-fold cross-validation."""


def design(config: Linear, n: int, budget: int, max_order: int, key: Key) -> Design:
    """The ends and uniform masks."""
    return sampling.sample(key, n, budget, max_order, held_out_size(budget, n))


def fit(config: Linear, design: Design, values: Standardised, key: Key) -> Fit:
    """Ridge on (−1)^m_i, without the held-out masks and, at the same strength, with them."""
    n, count = design.n, len(design)
    rows = spectrum.bucket(count)
    n_pad = gf2.num_words(n) * gf2.WORD
    signs = np.zeros((rows, n_pad), np.float32)
    signs[:count, :n] = 1 - 2 * design.masks().astype(np.float32)
    y = jnp.pad(jnp.asarray(values.values, jnp.float32), ((0, rows - count), (0, 0)))
    real = np.arange(rows) < count
    training = real & ~np.pad(design.held_out, (0, rows - count))
    X, valid = jnp.asarray(signs), np.arange(n_pad) < n
    chosen = regression.ridge_cv(
        X, y, folds=FOLDS, weights=training.astype(np.float32), valid=valid
    )
    again = regression.ridge(
        X, y, chosen.strength, weights=real.astype(np.float32), valid=valid
    )  # fmt: skip
    return Fit(_spectrum(chosen, n), _spectrum(again, n))


def _spectrum(fit: regression.Fit | regression.CVFit, n: int) -> Spectrum:
    supports = gf2.pack_numpy(np.eye(n + 1, n, -1, dtype=bool), gf2.num_words(n))
    w = np.concatenate([fit.intercept[None], np.asarray(fit.coefficients)[:n]])
    return spectrum.from_terms(supports, w.T, n)
