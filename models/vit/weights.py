"""Hugging Face folders of image towers and classifiers to Flax parameters, by a table of names."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from spexjax.models.checkpoints import tables
from spexjax.models.checkpoints.folders import Row, config_json
from spexjax.models.checkpoints.tables import Names
from spexjax.models.vit.config import VitConfig, tower_from_dict, tower_to_dict
from spexjax.models.vit.model import init_params

_VIT = {
    "embeddings.cls_token": "class",
    "embeddings.position_embeddings": "position",
    "embeddings.patch_embeddings.projection.weight": "patch",
    "embeddings.patch_embeddings.projection.bias": "patch_bias",
}
_VIT_LAYER = {
    "encoder.layer.{i}.attention.attention.query": "attention/query",
    "encoder.layer.{i}.attention.attention.key": "attention/key",
    "encoder.layer.{i}.attention.attention.value": "attention/value",
    "encoder.layer.{i}.attention.output.dense": "attention/out",
    "encoder.layer.{i}.intermediate.dense": "mlp/up",
    "encoder.layer.{i}.output.dense": "mlp/down",
    "encoder.layer.{i}.layernorm_before": "attention_norm",
    "encoder.layer.{i}.layernorm_after": "mlp_norm",
}
_SIGLIP = {
    "embeddings.position_embedding.weight": "position",
    "embeddings.patch_embedding.weight": "patch",
    "embeddings.patch_embedding.bias": "patch_bias",
}
_CLIP = {
    "embeddings.class_embedding": "class",
    "embeddings.position_embedding.weight": "position",
    "embeddings.patch_embedding.weight": "patch",
}
LAYER = {
    "encoder.layers.{i}.self_attn.q_proj": "attention/query",
    "encoder.layers.{i}.self_attn.k_proj": "attention/key",
    "encoder.layers.{i}.self_attn.v_proj": "attention/value",
    "encoder.layers.{i}.self_attn.out_proj": "attention/out",
    "encoder.layers.{i}.mlp.fc1": "mlp/up",
    "encoder.layers.{i}.mlp.fc2": "mlp/down",
    "encoder.layers.{i}.layer_norm1": "attention_norm",
    "encoder.layers.{i}.layer_norm2": "mlp_norm",
}
"""Of a layer of SigLIP's tower and of both of CLIP's."""
_HEAD = {
    "head.probe": "probe",
    "head.attention.in_proj_weight": "kernel",
    "head.attention.in_proj_bias": "bias",
}
_HEAD_MODULES = {
    "head.attention.out_proj": "out",
    "head.layernorm": "norm",
    "head.mlp.fc1": "mlp/up",
    "head.mlp.fc2": "mlp/down",
}
_TENSORS = {"vit": _VIT, "siglip": _SIGLIP, "clip": _CLIP}
_NORMS = {"vit": "layernorm", "siglip": "post_layernorm", "clip": "post_layernorm"}
# A constant that older folders store.
CONSTANT = "embeddings.position_ids"


def tower_rows(config: VitConfig, prefix: str, path: tuple[str, ...] = ()) -> Iterator[Row]:
    """The table of names of a tower without what it is projected or classified by.

    Args:
      config: the geometry.
      prefix: of the stored names.
      path: of the parameters.
    """
    for stored, name in _TENSORS[config.family].items():
        yield Row(prefix + stored, (*path, name), False)
    layer = _VIT_LAYER if config.family == "vit" else LAYER
    for i in range(config.n_layers):
        for stored, name in layer.items():
            bias = config.qkv_bias or name not in ("attention/query", "attention/key",
                                                   "attention/value")  # fmt: skip
            keys = (*path, f"layer_{i}", *name.split("/"))
            yield from module_rows(prefix + stored.format(i=i), keys, bias)
    if config.family == "clip":
        yield from module_rows(f"{prefix}pre_layrnorm", (*path, "first_norm"))
    # Without pooling CLIP's last norm is not there: it norms nothing but what is pooled.
    if config.final_norm and (config.family != "clip" or config.pooling != "none"):
        yield from module_rows(prefix + _NORMS[config.family], (*path, "norm"))
    if config.pooling == "attention":
        for stored, name in _HEAD.items():
            yield Row(prefix + stored, (*path, "pool", name), False)
        for stored, name in _HEAD_MODULES.items():
            yield from module_rows(prefix + stored, (*path, "pool", *name.split("/")))


def module_rows(stored: str, path: tuple[str, ...], bias: bool = True) -> Iterator[Row]:
    """Of a dense layer, which is transposed, or of a norm, whose name ends so."""
    norm = path[-1].endswith("norm")
    yield Row(f"{stored}.weight", (*path, "scale" if norm else "kernel"), not norm)
    if bias:
        yield Row(f"{stored}.bias", (*path, "bias"), False)


def rows(config: VitConfig) -> Iterator[Row]:
    """The table of names of a whole folder."""
    yield from tower_rows(config, _prefix(config))
    if config.projection_dim is not None:
        yield from module_rows("visual_projection", ("projection",), bias=False)
    if config.num_labels:
        yield from module_rows("classifier", ("classifier",))


def vit_from_dict(raw: Mapping[str, Any]) -> VitConfig:
    """A :class:`VitConfig` from the contents of a folder's ``config.json``.

    A ViTForImageClassification gives logits, a SiglipVisionModel what it pools, a
    CLIPVisionModelWithProjection what it projects, a CLIPVisionModel the class token's state.

    Raises:
      ValueError: for another architecture.
    """
    kind = raw.get("model_type")
    known = {
        "vit": ("ViTForImageClassification",),
        "siglip_vision_model": ("SiglipVisionModel",),
        "clip_vision_model": ("CLIPVisionModelWithProjection", "CLIPVisionModel"),
    }
    if kind not in known:
        raise ValueError(f"model_type must be one of {tuple(known)}, got {kind!r}.")
    found = (raw.get("architectures") or known[kind])[0]
    if found not in known[kind]:
        raise ValueError(f"architectures = [{found!r}] is not supported, only {known[kind]}.")
    tower = tower_from_dict(raw)
    if kind == "siglip_vision_model":
        head = bool(raw.get("vision_use_head", True))
        return replace(tower, pooling="attention" if head else "none")
    if found == "CLIPVisionModelWithProjection":
        return replace(tower, pooling="class", projection_dim=int(raw.get("projection_dim", 512)))
    if kind == "clip_vision_model":
        return replace(tower, pooling="class")
    names = raw.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    labels = tuple(names[i] for i in sorted(names, key=int))
    return replace(tower, pooling="class", num_labels=len(labels), label_names=labels)


def load_vit(folder: str | Path, dtype: Any = jnp.float32) -> tuple[VitConfig, dict[str, Any]]:
    """Configuration and parameters of a folder; see :func:`vit_from_dict`.

    Raises:
      FileNotFoundError: if ``config.json`` or the weights are not there.
      ValueError: if the model is not supported or a tensor does not fit; it is named.
    """
    config = vit_from_dict(config_json(folder))
    shapes = jax.eval_shape(lambda: init_params(config, jax.random.key(0)))
    prefix = _prefix(config)

    def current(name: str) -> str:
        # SigLIP's and CLIP's towers come with a prefix or without.
        bare = name.removeprefix("vision_model.")
        lead = bare.startswith(("embeddings.", "encoder.", "head.", "post_", "pre_"))
        return prefix + bare if lead and config.family != "vit" else name

    names = Names(rows(config), config.family, lambda k: k.endswith(CONSTANT), current)
    return config, tables.load(folder, names, shapes, dtype, None)


def save_classifier(folder: str | Path, config: VitConfig, params: Mapping[str, Any]) -> None:
    """Writes a plain ViT that classifies as transformers stores it.

    Raises:
      ValueError: if it is another tower.
    """
    if config.family != "vit" or not config.num_labels:
        raise ValueError("only a classifying ViT can be written.")
    names = config.label_names or tuple(f"LABEL_{i}" for i in range(config.num_labels))
    raw = tower_to_dict(config, "vit") | {
        "architectures": ["ViTForImageClassification"],
        "qkv_bias": config.qkv_bias,
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
    }
    tables.save(folder, rows(config), params, json.loads(json.dumps(raw)))


def _prefix(config: VitConfig) -> str:
    return {"vit": "vit.", "siglip": "", "clip": "vision_model."}[config.family]
