"""GF(2^m) against carry-less multiplication on Python ints."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spexjax.codes import gf2m

POLYNOMIALS = {2: 7, 4: 19, 6: 67, 11: 2053, 16: 69643}


def slow_multiply(x, y, polynomial):
    """Carry-less product, reduced bit by bit."""
    m = polynomial.bit_length() - 1
    product = 0
    for i in range(m):
        if y >> i & 1:
            product ^= x << i
    for i in range(2 * m - 2, m - 1, -1):
        if product >> i & 1:
            product ^= polynomial << (i - m)
    return product


def slow_power(x, exponent, polynomial):
    result = 1
    for _ in range(exponent):
        result = slow_multiply(result, x, polynomial)
    return result


def elements(m, count=400):
    """All pairs of a small field; pairs with many zeros and ones of a large one."""
    if m <= 4:
        x, y = np.divmod(np.arange(4**m, dtype=np.int32), 2**m)
        return x.astype(np.int32), y.astype(np.int32)
    rng = np.random.default_rng(m)
    pairs = rng.integers(0, 2**m, (2, count)).astype(np.int32)
    pairs[0, :40], pairs[1, 20:60] = 0, 0
    pairs[0, 60:70], pairs[1, 70:80] = 2**m - 1, 1
    return pairs[0], pairs[1]


@pytest.mark.parametrize("m", POLYNOMIALS)
def test_multiply_is_the_carry_less_product(m):
    x, y = elements(m)
    product = gf2m.multiply(gf2m.make_field(POLYNOMIALS[m]), x, y)
    expected = [slow_multiply(int(a), int(b), POLYNOMIALS[m]) for a, b in zip(x, y, strict=True)]
    chex.assert_type(product, jnp.int32)
    np.testing.assert_array_equal(product, expected)


@pytest.mark.parametrize("m", POLYNOMIALS)
def test_field_axioms(m):
    field = gf2m.make_field(POLYNOMIALS[m])
    x, y = elements(m)
    z = np.roll(x, 7) ^ 1
    times = gf2m.multiply
    np.testing.assert_array_equal(times(field, x, y), times(field, y, x))
    np.testing.assert_array_equal(
        times(field, times(field, x, y), z), times(field, x, times(field, y, z))
    )
    np.testing.assert_array_equal(times(field, x, y ^ z), times(field, x, y) ^ times(field, x, z))
    np.testing.assert_array_equal(times(field, x, gf2m.invert(field, x)), (x != 0).astype(int))
    np.testing.assert_array_equal(gf2m.square(field, x), times(field, x, x))
    assert int(gf2m.invert(field, 0)) == 0


@pytest.mark.parametrize("m", [4, 11, 16])
def test_logarithms_invert_powers_of_alpha(m):
    field = gf2m.make_field(POLYNOMIALS[m])
    x = np.arange(2**m, dtype=np.int32)
    np.testing.assert_array_equal(gf2m.antilog(field, gf2m.log(field, x)), x)
    assert sorted(np.asarray(gf2m.log(field, x[1:]))) == list(range(field.q))
    assert int(gf2m.log(field, 0)) == 3 * field.q
    # 1, 2, 4, … are 1, α, α²: the basis, and αᵐ is the polynomial's tail.
    np.testing.assert_array_equal(gf2m.antilog(field, np.arange(m)), 2 ** np.arange(m))
    assert int(gf2m.antilog(field, m)) == POLYNOMIALS[m] ^ (1 << m)


@pytest.mark.parametrize("m", [2, 6, 16])
def test_power(m):
    field = gf2m.make_field(POLYNOMIALS[m])
    x, _ = elements(m)
    x = x[:60]
    for exponent in (0, 1, 2, 3, 13):
        expected = [slow_power(int(a), exponent, POLYNOMIALS[m]) for a in x]
        np.testing.assert_array_equal(gf2m.power(field, x, exponent), expected)
    # Exponents beyond q, and their periodicity.
    np.testing.assert_array_equal(gf2m.power(field, x, field.q + 1), x)
    np.testing.assert_array_equal(gf2m.power(field, x, field.q), x != 0)


def test_evaluate_is_the_sum_of_monomials():
    polynomial, rng = POLYNOMIALS[6], np.random.default_rng(0)
    field = gf2m.make_field(polynomial)
    coefficients = rng.integers(0, 64, (5, 4)).astype(np.int32)
    x = rng.integers(0, 64, (7, 5)).astype(np.int32)
    x[0] = 0
    values = gf2m.evaluate(field, coefficients, x)
    for i, j in np.ndindex(7, 5):
        expected = 0
        for power, c in enumerate(coefficients[j]):
            expected ^= slow_multiply(
                int(c), slow_power(int(x[i, j]), power, polynomial), polynomial
            )
        assert int(values[i, j]) == expected


def test_xor_sum():
    x = np.random.default_rng(1).integers(0, 99, (3, 4, 5)).astype(np.int32)
    for axis in (0, 1, -1):
        np.testing.assert_array_equal(gf2m.xor_sum(x, axis), np.bitwise_xor.reduce(x, axis=axis))


def test_jit_vmap_and_one_compilation():
    field = gf2m.make_field(POLYNOMIALS[4])
    x, y = elements(4)
    multiply = jax.jit(gf2m.multiply)
    np.testing.assert_array_equal(multiply(field, x, y), gf2m.multiply(field, x, y))
    multiply(field, y, x[::-1].copy())
    assert multiply._cache_size() == 1
    mapped = jax.vmap(gf2m.multiply, (None, 0, 0))(field, x, y)
    np.testing.assert_array_equal(mapped, gf2m.multiply(field, x, y))


@pytest.mark.parametrize(
    ("polynomial", "message"),
    [(0b11111, "primitive"), (0b10101, "primitive"), (0b11, "degree"), (1 << 17 | 9, "degree")],
)
def test_polynomials_that_define_no_field_raise(polynomial, message):
    # x⁴ + x³ + x² + x + 1 is irreducible, yet its root has order 5.
    with pytest.raises(ValueError, match=message):
        gf2m.make_field(polynomial)
