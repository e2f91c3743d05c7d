"""Explanations with errors of a known size, made without any fit."""

import numpy as np

import spexjax as sx
from spexjax.codes import gf2
from spexjax.inference import Evidence


def evidence(spectrum, noise, units=300, seed=0):
    """Residuals of standard deviation ``noise`` at uniform masks; their mean is 0 for every set
    of one feature or more but for chance."""
    rng, n = np.random.default_rng(seed), spectrum.num_features
    residuals = np.float32(noise * rng.standard_normal(units))
    return Evidence(
        packed=gf2.pack_numpy(rng.random((units, n)) < 0.5, gf2.num_words(n)),
        residuals=np.stack([residuals, residuals]), held_out=np.arange(units) < units // 2,
        mean=spectrum, tested=spectrum, masks=units, n=n, paid=units + 2,
        carriers=np.float64(units), floor=np.float64(0.01), ceiling=np.float64(0.01),
    )  # fmt: skip


def explanation(terms, noise, n=20, features=None, off=0.0, **changes):
    """The spectrum ``terms``, with f(1…1) larger than the surrogate by ``off``."""
    spectrum = sx.Spectrum.from_dict(terms, n)
    ends = spectrum.predict(np.stack([np.ones(n, bool), np.zeros(n, bool)]))
    settings = {
        "method": "spex", "calls": 302, "full": float(ends[0]) + off, "empty": float(ends[1]),
        "faithfulness": np.float32(0.9),
        "faithfulness_interval": (np.float32(0.85), np.float32(0.94)),
        "features": tuple(features or (f"x{i}" for i in range(n))), "budget": 302, "max_order": 4,
        "evidence": evidence(spectrum, noise),
    }  # fmt: skip
    return sx.Explanation(spectrum=spectrum, n=n, **settings | changes)


# At noise 0.3 three sets stand, by 300 masks; NOISE has the same sets.
TERMS = {(): 0.5, (3,): 0.8, (0, 1): -0.4, (2, 3): 0.3, (4,): 0.004, (4, 5): 0.003, (0, 5): -0.002}
STANDING = {(3,), (0, 1), (2, 3)}
NOISE = {members: 0.004 if members else 0.5 for members in TERMS}
