"""How far f may be from its surrogate at a mask: conformal intervals."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from spexjax.inference.evidence import EVEN, ODD, Evidence
from spexjax.typing import ArrayLike, Explained


class PredictionInterval(NamedTuple):
    """Lower and upper ends at masks, float64 (N,), and half their distance."""

    low: Float[np.ndarray, "N"]
    high: Float[np.ndarray, "N"]
    half_width: float


def prediction_interval(
    e: Explained, masks: Bool[ArrayLike, "N n"], level: float = 0.95
) -> PredictionInterval:
    """An interval for f at a fresh uniform mask: ``e.predict(masks)`` ± a quantile of |r|.

    r are the residuals at masks that the surrogates predicting them had not seen (split conformal
    prediction: Vovk et al. 2005; over folds: Barber et al. 2021, CV+). What it is not: an interval
    at a mask that was chosen for being unusual (1…1, 0…0, one with few inputs), for those it may be
    far off; nor one of the same coverage at every mask; nor one for a value averaged over masks,
    which ``e.coefficients`` gives. The surrogate that predicts was fitted to more masks than those
    that r comes from, so coverage is, if anything, above the level.

    Args:
      e: an explanation of one output.
      masks: bool (N, n).
      level: nominal coverage.

    Raises:
      ValueError: if there are several outputs, the level is out of range, the masks have another
        shape, or there is too little evidence for the level.
    """
    if e.num_outputs is not None:
        raise ValueError("intervals are of one output: use e[i].")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}.")
    guess = e.predict(masks)
    half = 0.0 if e.method == "exact" else half_width(e.evidence, level)
    if not np.isfinite(half):
        least = int(np.ceil(level / (1 - level)))
        raise ValueError(f"an interval of {level:.0%} needs {least} masks as evidence.")
    return PredictionInterval(guess - half, guess + half, half)


def half_width(evidence: Evidence | None, level: float) -> float:
    """The ⌈(U + 1) level⌉-th smallest |r|; infinite where U is too small for that."""
    if evidence is None:
        return np.inf
    r = np.sort(np.abs(residuals(evidence)))
    rank = int(np.ceil((len(r) + 1) * level))
    return float(r[rank - 1]) if rank <= len(r) else np.inf


def residuals(evidence: Evidence) -> Float[np.ndarray, "masks"]:
    """r at the masks, both of a pair; float64."""
    even, odd = (np.asarray(evidence.residuals[parity], float) for parity in (EVEN, ODD))
    single = even == odd
    return np.concatenate([even + odd * ~single, (even - odd)[~single]])
