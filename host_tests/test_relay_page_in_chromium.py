"""The relay's pages in a real browser: what a hostile device says stays text, and nothing comes from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Error, Page, expect, sync_playwright

from tools.relay.accounts.fleet import Fleet
from tools.relay.core import wire
from tools.relay.pages.server import Server
from tools.relay.pages.view import View
from tools.relay.pages.web import pages
from tools.relay.store.store import Store
from tools.relay.testing import ABOUT, NOW_S, Clock, report
from tools.setup.system_packages import where

TOKEN = "only-for-readers-of-pages"
OPERATOR = "anna-may-also-act-on-devices"
DAY = 86400
HOSTILE = '"><script>document.title="owned"</script><img src=x onerror="document.title=1"><svg onload=a()>{{ 7*7 }}'
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; skips where there is none (apt-get install chromium)."""
    program = where("chromium")
    if program is None:
        pytest.skip("Chromium is not on this machine (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The pages of 60 devices, one of them hostile in all it says, one with three weeks of reports."""
    clock = Clock(NOW_S - 20 * DAY)
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('page')}/relay.sqlite3", clock)
    fleet = Fleet(store)
    for day in range(20):
        clock.now_s = NOW_S - (19 - day) * DAY
        payload = report(day + 1, 3600 * day, 1, 3600 * day, 60 * day, 1, 60 * day, at=int(clock.now_s))
        store.accept([("unit00", payload, wire.decode_up(payload))])
    fleet.about("unit00", wire.encode(ABOUT))
    part = [1, HOSTILE[:64], HOSTILE[:64], 150, None, [["en-US", HOSTILE]]]
    fleet.about("unit01", wire.encode([wire.VERSION, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, [part]]))
    fleet.name("unit01", HOSTILE)
    for payload in (report(1, 90, 1, 90), report(2, 80, 1, 80), wire.encode([wire.VERSION, 1, 7, 3, HOSTILE])):
        store.accept([("unit01", payload, wire.decode_up(payload))])
    fault = wire.encode([wire.VERSION, 3, 549852673, 4, NOW_S, 8, HOSTILE])
    store.accept([("unit01", fault, wire.decode_up(fault))])
    store.status("unit01", wire.Online(5, 549852673, 8, 99, 1, False, HOSTILE[:64], 1, 0))
    for number in range(2, 60):
        store.status(f"unit{number:02}", wire.Online(5, 1, 0, 0, 1, True, "0.1.0", 1, 0))
    view = View(store, clock)
    server = Server(pages(view, TOKEN, clock, store, f"anna:{OPERATOR}"), "127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{server.port}"
    server.stop()
    view.close()
    store.close()


@pytest.fixture(scope="module")
def signed_in(browser: Browser, address: str) -> Any:
    """What a browser keeps of having signed in."""
    context = browser.new_context(base_url=address)
    sign_in(context.new_page())
    kept = context.storage_state()
    context.close()
    return kept


@pytest.fixture
def context(browser: Browser, address: str) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=address, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(10000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, address: str, signed_in: Any) -> Page:
    """Signed in, and it fails at any complaint of the browser and any request to elsewhere."""
    context.add_cookies(signed_in["cookies"])
    page = context.new_page()
    watch(page, address)
    page.goto("/")
    return page


def sign_in(page: Page) -> None:
    page.goto("/")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector("#results")


def watch(page: Page, address: str) -> None:
    complaints: list[str] = []

    def refuse(dialog: Dialog) -> None:
        complaints.append("a dialog")
        dialog.dismiss()

    def note(found: bool, text: str) -> None:
        if found:
            complaints.append(text)

    page.on("console", lambda message: note(message.type == "error", message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", refuse)
    page.on("request", lambda request: note(not _own(request.url, address), request.url))
    page.complaints = complaints  # type: ignore[attr-defined]


def _own(url: str, address: str) -> bool:
    return url.startswith((address + "/", "data:"))


def complaints(page: Any) -> list[str]:
    found: list[str] = page.complaints
    return found


def test_whoever_signs_in_comes_to_the_page_they_wanted(context: BrowserContext) -> None:
    page = context.new_page()
    page.goto("/device/unit00")
    page.get_by_label("Token").fill("not the token at all")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").wait_for()
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("svg.curve")
    assert page.url.endswith("/device/unit00") and "Dust filter" in page.inner_text("main")
    assert page.evaluate("document.cookie") == ""
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Token").wait_for()


@pytest.mark.parametrize("path", ["/", "/device/unit01", "/aside", "/?q=%22%3E%3Cscript%3E"])
def test_what_a_hostile_device_says_is_shown_and_does_nothing(page: Page, path: str) -> None:
    page.goto(path)
    page.wait_for_load_state("networkidle")
    assert page.locator("main script, main img, [onerror], [onload]").count() == 0
    assert page.title().endswith("Wearmeter") and complaints(page) == []
    assert "<script>document.title" in page.inner_text("main")
    assert "{{ 7*7 }}" in page.content()


def test_the_table_follows_the_typing(page: Page) -> None:
    assert page.locator("tbody tr").count() == 50
    page.get_by_role("searchbox").press_sequentially("unit4")
    expect(page.locator("tbody tr")).to_have_count(10)
    assert page.url.endswith("?q=unit4&only=all&sort=device")
    page.get_by_role("searchbox").fill("unit99")
    page.get_by_text("No device is like that").wait_for()
    page.get_by_role("searchbox").fill("")
    page.get_by_label("Show").select_option("faults")
    expect(page.locator("tbody tr")).to_have_count(1)
    assert "input_stuck" in page.inner_text("tbody tr") and complaints(page) == []


def test_pages_turn(page: Page) -> None:
    page.get_by_role("link", name="more").click()
    expect(page.locator("tbody tr")).to_have_count(10)
    page.get_by_role("link", name="before").click()
    expect(page.locator("tbody tr")).to_have_count(50)


def test_a_device_has_a_bar_and_a_curve_that_readers_of_screens_hear_of(page: Page) -> None:
    page.goto("/device/unit00")
    assert page.get_by_role("img", name="Dust filter: 12 % of the rated life used").is_visible()
    curve = page.get_by_role(
        "img", name=re.compile("Dust filter: time of use from 12 Jun 2026 to 1 Jul 2026, now 19 h")
    )
    box = curve.bounding_box()
    assert box is not None and box["width"] > 600
    assert "131 days left" in page.inner_text("main")
    drawn = curve.locator("path.line").bounding_box()
    assert drawn is not None and drawn["width"] > 400 and drawn["height"] > 80
    fill = page.locator("svg.bar .fill").first.bounding_box()
    assert fill is not None and 36 < fill["width"] < 44  # 12.7 % of 320


def test_every_control_has_a_name_and_every_table_its_headings(page: Page) -> None:
    for path in ("/", "/device/unit00", "/device/unit01", "/aside"):
        page.goto(path)
        assert page.get_attribute("html", "lang") == "en" and page.locator("h1").count() == 1
        unnamed = """() => [...document.querySelectorAll('input:not([type=hidden]), select, button, a, main svg')]
            .filter((e) => !(e.labels?.length || e.textContent.trim() || e.getAttribute('aria-label')))
            .map((e) => e.outerHTML)"""
        assert page.evaluate(unnamed) == []
        assert page.locator("thead th:not([scope])").count() == 0
    page.goto("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"


def test_light_and_dark_follow_the_reader_and_the_button(browser: Browser, address: str, signed_in: Any) -> None:
    context = browser.new_context(base_url=address, color_scheme="dark", storage_state=signed_in)
    page = context.new_page()
    page.goto("/")
    back = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(back)
    page.get_by_role("button", name="Light or dark").click()
    light = page.evaluate(back)
    page.reload()
    assert (dark, light, page.evaluate(back)) == ("rgb(20, 24, 28)", "rgb(247, 246, 243)", light)
    context.close()


def test_without_scripts_everything_but_comfort_is_there(browser: Browser, address: str, signed_in: Any) -> None:
    context = browser.new_context(base_url=address, java_script_enabled=False, storage_state=signed_in)
    page = context.new_page()
    page.goto("/")
    page.get_by_role("searchbox").fill("unit00")
    page.get_by_role("button", name="Search").click()
    assert page.locator("tbody tr").count() == 1 and not page.locator("#theme").is_visible()
    page.get_by_role("link", name="unit00").click()
    assert page.locator("svg.curve").count() == 2
    context.close()


def test_a_narrow_window_scrolls_tables_and_not_the_page(browser: Browser, address: str, signed_in: Any) -> None:
    context = browser.new_context(base_url=address, viewport={"width": 390, "height": 800}, storage_state=signed_in)
    page = context.new_page()
    page.goto("/")
    for path in ("/", "/device/unit00", "/device/unit01", "/aside"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    context.close()


def test_a_telephone_shows_every_column_of_the_fleet(browser: Browser, address: str, signed_in: Any) -> None:
    context = browser.new_context(base_url=address, viewport={"width": 390, "height": 800}, storage_state=signed_in)
    page = context.new_page()
    page.goto("/?q=unit00")
    cells = page.locator("tbody td")
    assert cells.count() == page.locator("thead th").count() - 1 == 9
    for cell in cells.all():
        box = cell.bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 390
        label = cell.evaluate("cell => getComputedStyle(cell, '::before').content")
        assert label.strip('"') == cell.get_attribute("data-label") and len(label) > 4
    context.close()


def test_the_order_is_a_click_on_a_column(page: Page) -> None:
    page.get_by_role("columnheader", name="Most worn").get_by_role("link").click()
    expect(page.locator("thead th[aria-sort]")).to_have_text("Most worn")
    expect(page.locator("tbody tr").first).to_contain_text("unit00")


def test_a_relay_that_went_away_leaves_the_page_standing(page: Page, context: BrowserContext) -> None:
    context.set_offline(True)
    page.get_by_role("searchbox").press_sequentially("unit4")
    page.wait_for_timeout(500)
    assert page.locator("tbody tr").count() == 50
    context.set_offline(False)
    with pytest.raises(Error):
        page.wait_for_selector("text=undefined", timeout=100)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_colours_can_be_read(root: Path) -> None:
    """WCAG's 4.5 : 1 for text, in both palettes."""
    css = (root / "tools/relay/pages/templates/static/style.css").read_text()
    blocks = re.findall(r"\{[^{}]*--page:[^}]*", css)
    palettes = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in blocks]
    assert len(palettes) == 3 and palettes[1] == palettes[2]
    for palette in palettes:
        for ink, back in [(i, b) for i in ("ink", "soft", "accent", "bad") for b in ("page", "panel")] + [
            ("ink", "tag"), ("bad", "bad-back"), ("panel", "accent"),
        ]:  # fmt: skip
            high, low = sorted((_luminance(palette[ink]), _luminance(palette[back])), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, back, palette[ink], palette[back])
