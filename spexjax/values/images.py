"""Images as value functions: cells of a grid, or any segments, are blurred or levelled out.

:func:`grid_cells`, :func:`numbered_cells` and :func:`replaced_image` are the parts of it, for value
functions that compose masked images elsewhere, such as on a device.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Int, Num

from spexjax.store.fingerprint import fingerprint
from spexjax.typing import ArrayLike

Replacement = Literal["mean", "blur", "black"]
_PIXELS_AT_ONCE = 1 << 24


@dataclass(frozen=True, eq=False)
class ImageCells:
    """f(m): the prediction for an image whose masked cells are replaced.

    Attributes:
      predict: (N, H, W) or (N, H, W, channels), as the image, to (N,) or (N, K).
      image: (H, W) or (H, W, channels).
      replaced: the image with all cells replaced.
      cells: int (H, W), the cell, 0 to n − 1, of each pixel.
      name: names ``predict``, or None.
    """

    predict: Callable[[np.ndarray], ArrayLike]
    image: Num[np.ndarray, "H W *channels"]
    replaced: Num[np.ndarray, "H W *channels"]
    cells: Int[np.ndarray, "H W"]
    name: str | None = None

    @property
    def n(self) -> int:
        """The number of cells."""
        return int(self.cells.max()) + 1

    @property
    def store_key(self) -> str | None:
        """The name with a digest of both images and the cells; None without a name."""
        if self.name is None:
            return None
        return fingerprint(self.name, image=self.image, replaced=self.replaced, cells=self.cells)

    def masked(self, masks: Bool[np.ndarray, "N n"]) -> Num[np.ndarray, "N H W *channels"]:
        """The image under each mask; True keeps a cell."""
        kept = np.asarray(masks)[:, self.cells]
        kept = kept.reshape(*kept.shape, *(1,) * (self.image.ndim - 2))
        return np.where(kept, self.image, self.replaced)

    def __call__(self, masks: Bool[np.ndarray, "N n"], /) -> Num[np.ndarray, "N *K"]:
        """Values of masks, (N,) or (N, K), as ``predict`` gives them; True keeps a cell."""
        size = max(_PIXELS_AT_ONCE // self.image.size, 1)
        parts = [
            np.asarray(self.predict(self.masked(masks[start : start + size])))
            for start in range(0, len(masks), size)
        ]
        return np.concatenate(parts)


def image_grid(
    predict: Callable[[np.ndarray], ArrayLike],
    image: Num[ArrayLike, "H W *channels"],
    rows: int,
    cols: int,
    replacement: Replacement | Num[ArrayLike, "H W *channels"] = "mean",
    name: str | None = None,
    radius: float | None = None,
) -> ImageCells:
    """The value function of an image cut into a grid; cell (r, c) is feature r · cols + c.

    Args:
      predict: images (N, H, W, …) to (N,) or (N, K).
      image: (H, W) or (H, W, channels), integers or floats.
      rows, cols: cells from top to bottom and from left to right.
      replacement: what a masked cell shows: "mean", its own mean colour; "blur", the image under
        a Gaussian blur; "black"; or an image to show instead.
      name: names ``predict`` in a store; without it, give ``explain`` a ``store_key``.
      radius: standard deviation of the blur in pixels; half a cell if not given.

    Raises:
      ValueError: if the image is not one or has fewer pixels than cells.
    """
    H, W = _checked(np.asarray(image)).shape[:2]
    return image_cells(predict, image, grid_cells(H, W, rows, cols), replacement, name, radius)


def image_cells(
    predict: Callable[[np.ndarray], ArrayLike],
    image: Num[ArrayLike, "H W *channels"],
    cells: Int[ArrayLike, "H W"],
    replacement: Replacement | Num[ArrayLike, "H W *channels"] = "mean",
    name: str | None = None,
    radius: float | None = None,
) -> ImageCells:
    """:func:`image_grid` for segments of any shape, such as scikit-image's superpixels.

    Args:
      predict, image, replacement, name, radius: as there.
      cells: the segment of each pixel; labels are renumbered from 0 in ascending order.

    Raises:
      ValueError: if shapes do not fit or the replacement is unknown.
    """
    image = _checked(np.asarray(image))
    numbered = numbered_cells(cells, image.shape[:2])
    replaced = replaced_image(image, numbered, replacement, radius)
    return ImageCells(predict, image, replaced, numbered, name)


def grid_cells(H: int, W: int, rows: int, cols: int) -> Int[np.ndarray, "H W"]:
    """The cell, r · cols + c, of each pixel of an image cut into a grid.

    Raises:
      ValueError: if there are fewer pixels than cells.
    """
    if not (1 <= rows <= H and 1 <= cols <= W):
        raise ValueError(f"rows, cols must be 1 to {H}, {W}, got {rows}, {cols}.")
    return (np.arange(H) * rows // H)[:, None] * cols + np.arange(W) * cols // W


def numbered_cells(cells: Int[ArrayLike, "H W"], shape: tuple[int, ...]) -> np.ndarray:
    """A map of segments, its labels renumbered from 0 in ascending order.

    Raises:
      ValueError: if it is not of integers or not of the image's shape.
    """
    labels = np.asarray(cells)
    if labels.shape != shape or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"cells must be integers of shape {shape}, got {labels.dtype} {labels.shape}."
        )
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape)


def replaced_image(
    image: Num[np.ndarray, "H W *channels"],
    cells: Int[np.ndarray, "H W"],
    replacement: Replacement | Num[ArrayLike, "H W *channels"],
    radius: float | None = None,
) -> Num[np.ndarray, "H W *channels"]:
    """The image, in its dtype, with all cells replaced; arguments as for :func:`image_grid`.

    Raises:
      ValueError: if the replacement is unknown or of another shape, or the radius not positive.
    """
    if radius is not None and not (np.isfinite(radius) and radius > 0):
        raise ValueError(f"radius must be a positive number of pixels, got {radius}.")
    if not isinstance(replacement, str):
        replaced = np.asarray(replacement)
        if replaced.shape != image.shape:
            raise ValueError(
                f"replacement must have the image's shape {image.shape}, got {replaced.shape}."
            )
        return replaced
    if replacement not in get_args(Replacement):
        raise ValueError(
            f"replacement must be one of {get_args(Replacement)} or an image, got {replacement!r}."
        )
    if replacement == "black":
        return np.zeros_like(image)
    if replacement == "mean":
        replaced = _levelled(image, cells)
    else:
        half_a_cell = 0.5 * np.sqrt(cells.size / (cells.max() + 1))
        replaced = _blurred(image, half_a_cell if radius is None else radius)
    if np.issubdtype(image.dtype, np.integer):
        replaced = np.rint(replaced)
    return replaced.astype(image.dtype)


def _checked(image: np.ndarray) -> np.ndarray:
    if image.ndim not in (2, 3) or 0 in image.shape or not np.issubdtype(image.dtype, np.number):
        raise ValueError(
            f"image must be numbers of shape (H, W) or (H, W, channels), got {image.dtype} "
            f"{image.shape}."
        )
    return image


def _levelled(image: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Every cell in its mean colour."""
    flat, pixels = cells.reshape(-1), image.reshape(cells.size, -1).astype(np.float64)
    count = np.bincount(flat)
    means = np.stack([np.bincount(flat, weights=channel) / count for channel in pixels.T], axis=1)
    return means[flat].reshape(image.shape)


def _blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(
        image.astype(np.float64), sigma=(sigma, sigma, *(0,) * (image.ndim - 2)), mode="nearest"
    )
