"""A causal language model read from a folder: parameters, tokenizer, chat template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jinja2 import TemplateError

from spexjax.models.checkpoints.folders import read_json
from spexjax.models.checkpoints.hub import located
from spexjax.models.checkpoints.store_key import Read
from spexjax.models.llama.chat import rendered
from spexjax.models.llama.generate import greedy
from spexjax.models.llama.model import LlamaConfig, init_params
from spexjax.models.llama.sharding import placement
from spexjax.models.llama.weights import load_llama, read_llama_config
from spexjax.models.nn.devices import Devices, OnDevices
from spexjax.models.text.tokenizing import load_tokenizer
from spexjax.typing import Key

if TYPE_CHECKING:
    from tokenizers import Tokenizer

EMBEDDED = "two-hop"


@dataclass(frozen=True, eq=False)
class LanguageModel(OnDevices):
    """A model and its tokenizer.

    Attributes:
      config: the geometry.
      params: parameters, a nested mapping; quantised or not.
      tokenizer: with padding and truncation off.
      chat_template: a Jinja template of messages, None for a model that has none.
      special: the texts of the special tokens by their role, "bos_token", "eos_token", ….
      name: what to call the model in reports.
      prompt_template: how it is asked, a name in :mod:`~spexjax.models.llama.prompts`.
      mesh: the devices over which the parameters are spread; each local device has all if None.
      read: where the parameters are from, if from files.
    """

    config: LlamaConfig
    params: Mapping[str, Any]
    tokenizer: "Tokenizer"
    chat_template: str | None = None
    special: Mapping[str, str] | None = None
    name: str = "model"
    prompt_template: str = "question"
    mesh: jax.sharding.Mesh | None = None
    read: Read | None = None

    @property
    def dtype(self) -> Any:
        """That of the parameters, which the model is computed in where nothing else is said."""
        return self.params["norm"]["scale"].dtype

    @cached_property
    def devices(self) -> Devices:
        """Those of the mesh; without one all local ones."""
        return Devices.here(self.mesh)

    def randomised(self, key: Key) -> "LanguageModel":
        """The same configuration and tokenizer with fresh random float32 parameters.

        For :func:`spexjax.inference.model_null`.
        """
        params = init_params(self.config, key)
        return replace(self, params=params, name=f"{self.name}, random parameters")

    def encode(self, text: str, marked: bool = False) -> list[int]:
        """The tokens of a text, those that the tokenizer adds by itself (such as BOS) included.

        Not so if it is ``marked``: then the text spells them itself, as :meth:`chat`'s does.
        """
        return list(self.tokenizer.encode(text, add_special_tokens=not marked).ids)

    def chat(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The prompt that the model's chat template makes of messages, up to its own turn.

        Raises:
          ValueError: if the model has no template, or the template refuses the messages.
        """
        if self.chat_template is None:
            raise ValueError(f"{self.name} has no chat template; use a plain prompt.")
        try:
            return rendered(self.chat_template, messages, self.special or {})
        except TemplateError as error:
            raise ValueError(f"The chat template of {self.name} fails: {error}.") from error

    def answer(self, prompt: str, max_new_tokens: int = 32, marked: bool = False) -> str:
        """The model's greedy continuation of a prompt; ``marked`` as for :meth:`encode`.

        Raises:
          ValueError: as for :func:`~spexjax.models.llama.generate.greedy`.
        """
        ids, dtype = self.encode(prompt, marked), self.dtype
        params = self.placed_in(dtype)
        new = greedy(self.config, params, [ids], max_new_tokens, dtype=dtype)[0]
        return self.tokenizer.decode(new)


def load_language_model(
    folder: str | Path | None = None,
    dtype: Any = jnp.float32,
    mesh: jax.sharding.Mesh | None = None,
    revision: str | None = None,
) -> LanguageModel:
    """Reads a Hugging Face model; without one, the two-hop reader that ships with spexjax.

    Args:
      folder: holds ``config.json``, ``tokenizer.json`` and the weights; or the id of such a model
        on the hub.
      dtype: of the parameters; None keeps each as it is stored.
      mesh: for models larger than one device: where to spread the parameters, see
        :func:`~spexjax.models.llama.sharding.device_mesh`.
      revision: a branch, tag or commit of a hub id; becomes part of the model's name.

    Raises:
      FileNotFoundError: if the model or one of its files is missing.
      ConnectionError: if it is not in a folder or the cache and the hub cannot be reached.
      ValueError: if the model is not supported or a tensor does not fit; it is named. Or if there
        is a revision but no hub id.
    """
    if folder is None and revision is None:
        with resources.as_file(resources.files("spexjax.models.mini") / "two_hop") as path:
            return _read(path, EMBEDDED, dtype, mesh)
    path, name = located(folder, revision)
    return _read(path, name, dtype, mesh)


def _read(folder: Path, name: str, dtype: Any, mesh: jax.sharding.Mesh | None) -> LanguageModel:
    place = None if mesh is None else placement(read_llama_config(folder), mesh)
    config, params = load_llama(folder, dtype, place)
    tokenizer = load_tokenizer(folder)
    size = tokenizer.get_vocab_size()
    if size > config.vocab_size:
        raise ValueError(f"The tokenizer has {size} tokens, the model only {config.vocab_size}.")
    chat = read_chat(folder)
    return LanguageModel(
        config, params, tokenizer, chat.template, chat.special, name, chat.asked, mesh,
        Read(params, folder, None if dtype is None else jnp.dtype(dtype).name),
    )  # fmt: skip


class Chat(NamedTuple):
    """What a folder says of how its model is spoken to.

    Attributes:
      template: a Jinja template of messages, or None.
      special: the texts of the special tokens by their role.
      asked: a name of a prompt; "question" if the folder names none.
    """

    template: str | None
    special: Mapping[str, str]
    asked: str


def read_chat(folder: Path) -> Chat:
    """From ``tokenizer_config.json``, ``chat_template.jinja`` and ``chat_template.json``."""
    path = folder / "tokenizer_config.json"
    raw = read_json(path) if path.is_file() else {}
    template = raw.get("chat_template")
    if (folder / "chat_template.json").is_file():
        template = read_json(folder / "chat_template.json").get("chat_template")
    if (folder / "chat_template.jinja").is_file():
        template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    if isinstance(template, list):  # several by name
        named = {t["name"]: t["template"] for t in template}
        template = named.get("default")
    special = {
        role: token["content"] if isinstance(token, dict) else token
        for role, token in raw.items()
        if role.endswith("_token") and isinstance(token, str | dict)
    }
    return Chat(template, special, raw.get("prompt_template", "question"))
