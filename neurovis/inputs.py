"""Input of a network: named modalities, their size, and conversion to the network's own values.

Everything in NeuroVis that a person looks at is an image in [0, 1], whatever the network takes:
ImageNet-normalized RGB, depth in meters, infrared. :class:`InputSpec` is the one place that knows
how the two are related.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from neurovis.modality import Modality
from neurovis.transfer import sent

#: Channel statistics of ImageNet's training pictures in [0, 1], as torchvision's models expect.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

#: How pictures of other sizes are resized.
Interpolation = Literal["bilinear", "bicubic", "nearest"]


#: Ways in which a network is given what it takes; see :class:`InputSpec`.
PassedAs = Literal["tensor", "arguments", "keywords", "dict", "list", "video", "frames"]


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

    @property
    def channel_means(self) -> tuple[float, ...]:
        """Mean of each channel over natural images, in [0, 1], as far as preprocessing tells.

        It is what is subtracted from a modality before the network, or 0.5 if nothing is.

        Example:
            >>> InputSpec.rgbd(64).channel_means
            (0.485, 0.456, 0.406, 0.5)
        """
        means = []
        for modality in self.modalities:
            low, high = modality.range
            is_known = any(modality.mean)
            for mean in modality.mean:
                part = (mean - low) / (high - low) if is_known else 0.5
                means.append(min(max(part, 0.0), 1.0))
        return tuple(means)

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
