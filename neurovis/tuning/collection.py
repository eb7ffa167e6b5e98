"""Passes over the stimuli: responses are reduced as they stream, and ranked at the end.

Shared by the function, the LightningModule under a Trainer, and the monitor.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from neurovis.arithmetic import has_float64
from neurovis.tuning.battery import GRATINGS, IMAGES, Battery
from neurovis.tuning.condition_responses import ConditionResponses
from neurovis.tuning.grating_responses import GratingResponses
from neurovis.tuning.metrics import ConditionMeans, ResponseMetric
from neurovis.tuning.predictions import Predictions, predict_responses
from neurovis.tuning.rankings import (
    AdaptiveRanking,
    AnyRanking,
    ConditionRanking,
    GratingRanking,
    ImageRanking,
    ImageResponses,
    PredictableRanking,
    WeightRanking,
    are_all,
)
from neurovis.tuning.responses import LayerResponses, RankedLayer
from neurovis.tuning.results import KernelRanking, Rankings
from neurovis.tuning.scoring import not_applicable, rank_layer
from neurovis.tuning.second_pass import SecondPass, set_name
from neurovis.tuning.stimuli import Gratings, Mixture
from neurovis.tuning.varied_responses import VariedResponses

#: All images, and their two halves.
_ALL, _FIRST_HALF, _SECOND_HALF = "all", "first half", "second half"

AnyResponses = TypeVar(
    "AnyResponses", GratingResponses, VariedResponses, ConditionResponses, Predictions
)


class Collection:
    """Responses of each layer so far, reduced for each ranking.

    Sums are kept in float64, on the network's device or, if it has no float64, on the CPU. No
    decision depends on the responses, so that a GPU is not waited for.

    Args:
        responses: Reads the layers.
        rankings: The rankings.
        battery: The stimuli that will be shown.
        synchronize: Whether to add up what all processes saw; not while other processes do
            something else, as in a monitor.

    Attributes:
        sets: The stimuli of the pass by name; those of the first pass at first.
    """

    def __init__(
        self,
        responses: LayerResponses,
        rankings: Sequence[AnyRanking],
        battery: Battery,
        synchronize: bool,
    ) -> None:
        self._responses = responses
        self._all_rankings = list(rankings)
        self._rankings = [one for one in rankings if one.name not in battery.left_out]
        self._battery = battery
        self._synchronize = synchronize
        self.sets: Mapping[str, Dataset[Any]] = battery.sets
        self._second: SecondPass | None = None
        self._layers = list(responses.layers.values())
        self._metrics: dict[tuple[str, str, str], ResponseMetric] = {}
        self._by_image: dict[str, list[ImageRanking]] = {}
        for layer in self._layers:
            rows = layer.kernels + layer.null_count
            for name, stimuli in battery.conditions.items():
                self._metrics[layer.name, name, _ALL] = ConditionMeans(rows, len(stimuli))
            self._by_image[layer.name] = [
                ranking
                for ranking in self._rankings
                if isinstance(ranking, ImageRanking) and ranking.inapplicable_reason(layer) is None
            ]
            for ranking in self._by_image[layer.name]:
                for part in (_ALL, _FIRST_HALF, _SECOND_HALF):
                    metric = ranking.metric(rows, len(battery.classes))
                    self._metrics[layer.name, ranking.name, part] = metric
        self._watch_alone()
        # A random split, since images may alternate; the same on every process.
        number = 0 if battery.images is None else len(battery.images)
        lots = torch.randperm(number, generator=torch.Generator().manual_seed(0))
        self._in_first_half = lots % 2 == 0

    def loaders(self, batch_size: int) -> dict[str, DataLoader[Any]]:
        """A loader for each set, of batches ``(images, numbers)`` or with classes behind.

        Any sampler may distribute the stimuli across processes.
        """
        return {name: DataLoader(one, batch_size=batch_size) for name, one in self.sets.items()}

    def next_pass(self) -> bool:
        """Choose the stimuli of the second pass, if one is needed; every process must call this.

        Returns:
            True if :attr:`sets` are to be shown now, False if all has been.
        """
        adaptive = [one for one in self._rankings if isinstance(one, AdaptiveRanking)]
        if not adaptive or self._second is not None:
            return False
        self._place_metrics()
        first = {layer.name: self._grating_responses(layer, GRATINGS) for layer in self._layers}
        self._second = SecondPass(
            adaptive, self._layers, first, self._responses.spec, self._battery.settings
        )
        self.sets = self._second.sets
        self._metrics |= {(*key, _ALL): one for key, one in self._second.metrics.items()}
        self._watch_alone()
        return bool(self.sets)

    def _watch_alone(self) -> None:
        """Let no metric wait for other processes, unless they take part."""
        if not self._synchronize:
            for metric in self._metrics.values():
                metric.distributed_available_fn = _is_alone

    @torch.no_grad()
    def see(self, name: str, images: Tensor, numbers: Tensor, labels: Tensor | None = None) -> None:
        """Show a batch, and add the responses to the metrics.

        Args:
            name: Name of the set of stimuli.
            images: ``(B, C, H, W)`` in [0, 1].
            numbers: ``(B,)``, which of the set they are; on the CPU, as the labels.
            labels: ``(B,)``, the images' classes.
        """
        place = self._place_metrics()
        by_layer = _moved(self._responses(images), place)
        if name == IMAGES:
            self._add_images(by_layer, numbers, labels, place)
            return
        numbers = numbers.to(place)
        for layer, responses in by_layer.items():
            if (layer, name, _ALL) in self._metrics:
                self._metrics[layer, name, _ALL].update(responses, numbers)

    def _add_images(
        self,
        by_layer: Mapping[str, Tensor],
        numbers: Tensor,
        labels: Tensor | None,
        place: torch.device,
    ) -> None:
        # With those of the first half in front, both halves are slices.
        in_first = self._in_first_half[numbers]
        middle = int(in_first.sum())
        order = in_first.logical_not().argsort(stable=True)
        parts = {_ALL: slice(None), _FIRST_HALF: slice(middle), _SECOND_HALF: slice(middle, None)}
        classes = self._classes(numbers, labels)[order].to(place)
        order = order.to(place)
        for layer, unordered in by_layer.items():
            for ranking in self._by_image[layer]:
                responses = unordered[order]
                if ranking.needs_rectifier:
                    responses = responses.clamp(min=0)  # Soft rectifiers go a little below.
                shown = classes if ranking.needs_labels else torch.zeros_like(classes)
                for part, rows in parts.items():
                    if len(shown[rows]):
                        metric = self._metrics[layer, ranking.name, part]
                        metric.update(responses[rows], shown[rows])

    def rankings(self) -> Rankings:
        """Rank all layers by all rankings; every process must call this."""
        # Processes without a batch must sum their zeros on the device where the others sum.
        self._place_metrics()
        return Rankings(
            [
                self._ranked(layer, ranking)
                for layer in self._layers
                for ranking in self._all_rankings
            ]
        )

    def _place_metrics(self) -> torch.device:
        """Keep the sums beside the network, which may have moved, if there is float64."""
        device = self._responses.device
        place = device if has_float64(device) else torch.device("cpu")
        for metric in self._metrics.values():
            if metric.device != place:
                metric.to(place)
        return place

    def _classes(self, numbers: Tensor, labels: Tensor | None) -> Tensor:
        """Checked labels; zeros where no ranking needs them."""
        applied = (ranking for rankings in self._by_image.values() for ranking in rankings)
        if labels is None or not any(ranking.needs_labels for ranking in applied):
            return torch.zeros_like(numbers)
        if labels.min() < 0 or labels.max() >= len(self._battery.classes):
            _refuse_labels(numbers, labels, self._battery.classes)
        return labels

    def _ranked(self, layer: RankedLayer, ranking: AnyRanking) -> KernelRanking:
        reason = self._battery.left_out.get(ranking.name) or ranking.inapplicable_reason(layer)
        if reason is not None:
            return not_applicable(layer, ranking, reason)
        try:
            return self._ranked_by_kind(layer, ranking)
        except ValueError as error:
            if not are_all(self._all_rankings):
                raise
            # What only the responses tell, such as too few images of each class.
            return not_applicable(layer, ranking, str(error))

    def _ranked_by_kind(self, layer: RankedLayer, ranking: AnyRanking) -> KernelRanking:
        if isinstance(ranking, WeightRanking):
            return rank_layer(layer, ranking, layer.weights, layer.null_weights, None)
        if isinstance(ranking, GratingRanking):
            return self._ranked_by_gratings(layer, ranking)
        if isinstance(ranking, ConditionRanking):
            return self._ranked_by_conditions(layer, ranking)
        stimuli = self._battery.conditions.get(ranking.name)
        if isinstance(ranking, PredictableRanking) and isinstance(stimuli, Mixture):
            return self._ranked_by_predictions(layer, ranking, stimuli)
        if isinstance(ranking, ImageRanking):
            return self._ranked_by_images(layer, ranking)
        if isinstance(ranking, AdaptiveRanking) and self._second is not None:
            means = self._computed(layer, set_name(ranking, layer), _ALL)
            found = self._second.responses(ranking, layer, means)
            return _with_halves(layer, ranking, found, lambda own, number: own.half(number))
        raise TypeError(
            f"{type(ranking).__name__} must be a GratingRanking, an AdaptiveRanking, a "
            "ConditionRanking, an ImageRanking or a WeightRanking"
        )

    def _ranked_by_gratings(self, layer: RankedLayer, ranking: GratingRanking) -> KernelRanking:
        found = self._grating_responses(layer, ranking.gratings)
        split = ranking.split, ranking.split_phases
        return _with_halves(layer, ranking, found, lambda own, number: own.half(number, *split))

    def _ranked_by_conditions(self, layer: RankedLayer, ranking: ConditionRanking) -> KernelRanking:
        means = self._computed(layer, ranking.set_name, _ALL)
        shape = self._battery.conditions[ranking.set_name].shape
        found = ConditionResponses(
            means[:, :-1].unflatten(1, shape), means[:, -1], torch.arange(shape[0])
        )
        ranked = _with_halves(layer, ranking, found, lambda own, number: own.half(number))
        if not ranking.needs_images:
            return ranked
        return replace(ranked, notes=(*ranked.notes, self._battery.images_note(ranking)))

    def _ranked_by_predictions(
        self, layer: RankedLayer, ranking: PredictableRanking, stimuli: Mixture
    ) -> KernelRanking:
        means = self._computed(layer, ranking.name, _ALL)
        shown = means[: layer.kernels + ranking.most_null_kernels]
        found = predict_responses(stimuli, shown, layer.seen, layer.is_rectified)
        ranked = _with_halves(layer, ranking, found, lambda own, number: own.half(number))
        return replace(ranked, notes=(*ranked.notes, stimuli.note))

    def _ranked_by_images(self, layer: RankedLayer, ranking: ImageRanking) -> KernelRanking:
        classes = self._battery.classes if ranking.needs_labels else []

        def responses(part: str) -> tuple[ImageResponses, ImageResponses]:
            values = self._computed(layer, ranking.name, part)
            own, null = values[: layer.kernels], values[layer.kernels :]
            return ImageResponses(own, classes), ImageResponses(null, classes)

        own, null = responses(_ALL)
        halves = None
        if self._battery.can_be_split:
            halves = (responses(_FIRST_HALF)[0], responses(_SECOND_HALF)[0])
        found = rank_layer(layer, ranking, own, null if layer.null_count else None, halves)
        return replace(found, notes=(*found.notes, self._battery.images_note(ranking)))

    def _grating_responses(self, layer: RankedLayer, name: str) -> GratingResponses:
        gratings = self._battery.conditions[name]
        if not isinstance(gratings, Gratings):
            raise TypeError(
                f'the stimuli "{name}" of a GratingRanking must be Gratings; got '
                f"{type(gratings).__name__}"
            )
        means = self._computed(layer, name, _ALL)
        return GratingResponses(
            # The highest contrast; there is one.
            table=means[:, :-1].unflatten(1, gratings.shape)[:, :, :, :, -1],
            blank=means[:, -1],
            is_rectified=layer.is_rectified,
            orientations=gratings.orientations,
            spatial_frequencies=gratings.spatial_frequencies,
            modulations=[modulation.name for modulation in gratings.modulations],
        )

    def _computed(self, layer: RankedLayer, name: str, part: str) -> Tensor:
        with warnings.catch_warnings():
            # One of several processes may have been shown no stimulus.
            warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
            computed: Tensor = self._metrics[layer.name, name, part].compute()
        # Torchmetrics makes scalars of single elements.
        return computed.cpu().view(-1) if computed.ndim == 0 else computed.cpu()


@torch.no_grad()
def rank_alone(
    responses: LayerResponses, rankings: Sequence[AnyRanking], battery: Battery, batch_size: int
) -> Rankings:
    """Show all stimuli where the network is, and rank; no other process takes part.

    Args:
        responses: Reads the layers of a network that is undisturbed.
        rankings: The rankings.
        battery: The stimuli.
        batch_size: Number of stimuli at a time.
    """
    collection = Collection(responses, rankings, battery, synchronize=False)
    is_on = True
    while is_on:
        for name, loader in collection.loaders(batch_size).items():
            for batch in loader:
                collection.see(name, *batch)
        is_on = collection.next_pass()
    return collection.rankings()


def _with_halves(
    layer: RankedLayer,
    ranking: AnyRanking,
    found: AnyResponses,
    half: Callable[[AnyResponses, int], AnyResponses | None],
) -> KernelRanking:
    """Rank by responses of the layer's kernels, and of the random ones behind them."""
    own, null = found.kernels(slice(layer.kernels)), found.kernels(slice(layer.kernels, None))
    first, second = half(own, 0), half(own, 1)
    halves = None if first is None or second is None else (first, second)
    return rank_layer(layer, ranking, own, null if layer.null_count else None, halves)


def _moved(responses: dict[str, Tensor], place: torch.device) -> dict[str, Tensor]:
    """All layers' responses ``(B, K)`` elsewhere, in one transfer."""
    if all(part.device == place for part in responses.values()):
        return responses
    sizes = [part.shape[1] for part in responses.values()]
    parts = torch.cat(list(responses.values()), dim=1).to(place).split(sizes, dim=1)
    return dict(zip(responses, parts, strict=True))


def _refuse_labels(numbers: Tensor, labels: Tensor, classes: Sequence[str]) -> None:
    for number, label in zip(numbers.tolist(), labels.tolist(), strict=True):
        if label < 0:
            raise ValueError(f"image {number} has no class; a dataset must give (image, class)")
        if label >= len(classes):
            raise ValueError(
                f"image {number} is of class {label}, but there are {len(classes)} classes, from 0"
            )


def _is_alone() -> bool:
    """Return False: a metric with this availability check never waits for other processes."""
    return False
