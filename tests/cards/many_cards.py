"""A page of made-up kernels whose numbers are known, for tests and benchmarks."""

from __future__ import annotations

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
    data_uri,
)

LAYERS = ("features.0", "features.3")


def activation_of(number: int) -> float:
    """Of the ``number``-th card; no order of cards has them in their order."""
    return float(number * 7919 % 1000 + 1)


def orientation_of(number: int) -> float:
    """Likewise; every tenth kernel has none."""
    return float("nan") if number % 10 == 3 else number * 104729 % 997 / 997


def is_dead(number: int) -> bool:
    """Every fiftieth is."""
    return number % 50 == 7


def many_cards(count: int) -> CardPage:
    """A page of ``count`` cards, half of them in either layer."""
    noise = torch.Generator().manual_seed(0)
    pictures = [data_uri(torch.rand(1, 3, 96, 96, generator=noise), 96) for _ in range(8)]
    angles = [180 * step / 16 for step in range(16)]
    frequencies = [0.35 / 2 ** (step / 2) for step in range(7, -1, -1)]
    of_layer = count // 2
    page = CardPage(
        "Made-up kernels",
        [CardLayer(name, of_layer, angles, frequencies, (31, 31), "F1") for name in LAYERS],
        [Measure("orientation", "orientation (gOSI)", "1 - circular variance.")],
        facts={"network": "none"},
    )
    for number in range(count):
        value = orientation_of(number)
        curve = [1 + value * 0.5 * (step == number % 16) for step in range(16)]
        page.cards.append(
            Card(
                LAYERS[number // of_layer],
                number % of_layer,
                evidence=Evidence(activation_of(number), 0.5, is_dead(number)),
                preferred=[Picture(pictures[number % 8], title="preferred")],
                scores={"orientation": Score(value, number + 1, 100 * value, 0.9, "35°")},
                curves=Curves(curve, [float(step) for step in range(8)], angles[number % 16]),
                field=ReceptiveField(11.0, 12.0, Picture(pictures[(number + 1) % 8])),
                saliency=Picture(pictures[(number + 2) % 8], "activation 2"),
                top_images=[Picture(one, "3.1", "photo.png") for one in pictures[:5]],
                top_activation=3.1,
            )
        )
    return page
