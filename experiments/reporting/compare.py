"""Methods side by side: the tables and lines that several experiments draw."""

from collections.abc import Callable, Sequence

from spexjax.experiments.harness.results import Result
from spexjax.experiments.reporting import summary
from spexjax.experiments.reporting.figures import Line
from spexjax.experiments.reporting.summary import Read
from spexjax.experiments.reporting.tables import Table


def scores(result: Result, read: Read, caption: str = "", best: Callable | None = max) -> Table:
    """A row for every group and b, a column for every method; the best stands out."""
    methods = summary.distinct(result, "method")
    rows: list[tuple[str, ...]] = []
    strong = set()
    for group in summary.distinct(result, "group"):
        for b in sorted({cell.b for cell in summary.select(result, group=group)}):
            found = [
                summary.over_items(result, read, group=group, b=b, method=method)
                for method in methods
            ]
            there = [m.mean for m in found if m.items]
            if best is not None and len(there) > 1:
                top = best(there)
                strong |= {(len(rows), 3 + j) for j, m in enumerate(found) if m.mean == top}
            count = max(m.items for m in found)
            rows.append((group, str(b), str(count), *map(str, found)))
    return Table(("group", "b", "items", *methods), tuple(rows), caption, frozenset(strong))


def along_b(result: Result, read: Read) -> Callable[[str], list[Line]]:
    """For a group, a line for every method: a number against b."""

    def lines(group: str) -> list[Line]:
        bs = sorted(summary.distinct(result, "b"))
        return [
            line
            for method in summary.distinct(result, "method")
            if (line := _line(result, method, [(b, read, b) for b in bs], group)) is not None
        ]

    return lines


def along_curve(
    result: Result, name: str, x: Sequence[float], b: int
) -> Callable[[str], list[Line]]:
    """For a group, a line for every method: the values of a curve at one b."""

    def lines(group: str) -> list[Line]:
        points = [(place, at(name, i), b) for i, place in enumerate(x)]
        return [
            line
            for method in summary.distinct(result, "method")
            if (line := _line(result, method, points, group)) is not None
        ]

    return lines


def _line(
    result: Result, method: str, points: Sequence[tuple[float, Read, int]], group: str
) -> Line | None:
    found = [
        (x, summary.over_items(result, read, group=group, b=b, method=method))
        for x, read, b in points
    ]
    found = [(x, m) for x, m in found if m.items]
    if not found:
        return None
    places, means = zip(*found, strict=True)
    return Line(method, places, [m.mean for m in means], [m.error for m in means])


def at(name: str, place: int) -> Read:
    """Reads ``cell.values[name][place]``; None where the curve is shorter."""

    def read(cell) -> float | None:
        curve = cell.values.get(name, [])
        return curve[place] if place < len(curve) else None

    return read


def largest_b(result: Result) -> int:
    """The largest b that every group was run with, so that panels show one budget."""
    groups = summary.distinct(result, "group")
    shared = set.intersection(*({c.b for c in summary.select(result, group=g)} for g in groups))
    return max(shared or set(summary.distinct(result, "b")))
