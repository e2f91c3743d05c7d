"""Standard errors, intervals, tests, nulls and flags."""

import dataclasses
import json
from itertools import chain, combinations
from math import factorial

import jax
import numpy as np
import pytest

import spexjax as sx
from spexjax import inference
from spexjax.codes import gf2
from spexjax.inference import faithfulness, functionals, moments
from spexjax.inference.evidence import Evidence, gather
from spexjax.masks.design import Role
from spexjax.spectra import spectrum, subsets
from spexjax.surrogates import folds
from spexjax.surrogates.fitted import Crossed, Fit

N = 8
ALL = (np.arange(2**N)[:, None] >> np.arange(N) & 1).astype(bool)
EVERY = list(chain.from_iterable(combinations(range(N), s) for s in range(1, 4)))


def curved(masks):
    """Dense: every coefficient is there, and small ones are many."""
    return np.exp(masks @ np.linspace(-1, 0.6, masks.shape[1])) + masks[:, 0] * masks[:, 3]


def linear_part(masks):
    """A surrogate that was fitted to nothing."""
    return spectrum.Spectrum.from_dict({(): 1.0, (0,): -0.2, (5,): 0.1}, masks)


def truth(f, sets, n=N):
    masks = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)
    values = f(masks)
    return np.array([np.mean((1 - 2.0 * (masks[:, list(s)].sum(1) % 2)) * values) for s in sets])


def evidence_of(f, masks, n, pairs=False):
    """That of a fixed surrogate, all held out."""
    design = _design(masks, n, pairs)
    surrogate = spectrum.stack([linear_part(n)])
    fit = Fit(surrogate, surrogate)
    return gather(design, f(masks)[:, None], fit)[0][0]


def _design(masks, n, pairs):
    count = len(masks)
    return sx.Design(
        n=n,
        budget=count,
        max_order=3,
        packed=gf2.pack_numpy(masks, gf2.num_words(n)),
        role=np.full(count, Role.PAIRED if pairs else Role.UNIFORM, np.int8),
        unit=np.arange(count) // (2 if pairs else 1),
        held_out=np.ones(count, bool),
    )


@pytest.mark.parametrize("pairs", [False, True])
def test_intervals_cover_and_errors_are_those_of_repetitions(pairs):
    n, sets = 20, [(0,), (4,), (0, 3), (1, 2, 7), (2, 3, 4, 5)]
    rng = np.random.default_rng(0)
    packed = subsets.packed_sets(sets, n)
    # The sum over all masks, by independence of what the features do.
    weights = np.linspace(-1, 0.6, n)
    base = np.array(
        [np.prod([(1 + (-1) ** (i in s) * np.exp(w)) / 2 for i, w in enumerate(weights)])
         for s in sets]
    )  # fmt: skip
    base[:3] += [-0.25, 0.0, 0.25]  # of m_0 m_3
    hits, estimates, errors = [], [], []
    for _ in range(200):
        masks = rng.random((150, n)) < 0.5
        if pairs:
            masks = np.stack([masks, ~masks], 1).reshape(-1, n)
        found = functionals.coefficients(evidence_of(curved, masks, n, pairs), packed)
        low, high = found.interval()
        hits.append((low <= base) & (base <= high))
        estimates.append(found.estimate)
        errors.append(found.standard_error)
    assert 0.93 <= np.mean(hits) <= 0.97
    np.testing.assert_allclose(np.mean(errors, 0), np.std(estimates, 0), rtol=0.15)
    np.testing.assert_allclose(np.mean(estimates, 0), base, atol=4 * np.max(errors) / np.sqrt(200))


def test_all_masks_leave_no_error():
    found = functionals.coefficients(evidence_of(curved, ALL, N), subsets.packed_sets(EVERY, N))
    np.testing.assert_allclose(found.estimate, truth(curved, EVERY), atol=1e-6)
    np.testing.assert_array_equal(found.standard_error, 0)


@pytest.mark.parametrize("name", ["SV", "SII", "k-SII", "STII", "FSII", "FBII", "Moebius", "BII"])
def test_an_index_is_the_linear_functional_of_the_coefficients(name):
    """Estimate and variance, with the covariances, against sums over units."""
    masks = np.random.default_rng(1).permutation(ALL)[:60]
    evidence = evidence_of(curved, masks, N)
    found = [s for s in EVERY if sum(s) % 3]
    F = functionals.coefficients(evidence, subsets.packed_sets(found, N)).estimate
    terms = spectrum.from_terms(subsets.packed_sets(found, N), F, N)
    ix = sx.indices.interactions(terms, name, 2)
    packed = subsets.packed_sets(found, N)
    got = functionals.index(evidence, name, 2, ix.supports, packed)
    np.testing.assert_allclose(got.estimate, ix.values, rtol=1e-4, atol=1e-5)
    if name in ("SV", "SII"):
        return  # their variance is that of all sets, tested below
    draws = moments.draws(evidence, packed)
    per_unit = [
        sx.indices.interactions(spectrum.from_terms(packed, row, N), name, 2) for row in draws
    ]
    table = np.array([[one[tuple(s)] for s, _ in ix] for one in per_unit])
    error = table.std(axis=0) * np.sqrt(evidence.left / (len(masks) - 1))
    np.testing.assert_allclose(got.standard_error, error, rtol=2e-3, atol=1e-6)
    if name != "BII":
        assert "projection on the" in got.estimand


def test_shapley_values_have_the_error_of_all_that_was_not_found():
    evidence = evidence_of(curved, np.random.default_rng(2).permutation(ALL)[:100], N)
    one = subsets.packed_sets([(2,)], N)
    got = functionals.index(evidence, "SV", 1, one, one)
    # SV is the mean over masks of f times 2^n times the weight of a mask of its size.
    size = ALL.sum(1)
    kept = np.where(ALL[:, 2], size - 1, size)
    weight = [factorial(k) * factorial(N - 1 - k) / factorial(N) for k in kept]
    functional = 2**N * np.where(ALL[:, 2], 1, -1) * weight
    r = evidence.residuals[0].astype(float)
    expected = np.sqrt(np.mean(functional**2) * np.mean(r**2) * evidence.left / 99)
    np.testing.assert_allclose(got.standard_error, expected, rtol=1e-5)
    assert got.estimand == "SV of the function"


def test_pairs_by_one_product_are_those_one_by_one():
    evidence = evidence_of(curved, ALL[::3], N)
    pairs = subsets.pack(subsets.of_size(N, 2), N)
    for a, b in zip(moments.of_pairs(evidence), moments.of_sets(evidence, pairs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_studentised_bootstrap_takes_over_where_tails_are_heavy():
    rng = np.random.default_rng(3)
    masks = rng.random((100, 30)) < 0.5
    spiky = evidence_of(lambda m: 50.0 * m[:, :6].all(1) + m[:, 9], masks, 30)
    even = evidence_of(lambda m: m @ np.ones(30), masks, 30)
    assert functionals.is_heavy(spiky)
    assert not functionals.is_heavy(even)
    found = functionals.coefficients(spiky, subsets.packed_sets([(0,), (1, 2)], 30))
    low, high = found.interval()
    inner = found.interval(method="normal")
    assert np.all(low <= inner[0]) and np.all(high >= inner[1]) and np.any(low < inner[0])
    with pytest.raises(ValueError, match="level"):
        found.interval(1.5)
    with pytest.raises(ValueError, match="method"):
        found.interval(method="exact")


def explained(f=curved, n=20, budget=300, method="linear", **options):
    return sx.explain(f, n, budget=budget, method=method, **options)


def test_every_uniform_mask_is_judged_by_a_surrogate_that_did_not_see_it():
    """A value that is moved beyond all bounds moves its own residual, and no other's surrogate."""
    design = sx.design(20, budget=200, method="linear", seed=1)
    values = curved(design.masks())
    e = sx.fit(design, values)
    assert len(e.evidence) == 198  # all but the ends
    place = int(np.flatnonzero(design.held_out)[0])
    moved = values.copy()
    moved[place] += 1e3
    other = sx.fit(design, moved)
    same = np.delete(np.arange(198), place - 2)
    np.testing.assert_allclose(
        e.evidence.residuals[:, same], other.evidence.residuals[:, same], rtol=2e-2, atol=1e-3
    )
    np.testing.assert_allclose(
        other.evidence.residuals[0, place - 2] - e.evidence.residuals[0, place - 2], 1e3, rtol=1e-4
    )


def test_coded_masks_are_evidence_of_their_own_fold():
    design = sx.design(20, budget=300, method=sx.Spex(groups=2), max_order=1)
    coded = design.role == Role.CODED
    fold = folds.fold_of(design)
    assert coded.sum() > 100
    # A group's delays go to two folds, and no mask to both.
    assert set(fold[coded]) <= set(range(-1, folds.num_folds(design.coded)))
    assert np.mean(fold[coded] >= 0) > 0.95
    for row in np.flatnonzero(fold >= 0)[:50]:
        if coded[row]:
            group, delay = divmod(design.unit[row], design.coded.num_delays)
            assert fold[row] == folds._coded_fold(design.coded)[group, delay]


def test_interactions_have_errors_and_pandas_shows_them():
    e = explained()
    ix = e.interactions("FBII", 2)
    low, high = ix.interval(0.9)
    assert ix.standard_error.shape == ix.p_value.shape == low.shape == (len(ix),)
    assert np.all(low < high)
    assert ix[:3].standard_error.shape == (3,)
    np.testing.assert_allclose(ix[:3].p_value, ix.p_value[:3])
    with pytest.raises(ValueError, match="know nothing of their errors"):
        sx.indices.interactions(e.spectrum, "FBII", 2).standard_error  # noqa: B018


def test_exact_explanations_have_no_errors():
    e = explained(n=6, budget=64, method="auto")
    np.testing.assert_array_equal(e.interactions().standard_error, 0)
    np.testing.assert_array_equal(e.coefficients([(0,)]).standard_error, 0)
    np.testing.assert_allclose(e.coefficients([(0, 3)]).estimate, truth(curved, [(0, 3)], 6))
    assert e.flags() == ()
    assert inference.discover(e, "pairs").stands.sum() > 10


def test_outputs_have_evidence_of_their_own():
    both = explained(lambda m: np.stack([curved(m), m[:, 1] * 1.0], 1))
    alone = explained()
    np.testing.assert_allclose(
        both[0].coefficients([(0,), (1, 2)]).standard_error,
        alone.coefficients([(0,), (1, 2)]).standard_error,
        rtol=1e-3,
    )
    with pytest.raises(ValueError, match="one output"):
        both.coefficients([(0,)])
    with pytest.raises(ValueError, match="one output"):
        inference.discover(both)


def test_evidence_is_saved_and_old_files_have_none(tmp_path):
    e = explained(features=[f"w{i}" for i in range(20)])
    path = tmp_path / "e.json"
    e.save(path)
    again = sx.Explanation.load(path)
    for field in dataclasses.fields(Evidence):
        a, b = (getattr(x.evidence, field.name) for x in (e, again))
        if field.name in ("mean", "tested"):
            assert a.to_dict() == b.to_dict()
        else:
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(
        e.interactions().standard_error, again.interactions().standard_error
    )
    raw = json.loads(path.read_text())
    raw["evidence"]["held_out"] = "AA=="
    path.write_text(json.dumps(raw))
    with pytest.raises(ValueError, match="held_out"):
        sx.Explanation.load(path)
    del raw["evidence"]
    path.write_text(json.dumps(raw))
    old = sx.Explanation.load(path)
    assert old.evidence is None
    assert np.isnan(old.interactions().standard_error).all()
    assert [flag.name for flag in old.flags()] == ["too few masks"]


def test_benjamini_hochberg_by_hand():
    p = np.array([0.01, 0.04, 0.03, 0.5])
    np.testing.assert_allclose(
        inference.benjamini_hochberg(p), [0.04, 4 * 0.04 / 3, 4 * 0.04 / 3, 0.5]
    )
    harmonic = 1 + 1 / 2 + 1 / 3 + 1 / 4
    np.testing.assert_allclose(inference.benjamini_hochberg(p, dependent=True)[0], 0.04 * harmonic)


def planted(masks):
    signs = 1 - 2.0 * masks
    return signs[:, 0] + signs[:, 1] * signs[:, 2] - 0.8 * signs[:, 3] * signs[:, 4]


@pytest.mark.parametrize("method", ["bh", "by", "maxt"])
def test_planted_pairs_are_discovered_and_others_are_not(method):
    e = explained(planted)
    found = inference.discover(e, "pairs", fdr=0.05, method=method)
    assert len(found) == 190
    assert set(found.sets()) >= {(1, 2), (3, 4)}
    assert found.stands.sum() <= 4
    assert repr(found).startswith(f"{found.stands.sum()} of 190 sets stand at 5%")
    assert found.marks(subsets.packed_sets([(1, 2), (0, 5, 6)], 20)).tolist() == [True, False]


def test_nothing_stands_in_noise_though_sets_were_found():
    """Of 20 explanations of pure noise; sets found with all masks, tested as if named before."""
    wrong, naive = 0, 0
    for seed in range(20):
        hashed = np.random.default_rng(seed).random(30) * 1e5
        e = explained(lambda m, h=hashed: np.sin(m @ h), n=30, budget=250, seed=seed)
        wrong += inference.discover(e, fdr=0.1).stands.any()
        naive += (inference.benjamini_hochberg(e.interactions("BV").p_value) <= 0.1).any()
    assert wrong <= 5
    assert naive <= 6  # all single inputs are a family that was fixed in advance


def test_families_cannot_be_mixed():
    e = explained()
    with pytest.raises(ValueError, match="found with the evidence"):
        inference.discover(e, e.interactions())
    for wrong in ({"family": "triples"}, {"fdr": 0}, {"method": "holm"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            inference.discover(e, **wrong)
    with pytest.raises(ValueError, match="maxt"):
        inference.discover(e, method="maxt")
    with pytest.raises(ValueError, match="once"):
        inference.discover(e, [(0, 1), (1, 0)])


def test_prediction_intervals_hold_fresh_masks():
    e = explained(budget=600)
    fresh = np.random.default_rng(5).random((4000, 20)) < 0.5
    low, high, half = inference.prediction_interval(e, fresh, 0.9)
    inside = np.mean((low <= curved(fresh)) & (curved(fresh) <= high))
    assert 0.87 <= inside <= 0.94
    np.testing.assert_allclose(high - low, 2 * half)
    with pytest.raises(ValueError, match="needs 10000 masks"):
        inference.prediction_interval(e, fresh, 0.9999)


@pytest.mark.parametrize("twice", [False, True])
def test_r2_covers_where_folds_know_less_than_the_fit(twice):
    """Residuals by simulation: of variance 0.5 in the folds, 0.4 in the fit that is judged; each
    with its opposite at the complement, where that is asked for, too.
    """
    rng = np.random.default_rng(6)
    hits, width, alone = [], [], []
    unit = np.arange(300) // (1 + twice)
    for _ in range(300):
        f, common, own = rng.standard_normal((3, 300, 1))[:, unit]
        if twice:
            f[1::2] *= -1
        out = np.arange(300) < 40
        fold, tested = np.sqrt(0.4) * common + np.sqrt(0.1) * own, np.sqrt(0.4) * common
        found = faithfulness.r2(
            faithfulness.Losses(
                values=f,
                squares=fold**2,
                held_out=out,
                unit=unit,
                tested=tested[out] ** 2,
                by_fold=np.full((5, 1), 0.5),
            )
        )
        hits.append(found.low[0] <= 0.6 <= found.high[0])
        width.append(found.r2[0])
        alone.append(1 - np.mean(tested[out] ** 2) / f.var())
    assert 0.92 <= np.mean(hits) <= 0.98
    assert np.std(width) < 0.8 * np.std(alone)


def test_ends_that_the_surrogate_misses_are_flagged():
    def f(masks):
        return masks @ np.linspace(-1, 1, 14) + 5.0 * masks.all(1)

    names = [flag.name for flag in explained(f, n=14, budget=800).flags()]
    assert names[:2] == ["few masks", "ends"]
    quiet = explained(lambda m: m @ np.linspace(1, 2, 14), n=14, budget=800)
    assert [flag.name for flag in quiet.flags()] == []


def test_shapley_values_of_uniform_masks_are_flagged_and_those_of_a_target_are_not():
    e = explained(budget=400)
    assert "index" not in {flag.name for flag in e.flags("BV")}
    flag = next(flag for flag in e.flags("SV") if flag.name == "index")
    assert "target='SV'" in flag.text
    asked = sx.explain(curved, 12, budget=400, target="SV")
    assert "index" not in {flag.name for flag in asked.flags("SV")}


def test_flags_of_poor_fits_bounds_signs_and_ties():
    def f(masks):
        return np.clip(masks @ np.ones(20) - 10, 0, 2)

    found = {flag.name: flag for flag in explained(f, budget=400).flags("BV", 1)}
    assert "bounds" in found and "smallest" in found["bounds"].text
    assert len(found["ties"].sets) == 10
    assert len(found["alternatives"].sets) > 5
    hashed = np.random.default_rng(0).random(20) * 1e5
    names = [flag.name for flag in explained(lambda m: np.sin(m @ hashed)).flags()]
    assert "unexplained" in names


def test_a_trained_model_stands_out_among_random_ones():
    def make(key):
        weights = np.asarray(jax.random.normal(key, (20,)))
        return lambda m: np.sin(40 * (m @ weights))

    keys = jax.random.split(jax.random.key(0), 19)
    how = lambda f: sx.explain(f, 20, budget=150, method="linear")  # noqa: E731
    statistic = inference.explained_variance(1)
    found = inference.model_null(how, curved, make, keys, statistic)
    assert found.p_value == 1 / 20
    assert found.statistic > found.null.max()
    dead = inference.model_null(how, make(jax.random.key(5)), make, keys, statistic)
    assert dead.p_value > 0.05
    assert inference.strongest("BV", 1)(how(curved)) > 0
    with pytest.raises(ValueError, match="at least one key"):
        inference.model_null(how, curved, make, [], statistic)


def test_stability_counts_what_seeds_agree_on():
    def how(seed):
        return explained(seed=seed)

    found = inference.stability(how, range(3), k=5, index="BV", max_order=1)
    assert found.jaccard > 0.6
    assert found.interval[0] <= found.jaccard <= found.interval[1]
    assert found.rank_correlation > 0.7
    assert (0,) in found.always
    with pytest.raises(ValueError, match="three"):
        inference.stability(how, range(2))


def test_without_folds_the_held_out_masks_are_the_evidence():
    e = explained(method="lime")
    assert e.evidence.held_out.all()
    design = sx.design(20, budget=300, method="lime")
    crossed = Crossed((), np.full(300, -1))
    fit = Fit(spectrum.stack([linear_part(20)]), spectrum.stack([linear_part(20)]), crossed=crossed)
    evidence, _ = gather(design, curved(design.masks())[:, None], fit)
    assert len(evidence) == design.held_out.sum() == len(e.evidence)
