"""The line between one host and the others: a child process that holds JAX's coordination client.

JAX's coordination service ends a process from C++, without a Python error, when the coordinator
is lost or a member does not come. So the client lives in a child of each host, which may die
without taking anything along: the host then says who is missing. The child passes bytes to and
fro through the coordinator's key-value store, shows every second that its host is there, and
says when the host has ended, however it ended, since its standard input then closes.

:mod:`spexjax.models.distributed.hosts` runs this file as a script. On standard input and output it
takes and gives pickled tuples; the child sees nothing else of its host, and no device.
"""

import os
import pickle
import queue
import signal
import sys
import threading
import time
from typing import Any, BinaryIO, NamedTuple

import jax

_BEAT_SECONDS = 1.0
_LOOK_SECONDS = 0.25
_LINGER_SECONDS = 15.0  # the coordinator waits this long for others to hear why it ends
_NEVER = 10**6  # seconds; this module looks for lost members itself, and sooner


class Settings(NamedTuple):
    """What :func:`hosts.initialize` was told."""

    coordinator: str | None
    num_processes: int | None
    process_id: int | None
    bind: str | None
    name: str
    """What errors call this host, beside its number."""
    patience: float
    """Seconds without a sign of life after which a host counts as lost."""
    start_limit: float
    """Seconds within which all processes must have come."""


def join(settings: Settings) -> tuple[Any, int, int]:
    """Joins the run; the key-value client, this process's number and the number of processes.

    The one place that touches JAX's internals: its key-value store has no public name.
    """
    from jax._src import distributed

    jax.distributed.initialize(
        settings.coordinator,
        settings.num_processes,
        settings.process_id,
        coordinator_bind_address=settings.bind,
        initialization_timeout=int(settings.start_limit),
        heartbeat_timeout_seconds=_NEVER,
    )
    state = distributed.global_state
    return state.client, state.process_id, state.num_processes


class Messenger:
    """Serves one host until it ends or another is lost.

    Args:
      settings: what to join, patience and name.
      source: where questions come from; out: where answers go.
    """

    def __init__(self, settings: Settings, source: BinaryIO, out: BinaryIO):
        self.settings, self.source, self.out = settings, source, out
        self.client: Any = None
        self.me, self.count, self.rounds = 0, 0, 0
        self.commands: queue.Queue[tuple] = queue.Queue()
        self.ended = threading.Event()  # the host's end of the pipe is closed
        self.lost: tuple[int, str] | None = None
        self.told = False
        self.lock = threading.Lock()  # of what follows the next line
        self.gathering = False
        self.looks = 0  # time as this process lived it: it may have been stopped for a while
        self.beats: dict[str, tuple[bytes, int]] = {}
        self.names: dict[str, str] = {}
        self.answered = time.monotonic()

    def run(self) -> None:
        """Joins the others and takes commands until the host ends."""
        threading.Thread(target=self._read, daemon=True).start()
        self.client, self.me, self.count = join(self.settings)
        self.answered = time.monotonic()
        self.client.key_value_set(f"name/{self.me}", self.settings.name)
        threading.Thread(target=self._live, daemon=True).start()
        self._say("ready", self.me, self.count)
        while True:
            what, *rest = self.commands.get()
            if what == "gather" and self.lost is None:
                self._gather(*rest)
            elif what == "check" and self.lost is None:
                self._say("here")
            elif what in ("leave", "ended"):
                self._leave(what)
                return

    def _read(self) -> None:
        while True:
            try:
                self.commands.put(pickle.load(self.source))
            except (EOFError, OSError, pickle.UnpicklingError):
                self.ended.set()
                if self.client is None:  # nobody waits for this process any more
                    os._exit(0)
                self.commands.put(("ended",))
                return

    def _say(self, *answer: Any) -> None:
        try:
            pickle.dump(answer, self.out)
            self.out.flush()
        except OSError:
            self.ended.set()

    def _live(self) -> None:
        """Shows that the host is there and looks whether the others are."""
        for beat in range(sys.maxsize):
            try:
                self.client.key_value_set_bytes(f"beat/{self.me}", b"%d" % beat, True)
                self._look()
                self.answered = time.monotonic()
            except jax.errors.JaxRuntimeError:
                pass  # `_missing` sees for how long
            with self.lock:
                if not self.gathering:
                    self._tell_lost()
            time.sleep(_BEAT_SECONDS)

    def _look(self) -> None:
        self.looks += 1
        for key, value in self.client.key_value_dir_get_bytes("beat/"):
            if self.beats.get(key, (None, 0))[0] != value:
                self.beats[key] = value, self.looks
        self.names = dict(self.client.key_value_dir_get("name/"))
        left = dict(self.client.key_value_dir_get("left/"))
        if self.lost is None:
            self.lost = self._missing(left)

    def _missing(self, left: dict[str, str]) -> tuple[int, str] | None:
        """The first process that has left or is silent, and how it was lost."""
        for other in range(self.count):
            if f"left/{other}" in left and other != self.me:
                return other, left[f"left/{other}"]
            if self._silent(other) > self.settings.patience:
                return other, f"has shown no sign of life for {self._silent(other):.0f} s"
        return None

    def _silent(self, other: int) -> float:
        """Seconds without a sign of life."""
        seen = self.beats.get(f"beat/{other}", (b"", 0))[1]
        return 0.0 if other == self.me else (self.looks - seen) * _BEAT_SECONDS

    def _tell_lost(self) -> None:
        silent = time.monotonic() - self.answered
        if self.lost is None and silent > self.settings.patience:
            self.lost = (
                0,
                f"does not answer; it coordinates the run, and was silent for {silent:.0f} s",
            )
        if self.lost is not None and not self.told:
            self.told = True
            number, how = self.lost
            self._say("lost", number, self.names.get(f"name/{number}", ""), how)

    def _gather(self, mine: bytes) -> None:
        """Everyone's bytes of this round, in order of number, to the host."""
        with self.lock:
            self.gathering = True
        found: list[bytes] | None = None
        try:
            found = self._parts(mine)
        except jax.errors.JaxRuntimeError as error:
            how = f"does not answer; it coordinates the run ({_short(error)})"
            self.lost = self.lost or (0, how)
        with self.lock:
            self.gathering = False
            if found is not None:
                self._say("all", found)
            elif not self.ended.is_set():
                self._tell_lost()

    def _parts(self, mine: bytes) -> list[bytes] | None:
        """Everyone's bytes of this round; None if someone will not send any."""
        self.client.key_value_set_bytes(f"part/{self.rounds}/{self.me}", mine)
        found = []
        for other in range(self.count):
            part = mine if other == self.me else self._part(other)
            if part is None:
                return None
            found.append(part)
        if self.rounds:
            # Whoever has sent a part of this round has read all of the one before.
            self.client.key_value_delete(f"part/{self.rounds - 1}/{self.me}")
        self.rounds += 1
        return found

    def _part(self, other: int) -> bytes | None:
        """Another's bytes of this round; None if it will not send any, or the host has ended."""
        key = f"part/{self.rounds}/{other}"
        while not self.ended.is_set():
            stop = self.lost is not None  # seen before the last look for the part
            try:
                return self.client.blocking_key_value_get_bytes(key, int(1000 * _LOOK_SECONDS))
            except jax.errors.JaxRuntimeError as error:
                if "DEADLINE_EXCEEDED" not in str(error):
                    raise
            if stop or time.monotonic() - self.answered > self.settings.patience:
                return None
        return None

    def _leave(self, what: str) -> None:
        """Tells the others; the coordinator stays until they have heard."""
        how = "has left the run" if what == "leave" else "has ended"
        self.client.key_value_set(f"left/{self.me}", how)
        deadline = time.monotonic() + _LINGER_SECONDS
        while self.me == 0 and time.monotonic() < deadline:
            left = dict(self.client.key_value_dir_get("left/"))
            if not any(self._listens(other, left) for other in range(1, self.count)):
                return
            time.sleep(_LOOK_SECONDS / 5)

    def _listens(self, other: int, left: dict[str, str]) -> bool:
        return f"left/{other}" not in left and self._silent(other) < _LINGER_SECONDS / 3


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:100]


def main() -> None:
    """Reads settings, joins, serves; never waits at JAX's own barrier when it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C is for the host
    out = sys.stdout.buffer
    try:
        settings = Settings(*pickle.load(sys.stdin.buffer))
        Messenger(settings, sys.stdin.buffer, out).run()
    except Exception as error:
        pickle.dump(("failed", f"{type(error).__name__}: {_short(error)}"), out)
        out.flush()
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
