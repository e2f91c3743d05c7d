"""Dense transforms against their definitions, O(4^n) in float64, and against each other."""

import os
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spexjax.spectra import transforms


def bits(n):
    return (np.arange(2**n)[:, None] >> np.arange(n)) & 1


def inside(n):
    """inside[m, S] is 1 if S is a subset of m."""
    b = bits(n)
    return np.all(b[None, :, :] <= b[:, None, :], axis=-1).astype(float)


def size(n):
    return bits(n).sum(1)


def signs(n):
    return (-1.0) ** (bits(n) @ bits(n).T)


DEFINITIONS = {
    "fwht": signs,
    "ifwht": lambda n: signs(n) / 2**n,
    "mobius": lambda n: inside(n) * (-1.0) ** (size(n)[:, None] - size(n)),
    "inverse_mobius": inside,
    "comobius": lambda n: inside(n).T,
    "inverse_comobius": lambda n: inside(n).T * (-1.0) ** (size(n) - size(n)[:, None]),
    "fourier_to_mobius": lambda n: (-2.0) ** size(n)[:, None] * inside(n).T,
    "mobius_to_fourier": lambda n: (-1.0) ** size(n)[:, None] * inside(n).T * 2.0 ** -size(n),
}
INVERSES = {
    "fwht": "ifwht",
    "mobius": "inverse_mobius",
    "comobius": "inverse_comobius",
    "fourier_to_mobius": "mobius_to_fourier",
}
NAMES = sorted(DEFINITIONS)


def table(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def close(actual, expected):
    """Equal to float32 rounding of the largest entry."""
    expected = np.asarray(expected)
    scale = max(np.abs(expected).max(initial=0), 1e-30)
    np.testing.assert_allclose(np.asarray(actual) / scale, expected / scale, atol=4e-6)


@pytest.mark.parametrize("n", range(9))
@pytest.mark.parametrize("name", NAMES)
def test_definition(name, n):
    x = table(2**n, n)
    y = getattr(transforms, name)(x)
    chex.assert_shape(y, (2**n,))
    chex.assert_type(y, jnp.float32)
    close(y, DEFINITIONS[name](n) @ x.astype(float))


@pytest.mark.parametrize("n", [0, 1, 5])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape,axis", [((3,), 0), ((3,), 1), ((2, 40), 1), ((2, 3, 1), -2)])
def test_axes(name, n, shape, axis):
    shape = list(shape)
    shape.insert(axis if axis >= 0 else len(shape) + 1 + axis, 2**n)
    x = table(shape)
    y = getattr(transforms, name)(x, axis=axis)
    chex.assert_shape(y, tuple(shape))
    close(y, np.moveaxis(np.moveaxis(x, axis, -1) @ DEFINITIONS[name](n).T, -1, axis))


@pytest.mark.parametrize("columns", [1, 2, 3, 31, 32, 70])
def test_every_factorisation(columns):
    """Products from the right, in place and both, checked one character of GF(2)^n at a time."""
    n = 11
    last, in_place = transforms.factorize(n, columns)
    assert last + sum(in_place) == n
    k = np.random.default_rng(columns).integers(0, 2**n, columns)
    characters = (1.0 - 2 * (np.bitwise_count(np.arange(2**n)[:, None] & k) & 1)).astype(np.float32)
    expected = np.zeros((2**n, columns))
    expected[k, np.arange(columns)] = 2**n
    np.testing.assert_array_equal(transforms.fwht(characters, axis=0), expected)


@pytest.mark.parametrize("name", sorted(INVERSES))
@pytest.mark.parametrize("n", [3, 9, 12])
def test_round_trips(name, n):
    x = table((2, 2**n), n)
    there, back = getattr(transforms, name), getattr(transforms, INVERSES[name])
    # Rounding is relative to the largest number on the way, which grows as 2^n for Möbius.
    for first, second in [(there, back), (back, there)]:
        middle = first(x)
        error = np.abs(np.asarray(second(middle)) - x).max()
        assert error <= 1e-5 * max(1, np.abs(middle).max())


def test_parseval():
    x = table(2**14)
    energy = np.sum(np.asarray(transforms.ifwht(x), float) ** 2)
    np.testing.assert_allclose(energy, np.mean(x.astype(float) ** 2), rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_linear(name):
    f = getattr(transforms, name)
    x, y = table((2, 2**9))
    close(f(2 * x - 3 * y), 2 * np.asarray(f(x)) - 3 * np.asarray(f(y)))


def test_fourier_and_mobius_agree():
    f = table((3, 2**8))
    fourier, dividends = transforms.ifwht(f), transforms.mobius(f)
    close(transforms.fourier_to_mobius(fourier), dividends)
    close(transforms.mobius_to_fourier(dividends), fourier)
    close(transforms.inverse_mobius(transforms.fourier_to_mobius(fourier)), f)
    # The derivative on S with all else kept is 2^|S| Σ_{T⊇S} (−1)^|T| F(T).
    signed = np.asarray(fourier) * ((-1.0) ** size(8)).astype(np.float32)
    close(transforms.comobius(dividends), 2.0 ** size(8) * transforms.comobius(signed))


def test_values_at_the_ends():
    f = table(2**6)
    close(transforms.fwht(transforms.ifwht(f)), f)
    close(transforms.comobius(transforms.mobius(f))[0], f[-1])
    close(transforms.mobius(f)[0], f[0])


@pytest.mark.parametrize("name", NAMES)
def test_vmap_and_jit(name):
    f = getattr(transforms, name)
    for n in (4, 10):
        x = table((3, 2**n, 2), n)
        expected = np.asarray(f(x, axis=1))
        close(jax.jit(lambda x, f=f: f(x, axis=1))(x), expected)
        nested = jax.vmap(jax.vmap(f, in_axes=1, out_axes=1))(x)
        close(nested, expected)
        close(jax.vmap(lambda x, f=f: f(x, axis=0))(x), expected)
        with jax.disable_jit():
            close(f(x, axis=1), expected)


def test_gradient_is_the_transpose():
    """In the range of sizes with products in place, where vmap has a rule of its own."""
    x, y = table((2, 2**10))
    for name in ("fwht", "mobius"):
        f = getattr(transforms, name)
        pulled = jax.grad(lambda x, f=f: jnp.vdot(f(x), y))(x)
        assert np.vdot(pulled, x) == pytest.approx(float(np.vdot(f(x), y)), rel=1e-3)
        rows = jax.vmap(jax.grad(lambda x, y, f=f: jnp.vdot(f(x), y)), in_axes=(None, 0))
        close(rows(x, np.stack([y, 2 * y]))[1], 2 * np.asarray(pulled))


def test_one_compilation_per_shape():
    f = jax.jit(lambda x: transforms.fwht(x))
    for seed in range(3):
        f(table(64, seed))
    assert f._cache_size() == 1


def test_integers_and_bools():
    parity = np.array([False, True, True, False])
    np.testing.assert_array_equal(transforms.fwht(parity), [2, 0, 0, -2])
    np.testing.assert_array_equal(
        transforms.mobius(np.array([1, 2, 3, 10], np.int32)), [1, 1, 2, 6]
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [0, 3, 12])
def test_length_must_be_a_power_of_two(name, length):
    with pytest.raises(ValueError, match=f"power of two, 2\\^n, got {length}"):
        getattr(transforms, name)(np.zeros((4, length), np.float32))
    with pytest.raises(ValueError, match="power of two"):
        jax.eval_shape(
            lambda x: getattr(transforms, name)(x), jax.ShapeDtypeStruct((length,), jnp.float32)
        )


def test_axis_must_exist():
    with pytest.raises(ValueError, match="axis must be from -1 to 0, got 1"):
        transforms.fwht(np.zeros(4, np.float32), axis=1)
    with pytest.raises(ValueError, match="at least one axis"):
        transforms.fwht(np.float32(1))


def test_empty_batch():
    assert transforms.fwht(np.zeros((0, 8), np.float32)).shape == (0, 8)


def test_complex_input_is_refused():
    with pytest.raises(ValueError, match="x must be real"):
        transforms.fwht(np.zeros(4, np.complex64))


ON_FOUR_DEVICES = """
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
from spexjax.spectra import transforms

mesh = jax.make_mesh((4,), ("x",), axis_types=(jax.sharding.AxisType.Explicit,))
table = np.random.default_rng(0).standard_normal((4, 2**7, 4)).astype(np.float32)
for spec in (P("x"), P(None, "x"), P(None, None, "x")):
    sharded = jax.device_put(table, NamedSharding(mesh, spec))
    for f in (transforms.fwht, transforms.ifwht, transforms.mobius):
        there = jax.jit(lambda x, f=f: f(x, axis=1))(sharded)
        assert there.sharding.is_equivalent_to(sharded.sharding, 3), there.sharding
        scale = np.abs(f(table, axis=1)).max()
        assert np.abs(np.asarray(there) - f(table, axis=1)).max() < 1e-5 * scale
pulled = jax.jit(jax.grad(lambda x: (transforms.fwht(x, axis=1) ** 2).sum()))(sharded)
np.testing.assert_allclose(pulled, 2 * 2**7 * table, rtol=1e-4, atol=1e-3)  # H H = 2^n
"""


def test_sharded_over_a_mesh_with_explicit_axes():
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
    }
    done = subprocess.run(
        [sys.executable, "-c", ON_FOUR_DEVICES], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
