"""Make the cards of one layer of what was found out about its kernels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neurovis.analysis.saliency_probe import ProbeMaps, SaliencyProbe
from neurovis.analysis.top_pictures import top_pictures, top_remarks
from neurovis.cards import (
    Card,
    CardLayer,
    Curves,
    Evidence,
    Picture,
    ReceptiveField,
    Score,
    image_uri,
    map_uri,
)
from neurovis.class_names import class_label
from neurovis.figures import weight_pictures
from neurovis.maximization import ActivationMaximization
from neurovis.maximization.preferred_image import PreferredImage
from neurovis.receptive_fields import clipped_box
from neurovis.top_images import TopImages
from neurovis.tuning.drawing import is_weak, preferred_text
from neurovis.tuning.fields import field_width, gradients_at, mean_gradients
from neurovis.tuning.grating_responses import frequency_curves, orientation_curves
from neurovis.tuning.measures import preferred_orientation, preferred_spatial_frequency
from neurovis.tuning.results import KernelRanking, Rankings
from neurovis.tuning.stimuli import DenseNoise
from neurovis.tuning.units import Units

#: Longest sides of pictures on cards, in pixels.
_PREFERRED, _FIELD = 160, 72
#: Kernels whose receptive fields are mapped together.
_FIELDS_TOGETHER = 32
_FIELD_BATCH = 16
#: What is less selective than this part of what random kernels are prefers nothing: it may be
#: rounding that tells.
_FLAT = 5e-3

#: Least part of the variance that a model must explain to be named.
_PREDICTED = 0.5


@dataclass(frozen=True)
class Findings:
    """Network and results that a report is made of.

    Args:
        network: The network.
        preferred: With the preferred images of each layer.
        rankings: Rankings of the same layers.
        top_images: By layer; empty without images.
        probe: The picture for saliency maps, if there is one.
    """

    network: nn.Module
    preferred: ActivationMaximization
    rankings: Rankings
    top_images: Mapping[str, TopImages]
    probe: SaliencyProbe | None


class LayerCards:
    """Makes the cards of one layer, one after the other.

    Args:
        findings: What was found out.
        layer: Dotted name.
        field_images: Noise images over which receptive fields are averaged; 0 for no fields.

    Attributes:
        layer: What the cards share.
    """

    def __init__(self, findings: Findings, layer: str, field_images: int) -> None:
        self._findings = findings
        self._spec = findings.preferred.input_spec
        self._name = layer
        self._field_images = field_images
        self._rankings = [one for one in findings.rankings if one.layer == layer]
        self._top = findings.top_images.get(layer)
        self.layer = self._layer()

    @property
    def _gratings(self) -> KernelRanking | None:
        """The ranking whose responses to gratings are drawn: by orientation, if there is one."""
        by_gratings = [one for one in self._rankings if one.grating_responses is not None]
        of_orientation = [one for one in by_gratings if one.by == "orientation"]
        return next(iter(of_orientation or by_gratings), None)

    def _layer(self) -> CardLayer:
        ranking = self._gratings
        responses = None if ranking is None else ranking.grating_responses
        notes = list(dict.fromkeys(note for one in self._rankings for note in one.notes))
        if ranking is not None and responses is not None:
            _, _, orientations, frequencies, phases = responses.table.shape
            notes.append(
                f"curves are responses to the gratings of the ranking by {ranking.by}: "
                f"{orientations} orientations, {frequencies} spatial frequencies, {phases} phases"
            )
        notes += [f"{one.by}: {one.reason}" for one in self._rankings if one.reason is not None]
        self._units = self._find_units([0])
        box = None if self._units is None else self._units.box
        return CardLayer(
            self._name,
            self._findings.preferred.kernel_counts[self._name],
            orientations=[] if responses is None else responses.orientations.tolist(),
            spatial_frequencies=[] if responses is None else responses.spatial_frequencies.tolist(),
            receptive_field=None if box is None else (box[2] - box[0], box[3] - box[1]),
            response="" if responses is None else responses.response_name,
            notes=notes,
        )

    def cards(self) -> Iterator[Card]:
        """All cards of the layer, in the order of the kernels that were asked for."""
        images: dict[int, list[PreferredImage]] = {}
        results = self._findings.preferred.results_of(self._name)
        for item in results.items:
            images.setdefault(item.kernels[0], []).append(item)
        for variants in images.values():
            variants.sort(key=lambda item: -item.activation)
        curves, weights = self._curves(), self._weights()
        fields = self._fields({kernel: best for kernel, (best, *_) in images.items()})
        probe, network = self._findings.probe, self._findings.network
        top = self._top
        maps = None if probe is None else ProbeMaps(network, self._name, self._spec, probe)
        for kernel, variants in images.items():
            yield Card(
                self._name,
                kernel,
                evidence=_evidence(variants[0]),
                preferred=[
                    self._preferred(item, results.label(item), len(variants) > 1)
                    for item in variants
                ],
                scores={one.by: _score(one, kernel) for one in self._rankings},
                curves=None if curves is None else curves[kernel],
                weights=None if weights is None else self._picture(weights[kernel], "weights"),
                field=next(fields, None),
                saliency=None if maps is None else maps.picture(kernel),
                top_images=[] if top is None else top_pictures(top, kernel),
                top_activation=next(iter(top.values(kernel) if top is not None else ()), math.nan),
                remarks=list(self._remarks(variants)),
                name=class_label(results.class_names, kernel) if results.class_names else "",
            )

    def _picture(self, image: Tensor, title: str) -> Picture:
        return Picture(image_uri(image, self._spec, _PREFERRED), title=title)

    def _preferred(self, item: PreferredImage, name: str, is_variant: bool) -> Picture:
        label = item.counted(item.activation) if is_variant else ""
        source = image_uri(item.seen(item.image), self._spec, _PREFERRED)
        return Picture(source, label, f"preferred image of {name}")

    def _weights(self) -> Tensor | None:
        weights = next((one.weights for one in self._rankings if one.weights is not None), None)
        return None if weights is None else weight_pictures(weights, self._spec)

    def _curves(self) -> list[Curves] | None:
        """Return each kernel's responses to the gratings that drive it most."""
        ranking = self._gratings
        if ranking is None or ranking.grating_responses is None:
            return None
        responses = ranking.grating_responses
        best = responses.best_modulation
        tuning = responses.tuning[torch.arange(len(best)), best].float()
        over_orientation, over_frequency = orientation_curves(tuning), frequency_curves(tuning)
        frequencies = responses.spatial_frequencies.to(tuning)
        columns = zip(
            over_orientation.tolist(),
            over_frequency.tolist(),
            preferred_orientation(over_orientation).tolist(),
            preferred_spatial_frequency(over_frequency, frequencies).tolist(),
            [responses.modulations[place] for place in best.tolist()],
            strict=True,
        )
        several = len(responses.modulations) > 1
        return [
            Curves(orientation, frequency, peak, best_frequency, name if several else "")
            for orientation, frequency, peak, best_frequency, name in columns
        ]

    def _fields(self, images: Mapping[int, PreferredImage]) -> Iterator[ReceptiveField]:
        """The receptive field of each kernel, if they are asked for and gradients reach them."""
        if not self._field_images or self._units is None:
            return
        noise = DenseNoise(self._spec, self._field_images, seed=0)
        shown = noise.images(range(self._field_images))
        kernels = list(images)
        for start in range(0, len(kernels), _FIELDS_TOGETHER):
            together = kernels[start : start + _FIELDS_TOGETHER]
            units = self._find_units(together)
            if units is None:
                return
            effective = mean_gradients(units, shown, _FIELD_BATCH)
            silent = effective.flatten(1).amax(1) == 0
            if silent.any():
                # A unit that is driven has a gradient.
                own = torch.stack([images[kernel].image.float() for kernel in together])
                effective[silent] = gradients_at(units, own)[silent]
            top, left, bottom, right = clipped_box(units.clipped_box, self._spec.size, margin=0.25)
            for values, (height, width), is_silent in zip(
                effective, field_width(effective).tolist(), silent.tolist(), strict=True
            ):
                picture = Picture(map_uri(values[top:bottom, left:right], _FIELD))
                over = "" if height != height else "its image" if is_silent else "noise"
                yield ReceptiveField(height, width, picture, over)

    def _find_units(self, kernels: Sequence[int]) -> Units | None:
        try:
            return Units(self._findings.network, self._name, list(kernels), self._spec)
        except ValueError:  # The central unit sees nothing but padding.
            return None

    def _remarks(self, variants: Sequence[PreferredImage]) -> Iterator[str]:
        kernel = variants[0].kernels[0]
        if len(variants) > 1:
            silent = sum(item.dead for item in variants)
            said = f"; {silent} of them silent" if silent else ""
            yield f"activation: of the best of {len(variants)} variants{said}"
        if self._top is not None:
            yield from top_remarks(self._top, kernel, variants[0].activation)
        ranking = self._gratings
        if ranking is not None and not ranking.dead[kernel] and is_weak(ranking, kernel):
            yield "gratings hardly drive it: less than 5 % of the layer's most responsive kernel"
        predictable = (one for one in self._rankings if one.by == "predictable")
        yield from (_prediction(one, kernel) for one in predictable if one.score[kernel].isfinite())
        if variants[0].remark:
            yield variants[0].remark
        if variants[0].ended == "cut short":
            yield "its ascent was cut short"


def _evidence(item: PreferredImage) -> Evidence:
    return Evidence(
        item.activation, item.noise_activation, item.dead, item.ended, len(item.curve), item.unit
    )


def _score(ranking: KernelRanking, kernel: int) -> Score:
    value = float(ranking.score[kernel])
    if value != value:
        return Score(value, silent=bool(ranking.dead[kernel]))
    is_flat = abs(value) < _flat(ranking)
    return Score(
        value,
        int(ranking.ranks[kernel]),
        float(ranking.null_percentile[kernel]),
        float("nan") if is_flat else float(ranking.reliability[kernel]),
        "" if is_flat else preferred_text(ranking, kernel),
        bool(ranking.dead[kernel]),
    )


def _prediction(ranking: KernelRanking, kernel: int) -> str:
    """Say how well models predict a kernel's responses, from the ranking by predictable."""
    score, values = float(ranking.score[kernel]), ranking.values
    error, noise, others = (
        float(values[name][kernel])
        for name in ("r2_error", "reverse_correlation_r2", "other_kernels_r2")
    )
    which = f"{values['model'][kernel]} model" if score >= _PREDICTED else "no simple model"
    return (
        f"{which} predicts its responses to held-out pictures: R² {score:.2f} ± {error:.2f}; by "
        f"reverse correlation {noise:.2f}, by other kernels' models {others:.2f}"
    )


def _flat(ranking: KernelRanking) -> float:
    """Below it a score of responses to gratings is none; others have units of their own."""
    if ranking.grating_responses is None or not len(ranking.null_score):
        return 0.0
    return _FLAT * float(ranking.null_score.abs().nanmedian())
