"""Speed of the Walsh–Hadamard transform beside one copy of the same array and a NumPy butterfly.

    python -m spexjax.experiments transforms [--log2-size 22] [--rounds 20]

Prints, for a single long table and for batches along either axis: the first call (with
compilation), the best warm call, the copy pass ``x + 1``, their ratio, and NumPy's time. The
contestants take turns, so that other load on the machine meets them alike.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from spexjax.experiments.harness.timing import in_turn, timed
from spexjax.experiments.reporting.rows import Rows
from spexjax.spectra import transforms


def numpy_butterfly(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """The textbook transform: n passes of sums and differences, in place."""
    x = x.copy()
    length = x.shape[axis]
    columns = int(np.prod(x.shape[axis:][1:])) if axis != -1 else 1
    half = 1
    while half < length:
        pairs = x.reshape(-1, 2, half * columns)
        low = pairs[:, 0].copy()
        pairs[:, 0] += pairs[:, 1]
        np.subtract(low, pairs[:, 1], out=pairs[:, 1])
        half *= 2
    return x


def measure(
    shape: tuple[int, ...], axis: int, rounds: int, beside: bool = True
) -> tuple[float | None, ...]:
    """Times in ms of one shape: cold, warm, copy, warm/copy, NumPy, NumPy/warm; the worst error.

    Without NumPy ``beside`` the error is that of a transform and its inverse, from where it began.
    """
    x = jax.random.normal(jax.random.key(0), shape)
    copy = jax.jit(lambda x: x + jnp.float32(1))
    jax.block_until_ready(copy(x))
    cold, y = timed(lambda: transforms.fwht(x, axis=axis))
    calls = [lambda: transforms.fwht(x, axis=axis), lambda: copy(x)]
    warm, copied = in_turn(calls, rounds).min(axis=0)
    times = 1e3 * cold, 1e3 * warm, 1e3 * copied, warm / copied
    if not beside:
        back = jnp.abs(transforms.ifwht(y, axis=axis) - x)
        return *times, None, None, float(back.max() / jnp.abs(x).max())
    host = np.asarray(x)
    numpy = in_turn([lambda: numpy_butterfly(host, axis)], 2).min()
    exact = numpy_butterfly(host.astype(float), axis)
    error = float(np.abs(np.asarray(y) - exact).max() / np.abs(exact).max())
    return *times, 1e3 * numpy, numpy / warm, error


def cases(log2_size: int) -> list[tuple[tuple[int, ...], int]]:
    """One long table, and batches over the last, the first and a middle axis."""
    size, half = 2**log2_size, log2_size // 2
    rest = 2 ** (log2_size - half)
    return [
        ((size,), -1),
        ((rest, 2**half), -1),
        ((2**half, rest), 0),
        ((32, size // 1024, 32), 1),
        ((size // 4, 4), 0),
        ((300, 256), -1),
    ]


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    log2_size: int = 22
    """Entries of the large arrays."""
    rounds: int = 20
    """Turns of each contestant; the best counts."""
    numpy: bool = True
    """Whether to run NumPy's beside, which takes minutes from 2^26 on."""


def run(config: Config) -> Rows:
    """A row for every shape; times in ms.

    Raises:
      ValueError: if the arrays are smaller than 2^10.
    """
    if config.log2_size < 10:
        raise ValueError(f"log2_size must be at least 10, got {config.log2_size}.")
    columns = ("cold", "warm", "copy", "warm/copy", "numpy", "numpy/warm")
    return Rows(
        f"fwht on {jax.devices()[0].platform}, jax {jax.__version__}; times in ms",
        {"shape": ">16", "axis": ">4d"} | dict.fromkeys(columns, ">10.2f") | {"error": ">10.1e"},
        (
            ("x".join(map(str, shape)), axis, *measure(shape, axis, config.rounds, config.numpy))
            for shape, axis in cases(config.log2_size)
        ),
    )
