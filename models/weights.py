"""Hugging Face safetensors folders to Flax parameters and back, by a table of names.

A row of the table joins a stored module (``pre_classifier``) to a path in the parameters. Dense
weights are stored (out, in) and used (in, out); embeddings and norms keep their shape. Every
tensor of the folder must be in the table and every row in the folder, with the shape that the
configuration implies; anything else is an error that names the tensor.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from spexjax.models.distilbert import Config, config_from_dict, config_to_dict, init_params

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"

_DISTILBERT = {
    "distilbert.embeddings.word_embeddings": "encoder/word",
    "distilbert.embeddings.position_embeddings": "encoder/position",
    "distilbert.embeddings.LayerNorm": "encoder/norm",
    "distilbert.transformer.layer.{i}.attention.q_lin": "encoder/layer_{i}/attention/query",
    "distilbert.transformer.layer.{i}.attention.k_lin": "encoder/layer_{i}/attention/key",
    "distilbert.transformer.layer.{i}.attention.v_lin": "encoder/layer_{i}/attention/value",
    "distilbert.transformer.layer.{i}.attention.out_lin": "encoder/layer_{i}/attention/out",
    "distilbert.transformer.layer.{i}.sa_layer_norm": "encoder/layer_{i}/attention_norm",
    "distilbert.transformer.layer.{i}.ffn.lin1": "encoder/layer_{i}/ffn_in",
    "distilbert.transformer.layer.{i}.ffn.lin2": "encoder/layer_{i}/ffn_out",
    "distilbert.transformer.layer.{i}.output_layer_norm": "encoder/layer_{i}/ffn_norm",
    "pre_classifier": "pre_classifier",
    "classifier": "classifier",
}
_BERT = {
    "bert.embeddings.word_embeddings": "encoder/word",
    "bert.embeddings.position_embeddings": "encoder/position",
    "bert.embeddings.token_type_embeddings": "encoder/token_type",
    "bert.embeddings.LayerNorm": "encoder/norm",
    "bert.encoder.layer.{i}.attention.self.query": "encoder/layer_{i}/attention/query",
    "bert.encoder.layer.{i}.attention.self.key": "encoder/layer_{i}/attention/key",
    "bert.encoder.layer.{i}.attention.self.value": "encoder/layer_{i}/attention/value",
    "bert.encoder.layer.{i}.attention.output.dense": "encoder/layer_{i}/attention/out",
    "bert.encoder.layer.{i}.attention.output.LayerNorm": "encoder/layer_{i}/attention_norm",
    "bert.encoder.layer.{i}.intermediate.dense": "encoder/layer_{i}/ffn_in",
    "bert.encoder.layer.{i}.output.dense": "encoder/layer_{i}/ffn_out",
    "bert.encoder.layer.{i}.output.LayerNorm": "encoder/layer_{i}/ffn_norm",
    "bert.pooler.dense": "pre_classifier",
    "classifier": "classifier",
}
_TABLES = {"distilbert": _DISTILBERT, "bert": _BERT}

# Older folders also hold the constant 0, 1, 2, … and call a norm's scale and shift so.
_CONSTANTS = ("bert.embeddings.position_ids", "distilbert.embeddings.position_ids")
_OLD_SUFFIXES = {".gamma": ".weight", ".beta": ".bias"}


class Row(NamedTuple):
    """A stored tensor: its name, its place in the parameters, whether it is transposed."""

    name: str
    path: tuple[str, ...]
    transpose: bool


def rows(config: Config) -> Iterator[Row]:
    """The table of names of a model, one row per tensor."""
    for stored, path in _TABLES[config.family].items():
        if path == "encoder/token_type" and not config.type_vocab_size:
            continue
        for i in range(config.n_layers) if "{i}" in stored else (0,):
            name, keys = stored.format(i=i), tuple(path.format(i=i).split("/"))
            if keys[-1] in ("word", "position", "token_type"):
                yield Row(f"{name}.weight", (*keys, "embedding"), False)
                continue
            norm = keys[-1].endswith("norm")
            yield Row(f"{name}.weight", (*keys, "scale" if norm else "kernel"), not norm)
            yield Row(f"{name}.bias", (*keys, "bias"), False)


def params_from_tensors(config: Config, tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Flax parameters, float32, from tensors by their stored names.

    Raises:
      ValueError: naming a tensor that is missing, unknown, or of another shape than the
        configuration implies.
    """
    tensors = {_current_name(k): v for k, v in tensors.items() if k not in _CONSTANTS}
    shapes = jax.eval_shape(lambda: init_params(config, jax.random.key(0)))
    params: dict[str, Any] = {}
    for name, path, transpose in rows(config):
        if name not in tensors:
            raise ValueError(f"Tensor {name!r} is missing from the weights.")
        value = np.asarray(tensors.pop(name))
        value = value.T if transpose else value
        node, want = params, shapes
        for part in path[:-1]:
            node, want = node.setdefault(part, {}), want[part]
        want = want[path[-1]].shape
        if value.shape != want:
            have, want = (s[::-1] if transpose else s for s in (value.shape, want))
            raise ValueError(f"Tensor {name!r} has shape {have}, the configuration says {want}.")
        node[path[-1]] = np.ascontiguousarray(value, np.float32)
    if tensors:
        raise ValueError(f"Tensor {min(tensors)!r} has no place in a {config.family} classifier.")
    return params


def tensors_from_params(config: Config, params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The inverse of :func:`params_from_tensors`."""
    tensors = {}
    for name, path, transpose in rows(config):
        value: Any = params
        for part in path:
            value = value[part]
        tensors[name] = np.ascontiguousarray(np.asarray(value).T if transpose else value)
    return tensors


def read_config(folder: str | Path) -> Config:
    """The configuration stored in ``folder/config.json``.

    Raises:
      FileNotFoundError: if there is none.
      ValueError: if it describes a model that is not supported.
    """
    return config_from_dict(config_json(folder))


def config_json(folder: str | Path) -> dict[str, Any]:
    """The contents of ``folder/config.json``.

    Raises:
      FileNotFoundError: if there is none.
      ValueError: if it does not hold a JSON object.
    """
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"No config.json in {str(folder)!r}.")
    return read_json(path)


def read_tensors(folder: str | Path) -> dict[str, np.ndarray]:
    """All tensors of ``model.safetensors``, or of the shards its index lists.

    Raises:
      FileNotFoundError: if the folder has neither, or lacks a shard.
      ValueError: if a shard and the index disagree on a tensor.
    """
    folder = Path(folder)
    if (folder / SINGLE).is_file():
        return _read_file(folder / SINGLE)
    if not (folder / INDEX).is_file():
        raise FileNotFoundError(f"No {SINGLE} (nor {INDEX}) in {str(folder)!r}.")
    where = read_json(folder / INDEX).get("weight_map", {})
    tensors: dict[str, np.ndarray] = {}
    for shard in sorted(set(where.values())):
        if not (folder / shard).is_file():
            raise FileNotFoundError(f"{INDEX} lists {shard}, which is not in {str(folder)!r}.")
        held = _read_file(folder / shard)
        listed = {name for name, file in where.items() if file == shard}
        if held.keys() != listed:
            name = min(held.keys() ^ listed)
            raise ValueError(f"Tensor {name!r}: {shard} and {INDEX} disagree on where it is.")
        tensors |= held
    return tensors


def load(folder: str | Path) -> tuple[Config, dict[str, Any]]:
    """Configuration and float32 parameters of a Hugging Face folder.

    Raises:
      FileNotFoundError: if ``config.json`` or the weights are not there.
      ValueError: if the model is not supported or a tensor does not fit; it is named.
    """
    config = read_config(folder)
    return config, params_from_tensors(config, read_tensors(folder))


def save(
    folder: str | Path,
    config: Config,
    params: Mapping[str, Any],
    dtype: np.typing.DTypeLike = np.float32,
) -> None:
    """Writes ``config.json`` and ``model.safetensors``, stored in ``dtype``, into ``folder``."""
    from safetensors.numpy import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.astype(dtype) for k, v in tensors_from_params(config, params).items()}
    save_file(tensors, folder / SINGLE, metadata={"format": "pt"})
    text = json.dumps(config_to_dict(config), indent=2)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")


def _read_file(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{str(path)!r} is not a safetensors file: {error}.") from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
      ValueError: if it holds something else.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is not JSON: {error}.") from error
    if not isinstance(raw, dict):
        raise ValueError(f"{str(path)!r} does not hold a JSON object.")
    return raw


def _current_name(name: str) -> str:
    for old, new in _OLD_SUFFIXES.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name
