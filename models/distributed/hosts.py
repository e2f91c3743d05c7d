"""Several hosts: each evaluates its share of every chunk of masks, and all get all values.

Every process runs the same script with the same seed; :func:`shared` is put around the value
function, whatever it is. No collective touches a value: shares and values travel as bytes through
the key-value store of JAX's coordinator, so that a lost host is an error in Python on every other
one, which names it, and not an abort from C++. Each host keeps what it evaluated in a journal of
its own before it sends it.
"""

import atexit
import hashlib
import json
import os
import pickle
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from jaxtyping import Bool, Float

from spexjax import values
from spexjax.codes import gf2
from spexjax.masks import unique_rows
from spexjax.models.distributed import messenger
from spexjax.store.journal import Journal
from spexjax.store.store import Store, key_of
from spexjax.values.calling import Interrupted, OnDevice, PartialValues, ValueFunctionError

PATIENCE_SECONDS = 30.0
START_SECONDS = 300.0
_LOST = "does not answer; it coordinates the run"
_CLOSE_SECONDS = 30.0
_FILE = "process-{}.sqlite"


class HostsError(RuntimeError):
    """A process of the run is missing, failed, or asks for something else; it is named."""


class Hosts:
    """This process's place in a run of several; made by :func:`initialize`.

    Attributes:
      process_id: from 0.
      num_processes: of the run.
      on_close: what to close with the run.
    """

    def __init__(self, settings: messenger.Settings):
        self._settings = settings
        self._lock = threading.Lock()  # one question at a time
        self._failure: str | None = None
        self.on_close = ExitStack()
        self._child = subprocess.Popen(
            [sys.executable, "-P", messenger.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # JAX's words when it ends the child; ours name who is lost
            env=_environment(),
        )
        self._to = cast(IO[bytes], self._child.stdin)
        self._from = cast(IO[bytes], self._child.stdout)
        self.process_id, self.num_processes = self._start()
        atexit.register(self.close)

    def gather(self, mine: bytes) -> list[bytes]:
        """The bytes that each process passes to this call, in order of number.

        Raises:
          HostsError: if a process is missing.
        """
        return self._ask("gather", mine)[0]

    def check(self) -> None:
        """Looks whether all processes are there.

        Raises:
          HostsError: if one is missing.
        """
        self._ask("check")

    def close(self) -> None:
        """Leaves the run. At the end of the process this happens by itself.

        Process 0 stays for some seconds if others have not heard yet how the run ended.
        """
        atexit.unregister(self.close)
        self.on_close.close()
        self._failure = self._failure or "This process has left the run"
        with suppress(OSError, ValueError):
            self._send("leave")
        with suppress(OSError):  # the child is gone and did not take all
            self._to.close()
        try:
            self._child.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._from.close()

    def __enter__(self) -> "Hosts":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> tuple[int, int]:
        begun = time.monotonic()
        with suppress(OSError):
            pickle.dump(tuple(self._settings), self._to)
            self._to.flush()
        try:
            what, *rest = pickle.load(self._from)
        except EOFError:
            what, rest = "absent", []
        except BaseException:
            self._child.kill()
            self.close()
            raise
        if what != "ready":
            self.close()
        if what == "absent":
            raise HostsError(_not_all(self._settings, time.monotonic() - begun))
        if what == "failed":
            where = self._settings.coordinator or "its address"
            raise HostsError(f"The run at {where} could not be joined: {rest[0]}")
        return rest[0], rest[1]

    def _send(self, *question: Any) -> None:
        pickle.dump(question, self._to)
        self._to.flush()

    def _ask(self, *question: Any) -> list[Any]:
        with self._lock:
            if self._failure is None:
                try:
                    with suppress(BrokenPipeError):  # what the child said before it ended counts
                        self._send(*question)
                    what, *rest = pickle.load(self._from)
                except EOFError:  # JAX has ended the child
                    what, rest = "lost", [0, self._settings.coordinator, _LOST]
                except BaseException:
                    self._failure = "This process was interrupted and has left the run"
                    raise
                if what != "lost":
                    return rest
                number, name, how = rest
                called = f"Process {number} ({name})" if name else f"Process {number}"
                self._failure = f"{called} {how}"
        raise HostsError(self._failure)


def initialize(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    patience: float = PATIENCE_SECONDS,
    start_limit: float = START_SECONDS,
) -> Hosts:
    """Joins this process to a run of several, on one host or many.

    Each process keeps its own devices and its own JAX: ``jax.devices()`` stays local, so one
    process per host with all of the host's devices is the usual choice. Processes on one host need
    devices of their own (``CUDA_VISIBLE_DEVICES``). Nothing is encrypted and nobody is asked for a
    password: use it in a network that you trust.

    Args:
      coordinator: "address:port" of process 0, the same for all; the port must be free there.
      num_processes: how many there are. process_id: which of them this is, from 0. All three may
        be left out where ``jax.distributed`` finds them by itself (Slurm, Open MPI, Kubernetes).
      patience: seconds without a sign of life after which a process counts as lost. One that is
        killed while its host lives is noticed within two seconds.
      start_limit: seconds within which all must have come.

    Returns:
      The run; a context manager, left at the end of the process at the latest.

    Raises:
      ValueError: if an argument cannot be meant.
      HostsError: if not all came in time, or the port is taken.
    """
    given = (coordinator, num_processes, process_id)
    if None in given and any(x is not None for x in given):
        raise ValueError("give coordinator, num_processes and process_id, or none of them.")
    bind = None
    if coordinator is not None and num_processes is not None and process_id is not None:
        if not re.fullmatch(r".+:\d{1,5}", coordinator):
            raise ValueError(f"coordinator must be 'address:port', got {coordinator!r}.")
        if not 0 <= process_id < num_processes:
            raise ValueError(f"process_id must be from 0 to {num_processes - 1}, got {process_id}.")
        local = coordinator.startswith(("127.0.0.1:", "localhost:"))
        bind = coordinator if local else None  # elsewhere all addresses
        if process_id == 0 and _answers(coordinator):
            raise HostsError(f"Another program answers at {coordinator} already.")
    if patience < 5 or start_limit < 1:
        raise ValueError("patience must be at least 5 s and start_limit at least 1 s.")
    name = f"{socket.gethostname()}, pid {os.getpid()}"
    return Hosts(
        messenger.Settings(
            coordinator, num_processes, process_id, bind, name, patience, start_limit
        )
    )


def shared(
    f: Any,
    hosts: Hosts,
    store: str | Path | None = None,
    store_key: str | None = None,
    chunk_size: int = 512,
) -> "SharedValue":
    """A value function whose masks the processes of a run divide among themselves.

    Every process must call it with the same masks in the same order, as ``sx.explain`` does with
    the same arguments; otherwise all of them raise. Do not give ``sx.explain`` a store as well.

    Args:
      f: any value function: of this library, of your own, or marked by ``on_device``.
      hosts: from :func:`initialize`.
      store: a folder, made if there is none: of this host, or one that all hosts see. Each process
        keeps its values in a file of its own there, ``process-<number>.sqlite``
        (:mod:`spexjax.store`), before it sends them. What any of them has is not asked for again.
        ``spexjax store merge`` makes one file of several.
      store_key: names f there, as for ``sx.explain``.
      chunk_size: masks per call of f at most. Between calls a process looks whether the others
        are there, so a call should not take longer than some seconds.

    Returns:
      f with the same ``n``, ``words`` and ``description``.

    Raises:
      StoreError: if the files cannot be used, or f has no ``store_key``.
    """
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, got {chunk_size}.")
    journals = None
    if store is not None:
        journals = _Journals(hosts, Path(store), key_of(f, store_key))
    return SharedValue(f, hosts, journals, chunk_size)


class _Journals:
    """This process's file in the folder; opened with the function, closed with the run."""

    def __init__(self, hosts: Hosts, folder: Path, key: str):
        self.key = key
        self._read: dict[int, Journal] = {}
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / _FILE.format(hosts.process_id)
        self.store = hosts.on_close.enter_context(Store(path))
        for other in sorted(folder.glob(_FILE.format("*"))):  # of an earlier run of more processes
            number = other.stem.removeprefix("process-")
            if number.isdecimal() and int(number) >= hosts.num_processes:
                with Store(other, read_only=True) as source:
                    self.store.merge(source)

    def of(self, n: int) -> Journal:
        """The journal of the function, read once."""
        if n not in self._read:
            self._read[n] = self.store.journal(self.key, n)
        return self._read[n]


@dataclass(frozen=True, eq=False)
class SharedValue:
    """A value function evaluated by several processes together; made by :func:`shared`.

    Attributes:
      function: evaluates this process's share.
      hosts: the run.
      journals: what this process keeps, or None.
      chunk_size: masks per call of ``function``.
    """

    function: Any
    hosts: Hosts
    journals: _Journals | None
    chunk_size: int

    @property
    def n(self) -> int:
        """The number of features."""
        return self.function.n

    @property
    def words(self) -> tuple[str, ...]:
        """The features' names."""
        return self.function.words

    @property
    def description(self) -> str:
        """What the function is, in words."""
        return self.function.description

    def __call__(self, masks: Bool[np.ndarray, "N n"], /) -> Float[np.ndarray, "N *K"]:
        """Values, float32, (N,) or (N, K), of masks, bool, (N, n); the same on every process.

        Raises:
          PartialValues: if a process is missing, failed, or asks for other masks: with the values
            at hand, NaN elsewhere, and a :class:`HostsError` as its ``cause``. ``sx.explain``
            makes a ``ValueFunctionError`` of it.
        """
        n, me = masks.shape[1], self.hosts.process_id
        packed, place = unique_rows(gf2.pack_numpy(np.asarray(masks, bool), gf2.num_words(n)))
        journal = None if self.journals is None else self.journals.of(n)
        parts: dict[int, bytes] = {}
        owner = np.full(len(packed), me)
        cause: BaseException | None = None  # why no more values will come
        here: BaseException | None = None  # what went wrong on this process
        try:
            owner = self._owners(packed, n, journal)
            found = self._evaluate(packed[owner == me], n, journal)
            parts[me] = _message(found)
        except HostsError as error:
            cause = self._with_place(error)
        except (Interrupted, ValueFunctionError) as error:
            found, here = _at_hand(packed[owner == me], journal, error), error
            parts[me] = _message(found, error)
            if isinstance(error, Interrupted):
                cause = error
            elif isinstance(error.__cause__, HostsError):  # seen between two calls
                cause = self._with_place(error.__cause__)
        if cause is None:
            try:
                parts = dict(enumerate(self.hosts.gather(parts[me])))
            except HostsError as error:
                cause = self._with_place(error)
        whole, failed = _together(parts, owner)
        if cause is None and failed is not None:
            cause = HostsError(failed)
            cause.__cause__ = here
        if cause is not None:
            raise PartialValues(whole[place], cause) from cause
        return whole[place]

    def _owners(self, packed: np.ndarray, n: int, journal: Journal | None) -> np.ndarray:
        """Which process gives the value of each mask: the first that has it, else an even part."""
        known = np.zeros(len(packed), bool) if journal is None else journal.known(packed)
        of_function = getattr(self.function, "store_key", None)
        key = of_function if self.journals is None else self.journals.key
        head = json.dumps([key, n, len(packed)]).encode()
        asked = hashlib.sha256(head + packed.tobytes()).digest()
        parts = self.hosts.gather(asked + np.packbits(known).tobytes())
        for other, part in enumerate(parts):
            if part[: len(asked)] != parts[0][: len(asked)]:
                raise HostsError(
                    f"Process {other} does not ask for the masks that process 0 asks for, or not "
                    "for those of the same function: all processes must make the same calls, with "
                    "the same arguments and seed."
                )
        bits = np.stack([np.frombuffer(part[len(asked) :], np.uint8) for part in parts])
        have = np.unpackbits(bits, axis=1, count=len(packed)).astype(bool)
        owner = have.argmax(axis=0)
        missing = np.flatnonzero(~have.any(axis=0))
        for process, rows in enumerate(np.array_split(missing, self.hosts.num_processes)):
            owner[rows] = process
        return owner

    def _evaluate(self, packed: np.ndarray, n: int, journal: Journal | None) -> np.ndarray:
        if not len(packed):
            return np.zeros(0, np.float32)

        def call(masks: Any) -> Any:
            self.hosts.check()
            return self.function(masks)

        f = OnDevice(call) if isinstance(self.function, OnDevice) else call
        return np.asarray(values.evaluate(f, packed, n, self.chunk_size, journal=journal))

    def _with_place(self, error: HostsError) -> HostsError:
        if self.journals is None:
            return error
        kept = self.journals.store.path
        return HostsError(f"{error}; what this process evaluated is in {kept}")


def _at_hand(
    packed: np.ndarray, journal: Journal | None, error: Interrupted | ValueFunctionError
) -> np.ndarray:
    """The values of masks when an evaluation broke off; NaN where there is none."""
    if journal is not None:
        here = journal.known(packed)
        came = journal.lookup(packed[here])
    elif error.values is None:
        return np.full(len(packed), np.nan, np.float32)
    else:  # in the order of the masks, since they were asked for in this order
        _, place = unique_rows(np.concatenate([packed, error.masks]))
        here = np.isin(place[: len(packed)], place[len(packed) :])
        came = error.values
    found = np.full((len(packed), *came.shape[1:]), np.nan, np.float32)
    found[here] = came
    return found


def _message(found: np.ndarray, failure: BaseException | None = None) -> bytes:
    """Values, and what went wrong, as bytes for the others."""
    outputs = None if np.isnan(found).all() else found.shape[1:]  # also of no values at all
    head = {"outputs": outputs, "failure": None if failure is None else str(failure)}
    body = b"" if outputs is None else found.astype("<f4").tobytes()
    return json.dumps(head).encode() + b"\n" + body


def _together(parts: dict[int, bytes], owner: np.ndarray) -> tuple[np.ndarray, str | None]:
    """The values of all masks, NaN where there is none, and what went wrong, naming who."""
    found = np.full(len(owner), np.nan, np.float32)
    first, failed = None, None
    for process, part in parts.items():
        text, _, body = part.partition(b"\n")
        head = json.loads(text)
        if head["failure"] is not None and failed is None:
            failed = f"Process {process} failed: {head['failure']}"
        if head["outputs"] is None:
            continue
        outputs = tuple(head["outputs"])
        if first is None:
            first = process, outputs
            found = np.full((len(owner), *outputs), np.nan, np.float32)
        if outputs != first[1]:
            failed = (
                f"Process {process} failed: its values have shape {outputs} per mask, those of "
                f"process {first[0]} {first[1]}."
            )
            continue
        rows = owner == process
        found[rows] = np.frombuffer(body, "<f4").reshape(int(rows.sum()), *outputs)
    return found, failed


def _environment() -> dict[str, str]:
    """The child's: no accelerator, and no proxy between it and the coordinator."""
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    return kept | {"JAX_PLATFORMS": "cpu"}


def _not_all(settings: messenger.Settings, waited: float) -> str:
    """Who was missing at the start, as far as can be known."""
    address, count, me = settings.coordinator, settings.num_processes, settings.process_id
    if address is None or count is None:
        return f"Not all processes came within {settings.start_limit:.0f} s."
    came = "did not come" if waited >= settings.start_limit / 2 else "has ended"
    if me != 0 and not _answers(address):
        return f"Process 0 {came}: nobody answers at {address} after {waited:.0f} s."
    missing = f"Process {1 - (me or 0)}" if count == 2 else f"One of the {count} processes"
    return f"{missing} {came} after {waited:.0f} s."


def _answers(address: str) -> bool:
    host, port = address.rsplit(":", 1)
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=5):
            return True
    except OSError:
        return False
