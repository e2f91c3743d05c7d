"""What an explanation answers itself: predictions in double precision, copies, files, text."""

import copy
import json
import pickle
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from spexjax import Explanation, spectrum
from spexjax.spectra.spectrum import Spectrum

TERMS = {(): 0.5, (2,): 1.0, (0, 1): -0.25, (1, 3): 2.0}
OTHER = {(): -1.0, (3,): 0.5}
N = 4


def explanation(terms=TERMS, **changes):
    settings = {
        "method": "spex", "calls": 9, "full": np.float64(1.0), "empty": np.float64(2.0),
        "faithfulness": np.float32(0.9),
        "faithfulness_interval": (np.float32(0.85), np.float32(0.94)),
        "features": tuple("abcd"), "budget": 10, "seed": 3, "max_order": 2,
    } | changes  # fmt: skip
    return Explanation(spectrum=Spectrum.from_dict(terms, N), n=N, **settings)


def two_outputs(shared=False, level=None):
    parts = [Spectrum.from_dict(terms, N) for terms in (TERMS, TERMS if shared else OTHER)]
    if shared:
        part = parts[0]
        both = replace(part, coefficients=jnp.stack([part.coefficients, 2 * part.coefficients]))
    else:
        both = spectrum.stack(parts)
    pair = np.array([0.25, 0.5])
    return replace(
        explanation(), spectrum=both, full=pair, empty=-pair, faithfulness=pair,
        faithfulness_interval=(pair / 2, 2 * pair), level=level,
    )  # fmt: skip


def all_masks():
    return (np.arange(2**N)[:, None] >> np.arange(N) & 1).astype(bool)


def sums(terms, masks):
    """Σ_k (−1)^⟨m, k⟩ F(k) in float64."""
    return sum(c * (-1.0) ** masks[:, list(k)].sum(axis=1) for k, c in terms.items())


def same(first, second):
    for name in ("n", "method", "calls", "features", "budget", "seed", "max_order"):
        assert getattr(first, name) == getattr(second, name)
    for name in ("full", "empty", "level", "faithfulness", "faithfulness_interval"):
        ours, theirs = getattr(first, name), getattr(second, name)
        np.testing.assert_array_equal(ours, theirs)
        assert np.asarray(ours).dtype == np.asarray(theirs).dtype
    np.testing.assert_array_equal(first.predict(all_masks()), second.predict(all_masks()))


def test_predictions_are_double_and_keep_the_effects_of_a_large_level():
    level = 1e9 + 0.125
    small = {k: 1e-3 * c for k, c in TERMS.items() if k}
    e = explanation(small | {(): level}, level=level)
    found = e.predict(all_masks())
    assert isinstance(found, np.ndarray) and found.dtype == np.float64
    np.testing.assert_allclose(found - level, sums(small, all_masks()), rtol=0, atol=2e-7)
    assert float(e.spectrum.predict(all_masks()).max()) != found.max()  # float32 could not


def test_level_is_the_spectrums_unless_given():
    assert explanation().level == 0.5 and explanation().level.dtype == np.float64
    assert explanation({(0,): 1.0}).level == 0.0
    assert explanation(level=0.5 + 1e-9).level == 0.5 + 1e-9
    np.testing.assert_array_equal(two_outputs().level, [0.5, -1.0])
    np.testing.assert_array_equal(two_outputs(shared=True).level, [0.5, 1.0])
    assert explanation({(): np.inf}, level=1e300).predict(all_masks())[0] == 1e300


@pytest.mark.parametrize("level", [1.5, [0.5], np.nan])
def test_a_level_that_is_not_the_spectrums_is_refused(level):
    with pytest.raises(ValueError, match="level must be the spectrum's coefficient on the empty"):
        explanation(level=level)
    with pytest.raises(ValueError, match="pass level=None with another spectrum"):
        replace(explanation(), spectrum=Spectrum.from_dict(OTHER, N))
    assert replace(explanation(), spectrum=Spectrum.from_dict(OTHER, N), level=None).level == -1


def test_interactions_are_in_double_precision():
    level = 1e9 + 0.125
    e = explanation(TERMS | {(): level}, level=level)
    assert e.interactions("Moebius").baseline == pytest.approx(level + 2.75, rel=0, abs=1e-6)
    assert e.interactions("Moebius").to_dict() == explanation().interactions("Moebius").to_dict()
    assert e.interactions("FBII", 2)["b", "d"] == 8
    assert e.interactions().features == tuple("abcd") and e.interactions().max_order == 2
    with pytest.raises(ValueError, match=r"has 2: use e\[i\].interactions"):
        two_outputs().interactions()


@pytest.mark.parametrize("shared", [False, True])
def test_one_output(shared):
    level = np.array([0.5 + 1e-9, (1.0 if shared else -1.0) + 1e-9])
    e = two_outputs(shared, level)
    terms = [TERMS, {k: 2 * c for k, c in TERMS.items()} if shared else OTHER]
    for i, part in enumerate([e[0], e[1]]):
        assert part.num_outputs is None and part.level == level[i]
        assert (part.full, part.empty) == (e.full[i], e.empty[i])
        np.testing.assert_array_equal(part.predict(all_masks()), e.predict(all_masks())[:, i])
        expected = sums(terms[i], all_masks()) + 1e-9
        np.testing.assert_allclose(part.predict(all_masks()), expected, atol=1e-12)
    assert len(list(e)) == 2
    with pytest.raises(ValueError, match="nothing to index"):
        e[0][0]


@pytest.mark.parametrize("masks", [np.ones((3, 5), bool), np.ones((3, N)), np.ones(N, bool)])
def test_masks_are_checked(masks):
    with pytest.raises(ValueError, match=r"masks must be bool with shape \(N, 4\)"):
        explanation().predict(masks)


@pytest.mark.parametrize("make", [explanation, two_outputs])
def test_copies(make):
    e = make()
    for other in (pickle.loads(pickle.dumps(e)), copy.copy(e), copy.deepcopy(e), replace(e)):
        assert other is not e
        same(e, other)
    assert e == e and e != copy.copy(e) and len({e, copy.copy(e)}) == 2
    assert replace(e, calls=3).calls == 3


@pytest.mark.parametrize(
    "e",
    [
        explanation(level=0.5 + 1e-12),
        explanation(TERMS | {(): 1e9}, level=1e9 + 0.123, full=1e300, empty=-1e-300),
        explanation({(): np.inf}, level=1e300),
        explanation({(0,): 1.0}, level=1e-9),
        explanation(faithfulness=np.float32(np.nan), full=np.nan, empty=np.inf),
        two_outputs(level=np.array([0.5 + 1e-12, -1.0])),
        two_outputs(True, np.array([0.5 + 1e-12, 1.0])),
    ],
    ids=["level", "large", "beyond float32", "no constant term", "nan", "own", "shared"],
)
def test_saving_and_loading(tmp_path, e):
    path = tmp_path / "e.json"
    e.save(path)
    back = Explanation.load(path)
    wide = {k: np.asarray(getattr(e, k), np.float32) for k in ("faithfulness",)}
    ends = tuple(np.asarray(end, np.float32) for end in e.faithfulness_interval)
    same(back, replace(e, **wide, faithfulness_interval=ends))
    back.save(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == json.loads(path.read_text())
    assert json.loads(path.read_text())["version"] == 1


def test_files_of_version_0_1_load(tmp_path):
    """Written when every number was float32."""
    path = tmp_path / "old.json"
    path.write_text(
        '{"format": "spexjax.explanation", "version": 1, "n": 4, "method": "spex", "calls": 9, '
        '"budget": 10, "seed": [1, 2], "max_order": 2, "features": ["a", "b", "a", "d"], '
        '"outputs": "shared", "terms": [{"supports": [[1, 3], [], [2]], "coefficients": '
        '[[2.0, 0.10000000149011612, 1.0], [0.5, 0.25, 0.0]]}], "full": [1.0, null], '
        '"empty": [2.0, "inf"], "faithfulness": [0.8999999761581421, null], '
        '"faithfulness_interval": [[0.5, null], [0.75, null]]}',
        encoding="utf-8",
    )
    e = Explanation.load(path)
    np.testing.assert_array_equal(e.level, [np.float32(0.1), 0.25])
    assert e[0].spectrum.to_dict() == {(1, 3): 2.0, (2,): 1.0, (): float(np.float32(0.1))}
    assert e.seed == (1, 2) and np.isnan(e.full[1]) and e.empty[1] == np.inf
    assert e.faithfulness.dtype == np.float32 and e.faithfulness[0] == np.float32(0.9)


def test_text_and_notebook():
    e = explanation()
    assert len(str(e).splitlines()) == 10 and "b + d" in str(e)
    assert "\n" not in repr(e) and "spex" in repr(e)
    assert "<script" not in e._repr_html_() and "b + d" in e._repr_html_()
    both = two_outputs()
    assert len(str(both).splitlines()) == 6 and "\n" not in repr(both)
    assert both._repr_html_().count("<tr") == 3
