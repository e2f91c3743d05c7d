"""Llama in Flax: token ids in, hidden states out; logits only where they are asked for.

Root-mean-square norms before each block (Zhang and Sennrich 2019), rotary positions (Su et al.
2021), attention whose keys and values serve groups of queries (Ainslie et al. 2023) and a gated
layer with SiLU (Shazeer 2020), as in Touvron et al. 2023 and Grattafiori et al. 2024. Mistral and
Qwen 2 and 3 differ by a sliding window, biases, or norms of queries and keys.

``Llama(config).apply({"params": params}, ids)`` is pure. Parameters of all layers lie in one array
for each kind, its first axis the layers', and one layer is compiled for all of them.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float, Int

from spexjax.models.llama.config import LlamaConfig, RopeScaling, config_from_dict, config_to_dict
from spexjax.models.llama.edits import NOTHING, Edits, without_directions
from spexjax.models.llama.layers import (
    BLOCKED,
    Cache,
    Dense,
    Layer,
    Look,
    Looks,
    RMSNorm,
    Transposed,
    parameter,
    product,
    rows,
)
from spexjax.models.llama.rotary import rotary
from spexjax.models.nn.grouped import has_kernel
from spexjax.models.nn.precision import wide
from spexjax.typing import Array, ArrayLike

__all__ = [
    "Cache",
    "Edits",
    "Llama",
    "LlamaConfig",
    "RopeScaling",
    "config_from_dict",
    "config_to_dict",
    "embed",
    "init_params",
    "unembed",
]


class Llama(nn.Module):
    """Ids (B, L) or embeddings (B, L, dim) to hidden states after the last norm, and the cache."""

    config: LlamaConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        ids: Int[ArrayLike, "B L"] | Float[ArrayLike, "B L dim"],
        positions: Int[ArrayLike, "B L"] | None = None,
        valid: Bool[ArrayLike, "B L"] | None = None,
        cache: Cache | None = None,
        edits: Edits = NOTHING,
        look: Look | tuple[Look, ...] = (),
        packed: bool = False,
    ) -> tuple[Float[Array, "B L dim"], Cache]:
        """Hidden states of the new tokens, and their keys and values.

        Args:
          ids: int32 (B, L); or what stands for tokens, such as parts of an image, float
            (B, L, dim): see :func:`embed`.
          positions: int32 (B, L), 0 ≤ positions < max_position_embeddings, ascending; if not
            given, they count on from the cache's valid tokens.
          valid: bool (B, L), False for padding; all True if not given. States of padding mean
            nothing.
          cache: of earlier tokens, of the same batch or of one row that all share.
          edits: what is taken out of the computation, such as heads: see :func:`head_factors`.
          look: what to read, with ``mutable=["inside"]``: activations of all layers as
            :class:`~spexjax.models.llama.edits.Edits` has them, (layers, B, …), the weights of
            "attention", (layers, B, kv, group, L, S + L), or "weights", those of the last layer
            alone. They are under that name, and the residual stream behind the last layer, before
            its norm, under "last".
          packed: whether padding stands behind in each row and the cache is one row that begins
            with its valid tokens; a device's own attention kernel needs it.

        Returns:
          hidden (B, L, dim), float32 whatever the model computes in, and a :class:`Cache` of the L
          new tokens alone.
        """
        c = self.config
        look = (look,) if isinstance(look, str) else look
        ids = jnp.asarray(ids)
        B, L = ids.shape[:2]
        valid = jnp.ones((B, L), bool) if valid is None else jnp.asarray(valid, bool)
        start = 0 if cache is None else jnp.sum(cache.valid, axis=-1, keepdims=True)
        there = valid
        if positions is None and packed:  # one row stands for all
            positions, there = start + jnp.arange(L)[None], jnp.ones((1, L), bool)
        elif positions is None:
            positions = jnp.maximum(jnp.cumsum(valid, axis=-1) - 1, 0) + start
        positions = jnp.asarray(positions, jnp.int32)
        all_places, all_there = _with_earlier(positions, there, cache)
        mixed = c.sliding_window is not None and c.first_windowed_layer > 0
        window = None if mixed else c.sliding_window
        kernel = packed and L >= BLOCKED and not mixed
        group = c.n_heads // c.n_kv_heads
        looks = Looks(
            rotary(c, positions),
            _visible(positions, all_places, all_there, window),
            jnp.int32(0) if cache is None else jnp.sum(cache.valid[:1], dtype=jnp.int32),
            window,
            kernel and has_kernel(c.head_dim, group, jnp.dtype(self.dtype), window is not None),
        )
        near = _visible(positions, all_places, all_there, c.sliding_window)
        table = parameter(
            self, "embedding", nn.initializers.normal(c.dim**-0.5), (c.vocab_size, c.dim)
        )
        kind = wide(self.dtype)
        x = rows(table, ids, kind) if ids.ndim == 2 else ids.astype(kind)
        layer, stack = Layer(c, self.dtype, parent=None), self._layers()

        def at(tree: Any, i: Array) -> Any:
            return jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, i, 0, False), tree)

        def step(x: Array, i: Array, look: tuple[Look, ...]) -> tuple[Array, Any]:
            past = None if cache is None else at((cache.keys, cache.values), i)
            sees = looks
            if mixed:
                far = i < c.first_windowed_layer
                sees = looks._replace(sees=jnp.where(far, looks.sees, near))
            x = without_directions(x, edits.directions, i)
            here = at(edits._replace(directions=None), i)
            out: Any = layer.apply({"params": at(stack, i)}, x, sees, past, here, look)
            return out[0], out[1:]

        each = tuple(name for name in look if name != "weights")
        few = c.n_layers - (each != look)
        x, found = jax.lax.scan(lambda x, i: step(x, i, each), x, jnp.arange(few))
        if each != look:
            x, (last, seen) = step(x, jnp.int32(few), look)
            weights = seen.pop("weights")
            self.sow("inside", "weights", weights)
            found = jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), found, (last, seen))
        stored, seen = found
        for name, value in seen.items():
            self.sow("inside", name, value)
        self.sow("inside", "last", x)
        x = RMSNorm(c.norm_eps, kind, name="norm")(x)
        if not c.tie_embeddings and self.is_initializing():
            Dense(c.vocab_size, False, self.dtype, name="unembed")(x[:, :1])
        return x, Cache(stored[0], stored[1], jnp.broadcast_to(positions, (B, L)), valid)

    def _layers(self) -> Any:
        """The parameters of all layers, each with a leading axis of them."""
        c = self.config

        def init(key: Array) -> Any:
            half = jnp.zeros((1, 1, c.head_dim // 2))
            looks = Looks((half, half), jnp.ones((1, 1, 1), bool), jnp.int32(0), None, False)
            layer, x = Layer(c, self.dtype, parent=None), jnp.zeros((1, 1, c.dim), self.dtype)
            keys = jax.random.split(key, c.n_layers)
            return jax.vmap(lambda key: layer.init(key, x, looks)["params"])(keys)

        if not self.has_variable("params", "layers"):
            return self.param("layers", init)
        stack: Any = self.get_variable("params", "layers")
        for leaf in jax.tree.leaves(stack):
            if len(leaf) < c.n_layers:
                raise ValueError(
                    f"Parameters have {len(leaf)} layers, the geometry says {c.n_layers}."
                )
        return jax.tree.map(jnp.asarray, stack)


def embed(
    params: Mapping[str, Any], ids: Int[ArrayLike, "B L"], dtype: Any = jnp.float32
) -> Float[Array, "B L dim"]:
    """The embeddings of tokens, which :class:`Llama` takes in place of their ids."""
    return rows(params["embedding"], jnp.asarray(ids), dtype)


def unembed(
    config: LlamaConfig,
    params: Mapping[str, Any],
    hidden: Float[ArrayLike, "... dim"],
) -> Float[Array, "... V"]:
    """Logits, float32, of hidden states: call it on the positions that count, no others.

    Where parameters are narrower than states, states are taken in two parts of their precision,
    since a logit is a sum so large that a rounded state would show.
    """
    hidden, kind = jnp.asarray(hidden), params["norm"]["scale"].dtype
    tied = config.tie_embeddings
    kernel = Transposed(params["embedding"]) if tied else params["unembed"]["kernel"]
    if hidden.dtype.itemsize <= kind.itemsize:
        return product(hidden, kernel, hidden.dtype, True).astype(jnp.float32)
    coarse = hidden.astype(kind)
    parts = jnp.stack([coarse, (hidden - coarse.astype(hidden.dtype)).astype(kind)])
    return jnp.sum(product(parts, kernel, kind, True).astype(jnp.float32), axis=0)


@partial(jax.jit, static_argnums=(0, 2))
def init_params(config: LlamaConfig, key: Array, dtype: Any = jnp.float32) -> dict[str, Any]:
    """Fresh parameters, a nested dict of arrays of ``dtype``."""
    params = Llama(config).init(key, jnp.zeros((1, 1), jnp.int32))["params"]
    return jax.tree.map(lambda x: x.astype(dtype), params)


def head_factors(kept: Bool[ArrayLike, "... heads"]) -> Float[Array, "... heads"]:
    """Factors of a layer's heads of which some are kept: H / kept, 0 for the others."""
    kept = jnp.asarray(kept)
    count = jnp.sum(kept, axis=-1, keepdims=True)
    return jnp.where(kept, kept.shape[-1] / jnp.maximum(count, 1), 0.0)


def _with_earlier(
    positions: Int[Array, "B L"], there: Bool[Array, "B L"], cache: Cache | None
) -> tuple[Int[Array, "B T"], Bool[Array, "B T"]]:
    """Positions of a cache's tokens and of the new ones, and which of them are there."""
    if cache is None:
        return positions, there

    def joined(earlier: ArrayLike, new: Array) -> Array:
        rows = max(len(earlier), len(new))
        both = (jnp.broadcast_to(a, (rows, a.shape[1])) for a in (jnp.asarray(earlier), new))
        return jnp.concatenate(tuple(both), axis=1)

    return joined(cache.positions, positions), joined(cache.valid, there)


def _visible(
    positions: Int[Array, "#B L"],
    all_positions: Int[Array, "#B T"],
    there: Bool[Array, "#B T"],
    window: int | None,
) -> Bool[Array, "#B L T"]:
    """Whether a new token sees another: one that is there, not later, and not too far back."""
    back = positions[:, :, None] - all_positions[:, None, :]
    seen = there[:, None, :] & (back >= 0)
    return seen if window is None else seen & (back < window)
