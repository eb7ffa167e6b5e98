"""Finds the state dict in what a file holds, and loads it completely or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neurovis.archives import tensor_problem
from neurovis.models.import_paths import first_line

StateDict = dict[str, Any]

# Under these keys people store a state dict, or a whole module, beside other things.
_NESTED = ("state_dict", "model_state_dict", "model", "net", "network")


def find_state_dict(content: Any, path: Path) -> StateDict:
    """Return the state dict in what was read from ``path``.

    Raises:
        ValueError: If there is none, or it is empty.
    """
    if isinstance(content, nn.Module):
        return dict(content.state_dict())
    if not isinstance(content, Mapping):
        raise ValueError(f'"{path}" holds a {type(content).__name__}, not a state dict')
    for key in _NESTED:
        if isinstance(content.get(key), (Mapping, nn.Module)):
            return find_state_dict(content[key], path)
    if not content:
        raise ValueError(f'the state dict in "{path}" is empty')
    if not any(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f'"{path}" holds no state dict; its keys are {_few(list(content))}')
    return {str(key): value for key, value in content.items()}


def load_strictly(network: nn.Module, state_dict: StateDict, path: Path, partial: bool) -> None:
    """Load every parameter and buffer, after removing a prefix that a wrapper added to the names.

    Only ``num_batches_tracked``, which old files lack and evaluation does not use, may be missing.

    Args:
        network: Filled in place; not to be used if this raises.
        state_dict: Tensors by name.
        path: Where it is from, for messages.
        partial: Whether the file may hold other modules as well, as a LightningModule's checkpoint
            does whose network is only one part.

    Raises:
        ValueError: If names or shapes differ, or a parameter is not finite.
    """
    state_dict = {key.replace("_orig_mod.", ""): value for key, value in state_dict.items()}
    state_dict = _without_prefix(network, state_dict, path, partial)
    _check_tensors(state_dict, path)
    _check_kinds(network, state_dict, path)
    try:
        missing, unexpected = network.load_state_dict(state_dict, strict=False)
    except RuntimeError as error:
        differing = _differing_shapes(network.state_dict(), state_dict)
        reason = _few(differing, "; ") if differing else first_line(error)
        raise ValueError(f'"{path}" does not fit the model: {reason}') from error
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    problems = []
    if missing:
        problems.append(f"{len(missing)} missing: {_few(missing)}")
    if unexpected:
        problems.append(f"{len(unexpected)} unexpected: {_few(unexpected)}")
    if problems:
        raise ValueError(f'"{path}" does not fit the model: keys {"; ".join(problems)}')
    _check_finite(network, path)


def _without_prefix(
    network: nn.Module, state_dict: StateDict, path: Path, partial: bool
) -> StateDict:
    """The state dict with the names that the network uses, where one prefix makes them match."""
    expected = {key for key in network.state_dict() if not key.endswith("num_batches_tracked")}
    found: Counter[str] = Counter()
    for key in state_dict:
        parts = key.split(".")
        names = {".".join(parts[start:]) for start in range(len(parts))}
        found.update(key[: len(key) - len(name)] for name in names & expected)
    complete = [prefix for prefix, count in found.items() if count == len(expected)]
    if partial and len(complete) > 1:
        raise ValueError(
            f'"{path}" holds several networks of this kind, under {_few(complete)}; '
            "save the state_dict of the one that is meant"
        )
    # The best prefix, even if it does not make everything fit, gives the clearest message.
    prefix = max(found, key=lambda known: (found[known], -len(known)), default="")
    own = {key[len(prefix) :]: state_dict[key] for key in state_dict if key.startswith(prefix)}
    others = {key: state_dict[key] for key in state_dict if not key.startswith(prefix)}
    return own if partial else {**own, **others}


def _differing_shapes(expected: StateDict, state_dict: StateDict) -> list[str]:
    return [
        f"{key} is {_shape(value)} in the file and {_shape(expected[key])} in the model"
        for key, value in state_dict.items()
        if key in expected and _shape(value) != _shape(expected[key])
    ]


def _check_tensors(state_dict: StateDict, path: Path) -> None:
    """Refuse tensors that do not hold numbers."""
    problems = [
        f"{key} {problem}"
        for key, value in state_dict.items()
        if isinstance(value, Tensor) and (problem := tensor_problem(value)) is not None
    ]
    if problems:
        raise ValueError(f'weights file "{path}" cannot be used: {_few(problems, "; ")}')


def _check_kinds(network: nn.Module, state_dict: StateDict, path: Path) -> None:
    """Refuse weights that torch would turn into others without a word.

    Of complex numbers a part would be lost; truth values and whole numbers are no weights, but
    masks, or weights of a quantized network without its scales.
    """
    parameters = {name for name, _ in network.named_parameters()}
    differing = [
        f"{key} is {given.dtype} in the file and {expected.dtype} in the model"
        for key, expected in network.state_dict().items()
        if isinstance(given := state_dict.get(key), Tensor)
        and not _keeps_values(given, expected, key in parameters)
    ]
    if differing:
        raise ValueError(f'"{path}" does not fit the model: {_few(differing, "; ")}')


def _keeps_values(given: Tensor, expected: Tensor, is_parameter: bool) -> bool:
    if given.is_complex():
        return expected.is_complex()
    return given.is_floating_point() or not (is_parameter and expected.is_floating_point())


def _check_finite(network: nn.Module, path: Path) -> None:
    broken = [
        name
        for name, parameter in network.named_parameters()
        if not torch.isfinite(parameter).all()
    ]
    if broken:
        raise ValueError(f'weights in "{path}" are not finite numbers: {_few(broken)}')


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__


def _few(names: Sequence[str], separator: str = ", ", limit: int = 4) -> str:
    """The first few names and how many more there are."""
    more = f"{separator}and {len(names) - limit} more" if len(names) > limit else ""
    return separator.join(map(str, names[:limit])) + more
