"""Value functions that remember what they were asked, and how long it took."""

import time

import numpy as np
from jaxtyping import Bool

from spexjax.typing import ArrayLike, ValueFunction


class Remembered:
    """A value function that is asked for every mask once.

    Methods, budgets and test masks overlap (designs are nested, uniform masks come from one
    stream), so that an item's experiments cost about what the largest of them costs.
    """

    def __init__(self, f: ValueFunction, n: int):
        self.f, self.n = f, n
        self.values: dict[bytes, float] = {}

    def __call__(self, masks: np.ndarray, /) -> ArrayLike:
        keys = _keys(masks)
        place = {key: i for i, key in enumerate(keys) if key not in self.values}
        if place:
            answers = np.asarray(self.f(masks[list(place.values())]), np.float64)
            self.values.update(zip(place, answers.tolist(), strict=True))
        return np.array([self.values[key] for key in keys], np.float32)


class Watched:
    """A value function that adds up its own seconds and knows which masks it was asked for."""

    def __init__(self, f: ValueFunction):
        self.f, self.seconds = f, 0.0
        self.asked: set[bytes] = set()

    def __call__(self, masks: Bool[np.ndarray, "N n"], /) -> np.ndarray:
        start = time.perf_counter()
        values = np.asarray(self.f(masks))
        self.asked.update(_keys(masks))
        self.seconds += time.perf_counter() - start
        return values

    def fresh(self, masks: Bool[np.ndarray, "N n"]) -> Bool[np.ndarray, "N"]:
        """Which masks it was never asked for."""
        return np.array([key not in self.asked for key in _keys(masks)])


def _keys(masks: np.ndarray) -> list[bytes]:
    return [row.tobytes() for row in np.packbits(np.asarray(masks, bool), axis=1)]
