"""Parts of a language model as features: masks of components in, how likely the answers are out.

A component that a mask switches off is ablated: what it computes becomes zero, its mean, or what it
computes for another prompt (see :mod:`~spexjax.models.llama.edits`). No prefix can be shared, since
other components leave other keys and values.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from spexjax.models.checkpoints.store_key import text_store_key
from spexjax.models.llama.language import LanguageModel
from spexjax.models.llama.teacher_forcing import (
    Answer,
    AnswerScore,
)
from spexjax.models.text.masking import bucket
from spexjax.models.values.asked import Asked, questions_of, row_of
from spexjax.models.values.baselines import Ablation, Bases, baselines
from spexjax.models.values.batching import BatchedValue
from spexjax.models.values.component import Component, Kind, chosen_components, columns_of
from spexjax.models.values.component_programs import (
    full_program,
    gradient_program,
    masked_program,
)
from spexjax.models.values.devices import rows_for
from spexjax.typing import Array, ArrayLike

__all__ = ["Asked", "Component", "ComponentValue", "component_value", "head_value"]

_SCREENED_AT = 0.75


@dataclass(eq=False)
class ComponentValue(BatchedValue):
    """f(m): the score of answers with the components that m keeps; by :func:`component_value`.

    Attributes:
      model: the model.
      asked: what is scored.
      tokens: of each prompt with its answer but the last token.
      answers: the tokens of each answer, and its competitors.
      kind: the score.
      components: what the features are.
      ablation: what becomes of those that are masked.
      vectors: float (K, dim), the directions among the components, or None.
      bases: what each question's ablated activations become.
      rescale: whether the heads that a layer keeps make up for the others.
      each: whether the values of questions stay apart, (N, questions).
      rows: rows per device and batch; halved when a device runs out of memory.
      dtype: computed in.
      program: one batch of masks and one prompt.
    """

    model: LanguageModel
    asked: tuple[Asked, ...]
    tokens: tuple[tuple[int, ...], ...]
    answers: tuple[Answer, ...]
    kind: AnswerScore
    components: tuple[Component, ...]
    ablation: Ablation
    vectors: Float[np.ndarray, "K dim"] | None
    bases: tuple[Bases, ...]
    rescale: bool
    each: bool
    rows: int
    dtype: Any
    program: Callable[..., Array]

    @property
    def n(self) -> int:
        """The number of components."""
        return len(self.components)

    @property
    def words(self) -> tuple[str, ...]:
        """``L2 H5``: head 5 of layer 2, both from 0."""
        return tuple(map(str, self.components))

    @property
    def description(self) -> str:
        """The model and what its value is, in words."""
        kinds = " and ".join(dict.fromkeys(c.kind for c in self.components))
        mean = "" if self.each else "mean "
        return f"{self.model.name}, {mean}{self.kind} of {len(self.asked)} answers, by {kinds}"

    @property
    def store_key(self) -> str:
        """What a journal of calls knows this function by: all that its values depend on."""
        return text_store_key(
            self.model, self.description, tokens=self.tokens, answers=self.answers,
            kind=self.kind, components=self.components, dtype=str(self.dtype),
            ablation=self.ablation, rescale=self.rescale, vectors=self.vectors, bases=self.bases,
        )  # fmt: skip

    @property
    def longest(self) -> int:
        """Tokens of the longest row, with padding."""
        return bucket(max(len(ids) for ids in self.tokens))

    def lengths(self, masks: Bool[np.ndarray, "N n"]) -> Int[np.ndarray, "N"]:
        """Tokens of the longest prompt, whatever the mask."""
        return np.full(len(masks), self.longest)

    def batch(self, length: int, masks: Array) -> Array:
        """Values of a batch; see :class:`BatchedValue`."""
        values = [self.program(None, shared, masks) for shared in self._shared]
        return jnp.stack(values, axis=-1) if self.each else sum(values[1:], values[0])

    def trimmed(self, values: Float[np.ndarray, "rows *K"]) -> Float[np.ndarray, "rows *K"]:
        """The mean, from the sum."""
        return values if self.each else values / np.float32(len(self.asked))

    def subset(self, chosen: Sequence[int]) -> "ComponentValue":
        """The same with some of the components as features; the others stay whole.

        Raises:
          ValueError: if none is chosen.
        """
        if len(chosen) == 0:
            raise ValueError("choose at least one component.")
        return replace(self, components=tuple(self.components[i] for i in chosen))

    @cached_property
    def _shared(self) -> list[tuple]:
        """For each prompt what the program needs beside masks, on the devices."""
        params = self.model.placed_in(self.dtype)
        columns = columns_of(self.components, self.model.config.n_layers)
        found = []
        for tokens, answer, bases in zip(self.tokens, self.answers, self.bases, strict=True):
            row, answer = self.devices.put((row_of(tokens), answer))
            if self.kind == "negative-kl":
                full = full_program(self.model.config, self.dtype, self.devices)
                answer = answer._replace(full=full(params, row, answer))
            rest = self.devices.put((columns, self.vectors, bases))
            found.append((params, row, answer, *rest))
        return found


def attribution_patching(f: ComponentValue, at: float = 1.0) -> Float[np.ndarray, "n"]:
    """What each component costs, f(all but i) − f(1…1), to first order: AtP.

    −∂f/∂m_i at m = 1, since a masked activation a becomes m · a + (1 − m) · base: Σ (base − a) ·
    ∂f/∂a over tokens and units (Kramár et al. 2024, arXiv 2403.00745, eq. 4). One pass forward and
    one back for each question, for all components at once.

    Args:
      f: the value function.
      at: where on the way from all to none, m = at · (1…1), the derivative is taken. Somewhat
        below 1 a model that is sure of its answer has left the plateau on which nothing matters
        (as on the path of integrated gradients, Sundararajan et al. 2017).

    Raises:
      ValueError: where kept heads are rescaled, which has no derivative.
    """
    if f.rescale:
        raise ValueError("attribution patching needs rescale=False.")
    mean = np.zeros(bucket(f.n))
    for shared in f._shared:
        found = gradient_program(f.model.config, f.dtype, f.kind)(
            jnp.full((1, bucket(f.n)), float(at)), shared
        )
        mean -= f.devices.fetch(found)[0] / len(f.asked)
    return mean[: f.n].astype(np.float32)


def component_value(
    model: LanguageModel,
    questions: Sequence[Asked],
    components: Kind | Sequence[Kind] | Sequence[Component] = "heads",
    ablation: Ablation = "zero",
    score: AnswerScore = "log-probability",
    layers: Sequence[int] | None = None,
    directions: tuple[Sequence[int], Float[ArrayLike, "K dim"]] | None = None,
    most: int | None = None,
    rescale: bool = False,
    each: bool = False,
    dtype: Any = None,
    rows: int | None = None,
) -> ComponentValue:
    """The value function of a model's components on some questions.

    Args:
      model: the model.
      questions: prompts and answers; f is the mean of their scores.
      components: one or more kinds of :class:`Component`, of all of which each is a feature, or
        single ones. "states" are the tokens of the prompts, which then must be equally long.
      ablation: what a masked component's activations become: "zero"; their "mean" over all tokens
        of all questions; or "resample", what they are for another prompt, token by token from the
        end: :attr:`Asked.other`, or that of the next question.
      score: a number for every answer: "log-probability", "mean-log-probability", "negative-kl" of
        its tokens to what the whole model says, or "log-odds" or "margin" among its choices.
      layers: whose components are features; all if not given.
      directions: for each the layer before which it is taken out of the residual stream, and its
        vector: rows of a sparse autoencoder's decoder, say.
      most: only so many components, those of largest effect to first order; see
        :func:`attribution_patching`, at 0.75. Ask for twice as many as are wanted.
      rescale: multiply what the kept heads of a layer add by H / kept, so that it has the size it
        had; with ``ablation="zero"``.
      each: keep the scores of questions apart: values (N, questions).
      dtype: to compute in, float32 or bfloat16; that of the parameters if not given.
      rows: rows per device and batch; chosen from the length if not given.

    Raises:
      TooLongError: if a prompt is too long for the model; it is a ValueError.
      ValueError: if nothing is asked, an answer is empty, a component does not exist or comes
        twice, or the score is a vector.
    """
    c, kind = model.config, jnp.dtype(model.dtype if dtype is None else dtype)
    if ablation not in get_args(Ablation):
        raise ValueError(f"ablation must be one of {get_args(Ablation)}, got {ablation!r}.")
    if rescale and ablation != "zero":
        raise ValueError("rescale needs ablation='zero'.")
    tokens, answers, prompts = questions_of(model, questions, score)
    vectors = None if directions is None else np.asarray(directions[1], np.float32)
    found = chosen_components(c, components, layers, prompts, directions)
    length = bucket(max(len(row) for row in tokens))
    bases = baselines(
        model, questions, tokens, tuple(dict.fromkeys(x.kind for x in found)), ablation, kind,
        None if directions is None else (np.asarray(directions[0], np.int32), vectors),
    )  # fmt: skip
    if rows is None:
        rows = rows_for(model, (c, length), dtype=kind)
    f = ComponentValue(
        model, tuple(questions), tokens, answers, score, found, ablation, vectors, bases, rescale,
        each, rows, kind, masked_program(c, kind, score, rescale, model.devices),
    )  # fmt: skip
    if most is not None and most < f.n:
        if most < 1:
            raise ValueError(f"most must be at least 1, got {most}.")
        f = f.subset(
            np.sort(np.argsort(-np.abs(attribution_patching(f, _SCREENED_AT)))[:most]).tolist()
        )
    return f


def head_value(
    model: LanguageModel,
    asked: Sequence[Asked],
    score: AnswerScore = "log-probability",
    layers: Sequence[int] | None = None,
    dtype: Any = None,
    rows: int | None = None,
) -> ComponentValue:
    """:func:`component_value` of attention heads: masked ones add nothing, kept ones make up."""
    return component_value(
        model, asked, score=score, layers=layers, rescale=True, dtype=dtype, rows=rows
    )
