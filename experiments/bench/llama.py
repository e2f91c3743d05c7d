"""Teacher-forced scoring with Llama: prompts per second, ours beside ``transformers`` on PyTorch.

    python -m spexjax.experiments llama [--geometry 3b] [--masks 512]

Ours is :func:`~spexjax.models.values.language.language_value`, from bool masks to values: a prompt
is a text that is the same for all masks, a context of one-token words of which masks switch some
off, a question, and an answer, whose value is Σ_t log p(answer_t | prompt, answer_<t). What comes
before the context is computed once (``--prefix 0`` for a comparison without that).
``transformers`` (sdpa, logits of the answer's positions only) gets the whole rows of the same
masks, in the same batches and dtype. It is measured with one pass, and, as the published
implementation does it, with one pass per answer token. They are timed in turn, since machines
drift. PyTorch is an optional part; without it ours alone is measured.

The share of the machine's matrix rate is 2 · (weights of the layers) · tokens / time over the rate
of one large matrix product, so it leaves out the attention products and the logits. The last rows
have int8 weights (and embeddings), with the memory that the parameters take.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib import resources
from importlib.util import find_spec
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int
from tokenizers import Tokenizer, models, pre_tokenizers

from spexjax.experiments.harness.timing import after_one, in_turn, matrix_rate
from spexjax.experiments.reporting.rows import Rows
from spexjax.models.llama.language import LanguageModel
from spexjax.models.llama.model import LlamaConfig, RopeScaling, init_params
from spexjax.models.llama.prompts import PromptTemplate
from spexjax.models.llama.quantize import bytes_of, quantize
from spexjax.models.llama.weights import read_llama_config, save_llama
from spexjax.models.values.language import LanguageValue, language_value

GEOMETRIES: dict[str, LlamaConfig] = {
    "small": LlamaConfig(
        vocab_size=8192, dim=512, n_layers=4, n_heads=8, n_kv_heads=4, head_dim=64,
        hidden_dim=1408, max_position_embeddings=2048, tie_embeddings=True,
    ),
    "medium": LlamaConfig(
        vocab_size=8192, dim=1024, n_layers=16, n_heads=16, n_kv_heads=8, head_dim=64,
        hidden_dim=2816, max_position_embeddings=2048, tie_embeddings=True,
    ),
    "3b": LlamaConfig(
        vocab_size=128256, dim=3072, n_layers=28, n_heads=24, n_kv_heads=8, head_dim=128,
        hidden_dim=8192, norm_eps=1e-5, rope_theta=500000.0,
        rope_scaling=RopeScaling("llama3", 32.0, 1.0, 4.0, 8192),
        max_position_embeddings=131072, tie_embeddings=True,
    ),
}  # fmt: skip
UNKNOWN = 0
_QUESTION = 8  # tokens between the context and the answer
_CPU = jax.default_backend() == "cpu"


@dataclass(frozen=True)
class Config:
    """What is wanted; defaults are those of the device at hand."""

    geometry: Literal["mini", "small", "medium", "3b"] = "small" if _CPU else "3b"
    """Of the random model; "mini" is that of the two-hop reader that ships with spexjax."""
    masks: int = 8 if _CPU else 512
    """Of the context's words."""
    prefix: int = 32
    """Tokens before the context, the same for all masks."""
    context: int = 128 if _CPU else 1024
    """Tokens, each a feature."""
    answer: int = 8
    """Tokens."""
    rows: int = 4 if _CPU else 16
    """Masks per batch."""
    dtypes: tuple[Literal["float32", "bfloat16"], ...] = ("float32",) if _CPU else ("bfloat16",)
    """To compute in."""
    int8: bool = True
    """Whether to measure int8 weights too."""
    stepwise: bool = True
    """Whether to measure one pass per answer token too, which takes long."""
    repeats: int = 5
    """Times that each is timed."""


def geometry(name: str) -> LlamaConfig:
    """A geometry by its name."""
    if name == "mini":
        with resources.as_file(resources.files("spexjax.models.mini") / "two_hop") as folder:
            return read_llama_config(folder)
    return GEOMETRIES[name]


def asked(config: Config, model: LlamaConfig, params: Any, dtype: Any) -> LanguageValue:
    """The value function of random words under a model of one token a word."""
    sizes = np.cumsum([config.prefix, config.context, _QUESTION])
    drawn = np.random.default_rng(0).integers(1, model.vocab_size, sizes[-1] + config.answer)
    ids = {f"w{i}": i for i in drawn.tolist()}
    made = Tokenizer(models.WordLevel({"[UNK]": UNKNOWN, **ids}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    before, context, question, answer = (
        " ".join(f"w{i}" for i in part) for part in np.split(drawn, sizes)
    )
    template = PromptTemplate(f"{before} " if before else "", " {question}")
    language = LanguageModel(model, params, made, name=config.geometry)
    return language_value(
        language, context, question, answer, "words", template=template, dtype=dtype,
        rows=config.rows,
    )  # fmt: skip


def whole_rows(f: LanguageValue, masks: Bool[np.ndarray, "N n"]) -> Int[np.ndarray, "N length"]:
    """The tokens of prompt and answer, but its last, under each mask."""
    feature = f.source.feature
    kept = (feature < 0) | masks[:, np.maximum(feature, 0)]
    ids = np.where(kept, f.source.ids, UNKNOWN)
    known = np.broadcast_to(f.answer_ids[:-1], (len(masks), len(f.answer_ids) - 1))
    return np.concatenate([ids, known], axis=1)


class Torch:
    """The same model in ``transformers``."""

    def __init__(self, config: LlamaConfig, params: Mapping[str, Any], dtype: Any):
        import torch
        import transformers

        self.torch = torch
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        with tempfile.TemporaryDirectory() as folder:
            save_llama(folder, config, params)
            loaded = transformers.AutoModelForCausalLM.from_pretrained(
                folder, dtype=getattr(torch, jnp.dtype(dtype).name), attn_implementation="sdpa"
            )
        self.model = loaded.eval().to(self.device)

    def __call__(
        self, f: LanguageValue, masks: Bool[np.ndarray, "N n"], rows: int,
        passes: Literal["one", "per token"] = "one",
    ) -> np.ndarray:  # fmt: skip
        """The values of all masks, in one pass or in one per token of the answer."""
        torch = self.torch
        answer = torch.tensor(f.answer_ids, dtype=torch.long, device=self.device)
        count = len(answer)
        values = []
        with torch.inference_mode():
            for start in range(0, len(masks), rows):
                ids = whole_rows(f, masks[start : start + rows])
                whole = torch.tensor(ids, dtype=torch.long, device=self.device)
                length = whole.shape[1] - count + 1
                if passes == "one":
                    logits = self._logits(whole, count)
                else:
                    steps = [self._logits(whole[:, : length + t], 1) for t in range(count)]
                    logits = torch.cat(steps, dim=1)
                chosen = logits.float().log_softmax(-1).gather(
                    -1, answer.expand(len(whole), -1)[..., None]
                )  # fmt: skip
                values.append(chosen[..., 0].sum(-1).cpu().numpy())
        return np.concatenate(values)

    def _logits(self, ids: Any, keep: int) -> Any:
        return self.model(ids, use_cache=False, logits_to_keep=keep).logits


def run(config: Config) -> Rows:
    """Rows for every dtype: as it is, with int8 weights, with int8 embeddings too."""
    columns = {"": "<18", "MB": ">8.1f", "ours/s": ">8.2f", "of rate": ">7.0%"}
    beside = {"torch/s": ">8.2f", "ratio": ">6.2f", "stepwise": ">8.2f", "ratio ": ">6.2f"}
    return Rows(
        f"Llama {config.geometry}, {config.masks} masks of {config.context} tokens, "
        f"{config.prefix} before, {_QUESTION} behind, {config.answer} of answer, {config.rows} a "
        f"batch, on {jax.devices()[0].device_kind}",
        columns | beside | {"max diff": ">8.1e"},
        (row for dtype in config.dtypes for row in measured(config, jnp.dtype(dtype))),
    )


def measured(config: Config, dtype: Any) -> Iterator[tuple]:
    """The rows of one dtype."""
    model = geometry(config.geometry)
    params = init_params(model, jax.random.key(0), dtype)
    masks = np.random.default_rng(1).random((config.masks, config.context)) < 0.5
    rate = matrix_rate(dtype, 2048 if _CPU else 8192)
    f = asked(config, model, params, dtype)
    calls: list[Callable[[], Any]] = [partial(f, masks)]
    if find_spec("torch") is not None:
        theirs = Torch(model, params, dtype)
        passes: tuple[Literal["one", "per token"], ...] = ("one", "per token")
        passes = passes if config.stepwise else passes[:1]
        calls += [partial(theirs, f, masks, config.rows, p) for p in passes]
    first = [call() for call in calls]  # compiles
    times = in_turn(calls, config.repeats)

    def ours(name: str, f: LanguageValue, spent: float) -> tuple:
        work = 2 * model.weights_of_layers * int(f.lengths(masks).sum())
        return name, bytes_of(f.model.params) / 1e6, len(masks) / spent, work / spent / rate

    line = ours(dtype.name, f, np.median(times[:, 0]))
    for spent in times.T[1:]:
        line += (len(masks) / np.median(spent), np.median(spent / times[:, 0]))
    if len(calls) > 1:
        line += (None, None) * (3 - len(calls))
        line += (float(np.abs(first[0] - first[1]).max()),)
    yield line
    for embeddings in (False, True) if config.int8 else ():
        low = replace(f.model, params=quantize(params, model, embeddings))
        g = replace(f, model=low)
        name = f"{dtype.name}, int8" + (" all" if embeddings else "")
        yield ours(name, g, float(np.median(after_one([partial(g, masks)], config.repeats))))
