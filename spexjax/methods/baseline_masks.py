"""What the baselines buy: up to which order a budget suffices, and the masks with their values."""

import numpy as np
from jaxtyping import Float, UInt32

from spexjax import masks
from spexjax.codes import gf2
from spexjax.masks import shapley_kernel
from spexjax.methods.purchase import Caller, Purchase, Samples
from spexjax.spectra import spectrum, subsets
from spexjax.typing import Key

LARGEST_ORDER = 4


def affords_all(n: int, budget: int) -> bool:
    """Whether the budget buys all 2^n masks, and a table of them is not too large."""
    return n <= 30 and 2**n <= budget


def needs_ends(budget: int, name: str) -> None:
    """Raises ``ValueError`` unless 1…1 and 0…0 are affordable."""
    if budget < 2:
        raise ValueError(f"budget must be at least 2 for method {name!r}, got {budget}.")


def orders(n: int, max_order: int) -> range:
    """The orders that a baseline may be fitted at."""
    return range(1, min(max_order, LARGEST_ORDER, n) + 1)


def check_order(order: int, n: int) -> None:
    """Raises ``ValueError`` for an order that cannot be fitted."""
    if not 1 <= order <= min(LARGEST_ORDER, n):
        raise ValueError(f"order must be from 1 to {min(LARGEST_ORDER, n)}, got {order}.")


def with_held_out(own: int) -> int:
    """The smallest budget that leaves ``own`` masks."""
    budget = own
    while budget - masks.held_out_size(budget) < own:
        budget += 1
    return budget


def choose_order(
    n: int,
    budget: int,
    wanted: int | None,
    max_order: int,
    name: str,
    most_cells: int,
    sparse: bool = False,
) -> int:
    """The order to fit: as wanted, or the largest that the masks are enough for.

    Args:
      n: number of features.
      budget: masks, with the ends and those held out.
      wanted: the order that the configuration asks for, if any.
      max_order: the largest that may be chosen otherwise.
      name: the method's.
      most_cells: entries that the design matrix of a chosen order may have.
      sparse: the fit is sparse, so that it may have more sets than masks.

    Raises:
      ValueError: if ``wanted`` is out of range, or the budget is too small for it.
    """
    rows = max(budget - 2, 1)
    if wanted is None:
        if affords_all(n, budget):
            return orders(n, max_order)[-1]
        cells = spectrum.bucket(rows) * (1 if sparse else 2)
        enough = [
            k
            for k in orders(n, max_order)
            if cells * spectrum.bucket(subsets.count(n, k)) <= most_cells
            and (sparse or 2 * subsets.count(n, k) <= rows - masks.held_out_size(budget))
        ]
        return max(enough, default=1)
    check_order(wanted, n)
    if not sparse and wanted > 1 and subsets.count(n, wanted) > rows:
        raise ValueError(
            f"budget must be at least {subsets.count(n, wanted) + 2}, the number of sets, for "
            f"method {name!r} of order {wanted} with n = {n}, got {budget}."
        )
    return wanted


def no_masks(n: int) -> UInt32[np.ndarray, "0 W"]:
    """No masks, packed."""
    return np.zeros((0, gf2.num_words(n)), np.uint32)


def buy_uniform(call: Caller, budget: int, key: Key) -> Purchase:
    """The ends and uniform masks."""
    return buy(call, budget, no_masks(call.n), key)


def buy(
    call: Caller,
    budget: int,
    own: UInt32[np.ndarray, "rows W"],
    key: Key,
    paired: bool = False,
) -> Purchase:
    """The ends, a method's own masks, and uniform ones; without own masks all are uniform.

    The last uniform ones are held out: the number that every method sets aside, and what a
    method's own masks left over. ``paired``: uniform ones come with their complements, since
    single ones would bring back the noise that pairs cancel.
    """
    n = call.n
    ends = np.stack([gf2.pack_numpy(np.full(n, k), own.shape[1]) for k in (True, False)])
    taken = np.concatenate([ends[: min(2, budget)], own])
    fresh = min(budget, 2**n if n < 63 else budget) - len(taken)
    draw = shapley_kernel.paired_uniform if paired else masks.fresh_uniform
    rows = np.concatenate([taken, draw(key, n, fresh, taken)])
    aside = fresh if len(own) else min(masks.held_out_size(budget), fresh)
    if paired and aside < fresh:
        aside += (fresh - aside) % 2
    answers = np.asarray(call(rows), np.float32)
    scalar = answers.ndim == 1
    answers = answers.reshape(len(rows), -1)
    place = np.arange(len(rows))
    samples = Samples(None, rows, answers, place >= len(rows) - aside, place)
    empty = answers[1] if budget > 1 else np.full_like(answers[0], np.nan)
    return Purchase(n, None, samples, answers[0], empty, len(rows), scalar)


def uniform_weights(bought: Purchase) -> Float[np.ndarray, "rows"]:
    """1, but for the ends, which were not drawn: their share of a uniform sample."""
    n, rows = bought.n, len(bought.samples.rows)
    ends = min(2, rows)
    weights = np.ones(rows)
    weights[:ends] = (rows - ends) / (2**n - 2) if 1 < n < 63 and rows > ends else 0.0
    return weights if weights.any() else np.ones(rows)
