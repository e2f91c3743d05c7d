"""Figures of the two-hop model: ``python -m spexjax.models.mini.two_hop.evaluate``.

How many held-out questions it answers, and whether explanations of its answers find the facts that
lead to them: how often the set of largest |Möbius| among those of two to four sentences is exactly
the pair. Rightly and wrongly answered questions are counted apart.
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from spexjax.explain import explain
from spexjax.explanation import Explanation
from spexjax.models.llama.config import LlamaConfig
from spexjax.models.llama.language import LanguageModel, load_language_model
from spexjax.models.llama.model import Llama, unembed
from spexjax.models.mini.two_hop.batches import context_length
from spexjax.models.mini.two_hop.facts import held_out_examples
from spexjax.models.mini.two_hop.grammar import IDS, PAD, VOCABULARY
from spexjax.models.mini.word_level import word_tokenizer
from spexjax.models.values.language import language_value
from spexjax.typing import Array


class Pairs(NamedTuple):
    """How often an explanation's strongest set is the pair of facts; and of how many."""

    right: int
    found_when_right: int
    wrong: int
    found_when_wrong: int


def strongest_set(e: Explanation, least: int = 2, most: int = 4) -> tuple[int, ...]:
    """The set of largest |Möbius| among those of ``least`` to ``most`` features, () if none."""
    sets = e.interactions("Moebius", max_order=most)
    return next((members for members, _ in sets if len(members) >= least), ())


def pairs(
    model: LanguageModel, n: int, count: int, budget: int, method: str = "auto", seed: int = 0
) -> Pairs:
    """Explains two-hop questions about n sentences, whose facts were held out.

    Args:
      model: the model; the value is the log-probability of its own answer.
      n: sentences.
      count: questions.
      budget: model calls for each.
      method, seed: as for :func:`spexjax.explain`.
    """
    tally = {True: [0, 0], False: [0, 0]}
    for e in islice(held_out_examples(seed + 1, n, 2), count):
        f = language_value(model, e.context, e.question)
        found = strongest_set(explain(f, n, budget=budget, method=method, seed=seed))
        entry = tally[f.answer == e.answer]
        entry[0] += 1
        entry[1] += found == e.supporting
    return Pairs(*tally[True], *tally[False])


def accuracy(config: LlamaConfig, params: Any, n: int, hops: int, count: int) -> float:
    """The share of held-out questions whose likeliest next token is the answer.

    Prompts are tokenized texts, as any user of the model would write them.

    Args:
      config, params: the model.
      n: sentences per world.
      hops: 1 or 2.
      count: number of questions.
    """
    tokenizer = word_tokenizer(IDS)
    right = 0
    examples = list(islice(held_out_examples(0, n, hops), count))
    for start in range(0, count, 32):
        part = examples[start : start + 32]
        ids = np.zeros((32, context_length(n) + 10), np.int32)
        for row, e in zip(ids, part, strict=False):
            tokens = tokenizer.encode(f"{e.context} {e.question}").ids
            row[len(row) - len(tokens) :] = tokens
        said = np.asarray(_next(config, params, ids))[: len(part)]
        right += sum(VOCABULARY[t] == e.answer for t, e in zip(said.tolist(), part, strict=True))
    return right / count


@partial(jax.jit, static_argnums=0)
def _next(config: LlamaConfig, params: Any, ids: Array) -> Array:
    hidden, _ = Llama(config).apply({"params": params}, ids, valid=ids != PAD)
    return jnp.argmax(unembed(config, params, hidden[:, -1]), -1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints both tables as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", metavar="DIR", help="default: the embedded model")
    parser.add_argument("--sentences", type=int, nargs="*", default=[8, 12, 16, 24, 32])
    parser.add_argument("--questions", type=int, default=500, help="of each kind, to answer")
    parser.add_argument("--explained", type=int, default=20, help="of each size, to explain")
    parser.add_argument("--budget", type=int, default=2000)
    parser.add_argument("--method", default="auto")
    given = parser.parse_args(arguments)
    model = load_language_model(given.model)
    for n in given.sentences:
        one, two = (accuracy(model.config, model.params, n, h, given.questions) for h in (1, 2))
        line = {"sentences": n, "one hop": one, "two hops": two}
        if given.explained:
            found = pairs(model, n, given.explained, given.budget, given.method)
            line |= found._asdict()
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
