"""The page of an image in a headless Chromium: pointing at cells, clicking them, narrow screens."""

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

# Skips this file, too, where there is no Chromium.
from test_report_browser import browser, explanation, now, word  # noqa: F401

from spexjax.report import Picture, render

IMAGE = np.full((60, 80, 3), 200, np.uint8)
IMAGE[:, 40:] = (60, 90, 160)
GRID = (np.arange(60) // 30)[:, None] * 4 + np.arange(80) // 20
GRID[GRID == 7] = 6  # seven cells, the last of them twice as wide
NAMES = [f"c{i}" for i in range(6)] + ["<img src=x onerror=alert(1)>"]


@pytest.fixture
def page(browser, tmp_path):  # noqa: F811
    path = tmp_path / "e.html"
    other = np.zeros_like(IMAGE)
    shown = render(explanation(features=NAMES), model="m", picture=Picture(IMAGE, other, GRID))
    path.write_text(shown, encoding="utf-8")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    browser.get(path.as_uri())
    yield browser
    assert browser.get_log("browser") == []


def predicted(*masked):
    mask = np.ones((1, 7), bool)
    mask[0, list(masked)] = False
    return float(explanation().predict(mask)[0])


def colour(page, i):
    """Of the pixel in the middle of a cell, as the screen shows it."""
    import io

    from PIL import Image

    box = word(page, i).rect
    shown = Image.open(io.BytesIO(page.get_screenshot_as_png())).convert("RGB")
    scroll = page.execute_script("return window.scrollY")
    return shown.getpixel((int(box["x"] + 6), int(box["y"] - scroll + 6)))


def test_sets_are_frames_and_bows_at_rest(page):
    frames = page.find_elements(By.CSS_SELECTOR, "#arcs .cell:not(.halo)")
    several = [s for s, _ in explanation().interactions() if len(s) > 1][:8]
    assert len(frames) == sum(map(len, several))
    bows = page.find_elements(By.CSS_SELECTOR, "#arcs path:not(.halo):not(.cell)")
    assert len(bows) == sum(len(s) - 1 for s in several)
    assert page.find_element(By.ID, "words-title").text == "The image"
    assert page.title.startswith("m ")


def test_a_click_masks_a_cell_and_shows_it_so(page):
    assert now(page) == pytest.approx(predicted(), abs=6e-4)
    assert word(page, 3).get_attribute("aria-pressed") == "false"
    ActionChains(page).move_to_element(word(page, 3)).click().perform()
    assert word(page, 3).get_attribute("aria-pressed") == "true"
    assert now(page) == pytest.approx(predicted(3), abs=6e-4)
    assert page.find_element(By.CSS_SELECTOR, "#panel h3").text == "c3"
    veil = page.find_elements(By.CSS_SELECTOR, ".photo use")[3]
    assert veil.value_of_css_property("display") == "inline"
    assert max(colour(page, 3)) < 60  # what a masked cell shows is black here
    ActionChains(page).move_to_element(word(page, 3)).click().perform()
    assert now(page) == pytest.approx(predicted(), abs=6e-4)
    assert veil.value_of_css_property("display") == "none"


def test_arrows_and_space(page):
    page.execute_script("arguments[0].focus()", word(page, 0))
    ActionChains(page).send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.SPACE).perform()
    assert word(page, 5).get_attribute("aria-pressed") == "true"
    assert now(page) == pytest.approx(predicted(5), abs=6e-4)


def test_a_narrow_screen_by_touch(page):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True},
    )
    assert page.execute_script("return document.documentElement.scrollWidth") <= 390
    photo = page.find_element(By.CSS_SELECTOR, ".photo").rect
    assert 250 < photo["width"] <= 390
    for _ in range(2):
        page.execute_script(
            "arguments[0].dispatchEvent(new PointerEvent('pointerdown',"
            "{bubbles: true, pointerType: 'touch'}));"
            "arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))",
            word(page, 2),
        )
    assert word(page, 2).get_attribute("aria-pressed") == "true"
    assert now(page) == pytest.approx(predicted(2), abs=6e-4)
