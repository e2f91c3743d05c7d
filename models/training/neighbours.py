"""KNN-Shapley: what training points are worth to a vote of nearest neighbours, in closed form."""

import numpy as np
from jaxtyping import Float, Int


def knn_shapley(
    x: Float[np.ndarray, "points ..."],
    y: Int[np.ndarray, "points"],
    x_test: Float[np.ndarray, "K ..."],
    y_test: Int[np.ndarray, "K"],
    neighbours: int = 5,
) -> Float[np.ndarray, "points K"]:
    """Shapley values of the game v(S) = 1/k · #{of the k nearest in S: right class}.

    From the farthest point to the nearest, each value follows from the one before (Jia et al.,
    VLDB 2019, arXiv 1908.08619, theorem 1). No model is trained.

    Args:
      x, y: training points, compared by Euclidean distance, and their labels.
      x_test, y_test: test points.
      neighbours: k.

    Returns:
      A value for each training point and test point; over the training points they add up to the
      vote of all of them.

    Raises:
      ValueError: if ``neighbours`` is below 1 or there are no points.
    """
    if neighbours < 1 or not len(x):
        raise ValueError(f"there must be points and neighbours, got {len(x)} and {neighbours}.")
    a, b = (np.asarray(z, np.float64).reshape(len(z), -1) for z in (x, x_test))
    distance = (b**2).sum(1)[:, None] - 2 * b @ a.T + (a**2).sum(1)
    order = np.argsort(distance, axis=1, kind="stable")  # (K, points), the nearest first
    right = (np.asarray(y)[order] == np.asarray(y_test)[:, None]).astype(float)
    N, rank = len(x), np.arange(1, len(x))
    step = (right[:, :-1] - right[:, 1:]) * np.minimum(1 / neighbours, 1 / rank)
    last = right[:, -1:] / max(N, neighbours)
    sorted_values = np.concatenate([np.cumsum(step[:, ::-1], 1)[:, ::-1] + last, last], axis=1)
    values = np.empty_like(sorted_values)
    np.put_along_axis(values, order, sorted_values, axis=1)
    return values.T
