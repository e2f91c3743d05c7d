"""Notebooks as pages: run by nbclient, shown as Markdown with what their cells gave.

They are kept with their outputs, which is what a forge shows of them; a page is made of a new run,
and a run that says something else than what is kept ends the build. ``python
docs/code/notebooks.py`` runs them and keeps what they say.
"""

import os
import re
import sys
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "tutorials"
_CACHE = Path(__file__).parents[2] / ".cache" / "docs"
_START = """import os, tempfile
import jax
os.chdir(tempfile.mkdtemp())
jax.config.update("jax_compilation_cache_dir", os.environ["DOCS_CACHE"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
"""
_SHOWN = ("text/html", "image/svg+xml", "image/png", "text/plain")
_NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def executed(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with its outputs; a cell that raises ends it."""
    os.environ.setdefault("DOCS_CACHE", str(_CACHE))
    new = nbformat.from_dict(notebook)
    new.cells.insert(0, nbformat.v4.new_code_cell(_START))
    NotebookClient(new, timeout=600, kernel_name="python3").execute()
    del new.cells[0]
    for place, cell in enumerate(new.cells):
        cell.id = f"cell-{place}"
        cell.metadata.clear()
        if cell.cell_type == "code":
            cell.execution_count = None
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = None
    new.metadata = {"language_info": {"name": "python"}}
    return new


def page(path: Path) -> str:
    """The Markdown of a notebook that has just been run.

    Raises:
      ValueError: if it says something else than what is kept.
    """
    kept = nbformat.read(path, as_version=4)
    new = executed(kept)
    if not _alike(_said(kept), _said(new)):
        raise ValueError(f"{path.name} keeps old outputs: run python docs/code/notebooks.py.")
    parts = []
    for cell in new.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        parts += [_shown(output) for output in cell.outputs]
    return "\n\n".join([*parts, f"[This page as a notebook]({path.name}){{ download }}"])


def _said(notebook: nbformat.NotebookNode) -> str:
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    texts = [o.text if "text" in o else o.data.get("text/plain", "") for o in outputs]
    return "\n".join(texts)


def _alike(one: str, other: str) -> bool:
    """The same words, and numbers within a twentieth, in any order: sets of one strength swap."""
    first, second = (
        np.sort([float(x.replace("−", "-")) for x in _NUMBER.findall(text)])
        for text in (one, other)
    )
    words = [sorted(_NUMBER.sub("", text).split()) for text in (one, other)]
    if words[0] != words[1] or len(first) != len(second):
        return False
    return np.allclose(first, second, rtol=0.05, atol=0.05)


def _shown(output) -> str:
    if output.output_type == "stream":
        return "" if output.name == "stderr" else f"```text\n{output.text}\n```"
    kind = next(kind for kind in _SHOWN if kind in output.data)
    data = output.data[kind]
    if kind == "image/png":
        return f'<div class="picture"><img alt="" src="data:image/png;base64,{data.strip()}"></div>'
    if kind == "text/plain":
        return f"```text\n{data}\n```"
    one_line = data.replace("\n", "&#10;")  # a blank line would end the block
    return f'<div class="{"output" if kind == "text/html" else "picture"}">{one_line}</div>'


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(FOLDER.glob("*.ipynb")):
        found = executed(nbformat.read(name, as_version=4))
        nbformat.write(found, name)
        print(name, _said(found)[:2000])
