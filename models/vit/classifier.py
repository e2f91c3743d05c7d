"""An image classifier read from a folder: parameters, preprocessing, names of classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from spexjax.models.checkpoints.hub import located
from spexjax.models.nn.devices import OnDevices
from spexjax.models.vit.config import VitConfig
from spexjax.models.vit.model import Vit
from spexjax.models.vit.preprocessing import Preprocessing, read_preprocessing
from spexjax.models.vit.reading import rgb
from spexjax.models.vit.weights import load_vit
from spexjax.typing import Array, ArrayLike


@dataclass(frozen=True, eq=False)
class ImageClassifier(OnDevices):
    """A model and how images are made ready for it.

    Attributes:
      config: the geometry.
      params: parameters, a nested mapping.
      preprocessing: of images.
      name: what to call the model in reports.
    """

    config: VitConfig
    params: Mapping[str, Any]
    preprocessing: Preprocessing
    name: str = "model"

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        count = self.config.num_labels
        return self.config.label_names or tuple(f"LABEL_{i}" for i in range(count))

    def logits(self, image: ArrayLike) -> Float[np.ndarray, "K"]:
        """The logits of an image, (H, W) or (H, W, 1 to 4), preprocessed here."""
        seen = self.preprocessing(rgb(np.asarray(image)))
        return np.asarray(_logits(self.config, self.params, seen[None]))[0]


def load_image_classifier(
    folder: str | Path, dtype: Any = jnp.float32, revision: str | None = None
) -> ImageClassifier:
    """Reads a ViTForImageClassification.

    Args:
      folder: holds ``config.json`` and the weights; or the id of such a model on the hub.
      dtype: of the parameters; None keeps each as it is stored.
      revision: a branch, tag or commit of a hub id.

    Raises:
      FileNotFoundError: if the model or one of its files is missing.
      ConnectionError: if it is not in a folder or the cache and the hub cannot be reached.
      ValueError: if the model is not supported or classifies nothing, or a tensor does not fit.
    """
    path, name = located(folder, revision)
    config, params = load_vit(path, dtype)
    if not config.num_labels:
        raise ValueError(f"{name} is a {config.family} tower, which classifies nothing.")
    return ImageClassifier(config, params, read_preprocessing(path, config.family), name)


@partial(jax.jit, static_argnums=0)
def _logits(config: VitConfig, params: Any, images: Array) -> Array:
    seen: Any = Vit(config).apply({"params": params}, images)
    return seen.pooled
