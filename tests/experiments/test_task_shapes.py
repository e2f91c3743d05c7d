"""Questions about shapes as items of the task "vqa"."""

import numpy as np
import pytest

from spexjax.experiments.tasks import registry
from spexjax.experiments.tasks.item import TaskConfig


def test_the_supporting_cells_are_what_the_answer_needs():
    found = list(registry.items(TaskConfig("vqa", per_group=3, seed=3)))
    assert [item.group for item in found] == ["shapes"] * 3
    assert len({item.name for item in found}) == 3
    for item in found:
        assert item.n == 36 == len(item.words) and len(item.supporting) == 2
        without = ~np.eye(36, dtype=bool)
        whole, *values = np.asarray(item.f(np.vstack([np.ones(36, bool), without])))
        lost = np.flatnonzero(np.array(values) < whole - 1.0)
        np.testing.assert_array_equal(lost, item.supporting)
    first = next(registry.items(TaskConfig("vqa", per_group=1, seed=3)))
    assert first.name == found[0].name


def test_a_caption_is_not_of_shapes():
    with pytest.raises(ValueError, match="group must be one of 8x6, 4x3"):
        registry.items(TaskConfig("caption", ("shapes",)))
