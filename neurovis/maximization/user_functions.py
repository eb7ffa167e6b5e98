"""Custom functions as objectives, penalties and transforms: tried before they are used.

Where one fails, what it was given says more than where in the ascent it was called.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from neurovis.inputs import InputSpec
    from neurovis.maximization.settings import AscentSettings


def call_user_function(function: Callable[[Tensor], object], role: str, tensor: Tensor) -> object:
    """Call a custom function on a tensor, and return its result.

    Args:
        function: The custom function.
        role: What it is used as, for the message.
        tensor: Its argument.

    Raises:
        ValueError: If it fails.
    """
    try:
        return function(tensor)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        said = (str(error).splitlines() or [""])[0]
        raise ValueError(
            f"the {role} {function_name(function)} failed on a tensor {tuple(tensor.shape)}: "
            f"{type(error).__name__}: {said}"
        ) from error


def function_name(function: object) -> str:
    """Return the module and name of a function; for one without a name, its ``repr``."""
    name = getattr(function, "__qualname__", None)
    # Without memory addresses, which differ in another process.
    return (
        f"{getattr(function, '__module__', None)}.{name}"
        if name
        else re.sub(r" at 0x\w+", "", repr(function))
    )


@torch.no_grad()
def try_functions(settings: AscentSettings, spec: InputSpec) -> None:
    """Try transforms and penalties on two images, before hours go into an ascent.

    Raises:
        ValueError: If one fails, or gives something of another shape than it must.
    """
    from neurovis.maximization.transforms import apply_transforms, draw_transforms

    images = torch.full((2, *spec.shape), 0.5)
    for penalty in settings.regularizers:
        values = call_user_function(penalty, "penalty", images)
        if not isinstance(values, Tensor) or values.shape != (2,):
            came = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ValueError(
                f"the penalty {function_name(penalty)} must give one number for each image, (2,) "
                f"for {tuple(images.shape)}; it gave {came}"
            )
    if settings.transforms is not None:
        transforms = settings.views(spec.size)
        drawn = draw_transforms(transforms, spec.size, settings.seed, [(0, 0), (1, 0)], steps=1)
        apply_transforms(images, transforms, [own[0] for own in drawn])
