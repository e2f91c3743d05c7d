"""Shapley: how many of the ten largest Shapley values a method finds with fewer calls.

The reference is KernelSHAP with 10 000 calls; where 2ⁿ is smaller its values are exact.

  python -m spexjax.experiments shapley --task sentiment --data DIR --b 3 4 5 6
"""

from dataclasses import dataclass

from matplotlib.figure import Figure

from spexjax import explain
from spexjax.experiments.harness import runner
from spexjax.experiments.harness.case import Case
from spexjax.experiments.harness.protocol import Protocol
from spexjax.experiments.harness.results import Result
from spexjax.experiments.reporting import compare, figures, summary
from spexjax.experiments.reporting.tables import Section
from spexjax.explanation import Explanation

RECALL = summary.number("recall")
_REFERENCE_SEED = 1_000_003  # masks that no method draws


_PROTOCOL = Protocol(
    methods=("target-sv", "spex", "proxyspex", "kernelshap", "lime"), b=(3, 4, 5, 6)
)


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    protocol: Protocol = _PROTOCOL
    top: int = 10
    """The largest values that are to be found."""
    calls: int = 10_000
    """Calls of the reference."""


def largest(e: Explanation, count: int) -> frozenset[int]:
    """The inputs of the ``count`` largest |Shapley values|."""
    return frozenset(members[0] for members, _ in e.interactions("SV").top(count))


def run(config: Config) -> Result:
    """Every item by every method at every budget; one reference for each item."""
    known: dict[str, frozenset[int]] = {}

    def measure(case: Case):
        item = case.subject.item
        if item.name not in known:
            reference = explain(
                case.subject.f, item.n, budget=config.calls, method="kernelshap",
                seed=_REFERENCE_SEED, chunk_size=4096,
            )  # fmt: skip
            known[item.name] = largest(reference, config.top)
        e = case.explain()
        wanted = known[item.name]
        recall = len(wanted & largest(e, config.top)) / max(len(wanted), 1)
        return e, {"recall": recall, "chance": min(config.top / item.n, 1.0)}

    if config.top < 1 or config.calls < 4:
        raise ValueError(f"top must be from 1 and calls from 4, got {config.top}, {config.calls}.")
    return runner.run("shapley", config, measure)


def section(result: Result) -> Section:
    """Recall by group, b and method."""
    chance = "; ".join(
        f"{group} {summary.over_items(result, summary.number('chance'), group=group).mean:.2f}"
        for group in summary.distinct(result, "group")
    )
    top, calls = result.config["top"], result.config["calls"]
    return Section(
        f"Shapley values: {result.config['protocol']['task']['name']}",
        f"Share of the {top} largest |Shapley values| of KernelSHAP with {calls} calls that is "
        f"among a method's own {top}; mean ± standard error over items.",
        (compare.scores(result, RECALL),),
        (f"By chance: {chance}.", summary.spent(result), *summary.skipped(result)),
    )


def draw(result: Result) -> Figure:
    """Recall against b, a panel for each group."""
    groups = summary.distinct(result, "group")
    lines = compare.along_b(result, RECALL)
    ylabel = f"recall of the top {result.config['top']}"
    return figures.panels(groups, lines, "b (log₂ of the bins)", ylabel)
