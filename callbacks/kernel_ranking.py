"""Kernel rankings during training: which kernels became selective for what, and when?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import Unpack, override

from neurovis.callbacks.base import Monitor, MonitorOptions
from neurovis.inputs import InputSpec
from neurovis.layers import LayerSelection
from neurovis.maximization import AscentSettings
from neurovis.maximization.continuation import AscentState, continue_ascents, usable_kernels
from neurovis.maximization.layer_response import LayerResponse
from neurovis.observation import Observation
from neurovis.tuning.battery import Battery, choose_battery
from neurovis.tuning.collection import rank_alone
from neurovis.tuning.layer_facts import LayerFacts
from neurovis.tuning.ranking_observation import ranking_observation, reference_observation
from neurovis.tuning.rankings import AnyRanking, resolve_rankings
from neurovis.tuning.reference import optional_reference
from neurovis.tuning.reference_scores import score_against_reference
from neurovis.tuning.responses import LayerResponses, RankedLayer
from neurovis.tuning.results import KernelRanking, Rankings
from neurovis.tuning.settings import RankingOptions, RankingSettings

#: Enough for an order of kernels.
_ORIENTATIONS = 8
#: Largest side at which preferred images are drawn.
_LARGEST_DRAWN = 96
#: Each look makes a few steps of images that stand beside gratings, and beside those of others.
_ASCENT = AscentSettings(steps=8, style="maximal")
#: How many images of a batch are shown where kernels are ranked by images.
_IMAGES = 64


class KernelRankingMonitorOptions(RankingOptions, MonitorOptions, total=False):
    """Keyword arguments of :class:`KernelRankingMonitor`."""


class KernelRankingMonitor(Monitor):
    """Logs how selective the kernels of some layers are, and in which order.

    Each time it shows the network gratings (or the probe images, for the rankings that are by
    images), and beside the layers' own kernels reads random ones of the same shape on the same
    input: the null. Under the tag ``kernel_ranking/<by>/<layer>`` it logs a picture of the kernels
    in the order of their ranks, each with its weights (of layers over the image) or preferred
    image, its tuning and its score, and under tags that begin with it

    - ``/histogram``: a picture of all scores with the null's over them;
    - ``/orientation_map``, by orientation: a picture of all kernels' preferred orientations and
      selectivities;
    - ``/first_and_now``: a picture of each kernel's score when this fit began against now;
    - ``/median``: the median score;
    - ``/above_null``: the fraction of kernels that score above the null's 95th percentile; 0.05
      is what chance gives;
    - ``/dead``: the fraction of kernels that respond to nothing;
    - ``/kendall_tau``: how alike the order is to that of the time before, or, the first time, to
      that when this fit began: 1 the same, 0 unrelated;
    - ``/scores`` and ``/null_scores``: histograms of both.

    Scores, readout and null are those of :func:`~neurovis.tuning.rank_kernels`, of the network in
    evaluation mode, with fewer gratings: 8 orientations and 4 phases (8 to rank by
    ``phase``) of each spatial frequency. Rankings by each kernel's best grating, such as ``size``,
    make a second pass, which has many times as many stimuli.

    Args:
        layers: Dotted names as in ``network.named_modules()``; types of modules or their names
            (``"Conv2d"``); ``"all-conv"``; or several of these.
        by: Names of rankings, or rankings: those of :data:`~neurovis.tuning.RANKINGS`, such as
            ``"orientation"``, and by the probe images ``"activation"``. Not ``"class"`` or
            ``"category"``: a monitor has images, but does not know their classes.
        max_kernels: Draw up to this many kernels of each layer, the first of the order.
        preferred_images: Whether to draw the preferred images of kernels that are not over the
            image: 8 steps of an ascent each time, which continues for as long as a kernel is
            drawn. For 24 kernels of ResNet-18's last layer they cost more than ten training steps
            of 32 images, where all else costs one or two.
        first_and_now: Whether to compare with the scores when the fit began.
        reference: Neurons to compare the kernels with each time, as for
            :func:`~neurovis.tuning.load_reference`: ``"macaque_v1"``, or a CSV file. Tags are
            ``kernel_ranking/reference_scores/<reference>/<property>/<layer>``, then ``/score``, or
            ``/null_score`` for random kernels; one of the properties is ``mean``.
        pixels_per_degree: Pixels of the network's input in a degree of visual angle, for
            properties of neurons in degrees; these are left out without it.
        **options: ``orientations`` (8), ``spatial_frequencies``, ``phases`` and all else of
            :class:`~neurovis.tuning.RankingSettings`; ``every_n_epochs``,
            ``every_n_train_steps``, ``input_spec``, ``on_error``, ``max_images`` (64 where the
            probe images are shown) and all else of :class:`~neurovis.callbacks.base.Monitor`.
            Without an ``input_spec`` stimuli have the size of the probe images, and values
            between their lowest and highest, alike in all channels, three of which are treated
            as color; with one, probe images are not needed for gratings.

    Raises:
        ValueError: If an argument is out of its range, or there is no such ranking or reference.
        TypeError: If an argument is of the wrong type, or there is no such option.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> spec = InputSpec.rgb(224)
        >>> monitor = KernelRankingMonitor(["conv1"], "orientation", input_spec=spec)
        >>> trainer = Trainer(callbacks=[monitor], accelerator="cpu", logger=False)
    """

    def __init__(
        self,
        layers: LayerSelection,
        by: str | AnyRanking | Sequence[str | AnyRanking] = "orientation",
        *,
        max_kernels: int = 24,
        preferred_images: bool = False,
        first_and_now: bool = True,
        reference: str | Path | None = None,
        pixels_per_degree: float | None = None,
        **options: Unpack[KernelRankingMonitorOptions],
    ) -> None:
        self.rankings = resolve_rankings(by)
        _check_labels(self.rankings)
        self.needs_images = any(ranking.needs_images for ranking in self.rankings)
        given: dict[str, Any] = {"max_images": _IMAGES} if self.needs_images else {}
        given |= options
        names = RankingOptions.__annotations__
        of_ranking = {name: given.pop(name) for name in names if name in given}
        super().__init__(layers, **given)
        if max_kernels < 1:
            raise ValueError(f"max_kernels must be at least 1; got {max_kernels}")
        self.max_kernels = max_kernels
        phases = max(ranking.least_phases for ranking in self.rankings)
        self.settings = RankingSettings(
            **{"orientations": _ORIENTATIONS, "phases": phases, **of_ranking}
        )
        settings = max_kernels, preferred_images, repr(self.settings)
        self.tag_settings = {f"kernel_ranking/{one.name}": settings for one in self.rankings}
        self._facts: Mapping[str, LayerFacts] | None = None
        self._previous: dict[tuple[str, str], KernelRanking] = {}
        self._first: dict[tuple[str, str], tuple[int, KernelRanking]] = {}
        self.preferred_images = preferred_images
        self.first_and_now = first_and_now
        self.pixels_per_degree = pixels_per_degree
        self.reference = optional_reference(reference, pixels_per_degree)
        if self.reference is not None:
            self.tag_settings[f"kernel_ranking/reference_scores/{self.reference.name}"] = (
                settings,
                pixels_per_degree,
            )
        # Of the first look: with others, means could not be compared over training.
        self._mean_over: Sequence[str] | None = None
        self._ascents: dict[str, AscentState] = {}

    @property
    @override
    def state_key(self) -> str:
        return f"{super().state_key}{[ranking.name for ranking in self.rankings]}"

    @override
    def observe(self, network: nn.Module, images: Tensor, step: int) -> Observation:
        if self.is_first_look:
            self._facts, self._ascents = None, {}
            self._previous, self._first = {}, {}
            self._mean_over = None
        spec = self.input_spec or self.probe.spec_like(images)
        battery = self._battery(images, spec)
        responses = LayerResponses(network, self.layers, spec, self.settings, self._facts)
        if self.is_first_look:
            _check_applicable(list(responses.layers.values()), self.rankings)
            self._facts = responses.facts
        found = rank_alone(responses, self.rankings, battery, self.settings.batch_size)
        pictures = self._preferred_images(network, responses, found, images.device)
        observation = Observation()
        for ranking in found:
            place = ranking.layer, ranking.by
            # The scores alone, without what the network was shown.
            scores = replace(
                ranking, grating_responses=None, weights=None, values={}, null_values={}
            )
            if self.is_first_look:
                self._first[place] = step, scores
            else:
                now = ranking_observation(
                    ranking,
                    self._previous[place],
                    pictures.get(ranking.layer),
                    step,
                    self.max_kernels,
                    self._first[place] if self.first_and_now else None,
                )
                observation.add(now)
            self._previous[place] = scores
        if self.reference is not None:
            likeness = score_against_reference(
                found,
                self.reference,
                pixels_per_degree=self.pixels_per_degree,
                mean_over=self._mean_over,
            )
            if self.is_first_look:
                self._mean_over = likeness.mean_over
                for note in likeness.notes:
                    rank_zero_info(note)
            else:
                observation.add(reference_observation(likeness, step))
        return observation

    def _battery(self, images: Tensor, spec: InputSpec) -> Battery:
        """Return the stimuli; generated each time, which costs little."""
        if not self.needs_images:
            return choose_battery(self.rankings, spec, self.settings, None, None, None)
        if len(images) < 2:
            raise ValueError(
                "ranking by images compares responses to several; got 1 probe image: give more "
                "probe_images, or a larger max_images"
            )
        shown = spec.from_network(images.float()).cpu()
        return choose_battery(self.rankings, spec, self.settings, shown, None, None)

    def _preferred_images(
        self,
        network: nn.Module,
        responses: LayerResponses,
        found: Rankings,
        device: torch.device,
    ) -> dict[str, Tensor]:
        """Images to draw the kernels of layers by that are not over the image; none at first."""
        pictures = {}
        for layer in responses.layers.values() if self.preferred_images else []:
            if layer.is_first:
                continue
            response = LayerResponse(network, layer.name, layer.spec, layer.layout)
            if self.is_first_look:
                usable_kernels(response, None, _ASCENT)
            else:
                pictures[layer.name] = self._continued_images(response, layer, found, device)
        return pictures

    def _continued_images(
        self, response: LayerResponse, layer: RankedLayer, found: Rankings, device: torch.device
    ) -> Tensor:
        """Continue the ascents; preferred images ``(K, C, H, W)``, gray for kernels not drawn."""
        kernels = sorted(
            {
                kernel
                for ranking in found
                if ranking.layer == layer.name
                for kernel in ranking.order[: self.max_kernels]
            }
        )
        state = self._ascents.get(layer.name, AscentState())
        self._ascents[layer.name], snapshot = continue_ascents(
            state, kernels, response, _ASCENT, device
        )
        images = _as_drawn(snapshot.images)
        pictures = torch.full((layer.kernels, *images.shape[1:]), 0.5, dtype=torch.float32)
        pictures[kernels] = images.float()
        return pictures


def _as_drawn(images: Tensor) -> Tensor:
    """Images ``(N, C, H, W)`` no larger than they are drawn."""
    scale = _LARGEST_DRAWN / max(images.shape[2:])
    if scale >= 1:
        return images
    return functional.interpolate(images, scale_factor=scale, mode="bilinear", antialias=True)


def _check_labels(rankings: Iterable[AnyRanking]) -> None:
    for ranking in rankings:
        if ranking.needs_labels:
            raise ValueError(
                f"ranking by {ranking.name} needs the classes of many images, which a monitor is "
                "not given; use neurovis.rank_kernels with images and labels"
            )


def _check_applicable(layers: Sequence[RankedLayer], rankings: Iterable[AnyRanking]) -> None:
    """Refuse a ranking that applies to none of the layers, and say to which others it does not."""
    for ranking in rankings:
        reasons = {layer.name: ranking.inapplicable_reason(layer) for layer in layers}
        refused = {name: reason for name, reason in reasons.items() if reason is not None}
        statements = [
            f'layer "{name}" cannot be ranked by {ranking.name}: {reason}'
            for name, reason in refused.items()
        ]
        if len(refused) == len(layers):
            raise ValueError("; ".join(statements))
        for statement in statements:
            rank_zero_info(statement)
