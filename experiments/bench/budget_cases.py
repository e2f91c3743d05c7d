"""The functions on which methods are compared by budget: synthetic ones, forests, texts.

The kind of a function is the group of its item.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from spexjax import values
from spexjax.codes import gf2
from spexjax.experiments.data import texts as texts_of
from spexjax.experiments.functions import synthetic
from spexjax.experiments.tasks.item import Item
from spexjax.models.bert.classifier import load_classifier
from spexjax.models.values.text import value_function
from spexjax.store.store import Store
from spexjax.typing import ValueFunction

WORDS = ((16, 24), (25, 34), (35, 48), (49, 80), (81, 128))
_OPTIONS: dict[str, dict] = {"flat": {"n_terms": 30}, "linear": {"noise": 0.3}}


def remembered(f: ValueFunction, n: int, key: str, store: Store | None) -> ValueFunction:
    """f, asked only for masks whose values are not in the store yet."""
    if store is None:
        return f
    journal = store.journal(key, n)
    W = gf2.num_words(n)

    def asked(bits: Bool[np.ndarray, "N n"]) -> Float[np.ndarray, "N"]:
        packed = gf2.pack_numpy(np.asarray(bits, bool), W)
        answers = values.evaluate(f, packed, n, 512, False, journal)
        journal.flush()
        return np.asarray(answers)

    return asked


def synthetic_cases(sizes: tuple[int, ...]) -> Iterator[Item]:
    """Every family at every n."""
    for n in sizes:
        for name in synthetic.FAMILIES:
            f = synthetic.family(name, n, 0, **_OPTIONS.get(name, {}))
            yield Item(f"{name}-{n}", "synthetic", n, f)


def forest_cases() -> Iterator[Item]:
    """Forests on tables: the first row, in which a masked column takes its median."""
    from sklearn.datasets import load_breast_cancer, load_diabetes
    from sklearn.ensemble import RandomForestRegressor

    for name, table in (("cancer", load_breast_cancer()), ("diabetes", load_diabetes())):
        model = RandomForestRegressor(100, random_state=0, n_jobs=1).fit(table.data, table.target)
        row, other = table.data[0], np.median(table.data, axis=0)

        def f(bits, model=model, row=row, other=other):
            return model.predict(np.where(bits, row, other))

        yield Item(f"forest-{name}", "forest", table.data.shape[1], f)


def text_cases(data: Path | None, per_size: int, store: Store | None) -> Iterator[Item]:
    """``per_size`` texts of every range of lengths, under the sentiment model of the package."""
    pool = texts_of.own_texts() if data is None else texts_of.read_folder(data)
    model = load_classifier()
    for low, high in WORDS:
        chosen = texts_of.of_length(pool, low, high, per_size, 0, lambda t: len(t.split()))
        for text in chosen:
            f = value_function(model, text.text)
            name = text.name if len(text.name) < 24 else f"{text.name[:20]}…"
            yield Item(f"{name}-{f.n}", "text", f.n, remembered(f, f.n, f.store_key, store))
