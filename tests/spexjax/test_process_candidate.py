"""A Gaussian process among the candidates of ``auto``."""

import numpy as np
import pytest
import threadpoolctl

import spexjax as sx
from spexjax.codes import gf2
from spexjax.methods import auto
from spexjax.processes import covariance as processes
from spexjax.processes import reading, unpaired
from spexjax.processes.threads import one_thread
from spexjax.surrogates import folds, process_candidate
from spexjax.surrogates.proposals import Wider

N = 10


def smooth(masks):
    """A saturating sum: sets of all sizes, small ones first."""
    weights = np.linspace(-1, 2, masks.shape[1])
    return np.tanh(masks @ weights / 3 - 0.3) + 0.1 * masks[:, 0] * masks[:, 2]


@pytest.fixture(scope="module")
def asked():
    rng = np.random.default_rng(0)
    signs = np.where(rng.integers(0, 2, (150, N)), 1.0, -1.0)
    y = smooth(signs > 0)
    return signs, (y - y.mean())[:, None]


def test_learning_climbs_and_the_gradient_is_that_of_the_value(asked):
    signs, y = asked
    asked = signs, y + 0.1 * np.random.default_rng(1).standard_normal(y.shape)
    settings = unpaired.learn(*asked)
    even = unpaired.learn(*asked, steps=0)
    assert unpaired.loss(settings.theta, *asked)[0] < unpaired.loss(even.theta, *asked)[0] - 3
    theta = settings.theta + 0.1
    _, slope = unpaired.loss(theta, *asked)
    for place in (0, 3, N, N + 1, N + 2):
        step = np.zeros_like(theta)
        step[place] = 1e-5
        up, down = (unpaired.loss(theta + h * step, *asked)[0] for h in (1, -1))
        assert (up - down) / 2e-5 == pytest.approx(slope[place], rel=1e-4, abs=1e-5)


def test_the_mean_is_that_of_the_covariance(asked):
    signs, y = asked
    settings = unpaired.learn(signs, y)
    mean = unpaired.mean(signs, y, settings)
    every = np.where(np.arange(2**N)[:, None] >> np.arange(N) & 1, 1.0, -1.0)

    def covariance(one, other):
        even, odd = processes.covariance(one, other, settings.rates)
        return (1 - settings.odd) * even + settings.odd * odd

    A = covariance(signs, signs) + settings.nugget * np.eye(len(signs))
    right = covariance(every, signs) @ np.linalg.solve(A, y)
    rows = np.arange(2**N, dtype=np.uint32)[:, None]
    members = np.where(gf2.unpack_numpy(rows, N), np.arange(N), -1)
    F = reading.coefficients(mean, members)
    parity = 1.0 - 2 * (np.bitwise_count(rows & rows.T) % 2)
    np.testing.assert_allclose(parity @ F, right, atol=1e-6)


@pytest.mark.parametrize("rate", [0.03, 40.0])
def test_a_mixture_is_of_both_parts(asked, rate):
    signs, _ = asked
    rates = np.full(N, rate)
    even, odd = processes.covariance(signs, signs[:20], rates)
    found = processes.mixture(signs, signs[:20], rates, 0.3)
    np.testing.assert_allclose(found, 0.7 * even + 0.3 * odd, rtol=1e-9, atol=1e-12)


def test_a_mask_asked_twice_is_no_obstacle(asked):
    signs, y = (np.concatenate([x, x]) for x in asked)
    theta = np.append(np.full(N + 2, -2.0), -25.0)
    mean = unpaired.mean(signs, y, unpaired.Settings(theta))
    assert np.isfinite(mean.weights).all()


def _tables(design, values):
    data = folds.data_of(design, (values - values.mean())[:, None])
    return data, folds.table_of(design.coded, data)


@pytest.mark.parametrize("n,budget", [(24, 130), (24, 700)])
def test_a_lane_knows_nothing_of_its_fold(n, budget):
    design = sx.design(n, budget=budget, method=sx.methods.auto.Auto(), max_order=3)
    values = smooth(design.masks())
    data, table = _tables(design, values)
    before = process_candidate.means(design, data, table, 0)
    fold = table.fold[: len(design)]
    changed = table.values.copy()
    changed[0, : len(design)][fold == 1] += 1.0
    after = process_candidate.means(design, data, table._replace(values=changed), 0)
    kept = (fold >= 0) & (fold != 1)
    assert len(before.lanes) == folds.num_folds(design.coded) + 1
    # Where the search for a fold's rates begins is what all masks say, and it ends where it ends.
    np.testing.assert_array_equal(before.lanes[1].signs > 0, table.masks[: len(design), :n][kept])
    guess = [
        reading.coefficients(m.lanes[1], np.arange(n, dtype=np.int32)[:, None])[:, 0]
        for m in (before, after)
    ]
    assert np.abs(guess[0] - guess[1]).max() < 0.1 * np.abs(guess[0]).max()
    assert not np.allclose(before.whole.weights, after.whole.weights)


@pytest.mark.parametrize("budget", [130, 700])
def test_what_is_said_of_the_columns(budget):
    n = 24
    design = sx.design(n, budget=budget, max_order=3)
    values = smooth(design.masks())
    data, table = _tables(design, values)
    lanes = folds.num_folds(design.coded) + 1
    members = np.full((lanes, 5, 3), -1, np.int32)
    members[:, 0, 1:] = 0, 1
    members[:, 1, 1:] = 22, 23
    means = process_candidate.means(design, data, table, 0)
    found = process_candidate.read(means, members, 32, 3)
    for own in found.members:
        sets = [tuple(s[s >= 0]) for s in own]
        assert len(set(sets)) == len(sets)
        assert not {(0, 1), (22, 23)} & set(sets)
        assert all(2 <= len(s) <= 3 for s in sets)
    T = 1 + 32 + 5 + found.members.shape[1]
    assert found.lanes.shape == (lanes, T) and found.whole.shape == (T,)
    assert not found.lanes[:, 1 + n : 33].any()  # padding of the single inputs,
    assert not found.whole[[35, 36, 37]].any()  # and rows that are no set
    assert found.whole[[33, 34]].all()
    for lane, left in enumerate(means.residuals):
        # What the coefficients leave in the fold is about what the mean leaves there.
        rows = np.concatenate([np.zeros(0) if left.coded is None else left.coded, left.rows])
        rows = rows[: len(design)]
        out = table.fold[: len(design)] == lane
        assert not rows[~out].any()
        sets = np.concatenate([members[lane], found.members[lane]])
        columns = _columns(table.masks[: len(design)][out], sets)
        right = table.values[0, : len(design)][out] - columns @ found.lanes[lane]
        assert np.sqrt(np.mean((right - rows[out]) ** 2)) < 0.03


def _columns(masks, sets):
    signs = np.concatenate([1.0 - 2 * masks, np.ones((len(masks), 1))], axis=1)
    products = np.prod(signs[:, sets], axis=2)
    return np.concatenate([np.ones((len(masks), 1)), signs[:, :-1], products], axis=1)


def test_what_it_brings_to_smooth_functions():
    f, n = smooth, 20
    test = np.random.default_rng(1).integers(0, 2, (2000, n)).astype(bool)
    right = f(test)
    design = sx.design(n, budget=250, max_order=4)
    errors = []
    for process_masks in (2048, 0):
        e = sx.fit(
            sx.design(n, budget=250, max_order=4, method=auto.Auto(Wider(process=process_masks))),
            f(design.masks()),
        )
        errors.append(np.mean((e.predict(test) - right) ** 2))
    assert errors[0] < 0.5 * errors[1]


def test_blas_has_one_thread_as_long_as_anyone_asks():
    def threads():
        return [
            x["num_threads"] for x in threadpoolctl.threadpool_info() if x["user_api"] == "blas"
        ]

    with threadpoolctl.threadpool_limits(2, "blas"):
        assert set(threads()) == {2}
        with one_thread():
            assert set(threads()) == {1}
            with one_thread():
                pass
            assert set(threads()) == {1}
        assert set(threads()) == {2}
