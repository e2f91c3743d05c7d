"""An explanation as a few lines of text: what ``print`` and ``repr`` show."""

from spexjax.report import facts
from spexjax.typing import Explained

_LINES = 10
_OUTPUTS = 5


def summary(e: Explained) -> str:
    """Method, calls, faithfulness, values at the ends and the strongest sets, in ten lines.

    One of them is the gravest flag, if there is any. A star marks sets that stand.
    Of several outputs the range of the faithfulness, and the first few with their strongest set.
    """
    lines = [
        f"{facts.method(e)}: {e.n:,} features",
        f"calls         {facts.calls(e)}, seed {facts.seed(e)}",
    ]
    if e.num_outputs is not None:
        return "\n".join(lines + _outputs(e, e.num_outputs))
    lines += [
        f"faithfulness  {facts.faithfulness(e)}",
        f"value         {facts.value(e)}",
        *(f"note          {note}" for note in facts.notes(e)[:1]),
    ]
    ix, count = e.interactions(), _LINES - 1 - len(lines)
    lines.append(facts.heading(e, ix, count, " (*)"))
    rows, unsure = facts.strongest(ix, count), facts.standing(e, ix)
    wide = max((len(row.value) for row in rows), default=0)
    far = max((len(row.error) for row in rows), default=0)
    for row in rows:
        error = f" ± {row.error:>{far}}" if far else ""
        star = (" *" if row.row.stands else "  ") if unsure else ""
        lines.append(f"  {row.value:>{wide}}{error}{star}  {row.name}")
    return "\n".join(lines)


def line(e: Explained) -> str:
    """Method, size, calls and faithfulness in one line."""
    outputs = "" if e.num_outputs is None else f" {e.num_outputs:,} outputs,"
    return (
        f"<Explanation by {e.method}: {e.n:,} features,{outputs} {e.calls:,} calls, {facts.r2(e)}>"
    )


def _outputs(e: Explained, count: int) -> list[str]:
    rows = facts.outputs(e, _OUTPUTS)
    head = ("output", "R²", "all kept", "all masked", "strongest set of e[output]")
    cells = [tuple(map(str, row)) for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(4)]
    table = [
        "  ".join([*(cell.rjust(w) for cell, w in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in cells
    ]
    more = [f"… and {count - len(rows):,} more outputs"] if count > len(rows) else []
    return [f"faithfulness  {facts.r2(e)} over {count:,} outputs", *table, *more]
