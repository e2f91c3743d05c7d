"""LightGBM in place of :mod:`spexjax.trees.boosting`, for the published recipe of ProxySPEX."""

import warnings
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from spexjax.spectra.subsets import Sets
from spexjax.trees import fourier
from spexjax.trees.fourier import Steps

LONGEST_PATH = 16
"""Nodes below more tests are left out of the transform: each spreads over more than 2^16 sets."""


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
            "lightgbm is not installed: pip install lightgbm. ProxySpex(proxy='jax') needs no "
            "package."
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
    """The Fourier coefficients of a booster on binary features, by size of the set.

    Exact but for inner nodes below more than :data:`LONGEST_PATH` tests. The step h of a node
    below j tests has the variance h² / 2^j and spreads over 2^j sets; what all nodes left out may
    have together is bounded by the square of the sum of their standard deviations.

    Args:
      booster: whatever has LightGBM's ``dump_model``. Left is 0, right is 1.
      n: number of features.

    Warns:
      RuntimeWarning: if nodes are left out, with that bound.
    """
    paths: dict[int, list[tuple[list[int], list[bool], int, float]]] = {}
    left_out: list[float] = []
    constant = 0.0

    def mean(node: dict[str, Any], tests: list[int], right: list[bool]) -> float:
        if "leaf_value" in node:
            return node["leaf_value"]
        feature = node["split_feature"]
        sides = [
            mean(node[child], [*tests, feature], [*right, child == "right_child"])
            for child in ("left_child", "right_child")
        ]
        half = (sides[0] - sides[1]) / 2
        if len(tests) <= LONGEST_PATH:
            paths.setdefault(len(tests), []).append((tests, right, feature, half))
        else:
            left_out.append(abs(half) / 2 ** (len(tests) / 2))
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
    sets = fourier.expand(parts, constant, n)
    if any(left_out):
        kept = sum(float(np.sum(s.values**2)) for size, s in sets.items() if size)
        most = sum(left_out) ** 2
        warnings.warn(
            f"{len(left_out)} nodes of LightGBM's trees lie below more than {LONGEST_PATH} tests; "
            f"the Fourier transform leaves them out, with a variance of at most {most:.1e}, where "
            f"{kept:.1e} are kept. A smaller depth avoids it.",
            RuntimeWarning,
            stacklevel=2,
        )
    return sets
