"""The normal equations of a problem, and the three programs that work on them.

Cross-validation, the refit and every kind of fit share these programs: what they differ in is data.
Fits are solved ``LANES`` at a time, whatever there are of them, so that no count of candidates or
outputs is part of a shape.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Int32

from spexjax.compiling import QUICKLY
from spexjax.masks.coded import CodedDesign
from spexjax.regression import lasso_solve, lipschitz, ridge_solve
from spexjax.surrogates import working_sets
from spexjax.surrogates.problem import (
    Problem,
    Residuals,
    Rows,
    correlations,
    formed,
    gram,
    of_columns,
    operator,
    per_mask,
    problem,
    residual_products,
)
from spexjax.typing import Array, ArrayLike

LANES = 12


class Normal(NamedTuple):
    """G w = b for the fits of a problem of T columns.

    Attributes:
      problem: masks, values and columns; None in :meth:`alone`.
      gram: float32 (T, T), G, a mean over masks; None where T is large.
      correlations: float32 (T,), b.
      allowed: bool (T,), the columns that are no padding.
      steepness: float32, about the largest eigenvalue of G.
      ridge: float32, a relative ridge strength of 1 in the units of G.
    """

    problem: Problem | None
    gram: Float[Array, "T T"] | None
    correlations: Float[Array, "T"]
    allowed: Bool[ArrayLike, "T"]
    steepness: Float[Array, ""]
    ridge: Float[Array, ""]

    def alone(self) -> "Normal":
        """Without the masks, where G is there: of solving only T is then part of a shape."""
        return self if self.gram is None else self._replace(problem=None)

    def gram_of(self, index: Int32[Array, "M"]) -> Float[Array, "M M"]:
        """G of some of the columns."""
        if self.gram is not None:
            return self.gram[index][:, index]
        assert self.problem is not None
        return gram(of_columns(self.problem, index))

    def product(self) -> Callable[[Array], Array]:
        """w ↦ G w."""
        return operator(self.problem, self.gram)


class Lanes(NamedTuple):
    """Fits to be made at once; those without a column in ``mask`` fill up.

    Attributes:
      strength: float32 (LANES,), relative: of ridge to the mean square of a column, of L1 to the
        strength at which every coefficient vanishes.
      mask: bool (LANES, T), the columns that may be used.
      tol, steps: when to stop; see :func:`spexjax.regression.lasso_solve`.
    """

    strength: Float[ArrayLike, "LANES"]
    mask: Bool[ArrayLike, "LANES T"]
    tol: Float[ArrayLike, ""]
    steps: Int[ArrayLike, ""]

    @classmethod
    def of(
        cls, strengths: Sequence[float | None], mask: ArrayLike, tol: float, steps: int
    ) -> "Lanes":
        """Fits of these strengths, as many as there are, each with the columns of ``mask``."""
        strength = np.zeros(LANES, np.float32)
        strength[: len(strengths)] = [s or 0.0 for s in strengths]
        used = (np.arange(LANES) < len(strengths))[:, None] & mask
        return cls(strength, used, np.asarray(tol, np.float32), np.asarray(steps, np.int32))


@partial(jax.jit, compiler_options=QUICKLY)
def normal(
    coded: CodedDesign | None,
    coded_values: Float[ArrayLike, "N"] | None,
    coded_weights: Float[ArrayLike, "C D"] | None,
    rows: Rows,
    members: Int32[ArrayLike, "S t"],
    allowed: Bool[ArrayLike, "T"],
) -> Normal:
    """The normal equations of one output on the masks that have weight."""
    p = problem(coded, coded_values, coded_weights, rows, members, allowed)
    b = correlations(p)
    found = Normal(p, formed(p), b, p.allowed, jnp.float32(0), per_mask(p, jnp.float32(1)))
    return found._replace(steepness=lipschitz(found.product(), b))


@partial(jax.jit, compiler_options=QUICKLY)
def ridge(
    equations: Normal,
    lanes: Lanes,
    start: Float[ArrayLike, "LANES T"],
    relaxed: Bool[ArrayLike, ""],
) -> Float[Array, "LANES T"]:
    """Ridge regression in every lane, ∅ not penalised.

    Args:
      equations: see :class:`Normal`.
      lanes: see :class:`Lanes`.
      start: where to start.
      relaxed: whether only columns with a coefficient in ``start``, and ∅, may be used.
    """
    b = equations.correlations
    first = jnp.arange(b.shape[0], dtype=jnp.int32) == 0
    w, _ = ridge_solve(
        equations.product(),
        jnp.broadcast_to(b, start.shape),
        equations.ridge * lanes.strength,
        penalty=1.0 - first.astype(jnp.float32),
        mask=lanes.mask & (~relaxed | (start != 0.0) | first) & equations.allowed,
        w0=start,
        tol=lanes.tol,
        max_iter=lanes.steps,
    )
    return w


@partial(jax.jit, compiler_options=QUICKLY)
def lasso(
    equations: Normal,
    lanes: Lanes,
    penalty: Float[ArrayLike, "LANES T"],
    start: Float[ArrayLike, "LANES T"],
    place: Int32[ArrayLike, "LANES"],
    reference: Float[ArrayLike, "T"],
) -> Float[Array, "LANES T"]:
    """L1 regression in every lane.

    Args:
      equations: see :class:`Normal`.
      lanes: see :class:`Lanes`.
      penalty: the weights of the columns in the penalty, > 0 but for ∅.
      start, place: lane i starts at ``start[place[i]]``.
      reference: Xᵀy, which says where every coefficient vanishes.
    """
    b = equations.correlations
    mask = jnp.asarray(lanes.mask & equations.allowed)
    penalised = mask & (penalty > 0)
    ratio = jnp.abs(reference) / jnp.where(penalised, penalty, 1.0)
    strength = lanes.strength * jnp.max(jnp.where(penalised, ratio, 0.0), axis=-1)
    first = jnp.asarray(start)[place]
    if len(b) > working_sets.SIZE:
        first = working_sets.start_of_lasso(
            equations.product(), equations.gram_of, b, jnp.asarray(strength[:, None] * penalty),
            mask, equations.steepness, first, jnp.asarray(lanes.tol), jnp.asarray(lanes.steps),
        )  # fmt: skip
    w, _ = lasso_solve(
        equations.product(),
        jnp.broadcast_to(b, penalty.shape),
        strength,
        equations.steepness,
        penalty=penalty,
        mask=mask,
        w0=first,
        tol=lanes.tol,
        max_iter=lanes.steps,
    )
    return w


@partial(jax.jit, compiler_options=QUICKLY)
def held_out(
    equations: Normal,
    row_weights: Float[ArrayLike, "rows"],
    coded_weights: Float[ArrayLike, "C D"] | None,
    blocks: Sequence[Float[Array, "LANES T"]],
    other: Residuals | None = None,
) -> Float[Array, "L L"]:
    """Σ r_a r_b over masks of these weights, r_a the residuals of the fits of the blocks.

    The first is the mean of the values, the fits follow in order, and then the other one, if there
    is one: L = 1 + LANES · len(blocks), or one more.
    """
    assert equations.problem is not None
    p = equations.problem._replace(rows=equations.problem.rows._replace(weights=row_weights))
    if p.coded is not None and coded_weights is not None:
        p = p._replace(coded=p.coded._replace(weights=coded_weights))
    mean = jnp.zeros_like(equations.correlations).at[0].set(equations.correlations[0])
    return residual_products(p, jnp.concatenate([mean[None], *blocks]), other)


def filled(rows: Float[ArrayLike, "M T"]) -> Float[np.ndarray, "LANES T"]:
    """The rows as the first of LANES, then zeros."""
    rows = np.asarray(rows, np.float32)
    return np.pad(rows, ((0, LANES - len(rows)), (0, 0)))
