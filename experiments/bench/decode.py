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

import dataclasses
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from spexjax import masks, metrics
from spexjax.decoding import spex
from spexjax.experiments.functions import synthetic
from spexjax.experiments.functions.planted import Planted
from spexjax.experiments.harness.timing import in_turn, own, timed
from spexjax.experiments.peers import sparse_transform as peers
from spexjax.experiments.reporting.rows import Rows
from spexjax.explain import explain

GROUPS, T = 3, 5
REPEATS = 15


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    peers: bool = False
    """Run sparse-transform beside."""
    large: bool = False
    """n = 10 000 with 300 terms too."""
    explain: bool = False
    """Time explain instead."""
    capacity: bool = False
    """F1 at the edge of capacity instead, for the first n."""
    seeds: int = 10
    """Of --capacity."""
    b: int = 5
    """log2 of the bins of --capacity."""
    n: tuple[int, ...] = (128, 256, 512, 1000)
    """Inputs."""
    terms: int = 100
    """Of the functions."""
    noise: float = 0.5
    """Its standard deviation."""

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(n, terms)."""
        return [(n, self.terms) for n in self.n] + ([(10_000, 300)] if self.large else [])


def run(config: Config) -> Rows:
    """The table of times, that of ``explain``, or that of capacity.

    Raises:
      ImportError: if the peer is wanted but not installed.
    """
    if config.peers:
        peers.demand()
    if config.capacity:
        return _capacity(config)
    return _explain(config) if config.explain else _speed(config)


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


def _speed(config: Config) -> Rows:
    device, noise = jax.devices()[0].platform, config.noise
    columns = {
        "n": ">6d", "masks": ">6d", "terms": ">5d", "cold s": ">7.2f", "warm ms": ">8.1f",
        "recall": ">7.3f", "false": ">6d", "largest": ">8.3f", "R2": ">8.5f", "GiB": ">5.2f",
    }  # fmt: skip
    if config.peers:
        columns |= {"peer s": ">7.1f", "recall ": ">7.3f", "false ": ">6d", "R2 ": ">8.5f",
                    "slower": ">7.0f"}  # fmt: skip
    rows = (_times(n, terms, noise, config.peers) for n, terms in config.sizes)
    title = f"b = 8, C = {GROUPS}, t = {T}, noise {noise}, {device}"
    return Rows(title, columns, rows)


def _times(n: int, terms: int, noise: float, with_peer: bool) -> tuple:
    """A row of the table of times: cold and median warm seconds, and what was found."""
    f = synthetic.flat(n, 0, n_terms=terms, noise=noise)
    design = masks.coded_design(jax.random.key(0), n, 8, T, GROUPS)
    bits = design.masks()
    values = jnp.asarray(f(bits))
    cold, (spectrum, _) = timed(lambda: spex.decode(design, values))
    warm = float(np.median(in_turn([lambda: spex.decode(design, values)], REPEATS)))
    q = quality(f, spectrum.to_dict())
    row = (n, len(bits), terms, cold, 1e3 * warm, q.recall, q.false, q.largest_false, q.r2)
    if not with_peer:
        return (*row, peak_gib())
    theirs = peers.decode(bits, np.asarray(values), GROUPS, 8, T, noise_sd=noise)
    p = quality(f, theirs.spectrum)
    return (*row, peak_gib(), theirs.seconds, p.recall, p.false, p.r2, theirs.seconds / warm)


def _capacity(config: Config) -> Rows:
    """F1 against the load of the bins and the smallest amplitude over the noise of a bin."""
    columns = {"terms/bin": ">9.1f", "amplitude/noise": ">15.1f", "F1": ">6.3f", "false": ">6.1f"}
    if config.peers:
        columns |= {"peer F1": ">8.3f", "false ": ">6.1f", "difference": ">+10.3f"}
    n = config.n[0]
    title = f"n = {n}, b = {config.b}, C = {GROUPS}, t = {T}, {config.seeds} seeds: means"
    rows = (
        _loaded(config, n, load, ratio)
        for load in (0.5, 1.0, 1.5, 2.0)
        for ratio in (4.0, 2.0, 1.2)
    )
    return Rows(title, columns, rows, _differences)


def _loaded(config: Config, n: int, load: float, ratio: float) -> tuple:
    noise = 0.5 * np.sqrt(2**config.b) / ratio
    ours, theirs = [], []
    for seed in range(config.seeds):
        f = synthetic.flat(n, seed, n_terms=int(load * 2**config.b), noise=noise)
        design = masks.coded_design(jax.random.key(seed), n, config.b, T, GROUPS)
        bits = design.masks()
        values = f(bits)
        ours.append(quality(f, spex.decode(design, values)[0].to_dict()))
        if config.peers:
            found = peers.decode(bits, values, GROUPS, config.b, T, noise_sd=noise).spectrum
            theirs.append(quality(f, found))
    row = (load, ratio, *_means(ours))
    if not config.peers:
        return row
    f1, false = _means(theirs)
    return (*row, f1, false, row[2] - f1)


def _means(found: list[Quality]) -> tuple[float, float]:
    return float(np.mean([q.f1 for q in found])), float(np.mean([q.false for q in found]))


def _differences(rows: list[tuple]) -> Iterator[str]:
    differences = [row[6] for row in rows if len(row) > 6]
    if differences:
        yield f"mean difference {np.mean(differences):+.3f}, worst {min(differences):+.3f}"


def _explain(config: Config) -> Rows:
    """``explain`` from end to end with the smallest budget that affords b = 8."""
    return Rows(
        f"explain, method spex, {jax.devices()[0].platform}",
        {"n": ">6d", "calls": ">6d", "cold s": ">7.2f", "warm s": ">7.2f", "f s": ">6.2f",
         "R2": ">8.5f", "GiB": ">5.2f"},
        (_explained(n, terms, config.noise) for n, terms in config.sizes),
    )  # fmt: skip


def _explained(n: int, terms: int, noise: float) -> tuple:
    f = synthetic.flat(n, 0, n_terms=terms, noise=noise)
    budget = masks.design_cost(n, 8, T, GROUPS) + 1002
    runs = [own(lambda g: explain(g, n, budget=budget, method="spex"), f) for _ in range(4)]
    _, spent, e = runs[-1]
    fresh = np.random.default_rng(1).random((2000, n)) < 0.5
    r2 = float(metrics.r2(dataclasses.replace(f, noise=0.0)(fresh), e.predict(fresh)))
    warm = float(np.median([seconds for seconds, _, _ in runs[1:]]))
    return n, e.calls, runs[0][0], warm, spent, r2, peak_gib()
