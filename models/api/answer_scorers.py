"""log p(answer | prompt) where a server is asked for the answer's log-probabilities alone.

An echo (:class:`~spexjax.models.api.scorers.AnswerLogprob`) sends back those of the whole prompt.
vLLM and SGLang have ways of their own, which take tokens: the prompt is tokenized here, as the
server's model does it, so its tokenizer must be at hand. Where the answer is one token, no
log-probability of the prompt is asked for at all, and servers may reuse what they have cached of
it: vLLM reads no cache for requests that want log-probabilities of the prompt.
"""

import base64
import binascii
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spexjax.models.api.scorers import (
    COMPLETIONS,
    AnswerLogprob,
    Request,
    Scored,
    Scorer,
    Unusable,
    number,
    only_choice,
    part,
)
from spexjax.models.checkpoints.hub import located
from spexjax.models.text.answers import answer_tokens
from spexjax.models.text.tokenizing import load_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# Routes beside the OpenAI-compatible ones.
VLLM_GENERATE, SGLANG_GENERATE = "/inference/v1/generate", "/generate"


class _Words(NamedTuple):
    """A tokenizer by itself."""

    tokenizer: "Tokenizer"
    name: str


@lru_cache(maxsize=4)
def _words(name: str) -> _Words:
    path, known = located(name, None)
    return _Words(load_tokenizer(path), known)


def _tokens(tokenizer: str, prompt: str, answer: str) -> tuple[list[int], list[int]]:
    """Of the prompt, and those that the answer adds."""
    words = _words(tokenizer)
    return words.tokenizer.encode(prompt).ids, list(answer_tokens(words, prompt, False, answer))


@dataclass(frozen=True)
class VllmLogprob:
    """log p(answer | prompt) from vLLM, by ``prompt_logprob_token_ids`` or, for one token, alone.

    Several tokens are scored by ``/inference/v1/generate``, which vLLM has since September 2026,
    with its V2 model runner; the reply is a base64 ``.npy``, float32 (tokens, 1). One token is
    sampled by ``/v1/completions`` with nothing else allowed; servers report what it had before
    (``--logprobs-mode raw_logprobs``, the default).

    Attributes:
      answer: the continuation.
      tokenizer: of the server's model, a folder or the id of one on the hub.
    """

    answer: str
    tokenizer: str

    def requests(self, model: str, prompt: str) -> Sequence[Request]:
        before, ids = _tokens(self.tokenizer, prompt, self.answer)
        if len(ids) == 1:
            body: dict[str, Any] = {
                "model": model, "prompt": before, "max_tokens": 1, "temperature": 1,
                "logprobs": 0, "allowed_token_ids": ids,
            }  # fmt: skip
            return [Request(COMPLETIONS, body)]
        sampling = {
            "max_tokens": 1,
            "temperature": 1,
            "prompt_logprob_token_ids": [[token] for token in ids],
            "prompt_logprob_start": len(before) - 1,
        }
        body = {"model": model, "token_ids": [*before, *ids], "sampling_params": sampling}
        return [Request(VLLM_GENERATE, body)]

    def check(self, prompt: str, reply: Mapping[str, Any]) -> None:
        self.value(prompt, [reply])

    def value(self, prompt: str, replies: Sequence[Mapping[str, Any]]) -> Scored:
        _, ids = _tokens(self.tokenizer, prompt, self.answer)
        if len(ids) == 1:
            logprobs = part(only_choice(replies[0]).get("logprobs"), "logprobs")
            values = logprobs.get("token_logprobs")
            if not isinstance(values, list) or len(values) != 1:
                raise Unusable("the reply has no token_logprobs")
            if number(values[0]) == 0:
                raise Unusable(
                    "the server reports log-probabilities of what it allows; start it with "
                    "--logprobs-mode raw_logprobs"
                )
            return Scored(number(values[0]))
        found = _array(replies[0].get("prompt_token_id_logprobs"))
        if found.shape != (len(ids), 1):
            raise Unusable(f"the reply has log-probabilities of shape {found.shape}")
        return Scored(math.fsum(number(value) for value in found[:, 0].tolist()))


@dataclass(frozen=True)
class SglangLogprob:
    """log p(answer | prompt) from SGLang's ``/generate``, by ``logprob_start_len``.

    One token is not put behind the prompt; its log-probability there is asked for by
    ``token_ids_logprob``.

    Attributes:
      answer: the continuation.
      tokenizer: of the server's model, a folder or the id of one on the hub.
    """

    answer: str
    tokenizer: str

    def requests(self, model: str, prompt: str) -> Sequence[Request]:
        before, ids = _tokens(self.tokenizer, prompt, self.answer)
        body = {"sampling_params": {"max_new_tokens": 1, "temperature": 1}, "return_logprob": True}
        if len(ids) == 1:
            alone = {"input_ids": before, "logprob_start_len": -1, "token_ids_logprob": ids}
            return [Request(SGLANG_GENERATE, body | alone)]
        # The first token from the start on has no log-probability, so it is the prompt's last.
        whole = {"input_ids": [*before, *ids], "logprob_start_len": len(before) - 1}
        return [Request(SGLANG_GENERATE, body | whole)]

    def check(self, prompt: str, reply: Mapping[str, Any]) -> None:
        self.value(prompt, [reply])

    def value(self, prompt: str, replies: Sequence[Mapping[str, Any]]) -> Scored:
        _, ids = _tokens(self.tokenizer, prompt, self.answer)
        meta = part(replies[0].get("meta_info"), "meta_info")
        name = "output_token_ids_logprobs" if len(ids) == 1 else "input_token_logprobs"
        listed = meta.get(name)
        if len(ids) == 1 and isinstance(listed, list) and listed:
            listed = listed[0]
        if not isinstance(listed, list) or len(listed) < len(ids):
            raise Unusable(f"the reply has no {name}")
        listed = listed[-len(ids) :]
        if not all(isinstance(entry, list) and len(entry) >= 2 for entry in listed):
            raise Unusable(f"the reply's {name} are no triples")
        if [entry[1] for entry in listed] != ids:
            raise Unusable(f"the reply's {name} are not of the answer's tokens")
        return Scored(math.fsum(number(entry[0]) for entry in listed))


@dataclass(frozen=True)
class ServedLogprob:
    """log p(answer | prompt) in whichever way the server knows: vLLM's, SGLang's, or by echo.

    The first prompt tells: each way is tried on it, once, until one gives a value. (Not for batch
    files, which nobody answers at once.)

    Attributes:
      answer: the continuation.
      tokenizer: of the server's model, a folder or the id of one on the hub.
    """

    answer: str
    tokenizer: str

    @property
    def ways(self) -> tuple[Scorer, ...]:
        """What to try, the most frugal first."""
        named = self.answer, self.tokenizer
        spaced = self.answer if self.answer[:1].isspace() else f" {self.answer}"
        return VllmLogprob(*named), SglangLogprob(*named), AnswerLogprob(spaced)

    def requests(self, model: str, prompt: str) -> Sequence[Request]:
        return self.ways[-1].requests(model, prompt)

    def check(self, prompt: str, reply: Mapping[str, Any]) -> None:
        self.ways[-1].check(prompt, reply)

    def value(self, prompt: str, replies: Sequence[Mapping[str, Any]]) -> Scored:
        return self.ways[-1].value(prompt, replies)


def _array(text: Any) -> np.ndarray:
    """A float32 array from base64 of an ``.npy`` file."""
    if not isinstance(text, str):
        raise Unusable("the reply has no prompt_token_id_logprobs")
    try:
        found = np.load(io.BytesIO(base64.b64decode(text, validate=True)), allow_pickle=False)
    except (binascii.Error, ValueError, EOFError, OSError) as error:
        raise Unusable("the reply's prompt_token_id_logprobs are no .npy in base64") from error
    if not isinstance(found, np.ndarray) or found.dtype != np.float32:
        raise Unusable("the reply's prompt_token_id_logprobs are not float32")
    return found
