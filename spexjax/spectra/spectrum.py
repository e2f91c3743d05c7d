"""A sparse Walsh–Hadamard spectrum as a pytree of fixed capacity."""

import dataclasses
from collections.abc import Mapping

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int32, UInt32

from spexjax import fragments
from spexjax.codes import gf2
from spexjax.spectra.transforms import fwht
from spexjax.typing import Array, ArrayLike

_ROWS_AT_ONCE = 64
_HOST_ROWS = 4096


def bucket(count: int) -> int:
    """The capacity for ``count`` terms: the power of two from ``count`` on, at least 8."""
    return max(8, 1 << (max(count, 1) - 1).bit_length())


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Spectrum:
    """f(m) ≈ Σ_s (−1)^⟨m, k_s⟩ F(k_s), the sum over the valid terms s.

    Capacity S is static (a power of two), what is used of it is data: terms with ``valid`` False
    have zero support and zero coefficient. A function with K outputs has ``coefficients``
    (K, S) and either one set of supports per output or one that all share.

    Attributes:
      supports: uint32 (S, W) or (K, S, W), packed sets k_s.
      coefficients: float32 (S,) or (K, S), the Fourier coefficients F(k_s).
      valid: bool (S,) or (K, S).
      n: int32 scalar, the number of features.
    """

    supports: UInt32[Array, "*K S W"]
    coefficients: Float[Array, "*K S"]
    valid: Bool[Array, "*K S"]
    n: Int32[Array, "..."]

    def __repr__(self) -> str:
        """One line, on which the number of terms is left out under a transformation."""
        try:
            parts = [f"n={self.num_features}", f"{int(jnp.sum(self.valid))} terms"]
        except (jax.errors.ConcretizationTypeError, TypeError, AttributeError, IndexError):
            return f"Spectrum({', '.join(f'{k}={v}' for k, v in vars(self).items())})"
        shape = self.coefficients.shape[:-1]
        outputs = [] if not shape else [f"{' × '.join(map(str, shape))} outputs"]
        return f"Spectrum({', '.join([*parts, *outputs, f'capacity {self.capacity}'])})"

    def _repr_html_(self) -> str | None:
        """How many terms of each order hold how much of the variance; None of several outputs."""
        if isinstance(self.coefficients, jax.core.Tracer) or self.coefficients.ndim != 1:
            return None
        valid = np.asarray(self.valid)
        orders = np.bitwise_count(np.asarray(self.supports)[valid]).sum(axis=1, dtype=np.int64)
        squares = np.asarray(self.coefficients, np.float64)[valid] ** 2
        found = np.unique(orders[orders > 0])
        variance = float(squares[orders > 0].sum())
        shares = [squares[orders == o].sum() / variance if variance else 0.0 for o in found]
        columns = [
            fragments.Column("order", [str(o) for o in found], found.tolist()),
            fragments.Column("terms", [f"{(orders == o).sum():,}" for o in found],
                             [float((orders == o).sum()) for o in found]),
            fragments.Column("share of the variance", [f"{s:.1%}" for s in shares], shares, shares),
        ]  # fmt: skip
        level = float(np.asarray(self.coefficients, np.float64)[valid][orders == 0].sum())
        title = (
            f"Spectrum of {self.num_features:,} features: {len(orders):,} terms, "
            f"mean {level:.4g}, variance {variance:.4g}"
        )
        return fragments.table(title, columns)

    @property
    def capacity(self) -> int:
        """S, the number of terms that there is room for."""
        return self.valid.shape[-1]

    @property
    def num_features(self) -> int:
        """n on the host."""
        return int(np.ravel(self.n)[0])

    @property
    def num_outputs(self) -> int | None:
        """K, or None for a scalar function."""
        return None if self.coefficients.ndim == 1 else self.coefficients.shape[0]

    def __getitem__(self, output: int) -> "Spectrum":
        """The spectrum of one output, or of one call if this comes from a vmapped function.

        Raises:
          ValueError: if there is but one output.
          IndexError: if there is no such output.
        """
        if self.num_outputs is None:
            raise ValueError("this spectrum has one output; there is nothing to index.")
        if isinstance(output, int) and not -self.num_outputs <= output < self.num_outputs:
            raise IndexError(f"output must be below {self.num_outputs}, got {output}.")
        shared = self.supports.ndim == 2
        return Spectrum(
            self.supports if shared else _of(self.supports, output),
            _of(self.coefficients, output),
            self.valid if shared else _of(self.valid, output),
            self.n if self.n.ndim == 0 else _of(self.n, output),
        )

    def predict(self, masks: Bool[ArrayLike, "N n"]) -> Float[Array, "N *K"]:
        """The value of the spectrum at each mask, (N,) or (N, K)."""
        W = self.supports.shape[-1]
        return self.predict_packed(gf2.pack(masks, W))

    def predict_packed(self, masks: UInt32[ArrayLike, "N W"]) -> Float[Array, "N *K"]:
        """:meth:`predict` for packed masks."""
        masks = jnp.asarray(masks)
        chex.assert_shape(masks, (None, self.supports.shape[-1]))
        return _predict(self, masks)

    def energy(self) -> Float[Array, "*K"]:
        """Σ_{k≠∅} F(k)²: the variance of the spectrum under uniform masks (Parseval)."""
        nonempty = gf2.degree(self.supports) > 0
        return jnp.sum(jnp.where(nonempty, self.coefficients, 0.0) ** 2, axis=-1)

    def truncate(self, size: int) -> "Spectrum":
        """The ``size`` terms of largest |F|, and the empty set, in a capacity that holds them."""
        rank = jnp.where(gf2.degree(self.supports) == 0, jnp.inf, jnp.abs(self.coefficients))
        if self.supports.ndim == 2 and self.coefficients.ndim == 2:
            rank = jnp.linalg.norm(rank, axis=0)
        rank = jnp.where(self.valid, rank, -1.0)
        keep = min(bucket(size + 1), self.capacity)
        order = jnp.argsort(-rank, axis=-1, stable=True)[..., :keep]
        valid = jnp.take_along_axis(self.valid, order, axis=-1)
        supports = jnp.take_along_axis(self.supports, order[..., None], axis=-2)
        empty = jnp.any(valid & (gf2.degree(supports) == 0), axis=-1, keepdims=True)
        valid = valid & (jnp.arange(keep, dtype=jnp.int32) < size + empty.astype(jnp.int32))
        wide = jnp.broadcast_to(order, (*self.coefficients.shape[:-1], keep))
        coefficients = jnp.take_along_axis(self.coefficients, wide, axis=-1)
        return Spectrum(
            jnp.where(valid[..., None], supports, jnp.uint32(0)),
            jnp.where(valid, coefficients, 0.0),
            valid,
            self.n,
        )

    def to_dict(self) -> dict[tuple[int, ...], float]:
        """{sorted tuple of features: coefficient} of the valid terms, largest |F| first.

        Raises:
          ValueError: if the function has several outputs; take one with ``spectrum[i]`` first.
        """
        if self.num_outputs is not None:
            raise ValueError("to_dict needs one output: use spectrum[i].to_dict().")
        valid = np.asarray(self.valid)
        coefficients = np.asarray(self.coefficients)[valid]
        bits = gf2.unpack_numpy(np.asarray(self.supports)[valid], self.num_features)
        order = np.argsort(-np.abs(coefficients), kind="stable")
        return {tuple(np.flatnonzero(bits[s]).tolist()): float(coefficients[s]) for s in order}

    @staticmethod
    def from_dict(terms: Mapping[tuple[int, ...], float], n: int) -> "Spectrum":
        """The inverse of :meth:`to_dict`.

        Raises:
          ValueError: if a set names a feature outside 0…n − 1 or one set occurs twice.
        """
        bits = np.zeros((len(terms), n), bool)
        for row, members in zip(bits, terms, strict=True):
            if any(not 0 <= i < n for i in members):
                raise ValueError(f"features must be between 0 and {n - 1}, got {members}.")
            row[list(members)] = True
        W = gf2.num_words(n)
        supports = gf2.pack_numpy(bits, W)
        if len(np.unique(supports, axis=0)) < len(supports):
            raise ValueError("terms must be distinct sets; one occurs in two orders.")
        return from_terms(supports, np.fromiter(terms.values(), np.float32, len(terms)), n)


def at_all_masks(spectrum: Spectrum) -> Float[Array, "2**n *K"]:
    """The values at all 2^n masks, by one transform; mask m is at place m. For n ≤ 30."""
    place = jnp.asarray(spectrum.supports)[..., 0]
    F = jnp.where(spectrum.valid, spectrum.coefficients, jnp.float32(0.0))
    tables = jnp.zeros((*F.shape[:-1], 2**spectrum.num_features), jnp.float32)
    if place.ndim == 1:
        return fwht(tables.at[..., place].add(F)).T
    rows = jnp.arange(len(F), dtype=jnp.int32)[:, None]
    return fwht(tables.at[rows, place].add(F)).T


def _of(x: Array, output: int) -> Array:
    """x[output], by the host where it can: a device would compile that for every shape."""
    if isinstance(x, jax.core.Tracer) or not isinstance(output, int):
        return x[output]
    return jax.device_put(jax.device_get(x)[output])


def predict_on_host(
    spectrum: Spectrum, masks: UInt32[np.ndarray, "N W"]
) -> Float[np.ndarray, "N *K"]:
    """:meth:`Spectrum.predict_packed` by NumPy, in float64; nothing is compiled."""
    n = spectrum.supports.shape[-1] * gf2.WORD
    supports, F, valid = (
        np.asarray(x) for x in (spectrum.supports, spectrum.coefficients, spectrum.valid)
    )

    def values(supports: np.ndarray, F: np.ndarray, valid: np.ndarray) -> np.ndarray:
        kept = gf2.unpack_numpy(supports[valid], n).T.astype(np.float32)
        F = F[..., valid].T.astype(np.float64)
        total = F.sum(axis=0)
        out = np.zeros((len(masks), *F.shape[1:]))
        for start in range(0, len(masks), _HOST_ROWS):
            rows = slice(start, start + _HOST_ROWS)
            # Numbers of common members, which float32 holds exactly.
            common = gf2.unpack_numpy(masks[rows], n).astype(np.float32) @ kept
            odd = (common.astype(np.int32) & 1).astype(np.float64)
            out[rows] = total - 2.0 * (odd @ F)
        return out

    if supports.ndim == 2:
        return values(supports, F, valid)
    return np.stack([values(*one) for one in zip(supports, F, valid, strict=True)], axis=1)


def from_terms(
    supports: UInt32[np.ndarray, "terms W"], coefficients: Float[np.ndarray, "*K terms"], n: int
) -> Spectrum:
    """A spectrum, on the host, from arrays of exactly its terms (distinct supports)."""
    terms, W = supports.shape
    S = bucket(terms)
    padded = np.zeros((S, W), np.uint32)
    padded[:terms] = supports
    values = np.zeros((*coefficients.shape[:-1], S), np.float32)
    values[..., :terms] = coefficients
    return Spectrum(*jax.device_put((padded, values, np.arange(S) < terms, np.int32(n))))


def stack(spectra: list[Spectrum]) -> Spectrum:
    """One spectrum with K outputs, each with its own supports, from K scalar ones (host)."""
    S = max(s.capacity for s in spectra)

    def grow(x: Array, axis: int) -> np.ndarray:
        widths = [(0, 0)] * x.ndim
        widths[axis] = (0, S - x.shape[axis])
        return np.pad(np.asarray(x), widths)

    supports, coefficients, valid = (
        jax.device_put(np.stack([grow(getattr(s, name), axis) for s in spectra]))
        for name, axis in (("supports", -2), ("coefficients", -1), ("valid", -1))
    )
    return Spectrum(supports, coefficients, valid, spectra[0].n)


def merge(first: Spectrum, second: Spectrum) -> Spectrum:
    """The sum of two scalar spectra: coefficients of equal supports are added.

    Pure and jittable; the capacity is the sum of both capacities, rounded up to a bucket.

    Raises:
      ValueError: if a spectrum has several outputs.
    """
    if first.num_outputs is not None or second.num_outputs is not None:
        raise ValueError("merge needs spectra of one output: merge spectrum[i] of each.")
    S = bucket(first.capacity + second.capacity)
    pad = S - first.capacity - second.capacity
    supports = jnp.pad(jnp.concatenate([first.supports, second.supports]), ((0, pad), (0, 0)))
    values = jnp.pad(jnp.concatenate([first.coefficients, second.coefficients]), (0, pad))
    valid = jnp.pad(jnp.concatenate([first.valid, second.valid]), (0, pad))
    order = jnp.lexsort((*supports.T, ~valid))
    supports, values, valid = supports[order], values[order], valid[order]
    repeat = jnp.all(supports[1:] == supports[:-1], axis=-1) & valid[1:]
    starts = jnp.concatenate([jnp.ones(1, bool), ~repeat])
    # At most two equal neighbours meet, one from each side.
    values = values + jnp.concatenate(
        [jnp.where(repeat, values[1:], 0.0), jnp.zeros(1, values.dtype)]
    )
    valid = valid & starts
    return Spectrum(
        jnp.where(valid[:, None], supports, jnp.uint32(0)),
        jnp.where(valid, values, 0.0),
        valid,
        first.n,
    )


@jax.jit
def _predict(spectrum: Spectrum, masks: Array) -> Array:
    own = spectrum.supports.ndim == 3

    def one(mask: Array) -> Array:
        signs = jnp.where(gf2.parity(mask, spectrum.supports), jnp.float32(-1), jnp.float32(1))
        subscript = "ks,ks->k" if own else "...s,s->..."
        return jnp.einsum(
            subscript, spectrum.coefficients, signs, precision=jax.lax.Precision.HIGHEST
        )

    return jax.lax.map(one, masks, batch_size=_ROWS_AT_ONCE)
