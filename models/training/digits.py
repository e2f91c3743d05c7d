"""The digits that ship with the package: 1 797 images of 8 × 8 pixels.

They are the test part of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak 1998, UCI
Machine Learning Repository, doi 10.24432/C50P49, licence CC BY 4.0), in the order of
scikit-learn's ``load_digits``.
"""

from importlib import resources

import numpy as np
from jaxtyping import Float, Int


def load_digits() -> tuple[Float[np.ndarray, "1797 8 8"], Int[np.ndarray, "1797"]]:
    """Images, from 0 (paper) to 1 (ink), and the digits that they show."""
    with (resources.files("spexjax.models.training") / "digits.npz").open("rb") as file:
        held = np.load(file, allow_pickle=False)
        return held["images"].astype(np.float32) / 16, held["labels"].astype(np.int32)


def split(
    points: int, tests: int, seed: int = 0
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Training points, equally many of each digit, and test points, which are others.

    Args:
      points: divisible by 10.
      tests: how many.
      seed: of the shuffling; more tests begin with the same ones.

    Raises:
      ValueError: if there are not so many.
    """
    images, labels = load_digits()
    order = np.random.default_rng(seed).permutation(len(labels))
    by_digit = [order[labels[order] == digit] for digit in range(10)]
    if points % 10 or not 10 <= points <= 10 * min(map(len, by_digit)):
        most = 10 * min(map(len, by_digit))
        raise ValueError(f"points must be a multiple of 10 from 10 to {most}, got {points}.")
    train = np.concatenate([found[: points // 10] for found in by_digit])
    rest = order[~np.isin(order, train)]
    if not 1 <= tests <= len(rest):
        raise ValueError(f"tests must be from 1 to {len(rest)}, got {tests}.")
    test = rest[:tests]
    return (images[train], labels[train]), (images[test], labels[test])
