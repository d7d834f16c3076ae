"""The report in a real browser: it opens without a network, and every cell opens by a click."""

import html
import json
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import atlas_fakes
import pytest

from pliant.atlas import report
from pliant.atlas._figures import _sweep
from pliant.atlas._grid import differing, grid
from pliant.atlas._html import join, tag
from pliant.atlas.rows import rows
from pliant.atlas.store import Store

CONFIG = """
[atlas]
title = "Wells & <script>alert(1)</script> rings"
[[block]]
systems = ["well"]
dynamics = ["Brownian", "Verlet"]
estimators = ["Pathwise", "Score", "Broken"]
horizon = [1000, 100, 10000]
burn_in = 0.1
[[block]]
systems = ["ring"]
dynamics = ["Brownian"]
estimators = ["Score", "Pathwise"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("atlas")
    with ThreadPoolExecutor(2) as pool:
        atlas_fakes.run(atlas_fakes.atlas_of(CONFIG), path, executor=pool, workers=2)
    report.write(path)
    return path


@pytest.fixture(scope="module")
def table(folder) -> list[dict]:
    store = Store.open(folder)
    entries = rows(store)
    store.close()
    return entries


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    chromedriver = shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("no Chromium with its chromedriver was found: the report was not opened in a browser")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    window = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    yield window
    window.quit()


@pytest.fixture
def page(browser, folder):
    return lambda width=1280, height=800: opened(browser, folder / "report.html", width, height)


def opened(browser, path: Path, width: int, height: int):
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get("about:blank")
    browser.get_log("performance")
    browser.get(path.as_uri())
    return browser


def drawn(browser) -> None:
    """Waits until every panel of every figure shows its points: they appear some time after the page has loaded."""
    from selenium.webdriver.support.ui import WebDriverWait

    panels = "[...document.querySelectorAll('[data-figure] .panels figure')]"
    script = f"return {panels}.length > 0 && {panels}.every(panel => panel.querySelector('.points path.point'))"
    WebDriverWait(browser, 60).until(lambda browser: browser.execute_script(script))


def settled(browser) -> str:
    """The text of the open details."""
    return browser.find_element("css selector", "dialog[open] .content").get_attribute("innerText")


def close(browser) -> None:
    browser.find_element("css selector", "dialog .close").click()


def test_every_cell_opens_by_a_click_and_shows_its_record(page, table):
    browser = page()
    by_id = {entry["id"]: entry for entry in table}
    buttons = browser.find_elements("css selector", ".matrix [data-cell]")
    assert {button.get_attribute("data-cell") for button in buttons} == set(by_id)
    for button in buttons:
        entry = by_id[button.get_attribute("data-cell")]
        button.click()
        text = settled(browser)
        assert entry["id"] in text and str(entry["seed"]) in text
        for reason in [entry.get("reason"), entry.get("error"), *entry.get("reasons", [])]:
            assert reason is None or reason in text
        if entry["state"] == "done":
            assert ("bias against the discrete adjoint" in text.lower()) == (entry["estimator"] == "Pathwise")
            assert all(component["parameter"] in text for component in entry["components"])
        close(browser)
        assert not browser.find_elements("css selector", "dialog[open]")


def test_a_failed_cell_shows_its_trace_and_not_applicable_its_reason_at_a_glance(page):
    browser = page()
    browser.find_element("css selector", ".cell.failed").click()
    assert "FloatingPointError" in browser.find_element("css selector", "dialog pre").text
    close(browser)
    refused = browser.find_element("css selector", ".cell.not_applicable")
    assert "a Dirac delta has no <score>" in refused.text
    assert refused.get_attribute("title") == "a Dirac delta has no <score>"


def test_it_makes_no_request_and_no_complaint(page, folder):
    browser = page()
    browser.find_element("css selector", ".cell").click()
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    sent = [url for url in sent if not url.startswith(("data:", "blob:", "about:"))]
    assert set(sent) == {(folder / "report.html").as_uri()}
    assert browser.get_log("browser") == []


def test_no_text_of_a_cell_becomes_a_script(page):
    browser = page()
    assert browser.find_element("css selector", "h1").text == "Wells & <script>alert(1)</script> rings"
    assert browser.find_element("css selector", ".matrix .system").text == "A well & a <barrier>"


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(page, width):
    browser = page(width=width, height=844)
    assert browser.execute_script("return innerWidth") == width
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    cell = browser.find_element("css selector", ".cell")
    browser.execute_script("arguments[0].click()", cell)
    assert browser.execute_script("return document.querySelector('dialog').scrollWidth") <= width
    outside = "[...document.querySelectorAll('.cell .value')].filter(e => e.getBoundingClientRect().right > innerWidth)"
    assert browser.execute_script(f"return {outside}.length") == 0


def test_figures_show_every_point_and_a_point_opens_its_cell(page, table):
    from selenium.webdriver import ActionChains

    browser = page()
    drawn(browser)
    points = "return document.querySelectorAll('[data-figure={}] .points path.point').length"
    done = [entry for entry in table if entry["state"] == "done"]
    swept = [entry for entry in done if entry["system"] == "well"]
    shown = [entry for entry in done if entry["horizon"] == 1000]
    assert browser.execute_script(points.format("snr")) == len(swept)
    assert browser.execute_script(points.format("truth")) == sum(len(entry["components"]) for entry in shown)
    assert browser.execute_script(points.format("cost")) == len(shown)
    at_two_steps = [entry for entry in shown if entry["estimator"] == "Pathwise"]
    assert browser.execute_script(points.format("bias")) == 2 * len(at_two_steps)
    point = browser.find_element("css selector", "[data-figure=cost] .points path.point")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
    ActionChains(browser).move_to_element(point).pause(0.2).click().perform()
    assert shown[0]["id"] in settled(browser)


def test_the_address_of_a_cell_opens_it(browser, folder, table):
    entry = table[3]
    browser.get("about:blank")
    browser.get(f"{(folder / 'report.html').as_uri()}#{entry['id'].replace('/', '%2F')}")
    deadline = time.monotonic() + 10
    while not browser.find_elements("css selector", "dialog[open]") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert entry["id"] in settled(browser)


def test_a_combination_that_was_not_asked_for_says_so(folder):
    page = (folder / "report.html").read_text()
    assert page.count("not in this configuration") == 1


def test_an_atlas_of_which_nothing_was_measured_yet_has_a_report(tmp_path):
    store = Store.create(tmp_path, atlas_fakes.atlas_of(CONFIG), {})
    store.close()
    page = report.write(tmp_path).read_text()
    assert page.count("not measured yet") >= 9


def test_values_that_are_not_finite_are_named(table, folder):
    broken = json.loads(json.dumps(table[0]))
    assert broken["state"] == "done"
    broken |= {"value": None, "standard_error": None, "z_score": None, "snr": None}
    broken["components"][0] |= {"value": None, "standard_error": None, "z_score": None, "snr": None}
    about = {"title": "t", "seed": 0, "text": "", "titles": {}, "versions": {}}
    body = re.sub(r"<script>.*?</script>", "", report.render([broken], about), flags=re.DOTALL)
    assert html.unescape(body).count("not finite") >= 2


def test_text_is_escaped_and_markup_is_not():
    inner = tag("b", 'a < "b"', title='"&"', data_x=None, class_="c")
    assert join(inner, [" & ", None]) == '<b title="&quot;&amp;&quot;" class="c">a &lt; &quot;b&quot;</b> &amp; '


def test_what_tells_the_cells_of_one_combination_apart(table):
    entries = grid(table).entries[("well", "Brownian", "Pathwise")]
    assert differing(entries) == ["T 1000", "T 100", "T 10000"]
    steps = [{**entries[0], "dt": 0.01}, {**entries[0], "dt": 0.02, "replicas": 8}]
    assert differing(steps) == ["dt 0.01, replicas 64", "dt 0.02, replicas 8"]


def test_a_curve_holds_cells_that_differ_in_their_horizon_alone(table):
    cells = grid(table).entries[("well", "Brownian", "Pathwise")]
    stranger = {**cells[0], "horizon": 500, "replicas": 7, "id": "stranger"}
    curve = _sweep([stranger, *cells])
    assert [point["x"] for point in curve] == [100, 1000, 10000]


def test_an_estimator_with_several_options_has_a_column_for_each(table):
    row = next(row for row in table if row["estimator"] == "Score")
    variants = [{**row, "options": {"window": window}} for window in (5, 10)] + [{**row, "options": {"kind": "late"}}]
    assert grid(variants).estimators == ["Score window 5", "Score window 10", "Score late"]
    assert grid(variants[:1]).estimators == ["Score"]
