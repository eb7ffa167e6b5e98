"""Notebooks show every figure as it is drawn, pixel for pixel."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image

from neurovis import figures
from neurovis.figures import (
    CountedKernels,
    RankedEntry,
    ScoreCell,
    curve_figure,
    distribution_figure,
    feature_map_figure,
    first_and_now_figure,
    first_and_now_images,
    grating_preference_figure,
    kernel_sheet_figure,
    labeled_grid,
    orientation_key,
    orientation_map_figure,
    path_similarity_figure,
    randomization_figure,
    ranking_figure,
    receptive_field_figure,
    reference_score_figure,
    render,
    saliency_figure,
    score_change_figure,
    score_histogram,
    signature_figure,
    size_tuning_figure,
)
from neurovis.figures.output import Pixels
from neurovis.figures.top_images import Crop, TopImagesRow, top_images_figure
from neurovis.inputs import InputSpec

pytestmark = pytest.mark.drawn

pylabtools = pytest.importorskip("IPython.core.pylabtools")

SPEC = InputSpec.rgbd(16)
LABELS = ["kernel 0", "a $x_1$ whose name is long enough to be wrapped"]
IMAGES, MAPS, NUMBERS = torch.rand(2, *SPEC.shape), torch.rand(2, 16, 16), torch.rand(2)
COUNTS = np.array([3, 0, 1])
ANGLES, CYCLES = torch.arange(4) * 45.0, torch.tensor([0.1, 0.2])

KINDS: dict[str, Callable[[], Figure]] = {
    "curve_figure": lambda: curve_figure(torch.rand(2, 5), LABELS, "t", "activation"),
    "distribution_figure": lambda: distribution_figure(
        np.arange(4.0),
        COUNTS,
        [CountedKernels(label, COUNTS, COUNTS) for label in LABELS],
        "t",
        "n",
    ),
    "feature_map_figure": lambda: feature_map_figure(IMAGES[0], MAPS, LABELS, SPEC, "t"),
    "first_and_now_figure": lambda: first_and_now_figure(MAPS, MAPS, LABELS, ("first", "now"), "t"),
    "first_and_now_images": lambda: first_and_now_images(
        IMAGES, IMAGES, LABELS, ("first", "now"), SPEC, "t"
    ),
    "grating_preference_figure": lambda: grating_preference_figure(
        *(IMAGES, SPEC, 180 * NUMBERS, NUMBERS / 3, 180 * NUMBERS, NUMBERS / 3, LABELS, "t")
    ),
    "kernel_sheet_figure": lambda: kernel_sheet_figure("t", ANGLES, CYCLES, torch.rand(4, 2)),
    "labeled_grid": lambda: labeled_grid(IMAGES, LABELS, SPEC, "t"),
    "orientation_key": orientation_key,
    "orientation_map_figure": lambda: orientation_map_figure(180 * NUMBERS, NUMBERS, LABELS, "t"),
    "path_similarity_figure": lambda: path_similarity_figure(
        *(torch.rand(2, 3), torch.rand(2, 4, 3), torch.rand(2, 3)),
        ["a", "b", "c"],
        {1: "that"},
        "t",
    ),
    "randomization_figure": lambda: randomization_figure(
        IMAGES, torch.rand(2, *MAPS.shape), LABELS, torch.rand(2, 2), SPEC, "t", True
    ),
    "ranking_figure": lambda: ranking_figure(
        [RankedEntry(label, orientations=ANGLES, curve=torch.rand(4)) for label in LABELS], "t"
    ),
    "receptive_field_figure": lambda: receptive_field_figure(
        {"effective": MAPS}, LABELS, "t", {"effective": False}, [(1, 2, 9, 20), None]
    ),
    "reference_score_figure": lambda: reference_score_figure(
        {(label, "conv1"): ScoreCell(0.8, 0.7, 0.9, 0.5, True) for label in LABELS}, "t"
    ),
    "saliency_figure": lambda: saliency_figure(IMAGES, {"": MAPS}, LABELS, SPEC, "t", True),
    "score_change_figure": lambda: score_change_figure(
        torch.rand(30), torch.rand(30), ("first", "now"), "t"
    ),
    "score_histogram": lambda: score_histogram(torch.rand(30), torch.rand(30), "t", "gOSI"),
    "signature_figure": lambda: signature_figure(*IMAGES, *MAPS, SPEC, "t"),
    "size_tuning_figure": lambda: size_tuning_figure(
        torch.tensor([4.0, 8.0]), torch.rand(2, 2), LABELS, "t"
    ),
    "top_images_figure": lambda: top_images_figure(
        [TopImagesRow("kernel 0", [Crop(IMAGES[0], "1.0")])], (16, 16), "t", [], SPEC
    ),
}


def decoded(content: bytes) -> Pixels:
    pixels: Pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).copy()
    return pixels


def test_no_kind_is_left_out() -> None:
    public = {name: getattr(figures, name) for name in figures.__all__}
    drawing = {
        name
        for name, one in public.items()
        if inspect.isfunction(one) and inspect.signature(one).return_annotation == "Figure"
    }
    assert len(drawing) > 15
    assert drawing <= set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_ipython_shows_what_is_rendered(kind: str) -> None:
    figure = KINDS[kind]()
    expected = render(figure)
    assert expected.min() < 100
    assert np.array_equal(decoded(pylabtools.print_figure(figure)), expected)


def test_ipython_shows_figures_where_pyplot_is_not_in_use() -> None:
    formatters = pytest.importorskip("IPython.core.formatters")
    figure = KINDS["labeled_grid"]()
    shown, _ = formatters.DisplayFormatter().format(figure)
    assert np.array_equal(decoded(shown["image/png"]), render(figure))


def test_at_twice_the_resolution() -> None:
    """Of each pixel of a picture there are four."""
    figure = labeled_grid(IMAGES[:, :3], ["", ""], InputSpec.rgb(16), "")
    shown = decoded(pylabtools.print_figure(figure, "retina"))
    assert np.array_equal(shown, render(figure).repeat(2, 0).repeat(2, 1))


def test_more_padding_is_white() -> None:
    figure = KINDS["labeled_grid"]()
    expected = render(figure)
    content = io.BytesIO()
    # The page itself is padded by 0.1 inches, which are 12.8 pixels; half an inch more are 64.
    figure.savefig(content, bbox_inches="tight", pad_inches=0.6)
    shown = decoded(content.getvalue())
    assert np.array_equal(shown[64:-64, 64:-64], expected)
    shown[64:-64, 64:-64] = 255
    assert (shown == 255).all()
    assert np.array_equal(render(figure), expected)


@pytest.mark.skipif(
    matplotlib.__version_info__ < (3, 11), reason="pyplot shows only figures that it made"
)
def test_pyplot_shows_figures_that_are_handed_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    inline = pytest.importorskip("matplotlib_inline.backend_inline")
    shown = []
    monkeypatch.setattr(
        inline, "display", lambda figure, **_: shown.append(pylabtools.print_figure(figure))
    )
    figure = KINDS["labeled_grid"]()
    expected, backend = render(figure), matplotlib.get_backend()
    pyplot.switch_backend("module://matplotlib_inline.backend_inline")
    try:
        assert pyplot.get_fignums() == []
        pyplot.figure(figure)
        pyplot.show()
    finally:
        pyplot.close(figure)
        pyplot.switch_backend(backend)
    assert np.array_equal(decoded(*shown), expected)
