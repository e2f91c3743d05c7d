"""What the README and CONTRIBUTING show is what happens."""

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def methods():
    """What a page registers is forgotten again."""
    from spexjax.methods.registry import METHODS

    before = dict(METHODS)
    yield
    METHODS.clear()
    METHODS.update(before)


@pytest.mark.parametrize("page,least", [("README.md", 5), ("CONTRIBUTING.md", 1)])
def test_the_python_blocks_run_and_print_what_stands_below(
    page, least, tmp_path, monkeypatch, methods
):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```(?:\s+^```\n(.*?)^```)?", text, re.M | re.S)
    assert len(blocks) >= least
    names: dict = {"__name__": "page"}
    shown = 0
    for code, output in blocks:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, page, "exec"), names)
        if output:
            assert out.getvalue() == output
            shown += 1
    assert shown >= 1


def test_the_first_command(tmp_path, monkeypatch, capsys):
    from spexjax.models.cli.main import main

    command, output = re.search(
        r"^```\npip install -e \. && spexjax explain \"(.*?)\"\n```\s+^```\n(.*?)^```",
        README, re.M | re.S,
    ).groups()  # fmt: skip
    monkeypatch.setattr("spexjax.models.cli.main.use_compilation_cache", lambda jax: None)
    monkeypatch.chdir(tmp_path)
    assert main(["explain", command]) == 0
    found, shown = (
        [re.sub(r"(\d\.\d\d)\d", r"\1", line) for line in text.splitlines()]
        for text in (capsys.readouterr().out, output)
    )
    assert found == shown


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [t for t in re.findall(r"\]\(([^)#]+)", text) if "://" not in t]
    assert [t for t in targets if not (ROOT / t).exists()] == []


def test_one_version():
    import tomllib

    import spexjax

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert spexjax.__version__ == project["version"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert project["version"].startswith(re.search(r"^version: (.*)$", citation, re.M)[1])
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    latest = re.search(r"^## (\S+)(.*)$", changes, re.M)
    assert project["version"].startswith(latest[1])
    assert ("dev" in project["version"]) == ("unreleased" in latest[2])
