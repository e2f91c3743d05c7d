"""The sampler of every method: ends, a method's own masks, then fresh uniform ones or pairs."""

import numpy as np
from jaxtyping import Int, UInt32

from spexjax.codes import gf2
from spexjax.masks.budget import affords_all, held_out_size
from spexjax.masks.coded import CodedDesign
from spexjax.masks.design import Design, Role
from spexjax.masks.uniform import (
    all_packed,
    canonical,
    fresh_uniform,
    paired_uniform,
    pairs_left,
)
from spexjax.typing import Key


def sample(
    key: Key,
    n: int,
    budget: int,
    max_order: int,
    held_out: int | None,
    *,
    coded: CodedDesign | None = None,
    own: UInt32[np.ndarray, "rows W"] | None = None,
    role: Role = Role.UNIFORM,
    paired: bool = False,
    held_out_pairs: bool = False,
) -> Design:
    """1…1, 0…0, coded masks or a method's own, then fresh uniform ones until the budget is spent.

    The first uniform masks are those held out.

    Args:
      key: a JAX key.
      n: number of features.
      budget: masks; all 2^n if these are fewer.
      max_order: largest set to be fitted, noted in the design.
      held_out: uniform masks that nothing may be fitted to; all of them if None.
      coded: a coded design; a mask of it that is an end is asked for once.
      own: packed masks, distinct and none of them an end.
      role: of ``own``.
      paired: uniform masks come with their complements, as far as there are masks neither of
        which has been drawn.
      held_out_pairs: those held out do too; one that is left over alone is then held out, if any
        are.
    """
    W = gf2.num_words(n)
    ends = np.stack([gf2.pack_numpy(np.full(n, keep), W) for keep in (True, False)])
    ends = ends[: min(2, budget)]
    masks = np.zeros((0, W), np.uint32) if own is None else own
    if coded is not None:
        masks = np.asarray(coded.packed())
    first, place = gf2.unique_rows(np.concatenate([ends, masks]))
    roles = np.full(len(first), Role.CODED if coded is not None else role, np.int8)
    roles[: len(ends)] = Role.ENDPOINT
    unit = np.arange(len(first))
    if role == Role.SHAPLEY_KERNEL:
        unit = gf2.unique_rows(canonical(first, n))[1]
    if coded is not None:
        # A mask met in several delays belongs to the first.
        every = np.repeat(np.arange(coded.groups * coded.num_delays), 2**coded.b)
        unit[place[::-1]] = np.concatenate([[-1] * len(ends), every])[::-1]
        unit[: len(ends)] = coded.groups * coded.num_delays + np.arange(len(ends))

    fresh = (min(budget, 2**n) if n < 63 else budget) - len(first)
    aside = fresh if held_out is None else min(held_out, fresh)
    if held_out_pairs:
        aside = min(aside + aside % 2, fresh)
    in_pairs = 0
    if held_out_pairs:
        in_pairs = fresh
    elif paired:
        in_pairs = (fresh - aside) // 2 * 2
    rows, pair = _uniform(key, n, fresh, first, aside if paired else 0, in_pairs)
    alone = np.bincount(pair, minlength=fresh)[pair] == 1
    kind = np.full(fresh, Role.UNIFORM, np.int8)
    kind[~alone] = Role.PAIRED
    out = np.arange(fresh) < aside
    if held_out_pairs and aside:
        out |= alone
    return Design(
        n=n,
        budget=budget,
        max_order=max_order,
        packed=np.concatenate([first, rows]),
        role=np.concatenate([roles, kind]),
        unit=np.concatenate([unit, unit.max(initial=-1) + 1 + pair]),
        held_out=np.concatenate([np.zeros(len(first), bool), out]),
        coded=coded,
        coded_rows=None if coded is None else place[len(ends) :],
    )


def _uniform(
    key: Key, n: int, count: int, taken: UInt32[np.ndarray, "rows W"], single: int, in_pairs: int
) -> tuple[UInt32[np.ndarray, "count W"], Int[np.ndarray, "count"]]:
    """Fresh masks: ``single`` alone, ``in_pairs`` in pairs, the rest alone; each one's pair."""
    rows = fresh_uniform(key, n, single, taken)
    drawn = np.concatenate([taken, rows])
    both = rows[:0]
    if in_pairs:
        both = paired_uniform(key, n, min(in_pairs, 2 * pairs_left(n, drawn)), drawn)
        drawn = np.concatenate([drawn, both])
    more = fresh_uniform(key, n, count - len(rows) - len(both), drawn)
    pair = np.arange(count)
    pair[single:][: len(both)] = single + np.arange(len(both)) // 2
    return np.concatenate([rows, both, more]), pair


def uniform(
    key: Key,
    n: int,
    budget: int,
    max_order: int,
    *,
    paired: bool = False,
    held_out_pairs: bool = False,
) -> Design:
    """All masks if the budget buys them, else the ends and uniform masks, the usual share held out.

    Args: as for :func:`sample`.
    """
    if affords_all(n, budget):
        return everything(n, budget, max_order)
    return sample(
        key, n, budget, max_order, held_out_size(budget, n), paired=paired,
        held_out_pairs=held_out_pairs,
    )  # fmt: skip


def everything(n: int, budget: int, max_order: int) -> Design:
    """All 2^n masks; mask m is at place m.

    Raises:
      ValueError: if n > 30, since the table would not fit into memory.
    """
    packed = all_packed(n)
    count = len(packed)
    return Design(
        n=n,
        budget=budget,
        max_order=max_order,
        packed=packed,
        role=np.full(count, Role.EXHAUSTIVE, np.int8),
        unit=np.arange(count),
        held_out=np.zeros(count, bool),
    )
