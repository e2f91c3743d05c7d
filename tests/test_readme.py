"""What the README shows is what happens."""

import contextlib
import io
import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_python_blocks_run_and_print_what_stands_below():
    blocks = re.findall(r"^```python\n(.*?)^```(?:\s+^```\n(.*?)^```)?", README, re.M | re.S)
    assert len(blocks) >= 3
    names: dict = {}
    shown = 0
    for code, output in blocks:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, "README.md", "exec"), names)
        if output:
            assert out.getvalue() == output
            shown += 1
    assert shown >= 1


def test_the_first_command(tmp_path, monkeypatch, capsys):
    from spexjax.models.cli import main

    command, output = re.search(
        r"^```\npip install -e \. && spexjax explain \"(.*?)\"\n```\s+^```\n(.*?)^```",
        README, re.M | re.S,
    ).groups()  # fmt: skip
    monkeypatch.setattr("spexjax.models.cli.use_compilation_cache", lambda jax: None)
    monkeypatch.chdir(tmp_path)
    assert main(["explain", command]) == 0
    found, shown = (
        [re.sub(r"(\d\.\d\d)\d", r"\1", line) for line in text.splitlines()]
        for text in (capsys.readouterr().out, output)
    )
    assert found == shown
