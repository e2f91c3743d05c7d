"""Packed bit arrays against definitions on unpacked bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spexjax.codes import gf2

SIZES = [1, 7, 31, 32, 33, 64, 200, 1000]


def random_bits(seed, *shape):
    return np.random.default_rng(seed).random(shape) < 0.5


@pytest.mark.parametrize("n", SIZES)
def test_pack_puts_feature_i_at_bit_i_mod_32(n):
    bits = random_bits(n, 5, n)
    W = gf2.num_words(n)
    expected = np.zeros((5, W), np.uint64)
    for row in range(5):
        for i in range(n):
            expected[row, i // 32] += int(bits[row, i]) << (i % 32)
    np.testing.assert_array_equal(gf2.pack(bits), expected.astype(np.uint32))
    np.testing.assert_array_equal(gf2.pack_numpy(bits, W), expected.astype(np.uint32))
    np.testing.assert_array_equal(gf2.unpack(gf2.pack(bits), n), bits)
    np.testing.assert_array_equal(gf2.unpack_numpy(gf2.pack_numpy(bits, W), n), bits)


def test_the_ladder_of_word_counts_is_short_and_covers_every_n():
    counts = [gf2.num_words(n) for n in range(1, 10_001)]
    assert all(n <= 32 * W for n, W in enumerate(counts, 1))
    assert len(set(counts[:256])) == 4
    assert counts[9_999] == 320
    assert max(W * 32 / n for n, W in enumerate(counts, 1) if n >= 32) <= 2


@pytest.mark.parametrize("n", SIZES)
def test_valid_bits_with_a_traced_n(n):
    W = gf2.num_words(n)
    words = jax.jit(lambda n: gf2.valid_bits(n, W))(jnp.int32(n))
    np.testing.assert_array_equal(words, gf2.pack_numpy(np.ones(n, bool), W))


@pytest.mark.parametrize("n", [5, 40, 200])
def test_products_are_those_of_integers_modulo_two(n):
    W = gf2.num_words(n)
    a, x = random_bits(1, 6, n), random_bits(2, 4, n)
    A, X = gf2.pack(a), gf2.pack(x)
    expected = (x.astype(int) @ a.T.astype(int)) % 2 == 1
    np.testing.assert_array_equal(gf2.parity(X[:, None], A), expected)
    np.testing.assert_array_equal(gf2.matvec(A, X), expected)
    np.testing.assert_array_equal(jax.vmap(gf2.matvec, (None, 0))(A, X), expected)
    np.testing.assert_array_equal(gf2.matmul(x, a.T), expected)
    c = random_bits(3, 4, 6)
    combined = (c.astype(int) @ a.astype(int)) % 2 == 1
    np.testing.assert_array_equal(gf2.unpack_numpy(gf2.combine(A, c), n), combined)
    np.testing.assert_array_equal(gf2.degree(X), x.sum(axis=1))
    assert A.shape[1] == W


def test_rank_of_known_matrices():
    rows = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]], bool)
    assert gf2.rank(gf2.pack_numpy(rows, 1)) == 2
    assert gf2.rank(gf2.pack_numpy(np.eye(40, dtype=bool), 2)) == 40
    assert gf2.rank(np.zeros((3, 1), np.uint32)) == 0


@pytest.mark.parametrize("n,b", [(1, 1), (3, 3), (8, 8), (40, 8), (1000, 12)])
def test_random_full_rank_is_nested(key, n, b):
    W = gf2.num_words(n)
    full = gf2.random_full_rank(key, n, b, W)
    assert gf2.rank(full) == b
    np.testing.assert_array_equal(gf2.random_full_rank(key, n, b - 1, W), full[: b - 1])
    assert not np.any(full & ~np.asarray(gf2.valid_bits(n, W)))


def test_random_words_are_pinned(key):
    # A journal of model calls outlives versions of jax: these numbers may never change.
    words = np.asarray(gf2.random_words(key, 100, 4))
    assert [f"{w:08x}" for w in words] == GOLDEN_WORDS
    np.testing.assert_array_equal(gf2.random_words(key, 64, 2), words[:2])


GOLDEN_WORDS = ["6b200159", "99ba4efe", "375f238f", "0000000d"]


def test_errors_name_the_argument(key):
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        gf2.num_words(0)
    with pytest.raises(ValueError, match="n must be between 1 and 32 for 1 words, got 33"):
        gf2.pack(np.zeros(33, bool), W=1)
    with pytest.raises(ValueError, match="b must be at most n = 3"):
        gf2.random_full_rank(key, 3, 4, 1)
    matrix, vectors = np.zeros((3, 2), np.uint32), np.zeros((5, 2), np.uint32)
    for wrong in (
        lambda: gf2.parity(matrix, vectors[:, :1]),
        lambda: gf2.parity(matrix.astype(np.int32), matrix),
        lambda: gf2.matvec(vectors[0], vectors),
        lambda: gf2.combine(matrix, np.zeros(2, bool)),
        lambda: gf2.unpack(matrix.astype(np.float32), 7),
    ):
        with pytest.raises(AssertionError):
            wrong()
