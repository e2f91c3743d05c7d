"""The benchmark of a few calls per input."""

import pytest

from spexjax.experiments.bench import few_calls, index_games
from spexjax.experiments.bench.few_calls import Config
from spexjax.experiments.functions.conjunctions import planted


def test_rows_and_how_far_auto_is_behind(monkeypatch):
    monkeypatch.setitem(index_games.GAMES, "small", lambda: planted(9, 0, 6, 3))
    methods = ("auto", "linear", "kernelshap")
    rows = few_calls.run(Config(games=("small",), per_input=(8,), methods=methods, seeds=1))
    found = rows.show()
    assert [row[:4] for row in found] == [("small", 9, 72, method) for method in methods]
    assert all(row[4] <= 1 and row[5] >= 0 for row in found)
    best = max(row[4] for row in found[1:])
    (line,) = rows.notes(found)
    assert line.endswith(f"{found[0][4] - best:+.4f}")
    with pytest.raises(ValueError, match="game must be one of"):
        few_calls.run(Config(games=("text",)))
    with pytest.raises(ValueError, match="method must be one of"):
        few_calls.run(Config(methods=("banzhaff",)))
