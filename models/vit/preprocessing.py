"""Images as a tower wants them: resized, cropped, rescaled, normalised, as a folder says.

The steps are those of transformers' image processors that use PIL. ``placed`` takes a map of
labels the same way, so that what lies in a cell of the photograph lies there in what is seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

from spexjax.models.checkpoints.folders import read_json

Resize = Literal["exact", "shortest", "longest", "none"]
_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_NEAREST, _LANCZOS, _BILINEAR, _BICUBIC = range(4)  # as PIL numbers them
_LARGEST = 4096  # Idefics3 never makes an image longer


@dataclass(frozen=True)
class Preprocessing:
    """What is done to an image, in this order; the defaults are the plain ViT's.

    Attributes:
      to_square: pad to a square, in the mean colour (some LLaVAs).
      resize: to ``size`` exactly, or until the shortest or the longest side is size[0].
      size: (height, width).
      resample: PIL's number of the filter.
      crop: (height, width) of the middle, if any.
      square: then resized to this square, if any (Idefics3 without splitting).
      rescale: factor of pixels from 0 to 255.
      mean, std: then subtracted and divided by, if any.
    """

    to_square: bool = False
    resize: Resize = "exact"
    size: tuple[int, int] = (224, 224)
    resample: int = _BILINEAR
    crop: tuple[int, int] | None = None
    square: int | None = None
    rescale: float = 1 / 255
    mean: tuple[float, ...] | None = (0.5, 0.5, 0.5)
    std: tuple[float, ...] | None = (0.5, 0.5, 0.5)

    def __call__(self, image: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "h w 3"]:
        """The image, float32, as the model gets it."""
        pixels: np.ndarray = self._moved(image, self.resample, self._ground()).astype(np.float32)
        pixels = pixels * np.float32(self.rescale)
        if self.mean is not None and self.std is not None:
            pixels = (pixels - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return pixels.astype(np.float32)

    def placed(self, labels: Int[np.ndarray, "H W"]) -> Int[np.ndarray, "h w"]:
        """A map of labels from 0 under the same moves, its nearest pixel each; −1 for padding."""
        shifted = labels.astype(np.int32) + 1
        return self._moved(shifted, _NEAREST, 0).astype(np.int32) - 1

    def _ground(self) -> tuple[int, ...]:
        return tuple(int(255 * m) for m in self.mean or (0, 0, 0))

    def _moved(self, image: np.ndarray, resample: int, ground: int | tuple[int, ...]) -> np.ndarray:
        if self.to_square:
            image = _padded(image, (max(image.shape[:2]),) * 2, ground, up=False)
        H, W = image.shape[:2]
        image = _resized(image, self._target(H, W), resample)
        if self.crop is not None:
            image = _cropped(image, self.crop)
        if self.square is not None:
            image = _resized(image, (self.square, self.square), resample)
        return image

    def _target(self, H: int, W: int) -> tuple[int, int]:
        if self.resize == "exact":
            return self.size
        if self.resize == "none":
            return H, W
        want = self.size[0]
        if self.resize == "shortest":
            long = int(want * max(H, W) / min(H, W))
            return (want, long) if H <= W else (long, want)
        return _bounded(*_longest(H, W, want))


def read_preprocessing(folder: str | Path, family: str) -> Preprocessing:
    """What ``folder/preprocessor_config.json`` asks for; the family's defaults where it is silent.

    Args:
      folder: of the model.
      family: "vit", "siglip", "clip", "llava", "idefics3" or "smolvlm".

    Raises:
      ValueError: if a setting is not supported.
    """
    path = Path(folder) / "preprocessor_config.json"
    raw = read_json(path) if path.is_file() else {}
    return preprocessing_from_dict(raw, family)


def preprocessing_from_dict(raw: Mapping[str, Any], family: str) -> Preprocessing:
    """:func:`read_preprocessing` of the file's contents.

    Images are never split into parts (``do_image_splitting``), whatever is asked for.
    """
    raw = _DEFAULTS[family] | {k: v for k, v in raw.items() if v is not None}
    split = family in ("idefics3", "smolvlm")
    resize, size = _size(raw["size"], family)
    crop = _size(raw.get("crop_size", 224), "vit")[1] if raw.get("do_center_crop") else None
    normalised = raw.get("do_normalize", True)
    if not raw.get("do_rescale", True):
        raise ValueError("do_rescale = false is not supported: pixels must be 0 to 255.")
    square = raw["max_image_size"]
    return Preprocessing(
        to_square=bool(raw.get("do_pad", False)) and family == "llava",
        resize=resize if raw.get("do_resize", True) else "none",
        size=size,
        resample=int(raw["resample"]),
        crop=crop,
        square=int(square["longest_edge"] if isinstance(square, dict) else square) if split
        else None,
        rescale=float(raw.get("rescale_factor", 1 / 255)),
        mean=tuple(raw["image_mean"]) if normalised else None,
        std=tuple(raw["image_std"]) if normalised else None,
    )  # fmt: skip


_HALF = {"image_mean": (0.5,) * 3, "image_std": (0.5,) * 3, "max_image_size": 364}
_CLIP = {
    "size": {"shortest_edge": 224}, "crop_size": 224, "do_center_crop": True,
    "resample": _BICUBIC, "image_mean": _CLIP_MEAN, "image_std": _CLIP_STD, "max_image_size": 0,
}  # fmt: skip
_IDEFICS = _HALF | {"size": {"longest_edge": 4 * 364}, "resample": _LANCZOS}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "vit": _HALF | {"size": 224, "resample": _BILINEAR},
    "siglip": _HALF | {"size": 224, "resample": _BICUBIC},
    "clip": _CLIP,
    "llava": _CLIP,
    "idefics3": _IDEFICS,
    "smolvlm": _IDEFICS,
}


def _size(size: Any, family: str) -> tuple[Resize, tuple[int, int]]:
    if isinstance(size, int):  # as older folders say it
        return ("shortest" if family in ("clip", "llava") else "exact"), (size, size)
    if "height" in size and "width" in size:
        return "exact", (int(size["height"]), int(size["width"]))
    for key, kind in (("shortest_edge", "shortest"), ("longest_edge", "longest")):
        if set(size) == {key}:
            return kind, (int(size[key]),) * 2  # type: ignore[return-value]
    raise ValueError(f"size = {size} is not supported.")


def _longest(H: int, W: int, want: int) -> tuple[int, int]:
    """Idefics3's size for a longest side: the other side is even."""
    ratio = W / H
    if W >= H:
        H, W = int(want / ratio), want
        H += H % 2
    else:
        H, W = want, int(want * ratio)
        W += W % 2
    return max(H, 1), max(W, 1)


def _bounded(H: int, W: int) -> tuple[int, int]:
    ratio = W / H
    if W >= H and W > _LARGEST:
        H, W = int(_LARGEST / ratio), _LARGEST
    elif H > W and H > _LARGEST:
        H, W = _LARGEST, int(_LARGEST * ratio)
    return max(H, 1), max(W, 1)


def _resized(image: np.ndarray, size: tuple[int, int], resample: int) -> np.ndarray:
    from PIL import Image

    # PIL resizes labels as whole numbers of 32 bits, and 8-bit colours.
    return np.asarray(Image.fromarray(image).resize(size[::-1], resample))


def _cropped(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle; black around it where the image is too small."""
    H, W = image.shape[:2]
    image = _padded(image, (max(H, size[0]), max(W, size[1])), 0, up=True)
    # Where it is too small the crop starts at the padding's end, rounded as transformers does.
    top, left = (
        (have - want) // 2 + -(-(max(want, have) - have) // 2)
        for have, want in zip((H, W), size, strict=True)
    )
    return image[max(0, top) : top + size[0], max(0, left) : left + size[1]]


def _padded(
    image: np.ndarray, size: tuple[int, int], ground: int | tuple[int, ...], up: bool
) -> np.ndarray:
    """The image in the middle of a larger one; an odd pixel is before it if ``up``."""
    if image.shape[:2] == size:
        return image
    out = np.empty((*size, *image.shape[2:]), image.dtype)
    out[...] = ground if image.ndim == 3 else 0
    top, left = (
        -(-(a - b) // 2) if up else (a - b) // 2 for a, b in zip(size, image.shape[:2], strict=True)
    )
    out[top : top + image.shape[0], left : left + image.shape[1]] = image
    return out
