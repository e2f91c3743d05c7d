"""LightGBM in place of :mod:`spexjax.trees.boosting`, for the published recipe of ProxySPEX."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from spexjax.spectra.subsets import Sets
from spexjax.trees import fourier
from spexjax.trees.fourier import Steps

# A node below that many others spreads over more than 2^16 sets, each of 2^-16 of its step.
LONGEST_PATH = 16


def train(
    masks: Bool[np.ndarray, "N n"],
    values: Float[np.ndarray, "N"],
    depth: int | None,
    rate: float,
    trees: int,
) -> Any:
    """A ``lightgbm.Booster`` with the defaults of LightGBM's regressor (31 leaves, 20 rows a leaf).

    Raises:
      ImportError: if LightGBM is not installed.
    """
    try:
        import lightgbm
    except ModuleNotFoundError as error:
        raise ImportError(
            "lightgbm is not installed; it comes with the extra 'peers': "
            "pip install 'spexjax[peers]'. ProxySpex(proxy='jax') needs no package."
        ) from error
    settings = {
        "objective": "regression",
        "learning_rate": rate,
        "max_depth": -1 if depth is None else depth,
        "verbosity": -1,
        "num_threads": 1,
        "deterministic": True,
        "seed": 0,
    }
    data = lightgbm.Dataset(masks.astype(np.float32), np.asarray(values, np.float64))
    return lightgbm.train(settings, data, trees)


def terms(booster: Any, n: int) -> dict[int, Sets]:
    """The Fourier coefficients of a booster on binary features, by size of the set."""
    paths: dict[int, list[tuple[list[int], list[bool], int, float]]] = {}
    constant = 0.0

    def mean(node: dict[str, Any], tests: list[int], right: list[bool]) -> float:
        if "leaf_value" in node:
            return node["leaf_value"]
        feature = node["split_feature"]
        sides = [
            mean(node[child], [*tests, feature], [*right, child == "right_child"])
            for child in ("left_child", "right_child")
        ]
        if len(tests) <= LONGEST_PATH:
            step = (tests, right, feature, (sides[0] - sides[1]) / 2)
            paths.setdefault(len(tests), []).append(step)
        return sum(sides) / 2

    for tree in booster.dump_model()["tree_info"]:
        constant += mean(tree["tree_structure"], [], [])
    parts = []
    for length, steps in paths.items():
        tests, right, feature, half = zip(*steps, strict=True)
        shape = (len(steps), length)
        parts.append(
            Steps(
                np.array(tests, np.int64).reshape(shape),
                np.array(right, bool).reshape(shape),
                np.array(feature, np.int64),
                np.array(half),
            )
        )
    return fourier.expand(parts, constant, n)
