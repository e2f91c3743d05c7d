"""Time and memory of every interaction index of a large sparse spectrum.

    python -m spexjax.experiments indices [--terms 100000] [--features 1000] [--degree 8]
        [--order 8] [--all-largest] [--index FSII Moebius …]

Terms have degrees 1 to ``--degree`` in equal numbers (``--all-largest``: all the largest). Indices
are of order ``--order`` (the degree if not given), Joint-SV of order 1. Peak memory is that of the
process, the terms and the result included, while one index is computed (outside Linux: so far).
"""

import argparse
import contextlib
import resource
import time
from pathlib import Path

import numpy as np

from spexjax import indices
from spexjax.codes import gf2

JOINT = "Joint-SV"


def random_terms(
    terms: int, features: int, degree: int, all_largest: bool, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Packed random supports and Gaussian coefficients."""
    rng = np.random.default_rng(seed)
    supports = np.zeros((terms, gf2.num_words(features)), np.uint32)
    left = np.full(terms, degree) if all_largest else 1 + np.arange(terms) % degree
    while (rows := np.flatnonzero(left)).size:
        word, bit = np.divmod(rng.integers(0, features, len(rows)), gf2.WORD)
        bit = np.uint32(1) << bit.astype(np.uint32)
        left[rows] -= (supports[rows, word] & bit) == 0
        supports[rows, word] |= bit
    return supports, rng.standard_normal(terms).astype(np.float32)


def reset_peak() -> None:
    """Lets the process's peak memory start anew, where Linux offers it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--terms", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=1000)
    parser.add_argument("--degree", type=int, default=8)
    parser.add_argument("--order", type=int, help="default: --degree")
    parser.add_argument("--all-largest", action="store_true")
    parser.add_argument("--index", nargs="+", default=[*indices.INDICES, JOINT], metavar="NAME")
    args = parser.parse_args(argv)
    if not 1 <= args.degree <= args.features:
        parser.error("--degree must be from 1 to --features")
    n = args.features
    whole = args.degree if args.order is None else args.order
    supports, coefficients = random_terms(args.terms, n, args.degree, args.all_largest)
    kind = f"of degree {args.degree}" if args.all_largest else f"of degree 1 to {args.degree}"
    print(f"{args.terms} terms {kind}, n = {n}")
    print(f"{'index':>10} {'order':>5} {'sets':>10} {'seconds':>8} {'peak MiB':>9}")
    for name in args.index:
        order = 1 if name == JOINT else whole
        reset_peak()
        start = time.perf_counter()
        found = indices.from_terms(supports, coefficients, n, name, order)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        shown = found.max_order
        print(f"{name:>10} {shown:>5} {len(found):>10} {seconds:>8.2f} {peak:>9.0f}", flush=True)
        del found
