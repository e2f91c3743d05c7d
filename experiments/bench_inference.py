"""Masked inference: masks per second, ours beside ``transformers`` on PyTorch.

    python -m spexjax.experiments.bench_inference [--masks 2048] [--words 64] [--geometry base]

Both evaluate the same masks of one text under the same random DistilBERT, from bool masks to
logits, on the same threads. ``transformers`` gets the masked texts (joining and tokenizing them is
part of its time) and, like for like, rows padded to the same length in float32; every mask is
evaluated once. Beside stand what shorter rows for shorter texts and bfloat16 bring, for both.
PyTorch is an optional part; without it ours alone is measured.

The share of the machine's matrix rate is 2 · (weights of the layers) · tokens / time over the rate
of one large matrix product, so it leaves out the attention products and the head.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from importlib import resources
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from spexjax.models import weights
from spexjax.models.classifier import TextClassifier, load_classifier
from spexjax.models.distilbert import Config, init_params
from spexjax.models.masking import row_lengths
from spexjax.models.parallel import TextValue, value_function

GEOMETRIES: dict[str, dict[str, int]] = {
    "base": {},
    "small": {"dim": 256, "n_layers": 4, "n_heads": 4, "hidden_dim": 1024},
}
REPEATS = 3


def random_classifier(geometry: str, seed: int = 0) -> TextClassifier:
    """A DistilBERT with random weights and the embedded tokenizer."""
    config = Config(**GEOMETRIES[geometry])
    params = init_params(config, jax.random.key(seed))
    return TextClassifier(config, params, load_classifier().tokenizer, geometry)


def sentence(words: int, seed: int = 0) -> str:
    """A text of so many words, some of several tokens."""
    some = [
        "the",
        "film",
        "never",
        "fails",
        "to",
        "impress",
        "with",
        "acting",
        "that",
        "is",
        "understated",
        "and",
        "unforgettable",
    ]
    return " ".join(np.random.default_rng(seed).choice(some, words))


def seconds(call: Callable[[], Any]) -> float:
    """The median time of a call after one that compiles."""
    call()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def like_for_like(f: TextValue, masks: np.ndarray) -> np.ndarray:
    """The values with all rows padded to the length of the longest."""
    return f._evaluate(masks, len(f.template.ids))


def matrix_rate(dtype: Any, size: int) -> float:
    """Operations per second of a product of two square matrices."""
    a = jnp.ones((size, size), dtype)
    product = jax.jit(lambda x: x @ x)
    return 2 * size**3 / seconds(lambda: product(a).block_until_ready())


class Torch:
    """The same classifier in ``transformers``."""

    def __init__(self, model: TextClassifier, dtype: str):
        import torch
        import transformers

        self.torch = torch
        device = "cuda" if torch.cuda.is_available() else "cpu"
        with tempfile.TemporaryDirectory() as folder:
            weights.save(folder, model.config, model.params)
            loaded = transformers.DistilBertForSequenceClassification.from_pretrained(
                folder, dtype=getattr(torch, dtype), attn_implementation="sdpa"
            )
        self.model = loaded.eval().to(device)
        with resources.as_file(resources.files("spexjax.models.mini") / "sentiment") as path:
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(path)

    def __call__(
        self, f: TextValue, masks: np.ndarray, rows: int, length: int | None
    ) -> np.ndarray:
        """The logit; rows padded to ``length``, or sorted and padded to the longest of a batch."""
        texts = [f.source.masked(mask) for mask in masks]
        order = np.arange(len(masks))
        if length is None:
            order = np.argsort(row_lengths(f.template, masks), kind="stable")
        out = np.empty(len(masks), np.float32)
        padding = {"padding": True} if length is None else {
            "padding": "max_length", "max_length": length}  # fmt: skip
        with self.torch.inference_mode():
            for start in range(0, len(masks), rows):
                chosen = order[start : start + rows]
                batch = self.tokenizer([texts[i] for i in chosen], return_tensors="pt", **padding)
                batch = batch.to(self.model.device)
                logits = self.model(batch["input_ids"], batch["attention_mask"]).logits
                out[chosen] = logits[:, f.label].float().cpu().numpy()
        return out


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--masks", type=int, default=2048)
    parser.add_argument("--words", type=int, default=64)
    parser.add_argument("--geometry", choices=GEOMETRIES, default="base")
    parser.add_argument("--rows", type=int, help="masks per batch, for both")
    parser.add_argument("--skip-bfloat16", action="store_true")
    given = parser.parse_args(argv)
    model = random_classifier(given.geometry)
    text = sentence(given.words)
    gpu = jax.default_backend() != "cpu"
    config = model.config
    layer_weights = config.n_layers * (4 * config.dim**2 + 2 * config.dim * config.hidden_dim)
    try:
        import torch

        peer = True
        version = f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads"
    except ImportError:
        peer, version = False, "PyTorch not installed"
    print(f"{given.geometry}, {given.masks} masks of {given.words} words; jax on "
          f"{jax.devices()[0].device_kind}; {version}")  # fmt: skip
    print(f"{'':34} {'ours/s':>8} {'of rate':>8} {'torch/s':>8} {'ratio':>6} {'max diff':>9}")
    masks = np.random.default_rng(0).random((given.masks, given.words)) < 0.5
    for dtype in ("float32",) if given.skip_bfloat16 else ("float32", "bfloat16"):
        rate = matrix_rate(jnp.dtype(dtype), 8192 if gpu else 2048)
        theirs = Torch(model, dtype) if peer else None
        for name, replacement in (("same length", "unk"), ("rows by length", "unk")):
            f = value_function(model, text, replacement=replacement, dtype=jnp.dtype(dtype),
                               rows=given.rows)  # fmt: skip
            same = name == "same length"
            ours = (lambda f=f: like_for_like(f, masks)) if same else (lambda f=f: f(masks))
            spent = seconds(ours)
            length = len(f.template.ids)
            tokens = given.masks * length if same else int(row_lengths(f.template, masks).sum())
            share = 2 * layer_weights * tokens / spent / rate
            line = f"{dtype + ', ' + name:34} {given.masks / spent:8.1f} {share:8.0%}"
            if theirs is not None:
                rows = f.rows
                limit = length if same else None
                other = seconds(lambda f=f, r=rows, n=limit: theirs(f, masks, r, n))
                gap = np.abs(ours() - theirs(f, masks, rows, limit)).max()
                line += f" {given.masks / other:8.1f} {other / spent:6.2f} {gap:9.1e}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
