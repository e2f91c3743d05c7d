"""Tables, figures and verdicts of :mod:`spexjax.experiments.bench.budget`."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MARGIN = 0.005
PUBLISHED = "paper"
MOST_CALLS, FEW_CALLS = 4000, 1000


class Row(NamedTuple):
    """One run."""

    kind: str
    case: str
    n: int
    budget: int
    seed: int
    method: str
    r2: float
    seconds: float
    done: str


def _by_seed(rows: list[Row]) -> dict[tuple[str, int, str], dict[int, float]]:
    """R² of each (case, budget, method), by seed; without the runs that were not possible."""
    found: dict[tuple[str, int, str], dict[int, float]] = {}
    for r in rows:
        if np.isfinite(r.r2):
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


def draw(rows: list[Row], path: Path) -> None:
    """R² against calls, a panel for each kind; only cases that auto did at all budgets count.

    A method's point is drawn where it has done all of these cases; without auto the first counts.
    """
    import matplotlib.pyplot as plt

    scores = _by_seed(rows)
    kinds = list(dict.fromkeys(r.kind for r in rows))
    figure, panels = plt.subplots(
        1, len(kinds), figsize=(4.2 * len(kinds), 4.0), squeeze=False, layout="constrained"
    )
    colours = dict(zip(_methods(rows), plt.rcParams["axes.prop_cycle"].by_key()["color"] * 2,
                       strict=False))  # fmt: skip
    for axes, kind in zip(panels[0], kinds, strict=True):
        inside = [r for r in rows if r.kind == kind]
        reference = "auto" if any(r.method == "auto" for r in inside) else inside[0].method
        budgets = sorted({r.budget for r in inside if r.method == reference})
        cases = [c for c in dict.fromkeys(r.case for r in inside)
                 if all((c, b, reference) in scores for b in budgets)]  # fmt: skip
        for name, colour in colours.items():
            here = [b for b in budgets if cases and all((c, b, name) in scores for c in cases)]
            means = [np.mean([np.mean(list(scores[c, b, name].values())) for c in cases])
                     for b in here]  # fmt: skip
            line = "--" if name == PUBLISHED or name.startswith("shapiq") else "-"
            if here:
                axes.plot(here, means, line, marker="o", ms=3, label=name, color=colour)
        axes.set(xscale="log", xlabel="model calls", title=f"{kind}: mean of {len(cases)}")
        axes.set_xticks(budgets, [str(b) for b in budgets])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    panels[0][0].set_ylabel("R² on fresh masks")
    handles: dict[str, Any] = {}
    for axes in panels[0]:
        handles |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    if handles:
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=4)
    figure.savefig(path, bbox_inches="tight", dpi=150)
    plt.close(figure)


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
    draw(rows, folder / "figure.png")
