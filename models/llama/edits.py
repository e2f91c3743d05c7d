"""What may be taken out of a Llama while it runs: heads, layers, their parts, states, directions.

Each part a of the computation becomes keep · a + (1 − keep) · base. With keep = 1 nothing changes;
with keep = 0 it is zero, its mean, or what it is for another input, as ``base`` says. ``keep`` need
not be 0 or 1: the derivative by it at 1 is Σ (a − base) · ∂/∂a, to first order what it costs to
take the part out (attribution patching, Nanda 2023; Kramár et al. 2024, arXiv 2403.00745, eq. 4).
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Float, Int

from spexjax.typing import Array, ArrayLike


class Site(NamedTuple):
    """One kind of part, in all layers.

    Attributes:
      keep: float (layers, B, …), … being (heads,), (hidden_dim,), (L,) for states, or nothing.
      base: float (layers, …), what broadcasts to the activations of a batch: (heads, L or 1,
        head_dim) for heads, else (L or 1, dim or hidden_dim); None for zero.
    """

    keep: Float[ArrayLike, "layers B *units"]
    base: Float[ArrayLike, "layers *activation"] | None = None


class Directions(NamedTuple):
    """Directions of the residual stream, of which x loses (a − base) · v, a = ⟨x, v⟩ / ⟨v, v⟩.

    Attributes:
      layer: int32 (K,): before which layer, from 0.
      vectors: float (K, dim); those of one layer are taken out at once.
      keep: float (B, K).
      base: float (K, L or 1) or None for zero.
    """

    layer: Int[ArrayLike, "K"]
    vectors: Float[ArrayLike, "K dim"]
    keep: Float[ArrayLike, "B K"]
    base: Float[ArrayLike, "K #L"] | None = None


class Edits(NamedTuple):
    """What is taken out; None where nothing is.

    Attributes:
      heads: what each head mixes, before the product that joins them, (B, heads, L, head_dim).
      neurons: the hidden units of the gated layer, silu(gate) · up, (B, L, hidden_dim).
      mlps: what the gated layer adds to the residual stream, (B, L, dim).
      layers: what a whole layer adds to it, (B, L, dim).
      states: the residual stream before each layer, token by token, (B, L, dim).
      directions: of the residual stream.
    """

    heads: Site | None = None
    neurons: Site | None = None
    mlps: Site | None = None
    layers: Site | None = None
    states: Site | None = None
    directions: Directions | None = None


NOTHING = Edits()


def edited(
    a: Float[Array, "B *activation"], site: Site | None, before: int, behind: int
) -> Float[Array, "B *activation"]:
    """keep · a + (1 − keep) · base at one layer.

    Args:
      a: the activations.
      site: of this layer, without the axis of layers.
      before, behind: how many axes of ``a`` stand between B and the axes of ``keep``, and behind.
    """
    if site is None:
        return a
    keep = jnp.asarray(site.keep, a.dtype)
    keep = keep.reshape(keep.shape[:1] + (1,) * before + keep.shape[1:] + (1,) * behind)
    if site.base is None:
        return a * keep
    base = jnp.asarray(site.base, a.dtype)
    return base + (a - base) * keep


def without_directions(
    x: Float[Array, "B L dim"], taken: Directions | None, layer: Int[Array, ""]
) -> Float[Array, "B L dim"]:
    """The residual stream before ``layer`` without the directions that are not kept."""
    if taken is None:
        return x
    v = jnp.asarray(taken.vectors, x.dtype)
    lost = jnp.where(jnp.asarray(taken.layer) == layer, 1 - jnp.asarray(taken.keep, x.dtype), 0)
    size = jnp.sum(v * v, axis=-1)
    a = jnp.einsum("bld,kd->blk", x, v) / size
    if taken.base is not None:
        a = a - jnp.asarray(taken.base, x.dtype).T
    return x - jnp.einsum("blk,kd->bld", a * lost[:, None], v)
