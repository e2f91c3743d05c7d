"""The tables and the figure of ``data-attribution``."""

import math

from matplotlib.figure import Figure

from spexjax.experiments.harness.results import Cell, Result
from spexjax.experiments.reporting import figures, summary
from spexjax.experiments.reporting.tables import Section, Table

_FIRST = "auto"


def section(result: Result) -> Section:
    """Scores, paired differences, flips, pairs by class, and planted pairs if there are."""
    tables = [_scores(result), *_differences(result), *_flips(result), *_pairs(result)]
    n, held = result.cells[0].n, result.config["held_out"]
    points = len(summary.distinct(result, "item"))
    return Section(
        f"Data attribution: {result.config['protocol']['task']['name']}",
        f"{n} features; linear datamodelling score on {held} halves of them, mean ± standard error "
        f"over {points} test points.",
        (*tables, *_planted(result)),
        ("LDS: Spearman's correlation between foretold and true margins. Other seed: with models "
         "that begin elsewhere, where the ceiling is what these say of each other. TRAK, influence "
         "and neighbours have the best of a few settings on these halves.",),
    )  # fmt: skip


def budgets(result: Result) -> list[int]:
    """The numbers of retrainings, ascending."""
    return sorted({c.budget for c in result.cells if c.budget})


def _scores(result: Result) -> Table:
    rows = []
    for method in summary.distinct(result, "method"):
        for budget in sorted({c.budget for c in summary.select(result, method=method)}):
            cells = summary.select(result, method=method, budget=budget)
            found = [_mean(cells, name) for name in ("lds", "other seed", "r2")]
            rows.append((method, str(cells[0].calls or "–"), *map(str, found)))
    return Table(("method", "retrainings", "LDS", "LDS, other seed", "R²"), tuple(rows), "Scores")


def _mean(cells: list[Cell], name: str) -> summary.Mean:
    return summary.mean(summary.by_item(cells, summary.number(name)).values())


def _differences(result: Result) -> list[Table]:
    """``auto`` less every other method, test point by test point."""
    rows = []
    others = [m for m in summary.distinct(result, "method") if m not in (_FIRST, "ceiling")]
    for budget in budgets(result):
        mine = summary.select(result, method=_FIRST, budget=budget)
        for method in others:
            cells = summary.select(result, method=method, budget=budget)
            cells = cells or summary.select(result, method=method, budget=0)
            gains = [_gain(mine, cells, name) for name in ("lds", "other seed")]
            if gains[0].items > 1:
                rows.append((str(budget), f"{_FIRST} − {method}", *map(_signed, gains),
                             verdict(gains[0])))  # fmt: skip
    head = ("retrainings", "difference", "LDS", "LDS, other seed", "verdict")
    return [Table(head, tuple(rows), "Paired differences")] if rows else []


def _gain(mine: list[Cell], others: list[Cell], name: str) -> summary.Mean:
    a, b = (summary.by_item(cells, summary.number(name)) for cells in (mine, others))
    return summary.mean(a[item] - b[item] for item in a if item in b)


def _signed(gain: summary.Mean) -> str:
    return f"{gain.mean:+.4f} ± {gain.error:.4f}"


def verdict(gain: summary.Mean) -> str:
    """Above or below where the difference is over twice its standard error, else a tie."""
    if abs(gain.mean) <= 2 * gain.error:
        return "tie"
    return "above" if gain.mean > 0 else "below"


def _flips(result: Result) -> list[Table]:
    names = [f"flips {share:g}" for share in result.config["shares"]]
    rows = []
    for method in summary.distinct(result, "method"):
        for budget in sorted({c.budget for c in summary.select(result, method=method)}):
            cells = summary.select(result, method=method, budget=budget)
            found = [_mean(cells, name) for name in names]
            if found[0].items:
                rows.append((method, str(cells[0].calls or "–"), *map(str, found)))
    head = ("method", "retrainings", *(f"{share:.0%} removed" for share in result.config["shares"]))
    title = "Share of right test points that are lost without the points that a method names"
    return [Table(head, tuple(rows), title)] if rows else []


_SUMS = ("same_redundant", "same_synergistic", "other_redundant", "other_synergistic")


def _pairs(result: Result) -> list[Table]:
    rows = []
    for budget in budgets(result):
        cells = summary.select(result, method=_FIRST, budget=budget)
        found = [_mean(cells, name) for name in _SUMS]
        if found[0].items:
            rows.append((str(budget), *map(str, found)))
    head = ("retrainings", *(name.replace("_", ", ") for name in _SUMS))
    title = (
        f"Möbius coefficients of pairs by {_FIRST}, added up: both points of the test point's "
        "class, or other pairs"
    )
    return [Table(head, tuple(rows), title)] if rows else []


def _planted(result: Result) -> list[Table]:
    rows = []
    for budget in budgets(result):
        for method in summary.distinct(result, "method"):
            cells = [
                c
                for c in summary.select(result, method=method, budget=budget)
                if "planted" in c.values
            ]
            for kind in sorted({c.values["planted"] for c in cells}):
                these = [c for c in cells if c.values["planted"] == kind]
                numbers = [_mean(these, name) for name in ("found", "right sign", "others")]
                rows.append((str(budget), method, kind, str(len(these)), *map(str, numbers)))
    head = ("retrainings", "method", "planted", "test points", "recall", "right sign",
            "other pairs")  # fmt: skip
    title = "Planted pairs that stand at a false discovery rate of 10 %, of all pairs"
    return [Table(head, tuple(rows), title)] if rows else []


def draw(result: Result) -> Figure:
    """The score against the retrainings; what needs none is a level line."""
    places = [float(b) for b in budgets(result)] or [0.0, 1.0]

    def line(method: str) -> figures.Line:
        cells = summary.select(result, method=method)
        if all(c.budget for c in cells):
            found = [
                _mean(summary.select(result, method=method, budget=int(b)), "lds") for b in places
            ]
            return figures.Line(
                method, places, [m.mean for m in found], [m.error for m in found]
            )  # fmt: skip
        level = _mean(cells, "lds").mean
        return figures.Line(method, places, [level] * len(places), [math.nan] * len(places))

    methods = summary.distinct(result, "method")
    name = result.config["protocol"]["task"]["name"]
    return figures.panels(
        [name], lambda _: [line(m) for m in methods], "retrainings", "linear datamodelling score"
    )
