"""How often the model that looks is right, and how often explanations find what it looked at.

``python -m spexjax.models.mini.vqa.evaluate`` prints both, of questions that were held out.
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from spexjax.explain import explain
from spexjax.models.llama.model import Llama, unembed
from spexjax.models.mini.two_hop.evaluate import Pairs, strongest_set
from spexjax.models.mini.vqa import grammar as g
from spexjax.models.mini.vqa.drawing import picture
from spexjax.models.mini.vqa.scenes import Example, held_out_examples
from spexjax.models.values.image_question import visual_value
from spexjax.models.vlm.config import VlmConfig
from spexjax.models.vlm.language import (
    VisionLanguageModel,
    embedded,
    load_vision_language_model,
)
from spexjax.typing import Array

_ROWS = 50


def accuracy(
    model: VisionLanguageModel, count: int, least: int = 2, most: int = 10, seed: int = 1
) -> dict[str, float]:
    """The share of held-out questions whose likeliest next token is the answer, by kind.

    Pictures are drawn large and go through the model's preprocessing, prompts are texts, as any
    user has them.

    Args:
      model: the model.
      count: questions of each kind.
      least, most: objects in a picture.
      seed: of all draws.
    """
    found = {}
    for kind, name in enumerate(g.QUESTIONS):
        examples = list(islice(held_out_examples(seed, least, most, (kind,)), count))
        right = sum(
            answer == e.answer
            for start in range(0, count, _ROWS)
            for answer, e in _answers(model, examples[start : start + _ROWS], seed)
        )
        found[name] = right / count
    return found | {"all": float(np.mean(list(found.values())))}


def pairs(
    model: VisionLanguageModel, count: int, budget: int, method: str = "auto", seed: int = 0
) -> Pairs:
    """Explains held-out questions about two objects: is the strongest set their two cells?

    Args:
      model: the model; the value is the log-probability of its own answer.
      count: questions.
      budget: model calls for each.
      method, seed: as for :func:`spexjax.explain`.
    """
    tally = {True: [0, 0], False: [0, 0]}
    kinds = (g.LEFT, g.RIGHT, g.ABOVE, g.BELOW)
    for i, e in enumerate(islice(held_out_examples(seed + 1, 2, 10, kinds), count)):
        image = picture(e.objects, i)
        f = visual_value(model, image, e.question, cells=(g.SIDE, g.SIDE))
        found = explain(f, f.n, budget=budget, method=method, seed=seed)
        entry = tally[f.answer == e.answer]
        entry[0] += 1
        entry[1] += strongest_set(found, most=3) == e.cells
    return Pairs(*tally[True], *tally[False])


def _answers(
    model: VisionLanguageModel, examples: Sequence[Example], seed: int
) -> list[tuple[str, Example]]:
    prompts = [model.prompt(e.question) for e in examples]
    length = len(model.prompt(f"{g.QUESTIONS[g.LEFT]}").ids)
    ids = np.full((_ROWS, length), g.PAD, np.int32)
    images = np.zeros((_ROWS, *model.preprocessing(picture(examples[0].objects)).shape), np.float32)
    for i, (asked, e) in enumerate(zip(prompts, examples, strict=True)):
        ids[i, length - len(asked.ids) :] = asked.ids
        images[i] = model.preprocessing(picture(e.objects, seed * 100_003 + i))
    ids[len(examples) :] = ids[0]
    said = np.asarray(_next(model.config, model.placed, ids, images))
    return [(g.VOCABULARY[t], e) for t, e in zip(said.tolist(), examples, strict=False)]


@partial(jax.jit, static_argnums=0)
def _next(config: VlmConfig, params: Any, ids: Array, images: Array) -> Array:
    states = embedded(config, params, ids, ids == config.image_token_id, images)
    out: Any = Llama(config.text).apply({"params": params["text"]}, states, valid=ids != g.PAD)
    return jnp.argmax(unembed(config.text, params["text"], out[0][:, -1]), -1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints both as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", metavar="DIR", help="default: the embedded model")
    parser.add_argument("--questions", type=int, default=500, help="of each kind, to answer")
    parser.add_argument("--explained", type=int, default=40, help="of two objects, to explain")
    parser.add_argument("--budget", type=int, default=2000)
    parser.add_argument("--method", default="auto")
    given = parser.parse_args(arguments)
    model = load_vision_language_model(given.model)
    print(json.dumps(accuracy(model, given.questions), indent=2), flush=True)
    if given.explained:
        found = pairs(model, given.explained, given.budget, given.method)
        print(json.dumps(found._asdict()), flush=True)


if __name__ == "__main__":
    main()
