"""``explain``: from a value function and a budget to an :class:`Explanation`."""

import difflib
import numbers
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from spexjax import crossfit, gf2, masks, metrics, spectrum, transforms, values
from spexjax.explanation import Explanation
from spexjax.spex import JOINT_OUTPUTS, Spex
from spexjax.typing import ValueFunction
from spexjax.values import OnDevice

METHODS = ("auto", "exact", "spex", "linear")
_INTERVAL_STREAM = 7


def explain(
    f: ValueFunction | OnDevice,
    n: int,
    *,
    budget: int,
    method: str | Spex = "auto",
    max_order: int = 5,
    seed: int | jax.Array = 0,
    features: Sequence[str] | None = None,
    chunk_size: int = 512,
    progress: bool = False,
) -> Explanation:
    """Finds which sets of n inputs a value function depends on, from at most ``budget`` calls.

    Args:
      f: (rows, n) bool NumPy array to (rows,) or (rows, K) numbers; True keeps an input. A JAX
        function marked by ``spexjax.values.on_device`` gets device arrays instead.
      n: number of inputs, from 1.
      budget: masks that f may be asked for; never exceeded, and used up unless 2^n is smaller.
      method: "exact" (all 2^n masks), "spex" (Kang et al. 2025, with a refit), "linear" (ridge
        on uniform masks), "auto" (exact where 2^n ≤ budget, else SPEX where its smallest design
        is affordable, else linear), or a :class:`~spexjax.spex.Spex` configuration. Any case.
      max_order: the largest set that may be fitted; also the degree that the code of SPEX
        corrects, so a smaller one makes masks cheaper. Ignored by "exact".
      seed: an int or a JAX key; the same seed gives the same masks and the same answer.
      features: n labels.
      chunk_size: masks per call of f at most.
      progress: show a bar while f works, if the output is a terminal.

    Returns:
      The :class:`~spexjax.explanation.Explanation`. Its ``method`` says what was done: "auto" and
      "spex" become "exact" where all masks are affordable, and "linear" where cross-validation
      found that sets do not help.

    Raises:
      ValueError: if an argument is out of range, a method's name is unknown, or the budget is
        under what the method needs; the message names what would do.
      ValueFunctionError: if f fails or returns something unusable; it holds what was paid for.
    """
    n, budget = _whole("n", n), _whole("budget", budget)
    max_order, chunk_size = _whole("max_order", max_order), _whole("chunk_size", chunk_size)
    if features is not None and len(features) != n:
        raise ValueError(f"features must have n = {n} labels, got {len(features)}.")
    name, config = _resolve(method)
    key = _key(seed)
    call = _Caller(f, n, chunk_size, progress)
    if name == "exact" or (name in ("auto", "spex") and n < 63 and 2**n <= budget):
        found = _exact(call, n, budget)
    else:
        found = _sampled(call, n, budget, name, config, max_order, key)
    return found.labelled(features, seed, budget, max_order)


class _Caller:
    """The value function with its settings bound."""

    def __init__(self, f, n, chunk_size, progress):
        self.f, self.n, self.chunk_size, self.progress = f, n, chunk_size, progress

    def __call__(self, packed):
        return values.evaluate(self.f, packed, self.n, self.chunk_size, self.progress)


def _exact(call: _Caller, n: int, budget: int) -> Explanation:
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


def _sampled(
    call: _Caller, n: int, budget: int, name: str, config: Spex, max_order: int, key: jax.Array
) -> Explanation:
    t = config.t or max_order
    plan = masks.plan_budget(n, budget, t, config.groups, config.b, coded=name != "linear")
    if plan.b is None and name == "spex":
        raise ValueError(
            f"budget must be at least {min(c for _, d, c in plan.costs if d == t)} for method "
            f"'spex' with n = {n}, t = {t}, {config.groups} groups"
            f"{'' if config.b is None else f', b = {config.b}'}; got {budget}. A smaller "
            "max_order, or method 'auto' or 'linear', needs less."
        )
    W = gf2.num_words(n)
    ends = np.stack([gf2.pack_numpy(np.full(n, keep), W) for keep in (True, False)])
    design, coded = None, np.zeros((0, W), np.uint32)
    if plan.b is not None:
        design = masks.coded_design(key, n, plan.b, t, config.groups)
        coded = np.asarray(design.packed())
    bought, place = masks.unique_rows(np.concatenate([ends[: plan.endpoints], coded]))
    fresh = budget - len(bought)
    if n < 63:
        fresh = min(fresh, 2**n - len(bought))
    uniform = masks.fresh_uniform(key, n, fresh, bought)
    answers = call(np.concatenate([bought, uniform]))
    scalar = answers.ndim == 1
    answers = np.asarray(answers, np.float32).reshape(len(answers), -1)

    first = len(bought)
    others = np.setdiff1d(np.arange(first), place[plan.endpoints :])
    rows = np.concatenate([others, np.arange(first, len(answers))])
    packed = np.concatenate([bought[others], uniform])
    drawn = np.arange(len(rows)) - len(others)
    held_out = (drawn >= 0) & (drawn < plan.held_out)
    samples = crossfit.Samples(
        None if design is None else answers[place[plan.endpoints :]],
        packed,
        answers[rows],
        held_out,
    )
    shared = config.shared_support
    if shared is None:
        shared = answers.shape[1] > JOINT_OUTPUTS
    fit = crossfit.fit(samples, n, design, config.peeling, max_order, bool(shared) and not scalar)
    truth, guess = answers[rows][held_out], fit.honest.predict_packed(packed[held_out])
    if len(truth) > 1:
        faithfulness = metrics.r2(truth, guess)
        interval_key = jax.random.fold_in(key, _INTERVAL_STREAM)
        interval = metrics.r2_interval(interval_key, truth, guess)
    else:
        faithfulness = jnp.full(answers.shape[1], jnp.nan)
        interval = (faithfulness, faithfulness)

    def output(x):
        return x[0] if scalar else x

    empty = answers[1] if budget > 1 else np.full_like(answers[0], np.nan)
    linear = design is None or all(m == "linear" for m in fit.method)
    return Explanation(
        spectrum=fit.final[0] if scalar else fit.final,
        n=n,
        method="linear" if linear else "spex",
        calls=len(answers),
        full=output(answers[0]),
        empty=output(empty),
        faithfulness=output(faithfulness),
        faithfulness_interval=tuple(output(end) for end in interval),
        info=fit.info,
    )


def _resolve(method: str | Spex) -> tuple[str, Spex]:
    if isinstance(method, Spex):
        return "spex", method
    if not isinstance(method, str):
        raise ValueError(f"method must be a name or a configuration, got {method!r}.")
    name = method.lower()
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, 1, 0.0)
        raise ValueError(
            f"method {method!r} is unknown; did you mean {near[0]!r}? "
            f"There are {', '.join(METHODS)}."
        )
    return name, Spex()


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ValueError(f"{name} must be an int, got {value!r}.")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}.")
    return int(value)


def _key(seed: int | jax.Array) -> jax.Array:
    if isinstance(seed, jax.Array) and jnp.issubdtype(seed.dtype, jax.dtypes.prng_key):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral):
        raise ValueError(f"seed must be an int or a typed JAX key, got {seed!r}.")
    return jax.random.key(int(seed), impl="threefry2x32")
