"""How far a run is: a bar on a terminal, a few lines elsewhere."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from spexjax import phases

_REFRESH = 0.5  # seconds
_PATIENCE = 5.0
"""Seconds between two lines about a fit."""


@contextmanager
def progress_bar(total: int, shown: bool, rows: int = 1) -> Iterator[Callable[[int], Any]]:
    """Yields what to call with the number of masks that have just been done.

    Args:
      total: masks to come.
      shown: draw a bar if stderr is a terminal, whose clock moves even while f is at work on the
        first masks; else print one line before them, and one after them that says how long the
        rest will take. Nothing if False.
      rows: masks asked for at once.
    """
    if not shown or not total:
        yield lambda count: None
    elif sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, unit="call", leave=False) as bar, _ticking(bar):
            yield bar.update
    else:
        yield _Lines(total, rows).advance


@contextmanager
def fit_bar(shown: bool) -> Iterator[None]:
    """Shows the phases that are told (:mod:`spexjax.phases`), each with its share of the whole."""
    if not shown:
        yield
    elif sys.stderr.isatty():
        from tqdm import tqdm

        form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}"
        with tqdm(total=1.0, desc="fit", leave=False, bar_format=form) as bar, _ticking(bar):

            def show(phase: str, share: float) -> None:
                bar.n = share
                bar.set_description(phase)

            with phases.heard_by(show):
                yield
    else:
        last = time.perf_counter()

        def say(phase: str, share: float) -> None:
            nonlocal last
            if time.perf_counter() - last > _PATIENCE:
                last = time.perf_counter()
                _print(f"fit: {phase}, {share:.0%} done")

        with phases.heard_by(say):
            yield


@contextmanager
def _ticking(bar: Any) -> Iterator[None]:
    """Draws the bar again and again, so that its clock moves."""
    done = threading.Event()

    def tick() -> None:
        while not done.wait(_REFRESH):
            bar.refresh()

    clock = threading.Thread(target=tick, daemon=True)
    clock.start()
    try:
        yield
    finally:
        done.set()
        clock.join()


class _Lines:
    """A line before the first masks, and one after them: how long they took and the rest may."""

    def __init__(self, total: int, rows: int):
        self.total, self.start, self.told = total, time.perf_counter(), False
        if rows < total:
            _print(f"{total:,} calls, {rows:,} at a time")

    def advance(self, count: int) -> None:
        if not self.told and 0 < count < self.total:
            took = time.perf_counter() - self.start
            rest = took * (self.total - count) / count
            _print(f"{count:,} of {self.total:,} calls in {took:.1f} s; about {rest:.0f} s to go")
        self.told = True


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
