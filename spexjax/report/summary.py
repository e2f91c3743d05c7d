"""An explanation as a few lines of text: what ``print`` and ``repr`` show."""

from spexjax.report import facts
from spexjax.typing import Explained

SETS = 5  # listed; with what stands above them, ten lines


def summary(e: Explained) -> str:
    """Method, calls, faithfulness, values at the ends and the strongest sets, in ten lines.

    Of several outputs the range of the faithfulness, and the first few with their strongest set.
    """
    lines = [
        f"{facts.method(e)}: {e.n:,} features",
        f"calls         {facts.calls(e)}, seed {facts.seed(e)}",
    ]
    if e.num_outputs is not None:
        return "\n".join(lines + _outputs(e, e.num_outputs))
    full, empty = facts.ends(e)
    ix = e.interactions()
    rows = facts.strongest(ix, SETS)
    width = max((len(value) for _, value, _ in rows), default=0)
    lines += [
        f"faithfulness  {facts.faithfulness(e)}",
        f"value         {full} with all kept, {empty} with all masked",
        facts.heading(ix, SETS),
    ]
    return "\n".join(lines + [f"  {value:>{width}}  {name}" for _, value, name in rows])


def line(e: Explained) -> str:
    """Method, size, calls and faithfulness in one line."""
    outputs = "" if e.num_outputs is None else f" {e.num_outputs:,} outputs,"
    return (
        f"<Explanation by {e.method}: {e.n:,} features,{outputs} {e.calls:,} calls, {facts.r2(e)}>"
    )


def _outputs(e: Explained, count: int) -> list[str]:
    rows = facts.outputs(e, SETS)
    head = ("output", "R²", "all kept", "all masked", "strongest set of e[output]")
    cells = [tuple(map(str, row)) for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(4)]
    table = [
        "  ".join([*(cell.rjust(w) for cell, w in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in cells
    ]
    more = [f"… and {count - len(rows):,} more outputs"] if count > len(rows) else []
    return [f"faithfulness  {facts.r2(e)} over {count:,} outputs", *table, *more]
