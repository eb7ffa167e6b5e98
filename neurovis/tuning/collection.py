"""Passes over the stimuli: responses are reduced as they stream, and ranked at the end.

Shared by the function, the LightningModule under a Trainer, and the monitor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from neurovis.arithmetic import has_float64
from neurovis.tuning.battery import IMAGES, Battery
from neurovis.tuning.layer_ranker import ALL, FIRST_HALF, SECOND_HALF, LayerRanker, image_part
from neurovis.tuning.metrics import ConditionMeans, ResponseMetric
from neurovis.tuning.rankings import AdaptiveRanking, AnyRanking, ImageRanking
from neurovis.tuning.responses import LayerResponses
from neurovis.tuning.results import Rankings
from neurovis.tuning.second_pass import SecondPass


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
                self._metrics[layer.name, name, ALL] = ConditionMeans(rows, len(stimuli))
            self._by_image[layer.name] = [
                ranking
                for ranking in self._rankings
                if isinstance(ranking, ImageRanking) and ranking.inapplicable_reason(layer) is None
            ]
            for ranking in self._by_image[layer.name]:
                for part in (ALL, FIRST_HALF, SECOND_HALF):
                    metric = ranking.metric(rows, len(battery.classes))
                    self._metrics[layer.name, IMAGES, image_part(ranking, part)] = metric
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
        ranker = self._ranker()
        first = {layer.name: ranker.grating_responses(layer) for layer in self._layers}
        self._second = SecondPass(
            adaptive, self._layers, first, self._responses.spec, self._battery
        )
        self.sets = self._second.sets
        self._metrics |= {(*key, ALL): one for key, one in self._second.metrics.items()}
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
            if (layer, name, ALL) in self._metrics:
                self._metrics[layer, name, ALL].update(responses, numbers)

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
        parts = {ALL: slice(None), FIRST_HALF: slice(middle), SECOND_HALF: slice(middle, None)}
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
                        metric = self._metrics[layer, IMAGES, image_part(ranking, part)]
                        metric.update(responses[rows], shown[rows])

    def rankings(self) -> Rankings:
        """Rank all layers by all rankings; every process must call this."""
        # Processes without a batch must sum their zeros on the device where the others sum.
        self._place_metrics()
        ranker = self._ranker()
        return Rankings(
            [
                ranker.rank(layer, ranking)
                for layer in self._layers
                for ranking in self._all_rankings
            ]
        )

    def _ranker(self) -> LayerRanker:
        return LayerRanker(self._battery, self._metrics, self._second)

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
