"""The one clock of the benchmarks: results waited for, the function's own time told apart."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from spexjax.experiments.harness.watched import Watched
from spexjax.models.nn.precision import precision_of
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


def after_one(
    calls: Sequence[Callable[[], Any]], repeats: int
) -> Float[np.ndarray, "repeats calls"]:
    """As :func:`in_turn`, after one call of each, which compiles."""
    for call in calls:
        call()
    return in_turn(calls, repeats)


def matrix_rate(dtype: Any, size: int, repeats: int = 5) -> float:
    """Operations per second of a product of two square matrices, as exact as those of models.

    They hold normal numbers: a GPU multiplies equal ones faster, since it needs less power.
    """
    a = jax.random.normal(jax.random.key(0), (size, size), dtype)
    product = jax.jit(partial(jnp.matmul, precision=precision_of(dtype)))
    return 2 * size**3 / float(np.median(after_one([lambda: product(a, a)], repeats)))


def own(call: Callable[[ValueFunction], T], f: ValueFunction) -> tuple[float, float, T]:
    """Seconds of ``call(f)`` without f's own, f's own, and the result."""
    watched = Watched(f)
    whole, result = timed(lambda: call(watched))
    return whole - watched.seconds, watched.seconds, result
