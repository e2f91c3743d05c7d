"""The candidate fits of a problem: one table says what each is, and :func:`solve` computes it.

Ridge and L1 regression on the single inputs, on the decoded sets and on all proposed ones. An L1
solution is best for functions with a long tail of small terms; ridge regression on its support,
hardly or mildly penalised, for sparse ones (the relaxed lasso: Meinshausen 2007). A scheme gives
each column its own weight in the L1 penalty (the adaptive lasso: Zou 2006).

Strengths are relative: of ridge to the mean square of a column, which is 1; of L1 to the strength
at which every coefficient vanishes. The grids were chosen by
``python -m spexjax.experiments refit`` and ``budget``.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from spexjax.surrogates import normal
from spexjax.surrogates.normal import LANES, Lanes, Normal, filled
from spexjax.surrogates.penalties import SCHEMES
from spexjax.typing import Array, ArrayLike

Columns = Literal["mean", "singles", "decoded", "all"]

RIDGE_STRENGTHS = tuple(10.0 ** (-4 + 0.75 * i) for i in range(8))
_DECODED_L1 = tuple(10.0 ** (-0.45 * i) for i in range(1, 8))
_PROPOSED_L1 = tuple(10.0 ** (-0.5 - 0.3 * i) for i in range(12))
_HARDLY, _MILDLY = 1e-6, 0.1
# Few: fits of nearly as many columns as masks rely on being stopped early.
_REFIT_STEPS = 50
_AT_ONCE = LANES // len(SCHEMES)


class FitSpec(NamedTuple):
    """One candidate.

    Attributes:
      family: candidates of one family differ in strength only.
      columns: what is fitted: ∅ alone, with the single inputs, the decoded sets, the proposed.
      l1: strength of the L1 regression that chooses the columns; None if all are fitted.
      ridge: strength of the ridge regression on the chosen columns; None for the L1 solution.
      scheme: the weights of the columns in the L1 penalty.
    """

    family: str
    columns: Columns
    l1: float | None = None
    ridge: float | None = None
    scheme: str = "plain"


Block = tuple[FitSpec, ...]
"""At most ``LANES`` candidates that are solved at once; of one kind, and of columns of one kind."""
MEAN = FitSpec("mean", "mean", ridge=_HARDLY)
"""The mean of the values, and nothing else."""
SMOOTH = FitSpec("process", "all")
"""The mean of a Gaussian process, which is not solved for here
(:mod:`spexjax.surrogates.process_candidate`)."""


def fit_blocks(proposed: bool) -> tuple[Block, ...]:
    """What :func:`solve` computes; no fits of proposed sets where there are none.

    A block that starts from L1 solutions follows the one that has them.
    """
    blocks: list[Block] = [
        tuple(FitSpec("linear", "singles", ridge=s) for s in RIDGE_STRENGTHS),
        tuple(FitSpec("ridge", "decoded", ridge=s) for s in RIDGE_STRENGTHS),
        tuple(FitSpec("sparse", "decoded", l1, _HARDLY) for l1 in _DECODED_L1),
        tuple(FitSpec("shrunk", "decoded", l1, _MILDLY) for l1 in _DECODED_L1),
    ]
    for i in range(0, len(_PROPOSED_L1) if proposed else 0, _AT_ONCE):
        lanes = [(scheme, l1) for scheme in SCHEMES for l1 in _PROPOSED_L1[i : i + _AT_ONCE]]
        blocks.append(tuple(FitSpec(f"lasso {s}", "all", l1, None, s) for s, l1 in lanes))
        blocks.append(tuple(FitSpec(f"relaxed {s}", "all", l1, _HARDLY, s) for s, l1 in lanes))
    return tuple(blocks)


def places(blocks: Sequence[Block]) -> np.ndarray:
    """Where the mean and the candidates are in the solutions of :func:`solve`, put in a row."""
    starts = [1 + LANES * i + np.arange(len(block)) for i, block in enumerate(blocks)]
    return np.concatenate([np.zeros(1, int), *starts])


def solve(
    equations: Normal,
    blocks: Sequence[Block],
    penalty: Mapping[str, Float[np.ndarray, "T"]],
    singles: Bool[np.ndarray, "T"],
    decoded: Bool[np.ndarray, "T"],
    wanted: Bool[np.ndarray, "blocks"],
) -> list[Float[ArrayLike, "LANES T"]]:
    """Coefficients of every block of candidates, zeros for those that are not wanted.

    Args:
      equations: see :class:`~spexjax.surrogates.normal.Normal`.
      blocks: see :func:`fit_blocks`.
      penalty: for each scheme the weights of the columns in the L1 penalty, > 0 but for ∅.
      singles: ∅ and the single inputs.
      decoded: these, and the decoded sets.
      wanted: which blocks are solved.
    """
    equations = equations.alone()
    masks = {"singles": singles, "decoded": decoded, "all": np.ones_like(singles)}
    nothing = np.zeros((LANES, len(singles)), np.float32)
    out: list[ArrayLike] = []
    path, path_of = nothing, None
    for block, needed in zip(blocks, wanted, strict=True):
        if not needed:
            out.append(nothing)
            continue
        columns = block[0].columns
        mask = masks[columns]
        l1 = [s.l1 for s in block]
        if l1[0] is not None and path_of != (columns, l1):
            # From the weakest strength so far, where the block continues a path.
            follows = path_of is not None and path_of[0] == columns
            weights = [penalty.get(s.scheme, _all_but_empty(len(singles))) for s in block]
            path = normal.lasso(
                equations,
                Lanes.of(l1, mask, *_PATH_ENDS[columns]),
                filled(np.stack(weights)),
                path if follows else nothing,
                _LAST_OF_SCHEME,
                equations.correlations,
            )
            path_of = columns, l1
        if block[0].ridge is None:
            out.append(path)
            continue
        relaxed = l1[0] is not None
        lanes = Lanes.of([s.ridge for s in block], mask, *_RIDGE_ENDS[columns])
        start = path if relaxed else nothing
        out.append(normal.ridge(equations, lanes, start, np.asarray(relaxed)))
    return out


# Tolerance and most steps.
_PATH_ENDS = {"decoded": (1e-4, 300), "all": (3e-4, 200)}
_RIDGE_ENDS = {"singles": (1e-6, 200), "decoded": (1e-6, 200), "all": (1e-4, _REFIT_STEPS)}
_LAST_OF_SCHEME = np.repeat(np.arange(1, len(SCHEMES) + 1) * _AT_ONCE - 1, _AT_ONCE).astype(
    np.int32
)


def refit(
    equations: Normal,
    w: Float[np.ndarray, "M T"],
    specs: Sequence[FitSpec],
    penalty: Mapping[str, Float[np.ndarray, "T"]],
    reference: Float[Array, "T"],
) -> Float[np.ndarray, "M T"]:
    """Fits, their supports kept, fitted again to the masks of other equations; 0 for others.

    Args:
      equations: of all masks.
      w: the fits, at most ``LANES``.
      specs: what each of them is.
      penalty: as in :func:`solve`.
      reference: the correlations of the equations that ``w`` solves.
    """
    equations, T, start = equations.alone(), w.shape[1], filled(w)
    support = (start != 0) | (np.arange(T) == 0)
    pure, ridged = np.zeros((2, LANES, 1), bool)
    pure[: len(specs), 0] = [s.ridge is None and s.l1 is not None for s in specs]
    ridged[: len(specs), 0] = [s.ridge is not None for s in specs]
    ridge = Lanes.of([s.ridge for s in specs], support & ridged, 1e-6, _REFIT_STEPS)
    again = np.asarray(normal.ridge(equations, ridge, start, np.asarray(False)))
    if pure.any():
        weights = [penalty.get(s.scheme, _all_but_empty(T)) for s in specs]
        lasso = Lanes.of([s.l1 for s in specs], support & pure, 1e-5, 200)
        every = np.arange(LANES, dtype=np.int32)
        found = normal.lasso(equations, lasso, filled(np.stack(weights)), start, every, reference)
        again = again + np.asarray(found)  # each is 0 in the other's lanes
    return again[: len(w)]


def _all_but_empty(T: int) -> Float[np.ndarray, "T"]:
    """Every column but ∅ is penalised."""
    return (np.arange(T) > 0).astype(np.float32)
