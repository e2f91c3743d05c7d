"""What is compiled follows from the design, is little, and is compiled while f works."""

import re
import threading
import time

import jax
import numpy as np
import pytest

from spexjax import ProxySpex, ahead, design, explain
from spexjax.codes import gf2
from spexjax.methods import registry
from spexjax.methods.auto import Auto
from spexjax.steps import seed_key
from spexjax.surrogates.proposals import BOOSTS, Wider

# Strict promotion is a setting of one thread, for which nothing is compiled in others.
pytestmark = pytest.mark.loose_promotion
SIZES = (17, 19, 23, 27, 31, 32, 33, 37, 43, 51, 58, 64, 70, 85, 97, 110, 128, 150, 200, 250)
BUDGETS = (500, 1000, 4000)
SCATTER = re.compile(r"stablehlo\.scatter.*?\}\) : \(", re.DOTALL)
FITS = {"search_each", "linear", "_grow", "normal", "ridge", "lasso", "held_out"}


def signatures(made):
    method = registry.METHODS[made.method]
    config = registry.from_json(made.method, made.settings)
    return {p.signature() for p in method.programs(config, made, seed_key(made.seed))}


@pytest.mark.parametrize("method", ["auto", "spex", "proxyspex"])
def test_programs_are_those_of_buckets_of_sizes(method):
    """Of a budget and a number of words one of each; of another code those that see it."""
    for budget in BUDGETS:
        found, codes = {}, {}
        for n in SIZES:
            try:
                made = design(n, budget=budget, method=method)
            except ValueError:
                continue  # the budget is below SPEX's smallest design
            coded, words = made.coded, gf2.num_words(n)
            found.setdefault(words, set()).update(signatures(made))
            shape = coded and (coded.num_delays, coded.b, coded.code.positions)
            codes.setdefault(words, set()).add(shape)
        for words, programs in found.items():
            names = [name for name, *_ in programs]
            assert set(names) <= FITS
            for name in FITS:
                lanes = {shape is None for shape in codes[words]}  # five folds without a code
                seen = {"linear": lanes, "_grow": lanes, "ridge": {()}, "lasso": {()}}
                allowed = len(seen.get(name, codes[words]))
                assert names.count(name) <= allowed, (method, budget, words, name)


@pytest.mark.parametrize("method", ["auto", "spex", "proxyspex"])
def test_what_gpus_get_is_exact_and_has_one_order(method):
    """Products of float32 are not rounded, and no two numbers race to be added at one place."""
    made = design(64, budget=4000, method=method)
    config = registry.from_json(made.method, made.settings)
    products = 0
    for program in registry.METHODS[made.method].programs(config, made, seed_key(made.seed)):
        lowered = program.function.trace(*program.arguments).lower(lowering_platforms=("cuda",))
        text = lowered.as_text()
        for line in text.splitlines():
            if "stablehlo.dot_general" in line and "xf32>" in line:
                assert "precision = [HIGHEST, HIGHEST]" in line, line
                products += 1
        for scatter in SCATTER.findall(text):
            adds = "stablehlo.add" in scatter and "f32" in scatter
            assert not adds or "unique_indices = true" in scatter, scatter
    assert products > 5


def sum_of_ands(seed):
    rng = np.random.default_rng(seed)
    sets = [rng.choice(18, 3, replace=False) for _ in range(3)]
    weights = rng.normal(size=3)
    return lambda masks: sum(
        masks[:, s].all(axis=1) * w for s, w in zip(sets, weights, strict=True)
    )


@pytest.fixture
def compiled(monkeypatch):
    """The names of the programs compiled since, nothing being compiled at first."""
    names, lock = [], threading.Lock()

    def hear(event, seconds, fun_name="", **_):
        with lock:
            if event.endswith("backend_compile_duration"):
                names.append(fun_name.removeprefix("jit(").removesuffix(")"))

    jax.clear_caches()
    monkeypatch.setattr(ahead, "_started", set())
    jax.monitoring.register_event_duration_secs_listener(hear)
    yield names
    jax.monitoring.clear_event_listeners()


@pytest.mark.parametrize(
    "method", [Auto(Wider(boosts=BOOSTS[:1])), "spex", ProxySpex(boosts=BOOSTS[:1])]
)
def test_a_run_compiles_what_was_foretold_once_and_another_nothing(method, compiled):
    foretold = {name for name, *_ in signatures(design(18, budget=1000, method=method))}
    explain(sum_of_ands(0), 18, budget=1000, method=method)
    found = [name for name in compiled if name in FITS]
    assert sorted(found) == sorted(foretold)
    compiled.clear()
    explain(sum_of_ands(1), 18, budget=1000, method=method)
    explain(sum_of_ands(2), 25, budget=1000, method=method, seed=3)
    assert not FITS & set(compiled)


def test_programs_are_compiled_while_the_function_works(compiled):
    seen = []

    def slow(masks):
        deadline = time.monotonic() + 120
        while not FITS - {"search_each"} <= set(compiled) and time.monotonic() < deadline:
            time.sleep(0.05)
        seen.extend(compiled)
        return masks[:, 0] * 1.0

    explain(slow, 18, budget=400, method="proxyspex", chunk_size=400)
    assert set(seen) >= FITS - {"search_each"}


def test_settings_of_a_thread_make_no_programs_in_others(compiled):
    with jax.numpy_dtype_promotion("strict"):
        explain(sum_of_ands(0), 18, budget=300, method="proxyspex")
    found = [name for name in compiled if name in FITS]
    assert sorted(found) == sorted(FITS - {"search_each"})


def test_an_error_of_the_function_ends_the_compiling(compiled):
    def broken(masks):
        raise RuntimeError("no")

    with pytest.raises(Exception, match="no"):
        explain(broken, 18, budget=400)
    before = threading.active_count()
    deadline = time.monotonic() + 120
    while any(t.name.startswith("spexjax-compile") for t in threading.enumerate()):
        assert time.monotonic() < deadline, before
        time.sleep(0.05)
