"""Methods that change the gradient of rectifiers, both modules and functions.

They are ours because hooks on ``nn.ReLU``, as captum's are, miss ``F.relu`` and then give the plain
gradient under another name.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from neurovis.rectifiers import GradientRule, RectifierGradients
from neurovis.saliency.gradients import gradient
from neurovis.saliency.question import Question


def guided_backprop(question: Question) -> Tensor:
    """Only positive gradients pass active rectifiers (Springenberg et al. 2015)."""
    return _ruled(question, _guided, "guided_backprop")


def deconvnet(question: Question) -> Tensor:
    """Only positive gradients pass rectifiers, active or not (Zeiler and Fergus 2014)."""
    return _ruled(question, _deconvolved, "deconvnet")


def _guided(gradient: Tensor, _: Tensor, slope: Tensor) -> Tensor:
    return gradient.clamp(min=0) * slope


def _deconvolved(gradient: Tensor, _: Tensor, __: Tensor) -> Tensor:
    return gradient.clamp(min=0)


def _ruled(question: Question, rule: GradientRule, method: str) -> Tensor:
    _check_is_seen(question, method)
    with RectifierGradients(rule, only_at_zero=True) as rectifiers:
        gradients = gradient(question)
    layer = question.value.target.label
    if rectifiers.met == 0:
        raise ValueError(
            f'no rectifier (such as ReLU) lies between the images and layer "{layer}", so that '
            f'{method} would be the plain gradient under another name; use "gradient", '
            '"smoothgrad" or "integrated_gradients"'
        )
    if rectifiers.passed:
        warnings.warn(
            f'{method} of layer "{layer}" changes the gradient of rectifiers (ReLU) alone; '
            f"{', '.join(sorted(rectifiers.passed))} pass their plain gradient",
            stacklevel=2,
        )
    return gradients


def _check_is_seen(question: Question, method: str) -> None:
    """Refuse networks with parts in which rectifiers could not be found."""
    for name, module in question.value.model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise ValueError(
                f'{method} cannot see the rectifiers of "{name or type(module).__name__}", which '
                "is scripted, and would give the plain gradient under another name; use the "
                "original module, or another method"
            )
