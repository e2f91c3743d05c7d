"""TRAK: attribution by one linear regression on projected gradients.

Park, Georgiev, Ilyas, Leclerc, Mądry, ICML 2023, arXiv 2303.14186. With φ(z) = Pᵀ ∇_θ log-odds(z),
P a Gaussian matrix, Φ the φ of all training points and p_i the probability of the right class of
point i,

  τ(z)_i = φ(z)ᵀ (ΦᵀΦ)⁻¹ φ_i · (1 − p_i),

where both factors are means over several models, each trained on a random part of the data.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from spexjax.models.training import gradients
from spexjax.models.training.influence import by_feature
from spexjax.models.training.learners import Params
from spexjax.models.training.training import Recipe, train_model
from spexjax.models.training.value import DataValue
from spexjax.typing import Array, Key

_BLOCK = 4096  # parameters that are projected at once


def trak(
    f: DataValue,
    dimension: int,
    models: int = 10,
    share: float = 0.5,
    ridge: float = 0.0,
    seed: int = 0,
) -> Float[np.ndarray, "n K"]:
    """What each feature adds to each test point's log-odds, summed over a group's points.

    Args:
      f: the value function; gradients are of the log-odds whatever its score.
      dimension: k, columns of P; without ``ridge`` at most the number of training points. No
        projection is made from the number of parameters on.
      models: trained and averaged; each has a P of its own.
      share: of the data that each sees; 1 trains all on everything, from different beginnings.
      ridge: added to ΦᵀΦ, times its mean diagonal.
      seed: of models, their data and P.

    Raises:
      ValueError: if a number is out of range.
    """
    if dimension < 1 or models < 1 or not 0 < share <= 1 or not ridge >= 0:
        raise ValueError(
            "dimension and models must be at least 1, share in (0, 1] and ridge at least 0, got "
            f"{dimension}, {models}, {share} and {ridge}."
        )
    points = len(f.train[1])
    projected, wrong = np.zeros((points, f.outputs)), np.zeros(points)
    for key in jax.random.split(jax.random.key(seed, impl="threefry2x32"), models):
        a, b = _one(f.asked.recipe, dimension, *f.train, *f.test, key, share, ridge)
        projected += np.asarray(a) / models
        wrong += np.asarray(b) / models
    return by_feature(f, projected * wrong[:, None])


@partial(jax.jit, static_argnums=(0, 1))
def _one(
    recipe: Recipe, dimension: int, x, y, x_test, y_test, key: Key, share, ridge
) -> tuple[Float[Array, "points K"], Float[Array, "points"]]:
    """φ(z)ᵀ (ΦᵀΦ)⁻¹ φ_i and 1 − p_i at one model."""
    points = len(y)
    data, begin, projection = jax.random.split(key, 3)
    rank = jnp.argsort(jax.random.permutation(data, points))
    seen = (rank < jnp.round(share * points)).astype(jnp.float32)
    params = train_model(recipe, x, y, seen, begin)
    train = features(recipe, dimension, params, x, y, projection)
    test = features(recipe, dimension, params, x_test, y_test, projection)
    gram = jnp.matmul(train.T, train, precision="highest")
    size = len(gram)
    gram = gram + ridge * jnp.trace(gram) / size * jnp.eye(size, dtype=gram.dtype)
    scores = jnp.matmul(train, jnp.linalg.solve(gram, test.T), precision="highest")
    log_p = jax.nn.log_softmax(recipe.apply(params, x))[jnp.arange(points), y]
    return scores, -jnp.expm1(log_p)


def features(
    recipe: Recipe, dimension: int, params: Params, x: Array, y: Array, key: Key
) -> Float[Array, "points k"]:
    """Projected gradients of the log-odds; not projected where that would not shorten them."""
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    if dimension >= size:
        return gradients.of_points(recipe, "log-odds", params, x, y)
    blocks = -(-size // _BLOCK)
    keys = jax.random.split(key, blocks)

    def one(point: tuple[Array, Array]) -> Float[Array, "k"]:
        g = gradients.gradient(recipe, "log-odds", params, *point)
        g = jnp.pad(g, (0, blocks * _BLOCK - size)).reshape(blocks, _BLOCK)

        def add(total: Array, block: tuple[Key, Array]) -> tuple[Array, None]:
            gaussian = jax.random.normal(block[0], (_BLOCK, dimension), jnp.float32)
            return total + jnp.matmul(block[1], gaussian, precision="highest"), None

        return jax.lax.scan(add, jnp.zeros(dimension, jnp.float32), (keys, g))[0]

    return jax.lax.map(one, (x, y), batch_size=min(gradients.AT_ONCE, len(y)))
