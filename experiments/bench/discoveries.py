"""How many of the sets that stand are false, and how many true ones stand?

``python -m spexjax.experiments discoveries`` explains functions whose coefficients are known: 30
planted sets of up to five of 30 inputs with a third of the variance as noise, noise alone, and a
constant. For each rate q it prints the mean share of false sets among those that stand (the false
discovery rate, with its standard error) and the share of the true sets that stand, of the sets that
the surrogate found; beside them, for q = 0.1, the same of all single inputs and of all pairs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

import spexjax as sx
from spexjax.experiments.functions.difficult import constant
from spexjax.experiments.functions.synthetic import flat, only_noise
from spexjax.experiments.reporting.rows import Rows
from spexjax.inference import discover
from spexjax.typing import ValueFunction

Members = tuple[int, ...]
Named = Literal["found", "singles", "pairs"]
_NOISE = 3.5  # a third of the variance of 30 terms of ±U(0.5, 2)


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    simulations: int = 400
    """Explanations of each case."""
    n: int = 30
    """Inputs."""
    budgets: tuple[int, ...] = (500, 2000)
    """Masks."""
    methods: tuple[str, ...] = ("auto", "proxyspex", "linear")
    """Which surrogates."""
    rates: tuple[float, ...] = (0.05, 0.1, 0.2)
    """False discovery rates."""


def drawn(case: str, n: int, seed: int) -> tuple[ValueFunction, set[Members]]:
    """A function and the sets whose coefficients are not 0."""
    if case == "planted":
        f = flat(n, seed, n_terms=30, noise=_NOISE)
        return f, set(f.fourier())
    return (only_noise(n, seed) if case == "noise" else constant(n, seed)), set()


def counts(found: sx.inference.Discoveries, true: set[Members]) -> tuple[float, float]:
    """The share of false ones among the sets that stand, 0 of none, and the true ones' that do."""
    standing = set(found.sets())
    false = len(standing - true) / max(len(standing), 1)
    return false, len(standing & true) / len(true) if true else np.nan


def rows(config: Config) -> Iterator[tuple]:
    """A row for every case, method, budget and family."""
    for case in ("planted", "noise", "constant"):
        for method in config.methods:
            for budget in config.budgets:
                families: list[tuple[Named, float]] = [("found", q) for q in config.rates]
                families += [("singles", 0.1), ("pairs", 0.1)]
                table = np.array([
                    _trial(case, config.n, budget, method, seed, families)
                    for seed in range(config.simulations)
                ])  # fmt: skip
                for (family, q), column in zip(families, table.swapaxes(0, 1), strict=True):
                    false, power = column.T
                    error = false.std() / np.sqrt(len(false))
                    known = None if np.isnan(power).any() else float(power.mean())
                    yield case, method, budget, family, q, float(false.mean()), error, known


def _trial(
    case: str, n: int, budget: int, method: str, seed: int, families: list[tuple[Named, float]]
) -> list[tuple[float, float]]:
    f, true = drawn(case, n, seed)
    e = sx.explain(f, n, budget=budget, method=method, seed=seed)
    sizes = {"found": range(1, n + 1), "singles": (1,), "pairs": (2,)}
    return [
        counts(discover(e, family, fdr=q), {s for s in true if len(s) in sizes[family]})
        for family, q in families
    ]


def run(config: Config) -> Rows:
    """The rows."""
    return Rows(
        f"False discoveries, n = {config.n}, {config.simulations} explanations of each",
        {
            "function": "<8", "method": "<9", "calls": ">6,", "family": "<8", "q": ">5.2f",
            "false": ">6.3f", "± s.e.": ">6.3f", "true found": ">10.3f",
        },
        rows(config),
    )  # fmt: skip
