"""What is trained: a SmolVLM, small, that looks at a picture once and answers questions.

Beside the answers it learns, while it is young, what its inside should hold: what is in each cell,
where a noun's attention belongs, where an object is, and how two lie to each other. The layers
that read this off are thrown away.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tyro.constructors import PrimitiveConstructorSpec

from spexjax.models.llama.config import LlamaConfig
from spexjax.models.llama.model import Llama, unembed
from spexjax.models.mini.looking import looking_back
from spexjax.models.mini.vqa import grammar as g
from spexjax.models.mini.vqa.batches import Batch
from spexjax.models.mini.vqa.drawing import PATCH, PIXELS
from spexjax.models.vit.config import VitConfig
from spexjax.models.vlm.config import VlmConfig
from spexjax.models.vlm.model import image_embeddings, init_params, merged
from spexjax.typing import Array, ArrayLike

PREFIX = np.array(
    [g.BOS, g.IDS[g.AROUND], g.IDS[g.WHOLE], *[g.IDS[g.IMAGE]] * g.CELLS, g.IDS[g.AROUND]], np.int32
)
"""What stands before every question."""
_FIRST = 3  # the place of the first cell in it; that of [BOS], 0, is looked at if nothing fits
_LOOKS, _HEAD = 1, 0  # the layer and head of which nouns look at cells that fit them


class Stage(NamedTuple):
    """Steps on scenes of so many objects: from ``least`` to ``most``."""

    steps: int
    least: int
    most: int


_OF_STAGES = PrimitiveConstructorSpec(
    nargs=1,
    metavar="STEPS:LEAST:MOST",
    instance_from_str=lambda parts: Stage(*map(int, parts[0].split(":"))),
    is_instance=lambda value: isinstance(value, Stage),
    str_from_instance=lambda stage: [":".join(map(str, stage))],
)
"""How a stage is written on the command line."""


@dataclass(frozen=True)
class Settings:
    """Everything that a run depends on."""

    stages: tuple[Annotated[Stage, _OF_STAGES], ...] = (Stage(300, 3, 8), Stage(1500, 3, 10))
    dim: int = 128
    n_heads: int = 4
    tower_layers: int = 2
    layers: int = 4
    hidden_dim: int = 128
    rope_theta: float = 1e5
    positions: int = 128
    rows: int = 24
    questions: int = 12
    mask_rows: float = 0.5
    smoothing: float = 0.05
    guide: float = 0.5
    guided: float = 0.6
    kernel: float = 4.0
    kernel_pairs: int = 5
    copy: float = 0.5
    muon_rate: float = 0.01
    adam_rate: float = 2e-3
    warmup: int = 40
    decay: float = 0.4
    seed: int = 0

    @property
    def steps(self) -> int:
        """Of all stages together."""
        return sum(stage.steps for stage in self.stages)


def geometry(s: Settings) -> VlmConfig:
    """The model's configuration."""
    vision = VitConfig(
        family="siglip", image_size=PIXELS, patch_size=PATCH, dim=s.dim, n_layers=s.tower_layers,
        n_heads=s.n_heads, hidden_dim=2 * s.dim, activation="gelu_pytorch_tanh", norm_eps=1e-6,
        pooling="none", fractional_positions=True,
    )  # fmt: skip
    text = LlamaConfig(
        vocab_size=-(-len(g.VOCABULARY) // 32) * 32, dim=s.dim, n_layers=s.layers,
        n_heads=s.n_heads, n_kv_heads=s.n_heads, head_dim=s.dim // s.n_heads,
        hidden_dim=s.hidden_dim, norm_eps=1e-5, rope_theta=s.rope_theta,
        max_position_embeddings=s.positions, tie_embeddings=True, attention_bias=True,
        out_bias=True, bos_token_id=g.BOS, eos_token_ids=(g.EOS,), pad_token_id=g.PAD,
    )  # fmt: skip
    return VlmConfig("smolvlm", vision, text, g.IDS[g.IMAGE], shuffle=1)


def first_weights(config: VlmConfig, s: Settings) -> dict[str, Any]:
    """Where training starts: the model, and the layers that its inside is read off by."""
    model = init_params(config, jax.random.key(s.seed))
    text, c = model["text"], config.text
    rng = np.random.default_rng(s.seed)
    # A cell's position starts as the sum of its row's and its column's.
    rows, cols = rng.normal(size=(2, g.SIDE, s.dim)) * 0.3
    place = rows[:, None] + cols
    model["vision"]["position"] = jnp.asarray(place.reshape(g.CELLS, s.dim), jnp.float32)
    query, key = looking_back(c, s.kernel, s.kernel_pairs)
    attention = text["layers"]["attention"]
    out, value = attention["out"]["kernel"], attention["value"]["kernel"]
    attention["out"]["kernel"] = 0.3 * out + s.copy * jnp.swapaxes(value, 1, 2)
    text["layers"]["down"]["kernel"] = 0.3 * text["layers"]["down"]["kernel"]
    for name, bias in (("query", query), ("key", key)):
        first = attention[name]["kernel"].at[0].multiply(0.3)
        biases = attention[name]["bias"].at[0].set(bias)
        attention[name] = {"kernel": first, "bias": biases}
    text["embedding"] = text["embedding"] * s.dim**0.5
    text["norm"] = {"scale": text["norm"]["scale"] * s.dim**-0.5}
    sizes = {"kind": g.KINDS + 1, "row": g.SIDE, "column": g.SIDE, "its_row": g.SIDE + 1,
             "its_column": g.SIDE + 1, "across": 4, "down": 4}  # fmt: skip
    guides = {
        name: jnp.asarray(rng.normal(size=(s.dim, size)) * s.dim**-0.5, jnp.float32)
        for name, size in sizes.items()
    }
    return {"model": model, "guides": guides}


class Inside(NamedTuple):
    """What a picture and its questions are turned into.

    Attributes:
      cells: (36, dim), what stands for the cells in the prompt.
      looks: (number, L, 40 + L), weights of the attention that is guided.
      found: (number, L, dim), the residual stream behind its layer.
      compared: (number, L, dim), behind the next.
      logits: (number, 2, V), of what follows the last two tokens.
    """

    cells: Array
    looks: Array
    found: Array
    compared: Array
    logits: Array


def read(config: VlmConfig, params: Any, image: ArrayLike, questions: ArrayLike) -> Inside:
    """Looks at one picture and reads questions, (number, L), each of which sees it and itself."""
    image, questions = jnp.asarray(image), jnp.asarray(questions)
    cells = image_embeddings(config, params, image[None])
    prompt = merged(params, PREFIX[None], PREFIX[None] == config.image_token_id, cells)
    apply: Any = partial(Llama(config.text).apply, {"params": params["text"]})
    _, cache = apply(prompt)
    (hidden, _), more = apply(
        questions, valid=questions != g.PAD, cache=cache, look=("attention", "states"),
        mutable=["inside"],
    )  # fmt: skip
    (weights,), (states,), (last,) = (more["inside"][k] for k in ("attention", "states", "last"))
    logits = unembed(config.text, params["text"], hidden[:, -2:])
    behind = [*states, last][1:]  # each layer
    looks = weights[_LOOKS][:, _HEAD, 0]
    return Inside(cells[0], looks, behind[_LOOKS], behind[_LOOKS + 1], logits)


def loss(
    config: VlmConfig, s: Settings, weights: Any, batch: Batch, guide: Array
) -> tuple[Array, tuple[Array, Array]]:
    """Mean cross-entropy with smoothed targets, and ``guide`` times what the inside lacks.

    Returns:
      the loss; which answers are right, (rows, number), and the parts of what the inside lacks.
    """
    seen = jax.vmap(partial(read, config, weights["model"]))(batch.images, batch.questions)
    log_p = jax.nn.log_softmax(seen.logits)
    target = jnp.take_along_axis(log_p, batch.answers[..., None], -1)[..., 0]
    cost = -(1 - s.smoothing) * target - s.smoothing * log_p.mean(-1)
    lacks = _lacks(weights["guides"], seen, batch)
    right = jnp.argmax(seen.logits[:, :, 0], -1) == batch.answers[..., 0]
    return cost.mean() + guide * lacks.sum(), (right, lacks)


def _lacks(guides: Any, seen: Inside, batch: Batch) -> Array:
    """Cross-entropies of: cells' contents, their places, looks, objects' places, comparisons."""
    place = np.arange(g.CELLS)

    def cost(name: str, states: Array, classes: ArrayLike) -> Array:
        log_p = jax.nn.log_softmax(states @ guides[name])
        return -jnp.take_along_axis(log_p, jnp.asarray(classes)[..., None], -1)[..., 0]

    rows, cols = (jnp.broadcast_to(v, batch.objects.shape) for v in divmod(place, g.SIDE))
    kinds = cost("kind", seen.cells, batch.objects).mean()
    places = (cost("row", seen.cells, rows) + cost("column", seen.cells, cols)).mean() / 2
    there = batch.nouns >= 0
    at = jnp.maximum(batch.nouns, 0)[..., None]
    # A noun looks at each cell that fits it, and as much at [BOS]: so it can also count.
    looks = jnp.take_along_axis(seen.looks, at, axis=2)
    many = batch.matches.sum(-1)
    fits = jnp.log(jnp.maximum(looks[..., _FIRST : _FIRST + g.CELLS], 1e-9)) * batch.matches
    none = jnp.log(jnp.maximum(looks[..., 0], 1e-9))
    look = -(fits.sum(-1) + none) / (many + 1)
    single = there & ((batch.kind <= g.BELOW) | (batch.kind >= g.COLUMN))[..., None]
    found = jnp.take_along_axis(seen.found, at, axis=2)
    row, col = divmod(jnp.argmax(batch.matches, -1), g.SIDE)
    row, col = (jnp.where(many > 0, v, g.SIDE) for v in (row, col))
    where = (cost("its_row", found, row) + cost("its_column", found, col)) / 2
    two = batch.kind <= g.BELOW
    compared = seen.compared[:, :, -2]  # at the question mark
    relation = (cost("across", compared, batch.across) + cost("down", compared, batch.down)) / 2

    def mean(values: Array, which: ArrayLike) -> Array:
        return jnp.where(which, values, 0).sum() / jnp.maximum(jnp.sum(which), 1)

    parts = [kinds, places, mean(look, there), mean(where, single), mean(relation, two)]
    return jnp.stack(parts)
