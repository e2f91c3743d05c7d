"""Synthetic functions as a task; a group is a family and its number of inputs, ``flat-64``.

===============  ===================================================================
flat             30 random sets of 1–5 inputs
hierarchical     10 random sets of 3–5 inputs, each with all its subsets
peaks            30 random sets of exactly 3–5 inputs, none with its subsets
conjunctions     30 weighted ANDs
evidence         ANDs of eight supporting inputs over a weak effect of every input
===============  ===================================================================

The first four are drawn by :mod:`spexjax.experiments.functions.synthetic`. ``evidence`` is what
question answering looks like: few inputs hold the answer, jointly, and those are the supporting
ones.
"""

from collections.abc import Callable, Iterator

import numpy as np

from spexjax.experiments.functions import synthetic
from spexjax.experiments.functions.planted import Planted, Synthetic, pack_members
from spexjax.experiments.tasks.item import Item, TaskConfig, chosen

SIZES = (16, 64, 256)
SUPPORTING = 8
_NOISE = 0.1


def evidence(n: int, seed: int) -> Planted:
    """Six ANDs of two to four of eight inputs, weights ±U(0.5, 2), and single weights N(0, 0.1²).

    The eight inputs are the first of ``np.random.default_rng(seed).permutation(n)``.
    """
    rng = np.random.default_rng(seed)
    inputs = rng.permutation(n)[:SUPPORTING]
    sets = synthetic.draw_sets(rng, len(inputs), 6, (2, 3, 4))
    strong = [tuple(sorted(int(inputs[i]) for i in members)) for members in sets]
    weights = [synthetic.amplitudes(rng, len(sets)), 0.1 * rng.standard_normal(n)]
    packed = pack_members([*strong, *((i,) for i in range(n))], n)
    return Planted(n, packed, np.concatenate(weights).astype(np.float32), "mobius", _NOISE, seed)


def supporting(n: int, seed: int) -> tuple[int, ...]:
    """The supporting inputs of :func:`evidence`."""
    return tuple(sorted(np.random.default_rng(seed).permutation(n)[:SUPPORTING].tolist()))


FAMILIES: dict[str, Callable[[int, int], Synthetic]] = {
    "flat": lambda n, seed: synthetic.flat(n, seed, n_terms=30, noise=_NOISE),
    "hierarchical": lambda n, seed: synthetic.hierarchical(n, seed, noise=_NOISE),
    "peaks": lambda n, seed: synthetic.flat(n, seed, 30, (3, 4, 5), _NOISE),
    "conjunctions": lambda n, seed: synthetic.conjunctions(n, seed, noise=_NOISE),
    "evidence": evidence,
}
GROUPS = tuple(f"{family}-{n}" for family in FAMILIES for n in SIZES)


def items(config: TaskConfig) -> Iterator[Item]:
    """``per_group`` functions of every group; item i of a group is drawn with seed + i."""
    for group in chosen(config, GROUPS):
        family, n = group.rsplit("-", 1)
        for seed in range(config.seed, config.seed + config.per_group):
            f = FAMILIES[family](int(n), seed)
            known = supporting(int(n), seed) if family == "evidence" else None
            yield Item(f"{group}-{seed}", group, int(n), f, known)
