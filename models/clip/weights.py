"""Hugging Face folders of CLIP to Flax parameters, by a table of names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from spexjax.models.checkpoints import tables
from spexjax.models.checkpoints.folders import Row, config_json
from spexjax.models.checkpoints.tables import Names
from spexjax.models.clip.config import ClipConfig, clip_from_dict
from spexjax.models.clip.model import init_params
from spexjax.models.vit.weights import CONSTANT, LAYER, module_rows, tower_rows


def rows(config: ClipConfig) -> Iterator[Row]:
    """The table of names of a model, one row per stored tensor."""
    yield from tower_rows(config.vision, "vision_model.", ("vision",))
    yield from module_rows("visual_projection", ("vision", "projection"), bias=False)
    embeddings = "text_model.embeddings"
    yield Row(f"{embeddings}.token_embedding.weight", ("text", "token"), False)
    yield Row(f"{embeddings}.position_embedding.weight", ("text", "position"), False)
    for i in range(config.text.n_layers):
        for stored, name in LAYER.items():
            keys = ("text", f"layer_{i}", *name.split("/"))
            yield from module_rows(f"text_model.{stored.format(i=i)}", keys)
    yield from module_rows("text_model.final_layer_norm", ("text", "norm"))
    yield from module_rows("text_projection", ("text", "projection"), bias=False)
    yield Row("logit_scale", ("scale",), False)


def load_clip(folder: str | Path, dtype: Any = jnp.float32) -> tuple[ClipConfig, dict[str, Any]]:
    """Configuration and parameters of a folder.

    Raises:
      FileNotFoundError: if ``config.json`` or the weights are not there.
      ValueError: if the model is not supported or a tensor does not fit; it is named.
    """
    config = clip_from_dict(config_json(folder))
    shapes = jax.eval_shape(lambda: init_params(config, jax.random.key(0)))
    names = Names(rows(config), "clip", lambda k: k.endswith(CONSTANT))
    return config, tables.load(folder, names, shapes, dtype, None)
