"""What the site's pages weigh, and their pictures."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest

CODE = Path(__file__).parents[1] / "docs" / "code"


def module(name):
    spec = importlib.util.spec_from_file_location(f"docs_code_{name}", CODE / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found
    spec.loader.exec_module(found)
    return found


weight = module("weight")


def test_a_page_weighs_what_it_shows(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "big.png").write_bytes(b"x" * 1000)
    (tmp_path / "a" / "small.png").write_bytes(b"x" * 10)
    text = (
        '<img alt="é" src="../../big.png"><img src="../small.png"><img src="../small.png">'
        '<img src="data:image/png;base64,AA"><img src="https://else.where/x.png">'
        '<img src="/big.png">'
        '<iframe srcdoc="<img src=&quot;no.png&quot;>"></iframe>'
    )
    page = tmp_path / "a" / "b" / "index.html"
    page.write_text(text, encoding="utf-8")
    own = len(text.encode())
    assert weight.weigh(page, tmp_path) == own + 2000 + 10
    (tmp_path / "index.html").write_text("x" * 40)
    assert list(weight.heavy(tmp_path, 2000)) == [("a/b/index.html", own + 2010)]
    assert list(weight.heavy(tmp_path)) == []


def test_a_picture_that_is_not_there_is_an_error(tmp_path):
    (tmp_path / "index.html").write_text('<img src="gone.png">')
    with pytest.raises(FileNotFoundError):
        list(weight.heavy(tmp_path))


def test_pictures_are_the_same_with_fewer_digits():
    plt = pytest.importorskip("matplotlib.pyplot")
    figure, axes = plt.subplots(figsize=(3, 2))
    axes.plot(np.linspace(0, 1, 9) ** 2)
    axes.set_title("title")
    text = module("drawing").svg(figure)
    plt.close(figure)
    assert "<!--" not in text and text.count("<svg") == 1
    numbers = re.findall(r"translate\(([^)]*)\)", text)
    assert len(numbers) > 10 and not any(re.search(r"\.\d{3}", n) for n in numbers)
    assert re.search(r"scale\(0\.\d+ -0\.\d+\)", text)[0] in (
        "scale(0.12 -0.12)",
        "scale(0.1 -0.1)",
    )
