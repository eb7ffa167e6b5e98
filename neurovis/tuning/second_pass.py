"""The second pass over stimuli: each kernel's best grating, varied as the rankings ask."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from neurovis.inputs import InputSpec
from neurovis.tuning.battery import Battery
from neurovis.tuning.grating_responses import GratingResponses, best_grating
from neurovis.tuning.metrics import OwnMeans
from neurovis.tuning.rankings import AdaptiveRanking
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.stimuli import Variation, VariedGratings
from neurovis.tuning.varied_responses import VariedResponses


class SecondPass:
    """The best gratings of all layers' kernels, and the responses to them.

    Kernels with the same best grating share its stimuli. Where these have windows, layers whose
    central units look at the same pixel do.

    Args:
        rankings: The rankings that vary the best gratings.
        layers: The layers that are ranked.
        first: What each layer's kernels, and the random ones behind them, did in the first pass.
        spec: What the network is shown.
        battery: The stimuli of the first pass, with the variations that the rankings ask for.

    Attributes:
        sets: The stimuli by name.
        metrics: What keeps the responses of a layer to a set, by both names.
    """

    def __init__(
        self,
        rankings: Sequence[AdaptiveRanking],
        layers: Sequence[RankedLayer],
        first: Mapping[str, GratingResponses],
        spec: InputSpec,
        battery: Battery,
    ) -> None:
        self._first, self._spec = first, spec
        self._variations, self._phases = battery.variations, battery.settings.phases
        self._best = {name: best_grating(responses) for name, responses in first.items()}
        self._shown: dict[str, list[Variation]] = {}
        self.sets: dict[str, VariedGratings] = {}
        self.metrics: dict[tuple[str, str], OwnMeans] = {}
        asked: dict[str, list[tuple[AdaptiveRanking, RankedLayer]]] = {}
        for ranking in rankings:
            for layer in layers:
                if ranking.inapplicable_reason(layer) is None:
                    asked.setdefault(shown_gratings(ranking, layer), []).append((ranking, layer))
        for name, pairs in asked.items():
            self._choose(name, pairs)

    def _choose(self, name: str, pairs: Sequence[tuple[AdaptiveRanking, RankedLayer]]) -> None:
        """Choose what is shown for rankings of layers that share a set."""
        wanted = [self._variations[ranking.name] for ranking, _ in pairs]
        variations = self._shown[name] = list(dict.fromkeys(itertools.chain(*wanted)))
        layers = list(dict.fromkeys(layer.name for _, layer in pairs))
        best = {layer: self._best[layer] for layer in layers}
        gratings = torch.cat(list(best.values())).unique()
        gratings = gratings[gratings >= 0]
        if len(gratings):
            ranking, layer = pairs[0]
            self.sets[name] = VariedGratings(
                self._spec,
                *_parameters(self._first[layer.name], gratings),
                variations,
                self._phases,
                center=layer.place if ranking.is_windowed else None,
            )
        for layer_name, one in best.items():
            own = torch.searchsorted(gratings, one).masked_fill(one < 0, -1)
            self.metrics[layer_name, name] = OwnMeans(own, len(variations) * self._phases)

    def responses(
        self, ranking: AdaptiveRanking, layer: RankedLayer, means: Tensor
    ) -> VariedResponses:
        """Return what the kernels of a layer, and the random ones, did for a ranking.

        Args:
            ranking: One of the rankings.
            layer: One that it applies to.
            means: ``(K, conditions)``, what the layer's metric found for :func:`shown_gratings`.
        """
        first, best = self._first[layer.name], self._best[layer.name]
        orientation, frequency = (
            one.masked_fill(best < 0, torch.nan) for one in _parameters(first, best.clamp(min=0))
        )
        shown = self._shown[shown_gratings(ranking, layer)]
        return VariedResponses(
            table=means.unflatten(1, (len(shown), self._phases)),
            blank=first.blank,
            is_rectified=first.is_rectified,
            dead=first.dead,
            orientation=orientation,
            spatial_frequency=frequency,
            variations=shown,
        ).of(self._variations[ranking.name])


def shown_gratings(ranking: AdaptiveRanking, layer: RankedLayer) -> str:
    """Return the name of the set of gratings that a layer is shown for a ranking."""
    if not ranking.is_windowed or layer.place is None:
        return "best gratings"
    row, column = layer.place
    return f"best gratings at {row:g}, {column:g}"


def _parameters(responses: GratingResponses, gratings: Tensor) -> tuple[Tensor, Tensor]:
    """Orientation and spatial frequency of gratings by their numbers."""
    frequencies = responses.spatial_frequencies
    return (
        responses.orientations[gratings // len(frequencies)],
        frequencies[gratings % len(frequencies)],
    )
