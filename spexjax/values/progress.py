"""How far a run is: a bar on a terminal, one line elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any


@contextmanager
def progress_bar(total: int, shown: bool) -> Iterator[Callable[[int], Any]]:
    """Yields what to call with the number of masks that have just been done.

    Args:
      total: masks to come.
      shown: draw a bar if stderr is a terminal, else print one line after the first chunk that
        says how long the rest will take; nothing if False.
    """
    if not shown or not total:
        yield lambda count: None
    elif sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, unit="call", leave=False) as bar:
            yield bar.update
    else:
        yield partial(_tell_once, total, time.perf_counter(), [])


def _tell_once(total: int, start: float, told: list[int], count: int) -> None:
    """After the first chunk: how long it took, and how long the rest may take."""
    if not told and 0 < count < total:
        took = time.perf_counter() - start
        rest = took * (total - count) / count
        line = f"{count:,} of {total:,} calls in {took:.1f} s; about {rest:.0f} s to go"
        print(line, file=sys.stderr, flush=True)
    told.append(count)
