"""Methods made of the network's own gradients: plain, times the input, smoothed, integrated."""

from __future__ import annotations

import torch
from torch import Tensor

from neurovis.saliency.question import Question

#: Images in one forward of methods with many forwards, unless there are more to explain.
BATCH_SIZE = 32


def gradient(question: Question) -> Tensor:
    """Return the value's gradient by each input, ``(B, C, H, W)`` (Simonyan et al. 2014)."""
    return gradient_at(question, question.images)


def gradient_at(question: Question, images: Tensor) -> Tensor:
    """The gradient at images that stand for the question's own, ``(B, C, H, W)``."""
    from captum.attr import Saliency

    gradients: Tensor = Saliency(question.value).attribute(
        images.clone().requires_grad_(),
        abs=False,
        additional_forward_args=question.forward_arguments,
    )
    return gradients.detach()


def input_x_gradient(question: Question) -> Tensor:
    """The gradient times the input, ``(B, C, H, W)`` (Shrikumar et al. 2016)."""
    from captum.attr import InputXGradient

    products: Tensor = InputXGradient(question.value).attribute(
        question.images.clone().requires_grad_(),
        additional_forward_args=question.forward_arguments,
    )
    return products.detach()


def smoothgrad(question: Question) -> Tensor:
    """Mean gradient over noisy copies, ``(B, C, H, W)`` (Smilkov et al. 2017).

    All images get the same pattern of noise, each in proportion to its own range of values, so
    that a map does not depend on what shares its batch, nor on the device.
    """
    images, settings = question.images, question.settings
    deviation = settings.noise * _value_range(question)
    generator = torch.Generator().manual_seed(settings.seed)
    total = torch.zeros_like(images)
    for _ in range(settings.samples):
        noise = torch.randn(images.shape[1:], generator=generator).to(images)
        total += gradient_at(question, images + deviation * noise)
    return total / settings.samples


def _value_range(question: Question) -> Tensor:
    """Largest minus smallest value of each image, of each modality: broadcasts to the images."""
    images, spec = question.images, question.settings.input_spec
    parts = [images] if spec is None else list(spec.split(images).values())
    ranges = [part.amax((1, 2, 3), True) - part.amin((1, 2, 3), True) for part in parts]
    return torch.cat(
        [
            of_part.expand(-1, part.shape[1], 1, 1)
            for of_part, part in zip(ranges, parts, strict=True)
        ],
        dim=1,
    )


def integrated_gradients(question: Question) -> Tensor:
    """Gradients summed on the way from a baseline, ``(B, C, H, W)`` (Sundararajan et al. 2017)."""
    from captum.attr import IntegratedGradients

    attributions: Tensor = IntegratedGradients(question.value).attribute(
        question.images,
        baseline_images(question),
        additional_forward_args=question.forward_arguments,
        n_steps=question.settings.steps,
        internal_batch_size=max(BATCH_SIZE, len(question.images)),
    )
    return attributions.detach()


def completeness_error(question: Question, attributions: Tensor) -> Tensor:
    """By how much attributions miss the value's change from the baseline, ``(B,)`` on the CPU.

    Relative to that change; NaN where the value does not change.
    """
    change = question.values(question.images) - question.values(baseline_images(question))
    change = change.cpu().double()
    error = (attributions.cpu().double().sum((1, 2, 3)) - change).abs() / change.abs()
    return torch.where(change == 0, torch.nan, error)


def baseline_images(question: Question) -> Tensor:
    """The baseline as images ``(B, C, H, W)``."""
    images, baseline = question.images, question.settings.baseline
    if not isinstance(baseline, Tensor):
        return torch.full_like(images, baseline)
    try:
        return baseline.detach().clone().to(images).expand_as(images).contiguous()
    except RuntimeError:
        raise ValueError(
            f"a baseline of shape {tuple(baseline.shape)} does not broadcast to the images, "
            f"{tuple(images.shape)}"
        ) from None
