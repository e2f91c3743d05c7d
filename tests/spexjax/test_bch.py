"""BCH codes against galois' golden tables, polynomial division and brute-force decoding."""

import dataclasses
import functools
import hashlib
import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spexjax.codes import bch, gf2
from spexjax.codes.bch_tables import primitive_polynomial

GOLDEN = json.loads((Path(__file__).parent / "bch_golden.json").read_text())
CHUNK = 4096


@functools.cache
def code_of(n, t, W=None):
    return bch.make_code(n, t, gf2.num_words(n) if W is None else W)


class SlowField:
    """GF(2^m) in NumPy, from powers of α."""

    def __init__(self, polynomial):
        self.q = (1 << polynomial.bit_length() - 1) - 1
        self.powers, self.logs, x = np.zeros(self.q, int), {0: None}, 1
        for e in range(self.q):
            self.powers[e], self.logs[x] = x, e
            x = x << 1 if 2 * x <= self.q else x << 1 ^ polynomial
        self.log_table = np.array([self.logs[x] or 0 for x in range(self.q + 1)])

    def multiply(self, x, y):
        product = self.powers[(self.log_table[x] + self.log_table[y]) % self.q]
        return np.where((np.asarray(x) == 0) | (np.asarray(y) == 0), 0, product)

    def evaluate(self, coefficients, x):
        value = np.zeros(np.broadcast_shapes(coefficients.shape[:-1], np.shape(x)), int)
        for i in range(coefficients.shape[-1] - 1, -1, -1):
            value = self.multiply(value, x) ^ coefficients[..., i]
        return value


@functools.cache
def field_of(m):
    return SlowField(primitive_polynomial(m))


def slow_parity_matrix(n, g):
    """Remainders of x^(p + n − 1 − i) by g, by long division; rows from high powers to low."""
    p = g.bit_length() - 1
    columns = []
    for i in range(n):
        value = 1 << (p + n - 1 - i)
        while value.bit_length() > p:
            value ^= g << (value.bit_length() - 1 - p)
        columns.append([value >> (p - 1 - r) & 1 for r in range(p)])
    return np.array(columns, bool).T


def patterns(length, weights):
    """All bool vectors of the given weights."""
    rows = [c for w in weights for c in itertools.combinations(range(length), w)]
    errors = np.zeros((len(rows), length), bool)
    for row, chosen in zip(errors, rows, strict=True):
        row[list(chosen)] = True
    return errors


def sampled_patterns(length, weights, count, seed=0):
    rng = np.random.default_rng(seed)
    errors = np.zeros((count, length), bool)
    for i, row in enumerate(errors):
        row[rng.choice(length, weights[i % len(weights)], replace=False)] = True
    return errors


def received(n, t, errors):
    """The parity bits of words whose errors, n message bits first, are given."""
    P = bch.parity_matrix(n, t)
    message, noise = errors[:, :n], errors[:, n:]
    return (message.astype(np.float32) @ P.T.astype(np.float32)).astype(int) % 2 != noise


def decode(n, t, words):
    """Hard decoding in chunks of one shape: message bits and ok."""
    code, found, oks = code_of(n, t), [], []
    for start in range(0, len(words), CHUNK):
        part = words[start : start + CHUNK]
        padded = np.pad(part, ((0, CHUNK - len(part)), (0, 0)))
        support, _, ok = bch.hard_decode(code, padded, n)
        found.append(np.asarray(gf2.unpack(support, n))[: len(part)])
        oks.append(np.asarray(ok)[: len(part)])
    return np.concatenate(found), np.concatenate(oks)


# Parameters and matrices.


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"n{case['n']}-t{case['t']}")
def test_parity_matrix_equals_the_golden_one(case):
    chosen = bch.parameters(case["n"], case["t"])
    assert (chosen.field_degree, chosen.code_dim, chosen.t) == tuple(
        case[name] for name in ("m", "k", "true_t")
    )
    P = bch.parity_matrix(case["n"], case["t"])
    text = f"{P.shape[0]}x{P.shape[1]}:".encode() + np.packbits(P.ravel()).tobytes()
    assert hashlib.sha256(text).hexdigest() == case["sha256"]
    if "rows" in case:
        assert ["".join("01"[int(bit)] for bit in row) for row in P] == case["rows"]


@pytest.mark.parametrize(("n", "t"), [(1, 5), (6, 5), (20, 3), (300, 8), (1000, 5)])
def test_parity_matrix_is_the_remainder_of_long_division(n, t):
    chosen = bch.parameters(n, t)
    g = bch.generator_polynomial(chosen.field_degree, t)
    np.testing.assert_array_equal(bch.parity_matrix(n, t), slow_parity_matrix(n, g))


@pytest.mark.parametrize(("m", "t"), [(3, 1), (4, 2), (5, 4), (6, 5), (8, 8), (11, 5), (14, 8)])
def test_generator_polynomial_has_exactly_the_conjugate_classes_as_roots(m, t):
    field = field_of(m)
    g = bch.generator_polynomial(m, t)
    degree = g.bit_length() - 1
    bits = np.array([g >> i & 1 for i in range(degree + 1)])
    classes = {j * 2**i % field.q for j in range(1, 2 * t + 1) for i in range(m)}
    assert len(classes) == degree  # so that g has no further root
    assert not field.evaluate(bits, field.powers[sorted(classes)]).any()
    true_t = bch.parameters(field.q - degree, t).t
    consecutive = next(j for j in itertools.count(1) if j % field.q not in classes) - 1
    assert true_t == consecutive // 2 >= t


@pytest.mark.parametrize("t", range(1, 9))
def test_parameters_are_those_of_the_shortest_code(t):
    dimensions = {}
    for m in range(3, 15):
        if 2 * t < 2**m - 1:
            g = bch.generator_polynomial(m, t)
            dimensions[m] = 2**m - g.bit_length()
    for n in [*range(1, 300), 973, 974, 1000, 4083, 5000, 9999, 10_000]:
        chosen = bch.parameters(n, t)
        assert chosen.field_degree == min(m for m, k in dimensions.items() if k >= n)
        assert chosen.code_dim == dimensions[chosen.field_degree] >= n
        assert chosen.code_length == 2**chosen.field_degree - 1
        assert chosen.parity_bits + chosen.code_dim == chosen.code_length
        assert chosen.t >= t


def test_true_t_counts_roots_that_come_for_free():
    assert bch.parameters(11, 4) == (5, 31, 11, 20, 5)
    assert bch.parameters(1, 5) == (4, 15, 1, 14, 7)
    assert bch.parameters(1000, 5) == (11, 2047, 1992, 55, 5)


def test_bad_arguments_name_themselves_and_the_remedy():
    for call in (bch.parameters, bch.parity_matrix):
        with pytest.raises(ValueError, match="n must be at least 1, got 0"):
            call(0, 5)
        with pytest.raises(ValueError, match="t must be at least 1, got 0"):
            call(10, 0)
    with pytest.raises(ValueError, match="smaller t or fewer features"):
        bch.parameters(70_000, 2)
    with pytest.raises(ValueError, match="between 1 and 32 for 1 words"):
        bch.make_code(33, 2, W=1)
    with pytest.raises(ValueError, match="t must be from 1 to 7 for m = 4"):
        bch.generator_polynomial(4, 8)
    with pytest.raises(ValueError, match="m must be from 3"):
        bch.generator_polynomial(2, 1)


def test_parity_matrix_is_a_fresh_array():
    bch.parity_matrix(12, 2)[:] = True
    assert not bch.parity_matrix(12, 2).all()


def test_the_shipped_range_does_not_import_galois():
    script = (
        "import sys; from spexjax import bch\n"
        "for t in range(1, 9):\n"
        "    for n in (1, 6, 7, 100, 1000, 10_000): bch.parameters(n, t)\n"
        "bch.parity_matrix(10_000, 8); bch.make_code(500, 5, 16)\n"
        "assert 'galois' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_live_galois_agrees_within_and_beyond_the_tables():
    galois = pytest.importorskip("galois")
    # t = 9 to 11 are not shipped.
    for n, t in [(5, 2), (21, 2), (30, 5), (100, 8), (18, 9), (30, 10), (200, 11)]:
        chosen = bch.parameters(n, t)
        code = galois.BCH(chosen.code_length, chosen.code_dim)
        assert code.t == chosen.t
        assert int(code.generator_poly) == bch.generator_polynomial(chosen.field_degree, t)
        G = np.asarray(code.G, bool)
        np.testing.assert_array_equal(bch.parity_matrix(n, t), G[-n:, code.k :].T)
    errors = sampled_patterns(200 + bch.parameters(200, 11).parity_bits, range(12), 200)
    message, ok = decode(200, 11, received(200, 11, errors))
    assert ok.all()
    np.testing.assert_array_equal(message, errors[:, :200])


# Steps of the decoder.


@pytest.mark.parametrize(("n", "t"), [(5, 3), (40, 4), (1000, 5)])
def test_syndromes_are_sums_of_powers_of_alpha(n, t):
    code = code_of(n, t)
    p, field = code.parity_bits, field_of(code.field_degree)
    words = np.random.default_rng(0).random((9, p)) < 0.5
    S = bch.syndromes(code, words)
    chex.assert_shape(S, (9, code.t))
    chex.assert_type(S, jnp.int32)
    for word, row in zip(words, np.asarray(S), strict=True):
        positions = p - 1 - np.flatnonzero(word)
        for j in range(code.t):
            powers = field.powers[(2 * j + 1) * positions % field.q]
            assert row[j] == np.bitwise_xor.reduce(powers)
    rows = bch.syndromes(code, np.eye(p, dtype=bool))
    np.testing.assert_array_equal(rows, code.parity_syndromes)


@pytest.mark.parametrize(("n", "t"), [(5, 3), (11, 5), (200, 5), (1000, 8)])
def test_locator_is_the_product_over_the_errors(n, t):
    code = code_of(n, t)
    p, field = code.parity_bits, field_of(code.field_degree)
    errors = sampled_patterns(n + p, range(code.t + 1), 60, seed=n)
    sigma, L = bch.locator(code, bch.syndromes(code, received(n, t, errors)))
    np.testing.assert_array_equal(L, errors.sum(1))
    for row, found in zip(errors, np.asarray(sigma), strict=True):
        expected = np.eye(1, code.t + 1, dtype=int)[0]
        for e in p + n - 1 - np.flatnonzero(row):
            expected[1:] ^= field.multiply(expected[:-1], field.powers[e])
        np.testing.assert_array_equal(found, expected)


def roots_by_trial(code, sigma):
    """For each σ, which of all α^−e are roots: bool (words, q)."""
    field = field_of(code.field_degree)
    return field.evaluate(sigma[:, None, :], field.powers[-np.arange(field.q) % field.q]) == 0


def some_locators(code, count, seed=0):
    """σ with σ_0 = 1 and their degrees: all of a small code; else random ones, and products of
    linear factors, some of them repeated.
    """
    rng = np.random.default_rng(seed)
    t, field = code.t, field_of(code.field_degree)
    if (field.q + 1) ** t <= 4096:
        tail = np.array(list(itertools.product(range(field.q + 1), repeat=t)))
        sigma = np.concatenate([np.ones((len(tail), 1), int), tail], axis=1)
    else:
        sigma = rng.integers(0, field.q + 1, (2 * count, t + 1))
        sigma[:, 0] = 1
        for row in sigma[: count // 3]:
            row[rng.integers(1, t + 1) :] = 0
        sigma[count:, 1:] = 0
        roots = rng.integers(1, field.q + 1, (count, t))
        roots[: count // 2, 1] = roots[: count // 2, 0]
        roots[:, 2:][rng.random((count, t - 2)) < 0.2] = 0
        for root in roots.T:
            sigma[count:, 1:] ^= field.multiply(sigma[count:, :-1], root[:, None])
    degree = t - np.argmax(sigma[:, ::-1] != 0, axis=1)
    return sigma.astype(np.int32), degree.astype(np.int32)


@pytest.mark.parametrize(
    ("n", "t"),
    [(4, 1), (1, 3), (7, 2), (5, 3), (1, 5), (16, 3), (11, 5), (6, 7), (70, 6)],
)
def test_split_test_counts_distinct_roots(n, t):
    """All σ of the small codes; t = 1, 2, 3, 5, 6, 7 take different routes through the powers."""
    code = code_of(n, t)
    sigma, degree = some_locators(code, 600)
    distinct = roots_by_trial(code, sigma).sum(1)
    passed = np.asarray(bch.splits(code, sigma, degree))
    np.testing.assert_array_equal(passed, distinct == degree)
    assert passed.any() and (code.t == 1 or not passed.all())
    # A recurrence longer than deg σ or than t never passes.
    assert not bch.splits(code, sigma, degree + 1).any()
    assert not bch.splits(code, sigma, np.full_like(degree, code.t + 1)).any()


@pytest.mark.parametrize(("n", "t", "W"), [(20, 3, 1), (13, 3, 1), (70, 6, 4)])
def test_error_positions_are_the_roots_inside_the_word(n, t, W):
    code = code_of(n, t, W)
    sigma, degree = some_locators(code, 300, seed=1)
    roots = roots_by_trial(code, sigma)[:, : code.parity_bits + n]
    positions, ok = bch.error_positions(code, sigma, degree, n)
    chex.assert_shape(positions, (len(sigma), code.t))
    chex.assert_type(positions, jnp.int32)
    np.testing.assert_array_equal(ok, roots.sum(1) == degree)
    assert ok.any() and not ok.all()
    for row, expected, good in zip(np.asarray(positions), roots, np.asarray(ok), strict=True):
        listed = np.flatnonzero(expected) if good else []
        np.testing.assert_array_equal(row[: len(listed)], listed)
        assert (row[len(listed) :] == -1).all()


def test_roots_beyond_the_word_fail():
    """One error at each position of the full code: found if and only if n reaches it."""
    code = code_of(20, 2, 1)
    p, q = code.parity_bits, code.field.q
    e = np.arange(q)
    sigma = np.zeros((q, 3), np.int32)
    sigma[:, 0], sigma[:, 1] = 1, field_of(code.field_degree).powers
    for n in (12, 20, 21):
        positions, ok = bch.error_positions(code, sigma, np.ones(q, np.int32), n)
        np.testing.assert_array_equal(ok, e < p + n)
        np.testing.assert_array_equal(positions[:, 0], np.where(e < p + n, e, -1))


def test_features_to_packed():
    features = np.array([[0, 31, 32, -1], [-1, -1, -1, -1], [95, -1, 64, 1]], np.int32)
    packed = bch.features_to_packed(features, 4)
    expected = np.zeros((3, 96), bool)
    expected[0, [0, 31, 32]] = True
    expected[2, [95, 64, 1]] = True
    np.testing.assert_array_equal(packed, gf2.pack_numpy(expected, 4))


# Decoding.


@pytest.mark.parametrize(
    ("n", "t"),
    # Fields of 16 and 32 elements; full codes and shortened ones.
    [
        *[(11, 1), (7, 2), (5, 3), (1, 5), (26, 1), (21, 2), (16, 3), (11, 5)],
        *[(8, 1), (6, 2), (4, 3), (13, 3), (8, 5)],
    ],
)
def test_every_pattern_up_to_t_errors_is_corrected(n, t):
    chosen = bch.parameters(n, t)
    errors = patterns(n + chosen.parity_bits, range(chosen.t + 1))
    message, ok = decode(n, t, received(n, t, errors))
    assert ok.all()
    np.testing.assert_array_equal(message, errors[:, :n])


@pytest.mark.parametrize(("n", "t"), [(3, 8), (32, 2), (1000, 5), (10_000, 5), (10_000, 8)])
def test_sampled_patterns_up_to_t_errors_are_corrected(n, t):
    code = code_of(n, t)
    p = code.parity_bits
    errors = sampled_patterns(n + p, range(code.t + 1), 64, seed=n + t)
    errors[-8:] = False  # the ends of the word, and errors among the parity bits only
    errors[-8:, :: n + p - 1] = code.t > 1
    errors[-1] = False
    errors[-1, n : n + code.t] = True
    support, positions, ok = bch.hard_decode(code, received(n, t, errors), n)
    chex.assert_type([support, positions, ok], [jnp.uint32, jnp.int32, bool])
    assert ok.all()
    np.testing.assert_array_equal(support, gf2.pack_numpy(errors[:, :n], code.W))
    for row, error in zip(np.asarray(positions), errors, strict=True):
        assert set(row[row >= 0]) == set(p + n - 1 - np.flatnonzero(error))


def test_errors_beyond_the_t_asked_for_are_corrected_to_the_true_t():
    chosen = bch.parameters(9, 4)
    assert chosen.t == 5
    errors = sampled_patterns(9 + chosen.parity_bits, [5], 500)
    message, ok = decode(9, 4, received(9, 4, errors))
    assert ok.all()
    np.testing.assert_array_equal(message, errors[:, :9])


@pytest.mark.parametrize(("n", "t"), [(7, 2), (4, 2), (5, 3), (3, 3)])
def test_all_words_decode_as_the_nearest_codeword_search_does(n, t):
    """Every r: the only codeword within t errors of (0, r), or a failure if there is none."""
    chosen = bch.parameters(n, t)
    p = chosen.parity_bits
    P = slow_parity_matrix(n, bch.generator_polynomial(chosen.field_degree, t))
    messages = np.arange(2**n)[:, None] >> np.arange(n) & 1
    parities = messages @ P.T % 2
    words = (np.arange(2**p)[:, None] >> np.arange(p) & 1).astype(bool)
    distance = messages.sum(1)[:, None] + (parities[:, None, :] != words[None]).sum(2)
    within = distance <= chosen.t
    assert within.sum(0).max() == 1
    message, ok = decode(n, t, words)
    np.testing.assert_array_equal(ok, within.any(0))
    assert 0 < ok.sum() < len(ok) or chosen.t == 7
    np.testing.assert_array_equal(message[ok], messages[within.argmax(0)[ok]].astype(bool))
    assert not message[~ok].any()


@pytest.mark.parametrize(("n", "t"), [(16, 3), (13, 3), (6, 3)])
def test_share_of_decodable_words_is_that_of_the_spheres(n, t):
    """Each pattern of ≤ t errors has its own syndrome, so exactly that many r decode."""
    chosen = bch.parameters(n, t)
    p = chosen.parity_bits
    words = (np.arange(2**p)[:, None] >> np.arange(p) & 1).astype(bool)
    _, ok = decode(n, t, words)
    assert ok.sum() == sum(math.comb(n + p, e) for e in range(chosen.t + 1))


@pytest.mark.parametrize(("n", "t"), [(92, 5), (973, 5)])
def test_share_of_random_words_that_pass_agrees_with_theory(n, t):
    """n is the full dimension, so that passing the split test is decoding."""
    chosen = bch.parameters(n, t)
    p = chosen.parity_bits
    assert n == chosen.code_dim
    code = code_of(n, t)
    trials = 40_000
    words = np.random.default_rng(n).random((trials, p)) < 0.5
    sigma, L = bch.locator(code, bch.syndromes(code, words))
    passed = np.asarray(bch.splits(code, sigma, L))
    expected = sum(math.comb(chosen.code_length, e) for e in range(t + 1)) / 2**p
    deviation = math.sqrt(expected * (1 - expected) / trials)
    assert abs(passed.mean() - expected) < 4 * deviation
    some = np.concatenate([np.flatnonzero(passed)[:100], np.flatnonzero(~passed)[:100]])
    _, ok = bch.error_positions(code, sigma[some], L[some], n)
    np.testing.assert_array_equal(ok, passed[some])


def test_heavier_errors_fail_or_give_another_codeword():
    n, t = 128, 3
    P = bch.parity_matrix(n, t)
    errors = sampled_patterns(n + len(P), [4, 5, 6], CHUNK)
    words = received(n, t, errors)
    message, ok = decode(n, t, words)
    expected = sum(math.comb(n + len(P), e) for e in range(t + 1)) / 2 ** len(P)
    assert 0 < ok.mean() < 2 * expected  # weights just above t land on codewords at about this rate
    noise = (message.astype(int) @ P.T % 2) != words
    assert (message.sum(1) + noise.sum(1))[ok].max() <= t
    assert not (message == errors[:, :n])[ok].all(1).any()


# What jax users expect.


def test_n_is_traced_and_new_values_compile_nothing():
    code = code_of(900, 5)
    rng = np.random.default_rng(0)
    before = None
    for n in (520, 777, 900):
        assert jax.tree.structure(code_of(n, 5)) == jax.tree.structure(code)
        errors = sampled_patterns(n + code.parity_bits, range(6), 16, seed=int(rng.integers(99)))
        support, _, ok = bch.hard_decode(code_of(n, 5), received(n, 5, errors), n)
        assert ok.all()
        np.testing.assert_array_equal(support, gf2.pack_numpy(errors[:, :n], code.W))
        size = bch.hard_decode._cache_size()
        assert before in (None, size)
        before = size


def test_texts_of_8_to_256_words_share_at_most_eight_programs():
    kinds = set()
    for n in range(8, 257):
        code = bch.make_code(n, 5, gf2.num_words(n))
        kinds.add((jax.tree.structure(code), tuple(x.shape for x in jax.tree.leaves(code))))
    assert len(kinds) <= 8


def test_vmap_and_any_leading_shape():
    n, t = 60, 4
    code = code_of(n, t)
    errors = sampled_patterns(n + code.parity_bits, range(8), 24)
    words = received(n, t, errors)
    batched = bch.hard_decode(code, words, n)
    mapped = jax.vmap(lambda r, n: bch.hard_decode(code, r, n))(words, jnp.full(24, n))
    chex.assert_trees_all_equal(batched, mapped)
    shaped = bch.hard_decode(code, words.reshape(2, 3, 4, -1), n)
    chex.assert_trees_all_equal(
        jax.tree.map(lambda x: x.reshape(24, *x.shape[3:]), shaped), batched
    )
    alone = bch.hard_decode(code, words[5], n)
    chex.assert_trees_all_equal(alone, jax.tree.map(lambda x: x[5], batched))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "t"), [(4, 1), (5, 3), (40, 5)])
def test_without_jit(n, t):
    code = code_of(n, t)
    words = np.random.default_rng(0).random((20, code.parity_bits)) < 0.5
    compiled = bch.hard_decode(code, words, n)
    with jax.disable_jit():
        chex.assert_trees_all_equal(bch.hard_decode(code, words, n), compiled)


def test_no_words_at_all():
    code = code_of(20, 3)
    support, positions, ok = bch.hard_decode(code, np.zeros((0, code.parity_bits), bool), 20)
    chex.assert_shape([support, positions, ok], [(0, 1), (0, 3), (0,)])


def test_code_is_a_pytree_with_static_integers():
    code = code_of(16, 3)
    leaves, structure = jax.tree.flatten(code)
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)
    assert dataclasses.asdict(jax.tree.unflatten(structure, leaves))["parity_bits"] == 15
    assert code.field_degree == 5 and code.positions == 31
