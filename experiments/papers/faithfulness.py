"""Faithfulness: R² of every method's surrogate on fresh masks, at equal numbers of calls.

The protocol is that of Kang et al. (ICML 2025, arXiv 2502.13870, section 6): C = 3, t = 5,
b = 3…8, mean and standard error over items. On texts by length their figures stand beside.

  python -m spexjax.experiments faithfulness --task sentiment --data DIR --per-group 10
"""

from dataclasses import dataclass
from typing import NamedTuple

from matplotlib.figure import Figure

from spexjax.experiments.harness import runner
from spexjax.experiments.harness.case import FEWEST_FRESH, Case
from spexjax.experiments.harness.protocol import Protocol
from spexjax.experiments.harness.results import Result
from spexjax.experiments.reporting import compare, figures, summary
from spexjax.experiments.reporting.tables import Section, Table


class Published(NamedTuple):
    """Kang et al. 2025: a DistilBERT on texts of one length; R² at b = 8."""

    soft: float
    hard: float
    lime: float
    pairs: float | None
    """Least squares over all pairs (Faith-Banzhaf of order 2), where it was run."""
    passes: int
    """The smallest b at which their SPEX is above LIME."""


PUBLISHED = {
    "8-15": Published(0.997, 0.996, 0.834, 0.958, 3),
    "16-31": Published(0.975, 0.968, 0.753, 0.933, 3),
    "32-63": Published(0.930, 0.916, 0.674, 0.899, 4),
    "64-127": Published(0.872, 0.851, 0.655, None, 5),
    "128-255": Published(0.816, 0.789, 0.634, None, 6),
    "256-511": Published(0.762, 0.731, 0.620, None, 7),
    "512-1023": Published(0.729, 0.698, 0.606, None, 7),
    "1024-2047": Published(0.712, 0.681, 0.588, None, 7),
}
R2 = summary.number("r2")


_PROTOCOL = Protocol()


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    protocol: Protocol = _PROTOCOL


def measure(case: Case):
    """R² on the test masks, how many were fresh, and the R² that the explanation itself reports."""
    e = case.explain()
    fresh = int(case.f.fresh(case.subject.test).sum())
    return e, {"r2": case.r2(e), "fresh": fresh, "reported": e.faithfulness, "method": e.method}


def run(config: Config) -> Result:
    """Every item by every method at every budget."""
    return runner.run("faithfulness", config, measure)


def section(result: Result) -> Section:
    """R² by group, b and method; SPEX against LIME, pair by pair; the published figures."""
    tables = [compare.scores(result, R2)]
    if {"spex", "lime"} <= set(summary.distinct(result, "method")):
        tables.append(_against_lime(result))
    sentiment = result.config["protocol"]["task"]["name"] == "sentiment"
    if sentiment and set(summary.distinct(result, "group")) & set(PUBLISHED):
        tables.append(_published(result))
    notes = [summary.spent(result), *summary.skipped(result), *_exact(result), *_bought(result)]
    return Section(
        f"Faithfulness: {result.config['protocol']['task']['name']}",
        "R² on uniform masks that were not bought; mean ± standard error over items.",
        tuple(tables),
        tuple(notes),
    )


def _against_lime(result: Result) -> Table:
    rows = []
    for group in summary.distinct(result, "group"):
        for b in sorted({c.b for c in summary.select(result, group=group)}):
            gain = summary.paired(result, R2, "spex", "lime", group=group, b=b)
            if gain.items > 1:
                rows.append((group, str(b), str(gain.items), f"{gain.mean:+.4f}",
                             f"{gain.error:.4f}", verdict(gain)))  # fmt: skip
    return Table(
        ("group", "b", "items", "spex − lime", "standard error", "verdict"),
        tuple(rows),
        "SPEX against LIME, item by item",
    )


def verdict(gain: summary.Mean) -> str:
    """Above or below where the difference is over twice its standard error, else a tie."""
    if abs(gain.mean) <= 2 * gain.error:
        return "tie"
    return "above" if gain.mean > 0 else "below"


def first_above(result: Result, group: str, errors: float = 2.0) -> int | None:
    """The smallest b at which SPEX − LIME is over so many of its standard errors."""
    for b in sorted({c.b for c in summary.select(result, group=group)}):
        gain = summary.paired(result, R2, "spex", "lime", group=group, b=b)
        if gain.items > 1 and gain.mean > errors * gain.error:
            return b
    return None


def _published(result: Result) -> Table:
    rows = []
    for group in summary.distinct(result, "group"):
        if group not in PUBLISHED:
            continue
        theirs = PUBLISHED[group]
        b = max(c.b for c in summary.select(result, group=group))
        ours = [
            summary.over_items(result, R2, group=group, b=b, method=method)
            for method in ("spex", "lime", "faith-banzhaf-2")
        ]
        pairs = "not run" if theirs.pairs is None else f"{theirs.pairs:.3f}"
        firsts = [first_above(result, group, errors) for errors in (0.0, 2.0)]
        rows.append(
            (group, f"b = {b}", *(f"{m.mean:.3f}" if m.items else "–" for m in ours),
             f"{theirs.soft:.3f}", f"{theirs.hard:.3f}", f"{theirs.lime:.3f}", pairs,
             *("–" if first is None else str(first) for first in firsts), str(theirs.passes))
        )  # fmt: skip
    return Table(
        ("group", "ours at", "spex", "lime", "pairs", "published soft", "hard", "LIME", "pairs",
         "passes LIME at b", "by 2 errors", "published"),
        tuple(rows),
        "Beside Kang et al. 2025: their DistilBERT at b = 8, another model and other texts",
    )  # fmt: skip


def _exact(result: Result) -> list[str]:
    exact = [c for c in result.cells if not c.skipped and c.calls < c.budget]
    if not exact:
        return []
    share = len(exact) / sum(not c.skipped for c in result.cells)
    sizes = sorted({c.n for c in exact})
    return [
        f"In {share:.0%} of the cells (n = {sizes[0]} to {sizes[-1]}) the budget bought all 2ⁿ "
        "masks, so that the surrogate of every method is the best of its order."
    ]


def _bought(result: Result) -> list[str]:
    few = [
        c
        for c in result.cells
        if c.calls < 2**c.n and c.values.get("fresh", FEWEST_FRESH) < FEWEST_FRESH
    ]
    if not few:
        return []
    return [
        f"In {len(few)} further cells (n = {min(c.n for c in few)} to {max(c.n for c in few)}) "
        f"fewer than {FEWEST_FRESH} masks were left that had not been bought: there R² is over "
        "bought ones too."
    ]


def draw(result: Result) -> Figure:
    """R² against b, a panel for each group."""

    groups = summary.distinct(result, "group")
    lines = compare.along_b(result, R2)
    return figures.panels(groups, lines, "b (log₂ of the bins)", "R² on fresh masks", floor=0.0)
