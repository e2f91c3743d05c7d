"""What a fold of a cross-validation leaves out, and what is decoded without it.

A fold is a part of the delays of one group of the coded design, and a share of the other masks.
Its sets are decoded without the group. Lane i < F trains without fold i, the last lane on all.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Int32, UInt32

from spexjax.codes import gf2
from spexjax.compiling import QUICKLY
from spexjax.decoding import spex
from spexjax.decoding.peeling import Info, PeelConfig
from spexjax.masks.coded import CodedDesign, widened
from spexjax.masks.design import Design
from spexjax.spectra import spectrum, subsets
from spexjax.surrogates.fitted import samples, uncoded
from spexjax.surrogates.problem import Problem, Rows, problem
from spexjax.typing import Array, ArrayLike

# ``python -m spexjax.experiments refit`` and ``budget``: ten folds were better on some
# functions, worse on others, and took twice the time.
ROW_FOLDS = 5
_CODED_FOLDS = 6
# Of so many a third less is no loss, and half the folds are half the time.
_MANY_MASKS = 4096
_ROW_BUCKET = 64
_LEAST_SETS = 128
# Designs of up to so many words share the program that searches them.
_SEARCHED_WORDS = 4
_INPUTS = 1024  # columns of padding cost as much as others


class Data(NamedTuple):
    """All values of a design, ready for the problems of its folds.

    Attributes:
      bits: bool (rows, n_pad), the masks that are not coded.
      values: float32 (K, rows); rows beyond the masks have weight 0.
      real, training: float32 (rows,), 1 for masks, and for masks that are not held out.
      fold: int32 (rows,), in which fold a row is tested.
      coded: float32 (K, N), the values at coded masks.
      inside: float32 (F + 1, C, D), 1 where a lane trains on a group's delay.
    """

    bits: Bool[ArrayLike, "rows n_pad"]
    values: Float[ArrayLike, "K rows"]
    real: Float[np.ndarray, "rows"]
    training: Float[np.ndarray, "rows"]
    fold: Int32[np.ndarray, "rows"]
    coded: Float[ArrayLike, "K N"] | None
    inside: Float[np.ndarray, "lanes C D"] | None

    @property
    def num_coded(self) -> int:
        """How many masks are coded."""
        return 0 if self.coded is None else self.coded.shape[1]

    @property
    def num_masks(self) -> int:
        """How many masks there are: so many rows of :func:`table_of`."""
        return self.num_coded + int(self.real.sum())

    @property
    def n_pad(self) -> int:
        """How many single inputs the fits have, padding among them."""
        return self.bits.shape[1]

    def rows_of(self, lane: int) -> Float[np.ndarray, "rows"]:
        """The weights of the rows that a lane trains on."""
        return np.where(self.fold == lane, np.float32(0.0), self.training)


def num_folds(coded: CodedDesign | None) -> int:
    """F."""
    return ROW_FOLDS if coded is None else int(_coded_fold(coded).max()) + 1


def data_of(design: Design, values: Float[ArrayLike, "N K"]) -> Data:
    """The values of a design, rows padded to a bucket so that other budgets share programs.

    Values on a device stay there.
    """
    found = samples(design, values)
    xp = jnp if isinstance(values, jax.Array) else np
    n_pad, count = padded(design.n), len(found.rows)
    size = max(_ROW_BUCKET, spectrum.bucket(count))
    pad = (0, size - count)
    real = np.arange(size) < count
    inside = None
    if design.coded is not None:
        fold = _coded_fold(design.coded)
        lanes = np.arange(num_folds(design.coded) + 1)
        inside = (lanes[:, None, None] != fold).astype(np.float32)
    bits = gf2.unpack_numpy(found.rows, design.n)
    return Data(
        bits=np.pad(bits, (pad, (0, n_pad - design.n))),
        values=xp.pad(xp.asarray(found.values, np.float32), (pad, (0, 0))).T,
        real=real.astype(np.float32),
        training=(real & ~np.pad(found.held_out, pad)).astype(np.float32),
        fold=np.pad(fold_of(design)[uncoded(design)], pad).astype(np.int32),
        coded=None if found.coded is None else xp.asarray(found.coded, np.float32).T,
        inside=inside,
    )


def padded(n: int) -> int:
    """How many single inputs the fits of n have room for: whole words, 1 023 too many at most."""
    return min(gf2.num_words(n) * gf2.WORD, -(-n // _INPUTS) * _INPUTS)


def fold_of(design: Design) -> Int[np.ndarray, "N"]:
    """The fold in which a mask is tested; −1 for those held out, and coded ones of two folds."""
    fold = np.full(len(design), -1)
    rows = uncoded(design)
    _, unit = np.unique(design.unit[rows], return_inverse=True)
    fold[rows] = np.where(design.held_out[rows], -1, unit % num_folds(design.coded))
    if design.coded is not None and design.coded_rows is not None:
        own = np.repeat(_coded_fold(design.coded), 2**design.coded.b)
        fold[design.coded_rows] = own
        fold[design.coded_rows[fold[design.coded_rows] != own]] = -1
    return fold


def problem_of(
    coded: CodedDesign | None,
    data: Data,
    values: Float[Array, "rows"],
    coded_values: Float[Array, "N"] | None,
    members: Int32[Array, "S t"],
    allowed: Bool[Array, "T"],
    weights: Float[Array, "rows"],
    lane: Array | int = -1,
) -> Problem:
    """The problem of one output and lane; by default that of all coded masks."""
    inside = None if data.inside is None else data.inside[lane]
    return problem(coded, coded_values, inside, Rows(data.bits, values, weights), members, allowed)


def left_out(p: Problem, data: Data, weights: Float[Array, "rows"]) -> Problem:
    """The same columns on the masks that a lane's problem, of these weights, does not train on."""
    test = p._replace(rows=p.rows._replace(weights=data.training - weights))
    if p.coded is None:
        return test
    return test._replace(coded=p.coded._replace(weights=1.0 - p.coded.weights))


class Table(NamedTuple):
    """All masks that may be fitted, one a row, as tree and screening methods want them.

    Attributes:
      masks: bool (N, n_pad).
      values: float32 (K, N).
      fold: int32 (N,), −1 for rows that do not count.
    """

    masks: Bool[np.ndarray, "N n_pad"]
    values: Float[ArrayLike, "K N"]
    fold: Int[np.ndarray, "N"]


def table_of(coded: CodedDesign | None, data: Data) -> Table:
    """Coded masks, if there are any, then the others, padded to a bucket of all together."""
    count = int(data.real.sum())
    n_pad = data.n_pad
    bits, fold = data.bits[:count], np.where(data.training > 0, data.fold, -1)[:count]
    xp = jnp if isinstance(data.values, jax.Array) else np
    values = data.values[:, :count]
    if coded is not None and data.coded is not None:
        packed = np.asarray(coded.packed())
        bits = np.concatenate([gf2.unpack_numpy(packed, n_pad), bits])
        fold = np.concatenate([np.repeat(_coded_fold(coded), 2**coded.b), fold])
        values = xp.concatenate([data.coded, values], axis=1)
    pad = (0, row_bucket(len(fold)) - len(fold))
    return Table(
        masks=np.pad(bits, (pad, (0, 0))),
        values=xp.pad(values, ((0, 0), pad)),
        fold=np.pad(fold, pad, constant_values=-1).astype(np.int32),
    )


def row_bucket(count: int) -> int:
    """The next number that is a power of two, or one and a half times one; at least 64."""
    power = 1 << max(count - 1, _ROW_BUCKET - 1).bit_length()
    return 3 * power // 4 if count <= 3 * power // 4 and power > _ROW_BUCKET else power


def _coded_fold(coded: CodedDesign) -> Int[np.ndarray, "C D"]:
    """The fold in which each group's delays are tested."""
    parts = _CODED_FOLDS // coded.groups if coded.groups <= _CODED_FOLDS // 2 else 2
    if coded.num_masks > _MANY_MASKS and coded.groups > 2:
        parts = 1
    return np.arange(coded.groups)[:, None] * parts + np.arange(coded.num_delays) % parts


def decoded_sets(
    coded: CodedDesign | None, data: Data, config: PeelConfig, max_order: int, shared: bool
) -> tuple[Int32[np.ndarray, "K lanes S t"], Info | None]:
    """The sets of 2 to ``max_order`` inputs decoded in every lane, one list for all if shared.

    Padded with −1 to :func:`least_sets`, or a power of two times that where more are decoded; a
    row of −1 is no set. And diagnostics of the search on all groups.
    """
    K = 1 if shared else data.values.shape[0]
    if coded is None or data.coded is None:
        return np.full((K, ROW_FOLDS + 1, 8, 1), -1, np.int32), None
    C, groups = coded.groups, actives(coded)
    columns = [data.coded.T] if shared else [values[:, None] for values in data.coded]
    wide = searchable(coded)
    searched = [jax.device_get(search_each(wide, v, groups, config)) for v in columns]
    (features, valid), info = jax.tree.map(lambda *x: np.stack(x), *searched)
    sets = _compact(features, valid, max_order, least_sets(coded))
    lanes = np.append(np.repeat(np.arange(C), num_folds(coded) // C), C) % len(groups)
    return sets[:, lanes], info


def searchable(coded: CodedDesign) -> CodedDesign:
    """The design that is searched: few inputs share a program with somewhat more."""
    return coded if coded.shifts.shape[-1] >= _SEARCHED_WORDS else widened(coded, _SEARCHED_WORDS)


def actives(coded: CodedDesign) -> Bool[np.ndarray, "searches C"]:
    """The groups of each search: all but one, and all. A single group is not left out."""
    C = coded.groups
    choices = np.concatenate([~np.eye(C, dtype=bool), np.ones((1, C), bool)])
    return choices[-1:] if C == 1 else choices


def least_sets(coded: CodedDesign) -> int:
    """Room for decoded sets, a quarter of the bins or 128; more only where more are decoded."""
    return spectrum.bucket(max(_LEAST_SETS, coded.groups * 2**coded.b // 4))


@functools.partial(jax.jit, static_argnames="config", compiler_options=QUICKLY)
def search_each(
    coded: CodedDesign,
    values: Float[Array, "N K"],
    actives: Bool[Array, "searches C"],
    config: PeelConfig,
) -> tuple[tuple[Int32[Array, "searches S t"], Bool[Array, "searches S"]], Info]:
    """What is found with every choice of active groups; diagnostics of the last search."""

    def one(active: Array) -> tuple[tuple[Array, Array], Info]:
        found, info = spex.search(coded, values, config, active)
        return (found.features, found.valid), info

    found, info = jax.lax.map(one, actives)
    return found, jax.tree.map(lambda x: x[-1], info)


def _compact(
    features: Int32[np.ndarray, "K lanes S t"],
    valid: Bool[np.ndarray, "K lanes S"],
    max_order: int,
    least: int,
) -> Int32[np.ndarray, "K lanes S t"]:
    """Keeps the sets of degree 2 to ``max_order``, in the smallest bucket from ``least`` on."""
    degree = np.where(valid, np.sum(features >= 0, axis=-1), 0)
    wanted = (degree >= 2) & (degree <= max_order)
    size = spectrum.bucket(max(least, int(wanted.sum(axis=-1).max())))
    order = np.argsort(~wanted, axis=-1, kind="stable")[..., :size]
    kept = np.take_along_axis(wanted, order, axis=-1)
    members = np.take_along_axis(features, order[..., None], axis=-2)
    members = np.where(kept[..., None], members, -1).astype(np.int32)
    pad = ((0, 0), (0, 0), (0, size - order.shape[-1]), (0, 0))
    return np.pad(members, pad, constant_values=-1)


def column_supports(members: Int32[np.ndarray, "S t"], n_pad: int) -> UInt32[np.ndarray, "T W"]:
    """The packed supports of a problem's columns: ∅, the single inputs, the sets."""
    singles = np.concatenate([np.full((1, 1), -1), np.arange(n_pad)[:, None]])
    return np.concatenate([subsets.pack(singles, n_pad), subsets.pack(members, n_pad)])


def allowed_columns(
    members: Int32[np.ndarray, "*lanes S t"], n: int, n_pad: int
) -> Bool[np.ndarray, "*lanes T"]:
    """True at ∅, at the n single inputs and at sets that are no padding."""
    single = np.broadcast_to(np.arange(1 + n_pad) <= n, (*members.shape[:-2], 1 + n_pad))
    return np.concatenate([single, np.any(members >= 0, axis=-1)], axis=-1)
