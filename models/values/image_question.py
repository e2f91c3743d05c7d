"""Value functions of questions about images: masks of cells in, how likely the answer is out.

What stands before the image in the prompt is the same for all masks: its keys and values are
computed once. Each masked image passes the tower, and its states, the question and the answer the
language model, in one teacher-forced pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from spexjax.models.checkpoints.store_key import text_store_key
from spexjax.models.llama.model import Cache, Llama, unembed
from spexjax.models.llama.teacher_forcing import Answer, AnswerScore, answer_values
from spexjax.models.nn.devices import Devices
from spexjax.models.text.answers import answer_tokens
from spexjax.models.text.masking import MaskedRows, bucket
from spexjax.models.values.answers import among_choices, padded_answer
from spexjax.models.values.devices import rows_for
from spexjax.models.values.image import (
    Cells,
    ImageTemplate,
    MaskableImage,
    MaskedImage,
    composed,
    maskable_image,
)
from spexjax.models.values.language import prefix_cache
from spexjax.models.vlm.config import VlmConfig
from spexjax.models.vlm.language import VisionLanguageModel, VisualPrompt, embedded
from spexjax.models.vlm.model import image_embeddings, merged
from spexjax.typing import Array, ArrayLike
from spexjax.values.images import Replacement


class Rest(NamedTuple):
    """The prompt from the image on, and the answer but for its last token, padded behind.

    Attributes:
      ids: int32 (L,).
      where: bool (L,), True at image states.
      valid: bool (L,), False for padding.
    """

    ids: Int[ArrayLike, "L"]
    where: Bool[ArrayLike, "L"]
    valid: Bool[ArrayLike, "L"]


@dataclass(eq=False)
class VisualValue(MaskedImage):
    """f(m): the score of an answer about a masked image; made by :func:`visual_value`.

    Attributes:
      model: the model.
      source: the image and its cells.
      question: what is asked.
      asked: the prompt.
      answer: the text of the answer.
      answer_ids: its tokens.
      others: first tokens of the answers it competes with.
      kind: what the value is.
      rows: masks per device and batch; halved when a device runs out of memory.
      dtype: computed in.
      program: one batch, shared by prompts of one bucket of lengths.
    """

    model: VisionLanguageModel
    source: MaskableImage
    question: str
    asked: VisualPrompt
    answer: str
    answer_ids: tuple[int, ...]
    others: tuple[int, ...]
    kind: AnswerScore
    rows: int
    dtype: Any
    program: Callable[..., Array]

    @property
    def description(self) -> str:
        """The model and what its value is, in words."""
        return f"{self.model.name}, {self.kind} of {self.answer!r} to {self.question!r}"

    @property
    def store_key(self) -> str:
        """What a journal of calls knows this function by: all that its values depend on."""
        return text_store_key(
            self.model, self.description, template=self.source.template, ids=self.asked.ids,
            answer=self.answer_ids, others=self.others, kind=self.kind, dtype=str(self.dtype),
        )  # fmt: skip

    @property
    def start(self) -> int:
        """Tokens before the image, which all masks share."""
        return int(np.argmax(self.asked.where))

    @cached_property
    def rest(self) -> Rest:
        """What follows them, with the answer but for its last token."""
        return _rest(self.asked, self.start, self.answer_ids)

    @cached_property
    def shared(self) -> tuple:
        """What the program needs beside masks, on the devices."""
        answer = padded_answer(self.answer_ids, self.others)
        here = self.devices.put((self.source.template, self.rest, answer))
        return (self.model.placed_in(self.dtype), self._prefix, *here)

    def trimmed(self, values: Float[np.ndarray, "rows *K"]) -> Float[np.ndarray, "rows *K"]:
        """Values without what stands for padding."""
        if self.kind == "token-log-probabilities":
            return values[..., : len(self.answer_ids)]
        return values

    @cached_property
    def _prefix(self) -> Cache | None:
        """Keys and values of what stands before the image, on the devices."""
        ids, text = self.asked.ids[: self.start], self.model.config.text
        return prefix_cache(
            text, self.model.placed_in(self.dtype)["text"], ids, self.dtype, self.devices
        )


def visual_value(
    model: VisionLanguageModel,
    image: ArrayLike,
    question: str,
    answer: str | None = None,
    cells: Cells = (6, 8),
    score: AnswerScore = "log-probability",
    replacement: Replacement | UInt8[ArrayLike, "H W 3"] = "blur",
    radius: float | None = None,
    choices: Sequence[str] = (),
    max_new_tokens: int = 32,
    dtype: Any = jnp.float32,
    rows: int | None = None,
) -> VisualValue:
    """The value function of a question about an image under a vision–language model.

    Args:
      model: the model.
      image, cells, replacement, radius: what is masked and by what; see
        :func:`~spexjax.models.values.image.maskable_image`.
      question: what is asked.
      answer: whose likelihood is the value; the model's own greedy one about the whole image if
        not given (with ``choices``: the likeliest of them).
      score: "log-probability" of the answer, "mean-log-probability" per token,
        "token-log-probabilities" (a vector), or of its first token "log-odds" against all its
        competitors or the "margin" to the likeliest of them.
      choices: the answers that compete in "log-odds" or "margin", of different first tokens; the
        rest of the vocabulary if not given.
      max_new_tokens: at most so many are generated where no answer is given.
      dtype: to compute in, float32 or bfloat16.
      rows: masks per device and batch; chosen from the geometry if not given.

    Returns:
      f with ``f(masks)``, ``f.n``, ``f.words``, ``f.answer``; f(1…1) is the score about the whole
      image.

    Raises:
      ValueError: for an unknown option, an empty question or answer, a prompt that is too long
        for the model, or an image that cannot be cut so.
    """
    if score not in get_args(AnswerScore):
        raise ValueError(f"score must be one of {get_args(AnswerScore)}, got {score!r}.")
    if score == "negative-kl":
        raise ValueError("score = 'negative-kl' is for texts and components, not for images.")
    if choices and score not in ("log-odds", "margin"):
        raise ValueError("choices are for score = 'log-odds' or 'margin'.")
    config = model.config
    source = maskable_image(
        image, model.preprocessing, cells, replacement, radius, config.vision.side**2
    )
    asked = model.prompt(question)
    seen = np.asarray(source.template.image)
    text, ids, others = _chosen(model, seen, asked, answer, tuple(choices), max_new_tokens)
    length = len(asked.ids) + len(ids) - 1
    if length > config.text.max_position_embeddings:
        raise ValueError(
            f"the prompt and its answer, {length} tokens, exceed the model's "
            f"{config.text.max_position_embeddings} positions."
        )
    if rows is None:
        rows = rows_for(
            model, (config.text, length), (config.vision, config.vision.tokens), dtype=dtype
        )
    kind = jnp.dtype(dtype)
    return VisualValue(
        model=model, source=source, question=question, asked=asked, answer=text, answer_ids=ids,
        others=others, kind=score, rows=rows, dtype=kind,
        program=_program(config, kind, score, model.devices),
    )  # fmt: skip


def _chosen(
    model: VisionLanguageModel, seen: np.ndarray, asked: VisualPrompt, answer: str | None,
    choices: tuple[str, ...], max_new_tokens: int,
) -> tuple[str, tuple[int, ...], tuple[int, ...]]:  # fmt: skip
    """The answer's text and tokens, and the first tokens of its competitors."""
    if choices:
        likely = partial(_next, model, seen, asked)
        return among_choices(model, asked.text, asked.marked, choices, answer, likely)
    if answer is not None:
        return answer, answer_tokens(model, asked.text, asked.marked, answer), ()
    ids = tuple(model.continued(seen, asked, max_new_tokens))
    if not ids:
        raise ValueError(f"{model.name} ends without an answer; give one.")
    return str(model.tokenizer.decode(list(ids))).strip(), ids, ()


def _next(model: VisionLanguageModel, seen: np.ndarray, asked: VisualPrompt) -> np.ndarray:
    """Logits of the token that follows the prompt."""
    config, params = model.config, model.placed
    states = embedded(config, params, asked.ids[None], asked.where[None], seen[None])
    hidden: Any = Llama(config.text).apply({"params": params["text"]}, states)
    return model.devices.fetch(unembed(config.text, params["text"], hidden[0][0, -1]))


def _rest(asked: VisualPrompt, start: int, answer: tuple[int, ...]) -> Rest:
    ids = np.concatenate([asked.ids[start:], np.array(answer[:-1], np.int32)])
    where = np.pad(asked.where[start:], (0, len(answer) - 1))
    fill = (0, bucket(len(ids), parts=4) - len(ids))
    return Rest(np.pad(ids, fill), np.pad(where, fill), np.pad(np.ones(len(ids), bool), fill))


@lru_cache(maxsize=32)
def _program(
    config: VlmConfig, dtype: Any, kind: AnswerScore, devices: Devices
) -> Callable[..., Array]:
    """One batch: (_, (params, prefix, template, rest, answer), masks) to values."""

    def run(
        length: int, params: Any, prefix: Cache | None, template: ImageTemplate, rest: Rest,
        answer: Answer, bits: Array,
    ) -> Array:  # fmt: skip
        images = image_embeddings(config, params, composed(template, bits), dtype)
        ids, where, valid = (jnp.broadcast_to(a, (len(bits), len(a))) for a in rest)
        states = merged(params, ids, where, images)
        rows = MaskedRows(ids, valid, jnp.full_like(ids, -1))
        return answer_values(
            config.text, params["text"], rows, answer, kind, 0, prefix, dtype=dtype,
            embeddings=states,
        )  # fmt: skip

    return devices.compile(run)
