"""Theoretical receptive fields: which pixels could change a unit, however the network branches.

They are propagated through the operations of one real forward, so that residual connections,
parallel branches, functional layers and channels-last stretches come out right whatever the code
looks like. Where an operation is not understood, what follows it is unknown rather than guessed.

Source: Araujo, Norris, Sim (2019), "Computing receptive fields of convolutional neural networks",
Distill, https://doi.org/10.23915/distill.00021.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from neurovis.calling import input_dtype
from neurovis.first_forward import IncompatibleInputError, reason
from neurovis.layers import class_name, first_names, named_layers, root
from neurovis.outputs import first_tensor
from neurovis.receptive_fields.dimensions import AXES, axes_of, is_known
from neurovis.receptive_fields.extents import Extent
from neurovis.receptive_fields.layout import Layout
from neurovis.receptive_fields.trace import Trace
from neurovis.receptive_fields.tracking import Tracker
from neurovis.recording import can_be_hooked, hooked, undisturbed

__all__ = ["Box", "Field", "Layout", "clipped_box", "known_fields", "receptive_fields"]

#: Top, left, bottom, right in pixels of the input; bottom and right are exclusive.
Box = tuple[int, int, int, int]


def clipped_box(box: Box, size: tuple[int, int], margin: float = 0) -> Box:
    """Return the part of a box that lies in an image.

    Args:
        box: Top, left, bottom and right, in pixels.
        size: Height and width of the image.
        margin: Part of its own sides by which the box is made larger on each side first.

    Example:
        >>> clipped_box((-2, 4, 6, 8), (10, 10)), clipped_box((2, 4, 6, 8), (10, 10), margin=0.5)
        ((0, 4, 6, 8), (0, 2, 8, 10))
    """
    top, left, bottom, right = box
    down, across = int((bottom - top) * margin), int((right - left) * margin)
    height, width = size
    return (
        max(top - down, 0),
        max(left - across, 0),
        min(bottom + down, height),
        min(right + across, width),
    )


@dataclass(frozen=True)
class Field:
    """Receptive field of a layer's units in the image.

    Args:
        size: Height and width in pixels of the largest receptive field among the layer's units.
            Padding counts, so that it may exceed the image, except where a unit sees the image as
            a whole (a linear layer after flattening, anything after global pooling or a
            squeeze-and-excitation gate): then it is the image's size. None where it is unknown,
            or where the layer is called several times with different fields.
        stride: Pixels from a unit to its neighbor below and to its right; None for layers without
            a map, and where it is unknown or not one whole number.
        output_shape: Shape of the first tensor of the layer's output; None if it returns none, or
            if shapes differ from call to call.
        kernel_dim: Dimension of the output that counts kernels, where the image's axes leave only
            one; None where that is unclear.
        calls: How often the layer is called in one forward.
        units: Number of units down and across the map; 1 along an axis of the image that the
            output does not keep. None where it is unknown, or where calls differ in their fields.
        extents: Which pixels those units see, vertically and horizontally; None as for ``units``.
        trace: The dimensions of the output, as they were followed; None where they were not, or
            where calls differ in them.
    """

    size: tuple[int, int] | None
    stride: tuple[int, int] | None
    output_shape: tuple[int, ...] | None
    kernel_dim: int | None
    calls: int = 1
    units: tuple[int, int] | None = None
    extents: tuple[Extent, Extent] | None = None
    trace: Trace | None = None

    @property
    def center(self) -> tuple[int, int] | None:
        """Row and column of the unit in the middle, at ``size // 2`` as the center readout is."""
        return None if self.units is None else (self.units[0] // 2, self.units[1] // 2)

    def pixels(self, unit: tuple[int, int]) -> Box | None:
        """The box of pixels that a unit's theoretical receptive field spans.

        Pixels outside of the box cannot change the unit. Those inside may do so, except for gaps
        (dilation) and, near the border, those that only count as seen because padding does.

        Args:
            unit: Row and column in the layer's map; (0, 0) for layers without one.

        Returns:
            ``(top, left, bottom, right)`` in pixels of the input; bottom and right are exclusive,
            so that ``image[..., max(top, 0) : bottom, max(left, 0) : right]`` is what the unit
            sees. It may lie beyond the image, where padding is, unless every unit sees the same.
            None where the field is unknown, or the unit sees no pixel.

        Raises:
            ValueError: If there is no such unit.

        Example:
            >>> model = nn.Sequential(nn.Conv2d(3, 8, kernel_size=5, stride=2, padding=2))
            >>> field = receptive_fields(model, torch.rand(1, 3, 9, 9))["0"]
            >>> field.pixels((0, 0)), field.pixels((2, 1))
            ((-2, -2, 3, 3), (2, 0, 7, 5))
        """
        if self.units is None or self.extents is None:
            return None
        if len(unit) != 2 or not all(0 <= u < n for u, n in zip(unit, self.units, strict=True)):
            raise ValueError(
                f"unit must be a row and a column of a map of {self.units[0]}x{self.units[1]} "
                f"units; got {unit}"
            )
        spans = [_span(extent, index) for extent, index in zip(self.extents, unit, strict=True)]
        if None in spans:
            return None
        (top, bottom), (left, right) = (span for span in spans if span is not None)
        return top, left, bottom, right


def receptive_fields(
    model: nn.Module, example: Tensor, layers: Iterable[str] | None = None
) -> dict[str, Field]:
    """Compute the theoretical receptive field of every layer that a forward reaches.

    The model runs once, in evaluation mode, and is left exactly as it was found. What it computes
    outside of torch, such as in NumPy, is treated as a constant, and so are numbers taken out
    of tensors with ``.item()``.

    Args:
        model: The network, on any device.
        example: Images ``(B, C, H, W)`` in the network's space, on any device. Their values do
            not matter unless the model's path depends on them.
        layers: Dotted names of those that are asked for: a forward may fail behind them, since a
            network's head may want another size than its convolutions. None for all.

    Returns:
        The layers by their first dotted names, in the order of their (last) outputs; behind them
        the same by any other names, and the calls of those that are called several times
        (``"conv@1"``, ``"conv@2"``).

    Raises:
        IncompatibleInputError: If the model cannot run on the example, or not as far as the layers
            that are asked for; it is a ValueError.
    """
    modules = {name: module for name, module in first_names(model).items() if can_be_hooked(module)}
    fields: dict[str, Field] = {}
    calls: dict[str, list[Field]] = {}
    device = next(model.parameters(), example).device
    with undisturbed(model), torch.no_grad():
        images = example.detach().to(device, input_dtype(model, example), copy=True)
        tracker = Tracker(images)

        def read(name: str, _: nn.Module, __: tuple[Any, ...], output: Any) -> None:
            field = _field(name, output, tracker)
            before = fields.pop(name, None)
            fields[name] = field if before is None else _called_again(before, field)
            calls.setdefault(name, []).append(field)

        with hooked(modules, read):
            try:
                with tracker:
                    model(images)
            except (Exception, SystemExit) as error:
                reached = _by_every_name(model, fields, calls)
                if layers is None or not set(layers) <= set(reached):
                    raise IncompatibleInputError(_refusal(model, example, error)) from error
    return _by_every_name(model, fields, calls)


def known_fields(model: nn.Module, example: Tensor, layers: Iterable[str]) -> dict[str, Field]:
    """Receptive fields of some layers, as :func:`receptive_fields` finds them.

    Args:
        model: The network.
        example: Images ``(B, C, H, W)`` in the network's space.
        layers: Dotted names.

    Returns:
        The fields by name; none if the network does not run so far while it is traced.
    """
    try:
        return receptive_fields(model, example, layers)
    except IncompatibleInputError:
        return {}


def _by_every_name(
    model: nn.Module, fields: Mapping[str, Field], calls: Mapping[str, list[Field]]
) -> dict[str, Field]:
    """Fields by first names, then by other names, and of single calls where there are several."""
    found = dict(fields)
    first = {module: name for name, module in first_names(model).items()}
    for name, module in named_layers(model).items():
        known = first[module]
        if known in fields:
            found.setdefault(name, fields[known])
            if len(calls[known]) > 1:
                found |= {f"{name}@{number}": one for number, one in enumerate(calls[known], 1)}
    return found


def _field(name: str, output: Any, tracker: Tracker) -> Field:
    """The field of a layer that just returned ``output``, of which the first tensor counts."""
    try:
        output = first_tensor(name, output)
    except ValueError:
        return Field(None, None, None, None)
    shape = tuple(output.shape)
    trace = tracker.trace(output)
    if trace is None:
        return Field(None, None, shape, None)
    vertical, horizontal = trace.extents
    is_map = all(trace.units(axis) is not None for axis in AXES)
    stride = None
    if is_map and vertical.stride is not None and horizontal.stride is not None:
        stride = (vertical.stride, horizontal.stride)
    return Field(
        size=(vertical.size, horizontal.size),
        stride=stride,
        output_shape=shape,
        kernel_dim=_kernel_dim(trace),
        units=(trace.units(AXES[0]) or 1, trace.units(AXES[1]) or 1),
        extents=trace.extents,
        trace=trace,
    )


def _span(extent: Extent, unit: int) -> tuple[int, int] | None:
    """First pixel that a unit along one axis sees, and the one after the last."""
    low, high = extent.unit(unit)
    if low > high:
        return None
    if extent.is_fixed or math.isinf(low):
        low, high = max(low, 0), min(high, extent.pixels - 1)
    return int(low), int(high) + 1


def _kernel_dim(trace: Trace) -> int | None:
    """The only dimension behind the batch that counts something and carries no image axis."""
    free = [index for index, dim in enumerate(trace.dims) if index > 0 and not is_known(dim)]
    # A dimension of size 1 counts kernels only if there is no other: a single kernel.
    candidates = [index for index in free if trace.shape[index] > 1] or free
    if len(candidates) != 1:
        return None
    (candidate,) = candidates
    # Behind a dimension of size 1, before rows and columns, may be the frames of a single kernel.
    may_be_frames = candidate > free[0] and any(map(axes_of, trace.dims[candidate + 1 :]))
    return None if may_be_frames else candidate


def _called_again(before: Field, field: Field) -> Field:
    """Merge the fields of a layer's calls so far; what differs between calls is None."""
    calls = before.calls + 1
    same_shape = before.output_shape == field.output_shape
    same_place = (before.units, before.extents) == (field.units, field.extents)
    return Field(
        size=field.size if before.size == field.size else None,
        stride=field.stride if before.stride == field.stride else None,
        output_shape=field.output_shape if same_shape else None,
        kernel_dim=field.kernel_dim if before.kernel_dim == field.kernel_dim else None,
        calls=calls,
        units=field.units if same_place else None,
        extents=field.extents if same_place else None,
        trace=field.trace if before.trace == field.trace else None,
    )


def _required_arguments(model: nn.Module) -> list[str]:
    """Names of the arguments that a network's forward cannot do without."""
    return [
        name
        for name, parameter in inspect.signature(model.forward).parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]


def _refusal(model: nn.Module, example: Tensor, error: BaseException) -> str:
    """Say in one line what the model was given and what it seems to want."""
    name_of_model, takes_one = class_name(model), root(model) is model
    wanted = _required_arguments(model) if takes_one else []
    if len(wanted) > 1:
        return (
            f"{name_of_model}.forward takes {', '.join(wanted)}: say what each is given, by "
            'modalities and passed_as="arguments" of an InputSpec, or --input.modalities and '
            "--input.passed_as arguments"
        )
    channels, height, width = example.shape[-3:]
    given = f"images of {channels} channels and {height}x{width} pixels"
    for name, module in model.named_modules():
        if takes_one and isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            if module.in_channels != channels:
                return (
                    f"{name_of_model} cannot run on {given}: its first convolution "
                    f'"{name}" takes {module.in_channels} channels. Say what they are: '
                    f'InputSpec(Modality("input", {module.in_channels})), or --input.modalities '
                    f"'[{{name: input, channels: {module.in_channels}}}]'"
                )
            break
    why = reason(error)
    if "Guard failed" in why:  # Of torch.export.
        why += "; it was exported for other images: export it with dynamic_shapes for the batch"
    return f"{name_of_model} cannot run on {given}: {why}"
