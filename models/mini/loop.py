"""The loop in which the embedded models that answer are trained: steps, checkpoints, lines of text.

A state is the weights, the optimizer's memory, steps done and seconds spent.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

_LINE_EVERY = 25
Run = TypeVar("Run")


class Rates(Protocol):
    """How fast a model learns."""

    @property
    def steps(self) -> int:
        """Of the whole run."""

    @property
    def warmup(self) -> int:
        """Steps until rates are full."""

    @property
    def decay(self) -> float:
        """Share of the steps, at the end, in which they fall to 0."""

    @property
    def muon_rate(self) -> float:
        """Of the matrices of the layers."""

    @property
    def adam_rate(self) -> float:
        """Of the rest."""


def optimizer(s: Rates) -> optax.GradientTransformation:
    """Muon for the matrices of the layers, Adam for the rest; warm-up, constant, down to 0."""

    def schedule(step: Any) -> Any:
        left = (s.steps - step) / (s.decay * s.steps)
        return jnp.clip(jnp.minimum((step + 1) / s.warmup, left), 0.0, 1.0)

    def matrices(weights: Any) -> Any:
        """The last two axes of kernels; layers may be stacked on one before them."""
        return jax.tree_util.tree_map_with_path(
            lambda path, a: optax.contrib.MuonDimensionNumbers(a.ndim - 2, a.ndim - 1)
            if path[-1].key == "kernel" else None, weights
        )  # fmt: skip

    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.contrib.muon(
            lambda step: s.muon_rate * schedule(step),
            adam_learning_rate=lambda step: s.adam_rate * schedule(step),
            muon_weight_dimension_numbers=matrices,
        ),
    )


def train(
    first: tuple,
    step: Callable[[tuple, Any], tuple],
    batches: Callable[[int], Iterator[Any]],
    steps: int,
    checkpoint: Path,
    keep_every: float,
    save: Callable[[Any], None],
    summary: Callable[[list[tuple]], str],
    log: Callable[[str], None],
) -> Any:
    """Trains and returns the weights; goes on from ``checkpoint`` if that is there.

    Args:
      first: the state to start from.
      step: (state, batch) to the next state and what else is to be summed up.
      batches: from the number of steps done to the batches that follow.
      steps: of the whole run.
      checkpoint: an .npz file with the state.
      keep_every: seconds from one checkpoint to the next.
      save: gets the weights at each checkpoint and at the end.
      summary: a line about what steps gave beside states, with the batch of each.
      log: gets lines of text.
    """
    state = first
    leaves, tree = jax.tree.flatten(state)
    if checkpoint.exists():
        with np.load(checkpoint) as stored:
            leaves = [jnp.asarray(stored[str(i)], leaf.dtype) for i, leaf in enumerate(leaves)]
        state = jax.tree.unflatten(tree, leaves)
        log(f"goes on from step {int(state[2])}")

    began = kept = time.perf_counter()
    recent: list[tuple] = []
    for batch in batches(int(state[2])):
        state, *more = step(state, batch)
        recent.append((*more, batch))
        if len(recent) == _LINE_EVERY:
            log(f"step {int(state[2])} of {steps}, {summary(recent)}, "
                f"{time.perf_counter() - began:.0f} s")  # fmt: skip
            recent = []
        now = time.perf_counter()
        if now - kept > keep_every or int(state[2]) == steps:
            state = (*state[:3], state[3] + (now - kept))
            kept = now
            part = checkpoint.with_suffix(".part.npz")
            arrays: dict[str, Any] = {
                str(i): np.asarray(a) for i, a in enumerate(jax.tree.leaves(state))
            }
            np.savez(part, **arrays)
            part.replace(checkpoint)
            save(state[0])
    log(f"{float(state[3]):.0f} s of training in all")
    return state[0]


def asked(default: Run, name: str, about: str, arguments: list[str] | None) -> Run:
    """What the command line of a trainer asks for; what is not given stays as in ``default``."""
    return tyro.cli(
        type(default),
        default=default,
        args=arguments,
        prog=f"python -m spexjax.models.mini.{name}.train",
        description=about.split("\n")[0],
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
    )
