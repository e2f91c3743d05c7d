"""How a budget is spent: the ends, masks held out, a coded design, uniform masks."""

from bisect import bisect_left
from typing import NamedTuple

from spexjax.codes import bch

SMALLEST_B = 3
LARGEST_TABLE = 30  # n of the largest table of all masks


class BudgetError(ValueError):
    """A budget is too small for what a method needs; the message says what would do."""


class Plan(NamedTuple):
    """How a budget is spent; the numbers add up to ``total`` ≤ budget."""

    n: int
    budget: int
    endpoints: int
    """f(1…1) and f(0…0)."""
    held_out: int
    """Uniform masks on which faithfulness is measured."""
    b: int | None
    """log2 of the bins of the coded design, or None where none fits."""
    t: int
    groups: int
    coded: int
    """C · 2^b · D, an upper bound: masks that coincide are asked for once."""
    uniform: int
    """Further uniform masks, for the refit."""
    costs: tuple[tuple[int, int, int], ...]
    """(b, t, smallest budget that affords it) of every design, affordable or one step beyond."""

    @property
    def total(self) -> int:
        """All masks of the plan, at most the budget."""
        return self.endpoints + self.held_out + self.coded + self.uniform


def design_cost(n: int, b: int, t: int, groups: int = 3) -> int:
    """C · 2^b · (p + 1): the masks of a coded design."""
    return groups * 2**b * (bch.parameters(n, t).parity_bits + 1)


def held_out_size(budget: int, n: int | None = None) -> int:
    """10 % of the budget, between 32 and 1 000, but never more than a quarter of it.

    Of n features no more than the 2^n masks are asked for, whatever the budget.
    """
    if n is not None and n < 63:
        budget = min(budget, 2**n)
    return min(max(budget // 10, 32), 1000, budget // 4)


def with_held_out(own: int) -> int:
    """The smallest budget that leaves ``own`` masks when those held out have been set aside."""
    # What is left never falls when the budget rises, and at least three quarters are left.
    budgets = range(own, 2 * own + 34)
    return budgets[bisect_left(budgets, own, key=lambda budget: budget - held_out_size(budget))]


def affords_all(n: int, budget: int) -> bool:
    """Whether a budget buys all 2^n masks, and a table of them is not too large (n ≤ 30)."""
    return n <= LARGEST_TABLE and 2**n <= budget


def plan_budget(
    n: int, budget: int, t: int = 5, groups: int = 3, b: int | None = None, coded: bool = True
) -> Plan:
    """Says which coded designs a budget affords, what each costs and what is set aside.

    A pure function of integers: uniform masks for measuring faithfulness are set aside first,
    then comes the largest coded design, and what is left goes to more uniform masks.

    Args:
      n: number of features.
      budget: number of model calls.
      t: degree to decode.
      groups: number of groups C.
      b: log2 of the bins; the largest affordable (from 3, or n if smaller) if None.
      coded: False to spend everything on uniform masks.

    Raises:
      ValueError: if n, budget, t, groups or b is out of range.
    """
    for name, value in (("n", n), ("budget", budget), ("groups", groups)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}.")
    if b is not None and not 0 <= b <= n:
        raise ValueError(f"b must be between 0 and n = {n}, got {b}.")
    endpoints = min(2, budget)
    held_out = held_out_size(budget)
    left = budget - endpoints - held_out
    smallest = min(SMALLEST_B, n)
    costs = []
    for degree in range(1, t + 1):
        for bits in range(smallest, n + 1) if b is None else [b]:
            cost = design_cost(n, bits, degree, groups)
            costs.append((bits, degree, with_held_out(2 + cost)))
            if cost > left:
                break
    fitting = [bits for bits, degree, least in costs if coded and degree == t and least <= budget]
    chosen = fitting[-1] if fitting else None
    spent = 0 if chosen is None else design_cost(n, chosen, t, groups)
    return Plan(
        n, budget, endpoints, held_out, chosen, t, groups, spent, left - spent, tuple(costs)
    )
