"""Trains the embedded two-hop model: ``python -m spexjax.models.mini.two_hop.train``.

A small Llama learns to look up facts in its context and to look up what it found. What makes this
quick enough for one CPU core:

- Every context gets several questions, each of which sees the context and itself; the context is
  read once. Only answers (and the end after them) are learnt.
- All layers but the first share their weights while training, so that the second hop is learnt
  with the first. Stored are ordinary layers.
- The start: heads of the first layer look 1, 2, 3, … tokens back (their biases make a rotary
  kernel), in the other layers queries and keys start out equal and values are handed on, so that
  tokens attend to their likes (mimetic initialisation, Trockman and Kolter 2023).
- The hidden matrices are trained with Muon (Jordan et al. 2024), the rest with Adam.
- A curriculum: few sentences first.

Sentences are masked in half of the contexts, and a question whose facts are masked or missing has
the answer "unknown". Targets are smoothed, which gives all wrong answers about the same
log-probability. So f(m) = log p(answer | context masked by m) is nearly an AND of the supporting
sentences.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from spexjax.models.llama.config import LlamaConfig
from spexjax.models.llama.weights import save_llama
from spexjax.models.mini.loop import asked, optimizer, train
from spexjax.models.mini.two_hop.batches import Batch, context_length, draw_batch
from spexjax.models.mini.two_hop.evaluate import accuracy
from spexjax.models.mini.two_hop.grammar import IDS
from spexjax.models.mini.two_hop.learner import (
    Settings,
    first_weights,
    geometry,
    loss,
    unshared,
)
from spexjax.models.mini.word_level import save_word_tokenizer, word_tokenizer
from spexjax.typing import Array


def batches(s: Settings, start: int) -> Iterator[Batch]:
    """The batches of all steps from ``start``; each depends on the seed and its step only."""
    step = 0
    for stage in s.stages:
        for _ in range(stage.steps):
            if step >= start:
                rng = np.random.default_rng([s.seed, step])
                n = int(rng.integers(stage.least, stage.most + 1))
                # Two lengths per stage, so that few programs are compiled.
                room = next(m for m in (stage.most // 2, stage.most) if m >= n)
                yield draw_batch(
                    rng, stage.rows, n, s.questions, context_length(room), s.two_hops, s.mask_rows
                )
            step += 1


def fit(
    config: LlamaConfig,
    s: Settings,
    checkpoint: Path,
    keep_every: float,
    save: Callable[[Any], None],
    log: Callable[[str], None],
) -> Any:
    """Trains and returns the weights; goes on from ``checkpoint`` if that is there.

    Args:
      config, s: what to train.
      checkpoint: an .npz file with the state.
      keep_every: seconds from one checkpoint to the next.
      save: gets the parameters at each checkpoint and at the end.
      log: gets lines of text.
    """
    weights = first_weights(config, s)
    first = (weights, optimizer(s).init(weights), jnp.zeros((), jnp.int32), jnp.zeros(()))
    weights = train(
        first, _step(config, s), partial(batches, s), s.steps, checkpoint, keep_every,
        lambda weights: save(unshared(config, weights)), _summary, log,
    )  # fmt: skip
    return unshared(config, weights)


@lru_cache(maxsize=4)
def _step(config: LlamaConfig, s: Settings) -> Callable[[tuple, Batch], tuple[tuple, Array, Array]]:
    """(state, batch) to the next state, the loss, and which answers are right.

    A state is the weights, the optimizer's memory, steps done and seconds spent.
    """
    update = optimizer(s)

    @partial(jax.jit, donate_argnums=0)
    def step(state: tuple, batch: Batch) -> tuple:
        weights, memory, count, seconds = state
        (value, right), grads = jax.value_and_grad(partial(loss, config, s), has_aux=True)(
            weights, batch
        )
        updates, memory = update.update(grads, memory, weights)
        return (optax.apply_updates(weights, updates), memory, count + 1, seconds), value, right

    return step


def _summary(recent: list[tuple]) -> str:
    columns = ((value, right, batch.known, batch.two_hops) for value, right, batch in recent)
    values, right, known, two = (
        np.concatenate([np.asarray(a).reshape(-1) for a in part])
        for part in zip(*columns, strict=True)
    )
    kinds = {"one hop": known & ~two, "two hops": known & two, "unknown": ~known}
    parts = [f"{name} {right[which].mean():.3f}" for name, which in kinds.items()]
    return ", ".join([f"loss {values.mean():.3f}", *parts])


@dataclass(frozen=True)
class Run:
    """What the command is asked for."""

    settings: Settings
    out: Path = Path(__file__).parent
    """folder of the model"""
    checkpoint: Path = Path("two_hop.npz")
    """the state, to go on from"""
    keep_every: float = 180
    """seconds from one checkpoint to the next"""
    count: int = 500
    """questions to test with, each kind"""


def main(arguments: list[str] | None = None) -> None:
    """Reads the command line, trains, prints the figures."""
    given = asked(Run(Settings()), "two_hop", __doc__ or "", arguments)
    s = given.settings
    config = geometry(s)

    def save(params: Any) -> None:
        save_llama(given.out, config, params)
        save_word_tokenizer(given.out, word_tokenizer(IDS), s.positions)

    log = partial(print, flush=True)
    log(str(s))
    params = fit(config, s, given.checkpoint, given.keep_every, save, log)
    found = {
        f"{n} sentences, {hops} hops": accuracy(config, params, n, hops, given.count)
        for n in (8, 16, 32) for hops in (1, 2)
    }  # fmt: skip
    log(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
