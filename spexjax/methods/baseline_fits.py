"""How the baselines are fitted: least squares, free or exact at the ends, L1, and the full table.

Coefficients are Fourier coefficients F of the sets of ``low_order.terms``, one column per output.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from spexjax import masks, metrics, regression
from spexjax.explanation import Explanation
from spexjax.indices import index_weights, superset_sums
from spexjax.methods.purchase import Caller, Purchase, measured
from spexjax.spectra import spectrum, subsets, transforms
from spexjax.spectra.subsets import Terms
from spexjax.surrogates import low_order
from spexjax.typing import ArrayLike, Key

_TINY = 1e-6  # ridge strength per mask: least squares, of least norm if masks are few
_FOLDS = 3


def least_squares(
    bought: Purchase,
    sets: Terms,
    honest: Float[np.ndarray, "rows"],
    final: Float[np.ndarray, "rows"],
    name: str,
    key: Key,
    constrained: bool = False,
) -> Explanation:
    """Weighted least squares, without the held-out masks and with them.

    Args:
      bought: masks and values.
      sets: the regressors.
      honest: weights of the fit whose faithfulness is measured; held-out masks get none.
      final: weights of the fit that is returned.
      name: the method's.
      key: seeds the interval of the faithfulness.
      constrained: the fits are exact at 1…1 and 0…0.
    """
    honest = np.where(bought.samples.held_out, 0.0, honest)
    p = low_order.padded(bought.samples.rows, sets, bought.n)
    fill = ((0, p.bits.shape[0] - len(honest)), (0, 0))
    y = jnp.asarray(np.pad(bought.samples.values, fill))
    ends = jnp.asarray(np.stack([bought.full, bought.empty]))
    fits = []
    for weights in (honest, final):
        padded = jnp.asarray(np.pad(weights, fill[0]), jnp.float32)
        w = _constrained(p, y, padded, ends) if constrained else _plain(p, y, padded)
        fits.append(np.asarray(w)[: len(sets.sizes)])
    return score(bought, sets, fits[0], fits[1], name, key)


@jax.jit
def _plain(p: low_order.Padded, y, weights):
    X = low_order.columns(p.bits, p.members)
    strength = _TINY * jnp.sum(weights)
    fit = regression.ridge(X, y, strength, weights=weights, valid=p.valid)
    return fit.coefficients.at[0].add(fit.intercept)


@jax.jit
def _constrained(p: low_order.Padded, y, weights, ends):
    """Least squares subject to f̂ = f at both ends.

    There the sets of even size add up to (f(1) + f(0))/2, the odd ones to (f(0) − f(1))/2: one
    equation for each half. Coefficients equal within a half solve them; what is left to fit is
    orthogonal to these, so each half's columns are centred row by row. The rows are mirrored to
    keep the regression's intercept at 0.
    """
    X = jnp.where(p.valid, low_order.columns(p.bits, p.members), 0.0)
    halves = jnp.stack([p.valid & p.even, p.valid & ~p.even]).astype(jnp.float32)
    number = jnp.maximum(jnp.sum(halves, axis=1), 1.0)
    spread = halves / number[:, None]
    level = jnp.stack([ends[0] + ends[1], ends[1] - ends[0]]) / 2
    means = regression.matmul(X, spread.T)
    X = jnp.where(p.valid, X - regression.matmul(means, halves), 0.0)
    y = y - regression.matmul(means, level)
    fit = regression.ridge(
        jnp.concatenate([X, -X]),
        jnp.concatenate([y, -y]),
        _TINY * 2 * jnp.sum(weights),
        weights=jnp.concatenate([weights, weights]),
        valid=p.valid,
    )
    w = fit.coefficients - spread.T @ (halves @ fit.coefficients)
    return w + spread.T @ level


def lasso(
    bought: Purchase,
    sets: Terms,
    weights: Float[np.ndarray, "rows"],
    strength: Float[ArrayLike, "K"] | None = None,
) -> tuple[Float[np.ndarray, "S K"], Any]:
    """L1 regression on the sets, and its strength: as given, or chosen by cross-validation."""
    p = low_order.padded(bought.samples.rows, sets, bought.n)
    fill = ((0, p.bits.shape[0] - len(weights)), (0, 0))
    y = jnp.asarray(np.pad(bought.samples.values, fill))
    padded = jnp.asarray(np.pad(weights, fill[0]), jnp.float32)
    X = low_order.columns(p.bits, p.members)
    if strength is None:
        fit = regression.lasso_cv(X, y, folds=_FOLDS, weights=padded, valid=p.valid)
        strength = fit.strength
    else:
        fit = regression.lasso(X, y, strength, weights=padded, valid=p.valid)
    return np.asarray(fit.coefficients.at[0].add(fit.intercept))[: len(sets.sizes)], strength


def score(
    bought: Purchase,
    sets: Terms,
    honest: Float[np.ndarray, "S K"],
    final: Float[np.ndarray, "S K"],
    name: str,
    key: Key,
) -> Explanation:
    """An explanation from coefficients of the sets, fitted without held-out masks and with them."""

    def surrogate(w: Float[np.ndarray, "S K"]) -> spectrum.Spectrum:
        keep = w.any(axis=1) | (sets.sizes == 0)
        return spectrum.from_terms(sets.packed[keep], np.asarray(w, np.float32)[keep].T, bought.n)

    return measured(bought, surrogate(honest), surrogate(final), name, key)


def exact(call: Caller, sets: Terms, name: str, index: str, order: int) -> Explanation:
    """The index of all 2^n values, and the surrogate Σ_{S⊆m} I(S) (for "Fourier", F itself)."""
    n = call.n
    rows = masks.all_packed(n)
    answers = jnp.asarray(call(rows), jnp.float32)
    scalar = answers.ndim == 1
    table = answers.reshape(2**n, -1)
    fourier = transforms.ifwht(table, axis=0)
    place = sets.packed[:, 0]
    if index == "Fourier":
        w = np.asarray(fourier[place])
    else:
        weights = np.zeros((n + 1, n + 1), np.float32)
        found = index_weights.weights(index_weights.INDICES[index], order, n)
        weights[: len(found)] = found
        own = superset_sums.superset_tables(fourier, jnp.asarray(weights), n)[place]
        w = subsets.fourier_from_mobius(sets, np.asarray(own, float), n).astype(np.float32)
    surrogate = spectrum.from_terms(sets.packed, w.T, n)
    score = metrics.r2(table, surrogate.predict_packed(rows))

    def output(x: Any) -> Any:
        return x[0] if scalar else x

    return Explanation(
        spectrum=output(surrogate), n=n, method=name, calls=2**n, full=output(table[-1]),
        empty=output(table[0]), faithfulness=output(score),
        faithfulness_interval=(output(score), output(score)),
    )  # fmt: skip
