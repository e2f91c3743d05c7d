"""Trains the embedded model that looks: ``python -m spexjax.models.mini.vqa.train``.

A small SmolVLM learns to find shapes in a picture, to count them and to tell how two lie to each
other. What makes this quick enough for one CPU core:

- Every patch is a cell. Every picture gets several questions, each of which sees the picture and
  itself; the picture is looked at once. Only answers (and the end after them) are learnt.
- While the model is young its inside is guided, by losses that fade: its image states tell what is
  in a cell and where; one head of the second layer looks, from each noun, at the cells that fit it
  and at [BOS] alike; the state behind it tells where the object is; that of the question mark in
  the third layer how two objects lie to each other.
- The start: heads of the first layer look 1, 2, 3, … tokens back (their biases make a rotary
  kernel), values are handed on (mimetic initialisation, Trockman and Kolter 2023), the position of
  a cell is the sum of its row's and its column's.
- The matrices of the layers are trained with Muon (Jordan et al. 2024), the rest with Adam.

Cells are masked in half of the pictures, by blur, their mean colour or black; what is masked is not
there. A question about the place of what is not there has the answer "unknown", and targets are
smoothed, which gives all wrong answers about the same log-probability. So f(m) = log p(answer |
picture masked by m) is nearly an AND of the two cells that a question of two objects rests on.
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

from spexjax.models.mini.loop import asked, optimizer, train
from spexjax.models.mini.vqa import grammar as g
from spexjax.models.mini.vqa.batches import Batch, draw_batch
from spexjax.models.mini.vqa.evaluate import accuracy
from spexjax.models.mini.vqa.folder import model_of, save_model
from spexjax.models.mini.vqa.learner import Settings, first_weights, geometry, loss
from spexjax.models.vlm.config import VlmConfig


def batches(s: Settings, start: int) -> Iterator[Batch]:
    """The batches of all steps from ``start``; each depends on the seed and its step only."""
    step = 0
    for stage in s.stages:
        for _ in range(stage.steps):
            if step >= start:
                rng = np.random.default_rng([s.seed, step])
                yield draw_batch(rng, s.rows, s.questions, stage.least, stage.most, s.mask_rows)
            step += 1


def fit(
    config: VlmConfig,
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
        lambda weights: save(weights["model"]), _summary, log,
    )  # fmt: skip
    return weights["model"]


@lru_cache(maxsize=4)
def _step(config: VlmConfig, s: Settings) -> Callable[[tuple, Batch], tuple]:
    """(state, batch) to the next state, the loss, which answers are right, what the inside lacks.

    A state is the weights, the optimizer's memory, steps done and seconds spent.
    """
    update = optimizer(s)

    @partial(jax.jit, donate_argnums=0)
    def step(state: tuple, batch: Batch) -> tuple:
        weights, memory, count, seconds = state
        guide = s.guide * jnp.clip(1 - count / (s.guided * s.steps), 0.0, 1.0)
        (value, (right, lacks)), grads = jax.value_and_grad(partial(loss, config, s), has_aux=True)(
            weights, batch, guide
        )
        updates, memory = update.update(grads, memory, weights)
        state = (optax.apply_updates(weights, updates), memory, count + 1, seconds)
        return state, value, right, lacks

    return step


def _summary(recent: list[tuple]) -> str:
    columns = ((value, right, batch.kind) for value, right, _, batch in recent)
    values, right, kind = (
        np.concatenate([np.asarray(a).reshape(-1) for a in part])
        for part in zip(*columns, strict=True)
    )
    lacks = np.mean([np.asarray(lacks) for _, _, lacks, _ in recent], axis=0)
    kinds = {
        "two objects": kind <= g.BELOW,
        "is there": np.isin(kind, (g.IS_THERE, g.IS_ANY)),
        "how many": np.isin(kind, (g.COUNT, g.COUNT_ANY)),
        "where": kind >= g.COLUMN,
    }
    parts = [f"{name} {right[which].mean():.3f}" for name, which in kinds.items()]
    inside = " ".join(f"{v:.2f}" for v in lacks)
    return ", ".join([f"loss {values.mean():.3f}", *parts, f"inside {inside}"])


@dataclass(frozen=True)
class Run:
    """What the command is asked for."""

    settings: Settings
    out: Path = Path(__file__).parent
    """folder of the model"""
    checkpoint: Path = Path("vqa.npz")
    """the state, to go on from"""
    keep_every: float = 180
    """seconds from one checkpoint to the next"""
    count: int = 200
    """questions of each kind to test with"""


def main(arguments: list[str] | None = None) -> None:
    """Reads the command line, trains, prints the figures."""
    given = asked(Run(Settings()), "vqa", __doc__ or "", arguments)
    s = given.settings
    config = geometry(s)
    log = partial(print, flush=True)
    log(str(s))
    params = fit(
        config, s, given.checkpoint, given.keep_every, partial(save_model, given.out, config), log
    )
    log(json.dumps(accuracy(model_of(config, params), given.count), indent=2))


if __name__ == "__main__":
    main()
