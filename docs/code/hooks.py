"""What the site needs while it is built: where packages are, a place to write, formulae, weight.

Formulae become MathML, which browsers draw themselves: no script, no font, no other host. Notebooks
are run and become pages.
"""

import html
import logging
import os
import re
import sys
import tempfile
from pathlib import Path

import jax
from latex2mathml.converter import convert
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).parent))
import notebooks
import weight

ROOT = Path(__file__).parents[2]
_FOLDERS = {
    "spexjax": "spexjax",
    "models": "spexjax/models",
    "experiments": "spexjax/experiments",
}
_MATH = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.S)
_ROLE = re.compile(r":(?:func|class|meth|mod|attr|data):`(~?)([\w.]+)`")
_LOG = logging.getLogger("mkdocs.hooks.weight")  # whose warnings a strict build counts
_before: list[str] = []
_folders: list[tempfile.TemporaryDirectory] = []


def _folder():
    """An empty folder until the build is over."""
    _folders.append(tempfile.TemporaryDirectory())
    return Path(_folders[-1].name)


def _plain(role):
    """A name that a docstring refers to, as the reference shows it."""
    return f"`{role[2].rpartition('.')[2] if role[1] else role[2]}`"


@event_priority(100)  # before mkdocstrings reads its settings
def on_config(config):
    """Shows the reference the packages as they are installed, from the folders as they are here."""
    packages = _folder()
    for source, target in _FOLDERS.items():
        for path in (ROOT / source).rglob("*.py"):
            copy = packages / target / path.relative_to(ROOT / source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(_ROLE.sub(_plain, path.read_text(encoding="utf-8")), encoding="utf-8")
    options = config.plugins["mkdocstrings"].config.handlers["python"]
    options["paths"] = [str(packages)]
    return config


def on_pre_build(config):
    """Blocks write their files elsewhere, and find what an earlier build compiled."""
    _before.append(os.getcwd())
    os.chdir(_folder())
    sys.path.insert(0, str(Path(__file__).parent))  # mkdocs takes back what a hook does on import
    cache = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "docs"))
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def on_files(files, config):
    """Every notebook is run, and shown as a page."""
    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            page = notebooks.page(Path(file.abs_src_path))
            files.append(File.generated(config, file.src_uri[:-6] + ".md", content=page))
    return files


def on_post_build(config):
    """Weighs the pages."""
    os.chdir(_before.pop())
    while _folders:
        _folders.pop().cleanup()
    site = Path(config["site_dir"])
    for page, size in weight.heavy(site):
        _LOG.warning("%s weighs %s bytes with its pictures, over %s", page, size, weight.MOST)


def on_page_content(content, page, config, files):
    """Formulae of a page as MathML."""

    def drawn(found):
        display = "inline" if found[1] == "span" else "block"
        return convert(html.unescape(found[2]).strip(), display=display)

    return _MATH.sub(drawn, content)
