"""Recovery: how much of the strongest sets lies in the inputs that support the answer.

Recovery@k (Kang et al. 2025, section 6): the k sets of largest Möbius coefficient, each scored by
the share of its members that is annotated. Needs items with annotations: the ``evidence`` family
of the synthetic task, or a question with its supporting sentences.

  python -m spexjax.experiments recovery --groups evidence-64 --per-group 10
"""

from dataclasses import dataclass

from matplotlib.figure import Figure

from spexjax import metrics
from spexjax.experiments.harness import runner
from spexjax.experiments.harness.case import Case
from spexjax.experiments.harness.protocol import Protocol
from spexjax.experiments.harness.results import Result
from spexjax.experiments.reporting import compare, figures, summary
from spexjax.experiments.reporting.tables import Section
from spexjax.experiments.tasks.item import TaskConfig

_TASK = TaskConfig("synthetic", ("evidence-16", "evidence-64", "evidence-256"), 5)


_PROTOCOL = Protocol(_TASK, ("spex", "proxyspex", "lime", "faith-banzhaf-2"), (3, 4, 5, 6))


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    protocol: Protocol = _PROTOCOL
    k: int = 10
    """The strongest sets that are scored."""


def run(config: Config) -> Result:
    """Every annotated item by every method at every budget."""

    def measure(case: Case):
        e = case.explain()
        marked = case.subject.item.supporting or ()
        curve = [metrics.recovery_at_k(e.spectrum, marked, k) for k in range(1, config.k + 1)]
        return e, {"curve": curve, "chance": len(marked) / case.subject.item.n}

    return runner.run("recovery", config, measure, lambda item: item.supporting is not None)


def section(result: Result) -> Section:
    """Recovery@1 and Recovery@k."""
    k = result.config["k"]
    tables = tuple(
        compare.scores(result, compare.at("curve", place - 1), f"Recovery@{place}")
        for place in sorted({1, k})
    )
    chance = "; ".join(
        f"{group} {summary.over_items(result, summary.number('chance'), group=group).mean:.2f}"
        for group in summary.distinct(result, "group")
    )
    notes = [
        f"Inputs drawn by chance would score the share that is annotated: {chance}.",
        summary.spent(result),
        *summary.skipped(result),
    ]
    return Section(
        f"Recovery: {result.config['protocol']['task']['name']}",
        "Share of the strongest Möbius sets that is annotated; mean ± standard error over items.",
        tables,
        tuple(notes),
    )


def draw(result: Result) -> Figure:
    """Recovery@k against k, a panel for each group."""
    b = compare.largest_b(result)
    lines = compare.along_curve(result, "curve", range(1, result.config["k"] + 1), b)
    groups = summary.distinct(result, "group")
    return figures.panels(groups, lines, f"k (b = {b})", "Recovery@k")
