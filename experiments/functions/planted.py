"""Functions of a mask with a known spectrum: planted terms, decision trees, a small network.

Their noise is a function of the mask: asking for the same mask twice gives the same value, as a
model would.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, combinations
from typing import Literal, Protocol

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt32

from spexjax.codes import gf2

CHUNK = 4096
Support = tuple[int, ...]


class Synthetic(Protocol):
    """A drawn function: callable on masks, with its spectrum where that is known."""

    @property
    def n(self) -> int:
        """The number of inputs."""

    @property
    def noise(self) -> float:
        """The standard deviation of the noise."""

    def __call__(self, masks: Bool[np.ndarray, "N n"], /) -> Float32[np.ndarray, "N"]: ...

    def fourier(self) -> dict[Support, float] | None:
        """The exact Fourier coefficients of the noiseless function, or None if unknown."""


@dataclass(frozen=True, eq=False)
class Planted:
    """A weighted sum of parities (``basis="fourier"``) or of conjunctions (``"mobius"``).

    f(m) = Σ_k c_k (−1)^⟨m,k⟩ or Σ_k c_k 1[k ⊆ m], plus noise drawn from a hash of m and ``seed``.

    Attributes:
      n: the number of inputs.
      supports: uint32, shape (S, W), distinct and packed.
      coefficients: float32, shape (S,).
      basis: what the coefficients multiply.
      noise: standard deviation of the noise.
      seed: of the noise.
    """

    n: int
    supports: UInt32[np.ndarray, "S W"]
    coefficients: Float32[np.ndarray, "S"]
    basis: Literal["fourier", "mobius"] = "fourier"
    noise: float = 0.0
    seed: int = 0

    @cached_property
    def classes(self) -> list[tuple[Int[np.ndarray, "terms degree"], Float[np.ndarray, "terms"]]]:
        """Members (as indices) and coefficients of the terms, by degree."""
        bits = gf2.unpack_numpy(self.supports, self.n)
        degrees = bits.sum(axis=1)
        members = [(np.nonzero(bits[degrees == d])[1].reshape(-1, d), d) for d in set(degrees)]
        return [(m, self.coefficients[degrees == d]) for m, d in members]

    def __call__(self, masks: Bool[np.ndarray, "N n"], /) -> Float32[np.ndarray, "N"]:
        """Values of masks, bool (N, n): float32 (N,)."""
        return in_chunks(self._values, masks, self.n) + mask_noise(masks, self.noise, self.seed)

    def _values(self, masks: Bool[np.ndarray, "N n"]) -> Float[np.ndarray, "N"]:
        columns = np.ascontiguousarray(masks.T)
        total = np.zeros(len(masks))
        for members, coefficients in self.classes:
            if self.basis == "mobius":
                on = np.logical_and.reduce(columns[members], axis=1)
                total += coefficients @ on.astype(np.float32)
            else:
                odd = np.logical_xor.reduce(columns[members], axis=1)
                total += coefficients @ (1 - 2 * odd.astype(np.float32))
        return total

    def fourier(self) -> dict[Support, float]:
        """The exact Fourier coefficients of the noiseless function."""
        terms = zip(members_of(self.supports, self.n), self.coefficients.tolist(), strict=True)
        if self.basis == "fourier":
            return dict(terms)
        spectrum: dict[Support, float] = {}
        for big, c in terms:
            for small in subsets(big):
                share = (-1) ** len(small) * c / 2 ** len(big)
                spectrum[small] = spectrum.get(small, 0.0) + share
        return spectrum


@dataclass(frozen=True, eq=False)
class Trees:
    """A sum of complete decision trees; input i of a node present leads to the right child.

    Attributes:
      n: the number of inputs.
      splits: int, shape (trees, 2^depth − 1), the input tested by each node in heap order; the
        inputs along a path are distinct.
      leaves: float, shape (trees, 2^depth).
      noise: standard deviation of the noise.
      seed: of the noise.
    """

    n: int
    splits: Int[np.ndarray, "trees nodes"]
    leaves: Float[np.ndarray, "trees leaves"]
    noise: float = 0.0
    seed: int = 0

    def __call__(self, masks: Bool[np.ndarray, "N n"], /) -> Float32[np.ndarray, "N"]:
        """Values of masks, bool (N, n): float32 (N,)."""
        return in_chunks(self._values, masks, self.n) + mask_noise(masks, self.noise, self.seed)

    def _values(self, masks: Bool[np.ndarray, "N n"]) -> Float[np.ndarray, "N"]:
        tree, inner = np.arange(len(self.splits)), self.splits.shape[1]
        node = np.zeros((len(masks), len(tree)), int)
        while (node < inner).all():
            right = np.take_along_axis(masks, self.splits[tree, node], axis=1)
            node = 2 * node + 1 + right
        return self.leaves[tree, node - inner].sum(axis=1)

    def fourier(self) -> dict[Support, float]:
        """The exact Fourier coefficients: each leaf spreads over the subsets of its path."""
        depth = self.leaves.shape[1].bit_length() - 1
        spectrum: dict[Support, float] = {}
        for splits, leaves in zip(self.splits.tolist(), self.leaves.tolist(), strict=True):
            for leaf, value in enumerate(leaves):
                node, sign = 0, {}
                for level in reversed(range(depth)):
                    right = leaf >> level & 1
                    sign[splits[node]] = -1 if right else 1
                    node = 2 * node + 1 + right
                for small in subsets(tuple(sorted(sign))):
                    share = value / 2**depth * np.prod([sign[i] for i in small])
                    spectrum[small] = spectrum.get(small, 0.0) + float(share)
        return spectrum


@dataclass(frozen=True, eq=False)
class Network:
    """A two-layer network on ±1 inputs: f(m) = Σ_h a_h tanh(⟨w_h, 1 − 2m⟩ + b_h).

    Attributes:
      n: the number of inputs.
      hidden: float, shape (n, H), the rows w of the first layer.
      bias: float, shape (H,).
      output: float, shape (H,).
      noise: standard deviation of the noise.
      seed: of the noise.
    """

    n: int
    hidden: Float[np.ndarray, "n H"]
    bias: Float[np.ndarray, "H"]
    output: Float[np.ndarray, "H"]
    noise: float = 0.0
    seed: int = 0

    def __call__(self, masks: Bool[np.ndarray, "N n"], /) -> Float32[np.ndarray, "N"]:
        """Values of masks, bool (N, n): float32 (N,)."""
        return in_chunks(self._values, masks, self.n) + mask_noise(masks, self.noise, self.seed)

    def _values(self, masks: Bool[np.ndarray, "N n"]) -> Float[np.ndarray, "N"]:
        return np.tanh((1.0 - 2.0 * masks) @ self.hidden + self.bias) @ self.output

    def fourier(self) -> None:
        """Unknown: no closed form."""


def in_chunks(
    values: Callable[[np.ndarray], np.ndarray], masks: Bool[np.ndarray, "N n"], n: int
) -> Float32[np.ndarray, "N"]:
    """Applies ``values`` to at most ``CHUNK`` masks at a time.

    Raises:
      ValueError: if the masks are not of shape (N, n).
    """
    masks = np.asarray(masks, bool)
    if masks.ndim != 2 or masks.shape[1] != n:
        raise ValueError(f"masks must have shape (N, {n}), got {masks.shape}.")
    out = np.empty(len(masks), np.float32)
    for start in range(0, len(masks), CHUNK):
        out[start : start + CHUNK] = values(masks[start : start + CHUNK])
    return out


def mask_noise(masks: Bool[np.ndarray, "N n"], scale: float, seed: int) -> Float32[np.ndarray, "N"]:
    """Gaussian noise that depends on the mask and the seed only: float32 (N,)."""
    if scale == 0:
        return np.zeros(len(masks), np.float32)
    words = gf2.pack_numpy(masks, gf2.num_words(np.shape(masks)[1])).astype(np.uint64)
    factors = np.random.default_rng([seed, 0x5EED]).integers(
        0, 2**64, (words.shape[1], 2), dtype=np.uint64
    )
    hashed = _mix(words @ (factors | np.uint64(1)))
    uniform = (hashed >> np.uint64(11)).astype(float) * 2.0**-53
    radius = np.sqrt(-2 * np.log1p(-uniform[:, 0]))  # Box–Muller
    return (scale * radius * np.cos(2 * np.pi * uniform[:, 1])).astype(np.float32)


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def members_of(supports: UInt32[np.ndarray, "S W"], n: int) -> list[Support]:
    """The sets behind packed supports, as sorted tuples."""
    return [tuple(np.flatnonzero(row).tolist()) for row in gf2.unpack_numpy(supports, n)]


def pack_members(sets: Iterable[Support], n: int) -> UInt32[np.ndarray, "S W"]:
    """Packed supports of sets given as tuples."""
    sets = list(sets)
    bits = np.zeros((len(sets), n), bool)
    for row, members in zip(bits, sets, strict=True):
        row[list(members)] = True
    return gf2.pack_numpy(bits, gf2.num_words(n))


def subsets(members: Support) -> Iterable[Support]:
    """All subsets of a set, the empty one first."""
    return chain.from_iterable(combinations(members, r) for r in range(len(members) + 1))
