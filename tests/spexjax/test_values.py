"""Calling a value function: chunks, checks, and nothing lost when it fails."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spexjax import values
from spexjax.codes import gf2
from spexjax.store import opened
from spexjax.values.calling import chunk_size_of
from spexjax.values.games import unwrapped

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
    np.testing.assert_array_equal(got, linear(gf2.unpack_numpy(packed, N_FEATURES)))


@pytest.mark.parametrize(
    "dtype,kept",
    [("f8", "f8"), ("f4", "f4"), ("f2", "f4"), (jnp.bfloat16, "f4"), (np.longdouble, "f8"),
     ("i8", "f8"), ("u1", "f8"), ("?", "f8"), (">f4", "f4"), (">f8", "f8"), (list, "f8")],
)  # fmt: skip
def test_values_arrive_as_precise_as_they_were(packed, dtype, kept):
    exact = linear(gf2.unpack_numpy(packed, N_FEATURES)) / 3 + 100
    exact = exact if dtype is list else exact.astype(dtype)
    parts = iter([exact[:20], exact[20:]])

    def f(masks):
        return next(parts).tolist() if dtype is list else next(parts)

    got = values.evaluate(f, packed, N_FEATURES, chunk_size=20)
    assert got.dtype == np.dtype(kept) and got.dtype.isnative
    np.testing.assert_array_equal(got, exact.astype(kept))


def test_one_precise_chunk_makes_the_whole_precise(packed):
    answers = np.random.default_rng(1).random(25)
    parts = iter([answers[:10].astype(np.float32), answers[10:20], np.ones(5, np.float16)])
    got = values.evaluate(lambda m: next(parts), packed, N_FEATURES, chunk_size=10)
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, np.r_[np.float32(answers[:10]), answers[10:20], np.ones(5)])


def test_a_function_may_use_its_memory_again(packed):
    buffer = np.zeros(5)

    def f(masks):
        buffer[:] = linear(masks)
        return buffer

    got = values.evaluate(f, packed, N_FEATURES, chunk_size=5)
    np.testing.assert_array_equal(got, linear(gf2.unpack_numpy(packed, N_FEATURES)))


def test_a_journal_gives_back_what_the_function_gave(packed, tmp_path):
    packed = np.unique(packed, axis=0)
    asked = []

    def f(masks):
        asked.append(len(masks))
        return linear(masks) / 3

    for _ in range(2):
        with opened(tmp_path / "calls.sqlite", f, N_FEATURES, "f") as journal:
            got = values.evaluate(f, packed, N_FEATURES, chunk_size=100, journal=journal)
        assert got.dtype == np.float64
        np.testing.assert_array_equal(got, linear(gf2.unpack_numpy(packed, N_FEATURES)) / 3)
    assert asked == [len(packed)]


def test_the_chunk_size_is_the_callers_or_the_functions_own(packed):
    class Sized:
        chunk_size = 8

        def __call__(self, masks):
            sizes.append(len(masks))
            return masks[:, 0] * 1.0

    sizes = []
    values.evaluate(Sized(), packed, N_FEATURES)
    values.evaluate(Sized(), packed, N_FEATURES, chunk_size=20)
    assert sizes == [8, 8, 8, 1, 20, 5]
    assert chunk_size_of(values.on_device(Sized())) == 8
    assert (chunk_size_of(linear), chunk_size_of(linear, np.int64(3))) == (512, 3)


@pytest.mark.parametrize("chunk_size", [0, -1, 2.0, True, "8"])
def test_a_chunk_size_is_a_positive_int(packed, chunk_size):
    def f(masks):
        return linear(masks)

    f.chunk_size = chunk_size
    for given in (chunk_size, None):
        with pytest.raises(ValueError, match="chunk_size must be at least 1 and an int, got"):
            values.evaluate(f, packed, N_FEATURES, given)


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


def test_double_precision_on_the_device_stays(packed):
    with jax.enable_x64(True):
        f = values.on_device(lambda masks: masks.astype(jnp.float64).sum(axis=1) + 2.0**-40)
        got = values.evaluate(f, packed, N_FEATURES, chunk_size=25)
    assert isinstance(got, jax.Array) and got.dtype == np.float64
    np.testing.assert_array_equal(got, gf2.unpack_numpy(packed, N_FEATURES).sum(axis=1) + 2.0**-40)


def test_nothing_returns_to_the_device_from_the_host(packed, monkeypatch):
    """On a CPU the guard sees this direction only; on an accelerator it sees the way out, too."""
    put = jax.device_put
    monkeypatch.setattr(jax, "device_put", lambda x: sent.append(x.dtype) or put(x))
    sent = []
    weights = put(np.ones((N_FEATURES, 3), np.float32))
    f = values.on_device(jax.jit(lambda masks: jnp.dot(masks.astype(jnp.float32), weights)))
    with jax.transfer_guard("disallow"):
        got = values.evaluate(f, packed, N_FEATURES, chunk_size=10)
    assert isinstance(got, jax.Array) and sent == [np.uint32] * 3


# An array on two devices has no memory that NumPy could look into without being seen.
WATCHED = """
import jax, jax.numpy as jnp, numpy as np
from jax._src.array import ArrayImpl
from spexjax import values

pulled, read = [], ArrayImpl._value
ArrayImpl._value = property(lambda x: pulled.append((x.dtype, x.shape)) or read.fget(x))
mesh = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
rows = jax.NamedSharding(mesh, jax.P("d"))
f = values.on_device(jax.jit(lambda m: jnp.stack([m.sum(1), m[:, 0]], 1) / 4, out_shardings=rows))
packed = np.arange(26, dtype=np.uint32)[:, None]
got = values.evaluate(f, packed, 10, chunk_size=10)
assert len(got.sharding.device_set) == 2
assert pulled == [(bool, ())] * 3, pulled
assert np.asarray(got)[7].tolist() == [0.75, 0.25]
assert len(pulled) == 4  # the watch sees what leaves
"""


def test_values_of_a_device_function_are_not_pulled_to_the_host():
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    child = subprocess.run([sys.executable, "-c", WATCHED], env=environment, stderr=subprocess.PIPE)
    assert child.returncode == 0, child.stderr.decode()


def test_a_device_function_that_fails_says_where(packed):
    at = jnp.asarray(packed[23])

    @values.on_device
    def f(masks):  # NaN at mask 23, and at 0…0, with which the last chunk is filled up
        wrong = (gf2.pack(masks, 1) == at).all(axis=1) | ~masks.any(axis=1)
        return jnp.where(wrong, jnp.nan, masks.sum(axis=1, dtype=jnp.float32))

    bad = r"NaN or infinity for 1 masks \(rows 3\), on chunk 2 \(5 masks\)"
    with pytest.raises(values.ValueFunctionError, match=bad) as caught:
        values.evaluate(f, packed, N_FEATURES, chunk_size=10)
    kept = np.r_[:23, 24]
    np.testing.assert_array_equal(caught.value.masks, packed[kept])
    expected = gf2.unpack_numpy(packed[kept], N_FEATURES).sum(axis=1)
    np.testing.assert_array_equal(caught.value.values, expected)
    complex_values = values.on_device(lambda masks: masks.astype(jnp.complex64)[:, 0])
    with pytest.raises(values.ValueFunctionError, match="returned complex numbers"):
        values.evaluate(complex_values, packed, N_FEATURES, chunk_size=10)


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
        (lambda m: linear(m).astype(object), "returned object instead of numbers"),
        (lambda m: np.ones(len(m), "m8[s]"), "instead of numbers"),
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


def test_what_came_before_breaking_off_keeps_its_precision(packed):
    def f(masks):
        raise values.PartialValues([1 / 3, None, *[float("nan")] * 23], OSError("line went dead"))

    with pytest.raises(values.ValueFunctionError, match="broke off: line went dead") as caught:
        values.evaluate(f, packed, N_FEATURES)
    np.testing.assert_array_equal(caught.value.masks, packed[:1])
    assert caught.value.values.tolist() == [1 / 3]


def test_a_game_keeps_its_precision_and_is_real():
    class Game:
        n_players, normalization_value = 3, 0.5

        def __call__(self, masks):
            return answers

    f, n = unwrapped(Game(), None)
    for kind in (object, np.float64):
        answers = np.array([2, 1 / 3], kind)
        assert n == 3 and f(np.zeros((2, 3), bool)).tolist() == [2.5, 1 / 3 + 0.5]
    answers = np.ones(2, complex)
    with pytest.raises(ValueError, match="real numbers"):
        f(np.zeros((2, 3), bool))


def test_progress_tells_the_time_before_and_after_the_first_chunk(packed, capsys):
    values.evaluate(linear, packed, N_FEATURES, chunk_size=10, progress=True)
    assert capsys.readouterr().err.splitlines() == [
        "25 calls, 10 at a time",
        "10 of 25 calls in 0.0 s; about 0 s to go",
    ]
    values.evaluate(linear, packed, N_FEATURES, chunk_size=25, progress=True)
    values.evaluate(linear, packed, N_FEATURES, chunk_size=10)
    assert capsys.readouterr().err == ""


def test_progress_shows_a_bar_on_a_terminal(packed, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    values.evaluate(linear, packed, N_FEATURES, chunk_size=5, progress=True)
    assert "/25" in capsys.readouterr().err


class Stream:
    """Answers in fives, the last masks first; ``wrong`` is what it says of the third five."""

    def __init__(self, wrong=None):
        self.wrong, self.closed = wrong, False

    def stream(self, packed, n, chunk_size):
        assert chunk_size is None
        places = np.arange(len(packed))[::-1]
        try:
            for chunk in range(0, len(packed), 5):
                at = places[chunk : chunk + 5]
                if chunk == 10 and self.wrong is not None:
                    yield at, self.wrong
                yield at, gf2.unpack_numpy(packed[at], n) @ np.arange(n)
        finally:
            self.closed = True


def test_a_stream_is_kept_as_it_comes_and_put_in_order(packed, tmp_path):
    want = linear(gf2.unpack_numpy(packed, N_FEATURES))
    np.testing.assert_array_equal(values.evaluate(Stream(), packed, N_FEATURES), want)
    with opened(tmp_path / "calls.sqlite", None, N_FEATURES, "stream") as journal:
        for wrong in np.full(5, np.nan), np.zeros((5, 2)):
            with pytest.raises(values.ValueFunctionError, match="on chunk 2"):
                values.evaluate(f := Stream(wrong), packed, N_FEATURES, journal=journal)
            assert f.closed
        assert len(journal) == 20  # the second time the next two fives
        found = values.evaluate(Stream(), packed, N_FEATURES, journal=journal)
    np.testing.assert_array_equal(found, want)
