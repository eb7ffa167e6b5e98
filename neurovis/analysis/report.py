"""Make the page of a report: a card for each kernel, with all that was found out about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

import torch
from torch import nn

from neurovis._version import __version__
from neurovis.analysis.layer_cards import Findings, LayerCards
from neurovis.analysis.saliency_probe import SaliencyProbe
from neurovis.cards import CardPage, Measure
from neurovis.layers import class_name
from neurovis.maximization import ActivationMaximization
from neurovis.top_images import TopImages
from neurovis.tuning import Rankings, RankingSettings

#: Over which a field hardly changes any more; they are held in memory together.
_MOST_FIELD_IMAGES = 1000
_READOUTS = {"center": "center unit", "mean": "mean of all units", "max": "most active unit"}


def make_report(
    network: nn.Module,
    preferred: ActivationMaximization,
    rankings: Rankings,
    *,
    top_images: Mapping[str, TopImages] | None = None,
    probe: SaliencyProbe | None = None,
    field_images: int = 16,
    name: str | None = None,
    ranking_settings: RankingSettings | None = None,
    facts: Mapping[str, str] | None = None,
    on_card: Callable[[int], object] = lambda _: None,
) -> CardPage:
    """Make a page with a card for each kernel that has a preferred image.

    A card has the kernel's preferred images with the evidence for them, its scores, tuning curves,
    weights, receptive field, saliency map and top images, as far as they are given.

    Args:
        network: The network, on any device; it is left as it was found.
        preferred: With the preferred images, one kernel an image, after ``trainer.fit``.
        rankings: Rankings of the same layers, by which cards can be sorted and filtered.
        top_images: By layer, for the same kernels.
        probe: A picture for the saliency maps.
        field_images: Noise images over which receptive fields are averaged; 0 leaves fields out.
        name: What the page calls the network; by default its class.
        ranking_settings: Settings of the rankings, to be stated on the page.
        facts: Further facts for the head of the page, by their names.
        on_card: Called with 1 after each card.

    Returns:
        The page; ``page.save("report.html")`` writes it.

    Raises:
        ValueError: If the objective of the images reads something other than kernels, or
            ``field_images`` is out of its range.
    """
    check_report(preferred, field_images)
    name = class_name(network) if name is None else name
    findings = Findings(network, preferred, rankings, top_images or {}, probe)
    layers = [LayerCards(findings, layer, field_images) for layer in preferred.layers]
    stated = dict(_facts(findings, name, ranking_settings))
    if field_images:
        stated["receptive fields"] = f"mean of {field_images} images of dense noise"
    made = f"{datetime.now().astimezone():%Y-%m-%d %H:%M %z}"
    page = CardPage(
        title=f"Kernels of {name}",
        layers=[one.layer for one in layers],
        measures=list(_measures(rankings)),
        facts={
            **stated,
            **(facts or {}),
            "made": f"{made} by NeuroVis {__version__}, torch {torch.__version__}",
        },
    )
    for one in layers:
        for card in one.cards():
            page.cards.append(card)
            on_card(1)
    return page


def check_report(preferred: ActivationMaximization, field_images: int) -> None:
    """Refuse arguments of a report, before images are generated.

    Raises:
        ValueError: As :func:`make_report`.
    """
    if field_images < 0:
        raise ValueError(f"field_images must be at least 0; got {field_images}")
    if field_images > _MOST_FIELD_IMAGES:
        raise ValueError(
            f"field_images must be at most {_MOST_FIELD_IMAGES}, and 16 will do; got {field_images}"
        )
    noun = preferred.settings.resolved_objective.noun
    if noun != "kernel":
        raise ValueError(
            f"a report has a card for each kernel; the objective reads a {noun}: see neurovis am"
        )


def _measures(rankings: Rankings) -> Iterator[Measure]:
    for ranking in {one.by: one for one in rankings}.values():
        label = f"{ranking.by.replace('_', ' ')} ({ranking.score_name})"
        yield Measure(ranking.by, label, ranking.measure.meaning)


def _facts(
    findings: Findings, name: str, ranking_settings: RankingSettings | None
) -> Iterator[tuple[str, str]]:
    network = findings.preferred.manifest().content["network"]
    settings, spec = findings.preferred.settings, findings.preferred.input_spec
    shown = ", ".join(f"{one.name} ({one.channels})" for one in spec.modalities)
    height, width = spec.size
    yield (
        "network",
        f"{name}; {network['class']}, weights and structure SHA-256 {network['sha256'][:16]}…",
    )
    yield "input", f"{shown}; {height} x {width} pixels"
    yield (
        "preferred images",
        f"{settings.style} style, objective {settings.objective}, at most "
        f"{settings.most_steps} steps, seed {settings.seed}",
    )
    null = max((len(ranking.null_score) for ranking in findings.rankings), default=0)
    if null:
        yield "null", f"{null} random kernels of each layer's shape"
    if ranking_settings and any(
        ranking.grating_responses is not None for ranking in findings.rankings
    ):
        readout = _READOUTS[ranking_settings.readout]
        yield "gratings", f"contrast {ranking_settings.contrast:g}; {readout}"
    for found in [*findings.top_images.values()][:1]:
        by = _READOUTS.get(found.by, found.by)
        yield "top images", f"of {found.number} images, by their {by}"
    if findings.probe is not None:
        probe = findings.probe
        yield "saliency", f"{probe.method} of the most active unit, on {probe.name}"
