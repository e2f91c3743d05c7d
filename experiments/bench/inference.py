"""Masked inference: masks per second, ours beside ``transformers`` on PyTorch.

    python -m spexjax.experiments inference [--masks 2048] [--words 64] [--geometry base]

Both evaluate the same masks of one text under the same random DistilBERT, from bool masks to
logits, on the same threads. ``transformers`` gets the masked texts (joining and tokenizing them is
part of its time) and, like for like, rows padded to the same length in float32; every mask is
evaluated once. Beside stand what shorter rows for shorter texts and bfloat16 bring, for both.
PyTorch is an optional part; without it ours alone is measured.

The share of the machine's matrix rate is 2 · (weights of the layers) · tokens / time over the rate
of one large matrix product, so it leaves out the attention products and the head.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import resources
from importlib.util import find_spec
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from spexjax.experiments.harness.timing import after_one, matrix_rate
from spexjax.experiments.reporting.rows import Rows
from spexjax.models.bert import weights
from spexjax.models.bert.classifier import TextClassifier, load_classifier
from spexjax.models.bert.model import Config as BertConfig
from spexjax.models.bert.model import init_params
from spexjax.models.text.masking import row_lengths
from spexjax.models.values.text import TextValue, value_function

GEOMETRIES: dict[str, dict[str, Any]] = {
    "base": {},
    "small": {"dim": 256, "n_layers": 4, "n_heads": 4, "hidden_dim": 1024},
}
REPEATS = 5


def random_classifier(geometry: str, seed: int = 0) -> TextClassifier:
    """A DistilBERT with random weights and the embedded tokenizer."""
    config = BertConfig(**GEOMETRIES[geometry])
    params = init_params(config, jax.random.key(seed))
    return TextClassifier(config, params, load_classifier().tokenizer, geometry)


WORDS = ("the", "film", "never", "fails", "to", "impress", "understated", "unforgettable")


def sentence(words: int, seed: int = 0) -> str:
    """A text of so many words, some of several tokens."""
    return " ".join(np.random.default_rng(seed).choice(WORDS, words))


def like_for_like(f: TextValue, masks: np.ndarray) -> np.ndarray:
    """The values with all rows padded to the length of the longest."""
    return f._evaluate(masks, len(f.template.ids))


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


def compare(
    model: TextClassifier, theirs: Torch | None, masks: np.ndarray, dtype: str, same: bool,
    rows: int | None, rate: float,
) -> tuple:  # fmt: skip
    """One row of the table: with rows of one length (``same``), or each as long as it needs."""
    f = value_function(model, sentence(masks.shape[1]), dtype=jnp.dtype(dtype), rows=rows)
    longest = len(f.template.ids)
    ours = partial(like_for_like, f, masks) if same else partial(f, masks)
    calls = [ours]
    if theirs is not None:
        calls.append(partial(theirs, f, masks, f.rows, longest if same else None))
    times = after_one(calls, REPEATS)
    spent = np.median(times, axis=0)
    tokens = len(masks) * longest if same else int(row_lengths(f.template, masks).sum())
    c = model.config
    weight = c.n_layers * (4 * c.dim**2 + 2 * c.dim * c.hidden_dim)
    share = 2 * weight * tokens / spent[0] / rate
    name = f"{dtype}, {'same length' if same else 'rows by length'}"
    if theirs is None:
        return name, len(masks) / spent[0], share
    gap = float(np.abs(ours() - calls[1]()).max())
    ratio = np.median(times[:, 1] / times[:, 0])
    return name, len(masks) / spent[0], share, len(masks) / spent[1], ratio, gap


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    masks: int = 2048
    """How many."""
    words: int = 64
    """Of the text."""
    geometry: Literal["base", "small"] = "base"
    """Of the random model."""
    rows: int | None = None
    """Masks per batch, for both; chosen from the length if not given."""
    dtypes: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")
    """To compute in."""


def run(config: Config) -> Rows:
    """Two rows for every dtype: with rows of one length, and by length."""
    peer = find_spec("torch") is not None
    device = jax.devices()[0].device_kind + ("" if peer else "; PyTorch is not installed")
    return Rows(
        f"{config.geometry}, {config.masks} masks of {config.words} words on {device}",
        {"": "<26", "ours/s": ">8.1f", "of rate": ">7.0%", "torch/s": ">8.1f", "ratio": ">6.2f",
         "max diff": ">8.1e"},
        _measured(config, peer),
    )  # fmt: skip


def _measured(config: Config, peer: bool) -> Iterator[tuple]:
    model = random_classifier(config.geometry)
    masks = np.random.default_rng(0).random((config.masks, config.words)) < 0.5
    for dtype in config.dtypes:
        rate = matrix_rate(jnp.dtype(dtype), 2048 if jax.default_backend() == "cpu" else 8192)
        theirs = Torch(model, dtype) if peer else None
        for same in (True, False):
            yield compare(model, theirs, masks, dtype, same, config.rows, rate)
