"""The page of cards, clicked and typed through in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import browser_page, chromium
from many_cards import LAYERS, activation_of, is_dead, many_cards, orientation_of

from neurovis.cards import Card, CardLayer, CardPage, Evidence, Measure, Score

COUNT = 2000


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("page") / "report.html"
    with chromium():  # Made only where something can open it.
        many_cards(COUNT).save(path)
    return path


@pytest.fixture
def page(file: Path) -> Iterator[Any]:
    with browser_page() as opened:
        opened.goto(file.as_uri())
        yield opened


def _shown(page: Any, count: int) -> list[int]:
    """The numbers of the first cards, as the page has them."""
    labels = page.locator("article").evaluate_all(
        f"all => all.slice(0, {count}).map(one => one.getAttribute('aria-label'))"
    )
    found = [re.fullmatch(r"(.*), kernel (\d+)", label) for label in labels]
    return [LAYERS.index(one[1]) * (COUNT // 2) + int(one[2]) for one in found if one]


def _count(page: Any) -> str:
    text: str = page.locator("#count").inner_text()
    return text


def test_thousands_open_and_only_those_near_the_screen_are_drawn(page: Any) -> None:
    assert _count(page) == f"{COUNT} of {COUNT} kernels"
    assert page.locator("article").count() == COUNT
    page.locator("article img").first.wait_for()
    drawn = page.locator("article h2").count()
    assert 0 < drawn < 100
    page.locator("article").last.scroll_into_view_if_needed()
    page.locator("article").last.locator("img").first.wait_for()
    page.wait_for_function("document.querySelectorAll('article h2').length < 150")
    assert page.locator("article").first.locator("img").count() == 0


def test_sorting_by_a_ranking_and_back(page: Any) -> None:
    page.select_option("#sort", label="orientation (gOSI)")
    known = [number for number in range(COUNT) if orientation_of(number) == orientation_of(number)]
    best = sorted(known, key=lambda number: (-round(orientation_of(number), 3), number))
    shown = _shown(page, COUNT)
    values = [orientation_of(number) for number in shown]
    scored = values[: len(known)]
    assert scored == sorted(scored, reverse=True)
    assert orientation_of(shown[0]) == orientation_of(best[0])
    # Those without a score are last, in either direction.
    assert all(value != value for value in values[len(known) :])
    page.click("#direction")
    values = [orientation_of(number) for number in _shown(page, COUNT)]
    assert values[: len(known)] == sorted(scored)
    assert all(value != value for value in values[len(known) :])
    page.click("#reset")
    assert _shown(page, 3) == [0, 1, 2]


def test_filtering_by_numbers_layer_and_kernels(page: Any) -> None:
    page.click("#filters summary")
    page.get_by_label("activation: from", exact=True).fill("500")
    page.get_by_label("orientation (gOSI): null percentile from").fill("95")
    left = [
        number
        for number in range(COUNT)
        if activation_of(number) >= 500 and orientation_of(number) >= 0.95
    ]
    assert sorted(_shown(page, COUNT)) == left
    assert _count(page) == f"{len(left)} of {COUNT} kernels"
    page.select_option("#layer", LAYERS[1])
    of_layer = [number for number in left if number >= COUNT // 2]
    assert sorted(_shown(page, COUNT)) == of_layer
    page.click("#reset")
    page.fill("#kernels", "0-3, 57")
    page.check("#alive")
    expected = [0, 1, 2, 3, 1000, 1001, 1002, 1003]
    assert is_dead(57)
    assert sorted(_shown(page, COUNT)) == expected
    page.get_by_label("activation: from", exact=True).fill("1e9")
    assert page.locator("#none").is_visible()
    page.click("#widen")
    assert _count(page) == f"{COUNT} of {COUNT} kernels"


@pytest.mark.parametrize("text", ["first", "5-3"])
def test_what_is_no_selection_of_kernels_is_said_and_filters_nothing(page: Any, text: str) -> None:
    page.fill("#kernels", text)
    assert page.locator("#kernels-note").inner_text() == "numbers and ranges, such as 0-15,20"
    assert page.locator("#kernels:invalid").count() == 1
    assert _count(page) == f"{COUNT} of {COUNT} kernels"


def test_a_card_opens_and_shows_its_evidence(page: Any) -> None:
    page.get_by_role("button", name="kernel 7 features.0", exact=True).click()
    dialog = page.locator("#detail")
    assert dialog.locator("h2").inner_text().startswith("features.0, kernel 7")
    assert "dead" in dialog.locator("h2").inner_text()
    assert f"activation {activation_of(7):g} · noise 0.5" in dialog.inner_text()
    assert "35°" in dialog.inner_text()
    assert dialog.locator("svg").count() == 2
    # Every picture has been decoded, and says what it is.
    page.wait_for_function(
        "[...document.querySelectorAll('#detail img')].every(one => one.naturalWidth > 0)"
    )
    titles = dialog.locator("img").evaluate_all("all => all.map(one => one.alt)")
    assert len(titles) == 8
    assert all(titles)
    page.click("#next")
    assert dialog.locator("h2").inner_text() == "features.0, kernel 8"
    page.click("#close")
    assert not dialog.is_visible()


def test_everything_can_be_done_by_keyboard(page: Any) -> None:
    page.keyboard.press("s")
    assert page.evaluate("document.activeElement.id") == "sort"
    page.keyboard.press("Tab")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "ARTICLE":
            break
    focus = "document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(focus) == "features.0, kernel 0"
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focus) == "features.0, kernel 1"
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focus) == "features.0, kernel 4"  # There are three in a row.
    page.keyboard.press("Enter")
    assert page.locator("#detail").is_visible()
    page.keyboard.press("ArrowRight")
    assert page.locator("#detail-title").inner_text() == "features.0, kernel 5"
    page.keyboard.press("Escape")
    assert not page.locator("#detail").is_visible()
    assert page.evaluate(focus) == "features.0, kernel 5"
    page.keyboard.press("End")
    assert page.evaluate(focus) == "features.3, kernel 999"
    page.keyboard.press("/")
    page.keyboard.type("12")
    assert _shown(page, 5) == [12, 1012]


def test_a_view_can_be_shared_by_its_address(page: Any, file: Path) -> None:
    page.select_option("#sort", "activation")
    page.fill("#kernels", "0-9")
    shown, address = _shown(page, 20), page.evaluate("location.href")
    page.goto("about:blank")
    page.goto(address)
    assert address.startswith(file.as_uri())
    assert _shown(page, 20) == shown
    assert page.input_value("#kernels") == "0-9"


def test_it_is_dark_where_the_system_is_and_where_it_is_told(page: Any) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ground)
    assert light != dark
    page.click("#theme")
    assert page.evaluate(ground) == light
    page.click("#theme")
    page.emulate_media(color_scheme="light")
    assert page.evaluate(ground) == dark


def test_nothing_is_asked_of_any_network(file: Path) -> None:
    asked: list[str] = []
    with browser_page() as page:
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        page.locator("article img").first.wait_for()
    assert [url for url in asked if not url.startswith(("data:", "file:"))] == []
    assert [url for url in asked if url.startswith("file:")] == [file.as_uri()]


def test_it_fits_a_narrow_screen(file: Path) -> None:
    with browser_page(width=360, height=740) as page:
        page.goto(file.as_uri())
        page.locator("article img").first.wait_for()
        page.click("#filters summary")
        page.click("#about summary")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_arrows_go_on_at_the_ends(page: Any) -> None:
    page.fill("#kernels", "0-1")
    page.select_option("#layer", LAYERS[0])
    page.locator(".open").first.click()
    title = page.locator("#detail-title")
    for key, kernel in (("Right", 1), ("Right", 1), ("Left", 0), ("Left", 0), ("Right", 1)):
        page.keyboard.press(f"Arrow{key}")
        assert title.inner_text() == f"features.0, kernel {kernel}"
    page.click("#previous")
    page.keyboard.press("ArrowRight")
    assert title.inner_text() == "features.0, kernel 1"


def test_all_cards_are_printed_with_their_names(page: Any) -> None:
    page.fill("#kernels", "0-60")
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    names = page.locator("article h2").all_inner_texts()
    assert len(names) == 122
    assert names[0].startswith("kernel 0")
    assert page.locator("article .open").first.is_visible()
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(255, 255, 255)"


def test_a_ranking_may_have_the_name_of_a_number_of_the_ascent(tmp_path: Path) -> None:
    page_of_cards = many_cards(20)
    page_of_cards.measures = [Measure("activation", "activation (mean)")]
    page_of_cards.cards = [
        replace(card, scores={"activation": Score(float(number))})
        for number, card in enumerate(page_of_cards.cards)
    ]
    page_of_cards.save(tmp_path / "page.html")
    with browser_page() as page:
        page.goto((tmp_path / "page.html").as_uri())
        page.select_option("#sort", label="activation (mean)")
        shown = page.locator("article").evaluate_all("all => all.map(one => +one.dataset.index)")
        assert shown == list(range(19, -1, -1))


def test_both_signs_of_a_number_are_minus_signs(tmp_path: Path) -> None:
    card = Card("conv1", 0, evidence=Evidence(-1.06e-13, -0.5, dead=False))
    CardPage("t", [CardLayer("conv1", 1)], cards=[card]).save(tmp_path / "page.html")
    with browser_page() as page:
        page.goto((tmp_path / "page.html").as_uri())
        line = page.locator("article .evidence").inner_text()
    minus = "\N{MINUS SIGN}"
    assert line == f"activation {minus}1.06e{minus}13 · noise {minus}0.5"
