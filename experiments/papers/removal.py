"""Removal: how far the answer moves when the inputs found most important are taken away.

For r = 1…10 each surrogate names the r inputs whose removal moves it most, and the model is asked:
|f(1) − f(S)| / |f(1)|, S without them (Kang et al. 2025, section 6). With ``--mode keep`` only
they are kept, and less is better.

  python -m spexjax.experiments removal --task sentiment --data DIR --b 4 6
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
from spexjax.selection import Mode

_PROTOCOL = Protocol(methods=("spex", "lime", "banzhaf"), b=(6,))


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    protocol: Protocol = _PROTOCOL
    largest: int = 10
    """Inputs removed at most."""
    seconds: float = 0.0
    """For each selection by integer programming; 0: greedily."""
    mode: Mode = "remove"
    """Remove them, or keep only them."""


def run(config: Config) -> Result:
    """Every item by every method at every budget."""

    def measure(case: Case):
        e = case.explain()
        curve, chosen = metrics.removal_curve(
            case.subject.f, e.spectrum, config.largest, config.mode, config.seconds or None
        )
        proved = sum(choice.optimal for choice in chosen)
        return e, {"curve": curve, "full": e.full, "proved": proved}

    if config.mode not in ("remove", "keep"):
        raise ValueError(f"mode must be 'remove' or 'keep', got {config.mode!r}.")
    return runner.run("removal", config, measure)


def section(result: Result) -> Section:
    """The change after one input, half of the largest number, and all."""
    largest = result.config["largest"]
    keep = result.config["mode"] == "keep"
    done = "kept" if keep else "removed"
    tables = [
        compare.scores(
            result, compare.at("curve", r - 1), f"{r} of the inputs {done}", min if keep else max
        )
        for r in sorted({1, (largest + 1) // 2, largest})
    ]
    small = [c for c in result.cells if abs(c.values.get("full") or 1.0) < 0.2]
    notes = [summary.spent(result), *summary.skipped(result)]
    if small:
        items = len({c.item for c in small})
        notes.append(f"{items} items have |f(1)| < 0.2; their quotients weigh heavily in means.")
    return Section(
        f"Removal: {result.config['protocol']['task']['name']}",
        f"|f(1) − f(S)| / |f(1)| with r inputs {done}; mean ± standard error over items.",
        tuple(tables),
        tuple(notes),
    )


def draw(result: Result) -> Figure:
    """The change against r, a panel for each group."""
    r = range(1, result.config["largest"] + 1)
    b = compare.largest_b(result)
    lines = compare.along_curve(result, "curve", r, b)
    groups = summary.distinct(result, "group")
    verb = "kept" if result.config["mode"] == "keep" else "removed"
    return figures.panels(groups, lines, f"inputs {verb} (b = {b})", "|f(1) − f(S)| / |f(1)|")
