"""Name the tensors that a network returns, and find its class scores among them.

A network returns a tensor, or tensors in tuples, dictionaries and dataclasses. The name of one is
its path, such as ``"logits"`` or ``"0.boxes"``; a tensor that is returned by itself is named
``"output"``. Nothing is guessed: an output is taken for class scores by its name, or because a
forward shows that a linear layer, a convolution or a mean over a map has made it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from neurovis.layers import ArgumentError, class_name

#: Name of the network's output in place of a layer's name, and of a tensor returned by itself.
OUTPUT = "output"

#: Names of class scores, the surest first.
_SCORES = (
    *("logits", "class_logits", "cls_logits", "scores", "class_scores", "out", "output"),
    *("predictions", "prediction", "probabilities", "probs"),
)
#: Names of what is no class score, although a linear layer may have made it.
_NO_SCORES = re.compile("embed|feature|hidden|pool|proj|latent|state|loss|aux|box|mask")

#: Operations by which a weight makes scores of features.
_PROJECTIONS = {
    *("addmm", "mm", "mv", "addmv", "bmm", "baddbmm", "matmul", "linear", "convolution"),
    *("_convolution", "conv1d", "conv2d", "conv3d", "einsum", "linear_dynamic"),
}
#: Operations that summarize a map over its positions.
_POOLINGS = {
    *("mean", "sum", "amax", "max", "logsumexp", "adaptive_avg_pool2d", "_adaptive_avg_pool2d"),
    *("adaptive_max_pool2d", "avg_pool2d", "max_pool2d", "max_pool2d_with_indices"),
}
#: Operations, besides those element by element, that leave scores what they are.
_PASSING = {
    *("view", "_unsafe_view", "reshape", "_reshape_alias", "flatten", "unflatten", "squeeze"),
    *("unsqueeze", "permute", "transpose", "t", "expand", "select", "slice", "index", "narrow"),
    *("split", "split_with_sizes", "chunk", "unbind", "cat", "stack", "clone", "detach", "alias"),
    *("_to_copy", "to", "contiguous", "lift_fresh", "softmax", "_softmax", "log_softmax"),
    *("_log_softmax", "upsample_bilinear2d", "upsample_nearest2d", "upsample_bicubic2d"),
    *("dropout", "native_dropout", "copy", "dequantize"),
}


def tensors_by_path(output: object) -> dict[str, Tensor]:
    """Return the tensors of what a module returned, by the path that leads to each.

    Args:
        output: A tensor, or tensors in nested tuples, named tuples, lists, mappings (such as the
            ``ModelOutput`` of transformers) and dataclasses.

    Example:
        >>> tensors = tensors_by_path({"logits": torch.ones(2, 5), "states": (torch.ones(2, 3),)})
        >>> list(tensors), list(tensors_by_path(torch.ones(2, 5)))
        (['logits', 'states.0'], ['output'])
    """
    return {".".join(path) or OUTPUT: tensor for path, tensor in _walk(output)}


def _walk(output: object) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    if isinstance(output, Tensor):
        yield (), output
        return
    for name, part in _parts(output):
        for path, tensor in _walk(part):
            yield (name, *path), tensor


def _parts(output: object) -> list[tuple[str, object]]:
    if isinstance(output, Mapping):
        return [(str(name), part) for name, part in output.items()]
    if isinstance(output, (tuple, list)):
        names = getattr(output, "_fields", range(len(output)))
        return [(str(name), part) for name, part in zip(names, output, strict=True)]
    if is_dataclass(output) and not isinstance(output, type):
        return [(field.name, getattr(output, field.name)) for field in fields(output)]
    return []


def first_tensor(name: str, output: Any) -> Tensor:
    """The first tensor of whatever a layer returned.

    Raises:
        ValueError: If there is none, or one dictionary for each image.
    """
    if isinstance(output, (list, tuple)) and output and isinstance(output[0], Mapping):
        raise ValueError(
            f'layer "{name}" returns a list with a dictionary for each image, as detectors do; '
            "name a layer that returns one tensor for all images"
        )
    for _, tensor in _walk(output):
        return tensor
    raise ValueError(
        f'layer "{name}" returns {type(output).__name__}, which holds no tensor to record; name a '
        "layer that returns one"
    )


def tensor_at(output: Any, path: str) -> Tensor:
    """Return the tensor at a path; of a detector's output the best score of each image, ``(B, 1)``.

    Args:
        output: What a network returned.
        path: As :func:`find_output` gives it. For detectors, which return a dictionary for each
            image, ``"scores"``, or ``"scores.17"`` for the detections of class 17 alone; 0 for
            images without any.
    """
    if not _is_detections(output):
        return tensors_by_path(output)[path]
    _, _, label = path.partition(".")
    best = []
    for found in output:
        scores = found["scores"].flatten()
        if label:
            scores = scores * (found["labels"].flatten() == int(label))
        best.append(torch.cat([scores, scores.new_zeros(1)]).amax())
    return torch.stack(best)[:, None]


def _are_dictionaries(output: Any) -> bool:
    """True for a list of dictionaries, as detectors return one for each image."""
    return (
        isinstance(output, (list, tuple))
        and len(output) > 0
        and all(isinstance(found, Mapping) for found in output)
    )


def _is_detections(output: Any) -> bool:
    """True for a list that has a dictionary with scored boxes for each image."""
    return _are_dictionaries(output) and all({"scores", "labels"} <= set(found) for found in output)


class NamedOutput(nn.Module):
    """A network as a function of images that returns one of its outputs, by a layer of that name.

    So the output is read as a layer is: its layer is called ``"output"``.

    Args:
        network: The network.
        path: As :func:`find_output` gives it.
    """

    def __init__(self, network: nn.Module, path: str) -> None:
        super().__init__()
        self.network = network
        self.output = _Part(path)

    def forward(self, images: Tensor) -> Tensor:
        """Return the output, ``(B, ...)``."""
        tensor: Tensor = self.output(self.network(images), len(images))
        return tensor


class _Part(nn.Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, output: object, batch: int) -> Tensor:
        tensor = tensor_at(output, self.path)
        # The number of a single image may have lost its dimension in a squeeze.
        return tensor[None] if tensor.ndim == 0 and batch == 1 else tensor


def names_scores(path: str) -> bool:
    """True if a path ends with a name of class scores, such as ``"logits"``."""
    return path != OUTPUT and path.rpartition(".")[2] in _SCORES


def find_output(
    network: nn.Module, images: Tensor, name: str | None = None, *, of_any_kind: bool = False
) -> tuple[str, Tensor]:
    """Find the output that is meant: the one that is named, else the class scores.

    Class scores are an output named ``logits``, ``out``, ``scores`` or the like; else the only one
    that is ``(B, classes)``, or one number for each image ``(B,)``, and made by a linear layer or a
    mean over a map. A tensor returned alone may also be ``(B, classes, H, W)``, as of segmenters.

    Args:
        network: The network, inside :func:`~neurovis.recording.undisturbed`.
        images: ``(B, C, H, W)`` in its space.
        name: A path, or None.
        of_any_kind: Whether the only tensor that is returned is meant, whatever it is.

    Returns:
        The path for :func:`tensor_at`, and the tensor.

    Raises:
        ArgumentError: If there is no output of that name.
        ValueError: If nothing tells which output has class scores; the message lists all of them.
    """
    origins = _Origins(images)
    with torch.no_grad(), origins:
        output = network(images)
    if _is_detections(output):
        return _of_detections(network, output, name)
    own = class_name(network)
    if _are_dictionaries(output) and len(output) == len(images):
        raise ValueError(
            f"{own} returns a list with a dictionary for each image, as detectors do, without "
            "scores; name a layer that returns one tensor for all images"
        )
    tensors = tensors_by_path(output)
    if name is not None and name in tensors:
        return name, tensors[name]
    if name is not None:
        near = difflib.get_close_matches(name, tensors, n=1)
        advice = f'did you mean "{near[0]}"?' if near else f"it returns {_listed(tensors)}"
        raise ArgumentError(f'{own} has no output "{name}"; {advice}')
    if of_any_kind and len(tensors) == 1:
        return next(iter(tensors.items()))
    shapes = (0, 1, 2, 4) if len(tensors) == 1 else (1, 2)
    scores = _named_scores(tensors, len(images)) or [
        path
        for path, tensor in tensors.items()
        if _counts_images(tensor, len(images))
        and tensor.ndim in shapes
        and not _NO_SCORES.search(path.lower())
        and origins.are_scores(tensor)
    ]
    if len(scores) == 1:
        return scores[0], tensors[scores[0]]
    if not tensors:
        raise ValueError(
            f"{own} returns {type(output).__name__}, which holds no tensor; name a layer"
        )
    problem = "several outputs that may be class scores" if scores else "no certain class scores"
    vectors = [path for path, tensor in tensors.items() if tensor.ndim == 2]
    example = (scores or vectors or list(tensors))[-1]
    raise ValueError(
        f"{own} returns {problem}: {_listed(tensors)}. Name the one to explain, as in "
        f'output="{example}" (--output {example}), or name a layer'
    )


def _of_detections(network: nn.Module, output: object, name: str | None) -> tuple[str, Tensor]:
    if name is not None and re.fullmatch(r"scores(\.\d+)?", name):
        return name, tensor_at(output, name)
    problem = "returns a list of detections for each image"
    message = (
        f'{class_name(network)} {problem}; name what to explain: output="scores" is the score '
        'of the best box of each image, output="scores.17" that of the best box of class 17'
    )
    raise ValueError(message) if name is None else ArgumentError(f"{message}; got {name!r}")


def _named_scores(tensors: Mapping[str, Tensor], batch: int) -> list[str]:
    """The paths that end with the surest name of class scores that occurs."""
    for name in _SCORES:
        found = [
            path
            for path, tensor in tensors.items()
            if path.split(".")[-1] == name and list(tensors) != [OUTPUT]
            if _counts_images(tensor, batch) and tensor.ndim in (1, 2, 4)
        ]
        if found:
            return found
    return []


def _counts_images(tensor: Tensor, batch: int) -> bool:
    is_single_number = tensor.ndim == 0 and batch == 1
    return tensor.is_floating_point() and (is_single_number or tensor.shape[:1] == (batch,))


def _listed(tensors: Mapping[str, Tensor], most: int = 8) -> str:
    listed = [f'"{path}" {tuple(tensor.shape)}' for path, tensor in tensors.items()]
    return ", ".join(listed[:most]) + (", …" if len(listed) > most else "")


class _Origins(TorchDispatchMode):
    """While active, knows which tensors a linear layer or a mean over a map has made.

    Args:
        images: What is computed from them is followed.
    """

    def __init__(self, images: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._scores: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self._scores[images] = False

    def are_scores(self, tensor: Tensor) -> bool:
        """True if the last operations that made a tensor are those that make scores."""
        return bool(self._scores.get(tensor, False))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation, and note whether it makes scores, or leaves them what they are."""
        kwargs = kwargs or {}
        inputs = [part for part in tree_leaves((args, kwargs)) if isinstance(part, Tensor)]
        followed = [tensor for tensor in inputs if tensor in self._scores]
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", "").partition(".")[0]
        # Such as the random mask of a dropout: only its shape is of what is followed.
        is_of_shape = name.endswith("_like") or name.startswith("new_")
        if followed and not is_of_shape:
            makes_scores = isinstance(func, OpOverload) and self._makes_scores(func, followed)
            for part in tree_leaves(result):
                if isinstance(part, Tensor):
                    self._scores[part] = makes_scores
        return result

    def _makes_scores(self, operation: OpOverload, followed: list[Tensor]) -> bool:
        name = operation.overloadpacket.__name__.removesuffix("_")
        if name in _PROJECTIONS:
            # By a weight; a product of two activations is attention.
            return len(followed) == 1
        if name in _POOLINGS and followed[0].ndim >= 4:
            return True
        is_passing = name in _PASSING or torch.Tag.pointwise in operation.tags
        return is_passing and all(self._scores[tensor] for tensor in followed)
