"""The strongest sets as bars."""

from typing import TYPE_CHECKING

from spexjax.indices.interaction_values import Interactions
from spexjax.plot import style, terms
from spexjax.typing import Explained

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW, _MARGIN, _BARS, _LETTER = 0.27, 0.55, 3.6, 0.075  # inches


def bar(
    e: Explained | Interactions,
    ax: "Axes | None" = None,
    show: bool = False,
    *,
    index: str = "FBII",
    max_order: int | None = None,
    top: int = 15,
    fdr: float = 0.1,
) -> "Axes":
    """The strongest sets of features, largest magnitude first, with their values.

    Whiskers are 95 % intervals, of each set by itself and around an estimate without bias; sets
    that do not stand are grey (:meth:`~spexjax.indices.Interactions.stands`). Where nothing is
    known of errors, there are neither.

    Args:
      e: an explanation of one output; or interactions, which are drawn as they are.
      ax: where to draw; a new figure if None.
      show: call ``plt.show()``.
      index: the interaction index of an explanation.
      max_order: its order; that of the explanation if None.
      top: how many sets.
      fdr: the false discovery rate at which sets stand.

    Returns:
      The axes.

    Raises:
      ValueError: if the function has several outputs; pass ``e[i]``.
    """
    values = terms.of_one_output(e, index, max_order)
    ax = style.axes(ax, *size(values, top))
    draw(values, ax, top, fdr)
    return style.finished(ax, show)


def draw(values: Interactions, ax: "Axes", top: int, fdr: float) -> None:
    """:func:`bar` of interactions, into axes."""
    rows, sets = terms.rows(values.top(top), fdr), _names(values, top)
    if not rows:
        style.message(ax, "no set has a value")
        return
    digits = terms.decimals(row.value for row in rows)
    colours = [style.colour(row.value, row.stands) for row in rows]
    ax.barh(range(len(rows)), [row.value for row in rows], height=0.68, color=colours)
    style.whiskers(ax, rows)
    tips = style.tips(rows)
    for y, row in enumerate(rows):
        # Right of the bar or of the axis: left of it a long bar reaches the names.
        number = ax.annotate(
            terms.signed(row.value, digits), (tips[y][1], y), (4, 0), textcoords="offset points"
        )
        number.set_verticalalignment("center")
        style.quiet_text(number, 8.5)

    low, high = min(low for low, _ in tips), max(high for _, high in tips)
    ax.set_xlim(low, high + 0.25 * (high - low))
    ax.set_ylim(len(rows) - 0.4, -0.6)
    style.bare(ax)
    ax.set_yticks(range(len(rows)), sets)
    ax.tick_params(axis="y", length=0, pad=6)
    for label in ax.get_yticklabels():
        style.quiet_text(label, 9.5)
    ax.axvline(0, color=style.MUTED, linewidth=0.8)
    heading = _heading(values.index, len(rows)) + style.reading(rows, fdr)
    style.quiet_text(ax.set_title(heading, loc="left"), 9.5, style.MUTED)


def size(values: Interactions, top: int) -> tuple[float, float]:
    """Inches that the picture of these interactions needs."""
    names = _names(values, top)
    width = _BARS + _LETTER * max((len(name) for name in names), default=30)
    return width, _MARGIN + _ROW * max(len(names), 2)


def _names(values: Interactions, top: int) -> list[str]:
    names = terms.labels(values.shown)
    return [terms.joined(members, names, 44) for members, _ in values.top(top)]


def _heading(index: str, count: int) -> str:
    return f"{index}, the strongest set" if count == 1 else f"{index}, the {count} strongest sets"
