"""Which masks to ask for: coded, uniform, paired, Shapley-kernel, permutations; and the budget."""

from spexjax.codes.gf2 import unique_rows
from spexjax.masks.budget import (
    SMALLEST_B,
    BudgetError,
    Plan,
    design_cost,
    held_out_size,
    plan_budget,
)
from spexjax.masks.coded import CodedDesign, coded_design
from spexjax.masks.uniform import all_packed, fresh_uniform, paired_uniform, uniform_packed

__all__ = [
    "SMALLEST_B",
    "BudgetError",
    "CodedDesign",
    "Plan",
    "all_packed",
    "coded_design",
    "design_cost",
    "fresh_uniform",
    "held_out_size",
    "paired_uniform",
    "plan_budget",
    "uniform_packed",
    "unique_rows",
]
