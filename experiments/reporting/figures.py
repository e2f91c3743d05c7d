"""The figures' common look: small multiples, a colour for every method."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spexjax.experiments.harness.methods import METHODS
from spexjax.plot import style

_WIDTH, _HEIGHT, _ACROSS = 2.9, 2.5, 3
_MOST_TICKS = 10


class Line(NamedTuple):
    """One line: points with the half-heights of their bars."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    error: Sequence[float] = ()


def look(label: str) -> tuple[str, str]:
    """The colour and the marker of a method; of anything else, some that stay the same."""
    names = list(METHODS)
    one = METHODS.get(label) or METHODS[names[sum(map(ord, label)) % len(names)]]
    return one.colour, one.marker


def panels(
    names: Sequence[str],
    lines: Callable[[str], Sequence[Line]],
    xlabel: str,
    ylabel: str,
    *,
    log: bool = False,
    log_y: bool = False,
    floor: float | None = None,
) -> Figure:
    """A panel for every name, on common axes, with one legend.

    Args:
      names: the panels' titles.
      lines: the lines of a panel.
      xlabel, ylabel: of all panels.
      log, log_y: logarithmic axes.
      floor: where the y axis begins if a line falls below it.
    """

    across = max(1, min(_ACROSS, len(names)))
    down = max(1, math.ceil(len(names) / across))
    figure = Figure(figsize=(_WIDTH * across + 0.6, _HEIGHT * down + 0.6), layout="constrained")
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).reshape(-1)
    handles: dict = {}
    drawn = [list(lines(name)) for name in names]
    for ax, name, group in zip(grid, names, drawn, strict=False):
        for line in group:
            handles.setdefault(line.label, _draw(ax, line))
        style.quiet_text(ax.set_title(name, loc="left"), 10)
        dress(ax)
        if log:
            ax.set_xscale("log", base=2)
        if log_y:
            ax.set_yscale("log")
    for ax in grid[len(names) :]:
        ax.set_visible(False)
    for ax in grid[max(len(names) - across, 0) : len(names)]:
        ax.tick_params(labelbottom=True)  # nothing below them
    every = [line for group in drawn for line in group]
    places = sorted({x for line in every for x in line.x})
    if not log and len(places) <= _MOST_TICKS:
        grid[0].set_xticks(places, [f"{x:g}" for x in places])
    if floor is not None and min((min(line.y) for line in every), default=floor) < floor:
        grid[0].set_ylim(bottom=floor)
    style.quiet_text(figure.supxlabel(xlabel), 9, style.MUTED)
    style.quiet_text(figure.supylabel(ylabel), 9, style.MUTED)
    if handles:
        figure.legend(
            handles.values(), handles.keys(), loc="outside upper center", frameon=False,
            ncols=min(len(handles), 2 * across), prop={"family": style.fonts(), "size": 9},
        )  # fmt: skip
    return figure


def _draw(ax: Axes, line: Line):
    colour, marker = look(line.label)
    errors = [0.0 if math.isnan(e) else e for e in line.error] or None
    return ax.errorbar(
        line.x, line.y, yerr=errors, color=colour, marker=marker, markersize=4, linewidth=1.4,
        elinewidth=0.9, capsize=2,
    )  # fmt: skip


def dress(ax: Axes) -> None:
    """Thin axes on two sides, pale horizontal rules, small labels."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(style.RULE)
    ax.grid(axis="y", color=style.RULE, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=8, colors=style.MUTED, length=2)
