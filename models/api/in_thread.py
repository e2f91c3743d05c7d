"""A coroutine run to its end from code that is not asynchronous, and stopped by ctrl-C."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

LOOK_SECONDS = 0.1


def in_thread(run: Callable[[asyncio.Event], Any]) -> BaseException | None:
    """Runs a coroutine in a thread of its own, since the caller's may have a loop already.

    Ctrl-C sets the event; a second one does not wait for requests under way.
    """
    outcome: list[BaseException | None] = [None]
    started, finished = threading.Event(), threading.Event()
    handle: dict[str, Any] = {}

    async def main() -> None:
        handle["stop"], handle["loop"] = asyncio.Event(), asyncio.get_running_loop()
        handle["task"] = asyncio.current_task()
        started.set()
        outcome[0] = await run(handle["stop"])

    def target() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            outcome[0] = error
        started.set()
        finished.set()

    threading.Thread(target=target, daemon=True).start()
    interrupted: KeyboardInterrupt | None = None
    # Not Thread.join: interrupted, it takes the thread for ended on Python 3.11.
    while not finished.is_set():
        try:
            while not finished.wait(LOOK_SECONDS):
                pass
        except KeyboardInterrupt as error:
            started.wait()
            action = handle["task"].cancel if interrupted else handle["stop"].set
            interrupted = error
            with suppress(RuntimeError):  # the loop has just ended by itself
                handle["loop"].call_soon_threadsafe(action)
    return interrupted or outcome[0]
