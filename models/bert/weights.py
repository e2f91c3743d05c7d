"""Hugging Face safetensors folders to Flax parameters and back, by a table of names.

A row of the table joins a stored module (``pre_classifier``) to a path in the parameters. Dense
weights are stored (out, in) and used (in, out); embeddings and norms keep their shape. Every
tensor of the folder must be in the table and every row in the folder, with the shape that the
configuration implies; anything else is an error that names the tensor.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from spexjax.models.bert.config import Config, config_from_dict, config_to_dict
from spexjax.models.bert.model import init_params
from spexjax.models.checkpoints.folders import SINGLE, Row, config_json, read_tensors

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
_ROBERTA = {
    name.replace("bert.", "roberta.", 1): path
    for name, path in _BERT.items()
    if name.startswith(("bert.embeddings", "bert.encoder"))
} | {"classifier.dense": "pre_classifier", "classifier.out_proj": "classifier"}
_TABLES = {
    "distilbert": _DISTILBERT, "bert": _BERT, "roberta": _ROBERTA, "xlm-roberta": _ROBERTA,
}  # fmt: skip

# Older folders also hold the constant 0, 1, 2, … and call a norm's scale and shift so.
_CONSTANTS = tuple(f"{name}.embeddings.position_ids" for name in ("bert", "distilbert", "roberta"))
# The masked language model's pooler, which no RoBERTa classifier reads.
_UNUSED = ("roberta.pooler.dense.weight", "roberta.pooler.dense.bias")
_OLD_SUFFIXES = {".gamma": ".weight", ".beta": ".bias"}


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
    tensors = {_current_name(k): v for k, v in tensors.items()}
    tensors = {k: v for k, v in tensors.items() if k not in (*_CONSTANTS, *_UNUSED)}
    shapes = jax.eval_shape(lambda: init_params(config, jax.random.key(0)))
    params: dict[str, Any] = {}
    for name, path, transpose, _ in rows(config):
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
    for name, path, transpose, _ in rows(config):
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


def _current_name(name: str) -> str:
    for old, new in _OLD_SUFFIXES.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name
