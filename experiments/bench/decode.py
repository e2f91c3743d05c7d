"""Decoding: time, recall and memory, beside ``sparse-transform`` on the same masks and values.

    python -m spexjax.experiments decode                  # the speed table, ours alone
    python -m spexjax.experiments decode --peers          # with the peer (minutes)
    python -m spexjax.experiments decode --large          # n = 10 000 too
    python -m spexjax.experiments decode --explain        # explain, without f's own time
    python -m spexjax.experiments decode --capacity --peers   # F1 at the edge of capacity

Functions have terms of degree 1 to 5 with coefficients ±U(0.5, 2). ``warm`` is the median of
repeated calls, ``cold`` the first call of the process for that n, with compilation. Only values →
spectrum is timed, before any refit.
"""

import argparse
import dataclasses
import resource
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from spexjax import masks, metrics
from spexjax.decoding import spex
from spexjax.experiments.functions import synthetic
from spexjax.experiments.functions.planted import Planted
from spexjax.experiments.peers import sparse_transform as peers
from spexjax.explain import explain

GROUPS, T = 3, 5
REPEATS = 15


class Quality(NamedTuple):
    """How a decoded spectrum compares with the planted one."""

    recall: float
    false: int
    largest_false: float
    f1: float
    r2: float


def quality(truth: Planted, found: dict[tuple[int, ...], float], seed: int = 1) -> Quality:
    """Compares the sets found with those planted, the empty set apart; R² on fresh masks."""
    planted = {k: v for k, v in truth.fourier().items() if k}
    others = {k: v for k, v in found.items() if k and k not in planted}
    hits = sum(k in found for k in planted)
    f1 = 2 * hits / (len(planted) + hits + len(others))
    fresh = np.random.default_rng(seed).random((2000, truth.n)) < 0.5
    clean = dataclasses.replace(truth, noise=0.0)
    guess = spex.Spectrum.from_dict(found, truth.n).predict(fresh)
    return Quality(
        hits / len(planted),
        len(others),
        max(map(abs, others.values()), default=0.0),
        f1,
        float(metrics.r2(clean(fresh), guess)),
    )


def peak_gib() -> float:
    """Peak memory of the process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def decode_times(design, values) -> tuple[float, float, dict[tuple[int, ...], float]]:
    """Cold and median warm seconds, and what was found."""

    def once() -> tuple[float, tuple[spex.Spectrum, spex.Info]]:
        start = time.perf_counter()
        result = jax.block_until_ready(spex.decode(design, values))
        return time.perf_counter() - start, result

    cold, (spectrum, _) = once()
    warm = float(np.median([once()[0] for _ in range(REPEATS)]))
    return cold, warm, spectrum.to_dict()


def speed(sizes: list[tuple[int, int]], noise: float, with_peer: bool) -> None:
    """The table of times, one row per (n, terms)."""
    print(f"b = 8, C = {GROUPS}, t = {T}, noise {noise}, {jax.devices()[0].platform}")
    print(
        f"{'n':>6} {'masks':>6} {'terms':>5} {'cold s':>7} {'warm ms':>8} {'recall':>7} "
        f"{'false':>6} {'largest':>8} {'R2':>8} {'GiB':>5}  peer"
    )
    for n, terms in sizes:
        f = synthetic.flat(n, 0, n_terms=terms, noise=noise)
        design = masks.coded_design(jax.random.key(0), n, 8, T, GROUPS)
        bits = design.masks()
        values = jnp.asarray(f(bits))
        cold, warm, found = decode_times(design, values)
        q = quality(f, found)
        row = (
            f"{n:6d} {len(bits):6d} {terms:5d} {cold:7.2f} {1e3 * warm:8.1f} {q.recall:7.3f} "
            f"{q.false:6d} {q.largest_false:8.3f} {q.r2:8.5f} {peak_gib():5.2f}"
        )
        print(row, end="  ", flush=True)
        if with_peer:
            theirs = peers.decode(bits, np.asarray(values), GROUPS, 8, T, noise_sd=noise)
            p = quality(f, theirs.spectrum)
            print(
                f"{theirs.seconds:.1f} s, recall {p.recall:.3f}, {p.false} false, R2 {p.r2:.5f}: "
                f"{theirs.seconds / warm:.0f} times slower",
                end="",
            )
        print(flush=True)


def capacity(n: int, b: int, seeds: int, with_peer: bool) -> None:
    """F1 against the load of the bins and the smallest amplitude over the noise of a bin."""
    print(f"n = {n}, b = {b}, C = {GROUPS}, t = {T}, {seeds} seeds: mean F1 (false terms)")
    differences = []
    for load in (0.5, 1.0, 1.5, 2.0):
        for ratio in (4.0, 2.0, 1.2):
            terms = int(load * 2**b)
            noise = 0.5 * np.sqrt(2**b) / ratio
            ours, theirs = [], []
            for seed in range(seeds):
                f = synthetic.flat(n, seed, n_terms=terms, noise=noise)
                design = masks.coded_design(jax.random.key(seed), n, b, T, GROUPS)
                bits = design.masks()
                values = f(bits)
                ours.append(quality(f, spex.decode(design, values)[0].to_dict()))
                if with_peer:
                    found = peers.decode(bits, values, GROUPS, b, T, noise_sd=noise).spectrum
                    theirs.append(quality(f, found))
            line = f"terms/bin {load:.1f}, amplitude/noise {ratio:.1f}: {_mean(ours)}"
            if with_peer:
                difference = np.mean([q.f1 for q in ours]) - np.mean([q.f1 for q in theirs])
                differences.append(difference)
                line += f"   peer {_mean(theirs)}   difference {difference:+.3f}"
            print(line, flush=True)
    if with_peer:
        print(f"mean difference {np.mean(differences):+.3f}, worst {min(differences):+.3f}")


def _mean(rows: list[Quality]) -> str:
    return f"{np.mean([q.f1 for q in rows]):.3f} ({np.mean([q.false for q in rows]):.1f})"


def explain_times(sizes: list[tuple[int, int]], noise: float) -> None:
    """``explain`` from end to end with the smallest budget that affords b = 8."""
    print(f"{'n':>6} {'calls':>6} {'cold s':>7} {'warm s':>7} {'f s':>6} {'R2':>8} {'GiB':>5}")
    for n, terms in sizes:
        f = synthetic.flat(n, 0, n_terms=terms, noise=noise)
        clean = dataclasses.replace(f, noise=0.0)
        spent = [0.0]

        def timed(m, f=f, spent=spent):
            start = time.perf_counter()
            out = f(m)
            spent[0] += time.perf_counter() - start
            return out

        budget = masks.design_cost(n, 8, T, GROUPS) + 1002
        own = []
        for _ in range(4):
            spent[0] = 0.0
            start = time.perf_counter()
            e = explain(timed, n, budget=budget, method="spex")
            own.append(time.perf_counter() - start - spent[0])
        fresh = np.random.default_rng(1).random((2000, n)) < 0.5
        r2 = float(metrics.r2(clean(fresh), e.predict(fresh)))
        print(
            f"{n:6d} {e.calls:6d} {own[0]:7.2f} {np.median(own[1:]):7.2f} {spent[0]:6.2f} "
            f"{r2:8.5f} {peak_gib():5.2f}",
            flush=True,
        )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", action="store_true", help="run sparse-transform beside")
    parser.add_argument("--large", action="store_true", help="n = 10 000 with 300 terms too")
    parser.add_argument("--explain", action="store_true", help="time explain instead")
    parser.add_argument("--capacity", action="store_true", help="F1 at the edge of capacity")
    parser.add_argument("--seeds", type=int, default=10, help="of --capacity")
    parser.add_argument("--b", type=int, default=5, help="of --capacity")
    parser.add_argument("--n", type=int, nargs="*", default=[128, 256, 512, 1000])
    parser.add_argument("--terms", type=int, default=100)
    parser.add_argument("--noise", type=float, default=0.5)
    args = parser.parse_args(argv)
    if args.peers and not peers.available():
        parser.error("sparse-transform is not installed: pip install 'spexjax[peers]'")
    sizes = [(n, args.terms) for n in args.n] + ([(10_000, 300)] if args.large else [])
    if args.capacity:
        capacity(args.n[0], args.b, args.seeds, args.peers)
    elif args.explain:
        explain_times(sizes, args.noise)
    else:
        speed(sizes, args.noise, args.peers)
