"""TensorBoard itself, in a real browser: what was logged is there, explained, and can be compared.

Needs playwright and a Chromium; without them it is skipped. Screenshots go to the folder that
``NEUROVIS_SCREENSHOTS`` names, if it names one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from browser import chromium
from lightning.pytorch.loggers import TensorBoardLogger
from promise import BATCHES, KINDS, TinyModule, fit, one_monitor
from torch import nn

from neurovis.inputs import InputSpec
from neurovis.maximization import ActivationMaximization

pytestmark = pytest.mark.slow

RANKED = "kernel_ranking/orientation/conv2"
SPEC = InputSpec.rgb(12)
#: The texts of an element with those in its shadow roots, which ``inner_text`` leaves out.
TEXT = """
    element => {
      const walk = node => {
        if (node.nodeType === Node.TEXT_NODE) return node.textContent;
        if (["STYLE", "TEMPLATE", "SCRIPT"].includes(node.nodeName)) return "";
        const inner = node.shadowRoot ? [...node.shadowRoot.childNodes] : [];
        return [...inner, ...node.childNodes].map(walk).join(" ");
      };
      return walk(element);
    }
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that every kind of monitor watched, and two runs of activation maximization."""
    folder = tmp_path_factory.mktemp("runs")
    torch.manual_seed(0)
    monitors = [one_monitor(kind, every_n_train_steps=2) for kind in KINDS]
    logger = TensorBoardLogger(folder, name="training", version="a")
    fit(monitors, folder, TinyModule(), logger=logger, max_epochs=3)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    for version, contrast in (("low", 0.1), ("high", 0.3)):
        am = ActivationMaximization(network, "2", input_spec=SPEC, steps=12, contrast=contrast)
        pl.Trainer(
            accelerator="cpu",
            logger=TensorBoardLogger(folder, name="am", version=version),
            max_epochs=-1,
            log_every_n_steps=1,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(am)
    return folder


@pytest.fixture(scope="module", params=["fast", "slow"])
def address(request: pytest.FixtureRequest, runs: Path) -> Iterator[str]:
    """TensorBoard on a free port of this machine, with either of its ways of reading files."""
    loading = ["--load_fast", "true" if request.param == "fast" else "false"]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(runs), "--port", "0"]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", *loading],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            found = re.search(r"http://127\.0\.0\.1:\d+/", line)
            if found:
                yield found.group()
                break
        else:
            pytest.fail("TensorBoard does not start")
    finally:
        process.terminate()
        process.wait(timeout=30)
        if process.stderr is not None:
            process.stderr.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


def text_of(element: Any) -> str:
    return " ".join(element.evaluate(TEXT).split())


class Board:
    """A page of TensorBoard."""

    def __init__(self, page: Any, address: str, name: str) -> None:
        self.page = page
        self._address = address
        self._name = name

    def open(self, tab: str, wait_for: str) -> Board:
        """Go to a tab, wait until there is something of a kind on it, and open all groups."""
        self.page.goto(f"{self._address}#{tab}")
        self.page.reload()
        self.page.locator(wait_for).first.wait_for(timeout=60_000)
        self.page.wait_for_timeout(1000)
        # TensorBoard opens the first two groups by itself.
        groups = self.page.locator("tf-category-paginated-view button.heading:not([open-button])")
        while groups.count():
            groups.first.click()
        self.page.wait_for_timeout(1000)
        folder = os.environ.get("NEUROVIS_SCREENSHOTS")
        if folder:
            self.page.screenshot(path=Path(folder, f"{self._name}_{tab}.png"))
        return self

    def cards(self) -> dict[str, Any]:
        """The headings of all cards by their tags."""
        found = {}
        headings = self.page.locator("tf-card-heading")
        for place in range(headings.count()):
            heading = headings.nth(place)
            tag = heading.locator('[itemprop="tag"]')
            name = tag if tag.count() else heading.locator('[itemprop="name"]')
            found[name.inner_text()] = heading
        return found

    def description(self, heading: Any) -> str:
        """What is said where somebody clicks on the icon beside a name."""
        heading.locator("paper-icon-button").click()
        words = heading.locator("tf-markdown-view")
        words.wait_for(state="visible")
        self.page.wait_for_timeout(100)
        text = text_of(words)
        self.page.keyboard.press("Escape")
        return text


@pytest.fixture
def board(browser: Any, address: str, request: pytest.FixtureRequest) -> Iterator[Board]:
    page = browser.new_page(viewport={"width": 1800, "height": 2400})
    yield Board(page, address, re.sub(r"\W+", "_", request.node.name))
    page.close()


@pytest.mark.parametrize(
    ("tab", "wait_for", "expected"),
    [
        (
            "images",
            "tf-image-loader img",
            {
                "feature_maps/conv1": "Feature maps of the probe images",
                "feature_maps/conv1/first_and_now": "when this fit began",
                "saliency/smoothgrad/output": "Pixels of the probe images",
                RANKED: "the order of their ranks by orientation",
                f"{RANKED}/first_and_now": "Every kernel's score when this fit began",
                "activation_maximization/conv2": "Current preferred image of each kernel",
                "activation_maximization/conv2/first_and_now": "preferred image of the first look",
                "activation_maximization/2": "The preferred image of each kernel",
            },
        ),
        (
            "scalars",
            "tf-scalar-card",
            {
                "feature_maps/conv1/dead": "Fraction of kernels that do not respond",
                "activation_maximization/conv2/noise_activation": "Activation of noise images",
                "activation_maximization/2/activation": "Activation during the ascent",
                f"{RANKED}/above_null": "Chance gives 0.05",
                "results/median_activation": "Activation that the preferred images reach",
            },
        ),
        (
            "distributions",
            "vz-distribution-chart",
            {
                "feature_maps/conv1/activations": "Distribution of the layer's activations",
                f"{RANKED}/null_scores": "what chance gives",
            },
        ),
        (
            "histograms",
            "vz-histogram-timeseries",
            {f"{RANKED}/scores": "Distribution of the kernels' scores"},
        ),
    ],
)
def test_what_is_seen_is_explained(
    board: Board, tab: str, wait_for: str, expected: dict[str, str]
) -> None:
    cards = board.open(tab, wait_for).cards()
    assert set(expected) <= set(cards)
    for tag, words in expected.items():
        assert words in board.description(cards[tag]), tag


def test_pictures_are_there(board: Board) -> None:
    """Not as broken links: each has as many pixels as it was logged with."""
    board.open("images", "tf-image-loader img")
    pictures = board.page.locator("tf-image-loader img")
    assert pictures.count() >= 8
    sizes = pictures.evaluate_all("all => all.map(one => [one.naturalWidth, one.naturalHeight])")
    assert all(width > 200 and height > 100 for width, height in sizes), sizes


def test_the_slider_goes_through_training(board: Board) -> None:
    board.open("images", "tf-image-loader img")
    loader = board.page.locator("tf-image-loader", has_text="tag: feature_maps/conv1\n").first
    assert f"step {3 * BATCHES - 1 - 3 * BATCHES % 2}" in text_of(loader)
    loader.locator("paper-slider").press("Home")
    board.page.wait_for_timeout(500)
    assert "step 1" in text_of(loader)


def test_curves_that_belong_together(board: Board) -> None:
    board.open("custom_scalars", "tf-custom-scalar-multi-line-chart-card")
    charts = board.page.locator("tf-custom-scalar-multi-line-chart-card")
    titles = [text_of(charts.nth(place)) for place in range(charts.count())]
    for title in (
        "conv2: activation against noise",
        "conv2: median score, beyond chance, dead",
        "dead kernels of each layer (fraction)",
        "2: activation during the ascent",
    ):
        assert sum(text.startswith(title) for text in titles) == 1, title
    for title, matches in (
        ("conv2: activation against noise", 2),
        ("2: activation during the ascent", 2),  # Of two runs, in one chart.
        ("conv2: median score, beyond chance, dead", 3),
    ):
        (text,) = (text for text in titles if text.startswith(title))
        assert f"Matches ({matches})" in text


def test_runs_are_compared_by_what_was_asked_and_reached(board: Board) -> None:
    board.open("hparams", "tf-hparams-table-view")
    board.page.get_by_text("am/low").first.wait_for()
    table = text_of(board.page.locator("tf-hparams-table-view"))
    for words in ("am/low", "am/high", "contrast", "layer", "results/median_activation"):
        assert words in table
    assert "hp_metric" not in table
    assert "0.1" in table
    assert "0.3" in table


def test_time_series(board: Board) -> None:
    """What TensorBoard opens with: pictures and curves side by side."""
    board.open("timeseries", "card-view img")
    titles = set(board.page.locator(".group-title").all_inner_texts())
    assert {"activation_maximization", "feature_maps", "kernel_ranking", "saliency"} <= titles
