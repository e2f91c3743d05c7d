"""The figure of how SPEX works, drawn from a design, its values and what decoding makes of them.

Nothing in it is made up: n = 12 inputs, a function of four sets, 2 groups of 8 bins, a code that
corrects 3 errors; every number comes out of the library.
"""

import functools
from typing import NamedTuple

import jax
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch, Rectangle

import spexjax as sx

N, B, T, GROUPS, SEED = 12, 3, 3, 2, 44
SETS = {(3,): 1.0, (1, 7): -1.6, (4, 9): 1.3, (2, 5, 10): 0.8}
COLOURS = ("#1b6ca8", "#c2570c", "#2e7d4f", "#7b4fa3")
INK, MUTED, RULE, PAPER = "#1f2328", "#6a737d", "#d5dae0", "#f4f6f8"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
}


class Run(NamedTuple):
    """A design and what came of it."""

    masks: np.ndarray  # (C, D, B, n)
    values: np.ndarray  # (C, D, B)
    bins: np.ndarray  # (C, D, B), after the transform along ℓ
    where: np.ndarray  # (C, sets): in which bin a set is
    delays: np.ndarray  # (D, n)
    shifts: np.ndarray  # (C, n)
    found: dict


def f(masks):
    """Four sets, as Fourier terms."""
    return sum(c * (1.0 - 2.0 * (masks[:, list(k)].sum(axis=1) % 2)) for k, c in SETS.items())


@functools.cache
def run() -> Run:
    """The same for every panel."""
    design = sx.masks.coded_design(jax.random.key(SEED), N, b=B, t=T, groups=GROUPS)
    masks = design.masks()
    shape = (GROUPS, design.num_delays, 2**B)
    values = f(masks)
    bins = np.asarray(sx.transforms.fwht(values.reshape(shape))) / 2**B
    columns = sx.gf2.unpack_numpy(np.asarray(design.matrices), N)  # (C, b, n)
    members = np.zeros((len(SETS), N), bool)
    for row, k in zip(members, SETS, strict=True):
        row[list(k)] = True
    bits = columns.astype(int) @ members.T.astype(int) % 2  # (C, b, sets)
    where = (bits * (1 << np.arange(B))[None, :, None]).sum(axis=1)
    found, _ = sx.spex.decode(design, values)
    terms = {k: v for k, v in found.to_dict().items() if abs(v) > 1e-4}
    unpacked = (sx.gf2.unpack_numpy(np.asarray(x), N) for x in (design.delays, design.shifts))
    return Run(masks.reshape(*shape, N), values.reshape(shape), bins, where, *unpacked, terms)


def name(k) -> str:
    return "{" + ", ".join(map(str, k)) + "}"


def ask(ax, delays: int = 4) -> None:
    """Masks of group 1: one block a delay."""
    r = run()
    rows = r.masks[0, :delays]  # (d, B, n)
    width = 2**B
    for i in range(delays):
        picture = np.where(rows[i].T, 1.0, 0.0)
        left = i * (width + 1)
        ax.imshow(
            picture,
            cmap="Blues",
            vmin=-0.15,
            vmax=1.6,
            aspect="auto",
            extent=(left, left + width, N - 0.5, -0.5),
            interpolation="nearest",
        )
        label = "M ℓ + s" if i == 0 else f"+ d{'₀₁₂₃₄₅₆₇₈₉'[i]}"
        ax.text(left + width / 2, N - 0.1, label, ha="center", va="top")
    ax.text(
        delays * (width + 1),
        N / 2 - 0.5,
        f"… {r.masks.shape[1]} blocks\nin each of\n{GROUPS} groups",
        va="center",
    )
    ax.set(
        xlim=(-0.3, delays * (width + 1) + 8),
        ylim=(N + 1.2, -0.6),
        yticks=range(N),
        xticks=[],
        ylabel="input",
        title="1  Ask: masks from a code",
    )
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)


def transform(ax, group: int = 0) -> None:
    """Values of a block, and its bins."""
    r = run()
    width = 2**B
    values, bins = r.values[group, 0], r.bins[group, 0]
    high = max(np.abs(values).max(), np.abs(bins).max()) * 1.15
    ax.bar(np.arange(width), values, 0.7, color=MUTED)
    start = width + 3
    for j in range(width):
        inside = np.flatnonzero(r.where[group] == j)
        colour = COLOURS[inside[0]] if len(inside) == 1 else INK if len(inside) else RULE
        ax.bar(start + j, bins[j], 0.7, color=colour)
        mark = " + ".join(name(list(SETS)[s]) for s in inside)
        if mark:
            up = bins[j] >= 0
            ax.text(
                start + j,
                bins[j] + (0.08 if up else -0.08) * high,
                mark,
                rotation=90,
                ha="center",
                va="bottom" if up else "top",
                color=colour,
                fontsize=8,
            )
    ax.axhline(0, color=RULE, lw=0.8, zorder=0)
    arrow = FancyArrowPatch(
        (width - 0.2, 0.62 * high),
        (start - 0.8, 0.62 * high),
        arrowstyle="-|>",
        mutation_scale=11,
        color=INK,
    )
    ax.add_patch(arrow)
    ax.text(width + 1, 0.7 * high, "FWHT", ha="center", va="bottom")
    ax.text(width / 2 - 0.5, -1.9 * high, "values of 8 masks", ha="center", va="top")
    ax.text(start + width / 2 - 0.5, -1.9 * high, "8 bins: sums of few F(k)", ha="center", va="top")
    ax.set(
        xticks=[],
        yticks=[],
        xlim=(-1, start + width),
        ylim=(-2.2 * high, 1.9 * high),
        title="2  Transform: sets fall into bins",
    )
    ax.spines[:].set_visible(False)


def alone(group: int = 0) -> int:
    """A set of three that is alone in its bin."""
    r = run()
    for s in reversed(range(len(SETS))):
        if (r.where[group] == r.where[group][s]).sum() == 1:
            return s
    raise AssertionError("every bin of this seed is shared; take another.")


def decode(ax, group: int = 0) -> None:
    """The signs of a bin along the delays, as a word of the code, and the set it names."""
    r, s = run(), alone(group)
    j = r.where[group][s]
    along = r.bins[group, :, j]
    flips = along * along[0] < 0
    k = list(SETS)[s]
    for i, (u, flip) in enumerate(zip(along, flips, strict=True)):
        ax.bar(i, u, 0.7, color=COLOURS[s])
        ax.text(
            i,
            -1.75 * abs(along[0]),
            int(flip),
            ha="center",
            va="center",
            family="monospace",
            color=INK if i else MUTED,
        )
    ax.axhline(0, color=RULE, lw=0.8, zorder=0)
    size = abs(along[0])
    ax.text(-1.6, 0, "U", ha="right", va="center")
    ax.text(-1.6, -1.75 * size, "sign", ha="right", va="center")
    ax.add_patch(Rectangle((0.45, -2.15 * size), len(along) - 0.95, 0.8 * size, fill=False, ec=INK))
    ax.text(
        len(along) / 2,
        -2.7 * size,
        f"parity bits P k: the code names k = {name(k)}",
        ha="center",
        va="top",
        color=COLOURS[s],
        weight="bold",
    )
    ax.set(
        xticks=[],
        yticks=[],
        xlim=(-4, len(along)),
        ylim=(-3.6 * size, 1.4 * size),
        title="3  Decode: signs spell the set",
    )
    ax.spines[:].set_visible(False)


def peel(ax) -> None:
    """Which sets are in which bins, and in which order they are taken off."""
    r, width = run(), 2**B
    high = {}
    for s, k in enumerate(SETS):
        y = 1.5 - s
        high[s] = y
        ax.text(
            0,
            y,
            f"{name(k)}",
            ha="center",
            va="center",
            color="white",
            fontsize=8,
            bbox={"boxstyle": "round,pad=.35", "fc": COLOURS[s], "ec": "none"},
        )
    for c, x in ((0, -2.6), (1, 2.6)):
        for j in range(width):
            y = (width - 1) / 2 * 0.55 - j * 0.55
            inside = np.flatnonzero(r.where[c] == j)
            many = len(inside) > 1
            colour = INK if many else COLOURS[inside[0]] if len(inside) else RULE
            ax.add_patch(
                Rectangle(
                    (x - 0.45, y - 0.2),
                    0.9,
                    0.4,
                    fc=PAPER,
                    ec=colour,
                    lw=1.6 if len(inside) else 0.8,
                )
            )
            if len(inside):
                ax.text(x, y, "two" if many else "one", ha="center", va="center", fontsize=7)
            for s in inside:
                edge = x + (0.45 if c == 0 else -0.45)
                ends = (edge, -0.5 if c == 0 else 0.5), (y, high[s])
                ax.plot(*ends, color=COLOURS[s], lw=1.4, ls="--" if many else "-", zorder=0)
        ax.text(x, width / 2 * 0.55 + 0.15, f"group {c + 1}", ha="center", va="bottom")
    ax.set(
        xlim=(-3.4, 3.4),
        ylim=(-2.9, 2.9),
        xticks=[],
        yticks=[],
        title="4  Peel: what is known makes room",
    )
    ax.text(
        0,
        -2.75,
        "alone in one group: decoded, and subtracted in the other",
        ha="center",
        va="bottom",
        fontsize=8,
        color=MUTED,
    )
    ax.spines[:].set_visible(False)


def refit(ax) -> None:
    """What decoding found, beside what was planted."""
    r = run()
    for s, (k, c) in enumerate(SETS.items()):
        ax.barh(-s, c, 0.62, color=COLOURS[s])
        ax.plot([r.found[k]] * 2, [-s - 0.42, -s + 0.42], color=INK, lw=2)
        ax.text(-2.0, -s, name(k), ha="right", va="center")
    ax.axvline(0, color=RULE, lw=0.8, zorder=0)
    ax.set(
        yticks=[],
        xlim=(-3.3, 1.9),
        ylim=(-len(SETS) + 0.1, 0.9),
        title="5  Refit: on every mask paid for",
    )
    ax.set_xlabel("F(k): bars are planted, strokes found")
    ax.spines["left"].set_visible(False)


def read(ax) -> None:
    """From one spectrum every index."""
    k = (2, 5)  # part of a set of three, so that indices differ
    spectrum = sx.Spectrum.from_dict({k: v for k, v in run().found.items() if k}, N)
    rows = (("Fourier", 3), ("Moebius", 3), ("FBII", 2), ("SII", 3), ("FSII", 2), ("STII", 2))
    ax.axis("off")
    ax.set_title("6  Read: any index, no more calls")
    for i, (index, order) in enumerate(rows):
        value = sx.indices.interactions(spectrum, index, order)[k] + 0.0  # no −0
        label = "Möbius" if index == "Moebius" else index
        ax.text(0.06, 0.86 - 0.14 * i, label, transform=ax.transAxes, va="center")
        ax.text(
            0.75,
            0.86 - 0.14 * i,
            f"{value:+.3f}",
            transform=ax.transAxes,
            va="center",
            ha="right",
            family="monospace",
        )
    which = f"of the pair {name(k)}, which is part of {name((2, 5, 10))}"
    ax.text(0.06, 0.0, which, transform=ax.transAxes, color=MUTED, fontsize=8)


PANELS = (ask, transform, decode, peel, refit, read)


def one(panel):
    """A panel by itself."""
    with plt.rc_context(STYLE):
        figure, ax = plt.subplots(figsize=(6.2, 2.9))
        panel(ax)
        plt.close(figure)
    return figure


def whole():
    """All six panels on one slide."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 3, figsize=(13.3, 7), layout="constrained")
        for ax, panel in zip(axes.flat, PANELS, strict=True):
            panel(ax)
        plt.close(figure)
    return figure
