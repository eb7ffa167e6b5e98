"""Input of a network: named modalities, their size, and conversion to the network's own values.

Everything in NeuroVis that a person looks at is an image in [0, 1], whatever the network takes:
ImageNet-normalized RGB, depth in meters, infrared. :class:`InputSpec` is the one place that knows
how the two are related.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Literal, get_args

import torch
from torch import Tensor

from neurovis.transfer import sent

#: Channel statistics of ImageNet's training pictures in [0, 1], as torchvision's models expect.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

#: How pictures of other sizes are resized.
Interpolation = Literal["bilinear", "bicubic", "nearest"]


#: Ways in which a network is given what it takes; see :class:`InputSpec`.
PassedAs = Literal["tensor", "arguments", "keywords", "dict", "list", "video", "frames"]


@dataclass(frozen=True)
class Modality:
    """A named run of input channels that share a unit, such as ``rgb`` (3) or ``depth`` (1).

    An image value ``v`` in [0, 1] stands for ``low + v * (high - low)`` in the modality's own unit;
    the network receives ``(that - mean) / std``.

    Args:
        name: How figures and messages call it. RGB color is recognized by the name ``"rgb"``, or
            ``"rgb 3"`` for the third frame of a video.
        channels: Number of channels, at least 1.
        range: ``(low, high)`` in the modality's own unit that image values 0 and 1 stand for;
            ``(0.3, 2.0)`` for depth between 0.3 m and 2 m.
        mean: Subtracted by the network's preprocessing, in the modality's unit: one value, or one
            for each channel.
        std: Divided by after the mean is subtracted; positive.
        argument: Name of the argument, or key, that takes it where a network takes several; by
            default the modality's. Modalities with the same one are channels of one tensor.

    Raises:
        ValueError: If a value is out of its range or a sequence has the wrong length.
        TypeError: If a value is of the wrong type.
    """

    name: str
    channels: int
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    argument: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"a modality's name is a str, such as 'rgb'; got {self.name!r}")
        if not self.name:
            raise ValueError("a modality needs a name, such as 'rgb' or 'depth'; got ''")
        if isinstance(self.channels, bool) or not isinstance(self.channels, Integral):
            raise TypeError(
                f"modality {self.name!r} needs a whole number of channels; got {self.channels!r}"
            )
        if self.channels < 1:
            raise ValueError(f"modality {self.name!r} needs channels >= 1; got {self.channels}")
        if len(self.range) != 2 or not _increasing(*self.range):
            raise ValueError(
                f"modality {self.name!r} needs a range (low, high) with low < high; "
                f"got {self.range}"
            )
        object.__setattr__(self, "range", tuple(float(limit) for limit in self.range))
        object.__setattr__(self, "mean", self._per_channel("mean", self.mean))
        object.__setattr__(self, "std", self._per_channel("std", self.std))
        if min(self.std) <= 0:
            raise ValueError(f"modality {self.name!r} needs std > 0; got {self.std}")

    def _per_channel(self, argument: str, values: float | Sequence[float]) -> tuple[float, ...]:
        if isinstance(values, (int, float)):
            values = (values,)
        try:
            values = tuple(float(value) for value in values)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"modality {self.name!r} needs numbers for {argument}; got {values!r}"
            ) from error
        if len(values) == 1:
            values *= self.channels
        if len(values) != self.channels or not all(math.isfinite(value) for value in values):
            raise ValueError(
                f"modality {self.name!r} has {self.channels} channels and needs one finite "
                f"{argument} for each, or one for all; got {values}"
            )
        return values

    @property
    def is_rgb(self) -> bool:
        """True if the channels are red, green and blue, to be shown and decorrelated as color."""
        return self.name.partition(" ")[0] == "rgb" and self.channels == 3


@dataclass(frozen=True)
class InputSpec:
    """The modalities of a network's input, in channel order, and its size in pixels.

    All code works on images ``(B, C, H, W)`` that hold all modalities as channels. Networks that
    take them otherwise are given them so by :func:`~neurovis.calling.one_input`.

    Args:
        modalities: In the order in which the network's channels, or arguments, come. Names must
            differ.
        size: ``(height, width)`` in pixels; one number means a square.
        passed_as: How the network takes them: one ``"tensor"``; ``"arguments"``,
            ``forward(rgb, depth)``; ``"keywords"``, ``forward(rgb=…, depth=…)``; a ``"dict"`` by
            the same names, or a ``"list"``; a ``"video"`` ``(B, C, frames, H, W)``; or ``"frames"``
            ``(B, frames, C, H, W)``.
        frames: Number of frames of a video, whose modalities come frame by frame; :meth:`video`
            makes them.
        interpolation: How pictures of other sizes are resized: ``"bilinear"``, ``"bicubic"`` or
            ``"nearest"``.

    Raises:
        ValueError: If there is no modality, two share a name, a size is not positive, frames are
            not alike, or there is no such interpolation.
        TypeError: If a modality or the size is of the wrong type.

    Example:
        >>> spec = InputSpec.rgbd(64, depth_range=(0.3, 2.0))
        >>> spec.channels, spec.size
        (4, (64, 64))
        >>> images = torch.rand(2, 4, 64, 64)
        >>> torch.allclose(spec.from_network(spec.to_network(images)), images, atol=1e-6)
        True
        >>> {name: tuple(part.shape) for name, part in spec.split(images).items()}
        {'rgb': (2, 3, 64, 64), 'depth': (2, 1, 64, 64)}
    """

    modalities: tuple[Modality, ...]
    size: tuple[int, int] = field(default=(224, 224))
    passed_as: PassedAs = "tensor"
    frames: int = 1
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        modalities = (
            (self.modalities,) if isinstance(self.modalities, Modality) else self.modalities
        )
        object.__setattr__(self, "modalities", tuple(modalities))
        object.__setattr__(self, "size", _size(self.size))
        if not self.modalities:
            raise ValueError("an input needs at least one modality; got none")
        for modality in self.modalities:
            if not isinstance(modality, Modality):
                raise TypeError(
                    f"modalities are Modality objects, as in Modality('rgb', 3); got {modality!r}"
                )
        names = [modality.name for modality in self.modalities]
        if len(set(names)) < len(names):
            raise ValueError(f"modalities need different names; got {names}")
        for option, kinds in (("passed_as", PassedAs), ("interpolation", Interpolation)):
            if getattr(self, option) not in get_args(kinds):
                known = ", ".join(f'"{kind}"' for kind in get_args(kinds))
                raise ValueError(f"{option} must be one of {known}; got {getattr(self, option)!r}")
        self._check_frames()

    def _check_frames(self) -> None:
        if isinstance(self.frames, bool) or not isinstance(self.frames, int) or self.frames < 1:
            raise ValueError(f"frames must be a number of at least 1; got {self.frames!r}")
        if self.frames > 1 and self.frames_dim is None:
            raise ValueError(
                f'{self.frames} frames need passed_as "video" or "frames"; got "{self.passed_as}"'
            )
        channels = [modality.channels for modality in self.modalities]
        each = len(channels) // self.frames
        if channels != channels[:each] * self.frames:
            raise ValueError(
                f"{self.frames} frames need the same modalities each, as InputSpec.video makes "
                f"them; got {channels} channels"
            )

    @classmethod
    def rgb(
        cls,
        size: int | tuple[int, int] = 224,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> InputSpec:
        """Three color channels in [0, 1], normalized with ImageNet's statistics by default.

        Args:
            size: Height and width in pixels; one number means a square.
            mean: Mean of each channel, subtracted before the network.
            std: Standard deviation of each channel, divided by.

        Raises:
            ValueError: As for the class.
        """
        return cls((Modality("rgb", 3, mean=tuple(mean), std=tuple(std)),), _size(size))

    @classmethod
    def rgbd(
        cls,
        size: int | tuple[int, int] = 224,
        depth_range: tuple[float, float] = (0.0, 1.0),
        depth_mean: float = 0.0,
        depth_std: float = 1.0,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> InputSpec:
        """Color followed by one depth channel.

        Args:
            size: Height and width in pixels; one number means a square.
            depth_range: Depths, in their own unit such as meters, that image values 0 and 1 stand
                for.
            depth_mean: In that unit, subtracted before the network.
            depth_std: In that unit, divided by.
            mean: Mean of each color channel, in [0, 1].
            std: Standard deviation of each color channel.

        Raises:
            ValueError: As for the class.
        """
        color = Modality("rgb", 3, mean=tuple(mean), std=tuple(std))
        depth = Modality("depth", 1, range=depth_range, mean=(depth_mean,), std=(depth_std,))
        return cls((color, depth), _size(size))

    @classmethod
    def video(
        cls,
        frames: int,
        size: int | tuple[int, int] = 112,
        modalities: Sequence[Modality] | None = None,
        passed_as: PassedAs = "video",
    ) -> InputSpec:
        """A video of some frames, each of which is shown and made as an image.

        Args:
            frames: Number of frames.
            size: Height and width in pixels; one number means a square.
            modalities: Of one frame; by default RGB with ImageNet's statistics.
            passed_as: ``"video"`` or ``"frames"``, as for the class.

        Raises:
            ValueError: As for the class.

        Example:
            >>> spec = InputSpec.video(2, 8)
            >>> spec.shape, [modality.name for modality in spec.modalities]
            ((6, 8, 8), ['rgb 1', 'rgb 2'])
        """
        of_frame = cls.rgb(size).modalities if modalities is None else tuple(modalities)
        in_order = [
            replace(modality, name=f"{modality.name} {number}")
            for number in range(1, frames + 1)
            for modality in of_frame
        ]
        return cls(tuple(in_order), _size(size), passed_as, frames)

    @property
    def channels(self) -> int:
        """Number of input channels over all modalities."""
        return sum(modality.channels for modality in self.modalities)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(C, H, W)`` of one image."""
        return (self.channels, *self.size)

    def resized(self, size: int | tuple[int, int]) -> InputSpec:
        """The same modalities at another size."""
        return replace(self, size=_size(size))

    def to_network(self, images: Tensor) -> Tensor:
        """Map images in [0, 1] to what the network takes.

        Args:
            images: ``(..., C, H, W)`` of any height and width.

        Returns:
            A tensor of the same shape, dtype and device. :meth:`from_network` gives the images
            back to within float rounding (1e-7 of the range in float32).

        Raises:
            ValueError: If the number of channels is not the spec's.
        """
        scale, offset = self._affine(images)
        return images * scale + offset

    def from_network(self, values: Tensor) -> Tensor:
        """Map what the network takes back to images in [0, 1]; the inverse of :meth:`to_network`.

        Values outside the modalities' ranges come out below 0 or above 1; nothing is clipped.

        Args:
            values: ``(..., C, H, W)`` in the network's space.

        Returns:
            A tensor of the same shape, dtype and device.
        """
        scale, offset = self._affine(values)
        return (values - offset) / scale

    def split(self, images: Tensor) -> dict[str, Tensor]:
        """Views of ``(..., C, H, W)`` images by modality name, each ``(..., channels, H, W)``."""
        self._check_channels(images)
        parts = images.split([modality.channels for modality in self.modalities], dim=-3)
        return {modality.name: part for modality, part in zip(self.modalities, parts, strict=True)}

    @property
    def frames_dim(self) -> int | None:
        """The dimension of the network's input that counts frames; None for images."""
        return {"video": 2, "frames": 1}.get(self.passed_as)

    def example(self, batch: int = 1) -> Tensor:
        """Mid-gray images ``(batch, C, H, W)`` in the network's space, for a trial forward."""
        return self.to_network(torch.full((batch, *self.shape), 0.5))

    def _affine(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and offset ``(C, 1, 1)`` from [0, 1] to the network's space."""
        self._check_channels(images)
        if not images.is_floating_point():
            raise TypeError(f"images must be floating-point, in [0, 1]; got {images.dtype}")
        scale, offset = [], []
        for modality in self.modalities:
            low, high = modality.range
            for mean, std in zip(modality.mean, modality.std, strict=True):
                scale.append((high - low) / std)
                offset.append((low - mean) / std)
        affine = sent(torch.tensor([scale, offset], dtype=images.dtype), images.device)
        return affine[0, :, None, None], affine[1, :, None, None]

    def _check_channels(self, images: Tensor) -> None:
        if not isinstance(images, Tensor):
            raise TypeError(f"images must be a tensor; got {type(images).__name__}")
        if images.ndim < 3 or images.shape[-3] != self.channels:
            parts = ", ".join(f"{m.name} {m.channels}" for m in self.modalities)
            raise ValueError(
                f"expected images (..., {self.channels}, H, W) ({parts}); "
                f"got shape {tuple(images.shape)}"
            )


def check_input_spec(input_spec: object) -> None:
    """Raise TypeError for what is no :class:`InputSpec`."""
    if not isinstance(input_spec, InputSpec):
        raise TypeError(
            "input_spec must be of type InputSpec, as in InputSpec.rgb(224); got "
            f"{type(input_spec).__name__}"
        )


def check_values(image: Tensor, number: int) -> None:
    """Refuse an image of a data set that is not floating-point, or not in [0, 1].

    Args:
        image: A tensor of any shape; rounding may take it a thousandth beyond.
        number: Number of the image, for the message.

    Raises:
        ValueError: If it is not.
    """
    if not image.is_floating_point() or not -1e-3 <= image.min() <= image.max() <= 1 + 1e-3:
        raise ValueError(
            f"images must be floating-point numbers in [0, 1]; image {number} is {image.dtype} "
            f"from {image.min().item():.3g} to {image.max().item():.3g}"
        )


def _size(size: int | Sequence[int]) -> tuple[int, int]:
    sides = (size, size) if isinstance(size, int) else size
    if (
        not isinstance(sides, Sequence)
        or len(sides) != 2
        or not all(isinstance(side, int) and not isinstance(side, bool) for side in sides)
    ):
        raise TypeError(f"an input size is a number of pixels or (height, width); got {size!r}")
    height, width = sides
    if height < 1 or width < 1:
        raise ValueError(f"an input size must be at least 1 pixel; got {(height, width)}")
    return height, width


def _increasing(low: float, high: float) -> bool:
    return math.isfinite(low) and math.isfinite(high) and low < high
