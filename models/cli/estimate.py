"""What a run will take: seconds of a local model, tokens and money of an endpoint."""

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Bool

    from spexjax.models.api.value import ApiValue

TRIED = 64
"""Masks that are tried at most."""
_PROMPTS = 256  # whose letters are counted at most
_LETTERS_PER_TOKEN = 4.0  # of English text; ideographs are counted as a token each
_FIRST_IDEOGRAPH = "\u2e80"


def seconds_per_call(f: Any, masks: "Bool[np.ndarray, 'N n']") -> float:
    """Seconds that a local value function takes for a mask, measured on a batch of them.

    Args:
      f: the value function; called twice, since the first time it compiles.
      masks: a sample of those to come; at most one batch of them is tried.
    """
    masks = masks[: min(getattr(f, "batch_size", TRIED), TRIED)]
    f(masks)
    start = time.perf_counter()
    f(masks)
    return (time.perf_counter() - start) / len(masks)


def tokens_per_call(f: "ApiValue", masks: "Bool[np.ndarray, 'N n']") -> tuple[float, float]:
    """Tokens that a mask's requests send and may get back, guessed from letters.

    An endpoint's tokenizer is not known: four letters of most scripts are a token, and an
    ideograph is one.
    """
    masks = masks[:_PROMPTS]
    sent = answered = 0.0
    for mask in masks:
        for request in f.scorer.requests(f.endpoint.model, f.source.prompt(mask)):
            body = request.body
            said = body.get("prompt") or "".join(m["content"] for m in body.get("messages", ()))
            wide = sum(letter >= _FIRST_IDEOGRAPH for letter in said)
            sent += wide + (len(said) - wide) / _LETTERS_PER_TOKEN
            answered += body.get("max_tokens") or 1
    return sent / len(masks), answered / len(masks)


def of_endpoint(
    f: "ApiValue",
    masks: "Bool[np.ndarray, 'N n']",
    calls: int,
    price: tuple[float, float] | None,
) -> str:
    """Tokens, price and time of so many calls, in words.

    Args:
      f: of an endpoint, which is not asked.
      masks: some of those to come.
      calls: masks that will be asked for.
      price: dollars for a million tokens sent, and for a million received.
    """
    sent, answered = (calls * tokens for tokens in tokens_per_call(f, masks))
    cost = "--price IN,OUT (dollars per million tokens) tells the cost"
    if price is not None:
        cost = f"about ${(sent * price[0] + answered * price[1]) / 1e6:,.2f}"
    rounds = math.ceil(calls / f.endpoint.concurrency)
    return (
        f"about {sent:,.0f} tokens sent and up to {answered:,.0f} received, guessed from letters; "
        f"{cost}; {duration(rounds)} if a request takes a second"
    )


def duration(seconds: float) -> str:
    """A time in the unit that suits it."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
