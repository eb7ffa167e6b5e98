"""Directions in a layer's space of kernels, at each position or at one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor

from neurovis.archives import archive_problem, tensor_problem
from neurovis.maximization.layer_response import LayerResponse
from neurovis.maximization.objectives.constant import Constant
from neurovis.maximization.objectives.objective import Objective, gray_activation
from neurovis.maximization.option_checks import check_number
from neurovis.pictures.decoding import decode_array
from neurovis.readouts import READOUTS

#: Below this cosine the product with it stops falling, so that directions that an image opposes
#: still have a gradient (as in Lucid).
_LEAST_COSINE = 0.1
#: Keeps lengths of 0 from being divided by; far below any activation.
_LEAST_LENGTH = 1e-12


@dataclass(frozen=True)
class Direction(Objective):
    """Dot product of the layer's activation with given vectors: one number for each vector.

    At each position the dot product of the activations of all kernels with the vector, times
    ``max(0.1, cosine) ** cosine_power`` (Olah et al. 2017, and their Lucid): the higher the power,
    the more the activation must point along the vector, rather than merely be large.

    Args:
        vectors: One number for each kernel; several such lists, or ``(N, K)``, for several
            directions; or the path of a file ``.npy`` or ``.pt`` that holds them. Their lengths
            scale the result.
        cosine_power: At least 0, which leaves the plain dot product.
        over: How positions become one number: their ``mean``, the ``center`` unit, or the ``max``.

    Raises:
        ValueError: If vectors are not finite numbers, a vector is all zero, or an option is out of
            its range.
        FileNotFoundError: If there is no such file.

    Example:
        >>> activation = torch.tensor([[3.0, 4.0]])
        >>> Direction([0.0, 1.0])(activation).tolist()
        [[4.0]]
        >>> round(float(Direction([0.0, 1.0], cosine_power=2)(activation)), 4)
        2.56
    """

    vectors: str | Path | Sequence[float] | Sequence[Sequence[float]] | Tensor | Constant
    cosine_power: float = 0.0
    over: Literal["mean", "center", "max"] = "mean"

    noun = "direction"

    def __post_init__(self) -> None:
        object.__setattr__(self, "vectors", _as_constant(self.vectors))
        check_number("cosine_power", self.cosine_power)
        object.__setattr__(self, "cosine_power", float(self.cosine_power))
        if self.over not in READOUTS:
            named = ", ".join(f'"{name}"' for name in READOUTS)
            raise ValueError(f"over must be one of {named}; got {self.over!r}")

    def prepared(self, response: LayerResponse) -> Direction:
        """Itself.

        Raises:
            ValueError: If the vectors do not have one number for each of the layer's kernels.
        """
        self(gray_activation(response))
        return self

    def __call__(self, activation: Tensor) -> Tensor:
        """The numbers ``(B, N)`` of activations ``(B, K, ...)``."""
        return READOUTS[self.over](self.maps(activation))

    def maps(self, activation: Tensor) -> Tensor:
        """The product at each position, ``(B, K, ...)`` to ``(B, N, ...)``.

        Raises:
            ValueError: If vectors and activations differ in the number of kernels.
        """
        vectors = cast(Constant, self.vectors).on(activation.device)
        kernels = activation.shape[1]
        if vectors.shape[1] != kernels:
            raise ValueError(
                f"a direction needs one number for each of the layer's {kernels} kernels; "
                f"vectors have {vectors.shape[1]}"
            )
        flat = activation.flatten(2) if activation.ndim > 2 else activation[..., None]
        with torch.autocast(activation.device.type, enabled=False):
            dots = torch.matmul(vectors, flat.float())
            if self.cosine_power:
                lengths = torch.linalg.vector_norm(flat.float(), dim=1, keepdim=True)
                own = torch.linalg.vector_norm(vectors, dim=1)[:, None]
                cosines = dots / (lengths * own).clamp(min=_LEAST_LENGTH)
                dots = dots * cosines.clamp(min=_LEAST_COSINE) ** self.cosine_power
        return dots.reshape(len(activation), len(vectors), *activation.shape[2:])


def _as_constant(vectors: object) -> Constant:
    """Vectors ``(N, K)`` from whatever holds them."""
    if isinstance(vectors, Constant):
        return vectors
    values = _read(Path(vectors)) if isinstance(vectors, (str, Path)) else _as_tensor(vectors)
    named = f'vectors in "{vectors}"' if isinstance(vectors, (str, Path)) else "vectors"
    if values.ndim == 1:
        values = values[None]
    if values.ndim != 2 or not values.numel():
        raise ValueError(
            f"{named} must be one vector (K,) or several (N, K) of a number for each kernel; got "
            f"shape {tuple(values.shape)}"
        )
    if not values.isfinite().all():
        raise ValueError(f"{named} must be finite numbers; some are NaN or infinite")
    zero = (~values.any(1)).nonzero().flatten().tolist()
    if zero:
        raise ValueError(f"{named} must not be all zero; number {zero[0]} is")
    return Constant(values)


def _read(path: Path) -> Tensor:
    if not path.is_file():
        raise FileNotFoundError(f'there is no file "{path}" of vectors')
    if path.suffix == ".npy":
        return decode_array(path)
    try:
        problem = archive_problem(path)
        values = None if problem else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # Files that are damaged or of another kind raise anything.
        raise ValueError(
            f'"{path}" is damaged, or no .npy or .pt file of one tensor; what else a pickle holds '
            "is not read, for it could run code"
        ) from error
    if problem is not None:
        raise ValueError(f'"{path}" {problem}')
    if not isinstance(values, Tensor):
        raise ValueError(f'"{path}" must hold one tensor; it holds a {type(values).__name__}')
    problem = tensor_problem(values)
    if problem is not None:
        raise ValueError(f'the tensor in "{path}" {problem}')
    return _as_tensor(values)


def _as_tensor(vectors: object) -> Tensor:
    if isinstance(vectors, Tensor) and vectors.is_complex():
        raise ValueError(f"vectors must be real numbers; got {vectors.dtype}")
    try:
        return torch.as_tensor(vectors, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"vectors must be lists of numbers, all of one length, or a file; {error}"
        ) from error
