"""The protocol of the experiments: equal calls for every method, the same fresh masks for all.

Budgets are those of SPEX: the smallest that holds a coded design with C groups, degree t and 2^b
bins, b = 3…8. Every method gets the same number of calls and spends them on masks of its own.
"""

from dataclasses import dataclass, field

from spexjax import masks
from spexjax.experiments.harness.methods import EXPLAINERS, METHODS
from spexjax.experiments.tasks.item import TaskConfig, known
from spexjax.masks.budget import affords_all
from spexjax.spectra import spectrum, subsets

_MOST_CELLS = 1 << 26  # entries of a design matrix: 256 MiB


@dataclass(frozen=True)
class Protocol:
    """What every experiment is told."""

    task: TaskConfig = field(default_factory=TaskConfig)
    """The items."""
    methods: tuple[str, ...] = ("spex", "lime", "banzhaf", "lasso-2", "faith-banzhaf-2")
    """Those compared."""
    b: tuple[int, ...] = (3, 4, 5, 6, 7, 8)
    """log2 of the bins of the designs that set the budgets."""
    seeds: tuple[int, ...] = (0,)
    """Of the masks; figures of an item are averaged over them first."""
    t: int = 5
    """The degree decoded, and the largest set that may be fitted."""
    C: int = 3
    """Groups of the coded designs."""
    test_masks: int = 1000
    """Uniform masks on which surrogates are scored."""
    folder: str = "results"
    """Where results go."""

    def __post_init__(self):
        for name in self.methods:
            known("method", name, EXPLAINERS)
        if min(self.b, default=0) < masks.SMALLEST_B:
            raise ValueError(f"b must be from {masks.SMALLEST_B}, got {self.b}.")


def budget(n: int, b: int, t: int = 5, C: int = 3) -> int:
    """The calls of a plan with a design of 2^b bins: its masks, both ends, those held out."""
    design = masks.design_cost(n, b, t, C)
    calls = design + 2
    while calls - 2 - masks.held_out_size(calls) < design:
        calls += 1
    return calls


def reason_to_skip(method: str, n: int, calls: int) -> str | None:
    """Why a method is not run at n inputs and so many calls; None if it is."""
    one = METHODS[method]
    if one.order == 1 or affords_all(n, calls):
        return None
    rows, sets = calls - 2 - masks.held_out_size(calls), subsets.count(n, one.order)
    if not one.sparse and 2 * sets > rows:
        return f"fewer than two masks for each of the {sets} sets of order {one.order}"
    if spectrum.bucket(rows) * spectrum.bucket(sets) > _MOST_CELLS:
        return f"{sets} sets of order {one.order} are too many for one matrix"
    return None
