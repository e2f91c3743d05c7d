"""A vision–language model read from a folder: parameters, tokenizer, preprocessing, prompts."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int
from jinja2 import TemplateError

from spexjax.models.checkpoints.hub import located
from spexjax.models.llama.chat import rendered
from spexjax.models.llama.generate import greedy
from spexjax.models.llama.language import read_chat
from spexjax.models.nn.devices import OnDevices
from spexjax.models.text.tokenizing import load_tokenizer
from spexjax.models.vit.preprocessing import Preprocessing, read_preprocessing
from spexjax.models.vit.reading import rgb
from spexjax.models.vlm.config import VlmConfig
from spexjax.models.vlm.model import image_embeddings, merged
from spexjax.models.vlm.weights import load_vlm
from spexjax.typing import Array, ArrayLike

if TYPE_CHECKING:
    from tokenizers import Tokenizer

EMBEDDED = "shapes"
_IMAGE, _AROUND, _WHOLE = "<image>", "<fake_token_around_image>", "<global-img>"
_PLAIN = {
    "idefics3": "<|begin_of_text|>User:<image>{question}<end_of_utterance>\nAssistant:",
    "smolvlm": "<|im_start|>User:<image>{question}<end_of_utterance>\nAssistant:",
    "llava": "USER: <image>\n{question} ASSISTANT:",
}


class VisualPrompt(NamedTuple):
    """A prompt with an image in it.

    Attributes:
      text: of the whole, image tokens spelt out.
      ids: int32 (L,), its tokens.
      where: bool (L,), True at those that stand for the image.
      marked: whether the text itself spells the token that begins a sequence.
    """

    text: str
    ids: Int[np.ndarray, "L"]
    where: Bool[np.ndarray, "L"]
    marked: bool


@dataclass(frozen=True, eq=False)
class VisionLanguageModel(OnDevices):
    """A model, its tokenizer, and how images are made ready for it.

    Attributes:
      config: the geometry.
      params: parameters of the tower, the connector and the language model.
      tokenizer: with padding and truncation off.
      preprocessing: of images.
      chat_template: a Jinja template of messages, None for a model that has none.
      special: the texts of the special tokens by their role.
      name: what to call the model in reports.
      prompt_template: "plain" for a model that is asked with the image and the question alone.
    """

    config: VlmConfig
    params: Mapping[str, Any]
    tokenizer: "Tokenizer"
    preprocessing: Preprocessing
    chat_template: str | None = None
    special: Mapping[str, str] | None = None
    name: str = "model"
    prompt_template: str = "question"

    def prompt(self, question: str) -> VisualPrompt:
        """The prompt that asks a question about an image.

        Raises:
          ValueError: if the question is empty or spells an image, the chat template fails or does
            not show the image once, or the tokenizer does not know the image's token.
        """
        if not question.strip():
            raise ValueError("the question is empty.")
        if _IMAGE in question:
            raise ValueError(f"the question must not spell {_IMAGE!r}.")
        text = self._asked(question.strip())
        if text.count(_IMAGE) != 1:
            raise ValueError(f"The chat template of {self.name} does not show the image once.")
        shown = _IMAGE * self.config.image_tokens
        if self.config.family != "llava":
            shown = f"{_AROUND}{_WHOLE}{shown}{_AROUND}"
        text = text.replace(_IMAGE, shown)
        begins = (self.special or {}).get("bos_token")
        marked = begins is not None and text.startswith(begins)
        ids = np.array(self.tokenizer.encode(text, add_special_tokens=not marked).ids, np.int32)
        where = ids == self.config.image_token_id
        if where.sum() != self.config.image_tokens:
            raise ValueError(
                f"the tokenizer of {self.name} makes {int(where.sum())} image tokens of "
                f"{self.config.image_tokens} times {_IMAGE!r}."
            )
        return VisualPrompt(text, ids, where, marked)

    def answer(self, image: ArrayLike, question: str, max_new_tokens: int = 32) -> str:
        """The model's greedy answer to a question about an image, (H, W) or (H, W, 1 to 4).

        Raises:
          ValueError: as for :meth:`prompt`, or if prompt and answer exceed the model's positions.
        """
        seen = self.preprocessing(rgb(np.asarray(image)))
        ids = self.continued(seen, self.prompt(question), max_new_tokens)
        return str(self.tokenizer.decode(ids)).strip()

    def continued(
        self, seen: Float[np.ndarray, "H W channels"], asked: VisualPrompt, max_new_tokens: int
    ) -> list[int]:
        """The tokens of the greedy answer about a preprocessed image."""
        states = self.devices.fetch(
            embedded(self.config, self.placed, asked.ids[None], asked.where[None], seen[None])
        )
        return greedy(self.config.text, self.placed["text"], [states[0]], max_new_tokens)[0]

    def _asked(self, question: str) -> str:
        if self.prompt_template == "plain":
            return f"{_IMAGE}{question}"
        if self.chat_template is None:
            return _PLAIN[self.config.family].replace("{question}", question)
        content = [{"type": "image"}, {"type": "text", "text": question}]
        try:
            return rendered(
                self.chat_template, [{"role": "user", "content": content}], self.special or {}
            )
        except TemplateError as error:
            raise ValueError(f"The chat template of {self.name} fails: {error}.") from error


def load_vision_language_model(
    folder: str | Path | None = None, dtype: Any = jnp.float32, revision: str | None = None
) -> VisionLanguageModel:
    """Reads a SmolVLM, Idefics3 or LLaVA-1.5; without one, the small one that ships with spexjax.

    Args:
      folder: holds ``config.json``, ``tokenizer.json`` and the weights; or the id of such a model
        on the hub.
      dtype: of the parameters; None keeps each as it is stored.
      revision: a branch, tag or commit of a hub id; becomes part of the model's name.

    Raises:
      FileNotFoundError: if the model or one of its files is missing.
      ConnectionError: if it is not in a folder or the cache and the hub cannot be reached.
      ValueError: if the model is not supported or a tensor does not fit; it is named. Or if there
        is a revision but no hub id.
    """
    if folder is None and revision is None:
        with resources.as_file(resources.files("spexjax.models.mini") / "vqa") as path:
            return _read(path, EMBEDDED, dtype)
    path, name = located(folder, revision)
    return _read(path, name, dtype)


def _read(folder: Path, name: str, dtype: Any) -> VisionLanguageModel:
    config, params = load_vlm(folder, dtype)
    tokenizer, chat = load_tokenizer(folder), read_chat(folder)
    size = tokenizer.get_vocab_size()
    if size > config.text.vocab_size:
        raise ValueError(
            f"The tokenizer has {size} tokens, the model only {config.text.vocab_size}."
        )
    preprocessing = read_preprocessing(folder, config.family)
    return VisionLanguageModel(
        config, params, tokenizer, preprocessing, chat.template, chat.special, name, chat.asked
    )


@partial(jax.jit, static_argnums=(0, 5))
def embedded(
    config: VlmConfig,
    params: Any,
    ids: Int[Array, "N L"],
    where: Bool[Array, "N L"],
    images: Float[Array, "N H W channels"],
    dtype: Any = jnp.float32,
) -> Float[Array, "N L width"]:
    """Embeddings of prompts with an image in each; see :func:`~spexjax.models.vlm.model.merged`."""
    return merged(params, ids, where, image_embeddings(config, params, images, dtype))
