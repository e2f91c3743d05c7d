"""The decoding benchmarks measure what they say, on small cases."""

import dataclasses

import numpy as np
import pytest

from spexjax import masks
from spexjax.experiments.bench import decode as bench_decode
from spexjax.experiments.bench import refit as bench_refit
from spexjax.experiments.bench import words as bench_words
from spexjax.experiments.functions import synthetic


def test_quality_of_the_truth_and_of_less():
    f = synthetic.family("flat", 20, 0, n_terms=10)
    truth = f.fourier()
    whole = bench_decode.quality(f, truth)
    assert (whole.recall, whole.false, whole.f1) == (1.0, 0, 1.0)
    assert whole.r2 == pytest.approx(1.0, abs=1e-5)
    sets = [k for k in truth if k]
    wrong = tuple(i for i in range(6))
    part = {k: truth[k] for k in sets[:5]} | {wrong: 0.3}
    q = bench_decode.quality(dataclasses.replace(f, noise=1.0), part)
    assert (q.recall, q.false) == (0.5, 1)
    assert q.largest_false == pytest.approx(0.3)
    assert q.f1 == pytest.approx(2 * 5 / (10 + 6))
    assert q.r2 < 0.99


def test_word_error_rates_fall_with_the_signal():
    rows = list(bench_words.table(30, 3, 60, with_peer=False))
    hard, soft = [row[1] for row in rows], [row[2] for row in rows]
    assert hard[0] <= 0.05 and hard[-1] > 0.3
    assert sum(soft) < 0.9 * sum(hard)


def test_ridge_linear_finds_a_linear_function():
    rng = np.random.default_rng(0)
    bits = rng.random((300, 10)) < 0.5
    weights = rng.standard_normal(10)
    w, c = bench_refit.ridge_linear(bits, (1.0 - 2.0 * bits) @ weights + 2)
    np.testing.assert_allclose(w, weights, atol=1e-3)
    assert c == pytest.approx(2, abs=1e-3)


def test_the_table_of_times_says_what_was_found():
    (row,) = bench_decode.run(bench_decode.Config(n=(40,), terms=8, noise=0.0)).rows
    n, calls, terms, cold, warm, recall, false, _, r2, _ = row
    assert (n, terms, recall, false) == (40, 8, 1.0, 0) and r2 == pytest.approx(1, abs=1e-4)
    assert calls == masks.design_cost(40, 8, 5, 3) and 1e3 * cold > warm


@pytest.mark.slow
def test_spex_is_never_far_below_linear_regression_on_its_own_calls():
    n = 48
    budgets = [(b, bench_refit.smallest_budget(n, b)) for b in (3, 4)]
    rows = bench_refit.compared(n, 16, budgets, 10_000)
    gains = np.array([row[6] for row in rows])
    assert gains.min() >= -0.01
    assert gains.mean() >= -0.002
