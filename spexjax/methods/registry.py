"""The methods of ``explain`` by name: what each buys and how it is fitted."""

import dataclasses
import difflib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from spexjax import masks
from spexjax.decoding.spex import JOINT_OUTPUTS, Spex
from spexjax.explanation import Explanation
from spexjax.methods import proxyspex_paper
from spexjax.methods.baselines import BASELINES
from spexjax.methods.proxyspex import ProxySpex
from spexjax.methods.purchase import Caller, Purchase, buy, measured
from spexjax.spectra import spectrum, transforms
from spexjax.surrogates import cross_validation, shared_support
from spexjax.surrogates.proposals import Wider
from spexjax.typing import Key

_TREES = 8  # the sub-stream of the key that the trees draw from


@dataclasses.dataclass(frozen=True)
class Exact:
    """All 2^n masks, transformed."""


@dataclasses.dataclass(frozen=True)
class Linear:
    """Ridge regression on uniform masks."""


@dataclasses.dataclass(frozen=True)
class Auto:
    """Exact where 2^n ≤ budget, else one purchase that feeds every way to find sets.

    Coded masks are bought where the smallest design is affordable, uniform ones with the rest.
    Sets that SPEX decodes, supports of boosted trees and screened pairs are fitted together, by
    ridge and by L1 under several priors; cross-validation, honest about the search, says in which
    shares these fits are averaged (:mod:`spexjax.surrogates.cross_validation`, :mod:`spexjax.surrogates.stacking`).

    Attributes:
      wider: what is proposed besides the decoded sets.
      fewest: under this many masks to fit, only linear and SPEX are tried.
    """

    wider: Wider = Wider()  # noqa: RUF009 (frozen)
    fewest: int = 100


def affords_all(n: int, budget: int) -> bool:
    return n < 63 and 2**n <= budget


def run_exact(call: Caller, budget: int, config: Exact, max_order: int, key: Key) -> Explanation:
    n = call.n
    if n > 30 or 2**n > budget:
        raise ValueError(
            f"budget must be at least 2^n = {2**n} for method 'exact' with n = {n}, got {budget}."
        )
    packed = masks.all_packed(n)
    table = jnp.asarray(call(packed), jnp.float32)
    coefficients = transforms.ifwht(table, axis=0)
    found = spectrum.from_terms(packed, np.asarray(coefficients).T, n)
    one = jnp.ones(table.shape[1:])
    return Explanation(
        spectrum=found, n=n, method="exact", calls=2**n, full=table[-1], empty=table[0],
        faithfulness=one, faithfulness_interval=(one, one),
    )  # fmt: skip


def run_linear(call: Caller, budget: int, config: Linear, max_order: int, key: Key) -> Explanation:
    bought = buy(call, masks.plan_budget(call.n, budget, coded=False), key)
    return _fit(bought, Spex(), max_order, key)


def run_spex(call: Caller, budget: int, config: Spex, max_order: int, key: Key) -> Explanation:
    if affords_all(call.n, budget):
        return run_exact(call, budget, Exact(), max_order, key)
    t = config.t or max_order
    plan = masks.plan_budget(call.n, budget, t, config.groups, config.b)
    if plan.b is None:
        raise ValueError(
            f"budget must be at least {min(c for _, d, c in plan.costs if d == t)} for method "
            f"'spex' with n = {call.n}, t = {t}, {config.groups} groups"
            f"{'' if config.b is None else f', b = {config.b}'}; got {budget}. A smaller "
            "max_order, or method 'auto' or 'linear', needs less."
        )
    return _fit(buy(call, plan, key), config, max_order, key)


def run_auto(call: Caller, budget: int, config: Auto, max_order: int, key: Key) -> Explanation:
    if affords_all(call.n, budget):
        return run_exact(call, budget, Exact(), max_order, key)
    plan = masks.plan_budget(call.n, budget, max_order)
    enough = plan.total - plan.held_out >= config.fewest
    wider = config.wider if enough else None
    return _fit(buy(call, plan, key), Spex(), max_order, key, wider, "auto")


def run_proxyspex(
    call: Caller, budget: int, config: ProxySpex, max_order: int, key: Key
) -> Explanation:
    if affords_all(call.n, budget):
        return run_exact(call, budget, Exact(), max_order, key)
    if config.proxy == "lightgbm" and config.recipe != "paper":
        raise ValueError("proxy='lightgbm' needs recipe='paper'; recipe='cv' grows its own trees.")
    plan = masks.plan_budget(call.n, budget, coded=False)
    bought = buy(call, plan, key, paired=config.masks == "paired")
    if config.recipe == "paper":
        found = proxyspex_paper.fit(bought.samples, call.n, config, jax.random.fold_in(key, _TREES))
        return measured(bought, found.honest, found.final, found.method, key)
    wider = Wider(config.terms, pairs=False, boosts=config.boosts)
    spex = Spex(shared_support=config.shared_support)
    return _fit(bought, spex, max_order, key, wider, "proxyspex")


def _fit(
    bought: Purchase,
    config: Spex,
    max_order: int,
    key: Key,
    wider: Wider | None = None,
    wide_name: str = "",
) -> Explanation:
    shared, stream = config.shared_support, jax.random.fold_in(key, _TREES)
    if shared is None:
        shared = len(bought.full) > JOINT_OUTPUTS
    if shared and not bought.scalar and wider is not None and bought.design is None:
        together = shared_support.fit(bought.samples, bought.n, wider, max_order, stream)
        name = wide_name if together.sets else "linear"
        return measured(bought, together.honest, together.final, name, key)
    fit = cross_validation.fit(
        bought.samples, bought.n, bought.design, config.peeling, max_order,
        bool(shared) and not bought.scalar, wider, stream,
    )  # fmt: skip
    if "wider" in fit.methods:
        name = wide_name
    elif bought.design is None or fit.methods <= {"linear"}:
        name = "linear"
    else:
        name = "spex"
    return measured(bought, fit.honest, fit.final, name, key, fit.info)


Run = Callable[[Caller, int, Any, int, Key], Explanation]

METHODS: dict[str, tuple[type, Run]] = {
    "auto": (Auto, run_auto),
    "exact": (Exact, run_exact),
    "spex": (Spex, run_spex),
    "proxyspex": (ProxySpex, run_proxyspex),
    "linear": (Linear, run_linear),
    **BASELINES,
}
"""Name → (class of its configuration, function (call, budget, config, max_order, key))."""


def resolve(method: Any) -> tuple[Any, Run]:
    """The configuration and run of a name, in any case, or of a configuration.

    Raises:
      ValueError: if the name or the configuration is unknown; the nearest name is suggested.
    """
    if not isinstance(method, str):
        for config, run in METHODS.values():
            if isinstance(method, config):
                return method, run
        raise ValueError(f"method must be a name or a configuration, got {method!r}.")
    name = method.lower()
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, 1, 0.0)
        raise ValueError(
            f"method {method!r} is unknown; did you mean {near[0]!r}? "
            f"There are {', '.join(METHODS)}."
        )
    config, run = METHODS[name]
    return config(), run
