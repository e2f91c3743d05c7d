"""``spexjax doctor``: what is installed and found on this machine, and what is wrong with it."""

import argparse
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from types import ModuleType
from typing import Any

from spexjax.models.cli.options import CommandError

_NEEDED = ("jax", "jaxlib", "flax", "optax", "numpy", "tokenizers", "safetensors")
_OPTIONAL = {
    "openai": "models behind an API",
    "transformers": "model folders with vocab.txt only",
    "ray": "many machines",
    "shap": "e.to_shap()",
    "shapiq": "e.to_shapiq()",
    "pandas": "tables of interactions",
}
_LEAST_FREE = 1 << 30  # bytes below which a cache or a store may not fit


@dataclass(frozen=True)
class Doctor:
    """What ``spexjax doctor`` is to look at.

    Attributes:
      store: a file of values to check, or None.
    """

    store: str | None


@dataclass(frozen=True)
class Finding:
    """A line of the report; ``wrong`` says what to do, and is empty if all is well."""

    name: str
    found: str
    wrong: str = ""


def add_parser(commands: Any) -> None:
    """Adds ``doctor`` to the sub-commands."""
    parser = commands.add_parser(
        "doctor",
        help="say what is installed, which devices there are, and what is wrong",
        description="Looks at versions, devices, the cache of compiled programs, the models that "
        "ship with the package, optional packages and a store. Exit code 1 if something is wrong.",
    )
    parser.add_argument("--store", metavar="FILE", help="also read all of this store")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")


def read(given: argparse.Namespace) -> Doctor:
    """What is wanted.

    Raises:
      CommandError: if there is no such store.
    """
    if given.store is not None and not Path(given.store).is_file():
        raise CommandError(f"there is no store {given.store!r}")
    return Doctor(given.store)


def run(wanted: Doctor) -> None:
    """Prints the report.

    Raises:
      ValueError: if something is wrong; the report says what.
    """
    import jax

    import spexjax

    findings = [
        Finding("spexjax", f"{metadata.version('spexjax')} in {Path(spexjax.__file__).parent}"),
        Finding("python", f"{platform.python_version()}, {platform.platform()}"),
        _versions(),
        *_devices(jax),
        _cache(getattr(jax.config, "jax_compilation_cache_dir", None)),
        *_models(),
        *_optional(),
        *([] if wanted.store is None else [_store(wanted.store)]),
    ]
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{finding.name.ljust(width)}  {finding.found}")
        if finding.wrong:
            print(f"{'':{width}}  wrong: {finding.wrong}")
    count = sum(bool(finding.wrong) for finding in findings)
    if count:
        raise ValueError(f"{count} {'thing is' if count == 1 else 'things are'} wrong")
    print("nothing is wrong")


def _versions() -> Finding:
    return Finding("libraries", ", ".join(f"{name} {metadata.version(name)}" for name in _NEEDED))


def _devices(jax: ModuleType) -> Iterator[Finding]:
    try:
        devices = jax.devices()
    except RuntimeError as error:
        yield Finding("devices", "none", f"JAX finds no device: {' '.join(str(error).split())}")
        return
    kinds = {device.device_kind for device in devices}
    found = f"{len(devices)} × {', '.join(sorted(kinds))} ({devices[0].platform})"
    memory = devices[0].memory_stats() or {}
    if "bytes_limit" in memory:
        found += f", {memory['bytes_limit'] / 1e9:.1f} GB each"
    wrong = ""
    if devices[0].platform == "cpu":
        found += f", {os.cpu_count()} cores"
        if shutil.which("nvidia-smi"):
            wrong = 'there is an NVIDIA driver, but JAX uses the CPU: pip install "jax[cuda12]"'
    yield Finding("devices", found, wrong)


def _cache(folder: str | None) -> Finding:
    """The folder of compiled programs: whether it can be written, how large it is."""
    if not folder:
        return Finding("cache", "none", "no folder for compiled programs; set XDG_CACHE_HOME")
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
        sizes = [entry.stat().st_size for entry in os.scandir(folder) if entry.is_file()]
        free = shutil.disk_usage(folder).free
    except OSError as error:
        reason = error.strerror or str(error)
        return Finding("cache", folder, f"{reason}; every run compiles anew. Set XDG_CACHE_HOME")
    wrong = "the disk is nearly full" if free < _LEAST_FREE else ""
    return Finding("cache", f"{folder}: {len(sizes):,} files, {sum(sizes) / 1e6:,.0f} MB", wrong)


def _models() -> Iterator[Finding]:
    """The models that ship with the package answer as they should."""
    from spexjax.models.bert.classifier import load_classifier

    try:
        logits = load_classifier().logits("a good film").tolist()
    except Exception as error:
        yield Finding("embedded model", "no answer", f"{type(error).__name__}: {error}; reinstall")
        return
    right = logits[1] > logits[0]
    shown = "positive" if right else "negative"
    wrong = "" if right else "it should be positive: the device computes wrongly, or reinstall"
    yield Finding("embedded model", f"“a good film” is {shown}", wrong)


def _optional() -> Iterator[Finding]:
    there = [name for name in _OPTIONAL if util.find_spec(name)]
    missing = [f"{name} ({what})" for name, what in _OPTIONAL.items() if name not in there]
    yield Finding("optional", ", ".join(f"{n} {metadata.version(n)}" for n in there) or "none")
    if missing:
        yield Finding("not installed", f"{', '.join(missing)}: pip install NAME")


def _store(path: str) -> Finding:
    """Whether every value of a store can be read."""
    from spexjax.models.cli.store_command import rows
    from spexjax.store.store import Store, StoreError

    try:
        with Store(path, read_only=True) as store:
            values = damaged = 0
            for row in rows(store):
                damaged += "error" in row
                values += "error" not in row
            count = len(store.functions())
    except StoreError as error:
        return Finding("store", path, str(error))
    wrong = f"{damaged:,} chunks are damaged; their masks are asked for again" if damaged else ""
    return Finding("store", f"{path}: {count:,} value functions, {values:,} values", wrong)
