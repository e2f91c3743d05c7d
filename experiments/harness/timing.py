"""The one clock of the benchmarks: results waited for, the function's own time told apart."""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jaxtyping import Bool, Float

from spexjax.typing import ValueFunction

T = TypeVar("T")


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Wall time in seconds until the result is there, and the result."""
    start = time.perf_counter()
    result = jax.block_until_ready(call())
    return time.perf_counter() - start, result


def in_turn(calls: Sequence[Callable[[], Any]], repeats: int) -> Float[np.ndarray, "repeats calls"]:
    """Seconds of some calls, one after the other in each repeat, since machines drift."""
    return np.array([[timed(call)[0] for call in calls] for _ in range(repeats)])


class Clocked:
    """A value function that adds up the seconds which it takes."""

    def __init__(self, f: ValueFunction):
        self.f, self.seconds = f, 0.0

    def __call__(self, masks: Bool[np.ndarray, "N n"], /) -> np.ndarray:
        start = time.perf_counter()
        values = np.asarray(self.f(masks))
        self.seconds += time.perf_counter() - start
        return values


def own(call: Callable[[ValueFunction], T], f: ValueFunction) -> tuple[float, float, T]:
    """Seconds of ``call(f)`` without f's own, f's own, and the result."""
    clocked = Clocked(f)
    whole, result = timed(lambda: call(clocked))
    return whole - clocked.seconds, clocked.seconds, result
