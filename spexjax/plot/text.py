"""The words themselves: coloured by their own values, sets of them under numbered brackets."""

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from spexjax.indices.interaction_values import Interactions
from spexjax.plot import style, terms
from spexjax.plot.lines import Page, brackets, fitted, set_lines, shortened
from spexjax.typing import Explained

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS = 72.0  # per inch
_NARROWEST, _WIDEST, _MARGIN = 310.0, 580.0, 8.0  # points
_ENTRY, _COLUMN = 12.0, 265.0  # height of a line of the key, least width of its columns


def text(
    e: Explained | Interactions,
    ax: "Axes | None" = None,
    show: bool = False,
    *,
    index: str = "FBII",
    max_order: int | None = None,
    top: int = 8,
    fdr: float = 0.1,
    doubtful: bool = False,
) -> "Axes":
    """The features in their order, as running text.

    A word's background is its own value. Each of the strongest sets of two or more is a bracket
    with a number, a leg on each member; where the members stand on several lines, each line has a
    piece of the bracket under the same number, open towards the others. The key below names them.
    Only what stands (:meth:`~spexjax.indices.Interactions.stands`) has a bracket or a background,
    unless nothing is known of errors.

    Args:
      e: an explanation of one output; or interactions, which are drawn as they are.
      ax: where to draw; letters shrink until all fits into the size that it has now. A new figure
        of the height that the text needs if None.
      show: call ``plt.show()``.
      index: the interaction index of an explanation.
      max_order: its order; that of the explanation if None.
      top: how many sets get a bracket.
      fdr: the false discovery rate at which sets stand.
      doubtful: show what does not stand like the rest.

    Returns:
      The axes.

    Raises:
      ValueError: if the function has several outputs; pass ``e[i]``.
    """
    values = terms.of_one_output(e, index, max_order)
    listed = len(values)
    if not doubtful:
        values = values[terms.standing(values, fdr)]
    sets = list(terms.several(values, top))
    words = [terms.printable(name) or terms.ELLIPSIS for name in values.shown]
    if ax is None:
        page = set_lines(words, sets, _letters(len(words)), _WIDEST, _measure)
        page = replace(page, width=max(page.used, _NARROWEST))
        height = _key_top(page) + _key_height(sets, page.width)
        ax = _figure(page.width, height)
    else:
        ax.apply_aspect()
        box = ax.get_window_extent()
        scale = _POINTS / ax.figure.dpi
        width, height = box.width * scale, box.height * scale
        room = height - _key_height(sets, width) - _ENTRY
        page = fitted(words, sets, _letters(len(words)), width, room, _measure)
    style.bare(ax)
    ax.set_xlim(0, page.width)
    ax.set_ylim(height, 0)
    alone = values.to_array()
    _draw_words(ax, page, alone)
    _draw_brackets(ax, page, sets)
    _draw_key(ax, page, sets, terms.labels(values.shown), values.index, alone)
    if listed and not len(values):
        nothing = f"nothing stands at a false discovery rate of {terms.rate(fdr)}"
        said = ax.text(0, _key_top(page) + 0.6 * _ENTRY, nothing, ha="left", va="baseline")
        style.quiet_text(said, 8, style.MUTED)
    return style.finished(ax, show)


def _figure(width: float, height: float) -> "Axes":
    """Axes of a new figure whose inner size is so many points."""
    outer = width + 2 * _MARGIN, height + 2 * _MARGIN
    ax = style.axes(None, outer[0] / _POINTS, outer[1] / _POINTS)
    ax.set_position((_MARGIN / outer[0], _MARGIN / outer[1], width / outer[0], height / outer[1]))
    return ax


def _letters(count: int) -> float:
    """The size of letters for a text of so many words, in points."""
    return 12.0 if count <= 40 else 10.5 if count <= 150 else 9.0


@functools.lru_cache(maxsize=1 << 12)
def _measure(word: str) -> float:
    """The width of a word in letters of one point."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    prop = FontProperties(family=style.fonts(), size=10)
    return text_to_path.get_text_width_height_descent(word, prop, ismath=False)[0] / 10


def _key_top(page: Page) -> float:
    return page.height + 0.8 * _ENTRY


def _columns(width: float) -> int:
    return max(int(width // _COLUMN), 1)


def _key_height(sets: Sequence, width: float) -> float:
    return _ENTRY * (2.2 + -(-len(sets) // _columns(width)))


def _draw_words(ax: "Axes", page: Page, alone: np.ndarray) -> None:
    from matplotlib.patches import FancyBboxPatch

    largest = np.abs(alone).max()
    for piece in page.pieces:
        base = page.baselines[piece.line]
        color = style.tint(alone[piece.feature], largest)
        if color[3] > 0.02:
            ax.add_patch(
                FancyBboxPatch(
                    (piece.x, base - 0.95 * page.size),
                    piece.width,
                    1.25 * page.size,
                    boxstyle=f"round,pad=0,rounding_size={0.2 * page.size}",
                    color=color,
                    linewidth=0,
                    mutation_aspect=1,
                )
            )
        word = ax.text(piece.x + page.inset, base, piece.text, va="baseline", ha="left")
        style.quiet_text(word, page.size)


def _draw_brackets(ax: "Axes", page: Page, sets: list[tuple[tuple[int, ...], float]]) -> None:
    from matplotlib.patheffects import withStroke

    strongest = max((abs(value) for _, value in sets), default=1.0)
    for bracket in brackets(page, [members for members, _ in sets]):
        value = sets[bracket.number][1]
        color, width = style.colour(value), 0.8 + 1.3 * abs(value) / strongest
        foot = page.baselines[bracket.line] - 1.02 * page.size
        y = page.bracket_height(bracket.line, bracket.level)
        for x in bracket.legs:
            ax.plot([x, x], [foot, y], color=color, linewidth=width, solid_capstyle="round")
        # A dot where a leg joins its bar: crossings have none.
        ax.plot(bracket.legs, [y] * len(bracket.legs), ".", color=color, markersize=3.2 * width)
        ends = [bracket.legs[0], bracket.legs[-1]]
        ax.plot(ends, [y, y], color=color, linewidth=width, solid_capstyle="round")
        for goes_on, x, end in (
            (bracket.from_before, bracket.legs[0], bracket.start),
            (bracket.goes_on, bracket.legs[-1], bracket.end),
        ):
            if goes_on:
                ax.plot([x, end], [y, y], color=color, linewidth=width, linestyle=(0, (1, 1.2)))
        number = ax.text(
            bracket.start - 1.5, y, str(bracket.number + 1), ha="right", va="center_baseline"
        )
        style.quiet_text(number, page.number_size, color).set_fontweight("bold")
        paper = ax.figure.get_facecolor()
        number.set_path_effects([withStroke(linewidth=2, foreground=paper)])


def _draw_key(
    ax: "Axes",
    page: Page,
    sets: list[tuple[tuple[int, ...], float]],
    names: list[str],
    index: str,
    alone: np.ndarray,
) -> None:
    top = _key_top(page) + 0.6 * _ENTRY
    _draw_scale(ax, top, page.width, index, float(np.abs(alone).max()))
    digits = terms.decimals(value for _, value in sets)
    columns = _columns(page.width)
    room = (page.width / columns - 70) / 8.5
    rows = -(-len(sets) // columns)
    for k, (members, value) in enumerate(sets):
        column, row = divmod(k, rows)
        x = column * page.width / columns
        y = top + (1.5 + row) * _ENTRY
        cells = (
            (x + 12, str(k + 1), "right", style.colour(value), "bold"),
            (x + 58, terms.signed(value, digits), "right", style.INK, "normal"),
            (
                x + 66,
                shortened(terms.joined(members, names), room, _measure),
                "left",
                style.INK,
                "normal",
            ),
        )
        for at, label, side, color, weight in cells:
            cell = ax.text(at, y, label, ha=side, va="baseline")
            style.quiet_text(cell, 8.5, color).set_fontweight(weight)


def _draw_scale(ax: "Axes", y: float, width: float, index: str, largest: float) -> None:
    """What the colours mean: a strip from −largest to +largest."""
    from matplotlib.patches import Rectangle

    if largest == 0:
        return
    digits, steps, x, step = terms.decimals([largest]), 40, 46.0, 1.6
    for k in range(steps):
        value = (2 * k + 1) / steps - 1
        ax.add_patch(
            Rectangle((x + k * step, y - 7), step, 8, color=style.tint(value, 1), linewidth=0)
        )
    end = x + steps * step
    meaning = end + 50
    for at, label, side in (
        (x - 5, terms.signed(-largest, digits), "right"),
        (end + 5, terms.signed(largest, digits), "left"),
        (
            meaning,
            shortened(f"{index} of a feature alone", (width - meaning) / 8, _measure),
            "left",
        ),
    ):
        style.quiet_text(ax.text(at, y, label, ha=side, va="baseline"), 8, style.MUTED)
