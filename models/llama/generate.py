"""Greedy continuation of prompts with a key–value cache, as one compiled loop."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from spexjax.models.llama.model import Cache, Llama, LlamaConfig, unembed
from spexjax.models.text.masking import bucket
from spexjax.typing import Array


def greedy(
    config: LlamaConfig,
    params: Mapping[str, Any],
    prompts: Sequence[Sequence[int] | Float[np.ndarray, "L dim"]],
    max_new_tokens: int,
    stop: Sequence[int] | None = None,
    dtype: Any = jnp.float32,
) -> list[list[int]]:
    """The likeliest next token, again and again.

    Prompts are padded to the bucket of the longest, so that few programs are compiled.

    Args:
      config: the geometry.
      params: the parameters.
      prompts: token ids, at least one of each prompt; or the embeddings of their tokens.
      max_new_tokens: at most so many are added.
      stop: tokens that end a continuation; the model's end-of-sequence tokens if not given.
      dtype: to compute in.

    Returns:
      the new tokens of each prompt, the token that stopped it not among them.

    Raises:
      ValueError: if a prompt is empty, or with its continuation exceeds the model's positions.
    """
    if min(len(p) for p in prompts) == 0:
        raise ValueError("a prompt has no tokens.")
    longest = max(len(p) for p in prompts)
    if longest + max_new_tokens > config.max_position_embeddings:
        raise ValueError(
            f"{longest} tokens of prompt and {max_new_tokens} new ones exceed the model's "
            f"{config.max_position_embeddings} positions."
        )
    length, batch = bucket(longest), bucket(len(prompts), least=1)
    first = np.asarray(prompts[0])
    kind = np.int32 if first.ndim == 1 else first.dtype
    ids = np.zeros((batch, length, *first.shape[1:]), kind)
    valid = np.zeros((batch, length), bool)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = prompt
        valid[row, : len(prompt)] = True
    valid[len(prompts) :, 0] = True
    ends = list(config.eos_token_ids if stop is None else stop)
    ends += [-1] * (bucket(len(ends)) - len(ends))  # −1 is no token
    last = np.array(ends, np.int32)
    new, count = _run(config, params, ids, valid, last, max_new_tokens, jnp.dtype(dtype))
    return [row[:c].tolist() for row, c in zip(np.asarray(new), np.asarray(count), strict=True)][
        : len(prompts)
    ]


class _State(NamedTuple):
    step: Int[Array, ""]
    token: Int[Array, "B"]
    running: Bool[Array, "B"]
    new: Int[Array, "B steps"]
    made: Int[Array, "B"]
    cache: Cache


@partial(jax.jit, static_argnums=(0, 5, 6))
def _run(
    config: LlamaConfig,
    params: Mapping[str, Any],
    ids: Int[Array, "B L"] | Float[Array, "B L dim"],
    valid: Bool[Array, "B L"],
    stop: Int[Array, "stops"],
    steps: int,
    dtype: Any,
) -> tuple[Int[Array, "B steps"], Int[Array, "B"]]:
    model = Llama(config, dtype)
    B, L = ids.shape[:2]

    def read(ids: Array, **given: Any) -> tuple[Array, Cache]:
        # flax types what ``apply`` returns as if collections could come with it.
        out: Any = model.apply({"params": params}, ids, **given)
        return out

    hidden, cache = read(ids, valid=valid, packed=True)
    last = jnp.sum(valid, axis=1) - 1
    states = jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]
    room = ((0, 0), (0, 0), (0, 0), (0, steps), (0, 0))
    cache = Cache(
        jnp.pad(cache.keys, room),
        jnp.pad(cache.values, room),
        jnp.pad(cache.positions, ((0, 0), (0, steps))),
        jnp.pad(cache.valid, ((0, 0), (0, steps))),
    )

    def choose(states: Array) -> Array:
        return jnp.argmax(unembed(config, params, states), axis=-1).astype(jnp.int32)

    def goes_on(s: _State) -> Array:
        return (s.step < steps) & jnp.any(s.running)

    def step(s: _State) -> _State:
        running = s.running & ~jnp.isin(s.token, stop)
        new = s.new.at[:, s.step].set(jnp.where(running, s.token, 0))
        positions = (last + 1 + s.step)[:, None]
        hidden, one = read(s.token[:, None], positions=positions, cache=s.cache)
        place = L + s.step

        def put(whole: Array, part: Array, axis: int) -> Array:
            return jax.lax.dynamic_update_slice_in_dim(whole, part, place, axis)

        cache = Cache(
            put(jnp.asarray(s.cache.keys), jnp.asarray(one.keys), 3),
            put(jnp.asarray(s.cache.values), jnp.asarray(one.values), 3),
            put(jnp.asarray(s.cache.positions), positions, 1),
            put(jnp.asarray(s.cache.valid), jnp.ones((B, 1), bool), 1),
        )
        made = s.made + running
        return _State(s.step + 1, choose(hidden[:, 0]), running, new, made, cache)

    start = _State(
        jnp.int32(0),
        choose(states),
        jnp.ones(B, bool),
        jnp.zeros((B, steps), jnp.int32),
        jnp.zeros(B, jnp.int32),
        cache,
    )
    end = jax.lax.while_loop(goes_on, step, start)
    return end.new, end.made
