"""Imports run one way: from the top of the house down, inside a room in no circle, never lazily."""

import ast
from pathlib import Path

import pytest

import spexjax
import spexjax.experiments
import spexjax.models

ROOT = Path(spexjax.__file__).parent
PARTS = {
    part.__name__.split(".")[1]: Path(part.__file__).parent
    for part in (spexjax.models, spexjax.experiments)
}
ORDER = (
    ("__init__",),
    ("bridges",),
    ("preview", "approximator", "many"),
    ("explain",),
    ("ahead", "integrated"),
    ("steps",),
    ("explanation",),
    ("explanation_json",),
    ("evidence_json", "target_json"),
    ("json_fields",),
    ("methods",),
    ("corpus",),
    ("report",),
    ("plot",),
    ("interop",),
    ("inference",),
    ("surrogates",),
    ("decoding",),
    ("processes",),
    ("trees",),
    ("metrics",),
    ("selection",),
    ("evaluate",),
    ("values",),
    ("store",),
    ("masks",),
    ("indices",),
    ("spectra",),
    ("regression",),
    ("codes",),
    ("compiling", "fragments", "phases", "typing", "workers"),
)
"""The rooms from the top; those on one line do not know each other."""
ROOMS_OF_MODELS = (
    "cli", "mini", "distributed", "training", "values", "vlm", "clip", "vit", "llama", "bert",
    "api", "text", "checkpoints", "nn",
)  # fmt: skip
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
LEVEL |= {f"models/{room}": -len(ROOMS_OF_MODELS) + i for i, room in enumerate(ROOMS_OF_MODELS)}
ROOMS_OF_EXPERIMENTS = (
    ("__main__",), ("command",), ("papers", "bench"), ("peers",), ("reporting",), ("harness",),
    ("tasks",), ("data", "functions"),
)  # fmt: skip
LEVEL |= {
    f"experiments/{room}": -100 + level
    for level, rooms in enumerate(ROOMS_OF_EXPERIMENTS)
    for room in rooms
}


def modules():
    """Every module by its name below ``spexjax``, with its file."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] not in ("models", "experiments"):
            found[".".join(parts)] = path
    for part, folder in PARTS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            if parts != ("__init__",):
                found[".".join((part, *parts))] = path
    return found


MODULES = modules()


def imported(path):
    """The modules of ours that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            # What is no module comes from the package itself.
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [n if known(n) else node.module for n in below]
        yield from filter(None, map(known, names))


def known(name):
    """The module of ours that a dotted name is, or None."""
    if name == "spexjax":
        return "__init__"
    below = name.removeprefix("spexjax.")
    found = [m for m in (below, f"{below}.__init__") if name != below and m in MODULES]
    return found[0] if found else None


GRAPH = {name: set(imported(path)) - {name} for name, path in MODULES.items()}


def room(module):
    first, *rest = module.split(".")
    return f"{first}/{rest[0]}" if first in PARTS else first


def test_every_module_stands_in_a_room():
    assert {room(m) for m in MODULES} == set(LEVEL)


@pytest.mark.parametrize("name", sorted({room(m) for m in MODULES}))
def test_imports_go_down(name):
    up = [
        (module, other)
        for module in MODULES
        for other in GRAPH[module]
        if room(module) == name != room(other) and LEVEL[room(other)] <= LEVEL[name]
    ]
    assert not up


def test_no_module_imports_itself_by_way_of_others():
    graph = GRAPH
    done, path = set(), []

    def visit(module):
        assert module not in path, " → ".join([*path[path.index(module) :], module])
        if module in done:
            return
        path.append(module)
        for other in graph[module]:
            visit(other)
        path.pop()
        done.add(module)

    for module in graph:
        visit(module)


def test_nothing_of_ours_is_imported_inside_a_function():
    for module, path in MODULES.items():
        if module.startswith("models."):  # the command answers before JAX is there
            continue
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                for node in ast.walk(function):
                    if isinstance(node, ast.ImportFrom):
                        assert not node.module.startswith("spexjax"), f"{module}:{node.lineno}"


def test_rooms_have_a_charter():
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), f"{name} has no docstring"
