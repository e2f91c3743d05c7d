"""All families of text classifiers behind the same few functions, by their configuration."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from spexjax.models.bert import bert_names, config, deberta, model, modernbert
from spexjax.models.bert.config import Config
from spexjax.models.bert.deberta import DebertaConfig
from spexjax.models.bert.modernbert import ModernBertConfig
from spexjax.models.checkpoints.folders import Row
from spexjax.typing import Array, ArrayLike

AnyConfig = Config | ModernBertConfig | DebertaConfig

# By the class of the configuration: modules with from_dict, to_dict, rows and Classifier.
_OTHERS: dict[type, Any] = {ModernBertConfig: modernbert, DebertaConfig: deberta}
_READERS: dict[str, Callable[[Mapping[str, Any]], AnyConfig]] = {
    "distilbert": config.config_from_dict,
    "bert": config.config_from_dict,
    "roberta": config.config_from_dict,
    "xlm-roberta": config.config_from_dict,
    "modernbert": modernbert.from_dict,
    "deberta-v2": deberta.from_dict,
}


def from_dict(raw: Mapping[str, Any]) -> AnyConfig:
    """The configuration that a Hugging Face ``config.json`` describes.

    Raises:
      ValueError: for another family of models, or a setting that is not supported.
    """
    family = raw.get("model_type")
    if family not in _READERS:
        raise ValueError(f"model_type must be one of {', '.join(_READERS)}, got {family!r}.")
    return _READERS[family](raw)


def to_dict(c: AnyConfig) -> dict[str, Any]:
    """The contents of the ``config.json`` that describes a configuration."""
    return config.config_to_dict(c) if isinstance(c, Config) else _OTHERS[type(c)].to_dict(c)


def rows(c: AnyConfig) -> Iterator[Row]:
    """The table of names of a model, one row per tensor."""
    return bert_names.rows(c) if isinstance(c, Config) else _OTHERS[type(c)].rows(c)


def init_params(c: AnyConfig, key: Array) -> dict[str, Any]:
    """Fresh parameters, a nested dict of float32 arrays."""
    return model.init_params(c, key) if isinstance(c, Config) else _fresh(c, key)


def apply(
    c: AnyConfig,
    params: Mapping[str, Any],
    ids: Int[ArrayLike, "batch length"],
    keep: Bool[ArrayLike, "batch length"],
    dtype: Any = jnp.float32,
) -> Float[Array, "batch K"]:
    """The logits (batch, K), float32, computed in ``dtype`` (float32 or bfloat16)."""
    if isinstance(c, Config):
        return model.apply(c, params, ids, keep, dtype)
    classifier = _OTHERS[type(c)].Classifier(c, dtype)
    return jnp.asarray(classifier.apply({"params": params}, jnp.asarray(ids), keep))


@partial(jax.jit, static_argnums=0)
def _fresh(c: AnyConfig, key: Array) -> dict[str, Any]:
    ids = jnp.zeros((1, 2), jnp.int32)
    return _OTHERS[type(c)].Classifier(c).init(key, ids, jnp.ones((1, 2), bool))["params"]
