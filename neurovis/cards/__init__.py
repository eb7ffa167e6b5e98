"""Kernels as cards on one page: a self-contained HTML file that is sorted, filtered and searched.

Nothing here knows how numbers and pictures were made. A :class:`CardPage` holds them, and writes
them into a file that needs nothing else: no network, no server, no library.
"""

from neurovis.cards.card import (
    Card,
    CardLayer,
    Curves,
    Evidence,
    Measure,
    Picture,
    ReceptiveField,
    Score,
)
from neurovis.cards.encoding import data_uri, image_uri, map_uri, overlay_uri
from neurovis.cards.page import CardPage

__all__ = [
    "Card",
    "CardLayer",
    "CardPage",
    "Curves",
    "Evidence",
    "Measure",
    "Picture",
    "ReceptiveField",
    "Score",
    "data_uri",
    "image_uri",
    "map_uri",
    "overlay_uri",
]
