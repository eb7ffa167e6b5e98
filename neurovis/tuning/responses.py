"""The responses of many layers' kernels, and of random kernels beside them, from one forward."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurovis.arithmetic import exact_float32
from neurovis.calling import network_inputs, one_input
from neurovis.inputs import InputSpec
from neurovis.layer_reader import LayerReader
from neurovis.layers import LayerSelection, resolve_layer, unwrap
from neurovis.readouts import READOUTS, center_unit
from neurovis.receptive_fields import Layout
from neurovis.recording import undisturbed
from neurovis.tuning.layer_facts import LayerFacts, find_layers
from neurovis.tuning.null import WITH_NULL, NullKernels, null_kernels
from neurovis.tuning.settings import RankingSettings
from neurovis.tuning.sources import RECTIFIERS
from neurovis.tuning.stimuli import Gratings

#: Number of gratings that show how far kernels are driven from their response to gray.
_TRIALS = 31


@dataclass(frozen=True, kw_only=True)
class RankedLayer(LayerFacts):
    """A layer whose kernels are ranked.

    Attributes:
        module: The layer itself.
        null: Random kernels to compare with, if its ``source`` allows them.
    """

    module: nn.Module
    null: NullKernels | None

    @property
    def grating_note(self) -> str:
        """Note on the way its responses to gratings are read."""
        way = "mean over phases above the blank's" if self.is_rectified else "F1 over phases"
        return f"response to a grating: {way}"

    @property
    def null_count(self) -> int:
        """Number of random kernels that are read beside its own."""
        return 0 if self.null is None else len(self.null.weights)

    @property
    def null_dtype(self) -> torch.dtype:
        """Type of the null kernels' weights, which is the network's; float32 if there are none."""
        return torch.float32 if self.null is None else self.null.weights.dtype

    @property
    def weights(self) -> Tensor | None:
        """The layer's own weights ``(K, ...)``, if it has any, on the CPU in float32."""
        if not isinstance(self.module, WITH_NULL):
            return None
        return self.module.weight.detach().float().cpu()

    @property
    def null_weights(self) -> Tensor | None:
        """Weights of the random kernels, if there are any, ``(N, ...)`` on the CPU in float32."""
        if self.null is None or not isinstance(self.module, WITH_NULL):
            return None
        return self.null.weights.float().cpu()


class LayerResponses:
    """Reads the kernels of several layers, and their random kernels, in the same forwards.

    Args:
        network: It is left as it was found.
        selection: Layers, as in :func:`~neurovis.layers.select_layers`.
        spec: What the network is shown.
        settings: Readout, null kernels and seed.
        facts: Those that earlier responses of the same layers have found, of the same network
            trained less. Little is run then, and the network must be
            :func:`~neurovis.recording.undisturbed` already.

    Attributes:
        layers: The layers by name.
        facts: Facts about them that hold while the network is trained, without the network.

    Raises:
        ValueError: If the network cannot take the images, or a layer is not usable.
    """

    def __init__(
        self,
        network: nn.Module,
        selection: LayerSelection,
        spec: InputSpec,
        settings: RankingSettings,
        facts: Mapping[str, LayerFacts] | None = None,
    ) -> None:
        self.network = one_input(network, spec)
        self.spec = spec
        self._readout = READOUTS[settings.readout]
        self._is_centered = settings.readout == "center"
        self._rectify = settings.rectify
        with nullcontext() if facts else undisturbed(self.network), torch.no_grad():
            self.facts = facts or find_layers(self.network, selection, spec, settings)
            self.layers = _with_null(self.network, self.facts, settings)
            self._null: dict[str, Tensor] = {}
            self._placements = self._place_null()
        axes = {
            layer.source: layer.layout
            for layer in self.layers.values()
            if layer.source and layer.null
        } | {layer.name: layer.layout for layer in self.layers.values()}
        self._reader = _reader_of_single_calls(self.network, axes)

    @exact_float32()
    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Responses to images ``(B, C, H, W)`` in [0, 1], of each layer ``(B, K + N)``.

        The layer's own ``K`` kernels come first, then ``N`` random ones (none where there is no
        null for the layer), in float32.
        """
        self._null = {}
        recorded = self._reader(network_inputs(self.network, self.spec, images), self._read)
        return {
            name: torch.cat([recorded[name], self._null[name]], dim=1)
            if name in self._null
            else recorded[name]
            for name in self.layers
        }

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return next((p.device for p in self.network.parameters()), torch.device("cpu"))

    def to(self, device: torch.device) -> None:
        """Move the network, and what is computed beside it, to a device."""
        self.network.to(device)
        for layer in self.layers.values():
            if layer.null is not None:
                layer.null.weights = layer.null.weights.to(device)
        self._placements = {
            name: (scale.to(device), shift.to(device))
            for name, (scale, shift) in self._placements.items()
        }

    def _place_null(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Scale and shift ``(N,)`` that give random kernels the levels of a layer's own.

        What a batch norm and a rectifier do to a kernel depends on what gray does to it, and on how
        far gratings drive it from there: the n-th random kernel takes both from the layer's n-th.
        """
        placed = {
            name: layer
            for name, layer in self.layers.items()
            if layer.null is not None and (layer.source != name or layer.is_rectified)
        }
        own: dict[str, Tensor] = {}
        null: dict[str, Tensor] = {}

        def read(name: str, inputs: tuple[Any, ...], maps: Tensor) -> Tensor:
            for user in placed.values():
                if user.before == name:
                    own[user.name] = center_unit(maps.detach()).to(torch.float32, copy=True)
                if user.source == name and user.null is not None:
                    null[user.name] = user.null.at(inputs[0].detach(), user.unit).float()
            return maps.new_empty(0)

        if not placed:
            return {}
        axes = {
            part: user.layout
            for user in placed.values()
            for part in (user.before, user.source or "")
        }
        images = network_inputs(self.network, self.spec, _trial_gratings(self.spec))
        _reader_of_single_calls(self.network, axes)(images, read)
        return {name: _placement(own[name], null[name]) for name in placed}

    def _read(self, name: str, inputs: tuple[Any, ...], activation: Tensor) -> Tensor:
        """A layer's responses ``(B, K)``; those of null kernels on its inputs are put aside."""
        self._read_null(name, inputs)
        layer = self.layers.get(name)
        if layer is None:
            return activation.new_empty(0)
        maps = activation.detach()
        if self._rectify and layer.is_rectified:
            maps = maps.relu()
        # A copy, since the layers that follow may work in place on what this is a part of.
        return self._readout(maps).to(torch.float32, copy=True)

    def _read_null(self, name: str, inputs: tuple[Any, ...]) -> None:
        users = [layer for layer in self.layers.values() if layer.source == name and layer.null]
        if not users:
            return
        null = users[0].null
        if null is None:
            return
        pixels = inputs[0].detach()
        maps = null.at(pixels, users[0].unit) if self._is_centered else null.maps(pixels)
        maps = maps.float()
        for layer in users:
            own = self._as_the_layer_s_own(layer, maps)
            self._null[layer.name] = own if self._is_centered else self._readout(own)

    def _as_the_layer_s_own(self, layer: RankedLayer, maps: Tensor) -> Tensor:
        """Turn random kernels' responses ``(B, N, ...)`` at the source into those of the layer."""
        if layer.name not in self._placements:
            return maps
        scale, shift = (
            one.view(-1, *[1] * (maps.ndim - 2)) for one in self._placements[layer.name]
        )
        placed = maps * scale + shift
        if not layer.is_rectified:
            return placed
        if isinstance(layer.module, nn.PReLU):  # It may have a slope for each kernel.
            return functional.leaky_relu(placed, layer.module.weight.mean().item())
        if isinstance(layer.module, RECTIFIERS):
            # Not by a call, which would run hooks; it may work in place on what is passed.
            activated: Tensor = layer.module.forward(placed.to(layer.null_dtype)).float()
            return activated
        return placed.relu()


def _reader_of_single_calls(network: nn.Module, layouts: Mapping[str, Layout]) -> LayerReader:
    """A reader of layers that are known to be called once, or whose names say which call."""
    return LayerReader(network, layouts, calls=dict.fromkeys(layouts, 1))


def _placement(own: Tensor, null: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and shift ``(N,)`` from trial responses ``(T, K)`` and ``(T, N)``, gray's first."""
    levels, spreads = own[0], own.std(0, correction=0)
    known = (levels.isfinite() & spreads.isfinite()).nonzero().flatten()
    if not len(known):
        return torch.full_like(null[0], torch.nan), torch.full_like(null[0], torch.nan)
    like = known[torch.arange(null.shape[1], device=null.device) % len(known)]
    null_spreads = null.std(0, correction=0)
    scale = torch.where(null_spreads > 0, spreads[like] / null_spreads, 1.0)
    return scale, levels[like] - null[0] * scale


def _trial_gratings(spec: InputSpec) -> Tensor:
    """Mid gray and some gratings, ``(T, C, H, W)`` in [0, 1], alike for all networks."""
    gratings = Gratings(spec, orientations=8, phases=4)
    lots = torch.randperm(gratings.blank_index, generator=torch.Generator().manual_seed(0))
    return gratings.images(torch.cat([torch.tensor([gratings.blank_index]), lots[:_TRIALS]]))


def _with_null(
    network: nn.Module, found: Mapping[str, LayerFacts], settings: RankingSettings
) -> dict[str, RankedLayer]:
    """The layers in a network, with random kernels like those that it has now."""
    layouts = {facts.source: facts.layout for facts in found.values() if facts.source}
    nulls = {
        source: null_kernels(
            source,
            unwrap(resolve_layer(network, source)),
            settings.null_kernels,
            settings.seed,
            layout,
        )
        for source, layout in layouts.items()
    }
    return {
        name: RankedLayer(
            **vars(facts),
            module=unwrap(resolve_layer(network, name)),
            null=None if facts.source is None else nulls[facts.source],
        )
        for name, facts in found.items()
    }
