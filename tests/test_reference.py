"""No public name lacks its place in the site's reference."""

import importlib
import inspect
import re
import types
from pathlib import Path

import pytest

import spexjax as sx

PAGES = Path(__file__).parents[1] / "docs" / "reference"
LISTED = {
    name
    for page in PAGES.glob("*.md")
    for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.M)
}
ROOMS = (
    "spexjax", "spexjax.corpus", "spexjax.indices", "spexjax.inference", "spexjax.masks",
    "spexjax.plot", "spexjax.regression", "spexjax.report", "spexjax.store", "spexjax.values",
    "spexjax.models.api", "spexjax.models.bert", "spexjax.models.distributed",
    "spexjax.models.llama", "spexjax.models.training", "spexjax.models.values",
)  # fmt: skip


def has_page(module: str, name: str) -> bool:
    """Whether an object, or the module that it is or is from, is shown."""
    found = getattr(importlib.import_module(module), name)
    if isinstance(found, types.ModuleType):
        return found.__name__ in LISTED or all(has_page(found.__name__, x) for x in found.__all__)
    found = inspect.unwrap(found) if callable(found) else found
    home = getattr(found, "__module__", None) or module
    full = f"{home}.{getattr(found, '__qualname__', name)}"
    by_name = any(one.startswith(f"{module}.") and one.endswith(f".{name}") for one in LISTED)
    return full in LISTED or home in LISTED or by_name


@pytest.mark.parametrize("module", ROOMS)
def test_every_public_name_has_a_page(module):
    names = importlib.import_module(module).__all__
    assert [name for name in names if not has_page(module, name)] == []


def test_what_is_listed_exists_and_is_listed_once():
    every = [
        name
        for page in PAGES.glob("*.md")
        for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.M)
    ]
    assert len(every) == len(set(every)) > 100
    for name in every:
        parts = name.split(".")
        for at in range(len(parts), 0, -1):
            try:
                found = importlib.import_module(".".join(parts[:at]))
            except ModuleNotFoundError:
                continue
            for part in parts[at:]:
                found = getattr(found, part)
            break
        assert found is not sx and inspect.getdoc(found), name
