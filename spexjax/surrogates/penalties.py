"""How likely a set is by the way it came about: the weights of the columns in the L1 penalty.

They make the L1 fits of :mod:`spexjax.surrogates.fits` favour single inputs, sets on which trees
are strong, or sets of inputs that matter (heredity: Chipman 1996).

The constants were chosen by ``python -m spexjax.experiments budget --budgets 250 1000``.
"""

import numpy as np
from jaxtyping import Float

from spexjax.surrogates.proposals import Proposal

SCHEMES = ("plain", "trees", "heredity", "linear")
"""Ways to weigh the columns in the L1 penalty; see :func:`penalties`."""
# At 250 masks screened pairs are mostly chance: as cheap as the trees' sets they cost 0.01 of R².
_UNKNOWN = 3.0


def penalties(proposal: Proposal) -> dict[str, Float[np.ndarray, "L columns"]]:
    """For each scheme the weights in the L1 penalty of the columns (∅, single inputs, sets).

    * plain: 1;
    * trees: (s / (|F(S)| + s/10))^½, s the median of the trees' coefficients |F|;
    * heredity: |S|^½ / (g + 1/20), g the geometric mean over i ∈ S of the strengths of the single
      inputs, in units of their median;
    * linear: 1/10 for single inputs, so that sets explain what a linear fit leaves; heredity for
      the others.

    In all but the first, sets of which the trees know nothing weigh three times as much. ∅ has no
    penalty.
    """
    members = proposal.members
    L, n_pad = proposal.single.shape
    degree = np.maximum((members >= 0).sum(axis=-1), 1)
    sizes = np.concatenate([np.ones((L, n_pad)), degree], axis=1)
    known = np.concatenate([proposal.single, proposal.strength], axis=1).astype(float)
    filled = np.where(known > 0, known, np.nan)
    middle = _median(filled)
    adaptive = np.clip(np.sqrt(middle / (known + 0.1 * middle)), 0.2, 4.0)

    unit = _median(np.where(proposal.single > 0, proposal.single, np.nan))
    relative = np.log(proposal.single / unit + 1e-6)
    padded = np.concatenate([relative, np.zeros((L, 1))], axis=1)
    mean = np.take_along_axis(padded[:, None], members, axis=2).sum(axis=-1) / degree
    geometric = np.exp(np.concatenate([relative, mean], axis=1))
    heredity = np.clip(1 / (geometric + 0.05), 0.1, 10.0) * np.sqrt(sizes)
    linear = np.where(sizes == 1, 0.1, heredity)

    weights = {
        "plain": np.ones_like(sizes),
        "trees": adaptive,
        "heredity": heredity,
        "linear": linear,
    }
    if proposal.strength.any():
        unknown = np.where(proposal.strength > 0, 1.0, _UNKNOWN)
        for scheme in ("trees", "heredity", "linear"):
            weights[scheme] = weights[scheme].copy()
            weights[scheme][:, n_pad:] *= unknown
    return {s: np.pad(weights[s], ((0, 0), (1, 0))).astype(np.float32) for s in SCHEMES}


def _median(x: np.ndarray) -> np.ndarray:
    """The median of each row's numbers, 1 where there are none."""
    filled = np.where(np.isnan(x).all(axis=1, keepdims=True), 1.0, x)
    return np.nanmedian(filled, axis=1, keepdims=True)
