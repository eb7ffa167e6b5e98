"""Methods that let a gradient pass rectifiers by another rule, be they modules or functions.

They are ours because hooks on ``nn.ReLU``, as captum's are, miss ``F.relu`` and then give the plain
gradient under another name.
"""

from __future__ import annotations

from torch import Tensor

from neurovis.rectifiers import GradientRule, RectifierGradients
from neurovis.saliency.gradients import gradient
from neurovis.saliency.target import Question


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
    with RectifierGradients(rule, only_at_zero=True) as rectifiers:
        gradients = gradient(question)
    if rectifiers.met == 0:
        raise ValueError(
            f'no rectifier (such as ReLU) lies between the images and layer "'
            f'{question.value.target.label}", so that {method} would be the plain gradient under '
            'another name; use "gradient", "smoothgrad" or "integrated_gradients"'
        )
    return gradients
