"""Word error rate against signal-to-noise ratio: hard, soft, and the soft decoder of the peer.

    python -m spexjax.experiments words [--peers] [--n 100] [--t 5] [--words 400]

The peer is ``sparse-transform``. A word is the parity Pk of a random set k of 1 to t inputs, sent
as ±1 with Gaussian noise. All decoders get the same words; the soft ones try the same number of
patterns, t(2t + 1). The peer takes about a third of a second per word.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from spexjax import masks
from spexjax.codes import bch, chase, gf2
from spexjax.experiments.peers import sparse_transform as peers
from spexjax.experiments.reporting.rows import Rows

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


def table(
    n: int, t: int, count: int, with_peer: bool, seed: int = 0
) -> Iterator[tuple[float, ...]]:
    """Rows of (dB, hard, soft[, peer]) word error rates."""
    design = masks.coded_design(jax.random.key(0), n, 1, t, 1)
    for i, ratio in enumerate(RATIOS):
        sets, words = draw(n, t, count, ratio, seed + i)
        errors = [our_errors(design, sets, words, p) for p in (1, t * (2 * t + 1))]
        if with_peer:
            errors.append(peer_errors(sets, words, n, t))
        yield (ratio, *(float(e.mean()) for e in errors))


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    peers: bool = False
    """Run sparse-transform beside."""
    n: int = 100
    """Inputs."""
    t: int = 5
    """Errors that the code corrects."""
    words: int = 400
    """Words at each ratio."""


def run(config: Config) -> Rows:
    """A row for every ratio.

    Raises:
      ImportError: if the peer is wanted but not installed.
    """
    if config.peers:
        peers.demand()
    names = ("hard", "soft", "peer") if config.peers else ("hard", "soft")
    return Rows(
        f"n = {config.n}, t = {config.t}, {config.words} words; word error rate",
        {"dB": ">5.1f"} | dict.fromkeys(names, ">7.3f"),
        table(config.n, config.t, config.words, config.peers),
    )
