"""Torchvision's own weights: their names, and the input that they were trained with."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from neurovis.inputs import InputSpec
from neurovis.layers import ArgumentError
from neurovis.models.libraries.library_network import common_interpolation

# ``DEFAULT``, ``IMAGENET1K_V1`` or ``SqueezeNet1_0_Weights.IMAGENET1K_V1``: not a file's name.
_WEIGHTS_NAME = re.compile(r"(\w+_Weights\.)?[A-Z][A-Z0-9_]*")


def is_weights_name(weights: str | Path) -> bool:
    """True if it is the name of torchvision weights rather than a file."""
    if isinstance(weights, Path) or Path(weights).exists():
        return False
    return _WEIGHTS_NAME.fullmatch(weights) is not None


def pretrained_weights(model: str, maker: Any, name: str) -> Any:
    """Return the member of a torchvision model's weights that is called ``name``.

    Raises:
        ValueError: If the model is not torchvision's, or has no such weights.
    """
    from torchvision.models import get_model_weights

    try:
        known = get_model_weights(maker)
    except (ValueError, RuntimeError, TypeError, AttributeError) as error:
        raise ValueError(
            f'"{name}" is a name of torchvision weights, and "{model}" is not a torchvision model; '
            "give a file"
        ) from error
    enum, _, member = name.rpartition(".")
    names = list(known.__members__)
    if member in names and enum in ("", known.__name__):
        return known[member]
    near = difflib.get_close_matches(member, names, n=1, cutoff=0.6)
    hint = f'did you mean "{near[0]}"?' if near else f"it has {', '.join(names)}"
    raise ArgumentError(f'"{model}" has no weights "{name}"; {hint}')


def pretrained_input(model: str, maker: Any, name: str | None) -> InputSpec:
    """The input of a torchvision model: that of its weights, or ImageNet's.

    Raises:
        ValueError: If the model has no weights called ``name``.
    """
    if name is None:
        return InputSpec.rgb(299 if model.endswith(".inception_v3") else 224)
    return input_of_weights(pretrained_weights(model, maker, name))


def input_of_weights(weights: Any) -> InputSpec:
    """The input that the transforms of torchvision's weights prepare pictures to."""
    preset = weights.transforms()
    size = getattr(preset, "crop_size", None) or getattr(preset, "resize_size", None) or [224]
    side = size if isinstance(size, int) else size[0]
    # A detector normalizes by itself, and its transforms do not.
    mean, std = getattr(preset, "mean", (0.0,) * 3), getattr(preset, "std", (1.0,) * 3)
    mode = getattr(getattr(preset, "interpolation", None), "value", "bilinear")
    return replace(InputSpec.rgb(side, mean, std), interpolation=common_interpolation(mode))
