"""What is trained: a Llama with shared layers that reads a context once and answers questions."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from tyro.constructors import PrimitiveConstructorSpec

from spexjax.models.llama.config import LlamaConfig
from spexjax.models.llama.model import Llama, init_params, unembed
from spexjax.models.mini.looking import looking_back
from spexjax.models.mini.two_hop.batches import Batch
from spexjax.models.mini.two_hop.grammar import BOS, EOS, PAD, VOCABULARY
from spexjax.typing import Array, ArrayLike


class Stage(NamedTuple):
    """Steps on worlds of so many sentences: drawn from ``least`` to ``most`` each step."""

    steps: int
    least: int
    most: int
    rows: int


_OF_STAGES = PrimitiveConstructorSpec(
    nargs=1,
    metavar="STEPS:LEAST:MOST:ROWS",
    instance_from_str=lambda parts: Stage(*map(int, parts[0].split(":"))),
    is_instance=lambda value: isinstance(value, Stage),
    str_from_instance=lambda stage: [":".join(map(str, stage))],
)
"""How a stage is written on the command line."""


@dataclass(frozen=True)
class Settings:
    """Everything that a run depends on."""

    stages: tuple[Annotated[Stage, _OF_STAGES], ...] = (
        Stage(240, 4, 8, 32),
        Stage(220, 4, 12, 16),
        Stage(400, 6, 20, 16),
        Stage(700, 8, 32, 12),
    )
    dim: int = 128
    n_layers: int = 3
    n_heads: int = 4
    hidden_dim: int = 128
    rope_theta: float = 1e5
    positions: int = 512
    questions: int = 12
    two_hops: float = 0.7
    mask_rows: float = 0.5
    smoothing: float = 0.05
    kernel: float = 4.0
    kernel_pairs: int = 5
    copy: float = 0.5
    muon_rate: float = 0.01
    adam_rate: float = 2e-3
    warmup: int = 50
    decay: float = 0.4
    seed: int = 0

    @property
    def steps(self) -> int:
        """Of all stages together."""
        return sum(stage.steps for stage in self.stages)


def geometry(s: Settings) -> LlamaConfig:
    """The model's configuration."""
    return LlamaConfig(
        vocab_size=-(-len(VOCABULARY) // 32) * 32, dim=s.dim, n_layers=s.n_layers,
        n_heads=s.n_heads, n_kv_heads=s.n_heads, head_dim=s.dim // s.n_heads,
        hidden_dim=s.hidden_dim, norm_eps=1e-5, rope_theta=s.rope_theta,
        max_position_embeddings=s.positions, tie_embeddings=True, attention_bias=True,
        out_bias=True, bos_token_id=BOS, eos_token_ids=(EOS,), pad_token_id=PAD,
    )  # fmt: skip


def first_weights(config: LlamaConfig, s: Settings) -> dict[str, Any]:
    """Where training starts: the layers "first" and "later", the embedding, the last norm."""
    full = init_params(config, jax.random.key(s.seed))
    first, later = (jax.tree.map(lambda a, i=i: a[i], full["layers"]) for i in (0, 1))
    query, key = looking_back(config, s.kernel, s.kernel_pairs)
    attention = first["attention"]
    for name, bias in (("query", query), ("key", key)):
        attention[name] = {"kernel": 0.3 * attention[name]["kernel"], "bias": bias}
    attention["out"]["kernel"] += s.copy * attention["value"]["kernel"].T
    attention = later["attention"]
    attention["key"]["kernel"] = jnp.copy(attention["query"]["kernel"])
    attention["out"]["kernel"] = (
        0.5 * attention["value"]["kernel"].T + 0.1 * attention["out"]["kernel"]
    )
    for layer in (first, later):
        layer["down"]["kernel"] = 0.2 * layer["down"]["kernel"]
    return {
        "embedding": full["embedding"] * config.dim**0.5,
        "first": first,
        "later": later,
        "norm": {"scale": full["norm"]["scale"] * config.dim**-0.5},
    }


def unshared(config: LlamaConfig, weights: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the model: every later layer has the same weights."""
    count = config.n_layers - 1
    layers = jax.tree.map(
        lambda a, b: jnp.stack([a] + [b] * count), weights["first"], weights["later"]
    )
    return {"embedding": weights["embedding"], "layers": layers, "norm": weights["norm"]}


def answer_logits(
    config: LlamaConfig, params: Any, context: ArrayLike, questions: ArrayLike
) -> Array:
    """Logits of what follows the last two tokens of each question, (number, 2, V).

    Args:
      config, params: the model.
      context: int32, (S,), [PAD] behind.
      questions: int32, (number, L), [PAD] in front; each sees the context and itself.
    """
    apply = partial(Llama(config).apply, {"params": params})
    _, cache = apply(context[None], valid=context[None] != PAD)
    hidden, _ = apply(questions, valid=questions != PAD, cache=cache)
    return unembed(config, params, hidden[:, -2:])


def loss(config: LlamaConfig, s: Settings, weights: Any, batch: Batch) -> tuple[Array, Array]:
    """Mean cross-entropy with smoothed targets; and which answers are right, (rows, number)."""
    logits = jax.vmap(partial(answer_logits, config, unshared(config, weights)))(
        batch.context, batch.questions
    )
    log_p = jax.nn.log_softmax(logits)
    target = jnp.take_along_axis(log_p, batch.answers[..., None], -1)[..., 0]
    cost = -(1 - s.smoothing) * target - s.smoothing * log_p.mean(-1)
    return cost.mean(), jnp.argmax(logits[:, :, 0], -1) == batch.answers[..., 0]
