"""Rows of a table explained alike: shared masks, values beside names, what holds for all."""

import logging

import numpy as np
import pytest

import spexjax as sx

COLUMNS = ["age", "city_Brno", "city_Porto", "city_Ulm", "income"]
X = np.array([[30.0, 1, 0, 0, 2.5], [50.0, 0, 1, 0, 1.0], [40.0, 0, 0, 1, 4.0]])
BACKGROUND = np.array([[40.0, 0, 0, 1, 2.0], [60.0, 1, 0, 0, 3.0]])
GROUPS = {"city": ["city_Brno", "city_Porto", "city_Ulm"]}


def predict(rows):
    return 0.1 * rows[:, 0] + 3.0 * rows[:, 1] * rows[:, 4] - rows[:, 2]


def rows(**more):
    return sx.values.tabular_rows(predict, X, BACKGROUND, features=COLUMNS, groups=GROUPS, **more)


def test_a_group_of_columns_is_one_feature():
    (f, *_) = rows()
    assert (f.n, f.features) == (3, ("age", "city", "income"))
    assert f.data == (30.0, "Brno", 2.5)
    mixed = np.array([[30.0, 0, 0, 1, 2.0], [30.0, 1, 0, 0, 3.0]])  # the row's age, not its city
    np.testing.assert_allclose(f(np.array([[True, False, False]])), [predict(mixed).mean()])
    np.testing.assert_allclose(f(np.ones((1, 3), bool)), [predict(X[:1])[0]])
    kept = f(np.array([[False, True, False]]))
    city = BACKGROUND.copy()
    city[:, 1:4] = X[0, 1:4]
    np.testing.assert_allclose(kept, [predict(city).mean()])


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"city": ["town"]}, "names 'town', which is not one column"),
        ({"city": [7]}, "names 7"),
        ({"a": [0, 1], "b": ["city_Brno"]}, "column 'city_Brno' is in 'a' and 'b'"),
    ],
)
def test_groups_that_do_not_fit(groups, message):
    with pytest.raises(ValueError, match=message):
        sx.values.tabular(predict, X[0], BACKGROUND, features=COLUMNS, groups=groups)


def test_names_come_from_data_frames():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X, columns=COLUMNS)
    f = sx.values.tabular_rows(predict, table, BACKGROUND)[1]
    assert f.features == tuple(COLUMNS) and f.data == (50.0, 0.0, 1.0, 0.0, 1.0)
    assert sx.values.tabular(predict, X[0], BACKGROUND).features == ("x0", "x1", "x2", "x3", "x4")


def test_stored_values_are_found_again():
    """The name in a store is that of before there were groups, unless there are."""
    plain = sx.values.tabular(predict, X[0], BACKGROUND, name="m")
    grouped = sx.values.tabular(predict, X[0], BACKGROUND, name="m", groups={"g": [1, 2]})
    other = sx.values.tabular(predict, X[0], BACKGROUND, name="m", groups={"g": [0, 4]})
    want = sx.fingerprint("m", tabular=1, x=X[0], background=BACKGROUND)
    assert plain.store_key == want
    assert len({plain.store_key, grouped.store_key, other.store_key}) == 3


@pytest.fixture(scope="module")
def found():
    asked = []

    class Watched:
        def __init__(self, f):
            self.n, self.features, self.data = f.n, f.features, f.data
            self.f = f

        def __call__(self, masks):
            asked.append(masks)
            return self.f(masks)

    many = sx.explain_many([Watched(f) for f in rows()], budget=8)
    assert len(asked) == 3 and all(np.array_equal(masks, asked[0]) for masks in asked)
    return many


def test_each_is_what_explain_gives(found):
    assert len(found) == 3
    for e, f in zip(found, rows(), strict=True):
        alone = sx.explain(f, budget=8)
        assert e.spectrum.to_dict() == alone.spectrum.to_dict()
        assert e.features == ("age", "city", "income")
    assert found[1].data == (50.0, "Porto", 1.0)
    assert found[1].interactions().shown == ("age = 50", "city = Porto", "income = 1")
    assert found[1].interactions()["city"] == found[1].interactions()[1]


def test_what_matters_over_all_rows(found):
    importance = found.importance("SV")
    values = np.array([e.interactions("SV").to_array() for e in found])
    np.testing.assert_allclose(importance.to_array(), np.abs(values).mean(axis=0), rtol=1e-12)
    assert list(importance.values) == sorted(importance.values, reverse=True)
    assert importance.index == "mean |SV|" and importance.errors is None
    backwards = sx.Explanations(found.items[::-1]).importance("SV")
    assert [s for s, _ in backwards] == [s for s, _ in importance]
    sx.plot.bar(importance)
    assert "3 explanations by exact, 24 calls" in str(found) and "city" in str(found)
    assert isinstance(found[:2], sx.Explanations) and len(found[:2]) == 2


def test_equal_sets_keep_the_order_of_their_members():
    fs = [lambda m: m.astype(float) @ np.array([1.0, 1, 1, 1]) + m[:, 0] * m[:, 1]] * 2
    importance = sx.explain_many(fs, 4, budget=16).importance("Moebius", 2)
    assert [s for s, _ in importance] == [(0,), (1,), (2,), (3,), (0, 1)]


def test_other_features_have_nothing_in_common():
    fs = [lambda m: m.sum(axis=1).astype(float)]
    many = sx.Explanations((*sx.explain_many(fs, 3, budget=8), *sx.explain_many(fs, 2, budget=4)))
    with pytest.raises(ValueError, match=r"corpus\.summarize"):
        many.importance()


def test_an_error_says_which_function_it_was():
    def bad(masks):
        raise RuntimeError("no model")

    with pytest.raises(sx.ValueFunctionError) as error:
        sx.explain_many([lambda m: m[:, 0] * 1.0, bad], 2, budget=4)
    assert error.value.__notes__ == ["This was function 1 of 2."]


def test_a_budget_is_picked_for_each(caplog):
    with caplog.at_level(logging.WARNING, "spexjax"):
        (e,) = sx.explain_many([lambda m: m[:, 0] * 1.0], 3)
    assert e.budget == 8


def test_values_are_saved_and_handed_to_shap(found, tmp_path):
    found[0].save(tmp_path / "e.json")
    again = sx.Explanation.load(tmp_path / "e.json")
    assert again.data == found[0].data == (30.0, "Brno", 2.5)
    pytest.importorskip("shap")
    table = found.to_shap()
    assert table.values.shape == (3, 3) and table.data[1].tolist() == [50.0, "Porto", 1.0]
