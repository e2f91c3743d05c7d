"""Slow NumPy oracles written from the definitions; nothing here imports spexjax."""

import itertools

import numpy as np


def planted_terms(n, count, seed, degrees=range(1, 6), low=0.5, high=2.0):
    """{set: coefficient} with ``count`` distinct sets of the given degrees, ±U(low, high)."""
    rng = np.random.default_rng(seed)
    terms = {}
    while len(terms) < count:
        size = int(rng.choice([d for d in degrees if d <= n]))
        members = tuple(sorted(rng.choice(n, size, replace=False).tolist()))
        terms[members] = float(rng.uniform(low, high) * rng.choice([-1, 1]))
    return terms


def evaluate(terms, masks):
    """Σ_k c_k (−1)^⟨m,k⟩, float64."""
    signs = 1 - 2 * np.asarray(masks, np.int64)
    out = np.zeros(len(signs))
    for members, coefficient in terms.items():
        out += coefficient * np.prod(signs[:, list(members)], axis=1)
    return out


def all_masks(n):
    """Row m has feature i iff bit i of m is set."""
    return (np.arange(2**n)[:, None] >> np.arange(n)) & 1 == 1


def fourier(values, n):
    """{set: 2⁻ⁿ Σ_m (−1)^⟨m,k⟩ f(m)} over all sets."""
    masks = all_masks(n)
    out = {}
    for size in range(n + 1):
        for members in itertools.combinations(range(n), size):
            sign = (-1.0) ** masks[:, list(members)].sum(axis=1)
            out[members] = float(np.mean(sign * values))
    return out
