"""A support and a fit for each output, chosen by cross-validation of search and fit together.

In every fold the sets were decoded, and proposed, without it; every candidate fit
(:mod:`spexjax.surrogates.fits`) is made without the fold and tested on it. The best mean of a few
of them (:mod:`spexjax.surrogates.stacking`) is fitted to everything but the held-out masks; its
coefficients, not its support, once more with them. Linear fits are among the candidates, so that
the search can only help.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt32

from spexjax import phases
from spexjax.decoding.peeling import PeelConfig
from spexjax.masks.design import Design
from spexjax.spectra import spectrum
from spexjax.spectra.spectrum import Spectrum
from spexjax.surrogates import fits, folds, normal, searching, stacking
from spexjax.surrogates.fits import Block, FitSpec
from spexjax.surrogates.fitted import Crossed, Done, Fit
from spexjax.surrogates.folds import Data
from spexjax.surrogates.normal import LANES, Normal
from spexjax.surrogates.problem import Rows
from spexjax.surrogates.proposals import Wider
from spexjax.surrogates.searching import Sets
from spexjax.surrogates.stacking import Stack
from spexjax.typing import Array, ArrayLike, Key

# Candidates that err more than so many times the best in the first fold are not tried in others:
# at 1.1 functions of sparse sets lost 0.01 of R², at 2 nothing was gained.
_HOPELESS = 1.3
# Shares of the time, about: what decoding has of all, and proposing of an output's rest.
_DECODED, _PROPOSED = 0.1, 0.6


class Chosen(NamedTuple):
    """The stack of one output: supports of the columns, and coefficients (T,).

    And, for each fold, the stack that the other folds choose, found and fitted without it.
    """

    supports: np.ndarray
    tested: Float[np.ndarray, "T"]
    final: Float[np.ndarray, "T"]
    specs: set[FitSpec]
    crossed: list[Spectrum]


def fit(
    design: Design,
    values: Float[ArrayLike, "N K"],
    peel: PeelConfig,
    wider: Wider | None,
    key: Key,
) -> Fit:
    """Finds and fits a support for each output.

    Args:
      design: the masks.
      values: (N, K), standardised.
      peel: settings of the search, where masks are coded.
      wider: what to propose besides the decoded sets, in each fold without it.
      key: of the trees.
    """
    data = folds.data_of(design, values)
    phases.tell("decoding", 0.0)
    members, info = folds.decoded_sets(design.coded, data, peel, design.max_order, shared=False)
    table = folds.table_of(design.coded, data)
    chosen = []
    each = (1.0 - _DECODED) / len(members)
    for output, decoded in enumerate(members):
        sets = searching.decoded_alone(decoded)
        with phases.part(_DECODED + each * output, _DECODED + each * (output + 1)):
            if wider is not None:
                with phases.part(0.0, _PROPOSED):
                    sets = searching.with_proposed(design, data, table, output, decoded, wider, key)
            with phases.part(_PROPOSED if wider is not None else 0.0, 1.0):
                chosen.append(_fit_output(design, data, output, sets))

    def assemble(weights: Sequence[Float[np.ndarray, "T"]]) -> Spectrum:
        kept = [(c.tested != 0) | (np.arange(len(c.tested)) == 0) for c in chosen]
        parts = zip(chosen, weights, kept, strict=True)
        return spectrum.stack(
            [spectrum.from_terms(c.supports[k], w[k], design.n) for c, w, k in parts]
        )

    used = set().union(*(c.specs for c in chosen))
    tested, final = ([getattr(c, name) for c in chosen] for name in ("tested", "final"))
    by_fold = zip(*(c.crossed for c in chosen), strict=True)
    crossed = Crossed(tuple(spectrum.stack(list(one)) for one in by_fold), folds.fold_of(design))
    return Fit(assemble(tested), assemble(final), _done(used, design), info, crossed)


class _Output(NamedTuple):
    """What the fits of one output need."""

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
        n_pad = data.bits.shape[1]
        return normal.normal(
            self.design.coded,
            None if data.coded is None else data.coded[self.place],
            None if data.inside is None else data.inside[lane],
            Rows(data.bits, data.values[self.place], weights),
            members,
            folds.allowed_columns(members, self.design.n, n_pad),
        )

    def solve(
        self, equations: Normal, lane: int, wanted: Bool[np.ndarray, "blocks"]
    ) -> list[Float[ArrayLike, "LANES T"]]:
        """The candidates of a lane."""
        decoded, single = self.sets.decoded[lane], np.ones(1 + self.data.bits.shape[1], bool)
        return fits.solve(
            equations,
            self.blocks,
            {scheme: w[lane] for scheme, w in self.sets.weights.items()},
            singles=np.concatenate([single, np.zeros_like(decoded)]),
            decoded=np.concatenate([single, decoded]),
            wanted=wanted,
        )

    def candidates(
        self, equations: Normal, solved: Sequence[Float[ArrayLike, "LANES T"]], lane: int
    ) -> Float[np.ndarray, "candidates T_plus"]:
        """Coefficients of all candidates on the sets of :meth:`Sets.supports`."""
        mean = np.zeros((1, equations.correlations.shape[0]), np.float32)
        mean[0, 0] = np.asarray(equations.correlations)[0]
        found = np.concatenate([mean, *solved])[fits.places(self.blocks)]
        smooth = self.sets.smooth
        if smooth is None:
            return found
        return np.concatenate([_widened(found, smooth.lanes.shape[1]), smooth.lanes[lane][None]])

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
        again[[spec == fits.SMOOTH for spec in specs]] = self.sets.smooth.whole
        return again


def _fit_output(design: Design, data: Data, place: int, sets: Sets) -> Chosen:
    """Fits the stack that cross-validation finds best, and its members once more to all masks."""
    blocks = fits.fit_blocks(proposed=bool(sets.weights))
    output, last = _Output(design, data, place, sets, blocks), len(sets.members) - 1
    stack, crossed = _stacked(output)
    equations = output.equations(last, data.training)
    of_blocks = np.isin(np.arange(len(output.block_of)), stack.places - 1)
    solved = output.solve(
        equations, last, np.isin(np.arange(len(blocks)), output.block_of[of_blocks])
    )
    parts = output.candidates(equations, solved, last)[stack.places]
    every = output.equations(last, data.real)
    again = output.refit(every, parts, stack.places, equations.correlations)
    return Chosen(
        supports=sets.supports(last, data.bits.shape[1]),
        tested=stack.shares @ parts,
        final=stack.shares @ again,
        specs={output.specs[p] for p in stack.places[stack.shares > 0]},
        crossed=crossed,
    )


def _stacked(output: _Output) -> tuple[Stack, list[Spectrum]]:
    """The best stack by the residuals that the folds' fits leave in their folds.

    And the surrogate of each fold: the stack that is best in the other folds, fitted without it.
    """
    data, specs, block_of = output.data, output.specs, output.block_of
    smooth, places = output.sets.smooth, fits.places(output.blocks)
    if smooth is not None:  # its residuals follow the blocks'
        places = np.append(places, 1 + LANES * len(output.blocks))
    products: list[np.ndarray] = []
    candidates: list[np.ndarray] = []
    wanted = np.ones(len(output.blocks), bool)
    for lane in range(len(output.sets.members) - 1):
        phases.tell("fitting", lane / len(output.sets.members))
        equations = output.equations(lane, data.rows_of(lane))
        solved = output.solve(equations, lane, wanted)
        found = normal.held_out(
            equations,
            data.training - data.rows_of(lane),
            None if data.inside is None else 1.0 - data.inside[lane],
            tuple(solved),
            None if smooth is None else smooth.residuals[lane],
        )
        products.append(np.asarray(found, float)[np.ix_(places, places)])
        candidates.append(output.candidates(equations, solved, lane))
        if lane == 0:
            errors = np.diagonal(products[0])[1:]
            near = errors[: len(block_of)] <= _HOPELESS * errors.min()
            wanted = np.bincount(block_of, near) > 0
    tried = np.flatnonzero(
        np.concatenate([[True], wanted[block_of], [True] * (smooth is not None)])
    )
    count = float(data.training.sum()) + data.num_coded
    total = np.sum(products, axis=0)

    def best(of: np.ndarray, count: float) -> Stack:
        stack = stacking.stack(of[np.ix_(tried, tried)], count, [specs[i] for i in tried])
        return stack._replace(places=tried[stack.places])

    # A fold that chose its own stack would not be independent of it.
    others = count * (1 - 1 / len(products))
    stacks = [best(total - own, others) for own in products]
    weights = [s.shares @ w[s.places] for s, w in zip(stacks, candidates, strict=True)]
    n_pad = data.bits.shape[1]
    crossed = [
        _kept(output.sets.supports(lane, n_pad), w, output.design.n)
        for lane, w in enumerate(weights)
    ]
    return best(total, count), crossed


def _widened(w: Float[np.ndarray, "M T"], width: int) -> Float[np.ndarray, "M width"]:
    """With zeros for the sets that only the process has."""
    return np.pad(w, ((0, 0), (0, width - w.shape[1])))


def _kept(supports: UInt32[np.ndarray, "T W"], w: Float[np.ndarray, "T"], n: int) -> Spectrum:
    """The spectrum of the columns that have a coefficient, and of ∅."""
    kept = (w != 0) | (np.arange(len(w)) == 0)
    return spectrum.from_terms(supports[kept], w[kept], n)


def _done(used: set[FitSpec], design: Design) -> Done:
    if any(spec.columns == "all" for spec in used):
        return Done.AS_ASKED
    found = any(spec.columns == "decoded" for spec in used)
    return Done.SPEX if found and design.coded is not None else Done.LINEAR
