"""``neurovis report``: the cards say what the other commands' files say, and runs go on."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kept import kept_images
from PIL import Image

from neurovis.cli.main import main
from neurovis.demo import demo_input_spec, load_demo_network
from neurovis.figures import weight_pictures
from neurovis.tuning.units import Units

OPTIONS = (
    *("--steps", "4", "--top_images", "2", "--field_images", "2", "--trainer.accelerator", "cpu"),
    *("--ranking.orientations", "4", "--ranking.phases", "3", "--ranking.null_kernels", "10"),
    *("--trainer.enable_progress_bar", "false"),
)
LAYERS = ("conv1", "relu3")
KERNELS = (2, 5)


def _run(root: Path, *arguments: str) -> int:
    return main(["report", "--trainer.default_root_dir", str(root), *OPTIONS, *arguments])


def _versions(root: Path) -> list[Path]:
    return sorted((root / "lightning_logs").glob("version_*"))


def _json(page: str, name: str) -> Any:
    found = re.search(rf'id="{name}">(.*?)</script>', page)
    assert found is not None
    return json.loads(found[1])


def _pixels(source: str) -> np.ndarray[Any, Any]:
    content = base64.b64decode(source.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def _rows(table: Path) -> list[dict[str, str]]:
    with open(table, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp("report")
    kernels = ("--kernels", ",".join(map(str, KERNELS)))
    assert _run(root, "--layer", *LAYERS, *kernels, "--judge", "neurovis.demo.ShapeNet") == 0
    (version,) = _versions(root)
    return version


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def cards(page: str) -> dict[tuple[str, int], dict[str, Any]]:
    cards = _json(page, "cards")["cards"]
    pictures = _json(page, "pictures-0")
    return {
        (card["layer"], card["kernel"]): card | {"pictures": shown}
        for card, shown in zip(cards, pictures, strict=True)
    }


def test_there_is_a_card_for_each_kernel_with_the_numbers_of_the_tables(
    folder: Path, cards: dict[tuple[str, int], dict[str, Any]]
) -> None:
    assert set(cards) == {(layer, kernel) for layer in LAYERS for kernel in KERNELS}
    activations = {(row["layer"], int(row["kernel"])): row for row in _rows(folder / "results.csv")}
    for key, card in cards.items():
        row, evidence = activations[key], card["evidence"]
        assert evidence["activation"] == pytest.approx(float(row["activation"]), rel=1e-3)
        assert evidence["noise_activation"] == pytest.approx(
            float(row["noise_activation"]), rel=1e-3
        )
        assert evidence["dead"] == (row["dead"] == "True")
    checked = 0
    for row in _rows(folder / "rankings.csv"):
        card = cards.get((row["layer"], int(row["kernel"])))
        if card is None:
            continue
        score = card["scores"][row["by"]]
        for field, column in (("value", "score"), ("null_percentile", "null_percentile")):
            expected = None if row[column] == "" else pytest.approx(float(row[column]), rel=1e-3)
            assert score[field] == expected, (row, field)
        if row["score"]:
            assert score["rank"] == int(row["rank"])
            checked += 1
    assert checked >= 8


def test_judgments_of_the_tables_are_on_the_cards(
    folder: Path, cards: dict[tuple[str, int], dict[str, Any]]
) -> None:
    for row in _rows(folder / "results.csv"):
        card = cards[row["layer"], int(row["kernel"])]
        said = " · ".join(card["remarks"])
        if row["ShapeNet:partner"]:
            percentile = float(row["ShapeNet:percentile"])
            assert f"ShapeNet: partner above {percentile:.0f} % of pictures" in said
        else:
            assert "ShapeNet: no partner" in said


def test_curves_peak_where_the_table_says_that_they_do(
    folder: Path, page: str, cards: dict[tuple[str, int], dict[str, Any]]
) -> None:
    layers = {layer["name"]: layer for layer in _json(page, "cards")["layers"]}
    assert layers["conv1"]["orientations"] == [0, 45, 90, 135]
    checked = 0
    for row in _rows(folder / "rankings.csv"):
        key = (row["layer"], int(row["kernel"]))
        if row["by"] != "orientation" or key not in cards or not row["preferred_orientation"]:
            continue
        curves = cards[key]["curves"]
        assert len(curves["orientation"]) == 4
        assert len(curves["spatial_frequency"]) == len(layers[key[0]]["spatial_frequencies"])
        assert curves["preferred_orientation"] == pytest.approx(
            float(row["preferred_orientation"]), abs=0.1
        )
        checked += 1
    assert checked >= len(KERNELS)


def test_pictures_are_those_of_the_kernel(
    folder: Path, cards: dict[tuple[str, int], dict[str, Any]]
) -> None:
    network, spec = load_demo_network(), demo_input_spec()
    top, left, bottom, right = Units(network, "conv1", [0], spec).clipped_box
    with np.load(folder / "conv1" / "results.npz") as arrays:
        images = dict(
            zip(arrays["kernels"].tolist(), kept_images(folder, "conv1", (64, 64)), strict=True)
        )
    weights = weight_pictures(network.conv1.weight, spec)
    for kernel in KERNELS:
        pictures = cards["conv1", kernel]["pictures"]
        # 9 x 9 pixels, each a square of 8; color, a gap, and depth.
        for source, image in (
            (pictures["preferred"][0]["source"], images[kernel][:, top:bottom, left:right]),
            (pictures["weights"]["source"], weights[kernel].numpy()),
        ):
            pixels = _pixels(source)[4::8, 4:72:8].astype(float)
            np.testing.assert_allclose(pixels, 255 * np.moveaxis(image[:3], 0, 2), atol=0.51)
        assert cards["relu3", kernel]["pictures"]["weights"] is None
        for name in ("saliency", "field"):
            assert _pixels(pictures[name]["source"]).std() > 1


def test_top_images_are_those_of_the_table(
    folder: Path, cards: dict[tuple[str, int], dict[str, Any]]
) -> None:
    for layer in LAYERS:
        best = [row for row in _rows(folder / layer / "top_images.csv") if row["rank"] == "1"]
        assert len(best) == len(KERNELS)
        for row in best:
            card = cards[layer, int(row["kernel"])]
            assert card["top_activation"] == pytest.approx(float(row["activation"]), rel=1e-3)
            assert len(card["pictures"]["top_images"]) == 2
            assert card["pictures"]["top_images"][0]["title"] == row["picture"]


def test_the_page_needs_nothing_but_itself(page: str) -> None:
    assert "default-src 'none'" in page
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#)""", page)
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


def test_a_report_that_was_stopped_before_its_page_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "a.npy", np.full((4, 64, 64), 0.5))
    images = ("--images", str(tmp_path / "a.npy"), "--top_images", "1", "--field_images", "0")
    options = ("--layer", "conv1", "--kernels", "2", "--by", "weight", "--steps", "1", *images)
    with monkeypatch.context() as stopped:
        stopped.setattr("neurovis.cli.report.make_report", _stop)
        assert _run(tmp_path, *options) == 130
    (version,) = _versions(tmp_path)
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"the preferred images are in {version}" in said
    assert not (version / "report.html").exists()
    (finished,) = (version / "finished").rglob("*.npz")
    made = finished.stat().st_mtime_ns
    assert _run(tmp_path, *options) == 0
    assert "Resuming in" in capsys.readouterr().out
    assert _versions(tmp_path) == [version]
    assert finished.stat().st_mtime_ns == made
    page = (version / "report.html").read_text(encoding="utf-8")
    assert _json(page, "cards")["cards"][0]["kernel"] == 2
    # With its page a report is complete: the same command makes another.
    assert _run(tmp_path, *options) == 0
    assert len(_versions(tmp_path)) == 2


def _stop(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--objective", "deep_dream"), "the objective reads a layer"),
        (("--method", "gradients"), 'did you mean "gradient"'),
        (("--by", "orientatoin"), 'did you mean "orientation"'),
        (("--field_images", "-1"), "field_images must be at least 0; got -1"),
        (("--probe", "nowhere.png"), "nowhere.png"),
        (("--images", "nowhere"), "nowhere"),
        (("--ranking.orientations", "2"), "orientations must be at least 4"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], word: str
) -> None:
    assert _run(tmp_path, "--layer", "conv1", "--kernels", "0", *arguments) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert word in said[0]
    assert list(tmp_path.iterdir()) == []
