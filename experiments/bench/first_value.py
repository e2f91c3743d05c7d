"""The time to a language model's first value in a fresh process: load, compile, evaluate.

    python -m spexjax.experiments first-value [--geometry medium]

A model of random weights is written to a folder. A process without compilation cache imports the
package, loads the folder, makes the value function of a question and asks it for one batch of
masks, and for another one. Seconds are wall time, medians of the repeats.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import numpy as np

from spexjax.experiments.bench import llama
from spexjax.experiments.reporting.rows import Rows
from spexjax.models.llama.language import load_language_model
from spexjax.models.llama.model import init_params
from spexjax.models.llama.weights import save_llama

_CPU = jax.default_backend() == "cpu"


@dataclass(frozen=True)
class Config:
    """What is wanted; defaults are those of the device at hand."""

    geometry: Literal["mini", "small", "medium", "3b"] = "medium" if _CPU else "3b"
    """Of the random model; see ``llama``."""
    context: int = 512 if _CPU else 1024
    """Tokens, each a feature."""
    rows: int = 4 if _CPU else 16
    """Masks per batch."""
    dtype: Literal["float32", "bfloat16"] = "float32" if _CPU else "bfloat16"
    """Stored, and computed in."""
    repeats: int = 3
    """Processes."""


def run(config: Config) -> Rows:
    """One row."""
    columns = {"": "<10", "import s": ">9.2f", "load s": ">8.2f", "first s": ">8.2f",
               "next s": ">8.2f", "load + first": ">13.2f"}  # fmt: skip
    where = f"{config.context} tokens, {config.rows} masks a batch, {config.dtype}"
    device = jax.devices()[0].device_kind
    return Rows(f"First value, {where}, on {device}", columns, _measured(config))


def _measured(config: Config) -> Iterator[tuple]:
    model = llama.geometry(config.geometry)
    with tempfile.TemporaryDirectory() as folder:
        params = init_params(model, jax.random.key(0), config.dtype)
        save_llama(folder, model, params)
        asked = llama.Config(
            config.geometry, context=config.context, rows=config.rows, dtypes=(config.dtype,)
        )
        f = llama.asked(asked, model, params, config.dtype)
        f.model.tokenizer.save(str(Path(folder) / "tokenizer.json"))
        times = []
        for _ in range(config.repeats):
            given = json.dumps([folder, config.context, config.rows, config.dtype])
            code = (
                "import sys, time; start = time.perf_counter(); import spexjax.models.values; "
                f"took = time.perf_counter() - start; from {__name__} import child; "
                "child(sys.argv[1], took)"
            )
            done = subprocess.run(
                [sys.executable, "-c", code, given], stdout=subprocess.PIPE, text=True, check=True,
                env=os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "0"},
            )  # fmt: skip
            times.append(json.loads(done.stdout.splitlines()[-1]))
    brought, load, first, after = np.median(times, axis=0)
    yield config.geometry, brought, load, first, after, load + first


def child(given: str, imported: float) -> None:
    """Prints seconds of the import, the load, the first batch and another one."""
    folder, context, rows, dtype = json.loads(given)
    seconds = [imported]
    begun = time.perf_counter()
    model = load_language_model(folder, dtype)
    jax.block_until_ready(model.placed_in(dtype))
    seconds.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    config = llama.Config(context=context, rows=rows, dtypes=(dtype,))
    f = llama.asked(config, model.config, model.params, dtype)
    for batch in np.random.default_rng(0).random((2, rows, context)) < 0.5:
        f(batch)
        seconds.append(time.perf_counter() - begun)
        begun = time.perf_counter()
    print(json.dumps(seconds))
