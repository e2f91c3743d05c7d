"""The time to the first answer in a fresh process, and to the next one of another size.

    python -m spexjax.experiments cold                # ours
    python -m spexjax.experiments cold --peers        # shapiq's ProxySPEX and SPEX beside

Every line of a case is one ``explain`` of the same process: the first with nothing compiled and no
compilation cache on disk, the others after it. Seconds are wall time without the function's own
(medians of the repeats, each a process of its own); ``programs`` is how many XLA programs a line
compiled, ``large`` how many took above 0.3 s of it. The function is a sum of 30 ANDs of up to four
inputs and a smooth part; ``f of 5 ms`` waits that long for every mask.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from spexjax.experiments.harness.timing import own
from spexjax.experiments.peers import shapiq as peers
from spexjax.experiments.reporting.rows import Rows
from spexjax.experiments.tasks.item import known
from spexjax.explain import explain
from spexjax.typing import ValueFunction

_COMPILED = "/jax/core/compile/backend_compile_duration"
_LARGE = 0.3  # seconds


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    repeats: int = 5
    """Processes per case."""
    peers: bool = False
    """Run shapiq beside."""
    cases: tuple[str, ...] = ()
    """The names of the cases; all of them if empty."""


class Run(NamedTuple):
    """One call in a process: a method of ours, or an estimator of shapiq."""

    n: int
    budget: int = 1000
    method: str = "auto"
    seed: int = 0
    wait: float = 0.0
    """Seconds that the function takes for a mask."""
    outputs: int = 1


CASES = {
    "auto": (Run(64), Run(64, seed=1), Run(40), Run(65), Run(100, seed=1)),
    "auto, 4 000 masks": (Run(128, 4000), Run(128, 4000, seed=1)),
    "auto, f of 5 ms": (Run(64, wait=0.005),),
    "auto, cache on disk": (Run(64),),
    "proxyspex": (Run(64, method="proxyspex"), Run(64, method="proxyspex", seed=1)),
    "linear": (Run(64, method="linear"),),
    "spex": (Run(64, 4000, "spex"), Run(64, 4000, "spex", 1)),
    "ten outputs": (Run(64, 4000, outputs=10),),
    "large": (Run(1000, 10_000),),
}
PEERS = {
    "shapiq ProxySPEX": (Run(64, method="ProxySPEX"),),
    "shapiq SPEX": (Run(64, 4000, "SPEX"),),
}


def run(config: Config) -> Rows:
    """A row for every call of every case.

    Raises:
      ImportError: if shapiq is wanted but not installed.
      ValueError: if there is no such case.
    """
    if config.peers and not peers.available():
        raise ImportError("shapiq is not installed: pip install shapiq.")
    every = CASES | (PEERS if config.peers else {})
    chosen = {name: every[known("case", name, every)] for name in config.cases or every}
    columns = {
        "case": "<20s", "n": ">6d", "masks": ">7d", "seconds": ">8.2f", "import": ">7.2f",
        "R2": ">7.4f", "programs": ">9.0f", "large": ">6.0f", "compiling": ">10.2f",
    }  # fmt: skip
    device = jax.devices()[0].device_kind
    where = f"{os.cpu_count()} CPUs, on {device}, jax {jax.__version__}"
    title = f"{config.repeats} processes, {where}: medians"
    return Rows(title, columns, _rows(chosen, config.repeats))


def _rows(cases: dict[str, tuple[Run, ...]], repeats: int) -> Iterator[tuple[Any, ...]]:
    for name, runs in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            cache = folder if name == "auto, cache on disk" else None
            if cache:
                _process(runs, cache)  # fills it
            found = np.median([_process(runs, cache) for _ in range(repeats)], axis=0)
        for one, row in zip(runs, found, strict=True):
            yield (name, one.n, one.budget, *row)


def _process(runs: tuple[Run, ...], cache: str | None) -> list[list[float]]:
    """What :func:`child` prints in a process of its own."""
    kept = (k for k in os.environ if not k.startswith("JAX_") or k == "JAX_PLATFORMS")
    environment = {k: os.environ[k] for k in kept}
    if cache:
        environment |= {
            "JAX_COMPILATION_CACHE_DIR": cache,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
    code = "import time; start = time.perf_counter(); from spexjax import explain; "
    code += "took = time.perf_counter() - start; from spexjax.experiments.bench import cold; "
    code += "import sys; cold.child(sys.argv[1], took)"
    command = [sys.executable, "-c", code, json.dumps([one._asdict() for one in runs])]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def child(runs: str, imported: float) -> None:
    """Makes the calls one after the other and prints the numbers of each as JSON."""
    compiled: list[float] = []

    def hear(event: str, duration_secs: float, **_: str | int) -> None:
        if event == _COMPILED:
            compiled.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(hear)
    rows = []
    for one in (Run(**given) for given in json.loads(runs)):
        before = len(compiled)
        seconds, score = _timed(one)
        new = compiled[before:]
        large = sum(s > _LARGE for s in new)
        rows.append([seconds, imported, score, len(new), large, sum(new)])
    print(json.dumps(rows))


def _timed(one: Run) -> tuple[float, float]:
    """Seconds without the function's own, and R² (of a peer, not known)."""
    f = _function(one)
    if one.method in ("SPEX", "ProxySPEX"):
        found = peers.surrogate(one.method, f, one.n, one.budget, one.seed)  # type: ignore[arg-type]
        return (np.nan if found is None else found.seconds), np.nan
    seconds, _, e = own(lambda g: explain(g, one.n, budget=one.budget, method=one.method), f)
    return seconds, float(np.mean(e.faithfulness))


def _function(one: Run) -> ValueFunction:
    rng = np.random.default_rng(one.seed)
    sets = [rng.choice(one.n, rng.integers(1, 5), replace=False) for _ in range(30)]
    weights = rng.normal(size=(30, one.outputs))
    direction = rng.normal(size=one.n)

    def f(masks: np.ndarray) -> np.ndarray:
        time.sleep(one.wait * len(masks))
        smooth = 0.1 * np.sin(masks @ direction)
        parts = (np.outer(masks[:, s].all(axis=1), w) for s, w in zip(sets, weights, strict=True))
        values = sum(parts, np.repeat(smooth[:, None], one.outputs, axis=1))
        return values[:, 0] if one.outputs == 1 else values

    return f
