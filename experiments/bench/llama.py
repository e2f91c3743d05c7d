"""Teacher-forced scoring with Llama: prompts per second, ours beside ``transformers`` on PyTorch.

    python -m spexjax.experiments llama [--geometry 3b] [--masks 512]

A prompt is a context of tokens, of which a mask replaces the masked ones by one token, and an
answer; its value is Σ_t log p(answer_t | context, answer_<t). Both libraries get the same masks of
the same random weights, the same batches and one dtype. ``transformers`` (sdpa, logits of the
answer's positions only) is measured with the one pass that ours makes, and, as the published
implementation does it, with one pass per answer token. They are timed in turn, since machines
drift. PyTorch is an optional part; without it ours alone is measured.

The share of the machine's matrix rate is 2 · (weights of the layers) · tokens / time over the rate
of one large matrix product, so it leaves out the attention products and the logits. The last rows
have int8 weights (and embeddings), with the memory that the parameters take.
"""

import argparse
import importlib.util
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import resources
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from spexjax.experiments.bench.inference import after_one, matrix_rate
from spexjax.models.llama.model import Llama, LlamaConfig, RopeScaling, init_params, unembed
from spexjax.models.llama.quantize import bytes_of, quantize
from spexjax.models.llama.weights import read_llama_config, save_llama
from spexjax.typing import Array

GEOMETRIES: dict[str, LlamaConfig] = {
    "small": LlamaConfig(
        vocab_size=8192, dim=512, n_layers=4, n_heads=8, n_kv_heads=4, head_dim=64,
        hidden_dim=1408, max_position_embeddings=2048, tie_embeddings=True,
    ),
    "3b": LlamaConfig(
        vocab_size=128256, dim=3072, n_layers=28, n_heads=24, n_kv_heads=8, head_dim=128,
        hidden_dim=8192, norm_eps=1e-5, rope_theta=500000.0,
        rope_scaling=RopeScaling("llama3", 32.0, 1.0, 4.0, 8192),
        max_position_embeddings=131072, tie_embeddings=True,
    ),
}  # fmt: skip
REPLACEMENT = 0


@dataclass(frozen=True)
class Prompts:
    """One question under many masks.

    Attributes:
      context: int32 (C,), the tokens that masks switch off, each a feature of its own.
      answer: int32 (A,).
      masks: bool (N, C).
      rows: masks per batch; N is a multiple of it.
    """

    context: Int[np.ndarray, "C"]
    answer: Int[np.ndarray, "A"]
    masks: Bool[np.ndarray, "N C"]
    rows: int

    @property
    def tokens(self) -> int:
        """Tokens that one pass over all prompts reads; the answer's last predicts nothing."""
        return len(self.masks) * (len(self.context) + len(self.answer) - 1)


def random_prompts(
    config: LlamaConfig, masks: int, context: int, answer: int, rows: int, seed: int = 0
) -> Prompts:
    """Random tokens, each masked with probability 1/2."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, config.vocab_size, context + answer, dtype=np.int32)
    masks = -(-masks // rows) * rows
    return Prompts(ids[:context], ids[context:], rng.random((masks, context)) < 0.5, rows)


@partial(jax.jit, static_argnums=(0, 1))
def score(
    config: LlamaConfig,
    dtype: Any,
    params: Mapping[str, Any],
    context: Int[Array, "C"],
    answer: Int[Array, "A"],
    masks: Bool[Array, "rows C"],
) -> Float[Array, "rows"]:
    """The answer's log-probability under each mask, in one pass."""
    rows, length = masks.shape
    ids = jnp.where(masks, context, REPLACEMENT)
    known = jnp.broadcast_to(answer[:-1], (rows, answer.shape[0] - 1))
    hidden, _ = Llama(config, dtype).apply({"params": params}, jnp.concatenate([ids, known], 1))
    logits = unembed(config, params, hidden[:, length - 1 :])
    chosen = jnp.take_along_axis(logits, answer[None, :, None], axis=-1)[..., 0]
    return jnp.sum(chosen - jax.nn.logsumexp(logits, axis=-1), axis=-1)


def ours(config: LlamaConfig, dtype: Any, params: Mapping[str, Any], p: Prompts) -> np.ndarray:
    """The values of all masks."""
    batches = p.masks.reshape(-1, p.rows, p.masks.shape[1])
    parts = [score(config, dtype, params, p.context, p.answer, masks) for masks in batches]
    return np.concatenate([np.asarray(part) for part in parts])


def geometry(name: str) -> LlamaConfig:
    """A geometry by its name; "mini" is that of the two-hop reader that ships with spexjax."""
    if name == "mini":
        with resources.as_file(resources.files("spexjax.models.mini") / "two_hop") as folder:
            return read_llama_config(folder)
    return GEOMETRIES[name]


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

    def __call__(self, p: Prompts, passes: str = "one") -> np.ndarray:
        """The values of all masks, in "one" pass or in one "per token" of the answer."""
        torch = self.torch
        context = torch.tensor(p.context, dtype=torch.long, device=self.device)
        answer = torch.tensor(p.answer, dtype=torch.long, device=self.device)
        length, count = len(context), len(answer)
        values = []
        with torch.inference_mode():
            for masks in p.masks.reshape(-1, p.rows, length):
                ids = torch.where(torch.tensor(masks, device=self.device), context, REPLACEMENT)
                whole = torch.cat([ids, answer[:-1].expand(p.rows, -1)], dim=1)
                if passes == "one":
                    logits = self._logits(whole, count)
                else:
                    steps = [self._logits(whole[:, : length + t], 1) for t in range(count)]
                    logits = torch.cat(steps, dim=1)
                chosen = logits.float().log_softmax(-1).gather(
                    -1, answer.expand(p.rows, -1)[..., None]
                )  # fmt: skip
                values.append(chosen[..., 0].sum(-1).cpu().numpy())
        return np.concatenate(values)

    def _logits(self, ids: Any, keep: int) -> Any:
        return self.model(ids, use_cache=False, logits_to_keep=keep).logits


def weights_of_layers(config: LlamaConfig) -> int:
    """Numbers in the matrices of all layers."""
    c = config
    heads = 2 * c.n_heads + 2 * c.n_kv_heads
    return c.n_layers * (heads * c.head_dim * c.dim + 3 * c.dim * c.hidden_dim)


def measure(
    config: LlamaConfig,
    params: Mapping[str, Any],
    p: Prompts,
    dtype: Any,
    rate: float,
) -> Iterator[str]:
    """The rows of the table for one dtype, each when it is measured."""
    dtype = jnp.dtype(dtype)
    params = jax.tree.map(lambda x: jnp.asarray(x, dtype), params)
    peer = importlib.util.find_spec("torch") is not None
    theirs = Torch(config, params, dtype) if peer else None
    calls: list[Callable[[], Any]] = [partial(ours, config, dtype, params, p)]
    if theirs is not None:
        calls += [partial(theirs, p), partial(theirs, p, "per token")]
    times = after_one(*calls)
    line = _line(dtype.name, config, p, params, times[:, 0], rate)
    if theirs is not None:
        gap = np.abs(calls[0]() - calls[1]()).max()
        for i in (1, 2):
            line += f" {len(p.masks) / np.median(times[:, i]):9.2f}"
            line += f" {np.median(times[:, i] / times[:, 0]):6.2f}"
        line += f" {gap:9.1e}"
    yield line
    for embeddings in (False, True):
        low = quantize(params, config, embeddings)
        name = f"{dtype.name}, int8" + (" all" if embeddings else "")
        taken = after_one(partial(ours, config, dtype, low, p))
        yield _line(name, config, p, low, taken[:, 0], rate)


def _line(
    name: str, config: LlamaConfig, p: Prompts, params: Any, times: np.ndarray, rate: float
) -> str:
    spent = np.median(times)
    share = 2 * weights_of_layers(config) * p.tokens / spent / rate
    return f"{name:18} {bytes_of(params) / 1e6:9.1f} {len(p.masks) / spent:9.2f} {share:8.0%}"


def main(argv: list[str] | None = None) -> None:

    on_cpu = jax.default_backend() == "cpu"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--geometry", choices=["mini", *GEOMETRIES], default="small" if on_cpu else "3b"
    )
    parser.add_argument("--masks", type=int, default=8 if on_cpu else 512)
    parser.add_argument("--context", type=int, default=128 if on_cpu else 1024)
    parser.add_argument("--answer", type=int, default=8)
    parser.add_argument("--rows", type=int, default=4 if on_cpu else 16, help="masks per batch")
    parser.add_argument("--dtypes", nargs="+", default=["float32"] if on_cpu else ["bfloat16"])
    given = parser.parse_args(argv)
    config = geometry(given.geometry)
    p = random_prompts(config, given.masks, given.context, given.answer, given.rows)
    device = jax.devices()[0].device_kind
    print(
        f"Llama {given.geometry}, {len(p.masks)} masks of {given.context} tokens, "
        f"{given.answer} of answer, {given.rows} a batch, on {device}"
    )
    print(
        f"{'':18} {'MB':>9} {'ours/s':>9} {'of rate':>8} {'torch/s':>9} {'ratio':>6} "
        f"{'stepwise':>9} {'ratio':>6} {'max diff':>9}"
    )
    for dtype in given.dtypes:
        params = init_params(config, jax.random.key(0), jnp.dtype(dtype))
        rate = matrix_rate(jnp.dtype(dtype), 2048 if on_cpu else 8192)
        for line in measure(config, params, p, dtype, rate):
            print(line, flush=True)
