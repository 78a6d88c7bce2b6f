"""The page of a run in headless Chromium: no network, no error, figures of the result, hovering and zooming."""

import json
import shutil

import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.unit.cli.bench import call
from tests.unit.report.small import write_inputs

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--window-size=1400,1000",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("page")
    model, chip = write_inputs(base)
    words = ("--model", str(model), "--chip", str(chip), "--batch", "2", "--context", "16", "--trace", "full")
    assert call("simulate", *words, "--out", str(base / "out")).exit_code == 0
    done = call("report", str(base / "out"))
    assert done.exit_code == 0, done.stderr
    assert "core cycles" in done.stdout
    return base / "out"


@pytest.fixture(scope="module")
def result(folder):
    return json.loads((folder / "result.json").read_text())


@pytest.fixture(scope="module")
def browser(folder, tmp_path_factory):
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    assert binary and driver, "the page is tested in Chromium: apt-get install chromium chromium-driver"  # noqa: PT018
    options = Options()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    made = Chrome(options=options, service=Service(driver))
    made.get((folder / "report.html").as_uri())
    yield made
    made.quit()


def script(browser, text):
    return browser.execute_script(f"return {text}")


def test_it_loads_without_network_and_without_an_error(browser, folder):
    assert script(browser, "document.documentElement.dataset.ready") == "1"
    assert browser.get_log("browser") == []
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"] for m in sent if m["method"] == "Network.requestWillBeSent"]
    page = (folder / "report.html").as_uri()
    own = {a["request"]["url"] for a in asked if a["documentURL"] == page}
    assert page in own
    assert all(url == page or url.startswith("data:") for url in own), own
    assert not [a["request"]["url"] for a in asked if a["request"]["url"].startswith(("http:", "https:", "ws:"))]
    assert (folder / "report.html").stat().st_size < 5e6


def test_its_figures_are_those_of_the_result(browser, result):
    assert script(browser, "document.querySelector('#card-cycles b').textContent") == f"{result['cycles']:,}"
    rows = {
        row.get_attribute("data-name"): row for row in browser.find_elements(By.CSS_SELECTOR, "#optable tr[data-name]")
    }
    assert {name: int(row.get_attribute("data-cycles")) for name, row in rows.items()} == {
        o["name"]: o["cycles"] for o in result["operators"]
    }
    bars = browser.find_elements(By.CSS_SELECTOR, "#stallbars [data-reason]")
    seen: dict = {}
    for bar in bars:
        unit = seen.setdefault(bar.get_attribute("data-unit"), {})
        unit[bar.get_attribute("data-reason")] = int(bar.get_attribute("data-cycles"))
    assert seen == result["stalls"]
    for name, cycles in result["bounds"].items():
        cells = browser.find_elements(By.CSS_SELECTOR, f"tr[data-bound={name}] td")
        assert float(cells[1].get_attribute("textContent").replace(",", "")) == pytest.approx(cycles, abs=0.05)
    points = {p.get_attribute("data-name") for p in browser.find_elements(By.CSS_SELECTOR, "circle.operator")}
    moved = {o["name"] for o in result["operators"] if o["macs"] and o["read_bytes"] + o["write_bytes"]}
    assert points == moved
    assert f"{result['counts']['RD']:,} RD" in script(browser, "document.getElementById('row-hits').textContent")


def test_wheel_keys_and_drag_zoom_and_move_the_timeline(browser, result):
    canvas = browser.find_element(By.ID, "timeline")
    browser.execute_script("arguments[0].scrollIntoView()", canvas)

    def view():
        return float(canvas.get_attribute("data-low")), float(canvas.get_attribute("data-high"))

    assert view() == (0, result["cycles"])
    browser.execute_script(
        "const b = arguments[0].getBoundingClientRect(); arguments[0].dispatchEvent(new WheelEvent('wheel', "
        "{deltaY: -100, clientX: b.left + b.width / 2, clientY: b.top + 30, cancelable: true}))",
        canvas,
    )
    low, high = view()
    assert high - low == pytest.approx(0.8 * result["cycles"])
    ActionChains(browser).move_to_element_with_offset(canvas, 0, 0).click().send_keys("+").perform()
    assert view()[1] - view()[0] == pytest.approx(0.64 * result["cycles"])
    before = view()
    ActionChains(browser).send_keys(Keys.ARROW_RIGHT).perform()
    assert view()[0] > before[0]
    ActionChains(browser).click_and_hold(canvas).move_by_offset(120, 0).release().perform()
    assert view()[0] < before[0] + (before[1] - before[0]) / 5
    ActionChains(browser).send_keys("0").perform()
    assert view() == (0, result["cycles"])


def test_hovering_tells_what_is_there(browser):
    block = browser.find_element(By.CSS_SELECTOR, "rect.block[data-kind=array]")
    ActionChains(browser).scroll_to_element(block).move_to_element(block).perform()
    assert "at work" in script(browser, "document.getElementById('tip').textContent")
    found = script(
        browser,
        "(() => { const c = document.getElementById('timeline'); c.scrollIntoView();"
        " const b = c.getBoundingClientRect();"
        " const o = spans[0], x = b.left + LEFT + (o.start + o.end) / 2 / R.cycles * (b.width - LEFT - 6);"
        " c.dispatchEvent(new MouseEvent('mousemove', {clientX: x, clientY: b.top + AXIS + 4, bubbles: true}));"
        " return [o.name, document.getElementById('tip').textContent]; })()",
    )
    assert found[1].startswith(found[0])


def test_the_floor_plan_shows_every_link_and_how_busy_it_is(browser, result):
    flits = {(link["from"], link["to"]): link["flits"] for link in result["network"]["links"]}
    cycles = sum(result["stalls"]["link"].values()) / len(flits)
    shown = {}
    for wire in browser.find_elements(By.CSS_SELECTOR, "#floorplan line.wire"):
        told = wire.get_attribute("data-tip").split("\n")[1]
        shown[int(wire.get_attribute("data-from")), int(wire.get_attribute("data-to"))] = float(told.split()[0])
    assert shown.keys() == flits.keys()
    assert max(flits.values()) > 0
    for link, share in shown.items():
        assert share == pytest.approx(100 * flits[link] / cycles, abs=0.1)


def test_both_themes_and_sorting_work(browser):
    def paper():
        return script(browser, "getComputedStyle(document.body).backgroundColor")

    one = paper()
    browser.find_element(By.ID, "theme").click()
    assert paper() != one
    assert browser.get_log("browser") == []
    browser.execute_script("document.querySelector('th[data-column=cycles]').click()")
    rows = "[...document.querySelectorAll('#optable tr[data-name]')]"
    cycles = script(browser, f"{rows}.map((r) => Number(r.dataset.cycles))")
    assert cycles == sorted(cycles)
