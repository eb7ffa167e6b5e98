"""Occlusion: what becomes of the value when a patch of the image is covered.

Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks", ECCV 2014.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neurovis.saliency.gradients import BATCH_SIZE, baseline_images
from neurovis.saliency.question import Question


def occlusion(question: Question) -> Tensor:
    """By how much the value falls when a square is covered, ``(B, C, H, W)``.

    A pixel has the mean over the squares that cover it, in equal shares for the channels that are
    covered together, so that the sum over these is the change itself. With an ``input_spec`` the
    modalities are covered one at a time.
    """
    images, spec = question.images, question.settings.input_spec
    channels = [images.shape[1]]
    if spec is not None:
        channels = [modality.channels for modality in spec.modalities]
    patch, stride = _patch_and_stride(question)
    maps, start = [], 0
    for number in channels:
        maps.append(_occluded(question, slice(start, start + number), patch, stride) / number)
        start += number
    return torch.cat(maps, dim=1)


def _occluded(question: Question, channels: slice, patch: int, stride: int) -> Tensor:
    """The change when squares of some channels are covered; the others stay as they are."""
    from captum.attr import Occlusion

    images = question.images
    part = images[:, channels].contiguous()
    number = part.shape[1]

    # Captum takes several inputs at once, but then mixes devices where there is a GPU.
    def value(covered: Tensor, whole: Tensor, *kernels: Tensor) -> Tensor:
        whole = torch.cat([whole[:, : channels.start], covered, whole[:, channels.stop :]], dim=1)
        return question.value(whole, *kernels)

    changes: Tensor = Occlusion(value).attribute(
        part,
        sliding_window_shapes=(number, patch, patch),
        strides=(number, stride, stride),
        baselines=baseline_images(question)[:, channels],
        additional_forward_args=(images, *(question.forward_arguments or ())),
        perturbations_per_eval=max(1, BATCH_SIZE // len(images)),
    )
    return changes.detach()


def _patch_and_stride(question: Question) -> tuple[int, int]:
    settings, shorter = question.settings, min(question.images.shape[2:])
    patch = max(1, shorter // 8) if settings.patch is None else settings.patch
    if patch > shorter:
        raise ValueError(f"patch must be at most the image's shorter side, {shorter}; got {patch}")
    stride = max(1, patch // 2) if settings.stride is None else settings.stride
    if stride > patch:
        raise ValueError(
            f"stride must be at most patch, {patch}, so that no pixel is left out; got {stride}"
        )
    return patch, stride
