"""Interaction indices against their definitions over all coalitions, in float64."""

import itertools
import tracemalloc
from functools import cache
from math import comb, factorial

import numpy as np
import pytest

from spexjax import indices
from spexjax.codes import gf2
from spexjax.indices import index_weights, superset_sums
from spexjax.spectra import subsets
from spexjax.spectra.spectrum import Spectrum

NAMES = sorted(indices.INDICES)


def sets_up_to(n, order):
    return [s for k in range(order + 1) for s in itertools.combinations(range(n), k)]


def mask_of(members):
    return sum(1 << i for i in members)


def random_game(n, seed=0, terms=None):
    """Fourier coefficients {set: F} and the values of all 2^n masks, bit i being feature i."""
    rng = np.random.default_rng(seed)
    every = sets_up_to(n, n)
    chosen = range(len(every)) if terms is None else rng.choice(len(every), terms, replace=False)
    fourier = {every[i]: float(np.float32(rng.standard_normal())) for i in chosen}
    masks = np.arange(2**n)
    f = np.zeros(2**n)
    for s, c in fourier.items():
        f += c * (-1.0) ** np.bitwise_count(masks & mask_of(s))
    return fourier, f


def compute(fourier, n, index, max_order=None, features=()):
    bits = np.zeros((len(fourier), n), bool)
    for row, s in zip(bits, fourier, strict=True):
        row[list(s)] = True
    supports = gf2.pack_numpy(bits, gf2.num_words(n))
    values = np.fromiter(fourier.values(), np.float64, len(fourier))
    return indices.from_terms(supports, values, n, index, max_order, features)


def with_baseline(ix):
    return ix.to_dict() | {(): ix.baseline}


# --- the definitions -------------------------------------------------------------------------


def derivative(f, s, t):
    """Δ_S f(T) = Σ_{R⊆S} (−1)^{|S|−|R|} f(T ∪ R), T disjoint from S."""
    total = 0.0
    for k in range(len(s) + 1):
        for r in itertools.combinations(s, k):
            total += (-1) ** (len(s) - k) * f[t | mask_of(r)]
    return total


def coalitions(n, s):
    others = [i for i in range(n) if i not in s]
    for k in range(len(others) + 1):
        for t in itertools.combinations(others, k):
            yield k, mask_of(t)


def sii(f, n, s):
    return sum(
        factorial(n - t - len(s)) * factorial(t) / factorial(n - len(s) + 1) * derivative(f, s, m)
        for t, m in coalitions(n, s)
    )


def bii(f, n, s):
    return sum(derivative(f, s, m) for _, m in coalitions(n, s)) / 2 ** (n - len(s))


def k_sii(f, n, order):
    """The recursion of Bordt and von Luxburg, order by order."""
    bernoulli = [1, -1 / 2, 1 / 6, 0, -1 / 30, 0, 1 / 42]
    values = {}
    for k in range(1, order + 1):
        new = {s: sii(f, n, s) for s in itertools.combinations(range(n), k)}
        for s, old in values.items():
            extra = sum(new[big] for big in new if set(s) < set(big))
            values[s] = old + bernoulli[k - len(s)] * extra
        values |= new
    return values | {(): f[0]}


def stii(f, n, order):
    values = {s: derivative(f, s, 0) for s in sets_up_to(n, order - 1)}
    for s in itertools.combinations(range(n), order):
        shares = (derivative(f, s, m) / comb(n - 1, t) for t, m in coalitions(n, s))
        values[s] = order / n * sum(shares)
    return values


def faith(f, n, order, shapley):
    """The least-squares fit of order ℓ; with Shapley weights it is exact at ∅ and [n]."""
    sets = sets_up_to(n, order)
    masks = np.arange(2**n)
    design = np.array([(masks & mask_of(s)) == mask_of(s) for s in sets]).T.astype(float)
    if not shapley:
        return dict(zip(sets, np.linalg.lstsq(design, f, rcond=None)[0], strict=True))
    size = np.bitwise_count(masks).astype(int)
    inner = (size > 0) & (size < n)
    weight = np.array([1 / (comb(n, t) * t * (n - t)) if 0 < t < n else 0 for t in size])
    # Lagrange conditions of min Σ w (Xv − f)² with equality at the two ends.
    x, ends = design[inner], design[[0, -1]]
    gram = x.T @ (weight[inner, None] * x)
    system = np.block([[gram, ends.T], [ends, np.zeros((2, 2))]])
    target = np.concatenate([x.T @ (weight[inner] * f[inner]), f[[0, -1]]])
    solution = np.linalg.solve(system, target)
    return dict(zip(sets, solution[: len(sets)], strict=True))


def sobol_numerators(f, n):
    """Var E[f | x_S] by conditional means, then by inclusion and exclusion: the ANOVA parts."""
    masks = np.arange(2**n)
    closed = {}
    for s in sets_up_to(n, n):
        _, group = np.unique(masks & mask_of(s), return_inverse=True)
        means = np.bincount(group, f) / np.bincount(group)
        closed[s] = np.var(means)
    return {
        s: sum(
            (-1) ** (len(s) - len(r)) * closed[r]
            for k in range(len(s) + 1)
            for r in itertools.combinations(s, k)
        )
        for s in closed
    }


def expected(name, f, n, order):
    """{set: value} of an index from its definition, the sets it is defined on."""
    sets = sets_up_to(n, min(order, n))
    singles = sets_up_to(n, 1)
    mean = {(): f.mean()}
    if name == "SV":
        return {s: sii(f, n, s) for s in singles if s} | {(): f[0]}
    if name == "BV":
        return {s: bii(f, n, s) for s in singles if s} | mean
    if name == "SII":
        return {s: sii(f, n, s) for s in sets}
    if name == "BII":
        return {s: bii(f, n, s) for s in sets}
    if name == "k-SII":
        return k_sii(f, n, order)
    if name == "STII":
        return stii(f, n, order)
    if name in ("FSII", "FBII"):
        return faith(f, n, order, name == "FSII")
    if name == "Moebius":
        return {s: derivative(f, s, 0) for s in sets}
    if name == "CoMoebius":
        full = 2**n - 1
        return {s: derivative(f, s, full - mask_of(s)) for s in sets}
    if name == "Fourier":
        masks = np.arange(2**n)
        signs = {s: (-1.0) ** np.bitwise_count(masks & mask_of(s)) for s in sets}
        return {s: np.mean(signs[s] * f) for s in sets}
    if name == "Sobol":
        return {s: v / np.var(f) for s, v in sobol_numerators(f, n).items() if 0 < len(s) <= order}
    flips = {(i,): np.mean((f - f[np.arange(2**n) ^ (1 << i)]) ** 2) / 4 for i in range(n)}
    return {s: v / (np.var(f) if name == "TotalSobol" else 1) for s, v in flips.items()}


@cache
def cached_expected(name, n, order, terms):
    return expected(name, random_game(n, seed=n, terms=terms)[1], n, order)


def joint_sv(f, n, order):
    """Harris et al. by the random arrival of groups: P(T present before S arrives), recursively."""
    q = [0.0] * n
    for r in range(n):
        groups = sum(comb(n - r, i) for i in range(1, min(order, n - r) + 1))
        q[r] = (
            1 if r == 0 else sum(comb(r, s) * q[s] for s in range(max(r - order, 0), r))
        ) / groups
    return {
        s: sum(q[k] * (f[m | mask_of(s)] - f[m]) for k, m in coalitions(n, s))
        for s in sets_up_to(n, order)
        if s
    }


# --- tests -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n,order,terms", [(1, 1, None), (5, 5, None), (6, 2, None), (7, 3, 12)])
@pytest.mark.parametrize("name", NAMES)
def test_definition(name, n, order, terms):
    fourier, _ = random_game(n, seed=n, terms=terms)
    ix = compute(fourier, n, name, order)
    right = cached_expected(name, n, order, terms)
    assert ix.to_dict().keys() <= right.keys()
    assert ix.values.dtype == np.float64
    scale = max(map(abs, right.values()))
    for s, value in right.items():
        assert ix[s] == pytest.approx(value, abs=1e-11 * scale), s
    assert () in right or ix.baseline == 0


@pytest.mark.parametrize("name", ["SV", "SII", "STII", "FSII", "FBII"])
def test_definition_at_ten(name):
    fourier, f = random_game(10, seed=1, terms=30)
    right = expected(name, f, 10, 2)
    ix = compute(fourier, 10, name, 2)
    scale = max(map(abs, right.values()))
    assert all(ix[s] == pytest.approx(v, abs=1e-9 * scale) for s, v in right.items())


@pytest.mark.parametrize("name", NAMES)
def test_dense_and_sparse_ways_agree(name, monkeypatch):
    n = 9
    fourier, _ = random_game(n, seed=2, terms=200)
    for order in (2, 9):
        sparse = compute(fourier, n, name, order)
        calls = []

        def count(*args, dense=superset_sums._dense, calls=calls):
            calls.append(args)
            return dense(*args)

        with monkeypatch.context() as patch:
            patch.setattr(superset_sums, "FEWEST", 0)
            patch.setattr(superset_sums, "_dense", count)
            dense = compute(fourier, n, name, order)
        assert len(calls) == (name not in ("BV", "BII", "Fourier", "Sobol"))
        a, b = sparse.to_dict(), dense.to_dict()
        scale = max(map(abs, a.values()))
        for s in a.keys() | b.keys():
            assert a.get(s, 0) == pytest.approx(b.get(s, 0), abs=1e-12 * scale)


def test_large_tables_are_chosen():
    """All subsets of 4 000 terms of degree up to 14: tables of 2^14 beat enumeration."""
    n = 14
    rng = np.random.default_rng(0)
    rows = rng.choice(2**n, 4000, replace=False).astype(np.uint32)[:, None]
    values = rng.standard_normal(4000).astype(np.float32)
    ix = indices.from_terms(rows, values, n, "Moebius")
    f = np.zeros(2**n)
    f[rows[:, 0]] = values
    for bit in range(n):  # superset sums
        pairs = f.reshape(-1, 2, 1 << bit)
        pairs[:, 0] += pairs[:, 1]
    right = f * (-2.0) ** np.bitwise_count(np.arange(2**n))
    for s in [(), (3,), (0, 13), (1, 2, 5, 8), tuple(range(10))]:
        assert ix[s] == pytest.approx(right[mask_of(s)], abs=1e-12 * np.abs(right).max())


def test_chunks_change_nothing(monkeypatch):
    fourier, _ = random_game(8, seed=3, terms=60)
    whole = compute(fourier, 8, "FSII", 3)
    monkeypatch.setattr(superset_sums, "CHUNK", 50)
    parts = compute(fourier, 8, "FSII", 3)
    assert whole.to_dict() == pytest.approx(parts.to_dict(), abs=1e-12)


@pytest.mark.parametrize("n", [3, 6])
def test_identities(n):
    fourier, f = random_game(n)
    moebius = compute(fourier, n, "Moebius").to_dict()
    for name in ("FSII", "STII", "k-SII", "FBII"):
        assert compute(fourier, n, name, n).to_dict() == pytest.approx(moebius, abs=1e-9)
    shapley = compute(fourier, n, "SV").to_dict()
    assert shapley == pytest.approx(compute(fourier, n, "SII", 1).to_dict(), abs=1e-12)
    # Efficient indices add up to f(1…1); so does the sum of all dividends.
    for name in ("SV", "k-SII", "STII", "FSII"):
        ix = compute(fourier, n, name, 2)
        assert sum(ix.values) + ix.baseline == pytest.approx(f[-1], abs=1e-12)
    assert sum(compute(fourier, n, "Sobol").values) == pytest.approx(1, abs=1e-12)
    assert with_baseline(compute(fourier, n, "Fourier")) == pytest.approx(fourier, abs=1e-12)


def test_weights_of_sii_are_stable():
    """Far beyond where the alternating sum over Möbius coefficients would cancel in floats."""
    table = index_weights.weights(indices.INDICES["SII"], 3, 200)
    for s in range(4):
        for u in range(s, 201):
            exact = 0 if (u - s) % 2 else (-2) ** s / (u - s + 1)
            assert table[s, u] == pytest.approx(exact, rel=1e-12)


def test_equal_supports_are_added():
    supports = np.array([[3], [3], [1]], np.uint32)
    ix = indices.from_terms(supports, np.array([1, 2, 5], np.float32), 4, "Fourier")
    assert ix.to_dict() == {(0,): 5, (0, 1): 3}
    sobol = indices.from_terms(supports, np.array([1, 2, 5], np.float32), 4, "Sobol")
    assert sobol[(0, 1)] == pytest.approx(9 / 34)


@pytest.mark.parametrize("largest_key", [1, 50, 10**6, 2**62])
def test_merge(monkeypatch, largest_key):
    """However many members go into one key, equal rows meet, in lexical order."""
    monkeypatch.setattr(subsets, "LARGEST_KEY", largest_key)
    rng = np.random.default_rng(0)
    members = np.sort(rng.integers(0, 6, (200, 4)), axis=1)
    values = rng.standard_normal(200)
    found = superset_sums.merge(members, values, 6)
    right = {}
    for row, value in zip(members.tolist(), values, strict=True):
        right[tuple(row)] = right.get(tuple(row), 0) + value
    assert [tuple(row) for row in found.members.tolist()] == sorted(right)
    np.testing.assert_allclose(found.values, [right[s] for s in sorted(right)])


def test_features_beyond_one_word():
    """Sets across words at n = 10 000, against sums over the few terms by hand."""
    n = 10_000
    fourier = {(31, 32, 9_999): 1.0, (32, 9_999): 0.5, (0,): 2.0, (): -1.0}
    ix = compute(fourier, n, "Moebius")
    assert ix[(32, 9_999)] == 4 * 1.5
    assert ix[(9_999, 31)] == 4 and ix[(31, 32, 9_999)] == -8 and ix[32] == -3
    assert ix[()] == 2.5 and len(ix) == 8


@pytest.mark.parametrize("n,order,terms", [(1, 1, None), (5, 5, None), (7, 2, None), (9, 3, 12)])
def test_joint_shapley(n, order, terms):
    fourier, f = random_game(n, seed=n, terms=terms)
    right = joint_sv(f, n, order)
    ix = compute(fourier, n, "Joint-SV", order)
    assert ix.to_dict() == pytest.approx(right, abs=1e-11 * max(map(abs, right.values())))
    assert sum(ix.values) == pytest.approx(f[-1] - f[0], abs=1e-9)  # efficient
    bits = np.array([[i in s for i in range(n)] for s in fourier])
    some = [s for s in right if len(s) == order][:3]
    chosen = indices.from_terms(
        gf2.pack_numpy(bits, 1), np.fromiter(fourier.values(), float), n, "joint sv", order,
        sets=[s[::-1] for s in some],
    )  # fmt: skip
    assert chosen.to_dict() == pytest.approx({s: right[s] for s in some}, abs=1e-4)


def test_joint_shapley_of_order_one_is_shapley():
    """At n = 1 000 too, where the binomials leave float64's range."""
    fourier = {(3,): 1.0, (3, 500, 999): -2.0, (31, 32): 0.5, (): 4.0}
    joint = compute(fourier, 1000, "Joint-SV", 1)
    shapley = compute(fourier, 1000, "SV").order(1).to_dict()
    assert {s: v for s, v in joint if abs(v) > 1e-6} == pytest.approx(shapley, abs=1e-6)


def test_joint_shapley_refuses():
    with pytest.raises(ValueError, match="has 166,667,500 values for n = 1000, more than"):
        compute({(0, 1, 2): 1.0}, 1000, "Joint-SV")
    for sets in ([()], [(0, 1, 2)], [(7,)]):
        with pytest.raises(ValueError, match="1 to 2 positions below 7"):
            indices.from_terms(np.uint32([[1]]), np.ones(1), 7, "Joint-SV", 2, sets=sets)
    with pytest.raises(ValueError, match="for Joint-SV only"):
        indices.from_terms(np.uint32([[1]]), np.ones(1), 7, "FSII", 2, sets=[(0,)])
    with pytest.raises(ValueError, match="at most 30 inputs, one has 31"):
        compute({tuple(range(31)): 1.0}, 40, "Joint-SV", 1)


@pytest.mark.parametrize(
    "name", ["SV", "BV", "SII", "BII", "k-SII", "STII", "FSII", "FBII", "Moebius", "CoMoebius",
             "Joint-SV"],
)  # fmt: skip
def test_peer(name):
    """shapiq's exact computer on the same table of values."""
    game_theory = pytest.importorskip("shapiq.game_theory.exact")
    n, order = 6, 2
    fourier, f = random_game(n, seed=11)
    weights = 1 << np.arange(n)

    def game(coalitions):
        return f[np.asarray(coalitions, int) @ weights]

    theirs = {"Moebius": "Moebius", "CoMoebius": "Co-Moebius", "Joint-SV": "JointSV"}.get(
        name, name
    )
    computer = game_theory.ExactComputer(n_players=n, game=game)
    right = computer(theirs, order=1 if name in ("SV", "BV") else order)
    ours = compute(fourier, n, name, order)
    scale = np.abs(f).max()
    for s, value in right.interactions.items():
        if 0 < len(s) <= (1 if name in ("SV", "BV") else order):
            assert ours[s] == pytest.approx(value, abs=1e-5 * scale), s


@pytest.mark.parametrize("name", ["fsii", "FSII", "F-S_I I"])
def test_names_in_any_spelling(name):
    assert compute({(0,): 1.0}, 2, name, 1).index == "FSII"


def test_mobius_in_any_spelling():
    for name in ("mobius", "Möbius", "MOEBIUS"):
        assert compute({(0,): 1.0}, 2, name).index == "Moebius"
    assert compute({(0,): 1.0}, 2, "ksii").index == "k-SII"


@pytest.mark.parametrize(
    "name,near", [("FSIII", "FSII"), ("total-sobel", "TotalSobol"), ("moebus", "Moebius")]
)
def test_misspelt_name(name, near):
    with pytest.raises(ValueError, match=f"got '{name}'.*Did you mean '{near}'"):
        compute({(0,): 1.0}, 2, name)


def test_bad_input():
    with pytest.raises(ValueError, match="max_order must be at least 1, got 0"):
        compute({(0,): 1.0}, 2, "FSII", 0)
    with pytest.raises(ValueError, match="n = 2 labels, got 3"):
        compute({(0,): 1.0}, 2, "FSII", 1, features=["a", "b", "c"])
    wide = {tuple(range(40)): 1.0}
    with pytest.raises(ValueError, match="lower max_order"):
        compute(wide, 64, "Moebius")
    assert compute(wide, 64, "Moebius", 2)[(0, 1)] == 4
    with pytest.raises(ValueError, match="pass max_order, at most 120"):
        compute({tuple(range(130)): 1.0}, 256, "BII")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_and_constants(name):
    empty = compute({}, 3, name)
    assert len(empty) == 0 and empty.to_dict() == {} and empty[(0,)] == 0
    constant = compute({(): 2.0}, 3, name)
    energy = indices.INDICES[name].basis == "energy"
    assert constant.to_dict() == {} and constant.baseline == (0.0 if energy else 2.0)


def test_of_a_spectrum():
    fourier, _ = random_game(5, terms=9)
    spectrum = Spectrum.from_dict(fourier, 5)
    assert spectrum.capacity > len(fourier)
    ix = indices.interactions(spectrum, "Fourier", features="abcde")
    assert with_baseline(ix) == pytest.approx(fourier)
    assert ix.features == tuple("abcde")
    with pytest.raises(ValueError, match=r"spectrum\[i\]"):
        indices.interactions(
            Spectrum(spectrum.supports, spectrum.coefficients[None], spectrum.valid, spectrum.n)
        )


def test_a_level_far_above_the_effects():
    """F(∅) in double precision: values on sets do not feel it, the one on ∅ keeps its digits."""
    level = 1e9 + 0.123456
    spectrum = Spectrum.from_dict({(): level, (0,): 1e-3, (0, 2): 2e-3}, 3)
    ix = indices.interactions(spectrum, "Moebius", 3, level=level)
    small = indices.interactions(Spectrum.from_dict({(0,): 1e-3, (0, 2): 2e-3}, 3), "Moebius", 3)
    assert ix.to_dict() == small.to_dict()
    assert ix.baseline == pytest.approx(level + 3e-3, rel=0, abs=1e-6)
    without = Spectrum.from_dict({(0,): 1.0}, 3)
    assert indices.interactions(without, "BV", level=level).baseline == level


def test_degree_eight_at_a_thousand():
    """20 000 terms, all their subsets; the full size is a benchmark's business."""
    n, count = 1000, 20_000
    rng = np.random.default_rng(0)
    degree = rng.integers(1, 9, count)
    members = np.argpartition(rng.random((count, n), dtype=np.float32), 8, axis=1)[:, :8]
    bits = np.zeros((count, n), bool)
    for k in range(8):
        rows = np.flatnonzero(degree > k)
        bits[rows, members[rows, k]] = True
    values = rng.standard_normal(count).astype(np.float32)
    packed = gf2.pack_numpy(bits, gf2.num_words(n))
    tracemalloc.start()
    ix = indices.from_terms(packed, values, n, "Moebius")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 30
    singles = -2 * (values @ bits.astype(float))
    np.testing.assert_allclose([ix[i] for i in range(20)], singles[:20], rtol=1e-4, atol=1e-4)
    assert ix[()] == pytest.approx(values.astype(float).sum(), rel=1e-4)
