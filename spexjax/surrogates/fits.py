"""The candidate fits of a problem: one table says what each is, and :func:`solve` computes it.

Ridge and L1 regression on the single inputs, on the decoded sets and on all proposed ones. An L1
solution is best for functions with a long tail of small terms; ridge regression on its support,
hardly or mildly penalised, for sparse ones (the relaxed lasso: Meinshausen 2007). A scheme gives
each column its own weight in the L1 penalty (the adaptive lasso: Zou 2006).

Strengths are relative: of ridge to the mean square of a column, which is 1; of L1 to the strength
at which every coefficient vanishes. The grids were chosen by
``python -m spexjax.experiments.bench_refit`` and ``bench_budget``.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Bool, Float

from spexjax.regression import lasso_solve, lipschitz, ridge_solve
from spexjax.surrogates.penalties import SCHEMES
from spexjax.surrogates.problem import Problem, correlations, leading, operator, per_mask
from spexjax.typing import Array

Columns = Literal["mean", "singles", "decoded", "all"]

RIDGE_STRENGTHS = tuple(10.0 ** (-4 + 0.75 * i) for i in range(8))
_DECODED_L1 = tuple(10.0 ** (-0.45 * i) for i in range(1, 8))
_PROPOSED_L1 = tuple(10.0 ** (-0.5 - 0.3 * i) for i in range(12))
_HARDLY, _MILDLY = 1e-6, 0.1
# Few: fits of nearly as many columns as masks rely on being stopped early.
_REFIT_STEPS = 50


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


MEAN = FitSpec("mean", "mean", ridge=_HARDLY)
"""The mean of the values, and nothing else."""


def fit_specs(proposed: bool) -> tuple[FitSpec, ...]:
    """The candidates; without those on the proposed sets if there are none."""
    table = [
        MEAN,
        *(FitSpec("linear", "singles", ridge=s) for s in RIDGE_STRENGTHS),
        *(FitSpec("ridge", "decoded", ridge=s) for s in RIDGE_STRENGTHS),
        *(FitSpec("sparse", "decoded", l1, _HARDLY) for l1 in _DECODED_L1),
        *(FitSpec("shrunk", "decoded", l1, _MILDLY) for l1 in _DECODED_L1),
    ]
    if proposed:
        for kind, ridge in (("lasso", None), ("relaxed", _HARDLY)):
            for scheme in SCHEMES:
                table += [
                    FitSpec(f"{kind} {scheme}", "all", l1, ridge, scheme) for l1 in _PROPOSED_L1
                ]
    return tuple(table)


def solve(
    p: Problem,
    specs: Sequence[FitSpec],
    penalty: Mapping[str, Float[Array, "T"]],
    decoded: int,
    sets: Bool[Array, "decoded"],
) -> Float[Array, "specs T"]:
    """Coefficients of every candidate.

    Args:
      p: the problem.
      specs: the candidates.
      penalty: for each scheme the weights of the columns in the L1 penalty, > 0 but for ∅.
      decoded: the columns of the first three kinds are the first so many.
      sets: True at columns of decoded sets, which the linear fits leave out.
    """
    T = p.allowed.shape[0]
    made: list[FitSpec] = [MEAN]
    w = [jnp.zeros((1, T), jnp.float32).at[0, 0].set(correlations(p)[0])]
    few = [s for s in specs if s.columns in ("singles", "decoded")]
    made += few
    found = _on_decoded(leading(p, decoded), few, sets)
    w.append(jnp.pad(found, ((0, 0), (0, T - decoded))))
    many = [s for s in specs if s.columns == "all"]
    if many:
        solved, found = _on_all(p, many, penalty)
        made += solved
        w.append(found)
    order = [made.index(s) for s in specs]
    return jnp.concatenate(w)[jnp.asarray(order, jnp.int32)]


def _on_decoded(
    p: Problem, specs: list[FitSpec], sets: Bool[Array, "T"]
) -> Float[Array, "specs T"]:
    """Ridge regression, on columns that L1 chose where a candidate asks for it."""
    G, b = operator(p), correlations(p)
    T = b.shape[0]
    strengths = list(dict.fromkeys(s.l1 for s in specs if s.l1 is not None))
    largest = jnp.max(jnp.abs(b.at[0].set(0.0)))
    sparse, _ = lasso_solve(
        G,
        jnp.broadcast_to(b, (len(strengths), T)),
        jnp.asarray(strengths, jnp.float32) * largest,
        lipschitz(G, b),
        penalty=_all_but_empty(T),
        mask=p.allowed,
        tol=1e-4,
        max_iter=300,
    )
    columns = {"singles": p.allowed & ~sets, "decoded": p.allowed}
    chosen = {l1: (x != 0.0) & p.allowed for l1, x in zip(strengths, sparse, strict=True)}
    masks = [columns[s.columns] if s.l1 is None else chosen[s.l1] for s in specs]
    w, _ = ridge_solve(
        G,
        jnp.broadcast_to(b, (len(specs), T)),
        per_mask(p, jnp.asarray([s.ridge for s in specs], jnp.float32)),
        penalty=_all_but_empty(T),
        mask=jnp.stack(masks),
        max_iter=200,
    )
    return w


def _on_all(
    p: Problem, specs: list[FitSpec], penalty: Mapping[str, Float[Array, "T"]]
) -> tuple[list[FitSpec], Float[Array, "specs T"]]:
    """Weighted L1 regression, and hardly penalised regression on its supports."""
    G, b = operator(p), correlations(p)
    T = b.shape[0]
    lassos = [s for s in specs if s.ridge is None]
    weights = jnp.stack([penalty[s.scheme] for s in lassos])
    lasso, _ = lasso_solve(
        G,
        jnp.broadcast_to(b, weights.shape),
        jnp.asarray([s.l1 for s in lassos], jnp.float32) * vanishing(b, weights),
        lipschitz(G, b),
        penalty=weights,
        mask=p.allowed,
        tol=3e-4,
        max_iter=200,
    )
    start = {(s.scheme, s.l1): i for i, s in enumerate(lassos)}
    relaxed = [s for s in specs if s.ridge is not None]
    first = lasso[jnp.asarray([start[s.scheme, s.l1] for s in relaxed], jnp.int32)]
    again, _ = ridge_solve(
        G,
        jnp.broadcast_to(b, first.shape),
        per_mask(p, jnp.asarray([s.ridge for s in relaxed], jnp.float32)),
        penalty=_all_but_empty(T),
        mask=((first != 0.0) | (jnp.arange(T, dtype=jnp.int32) == 0)) & p.allowed,
        w0=first,
        tol=1e-4,
        max_iter=_REFIT_STEPS,
    )
    return [*lassos, *relaxed], jnp.concatenate([lasso, again])


def refit(
    p: Problem,
    w: Float[Array, "M T"],
    ridge: Float[Array, "M"],
    lasso: Float[Array, "M"] | None,
    penalty: Float[Array, "M T"] | None,
) -> Float[Array, "M T"]:
    """Fits, their supports kept, fitted again to the masks of ``p``.

    Args:
      p: the problem.
      w: float32 (M, T), the fits.
      ridge: float32 (M,), their ridge strengths, where ``lasso`` is 0.
      lasso: float32 (M,), their L1 strengths, absolute; None if all are 0.
      penalty: float32 (M, T), the weights of the columns in the L1 penalty.
    """
    G, b = operator(p), correlations(p)
    T = w.shape[-1]
    support = ((w != 0.0) | (jnp.arange(T, dtype=jnp.int32) == 0)) & p.allowed
    b = jnp.broadcast_to(b, w.shape)
    again, _ = ridge_solve(
        G,
        b,
        per_mask(p, ridge),
        penalty=_all_but_empty(T),
        mask=support,
        w0=w,
        max_iter=_REFIT_STEPS,
    )
    if lasso is None or penalty is None:
        return again
    sparse, _ = lasso_solve(
        G,
        b,
        lasso,
        lipschitz(G, b[0]),
        penalty=penalty,
        mask=support,
        w0=w,
        tol=1e-5,
        max_iter=200,
    )
    return jnp.where(lasso[:, None] > 0, sparse, again)


def vanishing(b: Float[Array, "T"], penalty: Float[Array, "*P T"]) -> Float[Array, "*P"]:
    """The L1 strengths at which every coefficient is 0, given Xᵀy."""
    ratio = jnp.abs(b) / jnp.where(penalty > 0, penalty, jnp.float32(1.0))
    return jnp.max(jnp.where(penalty > 0, ratio, jnp.float32(0.0)), axis=-1)


def _all_but_empty(T: int) -> Float[Array, "T"]:
    """Every column but ∅ is penalised."""
    return jnp.ones(T, jnp.float32).at[0].set(0.0)
