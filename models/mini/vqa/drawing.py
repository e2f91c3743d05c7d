"""Pictures of coloured shapes: one as a user would have it, or batches at the size of the model."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from spexjax.models.mini.vqa.grammar import CELLS, SHAPES, SIDE

PATCH = 8
"""Pixels of a cell's side as the model sees it; each cell is one patch."""
PIXELS = SIDE * PATCH
PALETTE = np.array(
    [[214, 40, 40], [40, 160, 70], [40, 90, 210], [235, 190, 30], [140, 60, 170]], np.float32
)
"""Red, green, blue, of each of the colours."""
_FINE, _VARIANTS = 64, 48
_ARM = 0.36  # half the width of a cross's arms, as a share of its radius


class Look(NamedTuple):
    """How a shape lies in its cell, all in shares of the cell's side."""

    radius: float
    right: float
    down: float


def draw_look(rng: np.random.Generator) -> Look:
    """A size and a place."""
    right, down = rng.uniform(-0.06, 0.06, 2)
    return Look(float(rng.uniform(0.28, 0.4)), float(right), float(down))


def outline(shape: str, look: Look) -> list[tuple[float, float]]:
    """The corners of a shape in a cell of side 1; of a circle, many."""
    if shape == "circle":
        turns = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        points = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    elif shape == "square":
        points = 0.87 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    elif shape == "triangle":
        points = np.array([[0, -1], [1, 0.8], [-1, 0.8]])
    else:
        a = _ARM
        points = np.array([
            [-a, -1], [a, -1], [a, -a], [1, -a], [1, a], [a, a],
            [a, 1], [-a, 1], [-a, a], [-1, a], [-1, -a], [-a, -a],
        ])  # fmt: skip
    placed = 0.5 + look.radius * points + np.array([look.right, look.down])
    return [(float(x), float(y)) for x, y in placed]


def picture(objects: Sequence[int], seed: int = 0, side: int = 80) -> np.ndarray:
    """A picture, uint8 (6 · side, 6 · side, 3).

    Args:
      objects: of each cell, row by row; −1 for an empty one.
      seed: of sizes, places and shades.
      side: pixels of a cell's side.
    """
    rng = np.random.default_rng(seed)
    ground, shades = _shades(rng, np.asarray(objects)[None])
    fine = 4  # drawn larger and scaled down, for smooth edges
    size = SIDE * side * fine
    image = Image.new("RGB", (size, size), tuple(int(v) for v in ground[0]))
    pen = ImageDraw.Draw(image)
    for cell, kind in enumerate(objects):
        if kind < 0:
            continue
        row, col = divmod(cell, SIDE)
        corners = outline(SHAPES[kind % len(SHAPES)], draw_look(rng))
        points = [((col + x) * side * fine, (row + y) * side * fine) for x, y in corners]
        pen.polygon(points, fill=tuple(int(v) for v in shades[0, cell]))
    return np.asarray(image.resize((SIDE * side,) * 2, Image.Resampling.BOX))


def pictures(rng: np.random.Generator, objects: np.ndarray) -> np.ndarray:
    """Pictures as the model sees them but for the scale of colours, (rows, 48, 48, 3), 0 to 255.

    Args:
      rng: draws sizes, places and shades.
      objects: (rows, 36), the object in each cell, −1 for none.
    """
    rows = len(objects)
    ground, shades = _shades(rng, objects)
    shapes = np.where(objects >= 0, objects % len(SHAPES), len(SHAPES))
    drawn = _stencils()[shapes, rng.integers(_VARIANTS, size=objects.shape)][..., None]
    cells = ground[:, None, None, None] + drawn * (
        shades[:, :, None, None] - ground[:, None, None, None]
    )
    cells = cells.reshape(rows, SIDE, SIDE, PATCH, PATCH, 3)
    whole = np.transpose(cells, (0, 1, 3, 2, 4, 5)).reshape(rows, PIXELS, PIXELS, 3)
    return np.clip(np.rint(whole), 0, 255)


def replaced(rng: np.random.Generator, images: np.ndarray) -> np.ndarray:
    """What stands for masked cells: each picture blurred, in its cells' mean colours, or black."""
    by_cell = images.reshape(-1, SIDE, PATCH, SIDE, PATCH, 3)
    mean = np.broadcast_to(by_cell.mean((2, 4), keepdims=True), by_cell.shape)
    widths = rng.uniform(0.1, 0.3, len(images)) * PIXELS
    blur = np.stack([_blur(width) for width in widths])
    blurred = np.einsum("nij,njkc,nlk->nilc", blur, images, blur, optimize=True)
    style = rng.choice(3, size=(len(images), 1, 1, 1), p=(0.6, 0.2, 0.2))
    return np.select([style == 0, style == 1], [blurred, mean.reshape(images.shape)], 0.0)


def masked(images: np.ndarray, others: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Pictures of whose cells, (rows, 36), only some are kept."""
    where = kept.reshape(-1, SIDE, SIDE).repeat(PATCH, 1).repeat(PATCH, 2)
    return np.where(where[..., None], images, others)


def _shades(rng: np.random.Generator, objects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colours of the ground, (rows, 3), and of the objects, (rows, 36, 3)."""
    rows = len(objects)
    ground = rng.uniform(215, 250, (rows, 1)) + rng.uniform(-5, 5, (rows, 3))
    shades = PALETTE[np.maximum(objects, 0) // len(SHAPES)]
    return ground, np.clip(shades + rng.uniform(-18, 18, (rows, CELLS, 3)), 0, 255)


@lru_cache(maxsize=1)
def _stencils() -> np.ndarray:
    """How much of each pixel of a cell a shape covers, (shapes + none, variants, 8, 8)."""
    rng = np.random.default_rng(0)
    out = np.zeros((len(SHAPES) + 1, _VARIANTS, PATCH, PATCH), np.float32)
    filters = (Image.Resampling.LANCZOS, Image.Resampling.BOX, Image.Resampling.BILINEAR)
    for s, shape in enumerate(SHAPES):
        for v in range(_VARIANTS):
            cell = Image.new("L", (_FINE, _FINE))
            corners = [(x * _FINE, y * _FINE) for x, y in outline(shape, draw_look(rng))]
            ImageDraw.Draw(cell).polygon(corners, fill=255)
            small = cell.resize((PATCH, PATCH), filters[v % 3])
            out[s, v] = np.asarray(small, np.float32) / 255
    return out


def _blur(width: float) -> np.ndarray:
    """A Gaussian blur along one side as a matrix; the border's colour goes on beyond it."""
    at = np.arange(PIXELS)
    far = np.arange(-2 * PIXELS, 3 * PIXELS)
    weight = np.exp(-0.5 * ((at[:, None] - far) / width) ** 2)
    weight /= weight.sum(1, keepdims=True)
    return weight @ (np.clip(far, 0, PIXELS - 1)[:, None] == at)
