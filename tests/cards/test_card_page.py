"""What a page of cards holds, without a browser."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from neurovis.cards import (
    Card,
    CardLayer,
    CardPage,
    Curves,
    Evidence,
    Measure,
    Picture,
    ReceptiveField,
    Score,
    data_uri,
    image_uri,
    map_uri,
    overlay_uri,
)
from neurovis.inputs import InputSpec

NAN = float("nan")


def _json(text: str, name: str) -> Any:
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', text)
    assert found is not None
    return json.loads(found[1])


def _pixels(uri: str) -> np.ndarray[Any, Any]:
    kind, content = uri.split(",")
    assert kind in ("data:image/webp;base64", "data:image/jpeg;base64")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))


def _page(**of_card: Any) -> CardPage:
    card = Card("conv1", 3, **of_card)
    return CardPage("t", [CardLayer("conv1", 8)], [Measure("orientation", "gOSI")], cards=[card])


def test_numbers_and_pictures_stand_apart(tmp_path: Path) -> None:
    page = _page(
        evidence=Evidence(12.34567, NAN, dead=False),
        scores={"orientation": Score(float("inf"), 1, 97.25, NAN)},
        preferred=[Picture("data:image/webp;base64,AA", "label", "title")],
    )
    page.save(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    (card,) = _json(text, "cards")["cards"]
    assert card["evidence"]["activation"] == 12.35  # Four digits.
    assert card["evidence"]["noise_activation"] is None
    assert card["scores"]["orientation"]["value"] is None
    assert card["scores"]["orientation"]["null_percentile"] == 97.25
    assert "preferred" not in card
    (pictures,) = _json(text, "pictures-0")
    assert pictures["preferred"] == [
        {"source": "data:image/webp;base64,AA", "label": "label", "title": "title"}
    ]


@pytest.mark.parametrize(
    "words", ["</script><script>alert(1)</script>", "<!--", "\u2028\udcff", "{{content}}", "é & ß"]
)
def test_no_name_can_break_out_of_the_page(tmp_path: Path, words: str) -> None:
    page = _page(remarks=[words])
    page.title = words
    page.save(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert _json(text, "cards")["cards"][0]["remarks"] == [words]
    plain = CardPage("t", page.layers, page.measures, cards=_page().cards)
    plain.save(tmp_path / "plain.html")
    expected = (tmp_path / "plain.html").read_text(encoding="utf-8")
    for sign in ("<script", "</script", "<!--"):
        assert text.count(sign) == expected.count(sign)


@pytest.mark.parametrize("make", [np.array, torch.tensor], ids=["NumPy", "torch"])
def test_numbers_of_other_libraries_are_numbers(tmp_path: Path, make: Any) -> None:
    """They are written as Python's own are, whole numbers with all their digits."""

    def card(one: Any, many: Any) -> Card:
        return Card(
            "conv1",
            one(3),
            evidence=Evidence(one(12.34567), one(NAN), one(True), steps=one(123456)),
            scores={"orientation": Score(one(0.5), one(2), one(97))},
            curves=Curves(many([1.0, 0.123456]), many([2, 1, NAN]), one(45)),
            field=ReceptiveField(one(9.5), one(7)),
            top_activation=one(float("inf")),
        )

    def page(name: str, one: Any, many: Any) -> str:
        layer = CardLayer("conv1", one(8), many([0, 90]), many([0.1, 0.2, 0.3]), many([11, 9]))
        page = CardPage("t", [layer], [Measure("orientation", "gOSI")], cards=[card(one, many)])
        page.save(tmp_path / name)
        return (tmp_path / name).read_text(encoding="utf-8")

    written = page("other.html", make, make)
    (card_written,) = _json(written, "cards")["cards"]
    assert card_written["evidence"]["steps"] == 123456
    assert card_written["evidence"]["dead"] is True
    assert card_written["curves"]["orientation"] == [1, 0.1235]
    assert card_written["curves"]["spatial_frequency"] == [2, 1, None]
    assert written == page("python.html", lambda number: number, list)


def test_small_pictures_are_seen_pixel_by_pixel() -> None:
    picture = torch.rand(1, 3, 9, 9)
    pixels = _pixels(data_uri(picture, 160))
    expected = (picture[0] * 255).round().byte().permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(pixels, expected.repeat(8, 0).repeat(8, 1))


def test_large_pictures_are_shrunk_and_modalities_stand_side_by_side() -> None:
    image = torch.cat([torch.full((3, 200, 100), 0.25), torch.full((1, 200, 100), 0.75)])
    pixels = _pixels(image_uri(image, InputSpec.rgbd((200, 100)), 160))
    assert pixels.shape == (160, 80 + 2 + 80, 3)
    assert abs(int(pixels[80, 40, 0]) - 64) <= 3
    assert abs(int(pixels[80, 122, 0]) - 191) <= 3


def test_an_overlay_is_bright_where_the_map_is_high() -> None:
    image = torch.full((3, 40, 40), 0.2)
    values = torch.zeros(40, 40)
    values[:20] = 1
    spec = InputSpec.rgb(40)
    for maps in ({"rgb": values}, {"": values}):
        pixels = _pixels(overlay_uri(image, maps, spec, 40, signed=False))
        assert pixels[5, 20].astype(int).sum() > 2 * pixels[35, 20].astype(int).sum()


@pytest.mark.parametrize("value", [NAN, float("inf"), -float("inf")])
def test_what_is_not_finite_is_red(value: float) -> None:
    values = torch.full((8, 8), 0.25)
    values[3, 5] = value
    in_picture = _pixels(data_uri(values.expand(1, 3, 8, 8), 64))[4::8, 4::8].astype(int)
    in_map = _pixels(map_uri(values, 64))[4::8, 4::8].astype(int)
    for pixels in (in_picture, in_map):
        is_red = pixels[..., 0] > 2 * pixels[..., 1:].max(-1)
        assert np.argwhere(is_red).tolist() == [[3, 5]]


@pytest.mark.parametrize("size", [64, 128])
def test_colors_from_pixel_to_pixel_are_kept(size: int) -> None:
    picture = torch.zeros(1, 3, size, size)
    picture[0, 0, :, ::2] = 1
    picture[0, 2, :, 1::2] = 1
    pixels = _pixels(data_uri(picture, 160)).astype(float)
    error = np.abs(pixels - 255 * picture[0].permute(1, 2, 0).numpy())
    assert error.mean() < (0.5 if size == 64 else 8)
