"""One least-squares problem as several training sets see it: folds, centring, scale, Grams.

Columns are brought to mean 0 and mean square 1 before anything is summed: in float32 a Gram of
columns far from 0 would lose its small eigenvalues to the rounding of their means.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from spexjax.regression.conjugate_gradients import inner
from spexjax.regression.scaling import divisor, unit
from spexjax.typing import Array, ArrayLike, Key

# Columns (and y) whose deviation is below this share of their largest value are constants: float32
# rounds their mean to about 1e-7 of it.
CONSTANT = 1e-6


class Lanes(NamedTuple):
    """One design, seen by L training sets (``lanes``) at once.

    Attributes:
      X: float32 (N, S), columns of mean 0 and mean square 1 over all rows (0 where constant).
      share: float32 (L, N), the weight of each row in each lane, of sum 1.
      mean: float32 (L, S), the weighted mean of X in each lane.
      gram: float32 (L, S, S), (X − mean)ᵀ diag(share) (X − mean); None if S is too large for it.
    """

    X: Float[Array, "N S"]
    share: Float[Array, "L N"]
    mean: Float[Array, "L S"]
    gram: Float[Array, "L S S"] | None

    def residual(
        self, y: Float[Array, "N"] | Float[Array, "B N"], w: Float[Array, "L B S"]
    ) -> Float[Array, "L B N"]:
        """y − Xw on every row, both centred by the lane's training rows."""
        y = jnp.atleast_2d(y)
        level = matmul(self.share, y.T)[..., None]
        fit = matmul(w, self.X.T) - jnp.sum(w * self.mean[:, None], axis=-1, keepdims=True)
        return y - level - fit

    def slope(self, residual: Float[Array, "L B N"]) -> Float[Array, "L B S"]:
        """The product of the lane's centred columns with a residual, weighted by ``share``."""
        r = self.share[:, None] * residual
        return matmul(r, self.X) - jnp.sum(r, axis=-1, keepdims=True) * self.mean[:, None]

    def product(self, w: Float[Array, "L B S"]) -> Float[Array, "L B S"]:
        """G w for the Gram of each lane, through the rows where there is no ``gram``."""
        if self.gram is not None:
            return apply(self.gram, w)
        return self.slope(-self.residual(jnp.zeros(self.X.shape[0], jnp.float32), w))

    def sub_gram(self, index: Int[Array, "L M"]) -> Float[Array, "L M M"]:
        """The Gram of each lane's own choice of columns."""
        if self.gram is not None:
            return jax.vmap(lambda G, i: G[i][:, i])(self.gram, index)

        def one(lane):
            share, mean, i = lane
            columns = self.X[:, i] - mean[i]
            return matmul((share[:, None] * columns).T, columns)

        return jax.lax.map(one, (self.share, self.mean, index))


class Design(NamedTuple):
    """X in the coordinates that the solvers use, and the way back.

    Attributes:
      lanes: training without fold i in lane i < F, on all rows in the last.
      centre: float32 (S,), the means of the columns.
      scale: float32 (S,), their deviations; 1 where constant.
      mask: bool (S,), True where a coefficient may differ from 0.
      total: float32 (L,), the weight that each lane trains on.
      held_out: float32 (F, N), the weights, of sum 1, of the rows of each fold; all 0 where a
        fold is empty.
    """

    lanes: Lanes
    centre: Float[Array, "S"]
    scale: Float[Array, "S"]
    mask: Bool[Array, "S"]
    total: Float[Array, "L"]
    held_out: Float[Array, "F N"]

    def restore(
        self, w: Float[Array, "S"], level: Float[Array, ""]
    ) -> tuple[Float[Array, "S"], Float[Array, ""]]:
        """Coefficients and intercept of X itself; ``level`` is the mean that y had."""
        coefficients = w / self.scale
        centre = self.centre + self.scale * self.lanes.mean[-1]
        return coefficients, level - jnp.sum(coefficients * centre)

    def standardise(
        self, y: Float[Array, "N"]
    ) -> tuple[Float[Array, "N"], Float[Array, ""], Float[Array, ""]]:
        """y with mean 0 and mean square 1 over the rows that count, its mean and its deviation."""
        share = self.lanes.share[-1]
        y = jnp.where(share > 0, y, 0.0)
        largest = jnp.max(jnp.abs(y))
        size = unit(largest)
        y, largest = y / size, largest / size
        level = jnp.sum(share * y)
        y = y - level
        spread = jnp.sqrt(jnp.sum(share * y**2))
        constant = spread <= CONSTANT * largest
        spread = jnp.where(constant, 1.0, spread)
        return jnp.where(constant, 0.0, y / spread), level * size, spread * size

    def vanishing(self, y: Float[Array, "N"]) -> Float[Array, ""]:
        """The smallest L1 strength at which every coefficient is 0, for a y standardised.

        Where y is constant every strength does, and one that is small for X is returned.
        """
        slope = matmul(self.lanes.share[-1] * y, self.lanes.X)
        top = jnp.max(jnp.where(self.mask, jnp.abs(slope) * self.scale, 0.0))
        return jnp.where(top == 0, 1e-12 * jnp.max(self.scale), top)

    def mean_error(self, fold_errors: Float[Array, "A F"]) -> Float[Array, "A"]:
        """The mean over the folds that have rows."""
        filled = (jnp.sum(self.held_out, axis=-1) > 0.5).astype(jnp.float32)
        return inner(fold_errors, filled) / jnp.maximum(jnp.sum(filled), 1.0)


def prepare(
    X: Float[Array, "N S"],
    weights: Float[Array, "N"],
    valid: Bool[Array, "S"],
    folds: int,
    key: Key | None,
    use_gram: bool,
) -> Design:
    """Standardises X and makes a lane of every fold's training rows, and one of all rows."""
    N = X.shape[0]
    part = weights / divisor(jnp.sum(weights))
    X = jnp.where(weights[:, None] > 0, X, 0.0)
    largest = jnp.max(jnp.abs(X), axis=0)
    size = unit(largest)
    X, largest = X / size, largest / size
    centre = matmul(part, X)
    X = X - centre
    deviation = jnp.sqrt(matmul(part, X**2))
    # Written so that a NaN stays in, and shows in the result, instead of passing for a constant.
    mask = valid & ~(deviation <= CONSTANT * largest)
    scale = jnp.where(mask, deviation, 1.0)
    X = jnp.where(mask, X / scale, 0.0)

    if folds:
        fold, rows = assign_folds(weights > 0, folds, key)
        member = jnp.where(fold == jnp.arange(folds, dtype=jnp.int32)[:, None], weights, 0.0)
    else:
        member, rows = jnp.zeros((0, N), jnp.float32), jnp.arange(N, dtype=jnp.int32)[None]
    held_out = member / divisor(jnp.sum(member, axis=-1, keepdims=True))
    train = jnp.concatenate([weights - member, weights[None]])
    total = jnp.sum(train, axis=-1)
    share = train / divisor(total)[:, None]
    mean = matmul(share, X)
    gram = _grams(X, weights, rows, total, mean) if use_gram else None
    lanes = Lanes(X, share, mean, gram)
    return Design(lanes, centre * size, scale * size, mask, total, held_out)


def assign_folds(
    present: Bool[Array, "N"], folds: int, key: Key | None
) -> tuple[Int[Array, "N"], Int[Array, "F R"]]:
    """Splits the rows present into folds whose sizes differ by at most 1, the larger ones first.

    Args:
      present: bool (N,); other rows belong to no fold.
      folds: F.
      key: folds are drawn at random if given, else contiguous, as scikit-learn's ``KFold``.

    Returns:
      the fold of each row, int32 (N,), F where not present; the rows of each fold, int32
      (F, ceil(N / F)), filled up with N.
    """
    N = present.shape[0]
    rank = jnp.cumsum(present, dtype=jnp.int32) - 1
    if key is not None:
        draw = jnp.where(present, jax.random.uniform(key, (N,), jnp.float32), 2.0)
        rank = jnp.argsort(jnp.argsort(draw)).astype(jnp.int32)
    small, larger = jnp.divmod(jnp.sum(present, dtype=jnp.int32), jnp.int32(folds))
    edge = larger * (small + 1)
    fold = jnp.where(
        rank < edge, rank // (small + 1), larger + (rank - edge) // jnp.maximum(small, 1)
    )
    first = fold * small + jnp.minimum(fold, larger)
    fold = jnp.where(present, fold, folds)
    rows = jnp.full((folds, math.ceil(N / folds)), N, jnp.int32)
    return fold, rows.at[fold, rank - first].set(jnp.arange(N, dtype=jnp.int32), mode="drop")


def _grams(X, weights, rows, total, mean):
    """Each fold's Gram once; every training set's as a sum of them, so that nothing cancels."""
    N, S = X.shape
    F, L = rows.shape[0], total.shape[0]
    inside = jnp.minimum(rows, N - 1)
    weight = jnp.where(rows < N, weights[inside], 0.0)
    X = X[inside] if L > 1 else X[None]
    grams = jnp.einsum("fns,fnt->fst", weight[..., None] * X, X, precision="highest")
    if L > 1:
        others = jnp.concatenate([1 - jnp.eye(F, dtype=jnp.float32), jnp.ones((1, F), jnp.float32)])
        grams = matmul(others, grams.reshape(F, -1)).reshape(L, S, S)
    return grams / divisor(total)[:, None, None] - mean[:, :, None] * mean[:, None]


def matmul(a: ArrayLike, b: ArrayLike) -> Array:
    """a @ b in full float32 on every backend (a GPU's default would round to ten bits)."""
    return jnp.matmul(a, b, precision="highest")


def apply(gram: Float[Array, "L M M"], w: Float[Array, "L B M"]) -> Float[Array, "L B M"]:
    """G w for each lane and each of its B points.

    The barriers keep XLA from folding the transposes into the product, for which it would
    transpose the Grams: 2 to 4 times slower on a CPU (and a B divisible by 8 is fastest).
    """
    points = jax.lax.optimization_barrier(jnp.swapaxes(w, 1, 2))
    images = jnp.einsum("lst,ltb->lsb", gram, points, precision="highest")
    return jnp.swapaxes(jax.lax.optimization_barrier(images), 1, 2)
