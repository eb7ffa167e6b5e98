"""Results are short as text; in a notebook they are their picture and table."""

from __future__ import annotations

import base64
import builtins
import io
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from html.parser import HTMLParser
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from neurovis import ActivationMaximization, cascading_randomization, kernel_saliency, rank_kernels
from neurovis.analysis import (
    Comparison,
    ExplainedPicture,
    FeatureReader,
    RandomizedPicture,
    facets,
    judge_images,
    map_ranked_fields,
    path_similarity,
    predictability,
    ranked_fields,
    seed_stability,
)
from neurovis.figures import render
from neurovis.figures.page_figure import PageFigure
from neurovis.inputs import InputSpec
from neurovis.maximization import MaximizationResults
from neurovis.result import Result
from neurovis.top_images import find_top_images
from neurovis.tuning import Rankings, map_receptive_fields
from neurovis.tuning.stimuli import DenseNoise

pytestmark = pytest.mark.drawn

SPEC = InputSpec.rgbd(24)
KINDS = [
    *("KernelRanking", "Rankings", "SizeTuning", "ReceptiveFieldMaps", "RankedFields"),
    *("PreferredImage", "MaximizationResults", "Comparison", "TopImages", "FeatureMaps"),
    *("SaliencyMaps", "RandomizationCheck", "ExplainedPicture", "RandomizedPicture"),
    *("Predictability", "Judgments", "Stability", "ReferenceScores", "PathSimilarity"),
    "Facets",
]


def small_network() -> nn.Module:
    torch.manual_seed(0)
    layers = {"conv1": nn.Conv2d(4, 4, 5), "relu1": nn.ReLU(), "conv2": nn.Conv2d(4, 3, 3)}
    return nn.Sequential(OrderedDict(layers))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """One result of each kind, by the name of its class."""
    network, images = small_network(), torch.rand(5, *SPEC.shape)
    cells = tmp_path_factory.mktemp("recordings") / "cells.csv"
    cells.write_text("gOSI\n0.2\n0.4\n0.9\n")
    rankings = rank_kernels(
        network,
        "conv1",
        ("orientation", "color"),
        input_spec=SPEC,
        orientations=8,
        phases=3,
        spatial_frequencies=[0.1, 0.2],
        null_kernels=10,
        reference=cells,
    )
    assert rankings.reference_scores is not None
    preferred = ActivationMaximization(network, "conv2", range(3), SPEC, steps=2)
    judge, shown = nn.Sequential(nn.Conv2d(4, 3, 3)), {"input_spec": SPEC}
    few = partial(map_receptive_fields, noise=DenseNoise(SPEC, 2048, seed=0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PageFigure, "draw", lambda *_: None)
        L.Trainer(
            max_epochs=-1,
            logger=False,
            accelerator="cpu",
            enable_progress_bar=False,
            default_root_dir=tmp_path_factory.mktemp("run"),
        ).fit(preferred)
        patch.setattr(ranked_fields, "map_receptive_fields", few)
        (fields,) = map_ranked_fields(network, Rankings(rankings[:1]), 1, phases=3)
    assert fields.sizes is not None
    one = torch.ones(1)
    comparison = Comparison(
        fields.gratings, images[:1], images[:1, :, 8:13, 8:13], 30 * one, 0.2 * one, one, 0 * one
    )
    maps = kernel_saliency(network, SPEC.to_network(images[:2]), "conv2", 1, "integrated_gradients")
    check = cascading_randomization(network, SPEC.to_network(images[:2]), "conv2", 1)
    found = [
        *(
            rankings.reference_scores,
            rankings,
            rankings[0],
            fields,
            fields.maps,
            fields.sizes,
            comparison,
        ),
        *(preferred.results, preferred.results.items[0], maps, check),
        *(ExplainedPicture(images[0], maps, SPEC), RandomizedPicture(images[0], check, SPEC)),
        FeatureReader(network, "conv1", SPEC)(images)[0][0],
        find_top_images(network, "conv2", range(3), images, k=4, input_spec=SPEC),
        predictability(
            network, "conv2", preferred.results, torch.rand(10, *SPEC.shape), input_spec=SPEC
        ),
        judge_images(network, "conv1", {0: images}, judge, torch.rand(20, *SPEC.shape), **shown),
        seed_stability(network, "conv2", {0: images, 1: images[:2]}, **shown),
        path_similarity(
            network, "conv2", preferred.results, torch.rand(10, *SPEC.shape), input_spec=SPEC
        ),
        facets(network, "conv2", [0], torch.rand(80, *SPEC.shape), input_spec=SPEC),
    ]
    return {type(one).__name__: one for one in found}


@pytest.fixture(scope="module")
def pages(results: dict[str, Result]) -> Callable[[str], Page]:
    return cache(lambda kind: Page(results[kind]._repr_html_()))


class Page(HTMLParser):
    """What is on a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pictures: list[np.ndarray[Any, Any]] = []
        self.lines: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.lines.append([])
        elif tag in ("td", "th"):
            self.lines[-1].append("")
        elif tag == "img":
            kind, _, encoded = str(dict(attrs)["src"]).partition(",")
            assert kind == "data:image/png;base64"
            content = io.BytesIO(base64.b64decode(encoded, validate=True))
            self.pictures.append(np.asarray(Image.open(content)))

    def handle_data(self, data: str) -> None:
        if self.lines and self.lines[-1] and self.get_starttag_text() in ("<td>", "<th>"):
            self.lines[-1][-1] += data.strip("\n")


def figures(result: Any) -> list[Figure]:
    """The figures of a result by its public methods, as a user draws them."""
    if isinstance(result, Rankings):
        return [one.figure() for one in result]
    if isinstance(result, MaximizationResults):
        return [result.grid()]
    if hasattr(result, "figures"):
        return list(result.figures().values())
    return [result.figure()]


def subclasses(kind: type) -> Iterator[type]:
    for one in kind.__subclasses__():
        yield one
        yield from subclasses(one)


def test_no_kind_is_left_out(results: dict[str, Result]) -> None:
    ours = {one.__name__ for one in subclasses(Result) if one.__module__.startswith("neurovis.")}
    assert ours == set(KINDS) == set(results)


@pytest.mark.parametrize("kind", KINDS)
def test_text_is_short(results: dict[str, Result], kind: str) -> None:
    text = repr(results[kind])
    assert text.startswith(f"{kind}: ")
    assert 30 < len(text) < 500
    assert text.count("\n") < 6
    assert "tensor" not in text
    assert "conv" in text


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"PreferredImage", "TopImages"}))
def test_page_has_the_figures(
    results: dict[str, Result], pages: Callable[[str], Page], kind: str
) -> None:
    expected = [render(figure) for figure in figures(results[kind])]
    assert expected
    for shown, rendered in zip(pages(kind).pictures, expected, strict=True):
        assert np.array_equal(shown, rendered)


def test_page_of_an_image_has_its_channels(results: dict[str, Result]) -> None:
    image: Any = results["PreferredImage"]
    (shown,) = Page(image._repr_html_()).pictures
    levels = (image.seen(image.image) * 255).round().byte().numpy().repeat(3, 1).repeat(3, 2)
    height, width = levels.shape[1:]
    for place, channel in enumerate(levels):
        top, left = 2 + place // 2 * (height + 2), 2 + place % 2 * (width + 2)
        assert (shown[top : top + height, left : left + width] == channel[..., None]).all()


def test_page_of_many_rows_has_the_first(results: dict[str, Result]) -> None:
    top: Any = results["TopImages"]
    page = Page(top._repr_html_())
    (shown,) = page.pictures
    assert np.array_equal(shown, render(next(top.pages())[1]))
    assert len(list(top.rows())) == 12
    assert len(page.lines) == 1 + 10 + 1
    assert set(page.lines[-1]) == {"…"}


@pytest.mark.parametrize("kind", KINDS)
def test_page_has_the_numbers(
    results: dict[str, Result], pages: Callable[[str], Page], kind: str
) -> None:
    names, *lines = pages(kind).lines
    rows = list(results[kind].rows())
    for line, row in zip(lines[:10], rows, strict=False):
        assert len(line) == len(names)
        for name, text in zip(names, line, strict=True):
            value = row.get(name)
            if isinstance(value, float):
                assert float(text or "nan") == pytest.approx(value, rel=1e-3, nan_ok=True)
            else:
                assert text == ("" if value is None else str(value))
    assert len(lines) == min(len(rows), 11)


@pytest.mark.parametrize("kind", KINDS)
def test_frame_has_the_rows(results: dict[str, Result], kind: str) -> None:
    pytest.importorskip("pandas")
    frame = results[kind].to_pandas()
    rows = list(results[kind].rows())
    assert len(frame) == len(rows)
    assert list(frame.columns) == list(dict.fromkeys(name for row in rows for name in row))
    for of_frame, row in zip(frame.to_dict("records"), rows, strict=True):
        for name, value in of_frame.items():
            expected = row.get(name, math.nan)
            both_missing = _is_missing(expected) and _is_missing(value)
            assert both_missing or value == expected


def _is_missing(value: object) -> bool:
    return value is None or value != value


def test_scores_are_numbers(results: dict[str, Result]) -> None:
    ranking: Any = results["KernelRanking"]
    scores: list[Any] = [row["score"] for row in ranking.rows()]
    assert scores == ranking.score[ranking.order].tolist()


def test_pandas_is_asked_for_by_name(
    results: dict[str, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return usual(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"^to_pandas needs pandas; pip install pandas$"):
        results["Rankings"].to_pandas()


class Long(Result):
    """A result whose texts are long, and mean something else in HTML."""

    def rows(self) -> Iterator[Mapping[str, object]]:
        yield {"layer": "<b>&", "score": 1.23456789, "kernel": None}

    def _summary(self) -> str:
        return "<script>" * 1000

    def _pictures(self) -> Iterator[Tensor]:
        yield from torch.zeros(9, 3, 2, 2)


def test_long_texts_are_cut_and_names_are_no_markup() -> None:
    page = Long()._repr_html_()
    assert len(repr(Long())) == 480
    assert repr(Long()).endswith("…")
    assert "<script>" not in page
    assert "<td>&lt;b&gt;&amp;</td><td>1.235</td><td></td>" in page
    assert page.count("<img") == 4


def test_results_without_anything() -> None:
    empty = MaximizationResults("conv1", SPEC, seed=0)
    assert repr(empty) == "MaximizationResults: 0 images of conv1, 0 dead: none yet"
    for one in (empty, Rankings()):
        page = one._repr_html_()
        assert "<img" not in page
        assert "<table" not in page
    ranking = rank_kernels(small_network(), "relu1", by="weight", input_spec=SPEC).only
    assert "not applicable" in repr(ranking)
    assert "<img" not in ranking._repr_html_()
