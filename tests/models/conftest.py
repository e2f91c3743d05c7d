"""A small trained tokenizer and a small random classifier for the tests of models."""

import jax
import numpy as np
import pytest

from spexjax.models.bert.classifier import TextClassifier
from spexjax.models.bert.model import Config, init_params
from spexjax.models.mini.sentiment.vocabulary import train_tokenizer

SENTENCES = [
    "Her acting never fails to impress, and it's a film I don't want to forget.",
    "The plot isn't good; the ending (so they say) was under-whelming!",
    "A never-ending story about café owners, naïve and brave.",
    "bad bad bad good good movie movie acting actor acts impressive",
]


def random_params(config, scale=0.3):
    """Normal parameters, none of them 0 or 1, so that a swapped pair shows."""
    shapes = jax.eval_shape(lambda: init_params(config, jax.random.key(0)))
    rng = np.random.default_rng(5)
    return jax.tree.map(lambda x: np.float32(rng.normal(0, scale, x.shape)), shapes)


@pytest.fixture(scope="session")
def tokenizer():
    return train_tokenizer([SENTENCES * 3], 120)


@pytest.fixture(scope="session")
def classifier(tokenizer):
    config = Config(
        vocab_size=tokenizer.get_vocab_size(),
        dim=24,
        n_layers=2,
        n_heads=3,
        hidden_dim=40,
        max_position_embeddings=96,
        label_names=("NEGATIVE", "POSITIVE"),
    )
    return TextClassifier(config, random_params(config, 0.5), tokenizer, "tiny")
