"""Speed of the Walsh–Hadamard transform beside one copy of the same array and a NumPy butterfly.

    python -m spexjax.experiments transforms [--log2-size 22] [--rounds 20]

Prints, for a single long table and for batches along either axis: the first call (with
compilation), the best warm call, the copy pass ``x + 1``, their ratio, and NumPy's time. The
contestants take turns, so that other load on the machine meets them alike.
"""

import argparse
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

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


def race(contestants: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The best time in seconds of each contestant over ``rounds`` turns."""
    best = dict.fromkeys(contestants, float("inf"))
    for _ in range(rounds):
        for name, call in contestants.items():
            start = time.perf_counter()
            jax.block_until_ready(call())
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def measure(shape: tuple[int, ...], axis: int, rounds: int) -> dict[str, float]:
    """Times in ms of one shape: ``cold``, ``warm``, ``copy``, ``numpy``; and the worst error."""
    host = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    x = jnp.asarray(host)
    copy = jax.jit(lambda x: x + jnp.float32(1))
    jax.block_until_ready(copy(x))
    start = time.perf_counter()
    y = jax.block_until_ready(transforms.fwht(x, axis=axis))
    cold = time.perf_counter() - start
    best = race({"warm": lambda: transforms.fwht(x, axis=axis), "copy": lambda: copy(x)}, rounds)
    best |= race({"numpy": lambda: numpy_butterfly(host, axis)}, 2)
    exact = numpy_butterfly(host.astype(float), axis)
    error = float(np.abs(np.asarray(y) - exact).max() / np.abs(exact).max())
    return {k: 1e3 * v for k, v in {"cold": cold, **best}.items()} | {"error": error}


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


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--log2-size", type=int, default=22, help="entries of the large arrays")
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args(argv)
    if args.log2_size < 10:
        parser.error("--log2-size must be at least 10")
    print(f"fwht on {jax.devices()[0].platform}, jax {jax.__version__}; times in ms")
    columns = ("cold", "warm", "copy", "warm/copy", "numpy", "numpy/warm", "error")
    print(f"{'shape':>18} {'axis':>4}" + "".join(f"{c:>12}" for c in columns))
    for shape, axis in cases(args.log2_size):
        r = measure(shape, axis, args.rounds)
        r |= {"warm/copy": r["warm"] / r["copy"], "numpy/warm": r["numpy"] / r["warm"]}
        cells = "".join(f"{r[c]:>12.1e}" if c == "error" else f"{r[c]:>12.2f}" for c in columns)
        print(f"{'x'.join(map(str, shape)):>18} {axis:>4}{cells}", flush=True)
