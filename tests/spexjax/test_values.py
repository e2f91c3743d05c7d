"""Calling a value function: chunks, checks, and nothing lost when it fails."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spexjax import values
from spexjax.codes import gf2

N_FEATURES = 10


@pytest.fixture
def packed():
    bits = np.random.default_rng(0).random((25, N_FEATURES)) < 0.5
    return gf2.pack_numpy(bits, 1)


def linear(masks):
    return masks @ np.arange(N_FEATURES)


def test_values_arrive_in_order_and_in_chunks(packed):
    sizes = []

    def f(masks):
        assert masks.dtype == bool and isinstance(masks, np.ndarray)
        sizes.append(len(masks))
        return linear(masks)

    got = values.evaluate(f, packed, N_FEATURES, chunk_size=10)
    assert sizes == [10, 10, 5]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, linear(gf2.unpack_numpy(packed, N_FEATURES)))


def test_vector_values(packed):
    got = values.evaluate(lambda m: np.stack([linear(m)] * 3, 1), packed, N_FEATURES, 7)
    assert got.shape == (25, 3)


def test_a_device_function_sees_device_arrays_of_one_shape(packed):
    shapes = set()

    @values.on_device
    @jax.jit
    def f(masks):
        shapes.add(masks.shape)
        return masks.astype(jnp.bfloat16) @ jnp.ones(N_FEATURES, jnp.bfloat16)

    got = values.evaluate(f, packed, N_FEATURES, chunk_size=10)
    assert isinstance(got, jax.Array) and got.dtype == jnp.float32
    assert shapes == {(10, N_FEATURES)}
    np.testing.assert_array_equal(got, gf2.unpack_numpy(packed, N_FEATURES).sum(1))


def failing(result):
    count = iter(range(100))

    def f(masks):
        return linear(masks) if next(count) < 2 else result(masks)

    return f


def with_nan(masks):
    out = linear(masks).astype(float)
    out[3] = np.nan
    return out


def boom(masks):
    raise OSError("out of order")


@pytest.mark.parametrize(
    "result,message",
    [
        (with_nan, r"NaN or infinity for 1 masks \(rows 3\)"),
        (lambda m: linear(m)[:-1], r"returned shape \(4,\) for 5 masks"),
        (lambda m: np.array(["no"] * len(m)), "instead of numbers"),
        (lambda m: [None] * len(m), "returned object instead of numbers"),
        (lambda m: np.ones((len(m), 2)), "for the first chunk"),
        (lambda m: np.ones(len(m), complex), "complex"),
        (boom, r"raised OSError\('out of order'\)"),
    ],
)
def test_failures_name_the_chunk_and_keep_what_was_paid_for(packed, result, message):
    with pytest.raises(values.ValueFunctionError, match=message) as caught:
        values.evaluate(failing(result), packed, N_FEATURES, chunk_size=5)
    error = caught.value
    assert "on chunk 2 (5 masks)" in str(error)
    assert error.chunk == 2
    kept = np.r_[:13, 14] if "rows 3" in message else np.r_[:10]  # all that is finite
    np.testing.assert_array_equal(error.masks, packed[kept])
    expected = linear(gf2.unpack_numpy(packed[kept], N_FEATURES))
    np.testing.assert_array_equal(error.values, expected)
    np.testing.assert_array_equal(error.failed_masks, packed[10:15])


def test_a_failure_on_the_first_chunk_has_no_values(packed):
    with pytest.raises(values.ValueFunctionError, match="0 values") as caught:
        values.evaluate(boom, packed, N_FEATURES)
    assert caught.value.values is None


def test_progress_tells_the_time_after_the_first_chunk(packed, capsys):
    values.evaluate(linear, packed, N_FEATURES, chunk_size=10, progress=True)
    error = capsys.readouterr().err
    assert error.startswith("10 of 25 calls in 0.0 s; about 0 s to go") and error.count("\n") == 1
    values.evaluate(linear, packed, N_FEATURES, chunk_size=25, progress=True)
    values.evaluate(linear, packed, N_FEATURES, chunk_size=10)
    assert capsys.readouterr().err == ""


def test_progress_shows_a_bar_on_a_terminal(packed, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    values.evaluate(linear, packed, N_FEATURES, chunk_size=5, progress=True)
    assert "/25" in capsys.readouterr().err
