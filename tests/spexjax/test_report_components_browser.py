"""The grid of components in a headless Chromium: places on the screen, arcs, keys, a phone."""

from itertools import pairwise

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

# Skips this file, too, where there is no Chromium.
from test_report_browser import browser, explanation, now, word  # noqa: F401

from spexjax.report import render

NAMES = ("L0 H0", "L0 H1", "L0 MLP", "L1 H0", "L1 H1", "L1 MLP", "L2 H1")
_ENDS = """
const range = document.createRange();
range.selectNodeContents(arguments[0]);
const box = range.getBoundingClientRect();
return [box.left, box.right];
"""


def open_(browser, tmp_path, e):  # noqa: F811
    path = tmp_path / "e.html"
    path.write_text(render(e, model="m"), encoding="utf-8")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    browser.get(path.as_uri())


@pytest.fixture
def page(browser, tmp_path):  # noqa: F811
    open_(browser, tmp_path, explanation(features=NAMES))
    yield browser
    assert browser.get_log("browser") == []


def middle(page, i):
    box = word(page, i).rect
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_layers_are_rows_from_below(page):
    (x00, y00), (x01, y01), (x10, y10) = middle(page, 0), middle(page, 1), middle(page, 3)
    assert x01 > x00 and y01 == y00  # L0 H1 beside L0 H0
    assert y10 < y00 and x10 == x00  # L1 H0 above it
    assert middle(page, 6)[0] == pytest.approx(x01) and middle(page, 6)[1] < y10
    assert page.find_element(By.ID, "words-title").text == "The components"


def test_sets_are_arcs_between_their_members(page):
    several = [s for s, _ in explanation(features=NAMES).interactions() if len(s) > 1][:8]
    bows = page.find_elements(By.CSS_SELECTOR, "#arcs path:not(.halo):not(.cell)")
    assert len(bows) == sum(len(s) - 1 for s in several)
    origin = page.find_element(By.ID, "words").rect
    ends = set()
    for circle in page.find_elements(By.CSS_SELECTOR, "#arcs circle"):
        x, y = (float(circle.get_attribute(k)) for k in ("cx", "cy"))
        ends.add((round(x + origin["x"]), round(y + origin["y"])))
    assert {tuple(map(round, middle(page, i))) for s in several for i in s} == ends


def test_keys_and_clicks_mask(page):
    page.execute_script("arguments[0].focus()", word(page, 6))
    ActionChains(page).send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.SPACE).perform()
    assert word(page, 1).get_attribute("aria-pressed") == "true"
    mask = np.ones((1, 7), bool)
    mask[0, 1] = False
    assert now(page) == pytest.approx(float(explanation().predict(mask)[0]), abs=6e-4)
    assert page.find_element(By.CSS_SELECTOR, "#panel h3").text == "L0 H1"


@pytest.mark.parametrize("heads", [2, 24])
def test_a_phone_has_room(page, heads, tmp_path):
    names = tuple(f"L{i // heads} H{i % heads}" for i in range(3 * heads))
    terms = {(0,): 1.0, (1, 3 * heads - 1): 0.5}
    open_(page, tmp_path, explanation(3 * heads, terms, names))
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True},
    )
    assert page.execute_script("return document.documentElement.scrollWidth") <= 390
    boxes = [word(page, i).rect for i in range(heads)]
    assert all(a["x"] + a["width"] <= b["x"] for a, b in pairwise(boxes))
    assert boxes[-1]["x"] + boxes[-1]["width"] <= 380 and boxes[0]["height"] > 20
    columns = page.find_elements(By.CSS_SELECTOR, ".layers .column")
    ends = [page.execute_script(_ENDS, column) for column in columns]
    assert all(a[1] < b[0] for a, b in pairwise(ends))
