"""The few images that a monitor looks at, in every look the same."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor, nn

from neurovis.callbacks.image_finder import ImageFinder
from neurovis.calling import input_dtype
from neurovis.inputs import InputSpec
from neurovis.modality import Modality

#: Black is at least this far below 0 in the network's space if a mean is subtracted.
_MARGIN = 0.1


class Probe:
    """A fixed batch of images: given, or copied from the first batch.

    Batches are taken as the Trainer hands them to its hooks. Iterating the user's dataloader
    would draw from the random generators, and training would end with other weights.

    Args:
        owner: Name of the monitor, for messages.
        images: ``(B, C, H, W)``, in [0, 1] if there is a spec, else in the network's space.
        spec: What the network is shown.
        finder: Where the images are in a batch.
        max_images: How many images of a batch to keep.

    Raises:
        ValueError: If the images have another shape or range, or there are to be none.
        TypeError: If they are no tensor.
    """

    def __init__(
        self,
        owner: str,
        images: Tensor | None,
        spec: InputSpec | None,
        finder: ImageFinder,
        max_images: int,
    ) -> None:
        if max_images < 1:
            raise ValueError(f"max_images must be at least 1; got {max_images}")
        self._owner = owner
        self._images = None if images is None else _in_network_space(images, spec)
        self._spec = spec
        self._finder = finder
        self._max_images = max_images
        self._said: set[str] = set()
        self._place: str | None = None
        #: True if no other batch may replace the images.
        self.is_fixed = self._is_given = images is not None

    @property
    def is_empty(self) -> bool:
        """True if there are no images yet."""
        return self._images is None

    def release(self) -> None:
        """Forget images that were taken from a batch; those that were given stay."""
        if not self._is_given:
            self._images, self.is_fixed = None, False

    @property
    def origin(self) -> str:
        """The source of the images, for messages."""
        return "the probe_images" if self._place is None else f"found in {self._place}"

    @property
    def remedy(self) -> str:
        """The remedy that brings other images, for messages."""
        others = "probe_images that it can take"
        return others if self._place is None else f"another input_key or get_images, or {others}"

    def take(self, batch: Any, stage: str, channels: int | None = None) -> None:
        """Keep a copy of a batch's first images, away from its device.

        Args:
            batch: As a hook of the Trainer receives it.
            stage: What the batch is for, such as ``"validation"``.
            channels: What the network takes, where it is known and there is no spec.

        Raises:
            ValueError: If there are no images in the batch.
        """
        images, place = self._finder(batch, channels, self._spec)
        self._place = f"{place} of the first {stage} batch"
        self._images = images[: self._max_images].detach().clone().cpu()
        self._say_once(
            f"{self._owner} looks at the first {len(self._images)} images of the first {stage} "
            f"batch: {place}, {tuple(images.shape)}. Others can be given as probe_images, or "
            "found by input_key or get_images."
        )
        self._compare_with_spec(self._images)

    def _compare_with_spec(self, images: Tensor) -> None:
        """Warn where the spec is not of such images: pictures would have wrong colors."""
        spec = self._spec
        if spec is None or images.shape[1] != spec.channels:
            return
        if images.shape[2:] != spec.size:
            self._say_once(
                f"{self._owner}: the images are {images.shape[2]} x {images.shape[3]} pixels, and "
                f"those of input_spec {spec.size[0]} x {spec.size[1]}."
            )
        black = spec.split(spec.to_network(torch.zeros(spec.shape)))
        for name, values in spec.split(images.float()).items():
            low, high = (limit.item() for limit in values.aminmax())
            if low >= 0 and high <= 1 and black[name].amin() < -_MARGIN:
                rank_zero_warn(
                    f"{self._owner}: the values of {name} are {low:.2g} to {high:.2g}, as of "
                    "images that are not normalized, while input_spec takes off a mean: pictures "
                    "have wrong colors if they are not. Give the network's own mean and std, "
                    "such as InputSpec.rgb(224, mean=(0, 0, 0), std=(1, 1, 1))"
                )

    def images_for(self, network: nn.Module, device: torch.device) -> Tensor:
        """A copy ``(B, C, H, W)`` in the network's space, on a device and in the network's dtype.

        Made outside of inference mode, it can be differentiated wherever the batch came from.
        """
        if self._images is None:
            raise ValueError(f"{self._owner} has no images yet; give it probe_images")
        return self._images.to(device, input_dtype(network, self._images), copy=True)

    def spec_like(self, images: Tensor) -> InputSpec:
        """The size and the range of values of probe images; the log says, once, what they are.

        Args:
            images: ``(B, C, H, W)`` in the network's space.

        Raises:
            ValueError: If they have no range.
        """
        values = images[images.isfinite()].float()
        low, high = (limit.item() for limit in values.aminmax()) if len(values) else (0.0, 0.0)
        if low == high:
            raise ValueError(
                f"the probe images have no two finite values ({low:.3g} to {high:.3g}), which is "
                "no range to make images in; give an input_spec"
            )
        channels, height, width = images.shape[1:]
        modality = Modality("rgb" if channels == 3 else "input", channels, range=(low, high))
        spec = InputSpec((modality,), size=(height, width))
        self._say_once(
            f"{self._owner} makes images like the probe images: {modality.name} of shape "
            f"{spec.shape}, values from {low:.3g} to {high:.3g}. Give an input_spec for others."
        )
        return spec

    def _say_once(self, statement: str) -> None:
        if statement not in self._said:
            self._said.add(statement)
            rank_zero_info(statement)


def _in_network_space(images: Tensor, spec: InputSpec | None) -> Tensor:
    """A copy of probe images in the network's space."""
    if not isinstance(images, Tensor):
        raise TypeError(f"probe_images must be a tensor; got {type(images).__name__}")
    if images.ndim != 4 or len(images) == 0 or not images.is_floating_point():
        raise ValueError(
            "probe_images must be floating-point (B, C, H, W) with B > 0; "
            f"got {tuple(images.shape)} {images.dtype}"
        )
    images = images.detach().clone().cpu()
    if spec is None:
        return images
    low, high = images.min().item(), images.max().item()
    if low < 0 or high > 1:
        raise ValueError(
            f"probe_images must be in [0, 1] where there is an input_spec; got {low:.3g} to "
            f"{high:.3g}"
        )
    return spec.to_network(images)
