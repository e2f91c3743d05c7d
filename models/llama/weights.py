"""Hugging Face folders of Llama and its kin to Flax parameters and back.

Files are memory-mapped and read one tensor at a time, which is converted and placed before the
next is touched: beside the parameters themselves the host holds one tensor and a slab of a file.
Of a tensor that is spread over devices, also those of several hosts, each host reads what its own
devices hold.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from spexjax.models.checkpoints.folders import INDEX, SINGLE, Row, config_json, read_json
from spexjax.models.llama.model import LlamaConfig, config_from_dict, config_to_dict, init_params

Place = Callable[[tuple[str, ...]], jax.sharding.Sharding | None]
"""From the path of a parameter to where it is to lie; None for the default device."""

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
_SLAB_BYTES = 1 << 24


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
            name, keys = f"model.layers.{i}.{stored}", (f"layer_{i}", *path.split("/"))
            norm = keys[-1].endswith("norm")
            yield Row(f"{name}.weight", (*keys, "scale" if norm else "kernel"), not norm)
            if biased.get(keys[-1]):
                yield Row(f"{name}.bias", (*keys, "bias"), False)
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
    where = _files(Path(folder))
    shapes = jax.eval_shape(lambda: init_params(config, jax.random.key(0)))
    table = {row.name: row for row in rows(config)}
    for name in table:
        if name not in where:
            raise ValueError(f"Tensor {name!r} is missing from the weights.")
    tied = {"lm_head.weight"} if config.tie_embeddings else set()
    unknown = [k for k in where if k not in table and k not in tied and _CONSTANT not in k]
    if unknown:
        raise ValueError(f"Tensor {min(unknown)!r} has no place in a {config.family} model.")
    params: dict[str, Any] = {}
    for name, row in table.items():
        node, want = params, shapes
        for key in row.path[:-1]:
            node, want = node.setdefault(key, {}), want[key]
        shape = want[row.path[-1]].shape
        sharding = None if place is None else place(row.path)
        part = partial(_read, where[name], row, shape, dtype)
        value = (
            jax.device_put(part((slice(None),) * len(shape)))
            if sharding is None
            else jax.make_array_from_callback(shape, sharding, part)
        )
        node[row.path[-1]] = value.block_until_ready()  # so that no two tensors are in flight
    return config, params


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
    from safetensors.numpy import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shards: list[dict[str, np.ndarray]] = [{}]
    for row in rows(config):
        value: Any = params
        for part in row.path:
            value = value[part]
        value = np.asarray(value).T if row.transpose else np.asarray(value)
        value = np.ascontiguousarray(value, value.dtype if dtype is None else dtype)
        held = sum(v.nbytes for v in shards[-1].values())
        if shard_bytes is not None and shards[-1] and held + value.nbytes > shard_bytes:
            shards.append({})
        shards[-1][row.name] = value
    names = [SINGLE]
    if len(shards) > 1:
        count = len(shards)
        names = [f"model-{i + 1:05}-of-{count:05}.safetensors" for i in range(count)]
        where = {k: name for name, part in zip(names, shards, strict=True) for k in part}
        total = sum(v.nbytes for part in shards for v in part.values())
        _write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": where})
    for name, tensors in zip(names, shards, strict=True):
        save_file(tensors, folder / name, metadata={"format": "pt"})
    raw = config_to_dict(config)
    raw["torch_dtype"] = str(np.dtype(shards[0]["model.embed_tokens.weight"].dtype))
    _write_json(folder / "config.json", raw)


def _read(
    file: Path, row: Row, shape: tuple[int, ...], dtype: Any, place: tuple[slice, ...]
) -> np.ndarray:
    """A part of a parameter, from the bytes of the file that hold it.

    Args:
      file, row: where the whole is stored.
      shape: of the parameter.
      dtype: of the result; as it is stored if None.
      place: which part of the parameter.
    """
    from safetensors import safe_open

    turned = slice(None, None, -1 if row.transpose else 1)
    shape, place = shape[turned], place[turned]  # as they are stored
    bounds = [one.indices(size)[:2] for one, size in zip(place, shape, strict=True)]
    (start, end), rest = bounds[0], tuple(slice(*bound) for bound in bounds[1:])
    lengths = tuple(stop - first for first, stop in bounds)
    step = max(_SLAB_BYTES // (4 * math.prod(lengths[1:])), 1)
    value: np.ndarray | None = None
    for at in range(start, end, step):
        # What was read of a mapped file counts as the process's memory until it is closed.
        with safe_open(file, "numpy") as stored:
            part = stored.get_slice(row.name)
            if (have := tuple(part.get_shape())) != shape:
                raise ValueError(
                    f"Tensor {row.name!r} has shape {have}, the configuration says {shape}."
                )
            slab = part[(slice(at, min(at + step, end)), *rest)]
        if value is None:
            value = np.empty(lengths[turned], slab.dtype if dtype is None else dtype)
        first = at - start
        (value.T if row.transpose else value)[first : first + len(slab)] = slab
    assert value is not None  # no parameter is empty
    return value


def _files(folder: Path) -> dict[str, Path]:
    """Which file holds each tensor."""
    from safetensors import SafetensorError, safe_open

    single = folder / SINGLE
    if single.is_file():
        files = [single]
    elif (folder / INDEX).is_file():
        listed = read_json(folder / INDEX).get("weight_map", {})
        files = [folder / name for name in sorted(set(listed.values()))]
    else:
        raise FileNotFoundError(f"No {SINGLE} (nor {INDEX}) in {str(folder)!r}.")
    where: dict[str, Path] = {}
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"{INDEX} lists {file.name}, which is not in {str(folder)!r}.")
        try:
            with safe_open(file, "numpy") as stored:
                where |= dict.fromkeys(stored.keys(), file)
        except SafetensorError as error:
            raise ValueError(f"{str(file)!r} is not a safetensors file: {error}.") from error
    return where


def _write_json(path: Path, raw: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(raw, indent=2) + "\n", encoding="utf-8")
