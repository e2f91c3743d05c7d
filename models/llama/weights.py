"""Hugging Face folders of Llama and its kin to Flax parameters and back, by a table of names."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from spexjax.models.checkpoints import tables
from spexjax.models.checkpoints.folders import Row, config_json
from spexjax.models.checkpoints.tables import Names, Place
from spexjax.models.llama.model import LlamaConfig, config_from_dict, config_to_dict, init_params

_LAYER = {
    "self_attn.q_proj": "attention/query",
    "self_attn.k_proj": "attention/key",
    "self_attn.v_proj": "attention/value",
    "self_attn.o_proj": "attention/out",
    "mlp.gate_proj": "gate",
    "mlp.up_proj": "up",
    "mlp.down_proj": "down",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "mlp_norm",
}
_QK_NORMS = {"self_attn.q_norm": "attention/query_norm", "self_attn.k_norm": "attention/key_norm"}
# A constant that older folders store.
_CONSTANT = "rotary_emb.inv_freq"


def rows(config: LlamaConfig) -> Iterator[Row]:
    """The table of names of a model, one row per stored tensor."""
    yield Row("model.embed_tokens.weight", ("embedding",), False)
    biased = {
        "query": config.attention_bias,
        "key": config.attention_bias,
        "value": config.attention_bias,
        "out": config.out_bias,
        "gate": config.mlp_bias,
        "up": config.mlp_bias,
        "down": config.mlp_bias,
    }
    modules = _LAYER | (_QK_NORMS if config.qk_norm else {})
    for i in range(config.n_layers):
        for stored, path in modules.items():
            name, keys = f"model.layers.{i}.{stored}", ("layers", *path.split("/"))
            norm = keys[-1].endswith("norm")
            yield Row(f"{name}.weight", (*keys, "scale" if norm else "kernel"), not norm, i)
            if biased.get(keys[-1]):
                yield Row(f"{name}.bias", (*keys, "bias"), False, i)
    yield Row("model.norm.weight", ("norm", "scale"), False)
    if not config.tie_embeddings:
        yield Row("lm_head.weight", ("unembed", "kernel"), True)


def read_llama_config(folder: str | Path) -> LlamaConfig:
    """The configuration stored in ``folder/config.json``.

    Raises:
      FileNotFoundError: if there is none.
      ValueError: if it describes a model that is not supported.
    """
    return config_from_dict(config_json(folder))


def load_llama(
    folder: str | Path, dtype: Any = jnp.float32, place: Place | None = None
) -> tuple[LlamaConfig, dict[str, Any]]:
    """Configuration and parameters of a folder.

    Args:
      folder: holds ``config.json`` and ``model.safetensors``, or shards and their index.
      dtype: of the parameters; None keeps each as it is stored.
      place: where parameters are to lie, for models larger than one device; the default device if
        not given.

    Raises:
      FileNotFoundError: if ``config.json`` or the weights are not there.
      ValueError: if the model is not supported, or a tensor is missing, unknown or of another
        shape than the configuration implies; it is named.
    """
    config = read_llama_config(folder)
    shapes = jax.eval_shape(lambda: init_params(config, jax.random.key(0)))
    tied = {"lm_head.weight"} if config.tie_embeddings else set()
    names = Names(rows(config), config.family, lambda k: k in tied or _CONSTANT in k)
    return config, tables.load(folder, names, shapes, dtype, place)


def save_llama(
    folder: str | Path,
    config: LlamaConfig,
    params: Mapping[str, Any],
    dtype: Any = None,
    shard_bytes: int | None = None,
) -> None:
    """Writes ``config.json`` and the weights.

    Args:
      folder: made if it is not there.
      config: the geometry.
      params: arrays, not quantised.
      dtype: to store in; None keeps each as it is.
      shard_bytes: begins a new file when one would grow beyond this; one file if not given.
    """
    tables.save(folder, rows(config), params, config_to_dict(config), dtype, shard_bytes)
