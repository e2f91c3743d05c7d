"""Trains the embedded sentiment classifier: ``python -m spexjax.models.mini.sentiment.train``.

A small DistilBERT on SST-2 phrases and windows of IMDB reviews. Since explaining a text replaces
its words by [UNK], training does so too: in half of the rows a random share of the tokens is
replaced, so that the model learns what the words left over say. Position vectors are sinusoids
(Vaswani et al. 2017, §3.5) and stay fixed, so that positions no training text reaches are usable.
Checkpoints are averages of the weights over the last steps, chosen on held-out sentences of the
training file; the dev sentences are read once, at the end.
"""

import json
import os
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from spexjax.models.bert import weights
from spexjax.models.bert.classifier import load_classifier
from spexjax.models.bert.config import Config
from spexjax.models.bert.families import AnyConfig, apply
from spexjax.models.bert.model import init_params
from spexjax.models.mini.loop import asked
from spexjax.models.mini.sentiment import data
from spexjax.models.mini.sentiment.batches import (
    Rows,
    batches,
    encode,
    padded_length,
    to_rows,
    windows,
)
from spexjax.models.mini.sentiment.learner import Settings, loss, sinusoids
from spexjax.models.mini.sentiment.vocabulary import save_tokenizer, train_tokenizer
from spexjax.typing import Array


def fit(config: Config, s: Settings, unk: int, phrases: list[Rows], reviews: tuple[Any, Any],
        held_out: list[Rows], log: Any = print) -> tuple[Any, list[dict[str, float]]]:  # fmt: skip
    """Trains and returns the averaged weights of the best epoch, and the history of all."""
    rng = np.random.default_rng(s.seed)
    key = jax.random.key(s.seed, impl="rbg")
    params = init_params(config, jax.random.key(s.seed))
    params["encoder"]["position"]["embedding"] = jnp.asarray(
        s.position_scale * sinusoids(s.positions, s.dim), jnp.float32
    )
    review_ids, review_labels = reviews
    count = sum(len(g.labels) * g.ids.shape[1] for g in phrases) + len(review_ids) * padded_length(
        s.window
    )
    steps = s.epochs * count // s.tokens_per_step
    schedule = optax.warmup_cosine_decay_schedule(0.0, s.peak_rate, steps // 20, steps, 1e-5)
    frozen = jax.tree_util.tree_map_with_path(lambda p, _: "position" in str(p), params)
    decayed = jax.tree.map(lambda x, f: x.ndim > 1 and not f, params, frozen)
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(schedule, b2=0.98, weight_decay=s.weight_decay, mask=decayed),
        optax.masked(optax.set_to_zero(), frozen),
    )

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(params: Any, mean: Any, state: Any, batch: Rows, key: Array) -> tuple:
        value, grads = jax.value_and_grad(partial(loss, config, s, unk))(params, batch, key)
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        mean = jax.tree.map(lambda m, p: m + (1 - s.average) * (p - m), mean, params)
        return params, mean, state, value

    mean = jax.tree.map(jnp.copy, params)
    history: list[dict[str, float]] = []
    state, best, i = optimizer.init(params), params, 0
    for epoch in range(s.epochs):
        began, total = time.perf_counter(), []
        cut = windows(review_ids, s.window, rng)
        for batch in batches(phrases + to_rows(cut, review_labels), s.tokens_per_step, rng):
            params, mean, state, value = step(
                params, mean, state, batch, jax.random.fold_in(key, i)
            )
            total.append(value)
            i += 1
        found = score(config, mean, held_out)
        found |= {"train_loss": float(np.mean(total)), "seconds": time.perf_counter() - began}
        log(f"epoch {epoch + 1} of {s.epochs}, step {i} of {steps}: {json.dumps(found)}")
        if not history or found["loss"] < min(h["loss"] for h in history):
            best = jax.tree.map(np.array, mean)
        history.append(found)
    return best, history


def score(config: AnyConfig, params: Any, groups: list[Rows]) -> dict[str, float]:
    """Accuracy and mean cross-entropy over padded rows."""
    right, cost, count = 0.0, 0.0, 0
    for ids, labels in groups:
        for i in range(0, len(labels), 64):
            logits = np.asarray(_forward(config, params, ids[i : i + 64]))
            margin = (logits[:, 1] - logits[:, 0]) * (2 * labels[i : i + 64] - 1)
            right += float((margin > 0).sum())
            cost += float(np.logaddexp(0, -margin).sum())
            count += len(margin)
    return {"accuracy": right / count, "loss": cost / count}


@partial(jax.jit, static_argnums=0)
def _forward(config: AnyConfig, params: Any, ids: Array) -> Array:
    return apply(config, params, ids, ids != config.pad_token_id)


def train(folder: Path, out: Path, s: Settings) -> dict[str, Any]:
    """Trains on the data in ``folder`` and writes the model into ``out``.

    Returns:
      Figures on what nothing was trained on: held-out sentences and the reviews' dev file. Choose
      settings by these.
    """
    began = time.perf_counter()
    phrases = data.read_sst2(folder / "sst2" / "train.tsv")
    split = data.split_sentences(phrases, s.held_out, np.random.default_rng(s.seed))
    imdb = data.read_imdb(folder / "imdb" / "train.tsv")
    tokenizer = train_tokenizer([split.train.texts, imdb.texts], s.vocab_size)
    config = Config(
        vocab_size=tokenizer.get_vocab_size(), dim=s.dim, n_layers=s.n_layers, n_heads=s.n_heads,
        hidden_dim=s.hidden_dim, max_position_embeddings=s.positions, dropout=s.dropout,
        attention_dropout=0.1, head_dropout=s.dropout, label_names=("NEGATIVE", "POSITIVE"),
    )  # fmt: skip

    def rows_of(examples: data.Examples) -> list[Rows]:
        return to_rows(encode(tokenizer, examples.texts), examples.labels)

    unk = tokenizer.token_to_id("[UNK]")
    assert unk is not None  # one of the trainer's special tokens
    best, history = fit(
        config, s, unk, rows_of(split.train),
        (encode(tokenizer, imdb.texts), imdb.labels), rows_of(split.held_out),
    )  # fmt: skip
    weights.save(out, config, best, np.float16)
    save_tokenizer(tokenizer, out, s.positions)
    reviews = data.read_imdb(folder / "imdb" / "dev.tsv")
    found = figures(out, {"held-out sentences": split.held_out, "IMDB dev reviews": reviews})
    return {"history": history, **found, "seconds": time.perf_counter() - began}


def test(folder: Path, out: Path) -> dict[str, Any]:
    """Figures of the model in ``out`` on the sentences and reviews set apart for the very end."""
    return figures(
        out,
        {
            "SST-2 dev sentences": data.read_sst2(folder / "sst2" / "dev.tsv"),
            "IMDB test reviews": data.read_imdb(folder / "imdb" / "test.tsv"),
        },
    )


def figures(out: Path, sets: dict[str, data.Examples]) -> dict[str, Any]:
    """Accuracy and loss of the model in ``out``, for all texts and for those with a negation."""
    model = load_classifier(out)
    found: dict[str, Any] = {}
    for name, examples in sets.items():
        negated = np.array([data.has_negation(t) for t in examples.texts])
        some = data.select(examples, negated)
        for label, part in ((name, examples), (f"{name}, with a negation", some)):
            rows = to_rows(encode(model.tokenizer, part.texts), part.labels)
            found[label] = score(model.config, model.params, rows) | {"count": len(part.texts)}
    return found


@dataclass(frozen=True)
class Run:
    """What the command is asked for."""

    settings: Settings
    data: str | None
    """folder with sst2/ and imdb/ (default: $SPEXJAX_DATA)"""
    out: Path = Path(__file__).parent
    """folder of the model"""
    test: bool = False
    """do not train: score the model in --out at last"""


def main(arguments: list[str] | None = None) -> None:
    """Reads the command line, trains, prints the figures."""
    given = asked(
        Run(Settings(), os.environ.get("SPEXJAX_DATA")), "sentiment", __doc__ or "", arguments
    )
    if given.data is None:
        print("--data DIR is needed (or the variable SPEXJAX_DATA)", file=sys.stderr)
        raise SystemExit(2)
    if given.test:
        found = test(Path(given.data), given.out)
    else:
        print(given.settings)
        found = train(Path(given.data), given.out, given.settings)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
