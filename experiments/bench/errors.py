"""How often do 95 % intervals hold the truth, of coefficients and of R²?

``python -m spexjax.experiments errors`` explains random functions again and again, each with fresh
masks. Up to 16 inputs their 2^n values are known; beyond, ``--cases flat noise`` have coefficients
that are. Columns:

R²           the true one, of the surrogate, over all masks (beyond 16 inputs, over 20 000)
fixed        coverage of F(S) over 40 sets that were named in advance
unseen       the same over the ten strongest sets of the surrogate fitted without the held-out
             masks, by these masks alone
found        the same over the ten strongest sets found with all masks: not promised, since those
             were picked by the masks that judge them
length       of the intervals of ``fixed``, times √(masks)/(2 · 1.96 · deviation of f): 1 without
             a surrogate, √(1 − R²) for one of that R²
R² covered   coverage of ``faithfulness_interval``
flagged      explanations that warn of few masks, or of masks that carry all
missed, up   of those whose interval for R² misses, the share that warn
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, UInt32

import spexjax as sx
from spexjax.codes import gf2
from spexjax.experiments.functions.difficult import CASES
from spexjax.experiments.reporting.rows import Rows
from spexjax.inference import functionals
from spexjax.inference.estimates import Estimates
from spexjax.masks.uniform import all_packed
from spexjax.spectra import subsets
from spexjax.spectra.spectrum import Spectrum
from spexjax.spectra.transforms import fwht

Masks = Bool[np.ndarray, "N n"]
Truth = Callable[[UInt32[np.ndarray, "L W"]], Float[np.ndarray, "L"]]
_LARGEST_TABLE = 16
WARNINGS = ("too few masks", "few masks")
_TOP = 10


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    simulations: int = 400
    """Explanations of each case."""
    n: int = 14
    """Inputs."""
    budgets: tuple[int, ...] = (250, 1000)
    """Masks."""
    methods: tuple[str, ...] = ("auto", "spex", "proxyspex", "linear")
    """Which surrogates; ``spex`` where a budget affords it."""
    cases: tuple[str, ...] = tuple(CASES)
    """Which functions; see ``spexjax.experiments.functions.difficult``."""


@dataclass(frozen=True)
class Trial:
    """What one explanation got right; NaN where there is nothing to judge."""

    r2: float
    fixed: float
    unseen: float
    found: float
    length: float
    covered: float
    flagged: float


def trial(case: str, n: int, budget: int, method: str, seed: int) -> Trial:
    """One function, explained once."""
    f = CASES[case](n, seed)
    masks, values, truth = known(f, n, seed)
    e = sx.explain(f, n, budget=budget, method=method, seed=seed)
    spread = values.std()
    r2 = 1 - np.mean((values - e.predict(masks)) ** 2) / spread**2 if spread else 1.0
    low, high = (float(end) for end in e.faithfulness_interval)
    flags = {flag.name for flag in e.flags()}
    sets = fixed_sets(n, seed)
    fixed, found = (
        functionals.effects(e, chosen) for chosen in (sets, strongest(e.spectrum, _TOP))
    )
    evidence = e.evidence
    assert evidence is not None, "a budget of so few masks holds none out"
    apart = strongest(evidence.tested, _TOP)
    own = evidence.only_held_out()
    unseen = functionals.coefficients(own if len(own) > 1 else None, apart)
    return Trial(
        r2=r2,
        fixed=_covered(fixed, sets, truth),
        unseen=_covered(unseen, apart, truth),
        found=_covered(found, strongest(e.spectrum, _TOP), truth),
        length=_length(fixed) * np.sqrt(len(evidence)) / spread if spread else np.nan,
        covered=float(low - 1e-6 <= r2 <= high + 1e-6),
        flagged=float(bool(flags & set(WARNINGS))),
    )


def known(f: Any, n: int, seed: int) -> tuple[Masks, Float[np.ndarray, "N"], Truth]:
    """Masks, f there, and what gives F at packed sets."""
    if n > _LARGEST_TABLE:
        masks = np.random.default_rng([seed, n]).random((20_000, n)) < 0.5
        terms = f.fourier()

        def planted(sets: UInt32[np.ndarray, "L W"]) -> Float[np.ndarray, "L"]:
            rows = gf2.unpack_numpy(sets, n)
            return np.array([terms.get(tuple(np.flatnonzero(row).tolist()), 0.0) for row in rows])

        return masks, np.asarray(f(masks), float), planted
    masks = gf2.unpack_numpy(all_packed(n), n)
    values = np.asarray(f(masks), float)
    table = np.asarray(fwht(jnp.asarray(values - values.mean())), float) / 2**n
    return masks, values, lambda sets: table[sets[:, 0]]


def fixed_sets(n: int, seed: int) -> UInt32[np.ndarray, "40 W"]:
    """Forty random sets: singles, pairs, triples and sets of four."""
    rng = np.random.default_rng(seed)
    chosen: dict[tuple[int, ...], None] = {}
    while len(chosen) < 40:
        size = 1 + len(chosen) % 4 if len(chosen) < 4 * n else 3
        chosen[tuple(sorted(rng.permutation(n)[:size].tolist()))] = None
    return subsets.packed_sets(chosen, n)


def strongest(found: Spectrum, count: int) -> UInt32[np.ndarray, "sets W"]:
    """The sets of largest |F|, ∅ left out."""
    valid = np.asarray(found.valid)
    supports, F = np.asarray(found.supports)[valid], np.asarray(found.coefficients)[valid]
    rank = np.where(supports.any(axis=1) & (F != 0), np.abs(F), -1.0)
    order = np.argsort(-rank, kind="stable")[:count]
    return supports[order[rank[order] >= 0]]


def _covered(found: Estimates, sets: UInt32[np.ndarray, "L W"], truth: Truth) -> float:
    if not len(sets) or np.isnan(found.standard_error).any():
        return np.nan
    low, high = found.interval()
    true = truth(sets)
    rounding = 1e-6 * np.abs(true).max()
    return float(np.mean((low - rounding <= true) & (true <= high + rounding)))


def _length(found: Estimates) -> float:
    low, high = found.interval()
    return float(np.mean(high - low)) / (2 * 1.96)


def rows(config: Config) -> Iterator[tuple]:
    """A row for every case, method and budget."""
    for case in config.cases:
        for method in config.methods:
            for budget in config.budgets:
                try:
                    sx.design(config.n, budget=budget, method=method)
                except sx.masks.BudgetError:
                    continue
                trials = [
                    trial(case, config.n, budget, method, seed)
                    for seed in range(config.simulations)
                ]
                missed = [t.flagged for t in trials if not t.covered]
                names = ("r2", "fixed", "unseen", "found", "length", "covered", "flagged")
                columns = ([getattr(t, name) for t in trials] for name in names)
                yield (case, method, budget, *map(_mean, columns), _mean(missed))


def _mean(numbers: list[float]) -> float | None:
    known = [x for x in numbers if not np.isnan(x)]
    return float(np.mean(known)) if known else None


def run(config: Config) -> Rows:
    """The rows."""
    return Rows(
        f"Coverage of nominal 95 % intervals, n = {config.n}, {config.simulations} explanations",
        {
            "function": "<10", "method": "<9", "calls": ">6,", "R²": ">6.3f", "fixed": ">6.3f",
            "unseen": ">6.3f", "found": ">6.3f", "length": ">6.3f", "R² covered": ">10.3f",
            "flagged": ">7.3f", "missed, up": ">10.3f",
        },
        rows(config),
    )  # fmt: skip
