"""A text classifier read from a folder: configuration, parameters, tokenizer."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Float

from spexjax.models.bert import weights
from spexjax.models.bert.families import AnyConfig, apply, init_params
from spexjax.models.checkpoints.hub import located
from spexjax.models.nn.devices import OnDevices
from spexjax.models.text.masking import bucket
from spexjax.models.text.tokenizing import load_tokenizer, truncation
from spexjax.typing import Key

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True, eq=False)
class TextClassifier(OnDevices):
    """A model and its tokenizer.

    Attributes:
      config: the geometry.
      params: float32 parameters, a nested mapping.
      tokenizer: with padding and truncation off.
      name: what to call the model in reports.
    """

    config: AnyConfig
    params: Mapping[str, Any]
    tokenizer: "Tokenizer"
    name: str = "model"

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the classes."""
        c = self.config
        return c.label_names or tuple(f"LABEL_{i}" for i in range(c.num_labels))

    @property
    def positive_label(self) -> int | None:
        """The class called positive, else the second of two, the only one, or none."""
        names = [name.lower() for name in self.label_names]
        if "positive" in names:
            return names.index("positive")
        return {1: 0, 2: 1}.get(len(names))

    def logits(self, text: str) -> Float[np.ndarray, "K"]:
        """The model's answer to a text, cut to the model's positions, (K,) float32."""
        encoding = self.tokenizer.encode(text)
        special = np.array(encoding.special_tokens_mask, bool)
        positions = self.config.max_position_embeddings
        ids = np.array(encoding.ids, np.int32)[truncation(special, positions)]
        fill = (0, min(bucket(len(ids)), positions) - len(ids))
        keep = np.arange(len(ids) + fill[1]) < len(ids)
        ids = np.pad(ids, fill, constant_values=self.config.pad_token_id)
        return np.asarray(_logits(self.config, self.placed, ids[None], keep[None]))[0]

    def randomised(self, key: Key) -> "TextClassifier":
        """The same configuration and tokenizer with fresh random parameters.

        For :func:`spexjax.inference.model_null`.
        """
        params = init_params(self.config, key)
        return replace(self, params=params, name=f"{self.name}, random parameters")


def load_classifier(
    folder: str | Path | None = None, revision: str | None = None
) -> TextClassifier:
    """Reads a Hugging Face model; without one, the sentiment classifier that ships with spexjax.

    Args:
      folder: holds ``config.json``, ``tokenizer.json`` (or ``vocab.txt``) and
        ``model.safetensors`` (or shards); or the id of such a model on the hub.
      revision: a branch, tag or commit of a hub id; becomes part of the model's name.

    Raises:
      FileNotFoundError: if the model or one of its files is missing.
      ConnectionError: if it is not in a folder or the cache and the hub cannot be reached.
      ValueError: if the model is not supported or a tensor does not fit; it is named. Or if there
        is a revision but no hub id.
    """
    if folder is None and revision is None:
        with resources.as_file(resources.files("spexjax.models.mini") / "sentiment") as path:
            return replace(load_classifier(path), name="embedded sentiment classifier")
    path, name = located(folder, revision)
    config, params = weights.load(path)
    tokenizer = load_tokenizer(path)
    size = tokenizer.get_vocab_size()
    if size > config.vocab_size:
        raise ValueError(f"The tokenizer has {size} tokens, the model only {config.vocab_size}.")
    return TextClassifier(config, params, tokenizer, name)


_logits = jax.jit(apply, static_argnums=0)
