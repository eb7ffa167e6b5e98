"""Options that several commands share, and how they become a network, its input and a Trainer."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from neurovis.cli.commands import Flag
from neurovis.cli.first_process import is_first_process
from neurovis.cli.option_errors import near
from neurovis.cli.printing import print_notes
from neurovis.inputs import InputSpec, Interpolation, PassedAs
from neurovis.kernel_layouts import set_layout
from neurovis.kernels import KernelSelection
from neurovis.modality import Modality
from neurovis.models import load_model, suggested_input_spec
from neurovis.models.libraries import RANDOM, RandomWeightsWarning, is_library_name

#: The range of a depth that has no unit.
_RELATIVE = (0.0, 1.0)


@dataclass(frozen=True)
class InputOptions:
    """Input of the network; each option replaces a part of the model's own input.

    Args:
        size: Height and width in pixels; one number means a square. Pictures are stretched to it.
        modalities: rgb (ImageNet statistics), rgbd (the same with depth in [0, 1]), or a list of
            name, channels, range, mean, std and argument, in the order of the network's channels or
            arguments, such as '[{name: rgb, channels: 3}]' for color in [0, 1] as it is.
        depth_range: Depths in the unit of your files, such as meters, that stand for 0 and 1. Only
            16-bit and float files have a unit; 0 to 255 of 8-bit files is the whole range. A
            network of relative depth, such as demo and rgbd, is shown them as 0 and 1; one whose
            depth has another range than [0, 1] is shown its unit as before.
        interpolation: How pictures are resized; bilinear unless the model's library says otherwise.
        passed_as: How the network takes the modalities: one tensor; arguments, as in forward(rgb,
            depth); keywords, as in forward(rgb=…, depth=…), by a modality's argument or name; a
            dict or a list of tensors; a video (B, C, frames, H, W), or frames (B, frames, C, H, W).
        frames: Number of frames of a video, each of the modalities.
    """

    size: int | tuple[int, int] | None = None
    modalities: list[Modality] | str | None = None
    depth_range: tuple[float, float] | None = None
    interpolation: Interpolation | None = None
    passed_as: PassedAs | None = None
    frames: int = 1

    def resolve(self, default: InputSpec) -> InputSpec:
        """The input, with ``default`` for what is not said.

        Raises:
            ValueError: If the modalities' name is neither rgb nor rgbd, or there is a range of
                depth and no depth.
        """
        spec = default
        if isinstance(self.modalities, str):
            known = {"rgb": InputSpec.rgb(default.size), "rgbd": InputSpec.rgbd(default.size)}
            if self.modalities not in known:
                # Anything but a list of modalities is read as a name.
                raise ValueError(
                    'input.modalities must be "rgb", "rgbd" or a list of {name: …, channels: …}, '
                    "each with a range, mean and std if need be; got "
                    f"{self.modalities!r}{near(self.modalities, [*known])}"
                )
            spec = known[self.modalities]
        elif self.modalities is not None:
            spec = replace(default, modalities=tuple(self.modalities))
        if self.depth_range is not None:
            spec = _with_depth_range(spec, self.depth_range)
        spec = spec if self.size is None else spec.resized(self.size)
        if self.frames != 1:
            way = self.passed_as or "video"
            spec = InputSpec.video(self.frames, spec.size, spec.modalities, way)
        elif self.passed_as:
            spec = replace(spec, passed_as=self.passed_as)
        return replace(spec, interpolation=self.interpolation or default.interpolation)


@dataclass(frozen=True)
class LayoutOptions:
    """Dimensions of a layer's output.

    Args:
        kernel_dim: Dimension of its output that counts kernels; the last is -1.
        token_grid: Rows and columns of the image's tokens.
        prefix_tokens: Number of tokens before them, such as a class token.
    """

    kernel_dim: int
    token_grid: tuple[int, int] | None = None
    prefix_tokens: int = 0


@dataclass(frozen=True)
class NetworkOptions:
    """Network and its weights.

    Args:
        model: A library's name of a network: timm:NAME, hf:NAME (or a folder), torchvision:NAME,
            open_clip:NAME; the import path of a class or function that makes the network, such as
            torchvision.models.resnet18 or mypackage.Net; or demo, the network that is shipped.
        weights: Name of the library's weights such as DEFAULT, or a file: a state dict, a Lightning
            checkpoint or safetensors. Without them a library's network has its pretrained ones
            (random: none), and any other is as it is made: random, as a rule.
        model_args: Arguments for the class or function, as a mapping.
        trust: Also read files and networks that run code when they are read, and call functions
            that a config names. Only for files of your own.
        layouts: Where layers keep kernels and positions, if nothing tells, such as '{blocks.3:
            {kernel_dim: -1, token_grid: [14, 14], prefix_tokens: 1}}'.
        input: Input of the network; each option replaces a part of the model's own input.
    """

    model: str = "demo"
    weights: str | None = None
    model_args: dict[str, Any] = field(default_factory=dict)
    trust: Flag = False
    layouts: dict[str, LayoutOptions] = field(default_factory=dict)
    input: InputOptions = field(default_factory=InputOptions)

    @property
    def is_as_made(self) -> bool:
        """True if no weights were chosen: such a network is random, as a rule."""
        if is_library_name(self.model):
            return self.weights == RANDOM
        named = {"weights", "weights_path", "pretrained", "checkpoint"} & set(self.model_args)
        return self.weights is None and self.model != "demo" and not named

    def load(self, *, is_explained: bool = True) -> tuple[nn.Module, InputSpec]:
        """Return the network in eval mode with its weights, and what it is shown.

        Args:
            is_explained: Whether notes are printed on what was not said and makes a difference.
        """
        if is_library_name(self.model):
            network = self._made()
            spec = self.input.resolve(suggested_input_spec(network) or InputSpec.rgb(224))
        else:
            known = suggested_input_spec(self.model, self.weights)
            spec = self.input.resolve(known or InputSpec.rgb(224))
            network = self._made()
        for layer, layout in self.layouts.items():
            set_layout(network, str(layer), **vars(layout))
        if is_first_process():
            if is_library_name(self.model):
                print_notes([_library_note(self.model, network, spec)])
            elif is_explained:
                print_notes(list(self._assumptions(spec)))
        return network, spec

    def _made(self) -> nn.Module:
        with warnings.catch_warnings():
            # A note says where the weights are from.
            warnings.simplefilter("ignore", RandomWeightsWarning)
            return load_model(
                self.model, self.weights, model_args=self.model_args, trust=self.trust
            )

    def _assumptions(self, spec: InputSpec) -> Iterator[str]:
        """Yield the assumptions made; if one is wrong, so are all pictures and numbers."""
        if self.is_as_made:
            yield (
                f"no --weights: the network has those that {self.model} makes it with, which are "
                "random unless it loads some"
            )
        height, width = spec.size
        is_file = self.weights is None or Path(self.weights).is_file()
        if is_file and self.input.modalities is None and spec == InputSpec.rgb(spec.size):
            yield (
                f"the network is shown RGB of {height} x {width} pixels, normalized with "
                "ImageNet's mean and std; if it was trained otherwise, give --input.size and "
                "--input.modalities"
            )


def _library_note(model: str, network: nn.Module, spec: InputSpec) -> str:
    """Say what a library made and how it is shown pictures."""
    height, width = spec.size
    known = suggested_input_spec(network)
    parts = []
    for modality in spec.modalities:
        mean, std = (
            ", ".join(f"{value:.3g}" for value in dict.fromkeys(values))
            for values in (modality.mean, modality.std)
        )
        parts.append(f"{modality.name} with mean {mean}, std {std}")
    options = "" if spec == known else ", changed by --input"
    return (
        f"{model}: {network.origin}: {height} x {width} pixels, {spec.interpolation}, "
        f"{'; '.join(parts)}{options}"
    )


def _with_depth_range(spec: InputSpec, depth_range: tuple[float, float]) -> InputSpec:
    """The same input with another range of the modality called depth."""
    names = [modality.name for modality in spec.modalities]
    if "depth" not in names:
        raise ValueError(
            f"input.depth_range needs a modality called depth; the input has {', '.join(names)}. "
            "See input.modalities"
        )
    depth = spec.modalities[names.index("depth")]
    changed = replace(depth, range=depth_range)
    if depth.range == _RELATIVE:
        # Mean and std are in the modality's unit: what the network is shown stays in [0, 1].
        low, high = changed.range
        changed = replace(
            changed,
            mean=tuple(low + mean * (high - low) for mean in depth.mean),
            std=tuple(std * (high - low) for std in depth.std),
        )
    modalities = tuple(changed if part is depth else part for part in spec.modalities)
    return replace(spec, modalities=modalities)


def layer_names(given: object) -> list[str]:
    """Layers as the command line or a config has them; names such as 0 are numbers in YAML."""
    parts = given if isinstance(given, list) else [given]
    for part in parts:
        if isinstance(part, bool) or not isinstance(part, (str, int)):
            raise ValueError(f"layers are names or types of modules; got {part!r}")
    return [str(part) for part in parts]


def is_top(selection: KernelSelection) -> bool:
    """True if a selection asks for the first kernels of a ranking."""
    return isinstance(selection, str) and selection.strip().startswith("top")


def picture_paths(images: object, spec: InputSpec) -> list[str] | dict[str, str]:
    """Paths as the command line or a config has them."""
    if isinstance(images, Mapping):
        return {str(name): str(path) for name, path in images.items()}
    listed = [
        path for path in (images if isinstance(images, list) else [images]) if isinstance(path, str)
    ]
    if isinstance(images, list) and len(listed) < len(images):
        raise ValueError(f"images must be paths, or a path for each modality; got {images!r}")
    names = {modality.name for modality in spec.modalities}
    named = [path.partition("=") for path in listed]
    if all(name in names and path for name, _, path in named):
        return {name: path for name, _, path in named}
    return listed
