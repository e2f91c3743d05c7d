"""Hugging Face folders of SmolVLM, Idefics3 and LLaVA to Flax parameters, by a table of names."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from spexjax.models.checkpoints import tables
from spexjax.models.checkpoints.folders import Row, config_json
from spexjax.models.checkpoints.tables import Names, Place
from spexjax.models.llama.weights import rows as text_rows
from spexjax.models.vit.weights import CONSTANT, module_rows, tower_rows
from spexjax.models.vlm.config import VlmConfig, vlm_from_dict, vlm_to_dict
from spexjax.models.vlm.model import init_params

# Names of the parts, by transformers' versions, as the tables have them.
_LLAVA = {
    "model.language_model.": "language_model.model.",
    "lm_head.": "language_model.lm_head.",
    "model.vision_tower.": "vision_tower.",
    "model.multi_modal_projector.": "multi_modal_projector.",
}


def rows(config: VlmConfig) -> Iterator[Row]:
    """The table of names of a model, one row per stored tensor that is used."""
    llava = config.family == "llava"
    tower = "vision_tower." if llava else "model.vision_model."
    yield from tower_rows(config.vision, tower, ("vision",))
    if llava:
        for stored, name in (("linear_1", "first"), ("linear_2", "second")):
            yield from module_rows(
                f"multi_modal_projector.{stored}", ("connector", name), config.bias
            )
    else:
        yield from module_rows(
            "model.connector.modality_projection.proj", ("connector", "projection"), bias=False
        )
    for row in text_rows(config.text):
        name = row.name
        if llava:
            name = f"language_model.{name}"
        elif name.startswith("model."):
            name = name.replace("model.", "model.text_model.", 1)
        yield row._replace(name=name, path=("text", *row.path))


def load_vlm(
    folder: str | Path, dtype: Any = jnp.float32, place: Place | None = None
) -> tuple[VlmConfig, dict[str, Any]]:
    """Configuration and parameters of a folder.

    Args:
      folder: holds ``config.json`` and ``model.safetensors``, or shards and their index.
      dtype: of the parameters; None keeps each as it is stored.
      place: where parameters are to lie; the default device if not given.

    Raises:
      FileNotFoundError: if ``config.json`` or the weights are not there.
      ValueError: if the model is not supported or a tensor does not fit; it is named.
    """
    config = vlm_from_dict(config_json(folder))
    shapes = jax.eval_shape(lambda: init_params(config, jax.random.key(0)))
    first = config.vision.n_layers
    dropped = tuple(
        f"vision_tower.encoder.layers.{first + i}." for i in range(config.dropped_layers)
    )
    if config.family == "llava":
        dropped += ("vision_tower.post_layernorm.",)
    tied = config.text.tie_embeddings

    def unused(name: str) -> bool:
        constant = name.endswith((CONSTANT, "rotary_emb.inv_freq"))
        return name.startswith(dropped) or constant or (tied and name.endswith("lm_head.weight"))

    def current(name: str) -> str:
        if config.family != "llava":
            return name
        for old, new in _LLAVA.items():
            if name.startswith(old):
                name = new + name.removeprefix(old)
        return name.replace("vision_tower.vision_model.", "vision_tower.", 1)

    names = Names(rows(config), config.family, unused, current)
    return config, tables.load(folder, names, shapes, dtype, place)


def save_vlm(
    folder: str | Path, config: VlmConfig, params: Mapping[str, Any], dtype: Any = None
) -> None:
    """Writes ``config.json`` and the weights of an Idefics3 or SmolVLM.

    Raises:
      ValueError: for a LLaVA.
    """
    tables.save(folder, rows(config), params, vlm_to_dict(config), dtype)
