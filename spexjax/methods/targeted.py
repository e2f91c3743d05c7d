"""``target=…``: one interaction index, from the masks and the fit that are best for it.

Pairs of a mask and its complement are asked for, of small and of large masks more often than the
uniform distribution has them (:func:`~spexjax.masks.shapley_kernel.root_mass`); for the Banzhaf
family, whose weights are uniform, uniform ones. A Gaussian process is fitted to them
(:mod:`spexjax.processes.process`), and the index of f is that of its mean, in closed form, and of
what the mean leaves at the masks asked for, which is known: so the values of SV, k-SII, STII and
FSII add up to f(1…1) − f(0…0), and are exact where all masks of every size are among them.

At masks that were not asked for the mean leaves something, too. Its spread is told by the residuals
of the mask's own size, each of a mean without the mask, and so is how far the index may be off. (A
difference estimator, Särndal, Swensson, Wretman 1992, chapter 6, would add these residuals' index:
that has no bias, but larger errors, and intervals around it hold less often.)
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from spexjax.compiling import Program
from spexjax.indices import index_weights
from spexjax.indices.mask_weights import mask_weights
from spexjax.indices.target import Target
from spexjax.masks import sampling, shapley_kernel
from spexjax.masks.budget import affords_all, held_out_size
from spexjax.masks.design import Design, Role
from spexjax.methods import exact, orders
from spexjax.processes import pairs, reading
from spexjax.processes.likelihood import LEARNED_FROM
from spexjax.processes.pairs import EVEN, ODD, Pairs
from spexjax.processes.process import Process
from spexjax.processes.threads import one_thread
from spexjax.spectra import subsets
from spexjax.spectra.subsets import Terms
from spexjax.surrogates import smooth
from spexjax.surrogates.fitted import Fit, Standardised
from spexjax.typing import Key

TARGETS = ("SV", "SII", "k-SII", "STII", "FSII", "BV", "BII", "FBII")
"""The indices that a design may have for a target."""
_BANZHAF = ("BV", "BII", "FBII")
_MOST_SETS = 1 << 18
_AT_ONCE = 1 << 23


@dataclasses.dataclass(frozen=True)
class Targeted:
    """Configuration of ``target=…``.

    Attributes:
      index: one of SV, SII, k-SII, STII, FSII, BV, BII, FBII.
      order: ℓ; if None 1 for SV and BV, else 2 (1 where there is one input only).
    """

    index: str = "SV"
    order: int | None = None

    def __post_init__(self):
        name = index_weights.find(self.index).name
        if name not in TARGETS:
            raise ValueError(f"target must be one of {', '.join(TARGETS)}, got {self.index!r}.")
        object.__setattr__(self, "index", name)
        if self.order is not None and self.order < 1:
            raise ValueError(f"order must be at least 1, got {self.order}.")

    def order_for(self, n: int) -> int:
        """ℓ for n features.

        Raises:
          ValueError: if there are more than 2^18 sets of so many inputs.
        """
        single = index_weights.INDICES[self.index].singles
        order = min(n, 1 if single else 2 if self.order is None else self.order)
        if subsets.count(n, order) > _MOST_SETS:
            raise ValueError(
                f"order must be lower for n = {n}: there are {subsets.count(n, order):,} sets of "
                f"at most {order} inputs."
            )
        return order


def design(config: Targeted, n: int, budget: int, max_order: int, key: Key) -> Design:
    """All masks, or the ends and pairs, of which uniform ones are held out.

    Raises:
      BudgetError: if the budget is below 2.
      ValueError: if there are too many sets of the order.
    """
    config.order_for(n)
    orders.needs_ends(budget, "targeted")
    if affords_all(n, budget):
        return sampling.everything(n, budget, max_order)
    if config.index in _BANZHAF:
        return sampling.uniform(key, n, budget, max_order, held_out_pairs=True)
    own = budget - 2 - held_out_size(budget, n)
    rows, sizes = shapley_kernel.shapley_masks(
        key, n, own - own % 2, mass=shapley_kernel.root_mass(n)
    )
    found = sampling.sample(
        key, n, budget, max_order, None, own=rows, role=Role.SHAPLEY_KERNEL, held_out_pairs=True
    )
    return dataclasses.replace(found, sizes=sizes)


@one_thread()
def fit(config: Targeted, design: Design, values: Standardised, key: Key) -> Fit:
    """The index of every output, and the strongest sets of its process as the surrogate."""
    if design.exhaustive:
        return exact.fit(exact.Exact(), design, values, key)
    found = pairs.pairs_of(design)
    parts = list(smooth.each(design, found, values))
    targets = [_target(config, design, found, part.process) for part in parts]
    return smooth.joined(design, parts)._replace(target=_joined(targets))


def programs(config: Targeted, design: Design, key: Key) -> Iterator[Program]:
    """Nothing that :func:`fit` runs is compiled; what measures its faithfulness is."""
    return iter(())


def _target(
    config: Targeted,
    design: Design,
    found: Pairs,
    final: Process,
) -> Target:
    """The index of the process and of what it leaves, and how far it may be off."""
    order = config.order_for(design.n)
    sets = subsets.terms(design.n, order)
    values = reading.index(final, sets, config.index, order)
    known, variance = _left(config, design, found, final, sets)
    values += known
    # The rates, both nuggets and the scale were learned from some of the same pairs: residuals are
    # smaller there than elsewhere, by twice their number (Mallows 1973).
    units, learned = len(found.signs) - 1, design.n + 3
    from_so_many = min(units, LEARNED_FROM)
    variance *= from_so_many / max(from_so_many - 2 * learned, from_so_many / 2, 1)
    effects = sets.sizes > 0
    return Target(
        index=config.index,
        order=order,
        supports=sets.packed[effects],
        values=values[effects].T,
        standard_error=np.sqrt(variance)[effects].T,
        baseline=values[~effects][0],
        units=units,
    )


def _left(
    config: Targeted,
    design: Design,
    found: Pairs,
    final: Process,
    sets: Terms,
) -> tuple[Float[np.ndarray, "L K"], Float[np.ndarray, "L K"]]:
    """The index of the residuals known, and the variance of that of the others."""
    n, K = design.n, len(final.mean.level)
    weights = mask_weights(config.index, config.order_for(n), n)
    kept = found.signs > 0
    size = kept.sum(axis=1)
    held, existing = pairs.numbers(design, found)
    each = (1 / existing)[size, None]  # what a mask counts of all of its size
    elsewhere = np.maximum(1 / np.maximum(held, 1e-9) - 1 / existing, 0.0)[size, None]
    left = np.maximum(1 - held / existing, 1e-9)[size, None]  # what distinct masks leave of it
    known, variance = (np.zeros((len(sets.sizes), K)) for _ in range(2))
    members = np.concatenate([kept, np.zeros((len(kept), 1), bool)], axis=1)
    blocks = 1 + len(sets.sizes) * len(kept) // _AT_ONCE
    for some in np.array_split(np.arange(len(sets.sizes)), blocks):
        s = sets.sizes[some]
        inside = np.zeros((len(kept), len(some)), np.int8)
        for column in sets.members[some].T:
            inside += members[:, column]
        one = weights[s, size[:, None], inside]
        other = weights[s, n - size[:, None], s - inside]
        both = np.stack([one + other, one - other])  # what even and odd residuals count
        for part in (EVEN, ODD):
            known[some] += (both[part] * each).T @ final.inside[part]
        for k in range(K):
            unit = sum(both[part] * final.left_out[part, :, k, None] for part in (EVEN, ODD))
            variance[some, k] = ((unit * elsewhere) ** 2 / left).sum(axis=0)
    return known, variance


def _joined(parts: list[Target]) -> Target:
    """The outputs of several parts as one."""
    return dataclasses.replace(
        parts[0],
        values=np.concatenate([part.values for part in parts]),
        standard_error=np.concatenate([part.standard_error for part in parts]),
        baseline=np.concatenate([part.baseline for part in parts]),
    )
