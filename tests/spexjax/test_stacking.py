"""Candidate fits, their stacking, and the closed forms by which folds are fitted and tested."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spexjax import masks
from spexjax.decoding import spex
from spexjax.decoding.peeling import PeelConfig
from spexjax.surrogates import fits, normal, problem, proposals, screening, stacking
from spexjax.surrogates import folds as folds_
from spexjax.surrogates.normal import LANES, Lanes
from spexjax.surrogates.penalties import SCHEMES
from spexjax.surrogates.problem import Rows
from spexjax.trees import boosting
from spexjax.trees.growing import Masks
from spexjax.trees.settings import as_data

N, B = 12, 2
SPECS = (fits.MEAN, *itertools.chain(*fits.fit_blocks(proposed=True)))


def test_every_family_is_tried_at_every_strength():
    assert len(set(SPECS)) == len(SPECS) == 1 + 8 + 8 + 7 + 7 + 2 * 12 * len(SCHEMES)
    assert SPECS.count(fits.MEAN) == 1
    for spec in SPECS:
        assert spec.l1 is not None or spec.ridge is not None
    assert fits.fit_blocks(proposed=False) == fits.fit_blocks(proposed=True)[:4]
    for block in fits.fit_blocks(proposed=True):
        assert len(block) <= LANES and len({spec.columns for spec in block}) == 1


def test_each_candidate_is_what_its_row_says(key):
    """Against ridge in closed form, and the optimality conditions of L1."""
    rng = np.random.default_rng(0)
    X = 1.0 - 2.0 * (rng.random((200, N)) < 0.5)
    members = np.array([[-1, 0, 3], [1, 4, 7], [-1, 2, 5]], np.int32)
    bits = jnp.asarray(np.pad(X < 0, ((0, 0), (0, 32 - N))))
    y = rng.standard_normal(200) + X[:, 0] * X[:, 3] + X[:, 1]
    rows = Rows(bits, jnp.asarray(y - y.mean(), jnp.float32), jnp.ones(200))
    allowed = jnp.asarray(np.r_[np.ones(1 + N), np.zeros(32 - N), 1, 1, 1] > 0)
    equations = normal.normal(None, None, None, rows, members, allowed)
    T, decoded = 1 + 32 + 3, 1 + 32 + 2
    weights = {s: rng.uniform(0.5, 2, T).astype(np.float32) * (np.arange(T) > 0) for s in SCHEMES}
    blocks = fits.fit_blocks(proposed=True)
    place = np.arange(T)
    every = np.ones(len(blocks), bool)
    solved = fits.solve(equations, blocks, weights, place < 1 + 32, place < decoded, every)
    mean = np.eye(1, T) * np.asarray(equations.correlations)[0]
    found = np.concatenate([mean, *solved])[fits.places(blocks)]
    G, b = np.asarray(equations.gram, float), np.asarray(equations.correlations, float)
    for spec, w in zip(SPECS, found, strict=True):
        columns = np.asarray(allowed).copy()
        columns[{"mean": 1, "singles": 1 + N, "decoded": decoded, "all": T}[spec.columns] :] = False
        assert not w[~columns].any()
        if spec.l1 is None or spec.ridge is not None:
            used = columns if spec.l1 is None else (w != 0)
            used[0] = True
            penalty = spec.ridge * np.where(np.arange(T)[used] > 0, 1.0, 0.0)
            right = np.linalg.solve(G[np.ix_(used, used)] + np.diag(penalty), b[used])
            np.testing.assert_allclose(w[used], right, atol=2e-3, err_msg=str(spec))
        else:
            scale = np.asarray(weights[spec.scheme], float)
            level = spec.l1 * np.max(np.abs(b[1:]) / scale[1:])
            slope = (b - G @ w)[columns]
            assert np.all(np.abs(slope) <= level * scale[columns] + 2e-3), spec


@pytest.mark.parametrize("seed", range(3))
def test_shares_are_the_best_on_a_grid(seed):
    residuals = np.random.default_rng(seed).standard_normal((3, 40)) * [[1.0], [1.2], [2.0]]
    R = residuals @ residuals.T
    s = stacking.simplex(R)
    grid = [np.array(g) / 50 for g in itertools.product(range(51), repeat=3) if sum(g) == 50]
    assert (s >= 0).all() and abs(s.sum() - 1) < 1e-9
    best = min(g @ R @ g for g in grid)
    assert best * (1 - 0.01) <= s @ R @ s <= best + 1e-9


MEAN = SPECS.index(fits.MEAN)


def place(family, number=0):
    return [i for i, spec in enumerate(SPECS) if spec.family == family][number]


def products_of(errors, correlation=0.0, before=9.0):
    """Residual products of candidates that err ``before``, but for ``errors`` by place."""
    size = np.full(len(SPECS), np.sqrt(before))
    for where, error in errors.items():
        size[where] = np.sqrt(error)
    same = np.full((len(size), len(size)), correlation)
    np.fill_diagonal(same, 1.0)
    return size[:, None] * size * same


def test_families_that_err_elsewhere_are_averaged():
    places = [place("linear", 3), place("lasso trees", 3)]
    found = stacking.stack(products_of({places[0]: 1.0, places[1]: 0.5}), 1000, SPECS)
    # Uncorrelated fits are averaged in proportion to the inverse of their errors.
    assert found.places[:2].tolist() == places[::-1]
    np.testing.assert_allclose(found.shares, [2 / 3, 1 / 3, 0, 0, 0], rtol=1e-3)
    assert sum(found.shares) == pytest.approx(1, abs=1e-6)
    # One whose errors are those of the best and more has no share.
    found = stacking.stack(products_of({places[1]: 0.5}, correlation=0.99), 1000, SPECS)
    assert found.places[0] == places[1] and found.shares[0] == 1


def test_chance_is_no_gain():
    first = place("linear")
    for share, trust in ((0.999, 0.0), (0.98, 0.5), (0.5, 1.0)):
        products = products_of({first: 9.0 * share}, correlation=0.998)
        found = stacking.stack(products, 100, SPECS)
        shares = {p: s for p, s in zip(found.places.tolist(), found.shares, strict=True) if s > 0}
        assert shares.get(first, 0.0) == pytest.approx(trust, abs=0.25)
        assert shares.get(MEAN, 0.0) == pytest.approx(1 - shares.get(first, 0.0))
        assert (0 < shares.get(first, 0.0) < 1) == (trust == 0.5)


def _explicit(design, weights, rows, features):
    """All masks one by one: columns, and the weight of each row."""
    coded = np.pad(design.masks(), ((0, 0), (0, rows.bits.shape[1] - N)))
    bits = np.concatenate([coded, np.asarray(rows.bits)])
    X = np.asarray(problem.columns(jnp.asarray(bits), jnp.asarray(features)), float)
    repeated = np.repeat(np.asarray(weights).reshape(-1), 2**B)
    return X, np.concatenate([repeated, np.asarray(rows.weights)])


def test_parts_of_a_group_are_left_out_exactly():
    design = masks.coded_design(jax.random.key(1), N, B, 2)
    rng = np.random.default_rng(0)
    features = np.array([[-1, 0, 3], [1, 4, 7], [-1, -1, -1]], np.int32)
    rows = Rows(
        jnp.asarray(np.pad(rng.random((20, N)) < 0.5, ((0, 0), (0, 32 - N)))),
        jnp.asarray(rng.standard_normal(20), jnp.float32),
        jnp.asarray(rng.random(20) < 0.7, jnp.float32),
    )
    values = rng.standard_normal(design.num_masks).astype(np.float32)
    lanes = np.arange(folds_.num_folds(design) + 1)
    folds = np.float32(lanes[:, None, None] != folds_._coded_fold(design))
    # Every mask is left out once, and trains in the other folds and the last lane.
    np.testing.assert_array_equal((1 - folds).sum(axis=0), 1)
    assert (folds[-1] == 1).all()
    allowed = jnp.asarray(np.r_[np.ones(1 + N), np.zeros(32 - N), 1, 1, 0] > 0)
    inside = jnp.asarray(folds[1])
    p = problem.problem(design, jnp.asarray(values), inside, rows, jnp.asarray(features), allowed)
    X, weight = _explicit(design, inside, rows, features)
    used = np.asarray(allowed)
    expected = np.where(used[:, None] & used, X.T @ (weight[:, None] * X), 0) / weight.sum()
    np.testing.assert_allclose(problem.gram(p), expected, atol=1e-5)
    y = np.concatenate([values, np.asarray(rows.values)])
    expected = np.where(used, X.T @ (weight * y), 0) / weight.sum()
    np.testing.assert_allclose(problem.correlations(p), expected, atol=1e-5)
    w = np.where(used, rng.standard_normal((2, len(used))), 0).astype(np.float32)
    r = y - w @ X.T
    products = problem.residual_products(p, jnp.asarray(w))
    np.testing.assert_allclose(products, (r * weight) @ r.T, rtol=1e-4)
    energies = problem.residual_energies(p, jnp.asarray(w))
    np.testing.assert_allclose(energies, (r**2 * weight).sum(axis=1), rtol=1e-4)


def products_in(jaxpr):
    """The precision of every matrix product of a program, those of its parts too."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation.params["precision"]
        for part in jax.tree.leaves(tuple(equation.params.values()), is_leaf=_is_jaxpr):
            if _is_jaxpr(part):
                yield from products_in(getattr(part, "jaxpr", part))


def _is_jaxpr(x):
    return hasattr(x, "eqns") or hasattr(x, "jaxpr")


def test_products_that_feed_a_fit_are_of_full_precision():
    """A GPU's default would round to ten bits of mantissa."""
    design = masks.coded_design(jax.random.key(1), N, B, 2)
    members = jnp.asarray([[-1, 0, 3], [1, 4, 7]], jnp.int32)
    rows = Rows(jnp.zeros((20, 32), bool), jnp.zeros(20), jnp.ones(20))
    weights = jnp.ones((design.groups, design.num_delays))
    some = jnp.zeros((LANES, 35))
    lanes = Lanes(some[:, 0], some > 0, jnp.float32(0), jnp.int32(9))
    boosts = tuple(as_data(c, 32, 1) for c in proposals.BOOSTS)

    # Their compiler options are for programs of their own.
    def everything(values):
        equations = normal.normal.__wrapped__(
            design, values, weights, rows, members, jnp.ones(35, bool)
        )
        w = normal.ridge.__wrapped__(equations, lanes, some, jnp.bool_(True))
        w = normal.lasso.__wrapped__(
            equations, lanes, some, w, jnp.zeros(LANES, jnp.int32), some[0]
        )
        tested = normal.held_out.__wrapped__(equations, rows.weights, weights, (w,))
        search = spex.search(design, values[:, None], PeelConfig())
        fold = jnp.zeros(20, jnp.int32)
        linear = screening.linear.__wrapped__(rows.bits, rows.values, fold, jnp.int32(12), 5, 8)
        data = boosting.prepare(Masks.of(rows.bits), rows.values, fold, 5)
        trees = [boosting.boost(data, jax.random.key(0), s, 5, 9) for s in boosts]
        energies = problem.residual_energies(equations.problem, w)
        return tested, energies, search, linear, trees

    jaxpr = jax.make_jaxpr(everything)(jnp.zeros(design.num_masks)).jaxpr
    found = list(products_in(jaxpr))
    highest = jax.lax.Precision.HIGHEST
    assert len(found) > 20 and set(found) == {(highest, highest)}
