"""Hierarchy: are the subsets of a found set found too, and at which order is the energy?

Of the strongest found sets S with two members or more (after Butler et al., NeurIPS 2025,
arXiv 2505.17495):

* direct subsets: the share of the subsets of |S| − 1 members that is found, on average;
* all subsets: the same of all proper non-empty subsets;
* staircases: how many S have a chain of found sets from one member up to S, one more at a time.

Where a synthetic function's spectrum is known its own figures stand beside: ``hierarchical`` is
complete, ``peaks`` are isolated.

  python -m spexjax.experiments hierarchy --task sentiment --data DIR --b 6
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from matplotlib.figure import Figure

from spexjax.experiments.functions.planted import Support, subsets
from spexjax.experiments.harness import runner
from spexjax.experiments.harness.case import Case
from spexjax.experiments.harness.protocol import Protocol
from spexjax.experiments.harness.results import Result
from spexjax.experiments.reporting import compare, figures, summary
from spexjax.experiments.reporting.figures import Line
from spexjax.experiments.reporting.tables import Section, Table
from spexjax.experiments.tasks.item import TaskConfig

_TASK = TaskConfig("synthetic", ("hierarchical-64", "peaks-64", "conjunctions-64"), 3)
_RATES = {"direct": "direct subsets", "all": "all subsets", "staircase": "staircases"}


_PROTOCOL = Protocol(_TASK, ("spex", "proxyspex", "auto"), (6,))


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    protocol: Protocol = _PROTOCOL
    top: int = 200
    """The strongest sets that count as found."""


def strongest(terms: Mapping[Support, float], count: int) -> set[Support]:
    """The ``count`` non-empty sets of largest |F|, zero ones left out."""
    there = [members for members, value in terms.items() if members and value]
    return set(sorted(there, key=lambda members: -abs(terms[members]))[:count])


def rates(found: set[Support]) -> dict[str, float | None]:
    """The three rates of a family of sets; None if it has no set of two members."""
    wide = [members for members in found if len(members) > 1]
    if not wide:
        return dict.fromkeys(_RATES)
    climbed: set[Support] = {members for members in found if len(members) == 1}
    for members in sorted(wide, key=len):
        if any(small in climbed for small in combinations(members, len(members) - 1)):
            climbed.add(members)

    def share(members: Support, smaller) -> float:
        parts = [small in found for small in smaller if 0 < len(small) < len(members)]
        return sum(parts) / len(parts)

    return {
        "direct": float(np.mean([share(m, combinations(m, len(m) - 1)) for m in wide])),
        "all": float(np.mean([share(m, subsets(m)) for m in wide])),
        "staircase": float(np.mean([m in climbed for m in wide])),
    }


def energy(terms: Mapping[Support, float], largest: int) -> list[float]:
    """The share of Σ F² of the non-empty sets at each order 1…largest; larger ones count last."""
    shares = np.zeros(largest)
    for members, value in terms.items():
        if members:
            shares[min(len(members), largest) - 1] += value**2
    total = shares.sum()
    return (shares / total if total else shares).tolist()


def run(config: Config) -> Result:
    """Every item by every method at every budget."""

    def described(terms: Mapping[Support, float]) -> dict:
        found = strongest(terms, config.top)
        return {**rates(found), "sets": len(found), "energy": energy(terms, config.protocol.t)}

    def measure(case: Case):
        e = case.explain()
        known = getattr(case.subject.item.f, "fourier", lambda: None)()
        own = {} if known is None else {"known": described(known)}
        return e, {**described(e.spectrum.to_dict()), **own}

    return runner.run("hierarchy", config, measure)


def section(result: Result) -> Section:
    """The rates and the energy of what was found, and of the function where it is known."""
    t = result.config["protocol"]["t"]
    head = ("group", "b", "sets of", "found", *_RATES.values(),
            *(f"order {d}" for d in range(1, t)), f"order {t} and up")  # fmt: skip
    rows = []
    for group in summary.distinct(result, "group"):
        for b in sorted({cell.b for cell in summary.select(result, group=group)}):
            for method in [*summary.distinct(result, "method"), "the function"]:
                wanted = {} if method == "the function" else {"method": method}
                reads = [_reader(name, not wanted) for name in ("sets", *_RATES)]
                reads += [_reader(("energy", d), not wanted) for d in range(t)]
                means = [summary.over_items(result, r, group=group, b=b, **wanted) for r in reads]
                if means[0].items:
                    cells = [f"{m.mean:.2f}" if m.items else "–" for m in means]
                    cells[0] = f"{means[0].mean:.0f}"
                    rows.append((group, str(b), method, *cells))
    return Section(
        f"Hierarchy: {result.config['protocol']['task']['name']}",
        f"Of the {result.config['top']} strongest sets: how often subsets are found too, and the "
        "share of Σ F² at each order; means over items.",
        (Table(head, tuple(rows)),),
        (summary.spent(result), *summary.skipped(result)),
    )


def _reader(name, known: bool) -> summary.Read:
    def read(cell) -> float | None:
        values = cell.values.get("known", {}) if known else cell.values
        if isinstance(name, tuple):
            return values["energy"][name[1]] if "energy" in values else None
        return values.get(name)

    return read


def draw(result: Result) -> Figure:
    """The share of energy against the order."""
    b = compare.largest_b(result)
    t = result.config["protocol"]["t"]
    found = compare.along_curve(result, "energy", range(1, t + 1), b)

    def lines(group: str) -> list[Line]:
        own = [
            summary.over_items(result, _reader(("energy", d), True), group=group, b=b)
            for d in range(t)
        ]
        if not own[0].items:
            return found(group)
        known = Line("the function", range(1, t + 1), [m.mean for m in own])
        return [*found(group), known]

    groups = summary.distinct(result, "group")
    return figures.panels(groups, lines, f"order of the sets (b = {b})", "share of Σ F²")
