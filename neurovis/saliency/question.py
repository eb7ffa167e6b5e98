"""Question to a saliency method, and the kernels that it is about."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neurovis.kernels import KernelSelection, select_kernels
from neurovis.receptive_fields import Layout
from neurovis.saliency.settings import SaliencySettings
from neurovis.saliency.target import STRONGEST, KernelChoice, LayerTarget, TargetValue


@dataclass(frozen=True)
class Question:
    """Question to a saliency method: which pixels of these images account for these values?

    Args:
        value: From images and kernels to what is explained.
        images: ``(B, C, H, W)`` in the network's space, for the methods to keep.
        kernels: ``(B,)``, one an image; None where the value is a function of the activation.
        settings: How.
        gradcam_layout: Layout of the ``gradcam_layer``, if it is known.
    """

    value: TargetValue
    images: Tensor
    kernels: Tensor | None
    settings: SaliencySettings
    gradcam_layout: Layout | None = None

    def values(self, images: Tensor) -> Tensor:
        """The values ``(B,)`` of images that stand for the question's own, without gradients."""
        with torch.no_grad():
            return self.value(images, self.kernels)

    @property
    def forward_arguments(self) -> tuple[Tensor, ...] | None:
        """Arguments of a forward besides images; captum repeats them as it repeats images."""
        return None if self.kernels is None else (self.kernels,)


def kernel_choices(
    model: nn.Module, target: LayerTarget, selection: KernelSelection, images: Tensor
) -> list[KernelChoice]:
    """Return the kernels to explain one by one: the strongest, or each of those selected.

    Args:
        model: The network, inside :func:`~neurovis.recording.undisturbed`.
        target: The layer.
        selection: ``"strongest"``, or as in :func:`~neurovis.kernels.select_kernels`.
        images: ``(B, C, H, W)``, of which one is tried to count the kernels.

    Raises:
        ValueError: If a kernel is out of range, or none is selected.
    """
    if selection == STRONGEST:
        return [STRONGEST]
    with torch.no_grad():
        count = TargetValue(model, target).activation(images[:1]).shape[1]
    return list(select_kernels(selection, count, target.label))


def choose_kernels(
    value: TargetValue, kernel: KernelChoice | list[int], images: Tensor
) -> tuple[Tensor | None, Tensor]:
    """Return the kernel that is explained for each image, and the explained values.

    Args:
        value: From images and kernels to what is explained.
        kernel: One for all images, ``"strongest"``, one for each image, or a function.
        images: ``(B, C, H, W)``.

    Returns:
        Kernels ``(B,)``, or None for a function, and values ``(B,)``.

    Raises:
        ValueError: If a kernel is out of range.
        TypeError: If it is of another type.
    """
    with torch.no_grad():
        activation = value.activation(images)
        kernels = None
        if not callable(kernel):
            kernels = _kernels(value, kernel, activation)
        return kernels, value.of_activation(activation, kernels)


def _kernels(value: TargetValue, kernel: int | str | list[int], activation: Tensor) -> Tensor:
    batch, count = activation.shape[:2]
    if kernel == STRONGEST:
        return value.readings(activation).argmax(1)
    if isinstance(kernel, str):
        raise ValueError(f'kernel must be a number, "strongest" or a function; got "{kernel}"')
    if not isinstance(kernel, list):
        kernel = select_kernels(kernel, count, value.target.label) * batch
    return torch.tensor(kernel, device=activation.device)
