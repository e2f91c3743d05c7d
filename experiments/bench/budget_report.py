"""Tables, figures and verdicts of :mod:`spexjax.experiments.bench.budget`."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from spexjax.experiments.reporting.figures import Line, panels

MARGIN = 0.005
PUBLISHED = "proxyspex-paper"
_RENAMED = {"paper": PUBLISHED, "pairs": "lasso-2"}
MOST_CALLS, FEW_CALLS = 4000, 1000


@dataclass(frozen=True)
class Row:
    """One run; ``r2`` is None where the method could not do with the budget."""

    kind: str
    case: str
    n: int
    budget: int
    seed: int
    method: str
    r2: float | None
    seconds: float
    done: str

    def __post_init__(self):
        # Names that results of earlier versions have.
        object.__setattr__(self, "method", _RENAMED.get(self.method, self.method))

    @property
    def key(self) -> tuple[str, int, int, str]:
        """What tells the runs apart."""
        return self.case, self.budget, self.seed, self.method


def _by_seed(rows: list[Row]) -> dict[tuple[str, int, str], dict[int, float]]:
    """R² of each (case, budget, method), by seed; without the runs that were not possible."""
    found: dict[tuple[str, int, str], dict[int, float]] = {}
    for r in rows:
        if r.r2 is not None and np.isfinite(r.r2):
            found.setdefault((r.case, r.budget, r.method), {})[r.seed] = r.r2
    return found


def _methods(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(r.method for r in rows))


def table(rows: list[Row]) -> str:
    """Means over seeds, in Markdown: cases and budgets down, methods across, the best in bold.

    The last rows are means over the cases that every method in the row has done.
    """
    names, scores = _methods(rows), _by_seed(rows)
    lines = [
        "| case | n | calls | " + " | ".join(names) + " |",
        "| --- | ---: | ---: |" + " ---: |" * len(names),
    ]

    def line(head: str, found: list[float | None]) -> str:
        best = max((round(x, 3) for x in found if x is not None), default=None)
        cells = ["" if x is None else f"{x:.3f}" for x in found]
        cells = [
            f"**{c}**" if x is not None and round(x, 3) == best else c
            for c, x in zip(cells, found, strict=True)
        ]
        return f"| {head} | " + " | ".join(cells) + " |"

    means: dict[tuple[str, int], dict[str, float]] = {}
    for case, n, budget in sorted({(r.case, r.n, r.budget) for r in rows}, key=_order(rows)):
        cells = {m: scores[case, budget, m] for m in names if (case, budget, m) in scores}
        means[case, budget] = {m: float(np.mean(list(s.values()))) for m, s in cells.items()}
        row = [means[case, budget].get(m) for m in names]
        lines.append(line(f"{case} | {n} | {budget}", row))
    for budget in sorted({r.budget for r in rows}):
        here = [found for (_, b), found in means.items() if b == budget]
        done = [m for m in names if any(m in found for found in here)]
        shared = [found for found in here if all(m in found for m in done)]
        row = [
            float(np.mean([s[m] for s in shared])) if shared and m in done else None for m in names
        ]
        lines.append(line(f"mean of {len(shared)} | | {budget}", row))
    return "\n".join(lines)


def _order(rows: list[Row]):
    place = {name: i for i, name in enumerate(dict.fromkeys(r.case for r in rows))}
    return lambda key: (place[key[0]], key[2])


def gaps(rows: list[Row]) -> dict[int, dict[str, dict[str, float]]]:
    """auto − method, by budget, method and case: means over the seeds that both have."""
    scores = _by_seed(rows)
    found: dict[int, dict[str, dict[str, float]]] = {}
    for (case, budget, method), theirs in scores.items():
        ours = scores.get((case, budget, "auto"), {})
        seeds = ours.keys() & theirs.keys()
        if method != "auto" and seeds:
            gap = float(np.mean([ours[s] - theirs[s] for s in seeds]))
            found.setdefault(budget, {}).setdefault(method, {})[case] = gap
    return dict(sorted(found.items()))


def calls_needed(rows: list[Row]) -> dict[str, int | None]:
    """The fewest calls with which auto reaches the published recipe's R² at 4 000, by case."""
    scores = _by_seed(rows)
    found: dict[str, int | None] = {}
    for (case, budget, method), theirs in scores.items():
        if (budget, method) != (MOST_CALLS, PUBLISHED):
            continue
        found[case] = None
        for (other, calls, name), ours in sorted(scores.items(), key=lambda item: -item[0][1]):
            seeds = ours.keys() & theirs.keys()
            reached = (other, name) == (case, "auto") and bool(seeds)
            if reached and np.mean([ours[s] - theirs[s] for s in seeds]) >= 0:
                found[case] = calls
    return found


def verdict(rows: list[Row]) -> str:
    """Whether ``auto`` is ever beaten: case by case, on the mean, and in calls."""
    lines = []
    for budget, methods in gaps(rows).items():
        cases = {c for found in methods.values() for c in found}
        rivals = {c: min((m for m in methods if c in methods[m]), key=lambda m: methods[m][c])
                  for c in sorted(cases)}  # fmt: skip
        behind = {c: methods[m][c] for c, m in rivals.items()}
        worst = min(behind, key=lambda c: behind[c])
        beaten = sum(gap < -MARGIN for gap in behind.values())
        lines.append(
            f"{budget} calls: auto − best of the others: mean {np.mean(list(behind.values())):+.4f}"
            f", worst {behind[worst]:+.4f} ({worst}, {rivals[worst]}); "
            f"more than {MARGIN} behind on {beaten} of {len(behind)} cases"
        )
        mean = {m: float(np.mean(list(found.values()))) for m, found in methods.items()}
        said = ", ".join(f"{m} {gap:+.4f} ({len(methods[m])})" for m, gap in mean.items())
        lines.append(f"  on the mean over cases, auto − method: {said}")
    needed = calls_needed(rows)
    if needed:
        few = sum(calls is not None and calls <= FEW_CALLS for calls in needed.values())
        lines.append(
            f"The published recipe's R² at {MOST_CALLS} calls is reached with at most {FEW_CALLS} "
            f"on {few} of {len(needed)} cases: "
            + ", ".join(f"{c} {'never' if k is None else k}" for c, k in needed.items())
        )
    return "\n".join(lines)


def draw(rows: list[Row]) -> Figure:
    """R² against calls, a panel for each kind; only cases that auto did at all budgets count.

    A method's point is drawn where it has done all of these cases; without auto the first counts.
    """
    scores = _by_seed(rows)

    def lines(kind: str) -> list[Line]:
        inside = [r for r in rows if r.kind == kind]
        reference = "auto" if any(r.method == "auto" for r in inside) else inside[0].method
        budgets = sorted({r.budget for r in inside if r.method == reference})
        cases = [c for c in dict.fromkeys(r.case for r in inside)
                 if all((c, b, reference) in scores for b in budgets)]  # fmt: skip
        found = []
        for name in _methods(rows):
            here = [b for b in budgets if cases and all((c, b, name) in scores for c in cases)]
            means = [float(np.mean([np.mean(list(scores[c, b, name].values())) for c in cases]))
                     for b in here]  # fmt: skip
            if here:
                found.append(Line(name, here, means))
        return found

    kinds = list(dict.fromkeys(r.kind for r in rows))
    return panels(kinds, lines, "model calls", "R² on uniform masks", log=True)


def write(rows: list[Row], folder: Path) -> None:
    """table.md, figure.png and summary.json."""
    text = f"{table(rows)}\n\n{verdict(rows)}\n"
    (folder / "table.md").write_text(text, encoding="utf-8")
    means = [
        {"case": case, "calls": budget, "method": method, "seeds": len(by_seed),
         "r2": float(np.mean(list(by_seed.values())))}
        for (case, budget, method), by_seed in _by_seed(rows).items()
    ]  # fmt: skip
    summary = {"means": means, "auto_minus": gaps(rows), "calls_needed": calls_needed(rows)}
    (folder / "summary.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
    draw(rows).savefig(folder / "figure.png", dpi=150)
