"""Runtime: the seconds of an explanation, the model's calls and the method's own time apart.

Each is done twice: the first time programs are compiled where an item of that size is new, the
second time they are there ("warm"). The time of the model's calls is that of the second run.

  python -m spexjax.experiments runtime --task synthetic --groups flat-64 flat-256 --b 3 5 7
"""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from spexjax.experiments.harness import runner, timing
from spexjax.experiments.harness.case import Case
from spexjax.experiments.harness.protocol import Protocol
from spexjax.experiments.harness.results import Result
from spexjax.experiments.reporting import compare, figures, summary
from spexjax.experiments.reporting.tables import Section
from spexjax.experiments.tasks.item import TaskConfig
from spexjax.explanation import Explanation
from spexjax.typing import ValueFunction

_PROTOCOL = Protocol(
    TaskConfig("synthetic", ("flat-16", "flat-64", "flat-256"), 1),
    ("spex", "proxyspex", "auto", "lime", "lasso-2"),
    (3, 5, 7),
)


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    protocol: Protocol = _PROTOCOL


def measure(case: Case):
    """Both runs, on the item's own function: nothing is remembered."""
    case.subject.item.f(case.subject.test[:1])
    _, first, _ = _timed(case)
    e, own, model = _timed(case)
    return e, {"first": first, "warm": own, "model": model}


def _timed(case: Case) -> tuple[Explanation, float, float]:
    """The explanation, its own seconds and the model's."""

    def explained(f: ValueFunction) -> Explanation:
        e = case.explain(f)
        np.asarray(e.spectrum.coefficients)  # wait for the device
        return e

    own, model, e = timing.own(explained, case.subject.item.f)
    return e, own, model


def run(config: Config) -> Result:
    """Every item by every method at every budget."""
    return runner.run("runtime", config, measure)


def section(result: Result) -> Section:
    """Own seconds warm and the first time, and the model's."""
    captions = {
        "warm": "The method's own seconds, compiled",
        "first": "The method's own seconds the first time",
        "model": "Seconds of the model's calls",
    }
    tables = tuple(
        compare.scores(result, summary.number(name), caption, min if name != "model" else None)
        for name, caption in captions.items()
    )
    return Section(
        f"Runtime: {result.config['protocol']['task']['name']}",
        "Seconds of one explanation; mean ± standard error over items.",
        tables,
        (summary.spent(result), *summary.skipped(result)),
    )


def draw(result: Result) -> Figure:
    """Own seconds, compiled, against b."""
    lines = compare.along_b(result, summary.number("warm"))
    groups = summary.distinct(result, "group")
    return figures.panels(
        groups, lines, "b (log₂ of the bins)", "own seconds, compiled", log_y=True
    )
