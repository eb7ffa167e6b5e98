"""One number for each kernel, from its own map: the classic objectives."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from neurovis.layers import ArgumentError
from neurovis.maximization.layer_response import LayerResponse
from neurovis.maximization.objectives.objective import Objective, gray_activation
from neurovis.maximization.option_checks import check_integer
from neurovis.maximization.user_functions import call_user_function, function_name
from neurovis.readouts import Readout, as_maps, center_unit, spatial_max, spatial_mean


@dataclass(frozen=True)
class Mean(Objective):
    """Each kernel's mean over positions; for a layer of logits, the logit of a class.

    Example:
        >>> import torch
        >>> Mean()(torch.tensor([[[1.0, 5.0], [0.0, 2.0]]])).tolist()
        [[3.0, 1.0]]
    """

    fits_any_size = True

    def __call__(self, activation: Tensor) -> Tensor:
        """Means ``(B, K)`` of maps ``(B, K, ...)``."""
        return spatial_mean(activation)


@dataclass(frozen=True)
class Center(Objective):
    """The unit in the middle of each kernel's map, at ``size // 2``."""

    reads_center = True

    def __call__(self, activation: Tensor) -> Tensor:
        """Middle units ``(B, K)`` of maps ``(B, K, ...)``."""
        return center_unit(activation)


@dataclass(frozen=True)
class Max(Objective):
    """The most active unit of each kernel's map."""

    def __call__(self, activation: Tensor) -> Tensor:
        """Maxima ``(B, K)`` of maps ``(B, K, ...)``."""
        return spatial_max(activation)


@dataclass(frozen=True)
class Position(Objective):
    """One unit of each kernel's map, wherever it is.

    Args:
        row: 0-based, from the top of the map.
        column: 0-based, from its left; sequences have one row.

    Raises:
        ValueError: If one is no integer of at least 0.

    Example:
        >>> import torch
        >>> Position(0, 1)(torch.arange(8.0).reshape(1, 2, 2, 2)).tolist()
        [[1.0, 5.0]]
    """

    row: int
    column: int

    def __post_init__(self) -> None:
        for name, value in (("row", self.row), ("column", self.column)):
            check_integer(name, value)

    def prepared(self, response: LayerResponse) -> Position:
        """Itself.

        Raises:
            ValueError: If the layer's maps have no such position.
        """
        self(gray_activation(response))
        return self

    def __call__(self, activation: Tensor) -> Tensor:
        """Units ``(B, K)`` of maps ``(B, K, ...)``."""
        maps = as_maps("that is maximized", activation)
        height, width = maps.shape[2:]
        if self.row >= height or self.column >= width:
            raise ValueError(
                f"position row {self.row}, column {self.column} is outside the layer's maps of "
                f"{height} x {width} units (rows x columns, counted from 0)"
            )
        return maps[:, :, self.row, self.column]


@dataclass(frozen=True)
class CustomReadout(Objective):
    """A custom function, which reads one number for each kernel.

    Args:
        function: From activations ``(B, K, ...)`` to ``(B, K)``. Functions of a module can be
            pickled, lambdas cannot.

    Raises:
        TypeError: If it cannot be called.
    """

    function: Readout = field(repr=False)

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"function must be callable; got {self.function!r}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(function={function_name(self.function)})"

    def __call__(self, activation: Tensor) -> Tensor:
        """The function's numbers ``(B, K)``.

        Raises:
            ValueError: If it fails, or returns another shape.
        """
        values = call_user_function(self.function, "objective", activation)
        if not isinstance(values, Tensor) or values.shape != activation.shape[:2]:
            came = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ArgumentError(
                f"an objective must return one number for each image and kernel, "
                f"{tuple(activation.shape[:2])}; it returned {came}"
            )
        return values
