"""``method="linear"``: ridge regression on uniform masks."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from spexjax import regression
from spexjax.codes import gf2
from spexjax.compiling import QUICKLY, hasty
from spexjax.masks import sampling
from spexjax.masks.budget import held_out_size
from spexjax.masks.design import Design
from spexjax.spectra import spectrum
from spexjax.spectra.spectrum import Spectrum
from spexjax.surrogates.fitted import Crossed, Fit, Standardised
from spexjax.typing import Array, ArrayLike, Key

FOLDS = 5  # scikit-learn's default
_SMALL = 1 << 18  # numbers in X: such a fit is over before its program would be optimised
Lines = tuple[ArrayLike, ArrayLike]  # intercepts (..., K), coefficients (..., n_pad, K)


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
    xp = jnp if isinstance(values.values, jax.Array) else np
    y = xp.pad(xp.asarray(values.values, np.float32), ((0, rows - count), (0, 0)))
    real = np.arange(rows) < count
    training = real & ~np.pad(design.held_out, (0, rows - count))
    fold = np.where(training, np.arange(rows) % FOLDS, -1)
    weights = np.stack([training, real, *(training & (fold != j) for j in range(FOLDS))])
    program = _hasty if signs.size <= _SMALL else _optimised
    lines = jax.device_get(program(signs, y, weights.astype(np.float32), np.arange(n_pad) < n))
    tested, final, *others = (_spectrum(line, n) for line in zip(*lines, strict=True))
    return Fit(tested, final, crossed=Crossed(tuple(others), fold[:count]))


def _lines(
    X: Float[Array, "rows n_pad"],
    y: Float[Array, "rows K"],
    weights: Float[Array, "fits rows"],
    valid: Bool[Array, "n_pad"],
) -> Lines:
    """Fits at one strength, that which cross-validation chooses with the first weights."""
    chosen = regression.ridge_cv(X, y, folds=FOLDS, weights=weights[0], valid=valid)

    def fitted(weights: Array) -> Lines:
        found = regression.ridge(X, y, chosen.strength, weights=weights, valid=valid)
        return found.intercept, found.coefficients

    return jax.lax.map(fitted, weights)


_optimised = jax.jit(_lines, compiler_options=QUICKLY)
_hasty = hasty()(_lines)


def _spectrum(line: Lines, n: int) -> Spectrum:
    intercept, coefficients = line
    supports = gf2.pack_numpy(np.eye(n + 1, n, -1, dtype=bool), gf2.num_words(n))
    w = np.concatenate([intercept[None], coefficients[:n]])
    return spectrum.from_terms(supports, w.T, n)
