"""``target=…``: an index for its own sake, from pairs of masks and a process fitted to them."""

import itertools
from math import comb

import numpy as np
import pytest

import spexjax as sx
from spexjax.indices.mask_weights import mask_weights
from spexjax.indices.quadrature import rule
from spexjax.methods.targeted import TARGETS
from spexjax.processes import pairs, process, reading, sparse
from spexjax.processes.covariance import covariance, predict
from spexjax.processes.likelihood import likelihood
from spexjax.processes.missed import missed
from spexjax.spectra import subsets

CASES = [
    (name, order) for name in TARGETS for order in ((1,) if name in ("SV", "BV") else (1, 2, 3))
]
ADDING_UP = ("SV", "k-SII", "STII", "FSII")
N = 12


def every(n):
    return (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)


def smooth(masks):
    """A saturating sum: sets of all sizes, small ones first."""
    weights = np.linspace(-1, 2, masks.shape[1])
    return np.tanh(masks @ weights / 4 - 0.3) + 0.2 * masks[:, 0] * masks[:, 2]


def truth(f, n, name, order):
    return of_table(f(every(n)), n, name, order)


def of_table(table, n, name, order):
    """The index of all 2ⁿ values, by way of the Fourier transform's definition."""
    rows = np.arange(2**n)
    F = np.array([(1 - 2.0 * (np.bitwise_count(rows & k) % 2)) @ table for k in rows]) / 2**n
    return sx.indices.from_terms(rows.astype(np.uint32)[:, None], F, n, name, order)


def relative_error(found, right):
    sets = [
        s for k in range(1, right.max_order + 1) for s in itertools.combinations(range(right.n), k)
    ]
    a, b = (np.array([ix[s] for s in sets]) for ix in (found, right))
    return float(((a - b) ** 2).sum() / (b**2).sum())


@pytest.mark.parametrize("name,order", CASES)
def test_weights_of_masks_are_the_index(name, order):
    n = 5
    table = np.random.default_rng(0).standard_normal(2**n)
    masks = every(n)
    right = of_table(table, n, name, order)
    size = masks.sum(axis=1)
    weights = mask_weights(name, order, n) / np.array([comb(n, s) for s in range(n + 1)])[:, None]
    for s in range(order + 1):
        for members in itertools.combinations(range(n), s):
            a = weights[s, size, masks[:, members].sum(axis=1)]
            assert a @ table == pytest.approx(right[members] if s else right.baseline, abs=1e-12)


@pytest.mark.parametrize("name,order", CASES)
def test_a_rule_gives_the_index_of_a_product(name, order):
    n = 6
    z = np.random.default_rng(1).uniform(-0.9, 0.9, n)
    F = np.where(every(n), z, 1.0).prod(axis=1)
    supports = np.arange(2**n, dtype=np.uint32)[:, None]
    right = sx.indices.from_terms(supports, F, n, name, order)
    found = rule(name, order, n)
    for s in range(order + 1):
        factors = found.factors[s].sum(axis=0)
        for members in itertools.combinations(range(n), s):
            rest = np.setdiff1d(np.arange(n), members)
            value = (
                z[list(members)].prod()
                * factors
                @ (1 + found.nodes[:, None] * z[rest]).prod(axis=1)
            )
            assert value == pytest.approx(right[members] if s else right.baseline, abs=1e-12)


def test_weights_of_masks_refuse_what_would_take_minutes():
    with pytest.raises(ValueError, match="at most 512"):
        mask_weights("FSII", 2, 600)
    assert np.isfinite(mask_weights("SV", 1, 3000)).all()


@pytest.fixture(scope="module")
def conditioned():
    design = sx.design(N, budget=300, target="SV")
    found = pairs.pairs_of(design)
    y = pairs.parts(smooth(design.masks())[:, None], found)
    settings = process.learn(found.signs, y)
    return found, y, settings, process.condition(found.signs, y, settings, len(found.signs))[1]


def test_residuals_without_a_pair_are_those_of_a_process_without_it(conditioned):
    found, y, settings, whole = conditioned
    fixed = settings._replace(nuggets=settings.nuggets)
    for left in (1, 40):
        kept = np.arange(len(found.signs)) != left
        # The level is a mean of all pairs, which the formula takes as given.
        centred = y - np.stack([whole.mean.level, 0 * whole.mean.level])[:, None]
        for part in (0, 1):
            K = covariance(found.signs, found.signs, fixed.rates)[part]
            nugget = np.exp(fixed.nuggets[part]) * np.eye(kept.sum())
            guess = K[left, kept] @ np.linalg.solve(
                K[np.ix_(kept, kept)] + nugget, centred[part, kept]
            )
            assert whole.left_out[part, left] == pytest.approx(
                centred[part, left] - guess, abs=1e-6
            )


def test_the_gradient_of_the_likelihood_is_that_of_its_value(conditioned):
    found, y, settings, _ = conditioned
    K = covariance(found.signs[:40], found.signs[:40], settings.rates)[1]
    _, slope = likelihood(K, 0.01, y[1, :40])
    change = np.random.default_rng(0).standard_normal((40, 40)) * 1e-6
    change = change + change.T
    up, down = (likelihood(K + h * change, 0.01, y[1, :40])[0] for h in (1, -1))
    assert (up - down) / 2 == pytest.approx((slope * change).sum(), rel=1e-4)


def test_learning_climbs_and_the_gradient_is_that_of_the_value(conditioned):
    found, y, settings, _ = conditioned
    asked = found.signs[:60], y[:, :60] / np.sqrt(np.mean(y**2, axis=1, keepdims=True))
    theta = np.concatenate([np.log(settings.rates), [-2.0, *np.maximum(settings.nuggets, -8)]])
    theta += 0.3 * np.random.default_rng(0).standard_normal(theta.shape)
    value, slope = process.loss(theta, *asked)
    assert process.loss(theta - 1e-3 * slope / np.abs(slope).max(), *asked)[0] < value
    for place in (0, 3, N, N + 1, N + 2):
        step = np.zeros_like(theta)
        step[place] = 1e-5
        up, down = (process.loss(theta + h * step, *asked)[0] for h in (1, -1))
        assert (up - down) / 2e-5 == pytest.approx(slope[place], rel=1e-4, abs=1e-4)


def test_pairs_are_learned_beside_single_inputs_that_add_up():
    """These ask for low rates, which would leave pairs nothing if ∅ had what they lose."""
    left = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        alone, both = rng.standard_normal((N, 1)), np.zeros((N, N))
        both[rng.choice(6, 4), 6 + rng.choice(6, 4)] = rng.standard_normal(4)

        def even(signs, both=both):
            return np.einsum("mi,ij,mj->m", signs, both, signs)[:, None]

        found = pairs.pairs_of(sx.design(N, budget=60, target="BV", seed=seed))
        parts = np.stack([even(found.signs), found.signs @ alone])
        settings = process.learn(found.signs, parts - [[parts[0].mean(axis=0)], [[0.0]]])
        mean = process.condition(found.signs, parts, settings, len(found.signs))[1].mean
        fresh = np.where(rng.random((2000, N)) < 0.5, 1.0, -1.0)
        guess = (predict(mean, fresh) + predict(mean, -fresh)) / 2
        left.append(np.var(even(fresh) - guess) / np.var(even(fresh)))
    assert np.mean(left) < 0.35


@pytest.mark.parametrize("name,order", [("SV", 1), ("FSII", 2), ("STII", 3), ("BII", 2)])
def test_indices_of_the_mean_are_those_of_its_coefficients(conditioned, name, order):
    *_, whole = conditioned
    members = np.where(every(N), np.arange(N), -1)
    F = reading.coefficients(whole.mean, members)[:, 0]
    right = sx.indices.from_terms(np.arange(2**N, dtype=np.uint32)[:, None], F, N, name, order)
    sets = subsets.terms(N, order)
    found = reading.index(whole, sets, name, order)[:, 0]
    assert found[0] == pytest.approx(right.baseline, abs=1e-10)
    for row, value in zip(sets.members[1:], found[1:], strict=True):
        assert value == pytest.approx(right[tuple(row[row >= 0].tolist())], abs=1e-10)


@pytest.mark.parametrize(
    "name,order", [("SV", 1), ("k-SII", 2), ("STII", 2), ("FSII", 2), ("FBII", 2)]
)
def test_far_closer_than_without_a_target(name, order):
    right = truth(smooth, N, name, order)
    found = sx.explain(smooth, N, budget=400, target=(name, order)).interactions(name, order)
    plain = sx.explain(smooth, N, budget=400, method="linear").interactions(name, order)
    assert relative_error(found, right) < min(5e-4, 0.01 * relative_error(plain, right))


@pytest.mark.parametrize("name", ADDING_UP)
def test_values_add_up(name):
    e = sx.explain(
        lambda m: 7 + smooth(m) + np.sin(99 * (m @ np.arange(N))), N, budget=101, target=name
    )
    ix = e.interactions(name, 2)
    assert ix.baseline == pytest.approx(e.empty, abs=1e-9)
    assert ix.values.sum() == pytest.approx(e.full - e.empty, abs=1e-9)


def test_intervals_cover():
    """95 % of the Shapley values of a rough function, about, over seeds."""

    def f(masks):
        rough = np.sin(37.0 * (masks @ np.sqrt(np.arange(2.0, N + 2))))
        return smooth(masks) + 0.5 * rough

    right = truth(f, N, "SV", 1).to_array()
    hits = []
    for seed in range(20):
        ix = sx.explain(f, N, budget=200, target="SV", seed=seed).interactions("SV")
        low, high = ix.estimates.interval(0.95)
        sets = [members[0] for members, _ in ix]
        hits.append((low <= right[sets]) & (right[sets] <= high))
    assert 0.90 <= np.mean(hits) <= 0.985


def test_sets_stand_whatever_index_is_asked_for():
    e = sx.explain(smooth, N, budget=200, target="SV")
    targeted, banzhaf = e.interactions("SV"), e.interactions("BV")
    standing = [{s for s, _ in ix[ix.stands()]} for ix in (targeted, banzhaf)]
    assert standing[0] == standing[1] != set()


@pytest.mark.parametrize("name,order", [("SV", 1), ("k-SII", 2), ("STII", 2)])
def test_a_function_of_few_sets_is_found_without_error(name, order):
    def f(masks):
        kept = masks.astype(float)
        return kept[:, 0] * kept[:, 3] * kept[:, 7] - 2 * kept[:, 5] + kept[:, 1] * (1 - kept[:, 9])

    found = sx.explain(f, N, budget=400, target=(name, order)).interactions(name, order)
    assert relative_error(found, truth(f, N, name, order)) < 1e-20


def characters(signs, sets):
    return np.stack([np.prod(-signs[:, [i for i in s if i >= 0]], axis=1) for s in sets], axis=1)


@pytest.mark.parametrize("part,sets", [
    (0, [(3, 9, -1, -1, -1), (3, 6, 9, 29, -1)]),
    (1, [(3, 9, 11, -1, -1), (3, 7, 9, 11, 29)]),
])  # fmt: skip
def test_sets_that_others_lack_are_found_in_what_they_leave(part, sets):
    rng = np.random.default_rng(part)
    signs = rng.choice([-1.0, 1.0], (400, 30))
    noise = rng.standard_normal((400, 2))
    known = np.array([sets[0]], np.int32)
    left = characters(signs, sets) @ np.array([[1.0, 1.0], [0.6, -0.6]]) + 0.1 * noise
    found = missed(signs, left, np.ones(30), part, np.full((1, 5), -1, np.int32))
    assert [tuple(s) for s in found] == sets[:1]  # and not what holds it
    left = left - characters(signs, sets[:1])
    found = missed(signs, left, np.ones(30), part, known)
    assert [tuple(s) for s in found] == sets[1:]
    assert not len(missed(signs, noise, np.ones(30), part, known))
    assert not len(missed(signs, 0 * noise, np.ones(30), part, known))


def test_a_weak_set_of_weak_inputs_is_added_to_the_strongest():
    n, P = 24, 400
    rng = np.random.default_rng(3)
    signs = rng.choice([-1.0, 1.0], (P, n))
    signs[0] = 1.0
    strong = [(0,), (1,), (2,), (0, 1, 2), (0, 1, 3), (1, 2, 3)]
    odd = characters(signs, strong).sum(axis=1) + 1e-3 * characters(signs, [(20, 21, 23)])[:, 0]
    parts = np.stack([characters(signs, [(0, 1)])[:, 0], odd])[..., None]
    settings = process.Settings(np.r_[np.full(4, 0.3), np.full(n - 4, 1e-4)], np.full(2, -10.0))
    found, _ = process.condition(signs, parts, settings, P)
    sets = sparse.by_part(reading.strongest(found.mean, 5, 200))
    rows = [tuple(s[s >= 0]) for s in np.concatenate(sets)]
    assert (20, 21, 23) not in rows and set(strong) <= set(rows)
    sets, best = zip(
        *(sparse.widened(found, k, signs, parts[k], sets[k]) for k in (0, 1)), strict=True
    )
    assert tuple(sets[1][0]) == (20, 21, 23, -1, -1)
    assert all(len({tuple(s) for s in some}) == len(some) for some in sets)
    assert sparse.better(found, 1, best[1])
    better = sparse.sharpened(found, [None, best[1]], sets)
    F = {tuple(s[s >= 0]): v for s, v in zip(better.members, better.fixed[:, 0], strict=True)}
    assert F[20, 21, 23] == pytest.approx(1e-3, rel=1e-6)
    assert np.abs(better.left_out[1]).max() < 1e-9 < np.abs(found.left_out[1]).max()


def test_the_first_pairs_are_conditioned_on_as_if_there_were_no_others(conditioned):
    found, y, settings, _ = conditioned
    one, _ = process.condition(found.signs, y, settings, 100)
    _, alone = process.condition(found.signs[:100], y[:, :100], settings, 100)
    for a, b in zip(one[:3], alone[:3], strict=True):
        for x, z in zip(a, b, strict=True):
            np.testing.assert_allclose(x, z, rtol=1e-6, atol=1e-9)


def test_least_squares_are_those_of_the_sets_that_leave_least():
    rng = np.random.default_rng(0)
    signs = rng.choice([-1.0, 1.0], (200, 12))
    sets = subsets.terms(12, 3).members
    sets = sets[(sets >= 0).sum(axis=1) % 2 == 1]
    X = characters(signs, sets)
    y = X[:, :15] @ rng.standard_normal((15, 2)) + 0.1 * rng.standard_normal((200, 2))
    for chosen, count in ((sets, 20), (sets[:10], 10)):
        best = sparse.fit(signs, y, chosen)
        F, *_ = np.linalg.lstsq(X[:, :count], y, rcond=None)
        np.testing.assert_allclose(best.F, F, atol=1e-12)
        rest = np.arange(1, 200)
        F, *_ = np.linalg.lstsq(X[rest, :count], y[rest], rcond=None)
        np.testing.assert_allclose(best.without[0], y[0] - X[0, :count] @ F, atol=1e-12)
    twice = np.concatenate([sets[:9], sets[:9]])
    assert len(sparse.fit(signs, y, twice).F) == 8  # of all 18 there is no solution


def test_outputs_are_explained_one_by_one():
    def both(masks):
        return np.stack([smooth(masks), 3 - 2 * smooth(~masks)], axis=1)

    e = sx.explain(both, N, budget=200, target="FSII")
    alone = sx.explain(smooth, N, budget=200, target="FSII")
    np.testing.assert_allclose(
        e[0].interactions("FSII", 2).values, alone.interactions("FSII", 2).values
    )
    assert e[1].target.values.shape == alone.target.values.shape


def test_a_saved_explanation_keeps_its_target(tmp_path):
    for f in (smooth, lambda m: np.stack([smooth(m), smooth(~m)], axis=1)):
        e = sx.explain(f, N, budget=150, target="k-SII")
        e.save(tmp_path / "e.json")
        again = sx.Explanation.load(tmp_path / "e.json")
        one, other = (x if x.num_outputs is None else x[1] for x in (e, again))
        assert one.interactions("k-SII", 2) == other.interactions("k-SII", 2)
        np.testing.assert_array_equal(
            one.interactions("k-SII", 2).estimates.standard_error,
            other.interactions("k-SII", 2).estimates.standard_error,
        )


def test_other_indices_are_those_of_the_surrogate():
    e = sx.explain(smooth, N, budget=200, target=("FSII", 2))
    assert e.interactions("FSII", 2).estimates.units > 0
    assert e.interactions("FSII", 1) == sx.indices.interactions(
        e.spectrum, "FSII", 1, e.features, level=float(e.level)
    )
    assert e.faithfulness > 0.95


@pytest.mark.parametrize("budget", [2, 3, 4, 5, 9])
def test_hardly_any_calls(budget):
    e = sx.explain(smooth, N, budget=budget, target="SV")
    assert e.calls == budget
    assert e.interactions("SV").to_array().sum() == pytest.approx(e.full - e.empty)


def test_constants_have_no_effect():
    e = sx.explain(lambda m: np.full(len(m), 2.5), N, budget=100, target="SII")
    assert len(e.interactions("SII", 2)) == 0 and e.interactions("SII", 2).baseline == 2.5


def test_targets_that_there_are_not():
    for target in ("Sobol", "Moebius", ("SV",), ("FSII", 0), "shap"):
        with pytest.raises(ValueError):
            sx.design(N, budget=100, target=target)
    with pytest.raises(ValueError, match="leave out method"):
        sx.design(N, budget=100, target="SV", method="linear")
    with pytest.raises(ValueError, match="order must be lower"):
        sx.design(2000, budget=5000, target=("SII", 2))
