"""Games whose interaction indices are known: tables of all 2ⁿ values, and sums of conjunctions.

Forests, boosted trees, support vectors and networks on scikit-learn's data, the shipped models on
texts and questions, and planted functions. Nothing is downloaded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from spexjax.experiments.functions.conjunctions import Conjunctions, of_trees, planted
from spexjax.indices.interaction_values import Interactions
from spexjax.indices.of_spectrum import from_terms
from spexjax.models.bert.classifier import load_classifier
from spexjax.models.llama.language import load_language_model
from spexjax.models.mini.two_hop.facts import held_out_examples
from spexjax.models.values.language import language_value
from spexjax.models.values.text import value_function
from spexjax.spectra import transforms

_TEXTS = (
    "The film is not bad at all , quite the opposite really .",
    "A dull and lifeless plot saved only by its very charming cast .",
    "I never thought I would enjoy this but it was not boring .",
)
_ROWS = 4096


@dataclass(frozen=True, eq=False)
class Table:
    """A function given by all its values, mask m at place m; the fields of ``Conjunctions``."""

    values: Float[np.ndarray, "2**n"]

    @property
    def n(self) -> int:
        """The number of inputs."""
        return len(self.values).bit_length() - 1

    def __call__(self, masks: Bool[np.ndarray, "N n"]) -> Float[np.ndarray, "N"]:
        return self.values[np.atleast_2d(np.asarray(masks, bool)) @ (1 << np.arange(self.n))]

    def interactions(self, index: str, order: int) -> Interactions:
        """An interaction index, of the exact transform."""
        F = transforms.exact_ifwht(self.values[:, None])[:, 0]
        supports = np.arange(len(F), dtype=np.uint32)[:, None]
        return from_terms(supports, F, self.n, index, order)


def _table(f: Callable[[np.ndarray], Any], n: int) -> Table:
    masks = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)
    blocks = np.array_split(masks, max(1, len(masks) // _ROWS))
    return Table(np.concatenate([np.asarray(f(block), float).ravel() for block in blocks]))


@cache
def _split(name: str, columns: int | None = None) -> tuple[np.ndarray, ...]:
    """Rows to learn from, others, and the numbers to predict for the first."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    data = getattr(datasets, f"load_{name}")()
    table = data.data[:, :columns]
    fitted, others, answers, _ = train_test_split(table, data.target, random_state=0)
    return fitted, others, answers


@cache
def _model(name: str, kind: str, columns: int | None = None) -> Any:
    from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    fitted, _, answers = _split(name, columns)
    made = {
        "forest": lambda: RandomForestRegressor(100, random_state=0, n_jobs=1),
        "boosting": lambda: GradientBoostingRegressor(max_depth=4, random_state=0),
        "network": lambda: make_pipeline(
            StandardScaler(), MLPClassifier((32,), max_iter=1000, random_state=0)
        ),
        "vectors": lambda: make_pipeline(StandardScaler(), SVC()),
    }[kind]()
    return made.fit(fitted, answers)


def _tabular(name: str, kind: str, place: int, columns: int | None = None) -> Table:
    """A row's prediction, a masked input being the median of the rows learned from."""
    model = _model(name, kind, columns)
    fitted, others, _ = _split(name, columns)
    row, background = others[place], np.median(fitted, axis=0)

    def f(masks: np.ndarray) -> np.ndarray:
        rows = np.where(masks, row, background)
        if kind == "network":
            return model.predict_proba(rows)[:, 1]
        return model.decision_function(rows) if kind == "vectors" else model.predict(rows)

    return _table(f, len(row))


@cache
def _digits() -> tuple[Any, np.ndarray, np.ndarray]:
    from sklearn.neural_network import MLPClassifier

    fitted, others, answers = _split("digits")
    network = MLPClassifier((64,), max_iter=400, random_state=0).fit(fitted / 16, answers)
    return network, fitted / 16, others / 16


def _digit(place: int, blank: bool) -> Table:
    """An image in 4 × 4 patches; a masked one is blank, or the mean of the images learned from."""
    network, fitted, others = _digits()
    image, background = others[place], np.zeros(64) if blank else fitted.mean(axis=0)
    chosen = network.predict(image[None])[0]
    row, column = np.divmod(np.arange(64), 8)
    patch = row // 2 * 4 + column // 2

    def f(masks: np.ndarray) -> np.ndarray:
        return network.predict_proba(np.where(masks[:, patch], image, background))[:, chosen]

    return _table(f, 16)


def _text(place: int) -> Table:
    f = value_function(load_classifier(None), _TEXTS[place])
    return _table(f, f.n)


def _question(place: int) -> Table:
    f = [
        language_value(load_language_model(None), e.context, e.question)
        for e, _ in zip(held_out_examples(0, 12, 2), range(place + 1), strict=False)
    ][place]
    return _table(f, f.n)


def _trees(kind: str, place: int) -> Conjunctions:
    """All 30 measurements of a tumour."""
    model = _model("breast_cancer", kind)
    fitted, others, _ = _split("breast_cancer")
    trees = [e.tree_ for e in np.ravel(model.estimators_)]
    scale = model.learning_rate if kind == "boosting" else 1 / len(trees)
    return of_trees(trees, others[place], np.median(fitted, axis=0), scale)


def _pixels(place: int) -> Conjunctions:
    """All 64 pixels of a digit under a forest."""
    from sklearn.ensemble import RandomForestRegressor

    fitted, others, answers = _split("digits")
    forest = RandomForestRegressor(60, max_depth=10, random_state=0, n_jobs=1)
    forest.fit(fitted, answers == 3)
    trees = [e.tree_ for e in forest.estimators_]
    return of_trees(trees, others[place], fitted.mean(axis=0), 1 / len(trees))


def _friedman(n: int) -> Conjunctions:
    from sklearn.datasets import make_friedman1
    from sklearn.ensemble import GradientBoostingRegressor

    rows, answers = make_friedman1(1500, n, random_state=0)
    model = GradientBoostingRegressor(n_estimators=150, max_depth=5, random_state=0)
    model.fit(rows[:1000], answers[:1000])
    trees = [e.tree_ for e in np.ravel(model.estimators_)]
    return of_trees(trees, rows[1200], np.median(rows, axis=0), model.learning_rate)


def _ands(n: int, seed: int, terms: int) -> Conjunctions:
    """Conjunctions of any size, most of them large."""
    rng = np.random.default_rng(seed)
    keep = rng.random((terms, n)) < rng.uniform(0.1, 0.6, (terms, 1))
    return Conjunctions(keep, np.zeros_like(keep), rng.standard_normal(terms))


Game = Table | Conjunctions
GAMES: dict[str, Callable[[], Game]] = {
    **{f"digits-mean-{i}": partial(_digit, i, blank=False) for i in range(2)},
    **{f"digits-blank-{i}": partial(_digit, i, blank=True) for i in (2, 3)},
    **{f"wine-forest-{i}": partial(_tabular, "wine", "forest", i) for i in range(2)},
    "wine-boosting": partial(_tabular, "wine", "boosting", 0),
    **{
        f"cancer-14-vectors-{i}": partial(_tabular, "breast_cancer", "vectors", i, 14)
        for i in range(2)
    },
    "cancer-12-forest": partial(_tabular, "breast_cancer", "forest", 2, 12),
    **{
        f"cancer-15-network-{i}": partial(_tabular, "breast_cancer", "network", i, 15)
        for i in (4, 5)
    },
    **{f"diabetes-forest-{i}": partial(_tabular, "diabetes", "forest", i) for i in range(3)},
    **{f"diabetes-boosting-{i}": partial(_tabular, "diabetes", "boosting", i) for i in (3, 4)},
    **{f"text-{i}": partial(_text, i) for i in range(3)},
    **{f"two-hop-{i}": partial(_question, i) for i in range(2)},
    "ands-12": partial(_ands, 12, 1, 30),
    "ands-14": partial(_ands, 14, 2, 60),
    "planted-30": partial(planted, 30, 0, 40, 4),
    "planted-60": partial(planted, 60, 1, 60, 4),
    "planted-100": partial(planted, 100, 2, 80, 5),
    "planted-200": partial(planted, 200, 3, 60, 3),
    **{f"cancer-30-forest-{i}": partial(_trees, "forest", i) for i in range(2)},
    "cancer-30-boosting": partial(_trees, "boosting", 2),
    "friedman-60-boosting": partial(_friedman, 60),
    "digits-64-forest": partial(_pixels, 0),
}
"""Made on demand, by name; each a value function with ``n`` and ``interactions(index, order)``."""
