"""A CLIP read from a folder: parameters, tokenizer, preprocessing."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from spexjax.models.checkpoints.hub import located
from spexjax.models.clip.config import ClipConfig
from spexjax.models.clip.model import image_vectors, scores, text_vectors
from spexjax.models.clip.weights import load_clip
from spexjax.models.nn.devices import OnDevices
from spexjax.models.text.tokenizing import load_tokenizer
from spexjax.models.vit.preprocessing import Preprocessing, read_preprocessing
from spexjax.models.vit.reading import rgb
from spexjax.typing import ArrayLike

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True, eq=False)
class Clip(OnDevices):
    """A model, its tokenizer, and how images are made ready for it.

    Attributes:
      config: the geometry.
      params: parameters, a nested mapping.
      tokenizer: with padding and truncation off.
      preprocessing: of images.
      name: what to call the model in reports.
    """

    config: ClipConfig
    params: Mapping[str, Any]
    tokenizer: "Tokenizer"
    preprocessing: Preprocessing
    name: str = "model"

    def encode(self, caption: str) -> Int[np.ndarray, "L"]:
        """The tokens of a caption, its end among them."""
        return np.array(self.tokenizer.encode(caption).ids, np.int32)

    def score(self, image: ArrayLike, caption: str) -> float:
        """The scaled cosine of an image, (H, W) or (H, W, 1 to 4), and a caption."""
        seen = self.preprocessing(rgb(np.asarray(image)))[None]
        images = image_vectors(self.config, self.params, seen)
        texts = text_vectors(self.config, self.params, self.encode(caption)[None])
        return float(scores(self.params, images, texts)[0])


def load_clip_model(
    folder: str | Path, dtype: Any = jnp.float32, revision: str | None = None
) -> Clip:
    """Reads a CLIP.

    Args:
      folder: holds ``config.json``, ``tokenizer.json`` and the weights; or the id of such a model
        on the hub.
      dtype: of the parameters; None keeps each as it is stored.
      revision: a branch, tag or commit of a hub id; becomes part of the model's name.

    Raises:
      FileNotFoundError: if the model or one of its files is missing.
      ConnectionError: if it is not in a folder or the cache and the hub cannot be reached.
      ValueError: if the model is not supported or a tensor does not fit; it is named.
    """
    path, name = located(folder, revision)
    config, params = load_clip(path, dtype)
    tokenizer = load_tokenizer(path)
    return Clip(config, params, tokenizer, read_preprocessing(path, "clip"), name)
