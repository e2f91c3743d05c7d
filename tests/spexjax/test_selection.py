"""Selection against brute force over all sets of r inputs."""

import itertools
import time

import jax
import numpy as np
import pytest
from oracles import evaluate, planted_terms

from spexjax import selection
from spexjax.spectra.spectrum import Spectrum


def changes(terms, n, r, mode):
    """{R: surrogate after minus before} for all R of r inputs, float64."""
    sets = list(itertools.combinations(range(n), r))
    inside = np.array([[i in s for i in range(n)] for s in sets]).reshape(len(sets), n)
    after = evaluate(terms, ~inside if mode == "remove" else inside)
    before = evaluate(terms, np.full((1, n), mode == "remove"))
    return dict(zip(sets, after - before, strict=True))


def gain(change, goal):
    return {"lower": -change, "raise": change, "either": abs(change)}[goal]


@pytest.mark.parametrize("mode", ["remove", "keep"])
@pytest.mark.parametrize("goal", ["either", "lower", "raise"])
@pytest.mark.parametrize("n,r,seed", [(5, 0, 0), (5, 5, 1), (8, 3, 2), (12, 4, 3), (16, 2, 4)])
def test_brute_force(n, r, seed, mode, goal):
    terms = planted_terms(n, 14, seed) | {(): 0.7}
    every = changes(terms, n, r, mode)
    best = max(gain(v, goal) for v in every.values())
    spectrum = Spectrum.from_dict(terms, n)
    found = selection.exact(spectrum, r, mode, goal)
    assert found.optimal and found.gap == 0
    assert len(found.members) == r
    assert found.change == pytest.approx(every[found.members], abs=1e-4)
    assert gain(found.change, goal) == pytest.approx(best, abs=1e-4)
    quick = selection.greedy(spectrum, r, mode, goal)
    assert len(quick.members) == r and not quick.optimal
    assert quick.change == pytest.approx(every[quick.members], abs=1e-4)
    assert gain(quick.change, goal) <= best + 1e-4


def test_greedy_takes_the_best_input_each_time():
    terms = planted_terms(9, 12, 5)
    chosen = ()
    for r in range(1, 6):
        every = changes(terms, 9, r, "remove")
        steps = [tuple(sorted((*chosen, i))) for i in range(9) if i not in chosen]
        chosen = min(steps, key=every.get)
        found = selection.greedy(Spectrum.from_dict(terms, 9), r, "remove", "lower")
        assert found.members == chosen


def test_exact_beats_greedy_on_a_pair():
    """Removing one of two redundant inputs does nothing; greedy is lured by a weak one."""
    or_gate = {(0,): -0.25, (1,): -0.25, (0, 1): -0.25, (): 0.75, (2,): -0.05}
    spectrum = Spectrum.from_dict(or_gate, 3)
    assert selection.greedy(spectrum, 1, "remove", "lower").members == (2,)
    assert selection.exact(spectrum, 2, "remove", "lower").members == (0, 1)


@pytest.mark.parametrize("scale", [1e-30, 1e-7, 1e-5, 1e7, 1e30])
def test_the_scale_of_the_coefficients_does_not_matter(scale):
    """HiGHS stops within 1e-6 of the optimum whatever the objective."""
    for seed in range(4):
        terms = planted_terms(10, 20, seed)
        every = changes(terms, 10, 3, "remove")
        best = max(map(abs, every.values()))
        scaled = Spectrum.from_dict({k: scale * v for k, v in terms.items()}, 10)
        found = selection.exact(scaled, 3)
        assert found.optimal and found.gap == 0
        assert found.members == selection.exact(Spectrum.from_dict(terms, 10), 3).members
        assert abs(every[found.members]) == pytest.approx(best, rel=1e-6)
        assert found.change == pytest.approx(scale * every[found.members], rel=1e-5)
        assert found.bound == pytest.approx(scale * best, rel=1e-5)
        quick, one = (selection.greedy(s, 3) for s in (scaled, Spectrum.from_dict(terms, 10)))
        assert quick.members == one.members
        assert quick.change == pytest.approx(scale * one.change, rel=1e-5)


def test_small_terms_beside_a_large_one_count():
    for seed in range(4):
        terms = planted_terms(10, 20, seed)
        terms[min(terms)] *= 1e6
        every = changes(terms, 10, 3, "remove")
        found = selection.exact(Spectrum.from_dict(terms, 10), 3, "remove", "raise")
        assert every[found.members] == pytest.approx(max(every.values()), abs=1e-3)


def test_the_level_of_the_surrogate_does_not_matter():
    terms = planted_terms(10, 20, 0)
    low, high = (Spectrum.from_dict(terms | {(): level}, 10) for level in (0.0, 1e12))
    for select in (selection.greedy, selection.exact):
        one, other = select(low, 3), select(high, 3)
        assert one.members == other.members and one.change == pytest.approx(other.change, rel=1e-5)


def test_nothing_to_change():
    for terms in ({(): 1e30}, {(0, 1): 0.0}):
        found = selection.exact(Spectrum.from_dict(terms, 4), 2)
        assert found.change == found.bound == found.gap == 0 and len(found.members) == 2


def test_inputs_in_no_term_fill_up():
    spectrum = Spectrum.from_dict({(1, 3): 1.0, (2,): -2.0}, 70)
    found = selection.exact(spectrum, 9, "remove", "lower")
    assert len(found.members) == 9 and 2 in found.members
    assert found.change == selection.exact(spectrum, 2, "remove", "lower").change == -6.0
    assert selection.exact(spectrum, 1, "remove", "raise").change == 0.0


def test_greedy_is_vmapped_over_r():
    spectrum = Spectrum.from_dict(planted_terms(10, 20, 6), 10)
    masks, change = jax.vmap(selection.greedy_mask, (None, 0, None, None))(
        spectrum, np.arange(1, 5, dtype=np.int32), np.float32(-1), np.bool_(True)
    )
    for r in range(1, 5):
        one = selection.greedy(spectrum, r, "remove", "lower")
        assert tuple(np.flatnonzero(masks[r - 1]).tolist()) == one.members
        assert float(change[r - 1]) == pytest.approx(one.change, abs=1e-5)


def test_time_limit_leaves_a_bound():
    spectrum = Spectrum.from_dict(planted_terms(60, 300, 7, degrees=range(3, 6)), 60)
    found = selection.exact(spectrum, 12, "remove", "lower", time_limit=0.2)
    assert len(found.members) == 12 and not found.optimal
    assert found.bound >= -found.change > 0 and found.gap > 0
    assert found.change <= 0


def test_two_hundred_terms_among_256_inputs():
    spectrum = Spectrum.from_dict(planted_terms(256, 200, 8), 256)
    start = time.perf_counter()
    found = selection.exact(spectrum, 5, "remove", "lower")
    assert time.perf_counter() - start < 20  # about 0.3 s on an idle core
    assert found.optimal
    assert found.change <= selection.greedy(spectrum, 5, "remove", "lower").change + 1e-4


def test_refuses():
    spectrum = Spectrum.from_dict({(0,): 1.0}, 3)
    for r in (-1, 4, True, 1.5):
        with pytest.raises(ValueError, match="r must be an int from 0 to n = 3"):
            selection.exact(spectrum, r)
    with pytest.raises(ValueError, match="mode must be one of"):
        selection.greedy(spectrum, 1, "drop")
    with pytest.raises(ValueError, match="goal must be one of"):
        selection.greedy(spectrum, 1, "remove", "max")
    with pytest.raises(ValueError, match="time_limit must be above 0"):
        selection.exact(spectrum, 1, time_limit=0)
