"""scikit-learn's data under its forests and boosted trees as a task.

A group is a data set and a model, ``cancer-forest``. An item is a row of the table; a masked
feature takes its median over the training rows.
"""

from collections.abc import Iterator

import numpy as np

from spexjax.experiments.tasks.item import Item, TaskConfig, chosen
from spexjax.values.tables import tabular

_DATA = ("cancer", "wine", "diabetes")
_MODELS = ("forest", "boosting")
GROUPS = tuple(f"{data}-{model}" for data in _DATA for model in _MODELS)


def items(config: TaskConfig) -> Iterator[Item]:
    """Rows that the model was not trained on.

    Raises:
      ImportError: if scikit-learn is not installed.
    """
    from sklearn.model_selection import train_test_split

    for group in chosen(config, GROUPS):
        name, kind = group.split("-")
        table, target, labels = _table(name)
        fitted, held_out, answers, _ = train_test_split(
            table, target, random_state=config.seed, test_size=0.3
        )
        model = _model(kind).fit(fitted, answers)
        background = np.median(fitted, axis=0)
        for i, row in enumerate(held_out[: config.per_group]):
            f = tabular(model.predict, row, background)
            yield Item(f"{group}-{config.seed}-{i}", group, len(row), f, None, labels)


def _table(name: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Rows, a number to predict (0 and 1, or a class's place, or the score), names of columns."""
    from sklearn import datasets

    load = {
        "cancer": datasets.load_breast_cancer,
        "wine": datasets.load_wine,
        "diabetes": datasets.load_diabetes,
    }
    found = load[name]()
    return found.data, found.target.astype(float), tuple(map(str, found.feature_names))


def _model(kind: str):
    from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor

    if kind == "forest":
        return RandomForestRegressor(100, random_state=0, n_jobs=1)
    return GradientBoostingRegressor(n_estimators=100, max_depth=4, random_state=0)
