"""Ranks the kernels of layers by the responses that a collection's metrics hold."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from neurovis.tuning.battery import GRATINGS, IMAGES, Battery
from neurovis.tuning.condition_responses import ConditionResponses
from neurovis.tuning.grating_responses import GratingResponses
from neurovis.tuning.metrics import ResponseMetric
from neurovis.tuning.predictions import Predictions
from neurovis.tuning.rankings import (
    AdaptiveRanking,
    AnyRanking,
    ImageRanking,
    ImageResponses,
    StimuliRanking,
    WeightRanking,
)
from neurovis.tuning.rankings.base import images_note
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.results import KernelRanking
from neurovis.tuning.scoring import not_applicable, rank_layer
from neurovis.tuning.second_pass import SecondPass, shown_gratings
from neurovis.tuning.varied_responses import VariedResponses

#: All images, and their two halves.
ALL, FIRST_HALF, SECOND_HALF = "all", "first half", "second half"

SplitResponses = GratingResponses | VariedResponses | ConditionResponses | Predictions


class LayerRanker:
    """Turns what was collected of a layer into what each kind of ranking takes.

    Args:
        battery: The stimuli that were shown.
        metrics: What they did, by layer, set of stimuli, and part of it; of images
            also by ranking.
        second: The second pass, if there was one.
    """

    def __init__(
        self,
        battery: Battery,
        metrics: Mapping[tuple[str, str, str], ResponseMetric],
        second: SecondPass | None,
    ) -> None:
        self._battery, self._metrics, self._second = battery, metrics, second

    def rank(self, layer: RankedLayer, ranking: AnyRanking) -> KernelRanking:
        """Rank a layer's kernels; every process must call this.

        Raises:
            ValueError: If the responses are too few for the ranking, unless it may be left out.
            TypeError: If the ranking's stimuli are of another kind.
        """
        reason = self._battery.left_out.get(ranking.name) or ranking.inapplicable_reason(layer)
        if reason is not None:
            return not_applicable(layer, ranking, reason)
        try:
            return self._ranked_by_kind(layer, ranking)
        except ValueError as error:
            if not self._battery.may_leave_out:
                raise
            # What only the responses tell, such as too few images of each class.
            return not_applicable(layer, ranking, str(error))

    def _ranked_by_kind(self, layer: RankedLayer, ranking: AnyRanking) -> KernelRanking:
        if isinstance(ranking, WeightRanking):
            return rank_layer(layer, ranking, layer.weights, layer.null_weights, None)
        if isinstance(ranking, ImageRanking):
            return self._ranked_by_images(layer, ranking)
        if isinstance(ranking, StimuliRanking):
            stimuli = self._battery.conditions[ranking.set_name]
            means = self._computed(layer, ranking.set_name, ALL)
            found = _with_halves(layer, ranking, ranking.responses(stimuli, means, layer))
            note = ranking.note(stimuli)
            return found if note is None else replace(found, notes=(*found.notes, note))
        if isinstance(ranking, AdaptiveRanking) and self._second is not None:
            means = self._computed(layer, shown_gratings(ranking, layer), ALL)
            return _with_halves(layer, ranking, self._second.responses(ranking, layer, means))
        raise TypeError(f"{type(ranking).__name__} is a ranking of no known kind")

    def _ranked_by_images(self, layer: RankedLayer, ranking: ImageRanking) -> KernelRanking:
        classes = self._battery.classes if ranking.needs_labels else []

        def responses(part: str) -> tuple[ImageResponses, ImageResponses]:
            values = self._computed(layer, IMAGES, image_part(ranking, part))
            own, null = values[: layer.kernels], values[layer.kernels :]
            return ImageResponses(own, classes), ImageResponses(null, classes)

        own, null = responses(ALL)
        halves = None
        if self._battery.can_be_split:
            halves = (responses(FIRST_HALF)[0], responses(SECOND_HALF)[0])
        found = rank_layer(layer, ranking, own, null if layer.null_count else None, halves)
        note = images_note(ranking.name, self._battery.image_count, len(classes))
        return replace(found, notes=(*found.notes, note))

    def grating_responses(self, layer: RankedLayer) -> GratingResponses:
        """Return the responses of a layer's kernels, and of the random ones behind them.

        Raises:
            TypeError: If a ranking has shown something else under the name of the gratings.
        """
        means = self._computed(layer, GRATINGS, ALL)
        gratings = self._battery.conditions[GRATINGS]
        return GratingResponses.to_gratings(gratings, means, layer.is_rectified)

    def _computed(self, layer: RankedLayer, name: str, part: str) -> Tensor:
        with warnings.catch_warnings():
            # One of several processes may have been shown no stimulus.
            warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
            computed: Tensor = self._metrics[layer.name, name, part].compute()
        # Torchmetrics makes scalars of single elements.
        return computed.cpu().view(-1) if computed.ndim == 0 else computed.cpu()


def image_part(ranking: ImageRanking, part: str) -> str:
    """Return the name of what a ranking keeps of a part of the images, for its metric's key."""
    return f"{ranking.name}: {part}"


def _with_halves(layer: RankedLayer, ranking: AnyRanking, found: SplitResponses) -> KernelRanking:
    """Rank by responses of the layer's kernels, and of the random ones behind them."""
    own, null = found.kernels(slice(layer.kernels)), found.kernels(slice(layer.kernels, None))
    first, second = own.half(0), own.half(1)
    halves = None if first is None or second is None else (first, second)
    return rank_layer(layer, ranking, own, null if layer.null_count else None, halves)
