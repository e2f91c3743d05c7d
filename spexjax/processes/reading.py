"""What the posterior mean of a process says: Fourier coefficients, and interaction indices.

The covariance with a mask j is a multiple of Π_i (1 + z_ij), z_ij = ±tanh b_i, so that its
coefficients are products of z, and its indices sums over a few nodes
(:mod:`spexjax.indices.quadrature`).
"""

import numpy as np
from jaxtyping import Float, Int, Int32

from spexjax.codes import gf2
from spexjax.indices import index_weights
from spexjax.indices.quadrature import rule
from spexjax.processes.covariance import Mean, even_part
from spexjax.processes.pairs import EVEN, ODD
from spexjax.processes.process import Process
from spexjax.spectra import subsets
from spexjax.spectra.subsets import Terms

_AT_ONCE = 1 << 22  # numbers in a table of products
_BEAM = 512


def index(process: Process, sets: Terms, name: str, order: int) -> Float[np.ndarray, "L K"]:
    """An interaction index of the mean on sets; see :func:`spexjax.indices.interactions`."""
    mean = process.mean
    z, log_scale = _factors(mean)
    found = rule(name, order, z.shape[1])
    out = np.zeros((len(sets.sizes), len(mean.level)))
    for q, node in enumerate(found.nodes):
        grown = 1 + node * z
        whole = np.log(grown).sum(axis=1)
        others = z / grown
        each = np.exp(whole + log_scale[:, None])[..., None] * mean.weights
        for s in range(len(found.factors)):
            even, odd = found.factors[s, :, q]
            if even or odd:
                _add(out, others, even * each[EVEN] + odd * each[ODD], sets, s)
    out[sets.sizes == 0] += _level(mean)  # every index has a constant on ∅
    if process.members is None or process.fixed is None:
        return out
    return out + _of_sets(process.members, process.fixed, sets, name, order, z.shape[1])


def _of_sets(
    members: Int32[np.ndarray, "T t"],
    F: Float[np.ndarray, "T K"],
    sets: Terms,
    name: str,
    order: int,
    n: int,
) -> Float[np.ndarray, "L K"]:
    """An index of coefficients on a few sets: Σ_{U⊇S} w(|S|, |U|) F(U)."""
    used = np.flatnonzero(F.any(axis=1))
    degrees = (members[used] >= 0).sum(axis=1)
    table = index_weights.weights(index_weights.find(name), order, int(degrees.max(initial=0)))
    bits = gf2.unpack_numpy(subsets.pack(members[used], n), n).astype(np.float32).T
    out = np.zeros((len(sets.sizes), F.shape[1]))
    for part in np.array_split(np.arange(len(out)), 1 + len(out) * len(used) // _AT_ONCE):
        size = sets.sizes[part]
        common = gf2.unpack_numpy(sets.packed[part], n).astype(np.float32) @ bits
        w = table[np.minimum(size, len(table) - 1)[:, None], degrees]
        out[part] = np.where(common == size[:, None], w, 0.0) @ F[used]
    return out


def _add(
    out: Float[np.ndarray, "L K"],
    factors: Float[np.ndarray, "P n"],
    weights: Float[np.ndarray, "P K"],
    sets: Terms,
    size: int,
) -> None:
    """Adds Σ_j weights[j] Π_{i∈S} factors[j, i] to the sets of a size."""
    rows = np.flatnonzero(sets.sizes == size)
    if size == 0:
        out[rows] += weights.sum(axis=0)
    elif size == 1:
        out[rows] += (factors.T @ weights)[sets.members[rows, 0]]
    elif size == 2:
        one, other = sets.members[rows, :2].T
        for k, w in enumerate(weights.T):
            out[rows, k] += ((factors.T * w) @ factors)[one, other]
    else:
        for part in np.array_split(rows, 1 + len(rows) * len(factors) // _AT_ONCE):
            out[part] += _products(factors.T, sets.members[part, :size]) @ weights


def coefficients(mean: Mean, members: Int32[np.ndarray, "T t"]) -> Float[np.ndarray, "T K"]:
    """F of a mean on sets, padded with −1."""
    z, log_scale = _factors(mean)
    padded = np.concatenate([z.T, np.ones((1, len(z)))])
    out = np.zeros((len(members), len(mean.level)))
    sizes = (members >= 0).sum(axis=1)
    for part in (EVEN, ODD):
        weights = np.exp(log_scale[part]) * mean.weights[part]
        rows = np.flatnonzero(sizes % 2 == part)
        for some in np.array_split(rows, 1 + len(rows) * len(z) // _AT_ONCE):
            out[some] = _products(padded, members[some]) @ weights
    out[sizes == 0] += _level(mean)
    return out


def strongest(mean: Mean, max_order: int, count: int) -> Int32[np.ndarray, "T t"]:
    """∅, then the single inputs and ``count`` others, those of largest Σ_k |F_k| first.

    Sets are grown one input at a time from the strongest of each size; −1 stands at their ends.
    """
    z, log_scale = _factors(mean)
    n = z.shape[1]
    t = max(1, min(max_order, n))
    most = max(_BEAM, count)
    alone = np.abs(coefficients(mean, np.arange(n, dtype=np.int32)[:, None])).sum(axis=1)
    beam = np.sort(np.argsort(-alone, kind="stable")[:_BEAM]).astype(np.int32)[:, None]
    of_inputs = np.ascontiguousarray(z.T)
    products = of_inputs[beam[:, 0]]
    found, strengths = [], []
    for size in range(2, t + 1):
        weights = np.exp(log_scale[size % 2]) * mean.weights[size % 2]
        each = np.sum([np.abs((products * w) @ z) for w in weights.T], axis=0)
        np.put_along_axis(each, beam, -1.0, axis=1)  # of an input that is in the set
        # A set may be grown from all its subsets, and is then among them as often.
        best = subsets.largest(each.ravel(), size * most)
        best = best[each.ravel()[best] >= 0]
        rows = np.concatenate([beam[best // n], (best % n)[:, None].astype(np.int32)], axis=1)
        rows = np.sort(rows, axis=1)
        _, first = np.unique(subsets.keys(rows, n)[0], return_index=True)
        first = np.sort(first)[:most]  # the strongest first
        grown, best = rows[first], best[first]
        found.append(np.pad(grown, ((0, 0), (0, t - size)), constant_values=-1))
        strengths.append(each.ravel()[best])
        beam, (parent, added) = grown[:_BEAM], np.divmod(best[:_BEAM], n)
        products = products[parent] * of_inputs[added]
    singles = np.full((n, t), -1, np.int32)
    singles[:, 0] = np.arange(n)
    every = np.concatenate([np.zeros((0, t), np.int32), *found])
    strength = np.concatenate([np.zeros(0), *strengths])
    kept = subsets.largest(strength, count)
    order = np.argsort(-np.concatenate([alone, strength[kept]]), kind="stable")
    nothing = np.full((1, t), -1, np.int32)
    return np.concatenate([nothing, np.concatenate([singles, every[kept]])[order]])


def _products(
    factors: Float[np.ndarray, "n P"], members: Int[np.ndarray, "T t"]
) -> Float[np.ndarray, "T P"]:
    out = factors[members[:, 0]]
    for column in members.T[1:]:
        out *= factors[column]
    return out


def _level(mean: Mean) -> Float[np.ndarray, "K"]:
    """What is constant: the even part's covariance has a constant, too."""
    return mean.level + even_part(mean.rates).constant * mean.weights[EVEN].sum(axis=0)


def _factors(mean: Mean) -> tuple[Float[np.ndarray, "P n"], Float[np.ndarray, "2"]]:
    """z, and the logarithms of what the even and the odd part are multiplied by."""
    total = mean.rates.sum()
    grown = np.log(np.cosh(mean.rates)).sum() - total + np.log(2.0)
    scale = np.array([grown - np.log1p(np.exp(-2 * total)), grown - np.log(-np.expm1(-2 * total))])
    scale[EVEN] += np.log(even_part(mean.rates).share)
    return -np.tanh(mean.rates) * mean.signs, scale
