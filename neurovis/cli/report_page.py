"""From what was found out about kernels to the page of a report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import torch
from jsonargparse import Namespace

from neurovis._version import __version__
from neurovis.cards import CardPage, Measure
from neurovis.cli.counting import counted
from neurovis.cli.options import is_as_made
from neurovis.cli.report_layer import Findings, LayerCards
from neurovis.tuning.rankings import AnyRanking

_READOUTS = {"center": "center unit", "mean": "mean of all units", "max": "most active unit"}


def make_page(
    findings: Findings, rankings: Sequence[AnyRanking], options: Namespace, folder: Path
) -> CardPage:
    """The page of all kernels that have a preferred image."""
    # A page is passed on; where on a disk its weights were is nobody's business.
    weights = f", {Path(options.weights).name}" if options.weights else ""
    if is_as_made(options):
        weights = ", no weights given"
    network = f"{options.model}{weights}"
    of_layers = [
        LayerCards(findings, layer, options.field_images) for layer in findings.module.layers
    ]
    page = CardPage(
        title=f"Kernels of {network}",
        layers=[one.layer for one in of_layers],
        measures=[_measure(ranking) for ranking in rankings],
        facts=_facts(findings, options, network, folder),
    )
    is_shown = options.trainer.enable_progress_bar is not False
    with counted("cards", sum(one.count for one in of_layers), is_shown) as count:
        for one in of_layers:
            for card in one.cards():
                page.cards.append(card)
                count(1)
    return page


def _measure(ranking: AnyRanking) -> Measure:
    meaning = (type(ranking).__doc__ or "").strip().splitlines()
    label = ranking.name.replace("_", " ")
    return Measure(ranking.name, f"{label} ({ranking.score_name})", meaning[0] if meaning else "")


def _facts(findings: Findings, options: Namespace, network: str, folder: Path) -> dict[str, str]:
    manifest = findings.module.manifest().content
    settings, spec = findings.module.settings, findings.spec
    height, width = spec.size
    shown = ", ".join(f"{one.name} ({one.channels})" for one in spec.modalities)
    facts = {
        "network": f"{network}; {manifest['network']['class']}, weights and structure SHA-256 "
        f"{manifest['network']['sha256'][:16]}…",
        "input": f"{shown}; {height} x {width} pixels",
        "preferred images": f"objective {options.objective}, {options.parametrization} "
        f"parametrization, at most {settings.steps} steps, seed {settings.seed}",
    }
    if any(len(ranking.null_score) for ranking in findings.rankings):
        facts["null"] = f"{options.ranking.null_kernels} random kernels of each layer's shape"
    if any(ranking.seen is not None for ranking in findings.rankings):
        facts["gratings"] = (
            f"contrast {options.ranking.contrast:g}; {_READOUTS[options.ranking.readout]}"
        )
    if findings.top_images:
        count = next(iter(findings.top_images.values())).number
        by = "most active unit" if options.objective == "center" else f"{options.objective}"
        facts["top images"] = f"of {count} images, by their {by}"
    if findings.probe is not None:
        probe = findings.probe
        facts["saliency"] = f"{probe.method} of the most active unit, on {probe.name}"
    if options.field_images:
        facts["receptive fields"] = f"mean of {options.field_images} images of dense noise"
    return {
        **facts,
        "run": folder.name,
        "made": f"{datetime.now().astimezone():%Y-%m-%d %H:%M %z} by NeuroVis {__version__}, torch "
        f"{torch.__version__}",
    }
