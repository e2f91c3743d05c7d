"""R² of a surrogate from all masks that some surrogate of a cross-validation had not seen.

Each of these masks has a loss ℓ under a surrogate that was found and fitted without it, but the
surrogates of the folds know less than ``tested``, which was fitted to everything but the held-out
masks. Those are unknown to all of them, and say how much it matters:

    R² = 1 − (mean_held-out ℓ_tested + β (mean ℓ_fold − mean_held-out ℓ_fold)) / Var f,

the folds' losses as a control variate, β the slope of ℓ_tested on ℓ_fold at the held-out masks.
Where both go together β is near 1, and R² has the noise of all masks, not of the held-out ones. The
variance of f is that over the same masks.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from spexjax.inference.evidence import drawn_together
from spexjax.masks.design import Design
from spexjax.spectra.spectrum import predict_on_host
from spexjax.surrogates.fitted import Fit

_RESAMPLES = 400
_STREAM = 17
_OUTPUTS_AT_ONCE = 32
# What is known of one fit from the others of its cross-validation is little: the share of the
# jackknife's variance that makes intervals cover (``python -m spexjax.experiments coverage``).
_OF_FITS = 0.1
# Where nothing is explained the error of 1 − R² is of second order: so many masks' worth.
_SECOND_ORDER = 4.0
# Where no mask was held out, nothing tells how the folds' surrogates differ from one fitted to all:
# how much wider makes intervals cover (``python -m spexjax.experiments few-calls``).
_NONE_HELD_OUT = 1.5
_EXPONENT = 700.0  # that exp does not overflow


class R2(NamedTuple):
    """R² and the ends of its interval, float64 (K,) each."""

    r2: Float[np.ndarray, "K"]
    low: Float[np.ndarray, "K"]
    high: Float[np.ndarray, "K"]


class Losses(NamedTuple):
    """What R² is computed from; leading axis: the masks that some surrogate had not seen.

    Attributes:
      values: (M, K), f.
      squares: (M, K), its squared error under a surrogate that had not seen the mask; of the
        held-out masks the mean over the folds' surrogates.
      held_out: bool (M,).
      unit: int (M,), 0 … U−1: masks drawn together, a mask and its complement, have one.
      tested: (H, K), the squared errors of ``tested`` at the held-out masks.
      by_fold: (F, K), the mean squared error of each fold's surrogate at the held-out masks.
    """

    values: Float[np.ndarray, "M K"]
    squares: Float[np.ndarray, "M K"]
    held_out: Bool[np.ndarray, "M"]
    unit: Int[np.ndarray, "M"]
    tested: Float[np.ndarray, "H K"]
    by_fold: Float[np.ndarray, "F K"]


def losses(
    design: Design,
    values: Float[np.ndarray, "N K"],
    found: Fit,
    residuals: Float[np.ndarray, "N K"],
) -> Losses:
    """The losses of a cross-validated fit.

    Args:
      design: the masks.
      values: (N, K), standardised.
      found: a fit with ``crossed``.
      residuals: from :func:`spexjax.inference.evidence.gather`.
    """
    surrogates = () if found.crossed is None else found.crossed.surrogates
    known = ~np.isnan(residuals).any(axis=1)
    out = known & design.held_out
    packed, truth = design.packed[out], np.asarray(values, float)[out]
    by_fold = np.stack([(truth - predict_on_host(s, packed)) ** 2 for s in surrogates])
    squares = residuals**2
    tested = squares[out]
    squares[out] = by_fold.mean(axis=0)
    return Losses(
        values=np.asarray(values, float)[known],
        squares=squares[known],
        held_out=design.held_out[known],
        unit=np.unique(drawn_together(design)[known], return_inverse=True)[1],
        tested=tested,
        by_fold=by_fold.mean(axis=1) if out.any() else np.zeros((0, residuals.shape[1])),
    )


def r2(losses: Losses, level: float = 0.95) -> R2:
    """R² of ``tested`` with an interval that is meant for the surrogate fitted to all masks.

    The interval is that of log(1 − R²): the symmetric bootstrap-t interval (Hall 1988) of units
    drawn again, with the percentile interval in it, widened by what the folds' surrogates differ,
    since the error of one fit is not that of others of its kind (Bates, Hastie, Tibshirani 2023).

    Args:
      losses: see :class:`Losses`.
      level: nominal coverage.
    """
    M = len(losses.values)
    f = losses.values - losses.values.mean(axis=0)
    variance = np.mean(f**2, axis=0)
    slope, loss = _controlled(losses)
    mean = loss.mean(axis=0)
    spread = np.where(variance > 0, variance, 1.0)
    rest = np.where(variance > 0, mean / spread, np.where(mean > 0, np.inf, 0.0))
    certain = (mean == 0) | (variance == 0)
    scale = np.where(certain, 1.0, mean)
    down, up = _deviations(f / np.sqrt(spread), loss / scale, losses.unit, level)
    F = len(losses.by_fold)
    if F > 1:
        moved = losses.by_fold - losses.by_fold.mean(axis=0)
        others = _OF_FITS * slope**2 * (F - 1) / F * np.sum((moved / scale) ** 2, axis=0)
    else:
        others = np.zeros_like(mean)
    from scipy.special import ndtri  # here, because importing it takes a fifth of a second

    more = others * ndtri((1 + level) / 2) ** 2 + (_SECOND_ORDER / M) ** 2
    wider = 1.0 if losses.held_out.any() else _NONE_HELD_OUT
    low, high = (
        1 - rest * np.exp(np.minimum(sign * np.hypot(wider * side, np.sqrt(more)), _EXPONENT))
        for sign, side in ((1, up), (-1, down))
    )
    return R2(1 - rest, np.where(certain, 1 - rest, low), np.where(certain, 1 - rest, high))


def _controlled(losses: Losses) -> tuple[Float[np.ndarray, "K"], Float[np.ndarray, "M K"]]:
    """β, and a number for each mask whose mean is the loss of ``tested``."""
    out, M = losses.held_out, len(losses.values)
    H = int(out.sum())
    if not H:
        return np.ones(losses.values.shape[1]), losses.squares
    own = losses.squares[out]
    moved, other = own - own.mean(axis=0), losses.tested - losses.tested.mean(axis=0)
    square = np.mean(moved**2, axis=0)
    slope = np.mean(moved * other, axis=0) / np.where(square > 0, square, 1.0)
    slope = np.where(square > 0, np.clip(slope, 0.0, 1.0), 0.0)
    total = losses.tested.mean(axis=0) + slope * (losses.squares.mean(axis=0) - own.mean(axis=0))
    slope = np.where(total > 0, slope, 0.0)
    loss = slope * losses.squares
    loss[out] += (losses.tested - slope * own) * (M / H)
    return slope, loss


def _deviations(
    f: Float[np.ndarray, "M K"],
    loss: Float[np.ndarray, "M K"],
    unit: Int[np.ndarray, "M"],
    level: float,
) -> tuple[Float[np.ndarray, "K"], Float[np.ndarray, "K"]]:
    """How far below and above log(loss/variance) its interval reaches."""
    (M, K), size = f.shape, np.bincount(unit)
    U = len(size)
    rng = np.random.default_rng(_STREAM)
    counts = rng.poisson(1.0, (_RESAMPLES, U)).astype(np.float32)
    counts /= np.maximum(counts @ size, 1)[:, None]
    order = np.argsort(unit, kind="stable")
    first = np.cumsum(size) - size
    parts = []
    for start in range(0, K, _OUTPUTS_AT_ONCE):
        v, ell = (x[order, start : start + _OUTPUTS_AT_ONCE] for x in (f, loss))
        a, b, c = (np.add.reduceat(x, first) for x in (ell, v, v**2))
        columns = np.stack([a, a**2, b, b**2, c, c**2, a * b, a * c, b * c])
        flat = columns.transpose(1, 0, 2).reshape(U, -1)
        shape = (len(columns), -1, v.shape[1])
        theta, error = _logarithm((flat.sum(axis=0) / M).reshape(shape), M, U)
        drawn = (counts @ flat).reshape(_RESAMPLES, len(columns), -1).swapaxes(0, 1)
        again, errors = _logarithm(drawn.reshape(shape), M, U)
        # A resample of nearly equal masks must not divide by nothing.
        ratio = np.abs(again - theta) / np.maximum(errors, 0.1 * error + 1e-9)
        half = np.quantile(ratio, level, axis=0) * error[0]
        ends = np.quantile(again - theta, [(1 - level) / 2, (1 + level) / 2], axis=0)
        parts.append((np.maximum(half, -ends[0]), np.maximum(half, ends[1])))
    down, up = (np.concatenate(side) for side in zip(*parts, strict=True))
    return down, up


def _logarithm(
    moments: Float[np.ndarray, "9 R K"], M: int, U: int
) -> tuple[Float[np.ndarray, "R K"], Float[np.ndarray, "R K"]]:
    """log(mean loss / variance of f) and its standard error by the delta method.

    Args:
      moments: per mask, of the units' sums a, b, c of losses, f and f²: of a, a², b, b², c, c²,
        ab, ac and bc.
      M, U: masks and units, as if all units had M/U masks.
    """
    loss, a2, mean, b2, square, c2, ab, ac, bc = moments
    variance, loss = np.maximum(square - mean**2, 1e-12), np.maximum(loss, 1e-12)
    fourth = c2 - 4 * mean * bc + 4 * mean**2 * b2 + M / U * mean**2 * (2 * square - 3 * mean**2)
    both = ac - 2 * mean * ab + M / U * mean**2 * loss
    found = a2 / loss**2 - 2 * both / (loss * variance) + fourth / variance**2
    return np.log(loss / variance), np.sqrt(np.maximum(found, 0.0) / M)
