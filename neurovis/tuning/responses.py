"""The responses of many layers' kernels, and of random kernels beside them, from one forward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from neurovis.inputs import InputSpec
from neurovis.layer_table import usable_layers
from neurovis.layers import LayerSelection, resolve_layer, unwrap
from neurovis.readouts import READOUTS
from neurovis.receptive_fields import Field, receptive_fields
from neurovis.recording import Recorder, hooked, undisturbed
from neurovis.tuning.null import WITH_NULL, NullKernels, null_kernels
from neurovis.tuning.settings import RankingSettings

#: Their outputs may be negative and are linear in what they are given.
_SIGNED = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.Bilinear),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    *(nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm),
    *(nn.GroupNorm, nn.LayerNorm),
)
#: They cut off what is negative, some of them softly.
_RECTIFIERS = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU),
    *(nn.SiLU, nn.Mish, nn.Softplus, nn.Hardswish, nn.Sigmoid, nn.Hardsigmoid),
)
_TRIAL_IMAGES = 16


@dataclass(frozen=True, kw_only=True)
class LayerFacts:
    """What is true of a layer for as long as its network is trained, without the network.

    Attributes:
        name: Dotted name.
        spec: What the network is shown.
        kernels: How many, ``K``.
        kernel_axis: Dimension of its output that counts them.
        unit: Place of the unit in the center of its map; ``()`` for vectors.
        is_rectified: Whether responses are cut off at 0, so that their mean over phases means
            something; if not, they are read by their modulation.
        is_first: Whether it is a convolution over the image's own channels, so that its weights
            are pictures.
        source: The convolution or linear layer whose kernels these are, if there is one.
        field: Its units' receptive field, as far as it is known.
        notes: What there is to know of its responses, for all rankings but those of weights.
    """

    name: str
    spec: InputSpec
    kernels: int
    kernel_axis: int
    unit: tuple[int, ...]
    is_rectified: bool
    is_first: bool
    source: str | None
    field: Field | None
    notes: tuple[str, ...] = ()


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
    def facts(self) -> LayerFacts:
        """What of it does not refer to the network."""
        return LayerFacts(**{one.name: getattr(self, one.name) for one in fields(LayerFacts)})

    @property
    def grating_note(self) -> str:
        """How its responses to gratings are read."""
        way = "mean over phases above the blank's" if self.is_rectified else "F1 over phases"
        return f"response to a grating: {way}"

    @property
    def null_count(self) -> int:
        """How many random kernels are read beside its own."""
        return 0 if self.null is None else len(self.null.weights)

    @property
    def weights(self) -> Tensor | None:
        """The layer's own weights ``(K, ...)``, if it has any, on the CPU in float32."""
        if not isinstance(self.module, WITH_NULL):
            return None
        return self.module.weight.detach().float().cpu()

    @property
    def null_weights(self) -> Tensor | None:
        """Those of the random kernels, ``(N, ...)``."""
        if self.null is None or not isinstance(self.module, WITH_NULL):
            return None
        return self.null.weights.float().cpu()


@dataclass(frozen=True)
class Learned:
    """What it took several forwards to learn of some layers; it refers to no network.

    Attributes:
        layers: By name.
        calls: How often each module that is read is called in one forward.
    """

    layers: Mapping[str, LayerFacts]
    calls: Mapping[str, int]


class LayerResponses:
    """Reads the kernels of several layers, and their random kernels, in the same forwards.

    Args:
        network: It is left as it was found.
        selection: Layers, as in :func:`~neurovis.layers.select_layers`.
        spec: What the network is shown.
        settings: Readout, null kernels and seed.
        learned: What earlier responses of the same layers have learned, from the same network
            trained less. Little is run then, and the network must be
            :func:`~neurovis.recording.undisturbed` already.

    Attributes:
        layers: The layers by name.
        learned: What was learned of them.

    Raises:
        ValueError: If the network cannot take the images, or a layer is not usable.
    """

    def __init__(
        self,
        network: nn.Module,
        selection: LayerSelection,
        spec: InputSpec,
        settings: RankingSettings,
        learned: Learned | None = None,
    ) -> None:
        self.network = unwrap(network)
        self.spec = spec
        self._readout = READOUTS[settings.readout]
        self._is_centered = settings.readout == "center"
        self._rectify = settings.rectify
        with nullcontext() if learned else undisturbed(self.network), torch.no_grad():
            found = learned.layers if learned else self._find_layers(selection, settings)
            self.layers = _with_null(self.network, found, settings)
            self._calls = learned.calls if learned else None
            self._null: dict[str, Tensor] = {}
            self._null_blank: dict[str, Tensor] = {}
            self._null_blank = {
                name: response[0, layer.kernels :]
                for (name, response), layer in zip(
                    self._blank_responses().items(), self.layers.values(), strict=True
                )
            }
        facts = {name: layer.facts for name, layer in self.layers.items()}
        self.learned = Learned(facts, self._calls or {})

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """Responses to images ``(B, C, H, W)`` in [0, 1], of each layer ``(B, K + N)``.

        The layer's own ``K`` kernels come first, then ``N`` random ones (none where there is no
        null for the layer), in float32.
        """
        self._null = {}
        sources = {layer.source for layer in self.layers.values() if layer.source and layer.null}
        names = [*self.layers, *sorted(sources - set(self.layers))]
        # One for each forward, since it refers to this object: a circle would keep the network.
        recorder = Recorder(self.network, names, self._calls, self._read)
        recorded = recorder.record(self.inputs(images))
        self._calls = recorder.calls
        return {
            name: torch.cat([recorded[name], self._null[name]], dim=1)
            if name in self._null
            else recorded[name]
            for name in self.layers
        }

    def inputs(self, images: Tensor) -> Tensor:
        """Images in [0, 1] in the network's space, type and device."""
        inputs = self.spec.to_network(images)
        parameter = next(self.network.parameters(), inputs)
        dtype = parameter.dtype if parameter.is_floating_point() else inputs.dtype
        return inputs.to(device=parameter.device, dtype=dtype)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next((p.device for p in self.network.parameters()), torch.device("cpu"))

    def to(self, device: torch.device) -> None:
        """Move the network, and what is computed beside it, to a device."""
        self.network.to(device)
        for layer in self.layers.values():
            if layer.null is not None:
                layer.null.weights = layer.null.weights.to(device)
        self._null_blank = {name: blank.to(device) for name, blank in self._null_blank.items()}

    def _blank_responses(self) -> dict[str, Tensor]:
        return self(torch.full((1, *self.spec.shape), 0.5))

    def _read(self, name: str, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        """A layer's responses ``(B, K)``; those of null kernels on its inputs are put aside."""
        self._read_null(name, inputs)
        layer = self.layers.get(name)
        if layer is None:
            return output.new_empty(0)
        maps = output.detach().movedim(layer.kernel_axis, 1)
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
            blank = self._null_blank.get(layer.name)
            own = maps
            if layer.is_rectified and blank is not None:
                own = (maps - blank.view(-1, *[1] * (maps.ndim - 2))).relu()
            self._null[layer.name] = own if self._is_centered else self._readout(own)

    def _find_layers(
        self, selection: LayerSelection, settings: RankingSettings
    ) -> dict[str, LayerFacts]:
        example = self.inputs(torch.full((1, *self.spec.shape), 0.5))
        axes = usable_layers(self.network, selection, example)
        shapes, lowest = self._try(list(axes))
        sources = _sources(self.network, list(axes), example)
        receptive = _fields(self.network, example)
        layers: dict[str, LayerFacts] = {}
        for name, axis in axes.items():
            sizes = list(shapes[name])
            if len(sizes) < 2:
                raise ValueError(
                    f'layer "{name}" has no kernels: its output has shape {tuple(sizes)} for a '
                    f"batch of {_TRIAL_IMAGES}"
                )
            kernels = sizes.pop(axis)
            module = unwrap(resolve_layer(self.network, name))
            layers[name] = LayerFacts(
                name=name,
                spec=self.spec,
                kernels=kernels,
                kernel_axis=axis,
                unit=tuple(size // 2 for size in sizes[1:]),
                is_rectified=settings.rectify or is_rectified(module, lowest[name]),
                is_first=_sees_pixels(module, receptive.get(name), self.spec),
                source=sources.get(name),
                field=receptive.get(name),
            )
            layers[name] = replace(layers[name], notes=_notes(layers[name], settings))
        return layers

    def _try(self, names: Sequence[str]) -> tuple[dict[str, torch.Size], dict[str, Tensor]]:
        """The shape of each layer's output for some noise images, and its lowest value."""
        shapes: dict[str, torch.Size] = {}

        def lowest(name: str, _: tuple[Any, ...], output: Tensor) -> Tensor:
            shapes[name] = output.shape
            return output.detach().amin()

        generator = torch.Generator().manual_seed(0)
        noise = torch.rand(_TRIAL_IMAGES, *self.spec.shape, generator=generator)
        try:
            return shapes, Recorder(self.network, names, reader=lowest).record(self.inputs(noise))
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, TypeError, IndexError) as error:
            # It says what the network seems to want, if the images are what is wrong.
            receptive_fields(self.network, self.inputs(noise[:1]))
            raise ValueError(
                f"{type(self.network).__name__} cannot take images of shape {self.spec.shape}: "
                f"{(str(error).splitlines() or [type(error).__name__])[0]}"
            ) from error


def _with_null(
    network: nn.Module, found: Mapping[str, LayerFacts], settings: RankingSettings
) -> dict[str, RankedLayer]:
    """The layers in a network, with random kernels like those that it has now."""
    nulls = {
        source: null_kernels(
            source, unwrap(resolve_layer(network, source)), settings.null_kernels, settings.seed
        )
        for source in {facts.source for facts in found.values()}
        if source is not None
    }
    return {
        name: RankedLayer(
            **vars(facts),
            module=unwrap(resolve_layer(network, name)),
            null=None if facts.source is None else nulls[facts.source],
        )
        for name, facts in found.items()
    }


def _notes(layer: LayerFacts, settings: RankingSettings) -> tuple[str, ...]:
    """What there is to know of a layer's responses."""
    notes = []
    if layer.unit:
        unit = "unit in the center" if settings.readout == "center" else settings.readout
        notes.append(f"read: {unit} of the map")
    if layer.source is None and settings.null_kernels:
        notes.append("no null: random kernels can be made for convolutions and linear layers only")
    field = layer.field
    if field is None or field.size is None:
        return (*notes, "its receptive field is unknown")
    height, width = field.size
    if settings.aperture is not None and settings.aperture < max(height, width):
        notes.append(
            f"gratings of {settings.aperture:g} px are smaller than its receptive field of "
            f"{height} x {width} px"
        )
    box = None if field.center is None else field.pixels(field.center)
    if box is not None and not _is_inside(box, layer.spec.size):
        rows, columns = layer.spec.size
        notes.append(
            f"the stimuli, {rows} x {columns} px, do not fill the receptive field of its central "
            f"unit, {height} x {width} px: zero padding counts"
        )
    return tuple(notes)


def _is_inside(box: tuple[int, int, int, int], size: tuple[int, int]) -> bool:
    top, left, bottom, right = box
    return top >= 0 and left >= 0 and bottom <= size[0] and right <= size[1]


def is_rectified(module: nn.Module, lowest: Tensor) -> bool:
    """Whether a layer's responses are cut off at 0.

    Its type tells, or, where that says nothing (pooling, whole blocks), that nothing among its
    responses to some noise is negative.

    Args:
        module: The layer.
        lowest: The lowest value, or all values, of its output for some noise images.
    """
    if isinstance(module, _SIGNED):
        return False
    return isinstance(module, _RECTIFIERS) or bool((lowest >= 0).all())


def _sees_pixels(module: nn.Module, field: Field | None, spec: InputSpec) -> bool:
    """Whether a convolution is over the image itself."""
    return (
        isinstance(module, nn.Conv2d)
        and module.in_channels == spec.channels
        and field is not None
        and field.size == _span(module)
    )


def _span(module: nn.Conv2d) -> tuple[int, int]:
    rows, columns = (
        (size - 1) * gap + 1 for size, gap in zip(module.kernel_size, module.dilation, strict=True)
    )
    return rows, columns


def _sources(network: nn.Module, names: Sequence[str], example: Tensor) -> dict[str, str]:
    """The convolution or linear layer whose kernels a layer's are, where that can be told.

    It is the layer itself, or, for a layer without parts of its own, the last one before it whose
    output has the same shape: batch norms and rectifiers stand behind it.
    """
    # A part that is compiled on its own goes by the name that it has without torch.compile.
    modules: Mapping[str, nn.Module] = {
        name.replace("._orig_mod", ""): module
        for name, module in network.named_modules()
        if name and not any(module.children())
    }
    called: list[tuple[str, tuple[int, ...] | None]] = []

    def note(name: str, _: nn.Module, __: tuple[Any, ...], output: Any) -> None:
        called.append((name, tuple(output.shape) if isinstance(output, Tensor) else None))

    own = {name: name for name in names if isinstance(modules.get(name), WITH_NULL)}
    if len(own) < len(names):
        # What comes after the layers need not work with images of this size.
        with suppress(Exception), hooked(modules, note):
            network(example)
    sources = dict(own)
    for name in names:
        places = [place for place, (known, _) in enumerate(called) if known == name]
        if name in own or len(places) != 1:
            continue
        shape = called[places[0]][1]
        for known, known_shape in reversed(called[: places[0]]):
            if known_shape == shape and isinstance(modules[known], WITH_NULL):
                sources[name] = known
                break
            if known_shape != shape:
                break
    return sources


def _fields(network: nn.Module, example: Tensor) -> dict[str, Field]:
    """Receptive fields by layer; none if the network's head does not take such images."""
    try:
        return receptive_fields(network, example)
    except ValueError:
        return {}
