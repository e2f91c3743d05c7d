"""Up to which size of set a baseline is fitted, and what budget that needs."""

from spexjax.masks.budget import BudgetError, affords_all, held_out_size
from spexjax.spectra import subsets
from spexjax.spectra.spectrum import bucket

LARGEST_ORDER = 4
_ENOUGH = 1.25  # pairs for each set of odd size
_FEW = 1.2  # single masks for each set: near 1 they are the worst
_MOST_CELLS = 1 << 26  # entries of the design matrix of an order that was not asked for: 256 MB


def needs_ends(budget: int, name: str) -> None:
    """Raises ``BudgetError`` unless 1…1 and 0…0 are affordable."""
    if budget < 2:
        raise BudgetError(f"budget must be at least 2 for method {name!r}, got {budget}.")


def orders(n: int, max_order: int) -> range:
    """The orders that a baseline may be fitted at."""
    return range(1, min(max_order, LARGEST_ORDER, n) + 1)


def check_order(order: int, n: int) -> None:
    """Raises ``ValueError`` for an order that cannot be fitted."""
    if not 1 <= order <= min(LARGEST_ORDER, n):
        raise ValueError(f"order must be from 1 to {min(LARGEST_ORDER, n)}, got {order}.")


def pairs_help(n: int, masks: int, order: int) -> bool:
    """Whether least squares on pairs of complements err less than on as many single masks.

    Pairs keep sets of odd and of even size apart, so that neither is an error of the other's, but
    give each only half of the equations. As many equations as unknowns are the worst: less is known
    with fewer, but the solution of least norm is smooth. (``python -m spexjax.experiments
    baselines`` and ``shapley-values``.)
    """
    sets = subsets.count(n, order)
    odd = int((subsets.terms(n, order).sizes % 2).sum())
    enough = masks >= 2 * max(_ENOUGH * odd, sets - odd)
    return enough or masks < _FEW * sets


def choose_order(
    n: int, budget: int, wanted: int | None, max_order: int, name: str, sparse: bool = False
) -> int:
    """The order to fit: as wanted, or the largest that the masks are enough for.

    Args:
      n: number of features.
      budget: masks, with the ends and those held out.
      wanted: the order that the configuration asks for, if any.
      max_order: the largest that may be chosen otherwise.
      name: the method's.
      sparse: the fit is sparse, so that it may have more sets than masks.

    Raises:
      ValueError: if ``wanted`` is out of range.
      BudgetError: if the budget is too small for it.
    """
    rows = max(budget - 2, 1)
    if wanted is None:
        if affords_all(n, budget):
            return orders(n, max_order)[-1]
        cells = bucket(rows) * (1 if sparse else 2)
        enough = [
            k
            for k in orders(n, max_order)
            if cells * bucket(subsets.count(n, k)) <= _MOST_CELLS
            and (sparse or 2 * subsets.count(n, k) <= rows - held_out_size(budget))
        ]
        return max(enough, default=1)
    check_order(wanted, n)
    if not sparse and wanted > 1 and subsets.count(n, wanted) > rows:
        raise BudgetError(
            f"budget must be at least {subsets.count(n, wanted) + 2}, the number of sets, for "
            f"method {name!r} of order {wanted} with n = {n}, got {budget}."
        )
    return wanted
