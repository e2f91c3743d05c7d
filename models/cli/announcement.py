"""What is said before a run: how many calls, and how long they will take."""

import sys
from typing import Any

import numpy as np

from spexjax.models.cli.options import MaskOptions

_LONG = 300  # features from which a run is timed before it starts
_PER_GRADIENT = 3  # calls that one takes as long as: back is twice the way there


def announce(
    f: Any,
    masks: MaskOptions,
    chunk_size: int | None,
    store: str | None,
    dry_run: bool = False,
    price: tuple[float, float] | None = None,
) -> None:
    """Prints what a run will cost, to stderr.

    A local model is timed on a few masks where the run is dry or the text very long; an endpoint
    is never asked.

    Args:
      f: the value function: ``n``, and ``store_key`` if there is a store.
      masks: which are asked for.
      chunk_size, store: as for ``explain``.
      dry_run: nothing will be run.
      price: dollars for a million tokens that an endpoint is sent, and for a million that it sends.
    """
    from spexjax.codes import gf2
    from spexjax.models.api.value import ApiValue
    from spexjax.models.cli.estimate import duration, of_endpoint, seconds_per_call
    from spexjax.preview import preview
    from spexjax.steps import design

    cost = preview(
        f.n, budget=masks.budget, method=masks.method, target=masks.target, seed=masks.seed,
        chunk_size=chunk_size, store=store, f=f,
    )  # fmt: skip
    _say(str(cost))
    if not cost.calls or not (dry_run or (f.n >= _LONG and not isinstance(f, ApiValue))):
        return
    # Of a method that asks for derivatives, too, masks are timed.
    method = "linear" if cost.gradients else masks.method
    asked = design(f.n, budget=masks.budget, method=method, target=masks.target, seed=masks.seed)
    some = np.random.default_rng(0).permutation(len(asked))[:_MOST]
    rows = gf2.unpack_numpy(asked.packed[some], f.n)
    if isinstance(f, ApiValue):
        _say(of_endpoint(f, rows, cost.calls, price))
        return
    each = seconds_per_call(f, rows)
    hint = _sentences(f) if f.n >= _LONG else ""
    calls = cost.calls + _PER_GRADIENT * cost.gradients
    _say(f"about {duration(each * calls)} at {1000 * each:.3g} ms a call, and the fit{hint}")


_MOST = 256


def _sentences(f: Any) -> str:
    """That a long text has fewer sentences than words."""
    from spexjax.models.text.spans import sentences

    text = getattr(f.source, "text", None)
    count = len(sentences(text)) if isinstance(text, str) else f.n
    return f"; --features sentences has {count:,} instead of {f.n:,}" if 2 * count < f.n else ""


def _say(text: str) -> None:
    print(f"spexjax: {text}", file=sys.stderr)
