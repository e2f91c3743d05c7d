"""The candidates of one output: their fits in a lane, and what they leave in its fold."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from spexjax.masks.design import Design
from spexjax.surrogates import fits, folds, normal
from spexjax.surrogates.fits import Block, FitSpec
from spexjax.surrogates.folds import Data
from spexjax.surrogates.normal import LANES, Normal
from spexjax.surrogates.problem import Rows
from spexjax.surrogates.searching import Sets
from spexjax.typing import Array, ArrayLike


class Output(NamedTuple):
    """What the fits of one output need.

    Attributes:
      design, data: the masks and all values.
      place: which output.
      sets: that it is fitted with.
      blocks: see :func:`spexjax.surrogates.fits.fit_blocks`.
    """

    design: Design
    data: Data
    place: int
    sets: Sets
    blocks: tuple[Block, ...]

    @property
    def specs(self) -> tuple[FitSpec, ...]:
        """The candidates, the mean first, the process last."""
        smooth = () if self.sets.smooth is None else (fits.SMOOTH,)
        return (fits.MEAN, *(spec for block in self.blocks for spec in block), *smooth)

    @property
    def block_of(self) -> Int[np.ndarray, "candidates"]:
        """The block of every candidate that is of one."""
        return np.repeat(np.arange(len(self.blocks)), [len(block) for block in self.blocks])

    def equations(self, lane: int, weights: Float[np.ndarray, "rows"]) -> Normal:
        """Those of the rows with weight and the coded masks of a lane."""
        data, members = self.data, self.sets.members[lane]
        return normal.normal(
            self.design.coded,
            None if data.coded is None else data.coded[self.place],
            None if data.inside is None else data.inside[lane],
            Rows(data.bits, data.values[self.place], weights),
            members,
            folds.allowed_columns(members, self.design.n, data.n_pad),
        )

    def solve(
        self, equations: Normal, lane: int, wanted: Bool[np.ndarray, "blocks"]
    ) -> list[Float[ArrayLike, "LANES T"]]:
        """The candidates of a lane."""
        decoded, single = self.sets.decoded[lane], np.ones(1 + self.data.n_pad, bool)
        return fits.solve(
            equations,
            self.blocks,
            {scheme: w[lane] for scheme, w in self.sets.weights.items()},
            singles=np.concatenate([single, np.zeros_like(decoded)]),
            decoded=np.concatenate([single, decoded]),
            wanted=wanted,
        )

    def fitted(
        self, equations: Normal, solved: Sequence[Float[ArrayLike, "LANES T"]]
    ) -> Float[np.ndarray, "fitted T"]:
        """Coefficients of all candidates but the process."""
        mean = np.zeros((1, equations.correlations.shape[0]), np.float32)
        mean[0, 0] = np.asarray(equations.correlations)[0]
        return np.concatenate([mean, *solved])[fits.places(self.blocks)]

    def candidates(
        self, fitted: Float[np.ndarray, "fitted T"], lane: int
    ) -> Float[np.ndarray, "candidates T_plus"]:
        """Coefficients of all candidates on the sets of :meth:`Sets.supports`."""
        if self.sets.smooth is None:
            return fitted
        smooth = self.sets.smooth.result().lanes
        return np.concatenate([_widened(fitted, smooth.shape[1]), smooth[lane][None]])

    def refit(
        self,
        equations: Normal,
        parts: Float[np.ndarray, "M T_plus"],
        places: Int[np.ndarray, "M"],
        reference: Float[Array, "T"],
    ) -> Float[np.ndarray, "M T_plus"]:
        """Candidates, their supports kept, fitted to all masks."""
        specs = [self.specs[p] for p in places]
        penalty = {scheme: w[-1] for scheme, w in self.sets.weights.items()}
        again = fits.refit(equations, parts[:, : len(reference)], specs, penalty, reference)
        if self.sets.smooth is None:
            return again
        again = _widened(again, parts.shape[1])
        again[[spec == fits.SMOOTH for spec in specs]] = self.sets.smooth.result().whole
        return again


class Crossed(NamedTuple):
    """What a fold says of fits without it.

    Attributes:
      products: Σ r_a r_b in the fold, r_a the residuals of candidate a.
      fitted: coefficients, see :meth:`Output.fitted`.
    """

    products: Float[np.ndarray, "candidates candidates"]
    fitted: Float[np.ndarray, "fitted T"]


def crossed(output: Output, wanted: Bool[np.ndarray, "blocks"], lane: int) -> Crossed:
    """Makes the fits of the wanted blocks without a fold and tests them on it."""
    data, residuals = output.data, output.sets.residuals
    equations = output.equations(lane, data.rows_of(lane))
    solved = output.solve(equations, lane, wanted)
    found = normal.held_out(
        equations,
        data.training - data.rows_of(lane),
        None if data.inside is None else 1.0 - data.inside[lane],
        tuple(solved),
        None if residuals is None else residuals[lane],
    )
    places = fits.places(output.blocks)
    if residuals is not None:  # they follow the blocks'
        places = np.append(places, 1 + LANES * len(output.blocks))
    products = np.asarray(found, float)[np.ix_(places, places)]
    return Crossed(products, output.fitted(equations, solved))


def _widened(w: Float[np.ndarray, "M T"], width: int) -> Float[np.ndarray, "M width"]:
    """With zeros for the sets that only the process has."""
    return np.pad(w, ((0, 0), (0, width - w.shape[1])))
