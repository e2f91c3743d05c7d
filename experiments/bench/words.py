"""Word error rate against signal-to-noise ratio: hard, soft, and the soft decoder of the peer.

    python -m spexjax.experiments words [--peers] [--n 100] [--t 5] [--words 400]

The peer is ``sparse-transform``. A word is the parity Pk of a random set k of 1 to t inputs, sent
as ±1 with Gaussian noise. All decoders get the same words; the soft ones try the same number of
patterns, t(2t + 1). The peer takes about a third of a second per word.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from spexjax import masks
from spexjax.codes import bch, chase, gf2
from spexjax.experiments.peers import sparse_transform as peers

RATIOS = (10.0, 8.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0)


def draw(
    n: int, t: int, count: int, ratio_db: float, seed: int
) -> tuple[Bool[np.ndarray, "words n"], Float[np.ndarray, "words p"]]:
    """Random sets and their noisy parities, at amplitude² / noise variance in decibels."""
    rng = np.random.default_rng(seed)
    sets = np.zeros((count, n), bool)
    for row in sets:
        row[rng.choice(n, rng.integers(1, t + 1), replace=False)] = True
    parity = bch.parity_matrix(n, t)
    clean = (-1.0) ** (sets.astype(int) @ parity.T.astype(int))
    noise = 10 ** (-ratio_db / 20) * rng.standard_normal(clean.shape)
    return sets, (clean + noise).astype(np.float32)


def our_errors(
    design: masks.CodedDesign, sets: np.ndarray, words: np.ndarray, patterns: int
) -> Bool[np.ndarray, "words"]:
    """Which words our decoder gets wrong; one pattern is hard decoding."""
    # The reference sign is known here, so it is given as certain.
    u = np.concatenate([np.full((len(words), 1), 1e3, np.float32), words], axis=1)
    support, ok = chase.chase_decode(design.code, design.delays, jnp.asarray(u), design.n, patterns)
    found = gf2.unpack_numpy(np.asarray(support), int(design.n))
    return ~(np.asarray(ok) & np.all(found == sets, axis=1))


def peer_errors(sets: np.ndarray, words: np.ndarray, n: int, t: int) -> Bool[np.ndarray, "words"]:
    """Which words the peer's soft decoder gets wrong, at its depth 2t: t(2t + 1) patterns."""
    found, ok = peers.decode_words(words, n, t, "soft", 2 * t)
    return ~(ok & np.all(found == sets, axis=1))


def table(n: int, t: int, count: int, with_peer: bool, seed: int = 0) -> list[tuple[float, ...]]:
    """Rows of (dB, hard, soft[, peer]) word error rates."""
    design = masks.coded_design(jax.random.key(0), n, 1, t, 1)
    rows = []
    for i, ratio in enumerate(RATIOS):
        sets, words = draw(n, t, count, ratio, seed + i)
        errors = [our_errors(design, sets, words, p) for p in (1, t * (2 * t + 1))]
        if with_peer:
            errors.append(peer_errors(sets, words, n, t))
        rows.append((ratio, *(float(e.mean()) for e in errors)))
    return rows


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", action="store_true", help="run sparse-transform beside")
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--t", type=int, default=5)
    parser.add_argument("--words", type=int, default=400)
    args = parser.parse_args(argv)
    if args.peers and not peers.available():
        parser.error("sparse-transform is not installed: pip install 'spexjax[peers]'")
    print(f"n = {args.n}, t = {args.t}, {args.words} words; word error rate")
    print(f"{'dB':>5} {'hard':>7} {'soft':>7}" + (f" {'peer':>7}" if args.peers else ""))
    for ratio, *rates in table(args.n, args.t, args.words, args.peers):
        print(f"{ratio:5.1f} " + " ".join(f"{rate:7.3f}" for rate in rates), flush=True)
