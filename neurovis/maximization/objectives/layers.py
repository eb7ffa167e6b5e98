"""One number for a whole layer: deep dream, and the inversion of a picture's features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from neurovis.maximization.layer_response import LayerResponse
from neurovis.maximization.objectives.constant import Constant
from neurovis.maximization.objectives.objective import Objective
from neurovis.maximization.option_checks import check_picture
from neurovis.pictures import read_picture


@dataclass(frozen=True)
class DeepDream(Objective):
    """Mean square of all the layer's activations: more of whatever is there.

    From Mordvintsev, Olah & Tyka (2015), who maximized the squared length; the mean makes it
    comparable over layers.

    Example:
        >>> DeepDream()(torch.tensor([[[1.0, -1.0], [3.0, 1.0]]])).tolist()
        [[3.0]]
    """

    noun = "layer"

    def __call__(self, activation: Tensor) -> Tensor:
        """Mean squares ``(B, 1)`` of activations ``(B, K, ...)``."""
        return activation.square().flatten(1).mean(1, keepdim=True)

    def maps(self, activation: Tensor) -> Tensor:
        """Mean squares over kernels, ``(B, K, ...)`` to ``(B, 1, ...)``."""
        return activation.square().mean(1, keepdim=True)


@dataclass(frozen=True)
class Inversion(Objective):
    """Closeness of the layer's activation to that of a picture, which is thereby inverted.

    Minus the squared distance between the two, relative to the squared length of the picture's: 0
    where they are equal, -1 for an activation of zero (Mahendran & Vedaldi 2015).

    Args:
        picture: ``(C, H, W)`` in [0, 1], of the network's input size; or the path of one, read as
            by :func:`~neurovis.pictures.read_picture`.

    Raises:
        ValueError: If a tensor is no such picture.
    """

    picture: str | Path | Tensor | Constant

    noun = "picture"
    silent_at_zero = False

    def __post_init__(self) -> None:
        picture = self.picture
        if isinstance(picture, Constant):
            return
        if not isinstance(picture, Tensor):
            object.__setattr__(self, "picture", str(picture))
            return
        check_picture("the picture to invert", picture)
        object.__setattr__(self, "picture", Constant(picture))

    @torch.no_grad()
    def prepared(self, response: LayerResponse) -> Inversion:
        """The objective with the picture read, and with its activation.

        Raises:
            ValueError: If the picture is not of the spec's shape, or the layer's response to it is
                zero or not finite.
            FileNotFoundError: If there is no such picture.
        """
        picture, spec = self.picture, response.spec
        constant = picture if isinstance(picture, Constant) else None
        if constant is None:
            constant = Constant(read_picture(cast(str, picture), spec))
        if tuple(constant.values.shape) != spec.shape:
            raise ValueError(
                f"the picture to invert must have the input's shape {spec.shape}; got "
                f"{tuple(constant.values.shape)}"
            )
        activation = response(constant.values[None])[0].float()
        if not activation.isfinite().all() or not activation.any():
            state = "silent for" if activation.isfinite().all() else "NaN or infinite for"
            raise ValueError(
                f'layer "{response.layer}" is {state} the picture to invert: there is nothing to '
                "come close to"
            )
        return _PreparedInversion(constant, activation)

    def __call__(self, activation: Tensor) -> Tensor:
        """Minus the relative squared distances ``(B, 1)`` of activations ``(B, K, ...)``."""
        return self.maps(activation).flatten(1).sum(1, keepdim=True)

    def maps(self, activation: Tensor) -> Tensor:
        """Return the contribution of each position, ``(B, K, ...)`` to ``(B, 1, ...)``."""
        wanted = self._wanted(activation)
        return -(activation - wanted).square().sum(1, keepdim=True) / wanted.square().sum()

    def _wanted(self, activation: Tensor) -> Tensor:
        """The picture's activation ``(K, ...)``, beside another."""
        raise RuntimeError(
            f"{self} does not know the picture's activation yet: call prepared(response) for the "
            f"layer that gave {tuple(activation.shape)}, and use what it returns"
        )


class _PreparedInversion(Inversion):
    """An inversion that knows the picture's activation; it is equal to others of that picture.

    Args:
        picture: ``(C, H, W)`` in [0, 1].
        activation: The layer's activation ``(K, ...)`` for the picture.
    """

    _activation: Constant

    def __init__(self, picture: Constant, activation: Tensor) -> None:
        super().__init__(picture)
        object.__setattr__(self, "_activation", Constant(activation))

    def _wanted(self, activation: Tensor) -> Tensor:
        wanted = self._activation.on(activation.device)
        if activation.shape[1:] != wanted.shape:
            raise ValueError(
                f"the picture to invert has an activation of shape {tuple(wanted.shape)}; the "
                f"images have {tuple(activation.shape[1:])}"
            )
        return wanted
