"""The page in a headless Chromium: pointing, clicking, keys, touch, sorting, narrow screens."""

import os
import re
import shutil

import numpy as np
import pytest
import uncertain

import spexjax as sx

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
if not (CHROMIUM and DRIVER):
    pytest.skip("needs chromium and chromedriver", allow_module_level=True)

from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

WORDS = [
    "Her", "acting", "never", "fails", "to", "impress", "<script>document.title='hacked'</script>",
]  # fmt: skip
TEXT = f"{' '.join(WORDS[:6])}! {WORDS[6]}"
TERMS = {
    (): 0.5, (3,): 0.8, (5,): -0.4, (2,): 0.1, (2, 3): 0.3, (3, 5): -0.2, (0, 1, 3): 0.12,
    (1, 6): 0.05, (0, 1, 2, 5): -0.04,
}  # fmt: skip


def explanation(n=7, terms=TERMS, features=WORDS):
    spectrum = sx.Spectrum.from_dict(terms, n)
    ends = np.asarray(spectrum.predict(np.stack([np.ones(n, bool), np.zeros(n, bool)])))
    return sx.Explanation(
        spectrum=spectrum, n=n, method="spex", calls=100, full=ends[0] + 0.01, empty=ends[1],
        faithfulness=np.float32(0.9), faithfulness_interval=(np.float32(0.8), np.float32(0.95)),
        features=tuple(features or (f"x{i}" for i in range(n))), budget=100, max_order=4,
    )  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                 "--window-size=1200,900"):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(DRIVER, log_output=os.devnull)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "e.html"
    spans, at = [], 0
    for word in WORDS:
        at = TEXT.index(word, at)
        spans.append((at, at + len(word)))
    explanation().to_html(path, TEXT, spans, "a model")
    return path.as_uri()


@pytest.fixture
def page(browser, address):
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    ActionChains(browser).move_by_offset(0, 0).perform()
    browser.get(address)
    yield browser
    assert browser.get_log("browser") == []


def word(page, i):
    return page.find_element(By.CSS_SELECTOR, f".w[data-i='{i}']")


def now(page):
    return float(page.find_element(By.ID, "now").text.replace("−", "-"))


def predicted(*masked):
    mask = np.ones((1, 7), bool)
    mask[0, list(masked)] = False
    return float(explanation().predict(mask)[0])


def listed(page):
    """The sets in the panel: text of each row's name, and its value."""
    rows = page.find_elements(By.CSS_SELECTOR, "#panel li")
    return {
        row.find_element(By.CSS_SELECTOR, "span:not(.bar)").text: float(
            row.find_element(By.TAG_NAME, "b").text.replace("−", "-")
        )
        for row in rows
    }


def sets_of(i):
    values = explanation().interactions()
    return {
        "+ " + " + ".join(WORDS[j] for j in s if j != i): v
        for s, v in values
        if i in s and len(s) > 1
    }


def arcs(page):
    return len(page.find_elements(By.CSS_SELECTOR, "#arcs path"))


def test_a_script_in_the_text_is_shown_and_not_run(page):
    assert TEXT in page.find_element(By.ID, "words").get_attribute("textContent")
    assert page.title == "a model – explanation"


def test_clicking_masks_a_word_and_changes_the_prediction(page):
    assert now(page) == pytest.approx(predicted(), abs=1e-3)
    word(page, 3).click()
    assert word(page, 3).get_attribute("aria-pressed") == "true"
    assert now(page) == pytest.approx(predicted(3), abs=1e-3)
    change = page.find_element(By.ID, "change").text.replace("−", "-")
    assert float(change.split()[0]) == pytest.approx(predicted(3) - predicted(), abs=2e-3)
    word(page, 0).click()
    assert now(page) == pytest.approx(predicted(0, 3), abs=1e-3)
    assert page.find_element(By.ID, "masked").text == "2 of 7 masked"
    word(page, 3).click()
    assert now(page) == pytest.approx(predicted(0), abs=1e-3)
    page.find_element(By.ID, "mask-all").click()
    assert now(page) == pytest.approx(predicted(*range(7)), abs=1e-3)
    page.find_element(By.ID, "keep-all").click()
    assert now(page) == pytest.approx(predicted(), abs=1e-3)
    assert not page.find_elements(By.CSS_SELECTOR, ".w[aria-pressed=true]")


def test_pointing_at_a_word_lists_every_set_it_is_in(page):
    resting = arcs(page)
    assert resting > 0
    ActionChains(page).move_to_element(word(page, 3)).perform()
    assert listed(page) == pytest.approx(sets_of(3), abs=1e-3)
    # An arc to each word that shares a set with it.
    partners = {j for s, _ in explanation().interactions() if 3 in s for j in s} - {3}
    assert arcs(page) == len(partners)
    lit = page.find_elements(By.CSS_SELECTOR, ".w.with-p, .w.with-m")
    assert {int(w.get_attribute("data-i")) for w in lit} == partners
    ActionChains(page).move_to_element(page.find_element(By.TAG_NAME, "h1")).perform()
    assert arcs(page) == resting and not listed(page)


def test_the_mouse_on_a_row_lights_its_set(page):
    row = page.find_element(By.CSS_SELECTOR, "#key button")
    members, _ = next((s, v) for s, v in explanation().interactions() if len(s) > 1)
    ActionChains(page).move_to_element(row).perform()
    lit = page.find_elements(By.CSS_SELECTOR, ".w.with-p, .w.with-m")
    assert {int(w.get_attribute("data-i")) for w in lit} == set(members)


def test_keys_reach_and_mask_words(page):
    focused = page.switch_to.active_element
    for _ in range(5):
        focused.send_keys(Keys.TAB)
        focused = page.switch_to.active_element
        if focused.get_attribute("data-i") is not None:
            break
    assert focused.get_attribute("data-i") == "0"
    focused.send_keys(Keys.ARROW_RIGHT, Keys.NULL)
    focused = page.switch_to.active_element
    assert focused.get_attribute("data-i") == "1"
    assert listed(page) == pytest.approx(sets_of(1), abs=1e-3)
    focused.send_keys(Keys.SPACE)
    assert now(page) == pytest.approx(predicted(1), abs=1e-3)
    focused.send_keys(Keys.END)
    assert page.switch_to.active_element.get_attribute("data-i") == "6"
    page.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not listed(page)
    # One stop for all words: the next is outside them.
    page.switch_to.active_element.send_keys(Keys.TAB)
    assert page.switch_to.active_element.get_attribute("data-i") is None


def column(page, k):
    return [c.text for c in page.find_elements(By.CSS_SELECTOR, f"#rows td:nth-child({k})")]


def test_the_table_sorts_and_filters(page):
    expected = [(s, v) for s, v in explanation().interactions() if s]
    names = [" + ".join(WORDS[i] for i in s) for s, _ in expected]
    assert column(page, 4) == names[:20]
    by_value = page.find_element(By.CSS_SELECTOR, "[data-by=value]")
    for falling in (True, False):
        by_value.click()
        values = [float(v.replace("−", "-")) for v in column(page, 2)]
        assert values == sorted(values, reverse=falling)
        head = page.find_element(By.CSS_SELECTOR, "th[aria-sort]")
        assert head.get_attribute("aria-sort") == ("descending" if falling else "ascending")
        assert head.text.startswith("FBII")
    page.find_element(By.CSS_SELECTOR, "[data-by=set]").click()
    assert column(page, 4) == sorted(column(page, 4), key=str.lower)
    page.find_element(By.ID, "filter").send_keys("IMPRESS")
    assert sorted(column(page, 4)) == sorted(name for name in names if "impress" in name)
    more = page.find_element(By.ID, "more")
    assert not more.is_displayed()


def narrow(page, address):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True},
    )
    page.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    page.get(address)


def tap(page, element):
    box = page.execute_script(
        "arguments[0].scrollIntoView({block: 'center'});"
        "const r = arguments[0].getBoundingClientRect();"
        "return {x: r.left + r.width / 2, y: r.top + r.height / 2};",
        element,
    )
    for kind, points in (("touchStart", [box]), ("touchEnd", [])):
        page.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def wait_for(condition):
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(None, 5, poll_frequency=0.05).until(lambda _: condition())


def test_a_tap_lists_and_a_second_masks(page, address):
    narrow(page, address)
    tap(page, word(page, 3))
    wait_for(lambda: listed(page))
    assert listed(page) == pytest.approx(sets_of(3), abs=1e-3)
    assert now(page) == pytest.approx(predicted(), abs=1e-3)
    tap(page, word(page, 3))
    wait_for(lambda: word(page, 3).get_attribute("aria-pressed") == "true")
    assert now(page) == pytest.approx(predicted(3), abs=1e-3)
    # The list does not cover the word.
    wait_for(
        lambda: page.execute_script(
            "return arguments[0].getBoundingClientRect().bottom"
            " <= document.getElementById('panel').getBoundingClientRect().top",
            word(page, 3),
        )
    )


@pytest.mark.parametrize("n", [6, 64, 400])
def test_any_size_fits_a_phone(page, tmp_path, n):
    rng = np.random.default_rng(0)
    terms = {(i,): float(rng.normal()) for i in range(n)}
    terms |= {tuple(sorted(rng.choice(n, 3, replace=False).tolist())): 1.0 for _ in range(60)}
    e = explanation(n, terms, [f"feature number {i}" for i in range(n)])
    e.to_html(tmp_path / "e.html")
    narrow(page, (tmp_path / "e.html").as_uri())
    wide = "return document.documentElement.scrollWidth"
    assert page.execute_script(wide) == 390
    assert len(page.find_elements(By.CSS_SELECTOR, ".w")) == n
    # Brackets begin below what stands above the words.
    assert arcs(page) > 0
    lowest = page.execute_script(
        "return Math.min(...[...document.querySelectorAll('#arcs path')].map(p => p.getBBox().y))"
    )
    assert lowest >= -2


def luminance(color):
    channels = [float(c) for c in color[color.index("(") + 1 : -1].split(",")[:3]]
    return sum(channels) / 3


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_dark_mode(page, address, scheme, dark):
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )
    page.get(address)
    label = page.find_element(By.CSS_SELECTOR, "figure text")
    paper = luminance(
        page.find_element(By.CSS_SELECTOR, ".card").value_of_css_property("background-color")
    )
    ink = luminance(label.value_of_css_property("fill"))
    assert (ink > 180 and paper < 60) if dark else (ink < 60 and paper > 180)
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.fixture
def uncertain_page(browser, tmp_path):
    def opened(terms, phone=False):
        uncertain.explanation(terms, 0.3).to_html(tmp_path / "u.html")
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        if phone:
            narrow(browser, (tmp_path / "u.html").as_uri())
        browser.get((tmp_path / "u.html").as_uri())
        return browser

    yield opened
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("phone", [False, True])
def test_one_click_hides_what_does_not_stand(uncertain_page, phone):
    page = uncertain_page(uncertain.TERMS, phone)
    assert len(column(page, 4)) == 10
    grey = page.find_elements(By.CSS_SELECTOR, "#rows tr.doubtful")
    assert len(grey) == 7
    assert not phone or page.execute_script("return document.documentElement.scrollWidth") == 390
    # The key and the brackets hold what stands only, whatever is listed.
    assert len(page.find_elements(By.CSS_SELECTOR, "#key li")) == 2
    page.find_element(By.ID, "only").click()
    assert set(column(page, 4)) == {"x3", "x0 + x1", "x2 + x3"}
    assert page.find_element(By.ID, "count").text == "3 sets"
    if not phone:
        ActionChains(page).move_to_element(word(page, 0)).perform()
        shared = page.find_elements(By.CSS_SELECTOR, "#panel li > span:first-child")
        assert [name.text for name in shared] == ["+ x1"]
        assert "(does not stand)" in page.find_element(By.ID, "panel").text
    page.find_element(By.ID, "only").click()
    assert len(column(page, 4)) == 10


def test_intervals_are_shown_on_bars_and_where_one_points(uncertain_page):
    page = uncertain_page(uncertain.TERMS)
    ix = uncertain.explanation(uncertain.TERMS, 0.3).interactions()
    low, high = ix.interval()
    rows = page.find_elements(By.CSS_SELECTOR, "#rows tr")
    tips = np.where(ix.values < 0, -low, high)
    largest = max(np.abs(ix.values).max(), tips.max())
    for k, row in enumerate(rows[:3]):
        said = re.match("95 %: (.*) to (.*); stands", row.get_attribute("title"))
        stated = [float(end.replace("−", "-")) for end in said.groups()]
        assert stated == pytest.approx([low[k], high[k]], abs=6e-4)
        sign = np.sign(ix.values[k])
        ends = sorted([sign * low[k], sign * high[k]])
        box = row.find_element(By.CSS_SELECTOR, ".bar").rect
        whisker = row.find_element(By.CSS_SELECTOR, ".bar u").rect
        scale = box["width"] / largest
        assert whisker["x"] - box["x"] == pytest.approx(scale * ends[0], abs=1.5)
        assert whisker["width"] == pytest.approx(scale * (ends[1] - ends[0]), abs=1.5)
        far = max(high[k] - ix.values[k], ix.values[k] - low[k])
        assert row.find_element(By.TAG_NAME, "small").text == f"± {far:.3f}"


def test_noise_has_no_colour(uncertain_page):
    page = uncertain_page(uncertain.NOISE)
    assert page.find_element(By.CSS_SELECTOR, ".eyebrow").text == "Nothing stands"
    assert arcs(page) == 0 and not page.find_element(By.ID, "key").is_displayed()
    words = page.find_elements(By.CSS_SELECTOR, ".w")
    clear = {w.value_of_css_property("background-color") for w in words}
    assert len(clear) == 1 and clear.pop().endswith(", 0)")
    ActionChains(page).move_to_element(word(page, 0)).perform()
    assert arcs(page) > 0
    lines = page.find_elements(By.CSS_SELECTOR, "#arcs path")
    assert {line.get_attribute("stroke") for line in lines} == {"var(--muted)"}
    assert not page.find_elements(By.CSS_SELECTOR, ".bar .p-fill, .bar .m-fill")


@pytest.fixture
def notebook(browser, tmp_path):
    """An explanation and its interactions as a notebook of either theme shows them."""

    def opened(light):
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
        e = explanation()
        shown = e._repr_html_() + e.interactions()._repr_html_()
        page = f"<!doctype html><meta charset=utf-8><body data-jp-theme-light={light}>{shown}"
        (tmp_path / "notebook.html").write_text(page, encoding="utf-8")
        browser.get((tmp_path / "notebook.html").as_uri())
        return browser

    return opened


@pytest.mark.parametrize(
    "light,paper", [("true", "rgba(255, 255, 255, 1)"), ("false", "rgba(25, 29, 35, 1)")]
)
def test_a_cell_is_in_the_notebooks_colours_and_in_the_place_of_the_panel(notebook, light, paper):
    page = notebook(light)
    frame = page.find_element(By.TAG_NAME, "iframe")
    assert not page.find_element(By.CSS_SELECTOR, "iframe + div").is_displayed()
    assert 200 < frame.rect["height"] < 900 and page.title == ""
    page.switch_to.frame(frame)
    card = page.find_element(By.CSS_SELECTOR, ".card")
    assert card.value_of_css_property("background-color") == paper
    WebDriverWait(page, 10).until(
        lambda page: page.execute_script("return document.body.scrollHeight <= innerHeight")
    )
    before = now(page)
    word(page, 3).click()
    assert now(page) == pytest.approx(predicted(3), abs=1e-3) and now(page) != before
    page.switch_to.default_content()
    assert page.get_log("browser") == []


def test_the_table_of_interactions_is_sorted_by_its_columns(notebook):
    page = notebook("true")
    ix = explanation().interactions()

    def column(i):
        cells = page.find_elements(By.CSS_SELECTOR, f"tbody td:nth-child({i})")
        return [cell.text for cell in cells if cell.is_displayed()]

    assert len(column(1)) == len(ix)
    heads = {b.text: b for b in page.find_elements(By.CSS_SELECTOR, "th button") if b.text}
    heads["order"].click()
    sizes = sorted(ix.sizes().tolist(), reverse=True)
    order = 1 + list(heads).index("order")
    assert column(order) == [str(size) for size in sizes]
    heads["order"].click()
    assert column(order) == [str(size) for size in reversed(sizes)]
    heads["FBII"].click()
    assert abs(float(column(1)[0])) == pytest.approx(abs(ix.values[0]), rel=1e-3)
