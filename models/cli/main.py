"""The ``spexjax`` command: which words, and which sets of words, move a model's answer."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import shtab

from spexjax.models.cli import (
    design_command,
    doctor_command,
    explain_command,
    fit_command,
    store_command,
    summarize_command,
    work_command,
)
from spexjax.models.cli.options import CommandError

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
_COMMANDS = {
    "explain": explain_command,
    "design": design_command,
    "work": work_command,
    "fit": fit_command,
    "summarize": summarize_command,
    "doctor": doctor_command,
}


def build_parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    parser = argparse.ArgumentParser(prog="spexjax", description=__doc__)
    parser.add_argument("--version", action="version", version=f"spexjax {version('spexjax')}")
    shtab.add_argument_to(
        parser, "--print-completion",
        help="print what completes this command on pressing TAB, for bash, zsh or tcsh; such as "
        'eval "$(spexjax --print-completion bash)" in ~/.bashrc',
    )  # fmt: skip
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (*_COMMANDS.values(), store_command):
        command.add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code: 0, 1 (failed), 2 (usage) or 130 (interrupted)."""
    given = build_parser().parse_args(arguments)
    try:
        if given.command == "store":
            return store_command.run(given)
        command: Any = _COMMANDS[given.command]
        wanted = command.read(given)
        import jax

        use_compilation_cache(jax)
        command.run(wanted)
        return OK
    except KeyboardInterrupt as stop:  # may say what was kept
        print(f"spexjax: {str(stop) or 'interrupted'}", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if given.debug:
            raise
        print(f"spexjax: error: {_one_line(error, getattr(given, 'store', None))}", file=sys.stderr)
        return USAGE if isinstance(error, CommandError) else FAILED


def use_compilation_cache(jax: ModuleType) -> None:
    """Keeps compiled programs in the user's cache folder, unless one is configured already."""
    if jax.config.jax_compilation_cache_dir:
        return
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "spexjax" / "xla"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _one_line(error: Exception, store: str | None) -> str:
    from spexjax.models.api.endpoint import ApiError
    from spexjax.values.errors import ValueFunctionError

    kept = ""
    if isinstance(error, ValueFunctionError) and isinstance(error.__cause__, ApiError):
        if store and error.values is not None:
            kept = f"; {len(error.values)} values from before are in {store}"
        error = error.__cause__  # what can be mended comes first, not where it went wrong
    text = (" ".join(str(error).split()) or "no message") + kept
    plain = isinstance(error, CommandError | ValueError | OSError | ImportError | ApiError)
    return text if plain else f"{type(error).__name__}: {text} (--debug shows where)"
