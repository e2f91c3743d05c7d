"""What a reader of an explanation should know before believing it."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from spexjax.codes import gf2
from spexjax.indices import index_weights
from spexjax.inference import functionals, moments, prediction
from spexjax.inference.evidence import Evidence, carriers
from spexjax.typing import Explained

_TOP = 10
_FEW = 30  # units below which even light tails are far from normal
_UNEXPLAINED = 0.5
_AT_A_BOUND = 0.1
_Z = 1.96
_SHAPLEY = ("SV", "SII", "k-SII", "STII", "FSII")
_SHAPLEY_METHODS = ("kernelshap", "faith-shapley", "shapley-taylor")  # have masks made for them
_SMALL = 0.1  # of the surrogate's deviation: residuals that are not worth a warning
_COMPARED = 64  # inputs whose removal is compared with the strongest's


class Flag(NamedTuple):
    """One warning.

    Attributes:
      name: what kind, in a word or two.
      text: one sentence.
      sets: the members of the sets that it is about, if it is about sets.
    """

    name: str
    text: str
    sets: tuple[tuple[int, ...], ...] = ()


def flags(e: Explained, index: str = "FBII", max_order: int | None = None) -> tuple[Flag, ...]:
    """All warnings that an explanation of one output deserves, the gravest first.

    ==============  ============================================================================
    too few masks   fewer than 30 independent units of evidence, or none
    few masks       R² and errors rest on a few masks that carry most of the squared error
    ends            f(1…1) or f(0…0) is farther from the surrogate than 95 % of masks are
    index           a Shapley-like index is read from a fit to uniform masks
    unexplained     R² may be below 1/2
    bounds          f is at its smallest or largest value at 10 % of the masks or more
    sign            the interval of one of the ten strongest sets holds 0
    ties            a set outside the ten strongest may be as strong as one of them
    alternatives    several inputs whose removal from 1…1 may count as much as the strongest's
    ==============  ============================================================================

    Args:
      e: an explanation of one output.
      index, max_order: the interaction index that is read.

    Raises:
      ValueError: if the function has several outputs (use ``e[i].flags()``).
    """
    if e.num_outputs is not None:
        raise ValueError("flags are of one output: use e[i].flags().")
    if e.method == "exact":
        return ()
    if e.target is not None and e.target.answers(index, max_order):
        return tuple(_of_sets(e, index, max_order))  # it has errors of its own
    if e.evidence is None:
        return (Flag("too few masks", "No masks were left from which errors could be told."),)
    parts = (
        _few(e.evidence), _carriers(e), ends(e), _of_index(e, index), _unexplained(e),
        _bounds(e.evidence),
    )  # fmt: skip
    return tuple(f for f in (*parts, *_of_sets(e, index, max_order), _alternatives(e)) if f)


def ends(e: Explained) -> Flag | None:
    """Whether f at 1…1 or at 0…0 is farther from the surrogate than 95 % of masks are."""
    half = prediction.half_width(e.evidence, 0.95)
    truth = np.array([float(e.full), float(e.empty)])
    guess = truth - _at_ends(e)
    # A hundredth of what lies between them is not worth a warning, however good the surrogate.
    off = np.abs(truth - guess) > max(half, 0.01 * abs(truth[0] - truth[1]))
    names = ("all kept", "all masked")
    wrong = [
        f"{name} f is {t:.4g} and the surrogate {g:.4g}"
        for name, t, g, far in zip(names, truth, guess, off, strict=True)
        if far
    ]
    if not wrong:
        return None
    return Flag("ends", f"With {', with '.join(wrong)}: Shapley-like sums are the surrogate's.")


def _at_ends(e: Explained) -> Float[np.ndarray, "2"]:
    """f less its surrogate at 1…1 and at 0…0."""
    guess = e.predict(np.array([[True], [False]]).repeat(e.n, axis=1))
    return np.array([float(e.full), float(e.empty)]) - guess


def _few(evidence: Evidence) -> Flag | None:
    if len(evidence) >= _FEW:
        return None
    return Flag(
        "too few masks", f"Errors are told from {len(evidence)} masks only: believe none of them."
    )


def _carriers(e: Explained) -> Flag | None:
    """The participation ratio (Σ r²)²/Σ r⁴ of all masks paid for, and of the evidence."""
    evidence = e.evidence
    r = prediction.residuals(evidence)
    largest = max(np.abs(r).max(), np.abs(_at_ends(e)).max())
    if largest < _SMALL * float(np.sqrt(e.spectrum.energy())):
        return None  # however uneven they are
    all_paid, unseen = float(evidence.carriers), float(carriers(r))
    if all_paid >= _least(evidence.paid) and unseen >= _least(len(r)):
        return None
    count = max(round(min(all_paid, unseen)), 1)
    return Flag(
        "few masks",
        f"R² rests on about {count} of {evidence.paid:,} masks: f has rare, large changes, and "
        "more of them may have been missed.",
    )


def _least(masks: int) -> float:
    """Masks that must carry the squared error of so many: of Gaussian residuals a third do.

    A tenth, at most 100, and more of few (``python -m spexjax.experiments errors``).
    """
    return min(100.0, max(masks / 10, min(30.0, masks / 8)))


def _of_index(e: Explained, index: str) -> Flag | None:
    """Whether the index lives on small and large masks, which the surrogate was not fitted to."""
    name = index_weights.find(index).name
    if name not in _SHAPLEY or e.method in _SHAPLEY_METHODS:
        return None
    errors = e.interactions("SV").standard_error
    error = float(np.median(errors)) if len(errors) else 0.0
    return Flag(
        "index",
        f"{name} weighs small and large masks, and few of those asked for are: what the surrogate "
        f"misses there may move a Shapley value by {_Z * error:.2g}; ask with target={name!r}.",
    )


def _unexplained(e: Explained) -> Flag | None:
    low, high = (float(end) for end in e.faithfulness_interval)
    if not low < _UNEXPLAINED:
        return None
    score = round(float(e.faithfulness), 2) + 0.0  # no −0.00
    sure = "is" if high < _UNEXPLAINED else "may be"
    return Flag(
        "unexplained",
        f"Half of the variance of f or more {sure} not explained (R² {score:.2f}, "
        f"95 %: {low:.2f} to {high:.2f}).",
    )


def _bounds(evidence: Evidence) -> Flag | None:
    shares = {"smallest": float(evidence.floor), "largest": float(evidence.ceiling)}
    at = [f"{s:.0%} its {name}" for name, s in shares.items() if s >= _AT_A_BOUND]
    if not at:
        return None
    return Flag(
        "bounds",
        f"f takes at {' and at '.join(at)} value: it saturates, and sets that act "
        "beyond its bounds are not seen.",
    )


def _of_sets(e: Explained, index: str, max_order: int | None) -> list[Flag]:
    ix = e.interactions(index, max_order)
    top = ix.top(_TOP)
    if not len(top):
        return []
    low, high = top.interval()
    found = []
    unsure = tuple(s for (s, _), a, b in zip(top, low, high, strict=True) if a <= 0 <= b)
    if unsure:
        found.append(
            Flag("sign", f"The sign of {len(unsure)} of the {len(top)} strongest is open.", unsure)
        )
    rest = ix[_TOP : 2 * _TOP]
    if len(rest):
        # Of two dependent errors the difference has at most the sum.
        least, error = abs(top.values[-1]), top.standard_error[-1]
        near = np.abs(rest.values) + _Z * (rest.standard_error + error) >= least
        ties = tuple(s for (s, _), tied in zip(rest, near, strict=True) if tied)
        if ties:
            text = f"{len(ties)} or more other sets may be as strong as the tenth."
            found.append(Flag("ties", text, ties))
    return found


def _alternatives(e: Explained) -> Flag | None:
    """Inputs whose removal from 1…1 lowers or raises f, for all that is known, as much as any."""
    valid = np.asarray(e.spectrum.valid)
    supports = np.asarray(e.spectrum.supports)[valid]
    bits = gf2.unpack_numpy(supports, e.n).astype(np.float32)
    F = np.asarray(e.spectrum.coefficients, float)[valid]
    signs = 1 - 2 * (bits.sum(axis=1) % 2)
    change = -2 * bits.T @ (signs * F)  # f(1…1 without i) − f(1…1)
    strongest = np.argsort(-np.abs(change), kind="stable")[:_COMPARED]
    change, weights, best = change[strongest], -2 * signs * bits.T[strongest], 0
    toward = np.sign(change) == np.sign(change[best])
    gap = weights - weights[best]
    variance = moments.of_functionals(e.evidence, supports, gap).variance
    error = functionals.standard_error(variance, e.evidence)
    tied = toward & (np.abs(change - change[best]) <= _Z * error)
    tied[best] = True
    if tied.sum() < 2 or change[best] == 0:
        return None
    sets = tuple((int(i),) for i in np.sort(strongest[tied]))
    return Flag(
        "alternatives",
        f"Removing any of {len(sets)} inputs may change f as much as removing the strongest.",
        sets,
    )
