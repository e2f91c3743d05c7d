"""Image files as arrays of red, green and blue."""

import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Num, UInt8

MOST_PIXELS = 16_000_000
"""Larger images are scaled down; no model reads as much."""
_LONGEST = 2048


def read_image(path: str | Path) -> UInt8[np.ndarray, "H W 3"]:
    """The image in a file, upright, of 8 bits per colour.

    What is transparent is shown on white; grey and 16-bit images are brought to 8-bit colours.
    Images of more than ``MOST_PIXELS`` are scaled down to a longer side of 2048, with a warning.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it holds no image, or a part of one.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not Path(path).is_file():
        raise FileNotFoundError(f"no image file {str(path)!r}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                size = file.size
                if size[0] * size[1] > MOST_PIXELS:
                    warnings.warn(
                        f"{path} has {size[0]} × {size[1]} pixels; it is scaled down to a longer "
                        f"side of {_LONGEST}.",
                        stacklevel=2,
                    )
                    file.draft("RGB", (_LONGEST, _LONGEST))  # JPEGs are read smaller at once
                    file.thumbnail((_LONGEST, _LONGEST))
                return rgb(np.asarray(_eight_bits(ImageOps.exif_transpose(file))))
    except UnidentifiedImageError as error:
        raise ValueError(f"{str(path)!r} is not an image that can be read.") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"{str(path)!r} has too many pixels.") from error
    except (OSError, SyntaxError, EOFError) as error:  # what PIL says of broken files
        raise ValueError(f"{str(path)!r} cannot be read as an image: {error}.") from error


def rgb(image: Num[np.ndarray, "H W *channels"]) -> UInt8[np.ndarray, "H W 3"]:
    """An image as 8-bit colours: grey ones in all three, transparent ones on white.

    Raises:
      ValueError: if it is not (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), of integers of 8 or 16
        bits, or of floats from 0 to 1.
    """
    image = np.asarray(image)
    grey = image[..., None] if image.ndim == 2 else image
    if grey.ndim != 3 or grey.shape[-1] not in (1, 2, 3, 4) or 0 in grey.shape:
        raise ValueError(f"an image must be (H, W), or (H, W, 1 to 4), got {image.shape}.")
    if np.issubdtype(grey.dtype, np.floating):
        if not (np.isfinite(grey).all() and grey.min() >= 0 and grey.max() <= 1):
            raise ValueError("an image of floats must be of values from 0 to 1.")
        grey = np.rint(grey * 255)
    elif grey.dtype == np.uint16:
        grey = np.rint(grey / 257)
    elif grey.dtype != np.uint8:
        raise ValueError(f"an image must be uint8, uint16 or floats, got {grey.dtype}.")
    if grey.shape[-1] in (2, 4):
        alpha = grey[..., -1:].astype(np.float64) / 255
        grey = np.rint(grey[..., :-1] * alpha + 255 * (1 - alpha))
    return np.ascontiguousarray(np.broadcast_to(grey, (*grey.shape[:2], 3)), np.uint8)


def _eight_bits(image):  # type: ignore[no-untyped-def]  # PIL is imported where it is used
    """Modes whose values are not 8-bit colours or greys."""
    if image.mode.startswith("I"):  # 16 bits, or 32 of which 16 are used
        return np.asarray(image).clip(0, 65535).astype(np.uint16)
    if image.mode in ("L", "LA", "RGB", "RGBA"):
        return image
    clear = image.mode in ("PA", "La", "RGBa") or "transparency" in image.info
    return image.convert("RGBA" if clear else "RGB")
