"""A process alone, where masks are too few to hold some out."""

import numpy as np
import pytest

import spexjax as sx
from spexjax.masks.design import Role
from spexjax.surrogates import smooth
from spexjax.surrogates.fitted import Standardised

N = 12


def saturating(masks):
    weights = np.linspace(-1, 2, masks.shape[1])
    return np.tanh(masks @ weights / 2 - 1) + 0.5 * masks[:, 0] * masks[:, 3]


def fitted(design, values):
    one = np.ones(1)
    found = smooth.fit(design, Standardised(values[:, None], 0 * one, one, True))
    return found, found.crossed


@pytest.mark.parametrize("budget", [70, 71])
def test_no_mask_is_held_out_and_each_belongs_to_a_fold_that_does_not_know_it(budget):
    design = sx.design(N, budget=budget)
    assert not design.held_out.any()
    values = saturating(design.masks())
    found, crossed = fitted(design, values)
    ends = design.role == Role.ENDPOINT
    assert (crossed.fold[ends] == -1).all() and (crossed.fold[~ends] >= 0).all()
    masks = np.random.default_rng(0).random((50, N)) < 0.5

    def guesses(surrogates):
        return np.stack([np.asarray(s[0].predict(masks)) for s in surrogates])

    moved, again = fitted(design, values + 3.0 * (crossed.fold == 4))
    change = np.abs(guesses(again.surrogates) - guesses(crossed.surrogates)).max(axis=1)
    assert change[4] < 1e-5 and (np.delete(change, 4) > 0.01).all()
    assert np.abs(guesses([moved.surrogate]) - guesses([found.surrogate])).max() > 0.01


def test_r2_of_few_calls_is_near_the_truth():
    fresh = np.random.default_rng(1).random((4000, N)) < 0.5
    truth, off, held = saturating(fresh), [], []
    for seed in range(6):
        e = sx.explain(saturating, N, budget=60, seed=seed)
        right = float(sx.metrics.r2(truth, e.predict(fresh)))
        low, high = e.faithfulness_interval
        off.append(e.faithfulness - right)
        held.append(low <= right <= high)
    assert np.abs(off).mean() < 0.05 and np.mean(held) >= 0.75, (off, held)


def test_what_stands_of_few_calls_is_there():
    """Three sets and as much noise, of 62 masks: they are found, and little else."""
    right, false, chance = [], [], []
    true = {(0,), (3,), (1, 2)}
    for seed in range(6):
        e, noise = (sx.explain(disturbed(k, seed), N, budget=64, seed=seed) for k in (1, 0))
        found = standing(e)
        right.append(len(found & true))
        false.append(len(found - true) / max(len(found), 1))
        chance.append(bool(standing(noise)))
    assert np.mean(right) > 2.2 and np.mean(false) < 0.1 and sum(chance) < 2


def disturbed(strength, seed):
    code = np.random.default_rng(seed).random(N) * 1e4

    def f(masks):
        signs = 1.0 - 2.0 * masks
        known = signs[:, 0] - 0.7 * signs[:, 3] + 0.8 * signs[:, 1] * signs[:, 2]
        return strength * known + np.sin(masks @ code)

    return f


def standing(e):
    ix = e.interactions("BII", max_order=3)
    return {members for (members, _), stands in zip(ix, ix.stands(fdr=0.1), strict=True) if stands}
