"""What cards and their pictures cannot be made of; ``cards/test_refused_cards.py`` has more.

Each name begins with the function's own, as far as the colon.
"""

from __future__ import annotations

import torch
from bad_input.bad import Bad

from neurovis.cards import Card, CardLayer, CardPage, Curves, Picture, data_uri, map_uri

_PICTURES = torch.rand(2, 3, 8, 8)


def _save(*cards: Card, layers: tuple[CardLayer, ...] = (CardLayer("conv1", 2),)) -> None:
    CardPage("", layers, cards=list(cards)).save("new_folder/a.html")


CARDS = [
    Bad(
        "CardPage: a stranger",
        lambda: _save(Card("conv1", 0), layers=()),
        'kernel 0 … layer … "conv1"',
    ),
    Bad(
        "CardPage: a kernel that is not there",
        lambda: _save(Card("conv1", 2)),
        'kernel must … "conv1" … got 2',
    ),
    Bad(
        "CardPage: a kernel twice",
        lambda: _save(Card("conv1", 1), Card("conv1", 1)),
        '"conv1", kernel 1 … twice … one card',
    ),
    Bad(
        "CardPage: a picture from elsewhere",
        lambda: _save(Card("conv1", 1, weights=Picture("https://example.org/a.png"))),
        "weights: source … data_uri … got 'https",
    ),
    Bad(
        "CardPage: curves over nothing",
        lambda: _save(Card("conv1", 1, curves=Curves([1.0], [1.0]))),
        "curves: orientation … for each of its layer's orientations",
    ),
    Bad("data_uri: one picture", lambda: data_uri(_PICTURES[0], 64), "(N, 3, H, W), N > 0; got (3"),
    Bad("data_uri: bytes", lambda: data_uri(_PICTURES.byte(), 64), "in [0, 1]; got torch.uint8"),
    Bad(
        "data_uri: no size", lambda: data_uri(_PICTURES, 0), "largest must be at least 1 pixel; go"
    ),
    Bad(
        "map_uri: several", lambda: map_uri(_PICTURES[0], 64), "must be (H, W), not empty; got (3,"
    ),
]
