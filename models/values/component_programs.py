"""The programs of components as features: one batch of masks, one prompt."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from spexjax.models.llama.edits import Directions, Edits, Site
from spexjax.models.llama.model import LlamaConfig, head_factors
from spexjax.models.llama.teacher_forcing import (
    Answer,
    AnswerScore,
    answer_values,
    distributions,
)
from spexjax.models.nn.devices import Devices
from spexjax.models.text.masking import MaskedRows
from spexjax.models.values.asked import Row
from spexjax.models.values.baselines import Bases
from spexjax.models.values.component import Columns
from spexjax.typing import Array


@lru_cache(maxsize=32)
def masked_program(
    config: LlamaConfig, dtype: Any, kind: AnswerScore, rescale: bool, devices: Devices
) -> Callable[..., Array]:
    """(None, (params, one row, answer, columns, vectors, bases), masks) to values."""
    return devices.compile(_run(config, dtype, kind, rescale))


@lru_cache(maxsize=32)
def full_program(config: LlamaConfig, dtype: Any, devices: Devices) -> Callable[..., Array]:
    """What the whole model says: (params, row, answer) to log-probabilities (A, V)."""

    def run(params: Any, row: Row, answer: Answer) -> Array:
        one = MaskedRows(*(jnp.asarray(a)[None] for a in row))
        return distributions(config, params, one, answer, dtype=dtype)

    return devices.compile_once(run)


@lru_cache(maxsize=32)
def gradient_program(config: LlamaConfig, dtype: Any, kind: AnswerScore) -> Callable[..., Array]:
    """((params, …), masks (1, n)) to derivatives by the masks."""
    run = _run(config, dtype, kind, False)
    return jax.jit(jax.grad(lambda masks, shared: run(None, *shared, masks)[0]))


def _run(config: LlamaConfig, dtype: Any, kind: AnswerScore, rescale: bool) -> Callable[..., Array]:
    def run(
        _: None, params: Any, row: Row, answer: Answer, columns: dict[str, Columns],
        vectors: Array | None, bases: Bases, masks: Array,
    ) -> Array:  # fmt: skip
        batch = MaskedRows(*(jnp.broadcast_to(a, (len(masks), *jnp.shape(a))) for a in row))
        kept = masks.astype(jnp.float32)
        edits = _edits(config, batch.ids.shape[1], columns, vectors, bases, rescale, kept)
        return answer_values(config, params, batch, answer, kind, 0, edits=edits, dtype=dtype)

    return run


def _edits(
    config: LlamaConfig,
    length: int,
    columns: dict[str, Columns],
    vectors: Array | None,
    bases: Bases,
    rescale: bool,
    masks: Float[Array, "N columns"],
) -> Edits:
    """What masks take out."""
    units = {"heads": config.n_heads, "neurons": config.hidden_dim, "states": length}
    edits = Edits()
    for kind, at in columns.items():
        m = masks[:, at.column]
        if kind == "directions":
            assert vectors is not None
            base = None if bases.get(kind) is None else bases[kind][at.number]
            taken = Directions(at.layer, vectors[at.number], m, base)
            edits = edits._replace(directions=taken)
            continue
        shape = (len(masks), config.n_layers, *([units[kind]] if kind in units else []))
        place = (at.layer, at.number) if kind in units else (at.layer,)
        keep = jnp.ones(shape).at[(slice(None), *place)].set(m, mode="drop")
        if kind == "heads" and rescale:
            keep = head_factors(keep > 0.5)
        site: Any = Site(jnp.moveaxis(keep, 1, 0), bases.get(kind))
        edits = edits._replace(**{kind: site})
    return edits
