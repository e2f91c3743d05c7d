"""CIFAR-10 (Krizhevsky 2009): the official binary batches, or a sample of them in one ``.npz``.

    cifar10/cifar-10-batches-bin/{data_batch_1 … 5, test_batch}.bin, or the same without the folder
    cifar10/*.npz   x_train, y_train, x_test, y_test; uint8 images, channels first

A row of a batch is a label and 3 072 bytes, the red, green and blue planes of 32 × 32 pixels.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_ROW = 1 + 3 * 32 * 32


class Images(NamedTuple):
    """Both parts of the data set, channels last."""

    train: UInt8[np.ndarray, "train 32 32 3"]
    train_labels: Int[np.ndarray, "train"]
    test: UInt8[np.ndarray, "test 32 32 3"]
    test_labels: Int[np.ndarray, "test"]


def read_cifar10(folder: Path) -> Images:
    """Whichever form lies in the folder, the batches first.

    Raises:
      FileNotFoundError: if there is neither.
      ValueError: if a file is not what it should be.
    """
    for place in (folder / "cifar-10-batches-bin", folder):
        batches = sorted(place.glob("data_batch_*.bin"))
        if batches:
            train = [_batch(path) for path in batches]
            return Images(
                np.concatenate([images for images, _ in train]),
                np.concatenate([labels for _, labels in train]),
                *_batch(place / "test_batch.bin"),
            )
    samples = sorted(folder.glob("*.npz"))
    if not samples:
        raise FileNotFoundError(f"{folder} has neither data_batch_*.bin nor an .npz.")
    return _sample(samples[0])


def _batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    raw = np.fromfile(path, np.uint8)
    if not len(raw) or len(raw) % _ROW:
        raise ValueError(f"{path} has {len(raw)} bytes, not a multiple of {_ROW}.")
    rows = raw.reshape(-1, _ROW)
    return _checked(path, rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0])


def _sample(path: Path) -> Images:
    try:
        with np.load(path, allow_pickle=False) as held:
            parts = {name: held[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{path} is no sample of CIFAR-10: {error}.") from error
    return Images(
        *_checked(path, parts["x_train"], parts["y_train"]),
        *_checked(path, parts["x_test"], parts["y_test"]),
    )


def _checked(path: Path, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (3, 32, 32):
        raise ValueError(f"{path}: images must be uint8 (·, 3, 32, 32), got {images.shape}.")
    integers = labels.dtype.kind in "iu" and labels.shape == (len(images),)
    if not integers or labels.min() < 0 or labels.max() > 9:
        raise ValueError(f"{path}: labels must be {len(images)} numbers from 0 to 9.")
    return images.transpose(0, 2, 3, 1), labels.astype(np.int32)
