"""Time and memory of every interaction index of a large sparse spectrum.

    python -m spexjax.experiments indices [--terms 100000] [--features 1000] [--degree 8]
        [--order 8] [--all-largest] [--index FSII Moebius …]

Terms have degrees 1 to ``--degree`` in equal numbers (``--all-largest``: all the largest). Indices
are of order ``--order`` (the degree if not given), Joint-SV of order 1. Peak memory is that of the
process, the terms and the result included, while one index is computed (outside Linux: so far).
"""

import contextlib
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spexjax import indices
from spexjax.codes import gf2
from spexjax.experiments.harness.timing import timed
from spexjax.experiments.reporting.rows import Rows

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


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    terms: int = 100_000
    """Terms of the spectrum."""
    features: int = 1000
    """Inputs."""
    degree: int = 8
    """The largest term's."""
    order: int | None = None
    """Of the indices; the degree if not given."""
    all_largest: bool = False
    """All terms have the largest degree."""
    index: tuple[str, ...] = (*indices.INDICES, JOINT)
    """Those computed."""


def run(config: Config) -> Rows:
    """A row for every index.

    Raises:
      ValueError: if the degree is not from 1 to the number of features.
    """
    if not 1 <= config.degree <= config.features:
        raise ValueError(f"degree must be from 1 to {config.features}, got {config.degree}.")
    kind = "degree" if config.all_largest else "degree 1 to"
    return Rows(
        f"{config.terms} terms of {kind} {config.degree}, n = {config.features}",
        {"index": ">10", "order": ">5d", "sets": ">10d", "seconds": ">8.2f", "peak MiB": ">9.0f"},
        measured(config),
    )


def measured(config: Config) -> Iterator[tuple[str, int, int, float, float]]:
    """Index, order, sets, seconds and peak memory of each."""
    n, whole = config.features, config.degree if config.order is None else config.order
    terms = random_terms(config.terms, n, config.degree, config.all_largest)
    for name in config.index:
        order = 1 if name == JOINT else whole
        reset_peak()
        seconds, found = timed(lambda: indices.from_terms(*terms, n, name, order))  # noqa: B023
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        yield name, found.max_order, len(found), seconds, peak
        del found
