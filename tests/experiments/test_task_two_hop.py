import numpy as np
import pytest

from spexjax.experiments.tasks import registry
from spexjax.experiments.tasks.item import TaskConfig


def test_the_supporting_sentences_are_what_the_answer_needs():
    found = list(registry.items(TaskConfig("two-hop", ("8", "12"), 2, seed=3)))
    assert [item.group for item in found] == ["8", "8", "12", "12"]
    assert len({item.name for item in found}) == 4
    for item in found:
        assert item.n == int(item.group) == len(item.words)
        assert item.supporting is not None and len(item.supporting) == 2
        without = ~np.eye(item.n, dtype=bool)
        whole, *values = np.asarray(item.f(np.vstack([np.ones(item.n, bool), without])))
        lost = np.flatnonzero(np.array(values) < whole - 1.0)
        np.testing.assert_array_equal(lost, item.supporting)


def test_a_larger_choice_begins_with_the_same_items():
    few, more = (
        [item.name for item in registry.items(TaskConfig("two-hop", ("8",), count))]
        for count in (1, 3)
    )
    assert more[:1] == few
    with pytest.raises(ValueError, match="did you mean"):
        registry.items(TaskConfig("two-hop", ("9",)))
