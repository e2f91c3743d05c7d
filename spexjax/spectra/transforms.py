"""Dense transforms over GF(2)^n: Walsh–Hadamard, Möbius, co-Möbius, and the maps between them.

A table of length 2^n is indexed little-endian: bit ``i`` of the index is feature ``i``, the order
of all subsets counted up from the empty one. Every transform here is the n-fold Kronecker power of
a 2 × 2 matrix, its *cell*, so all share one kernel: a few dense factors of at most 2^8 rows, one
matrix product per factor.

A factor that acts on features i, …, i + r − 1 sees the table as (rows, 2^r, columns). With many
columns the product runs in place, batched over rows, and nothing is transposed. The lowest
features have too few columns for that; they are taken together as one product from the right.
"""

from collections.abc import Sequence
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Float

from spexjax.typing import Array, ArrayLike

Table = Float[ArrayLike, "..."]
Cell = tuple[tuple[float, float], tuple[float, float]]

HADAMARD: Cell = ((1, 1), (1, -1))
SUBSETS: Cell = ((1, 0), (1, 1))
SUBSETS_INVERSE: Cell = ((1, 0), (-1, 1))
SUPERSETS: Cell = ((1, 1), (0, 1))
SUPERSETS_INVERSE: Cell = ((1, -1), (0, 1))
FOURIER_TO_MOBIUS: Cell = ((1, 1), (0, -2))
MOBIUS_TO_FOURIER: Cell = ((1, 0.5), (0, -0.5))

SINGLE_FACTOR = 8  # tables up to 2^8 along the last axis: one product
LAST_FACTOR = 64  # rows of the factor from the right, if there is more than one
IN_PLACE_FACTOR = 4  # features per product in place
MIN_COLUMNS = 32  # fewer columns than this make products in place slow


def fwht(x: Table, axis: int = -1) -> Float[Array, "..."]:
    """The unnormalised Walsh–Hadamard transform X(k) = Σ_m (−1)^⟨m,k⟩ x(m).

    Applied to the values f(m) of all masks it gives 2^n F(k), so the Fourier coefficients
    F(k) = 2^−n Σ_m (−1)^⟨m,k⟩ f(m) are ``ifwht(f)``, and f = ``fwht(F)``.

    Args:
      x: float, length 2^n along ``axis``; the other axes are batch axes. If x is sharded over a
        mesh with explicit axes the result is sharded alike; batch axes are transformed where they
        lie, a sharded ``axis`` is gathered first.
      axis: the axis to transform.

    Returns:
      float, of the shape and dtype of ``x`` (integers and bools become float32).

    Raises:
      ValueError: at trace time, if the length along ``axis`` is not a power of two, or if x is
        complex.
    """
    return _transform(x, HADAMARD, axis)


def ifwht(x: Table, axis: int = -1) -> Float[Array, "..."]:
    """The inverse of :func:`fwht`, 2^−n Σ_k (−1)^⟨m,k⟩ X(k): f(m) of all masks to F(k).

    Args, Returns, Raises: as for :func:`fwht`.
    """
    y = _transform(x, HADAMARD, axis)
    return y * np.asarray(1 / y.shape[axis], y.dtype)


def exact_ifwht(values: Float[ArrayLike, "2**n K"]) -> Float[np.ndarray, "2**n K"]:
    """F(k) of all k, where the values are: on the device in float32, on the host in float64.

    In float64 what is a multiple of 2⁻ⁿ comes out as that, and what is 0 as 0.
    """
    if isinstance(values, jax.Array):
        return np.asarray(ifwht(values, axis=0))
    N, K = values.shape
    table = np.array(values, np.float64)
    for i in range(N.bit_length() - 1):
        half = table.reshape(-1, 2, 2**i, K)
        half[:, 0], half[:, 1] = half[:, 0] + half[:, 1], half[:, 0] - half[:, 1]
    return table / N


def mobius(x: Table, axis: int = -1) -> Float[Array, "..."]:
    """The Möbius transform, or Harsanyi dividends: M(S) = Σ_{T⊆S} (−1)^{|S|−|T|} f(T).

    In float32 the alternating sums over 2^|S| subsets cancel: for the dividends of large sets,
    start from Fourier coefficients (:func:`fourier_to_mobius`) where those are known.

    Args:
      x: float, the values f(m) of all masks along ``axis``, length 2^n.
      axis: the axis to transform.

    Returns:
      float, of the shape of ``x``: M(S) at the index of S.

    Raises:
      ValueError: at trace time, if the length along ``axis`` is not a power of two.

    Source: Harsanyi 1963; Rota 1964.
    """
    return _transform(x, SUBSETS_INVERSE, axis)


def inverse_mobius(x: Table, axis: int = -1) -> Float[Array, "..."]:
    """The inverse of :func:`mobius`, subset sums: f(m) = Σ_{S⊆m} M(S).

    Args, Returns, Raises: as for :func:`mobius`.
    """
    return _transform(x, SUBSETS, axis)


def comobius(x: Table, axis: int = -1) -> Float[Array, "..."]:
    """The co-Möbius transform of Möbius coefficients, superset sums: Σ_{T⊇S} M(T).

    This is the discrete derivative of f on S with all other inputs kept.

    Args:
      x: float, M(S) of all sets along ``axis``, length 2^n.
      axis: the axis to transform.

    Returns:
      float, of the shape of ``x``.

    Raises:
      ValueError: at trace time, if the length along ``axis`` is not a power of two.
    """
    return _transform(x, SUPERSETS, axis)


def inverse_comobius(x: Table, axis: int = -1) -> Float[Array, "..."]:
    """The inverse of :func:`comobius`: M(S) = Σ_{T⊇S} (−1)^{|T|−|S|} x(T).

    Args, Returns, Raises: as for :func:`comobius`.
    """
    return _transform(x, SUPERSETS_INVERSE, axis)


def fourier_to_mobius(x: Table, axis: int = -1) -> Float[Array, "..."]:
    """Möbius from Fourier coefficients of all sets: M(S) = (−2)^|S| Σ_{T⊇S} F(T).

    Args:
      x: float, F(S) of all sets along ``axis``, length 2^n.
      axis: the axis to transform.

    Returns:
      float, of the shape of ``x``: M(S) at the index of S.

    Raises:
      ValueError: at trace time, if the length along ``axis`` is not a power of two.
    """
    return _transform(x, FOURIER_TO_MOBIUS, axis)


def mobius_to_fourier(x: Table, axis: int = -1) -> Float[Array, "..."]:
    """The inverse of :func:`fourier_to_mobius`: F(S) = (−1)^|S| Σ_{T⊇S} 2^−|T| M(T).

    Args, Returns, Raises: as for :func:`fourier_to_mobius`.
    """
    return _transform(x, MOBIUS_TO_FOURIER, axis)


def factorize(n: int, columns: int) -> tuple[int, Sequence[int]]:
    """How many features each matrix product takes, lowest features first.

    Args:
      n: log2 of the table's length.
      columns: the number of entries behind the transformed axis, 1 for the last axis.

    Returns:
      The features of the product from the right (0: none), and of those in place.
    """
    if columns == 1 and n <= SINGLE_FACTOR:
        return n, ()
    last = 0
    if columns < MIN_COLUMNS:
        last = min(n, (LAST_FACTOR // columns).bit_length() - 1)
    rest = n - last
    count = -(-rest // IN_PLACE_FACTOR)
    return last, [rest // count + (i < rest % count) for i in range(count)]


@partial(jax.jit, static_argnames=("cell", "axis"))
def _transform(table: Table, cell: Cell, axis: int) -> Float[Array, "..."]:
    x: Array = jnp.asarray(table)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise ValueError("x must be real, got complex numbers: transform its parts one by one.")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        x = x.astype(jnp.float32)
    if x.ndim == 0:
        raise ValueError("x must have at least one axis, got a scalar.")
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"axis must be from {-x.ndim} to {x.ndim - 1}, got {axis}.")
    axis %= x.ndim
    length = x.shape[axis]
    if length < 1 or length & (length - 1):
        raise ValueError(
            f"The length along axis {axis} must be a power of two, 2^n, got {length}. "
            "Pass the values of all 2^n masks."
        )
    if x.size == 0 or length == 1:
        return x
    sharding = jax.typeof(x).sharding
    local = partial(_products, cell=cell, axis=axis)
    if not any(kind == AxisType.Explicit for kind in sharding.mesh.axis_types):
        return local(x)
    # Reshapes of explicitly sharded arrays are errors, so each device transforms what it holds.
    whole = PartitionSpec(*(None if i == axis else s for i, s in enumerate(sharding.spec)))
    x = jax.sharding.reshard(x, NamedSharding(sharding.mesh, whole))
    y = jax.shard_map(local, mesh=sharding.mesh, in_specs=whole, out_specs=whole)(x)
    return jax.sharding.reshard(y, sharding)


def _products(x: Array, cell: Cell, axis: int) -> Float[Array, "..."]:
    """The transform as matrix products; ``x`` is float and not empty."""
    shape, n = x.shape, x.shape[axis].bit_length() - 1
    columns = int(np.prod(shape[axis + 1 :]))
    last, in_place = factorize(n, columns)
    # HIGHEST: GPUs and TPUs otherwise round the data to 10 or 7 bits of mantissa.
    dot = partial(jax.lax.dot_general, precision=jax.lax.Precision.HIGHEST)
    if last:
        matrix = np.kron(_power(cell, last), np.eye(columns)).T.astype(x.dtype)
        x = dot(x.reshape(-1, len(matrix)), matrix, (((1,), (0,)), ((), ())))
        columns <<= last
    for r in in_place:
        matrix = _power(cell, r).astype(x.dtype)
        x = x.reshape(-1, 1 << r, columns)
        x = dot(_repeat(matrix, x), x, (((2,), (1,)), ((0,), (0,))))
        columns <<= r
    return x.reshape(shape)


@cache
def _power(cell: Cell, r: int) -> np.ndarray:
    """The r-fold Kronecker power of a cell (all its entries are exact in float32)."""
    matrix = np.ones((1, 1))
    for _ in range(r):
        matrix = np.kron(np.asarray(cell, float), matrix)
    return matrix


def _repeat(matrix: np.ndarray, x: Array) -> Float[Array, "... rows rows"]:
    """The matrix once per leading index of ``x``, under ``vmap`` too.

    Were the factor not batched together with ``x``, ``vmap`` would move the new axis to the columns
    and transpose the whole table, which costs more than the product.
    """

    @jax.custom_batching.custom_vmap
    def repeat(x):
        return jnp.broadcast_to(matrix, (*x.shape[:-2], *matrix.shape))

    @repeat.def_vmap
    def _(_size, _batched, x):
        return repeat(x), True

    return repeat(jax.lax.stop_gradient(x))
