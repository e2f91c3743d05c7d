"""The published recipe of ProxySPEX, for comparison (Butler et al. 2025, section 4)."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, UInt32

from spexjax.codes import gf2
from spexjax.masks.design import Design
from spexjax.spectra import spectrum, subsets
from spexjax.spectra.spectrum import Spectrum
from spexjax.spectra.subsets import Sets
from spexjax.surrogates.fitted import Done, Fit, Standardised
from spexjax.surrogates.proposals import TREES
from spexjax.trees import boosting, fourier, lightgbm
from spexjax.trees.boosting import MAX_DEPTH, BoostConfig, Trees
from spexjax.typing import Key

DEPTHS: tuple[int | None, ...] = (3, 5, None)
COUNTS = (500, 1000, 5000)
RATES = (0.01, 0.1)
FOLDS = 5
ENERGY = 0.95
RIDGE_STRENGTHS = np.geomspace(1e-6, 1e6, 100)


def fit(design: Design, values: Standardised, with_lightgbm: bool, key: Key) -> Fit:
    """Fits every output by the published recipe; the held-out masks join for the coefficients."""
    n, train, stream = design.n, ~design.held_out, jax.random.fold_in(key, TREES)
    masks = design.masks()
    tested, final = [], []
    for y in np.asarray(values.values, np.float32).T:
        fold = (np.arange(int(train.sum())) % FOLDS).astype(np.int32)
        grown = _lightgbm if with_lightgbm else _boosted
        supports = strongest(grown(masks[train], y[train], fold, n, stream), n)
        tested.append(_ridge(supports, masks[train], y[train], n))
        final.append(_ridge(supports, masks, y, n))
    done = Done.PAPER if with_lightgbm else Done.PAPER_DEPTH_6
    return Fit(spectrum.stack(tested), spectrum.stack(final), done)


def strongest(sets: dict[int, Sets], n: int) -> UInt32[np.ndarray, "terms W"]:
    """The fewest non-empty supports that hold 95 % of the energy, the strongest first."""
    supports = np.concatenate([subsets.pack(s.members, n) for d, s in sets.items() if d])
    energy = np.concatenate([s.values for d, s in sets.items() if d]) ** 2
    order = np.argsort(-energy, kind="stable")
    share = np.cumsum(energy[order])
    if not len(order) or share[-1] == 0:
        return supports[:0]
    return supports[order[: np.searchsorted(share, ENERGY * share[-1]) + 1]]


def _boosted(
    masks: Bool[np.ndarray, "N n"],
    values: Float[np.ndarray, "N"],
    fold: Int[np.ndarray, "N"],
    n: int,
    key: Key,
) -> dict[int, Sets]:
    """The Fourier transform of the trees that the grid search prefers."""
    best: tuple[float, Trees | None] = (np.inf, None)
    for depth in DEPTHS:
        most = max(COUNTS)
        boost = BoostConfig(depth=depth or MAX_DEPTH, rates=RATES, trees=most, patience=most)
        found = boosting.fit(masks, values, fold, key, boost, FOLDS)
        errors = np.asarray(found.errors)[:, list(COUNTS)]
        rate, count = np.unravel_index(np.argmin(errors), errors.shape)
        if errors[rate, count] < best[0]:
            trees = Trees(*(x[rate, FOLDS] for x in found.trees))
            best = errors[rate, count], trees._replace(size=jnp.int32(COUNTS[count]))
    if best[1] is None:
        raise ValueError("values must be finite numbers.")
    return fourier.terms(best[1], n)


def _lightgbm(
    masks: Bool[np.ndarray, "N n"],
    values: Float[np.ndarray, "N"],
    fold: Int[np.ndarray, "N"],
    n: int,
    key: Key,
) -> dict[int, Sets]:
    """The same of LightGBM's trees, which draw nothing at random."""
    errors: dict[tuple[int | None, float, int], float] = {}
    for depth in DEPTHS:
        for rate in RATES:
            total = np.zeros(len(COUNTS))
            for c in range(FOLDS):
                train, test = fold != c, fold == c
                model = lightgbm.train(masks[train], values[train], depth, rate, max(COUNTS))
                inputs = masks[test].astype(np.float32)
                for i, count in enumerate(COUNTS):
                    guess = model.predict(inputs, num_iteration=count)
                    total[i] += np.sum((values[test] - guess) ** 2)
            errors |= {(depth, rate, t): float(e) for t, e in zip(COUNTS, total, strict=True)}
    depth, rate, count = min(errors, key=lambda setting: errors[setting])
    return lightgbm.terms(lightgbm.train(masks, values, depth, rate, count), n)


def _ridge(
    supports: UInt32[np.ndarray, "terms W"],
    masks: Bool[np.ndarray, "N n"],
    values: Float[np.ndarray, "N"],
    n: int,
) -> Spectrum:
    """Ridge regression on the supports."""
    members = gf2.unpack_numpy(supports, n).astype(np.float64)
    X = 1 - 2 * ((masks.astype(np.float64) @ members.T) % 2)
    coefficients, intercept = ridge_left_one_out(X, values.astype(np.float64))
    empty = np.zeros((1, supports.shape[1]), np.uint32)
    found = np.concatenate([[intercept], coefficients]).astype(np.float32)
    return spectrum.from_terms(np.concatenate([empty, supports]), found, n)


def ridge_left_one_out(
    X: Float[np.ndarray, "N terms"], y: Float[np.ndarray, "N"]
) -> tuple[Float[np.ndarray, "terms"], float]:
    """Ridge regression whose strength minimises the squared error of each row left out in turn.

    min ‖y − Xw − c‖² + λ‖w‖². The row left out has the error r_i / (1 − h_i) for residuals r and
    the diagonal h of the hat matrix (Golub, Heath, Wahba 1979), so that one decomposition serves
    all rows and all λ of ``RIDGE_STRENGTHS``.

    Args:
      X: float64, shape (N, terms).
      y: float64, shape (N,).

    Returns:
      w, shape (terms,), and the intercept c.
    """
    centre, mean = X.mean(axis=0), y.mean()
    A, b = X - centre, y - mean
    wide = A.shape[1] > len(A)
    squares, V = np.linalg.eigh(A @ A.T if wide else A.T @ A)
    there = squares > squares.max(initial=0.0) * len(V) * np.finfo(float).eps
    squares, V = squares[there], V[:, there]
    scale = np.sqrt(squares)
    U, V = (V, (A.T @ V) / scale) if wide else ((A @ V) / scale, V)
    projected = U.T @ b
    shrunk = squares / (squares + RIDGE_STRENGTHS[:, None])  # (strengths, rank)
    residuals = b - (shrunk * projected) @ U.T
    left = 1 - 1 / len(y) - shrunk @ (U**2).T
    best = np.argmin(((residuals / left) ** 2).sum(axis=1))
    w = V @ (shrunk[best] / scale * projected)
    return w, float(mean - centre @ w)
