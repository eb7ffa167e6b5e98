"""What a page cannot show is refused before anything is written, by its card and its field."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

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
)

NAN = float("nan")
LAYER = CardLayer("conv1", 8, [0, 60, 120], [0.1, 0.2], (11, 11), notes=["a note"])
MEASURE = Measure("orientation", "gOSI")
PICTURE = Picture("data:image/webp;base64,AA")
CARD = Card(
    "conv1",
    3,
    evidence=Evidence(1.0, 0.5, dead=False),
    preferred=[PICTURE],
    scores={"orientation": Score(0.5)},
    curves=Curves([1, 2, 3], [2, 1]),
    field=ReceptiveField(9.0, 9.0, PICTURE),
    top_images=[PICTURE, PICTURE],
    remarks=["a remark"],
)
PAGE = CardPage("t", [LAYER], [MEASURE], {"a": "fact"}, ["a note"], [CARD])


def refusal(page: CardPage, folder: Path) -> str:
    with pytest.raises((TypeError, ValueError)) as raised:
        page.save(folder / "new" / "page.html")
    assert list(folder.iterdir()) == []
    return str(raised.value)


def test_as_it_is_the_page_is_written(tmp_path: Path) -> None:
    """So that it is the one thing that is wrong which the other tests see refused."""
    PAGE.save(tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"kernel": 8}, "kernel must be one of the 8 of layer"),
        ({"kernel": -1}, "from 0; got -1"),
        ({"kernel": np.float32(3)}, "kernel must be a whole number; got 3.0"),
        ({"kernel": True}, "kernel must be a whole number; got True"),
        ({"evidence": 2.5}, "evidence must be a neurovis.cards.Evidence; got 2.5"),
        (
            {"evidence": Evidence("much", 0, dead=False)},
            "evidence: activation must be a number, NaN where undefined; got 'much'",
        ),
        (
            {"evidence": Evidence(torch.ones(1), 0, dead=False)},
            "evidence: activation must be a number, NaN where undefined; got [1.0]",
        ),
        ({"evidence": Evidence(None, 0, dead=False)}, "NaN where undefined; got None"),
        ({"evidence": Evidence(1 + 1j, 0, dead=False)}, "NaN where undefined; got (1+1j)"),
        ({"evidence": Evidence(1, 0, dead="no")}, "evidence: dead must be True or False; got 'no'"),
        ({"preferred": PICTURE}, "preferred must be a list; got Picture("),
        ({"preferred": [PICTURE, None]}, "preferred[1] must be a neurovis.cards.Picture; got None"),
        ({"scores": [Score(0.5)]}, "scores must be a mapping from names; got [Score("),
        (
            {"scores": {"orientation": 0.3}},
            "scores['orientation'] must be a neurovis.cards.Score; got 0.3",
        ),
        ({"scores": {"orientation": None}}, "must be a neurovis.cards.Score; got None"),
        ({"scores": {0: Score(0.5)}}, "a name in the card of layer"),
        (
            {"scores": {"color": Score(0.5)}},
            'scores names "color", which is none of the page\'s measures: "orientation"',
        ),
        (
            {"curves": Curves([1, 2], [1, 2])},
            "curves: orientation must have a response for each of its layer's orientations, at "
            "least one; got 2 for 3",
        ),
        ({"curves": Curves([1, 2, 3], torch.ones(3))}, "spatial_frequencies, at least one; got 3"),
        ({"curves": Curves([1, 2, "3"], [1, 2])}, "curves: orientation[2] must be a number"),
        ({"curves": Curves(torch.ones(3, 1), [1, 2])}, "orientation[0] must be a number, NaN"),
        ({"curves": Curves([], [])}, "at least one; got 0 for 3"),
        ({"weights": Picture("https://elsewhere/x.png")}, "weights: source must be a picture in"),
        ({"saliency": Picture("javascript:alert(1)")}, "saliency: source must be a picture in a"),
        ({"preferred": [PICTURE, Picture("")]}, "preferred[1]: source must be a picture in a data"),
        ({"top_images": [Picture("data:text/html,x")]}, "top_images[0]: source must be a picture"),
        (
            {"field": ReceptiveField(9, 9, Picture("x.png"))},
            "field: picture: source must be a picture in a data: URI, as data_uri makes; got 'x.p",
        ),
        ({"top_images": [Picture("data:image/png;,", 3.1)]}, "top_images[0]: label must be a text"),
        ({"remarks": "letters"}, "remarks must be a list; got 'letters'"),
        ({"remarks": [3]}, "remarks[0] must be a text; got 3"),
    ],
)
def test_a_part_of_a_card_is_refused(tmp_path: Path, wrong: dict[str, Any], says: str) -> None:
    card = replace(CARD, **wrong)
    said = refusal(replace(PAGE, cards=[CARD, card] if card.kernel != 3 else [card]), tmp_path)
    assert f'the card of layer "conv1", kernel {card.kernel}: ' in said
    assert says in said


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"cards": [CARD, CARD]}, 'the card of layer "conv1", kernel 3, is there twice'),
        (
            {"cards": [CARD, replace(CARD, kernel=torch.tensor(3))]},
            'the card of layer "conv1", kernel 3, is there twice',
        ),
        ({"cards": [CARD, "card"]}, "cards[1] must be a neurovis.cards.Card; got 'card'"),
        ({"cards": None}, "cards must be a list; got None"),
        ({"layers": [LAYER, LAYER]}, 'layers must have different names; "conv1" is there twice'),
        ({"layers": []}, 'layer names "conv1", which is none of the page\'s layers: none'),
        ({"measures": [MEASURE] * 2}, '"orientation" is there twice'),
        ({"measures": []}, "none of the page's measures: none"),
        ({"facts": {"kernels": 8}}, "facts['kernels'] must be a text; got 8"),
        ({"notes": "letters"}, "notes must be a list; got 'letters'"),
        ({"title": None}, "title must be a text; got None"),
    ],
)
def test_a_part_of_a_page_is_refused(tmp_path: Path, wrong: dict[str, Any], says: str) -> None:
    assert says in refusal(replace(PAGE, **wrong), tmp_path)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"kernels": "8"}, "layers[0]: kernels must be a whole number; got '8'"),
        ({"receptive_field": (11,)}, "receptive_field must have 2 numbers; got (11,)"),
        ({"receptive_field": (11, 11.5)}, "receptive_field[1] must be a whole number; got 11.5"),
        ({"orientations": [0, 60, NAN]}, 'layer "conv1": orientations must be finite'),
        ({"spatial_frequencies": [0, 0.2]}, "spatial_frequencies must be above 0, in cycles per"),
        (
            {"orientations": (), "spatial_frequencies": ()},
            "its layer's orientations, at least one; got 3 for 0",
        ),
        ({"notes": "letters"}, "layers[0]: notes must be a list; got 'letters'"),
    ],
)
def test_a_part_of_a_layer_is_refused(tmp_path: Path, wrong: dict[str, Any], says: str) -> None:
    assert says in refusal(replace(PAGE, layers=[replace(LAYER, **wrong)]), tmp_path)
