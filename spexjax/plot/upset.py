"""Sets of any order as an UpSet picture: a bar per set, and below it dots at its members."""

from typing import TYPE_CHECKING

import numpy as np

from spexjax.indices.interaction_values import Interactions
from spexjax.plot import style, terms
from spexjax.typing import Explained

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW, _BARS, _MARGIN = 0.24, 1.7, 0.4  # inches


def upset(
    e: Explained | Interactions,
    ax: "Axes | None" = None,
    show: bool = False,
    *,
    index: str = "FBII",
    max_order: int | None = None,
    top: int = 15,
    fdr: float = 0.1,
) -> "Axes":
    """The strongest sets of two features or more.

    Lex et al., "UpSet", IEEE TVCG 2014, with signed values for sizes. Columns are sets, strongest
    first; rows are the features that occur in them, in their order. Whiskers and grey are those of
    :func:`spexjax.plot.bar`.

    Args:
      e: an explanation of one output; or interactions, which are drawn as they are.
      ax: where to draw (two panels are laid into it); a new figure if None.
      show: call ``plt.show()``.
      index: the interaction index of an explanation.
      max_order: its order; that of the explanation if None.
      top: how many sets.
      fdr: the false discovery rate at which sets stand.

    Returns:
      The axes; the bars and the dots are its ``child_axes``.

    Raises:
      ValueError: if the function has several outputs; pass ``e[i]``.
    """
    values = terms.of_one_output(e, index, max_order)
    ax = style.axes(ax, *size(values, top))
    draw(values, ax, top, fdr)
    return style.finished(ax, show)


def draw(values: Interactions, ax: "Axes", top: int, fdr: float) -> None:
    """:func:`upset` of interactions, into axes."""
    sets = terms.rows(terms.several(values, top), fdr)
    members = sorted({i for s in sets for i in s.members})
    if not sets:
        style.message(ax, "no set of two or more has a value")
        return
    style.bare(ax)
    names, row = terms.labels(values.shown), {i: y for y, i in enumerate(members)}
    share = _ROW * len(members) / (_ROW * len(members) + _BARS)
    left = min(0.06 + 0.0115 * max(len(names[i]) for i in members), 0.36)
    bars = ax.inset_axes((left, share, 1 - left, 1 - share))
    dots = ax.inset_axes((left, 0, 1 - left, share))

    digits = terms.decimals(s.value for s in sets)
    digits = digits and digits - 1  # the columns are narrow
    columns, heights = range(len(sets)), [s.value for s in sets]
    colours = [style.colour(s.value, s.stands) for s in sets]
    bars.bar(columns, heights, width=0.62, color=colours)
    bars.axhline(0, color=style.MUTED, linewidth=0.8)
    style.whiskers(bars, sets, upright=True)
    tips = style.tips(sets)
    for x, value in enumerate(heights):
        bars.annotate(
            terms.signed(value, digits), (x, tips[x][value >= 0]), (0, 3 if value >= 0 else -3),
            textcoords="offset points", ha="center", va="bottom" if value >= 0 else "top",
            fontsize=7.5 if len(sets) <= 12 else 6.5, color=style.INK, family=style.fonts(),
        )  # fmt: skip
    low, high = min(low for low, _ in tips), max(high for _, high in tips)
    room = 0.16 * (high - low)
    bars.set_ylim(low - room, high + room)

    for y in range(0, len(members), 2):
        dots.axhspan(y - 0.5, y + 0.5, color=style.RULE, alpha=0.35, linewidth=0)
    across, down = np.meshgrid(columns, range(len(members)))
    dots.scatter(across, down, s=10, color=style.RULE, linewidth=0)
    for x, s in enumerate(sets):
        at = [row[i] for i in s.members]
        dots.plot([x, x], [min(at), max(at)], color=colours[x], linewidth=1.8)
        dots.scatter([x] * len(at), at, s=34, color=colours[x], zorder=3, linewidth=0)
    dots.set_ylim(len(members) - 0.5, -0.5)
    for panel in (bars, dots):
        style.bare(panel)
        panel.set_xlim(-0.6, len(sets) - 0.4)
    dots.set_yticks(range(len(members)), [names[i] for i in members])
    dots.tick_params(axis="y", length=0, pad=6)
    for label in dots.get_yticklabels():
        style.quiet_text(label, 9)
    heading = f"{values.index}, the {len(sets)} strongest sets of two or more"
    if len(sets) == 1:
        heading = f"{values.index}, the one set of two or more"
    heading += style.reading(sets, fdr)
    style.quiet_text(ax.set_title(heading, loc="left"), 9.5, style.MUTED)


def size(values: Interactions, top: int) -> tuple[float, float]:
    """Inches that the picture of these interactions needs."""
    members = {i for s, _ in terms.several(values, top) for i in s}
    return 6.4, _MARGIN + _BARS + _ROW * max(len(members), 2)
