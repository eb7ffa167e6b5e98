"""Layers by dotted name, type or call.

A *layer* is a dotted module name, as in ``model.named_modules()``, of which a module may have
several. One call of a layer that a forward calls several times is written ``"conv@2"``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

import torch
from torch import nn

T = TypeVar("T")

#: Layers by dotted name, by type (``nn.Conv2d``, or its name ``"Conv2d"``), or ``"all-conv"``.
LayerSelection = str | type[nn.Module] | Iterable[str | type[nn.Module]]

#: Selects all convolutions.
ALL_CONVOLUTIONS = "all-conv"

#: Types of convolutions.
CONVOLUTIONS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)


class ArgumentError(ValueError):
    """An argument that is wrong in itself, or for this network: an unknown layer, say."""


def unwrap(model: nn.Module) -> nn.Module:
    """Return the module that ``torch.compile`` wrapped, or ``model`` itself.

    Hooks that are added to a compiled module after its first call do not fire; those of
    the original do.

    Raises:
        TypeError: If it is no module.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module; got {type(model).__name__}")
    original = getattr(model, "_orig_mod", None)
    return unwrap(original) if isinstance(original, nn.Module) else model


def root(model: nn.Module) -> nn.Module:
    """Return the module in which a network names its layers, whatever that is wrapped in."""
    return next(unwrap(model).modules())


def class_name(model: nn.Module) -> str:
    """Return the name of a network's class, for messages."""
    return type(root(model)).__name__


def resolve_layer(model: nn.Module, name: str) -> nn.Module:
    """Return the module called ``name``, as in ``model.named_modules()``.

    Args:
        model: The network; a compiled one is unwrapped first.
        name: Dotted name, such as ``"features.10"``.

    Raises:
        TypeError: If ``name`` is not a string.
        ValueError: If there is no such layer; the message suggests the nearest names.
    """
    if not isinstance(name, str):
        raise TypeError(f"a layer is given by its dotted name, a str; got {name!r}")
    modules = named_layers(model)
    if not name:
        raise ArgumentError(f"the layer's name is empty; {_first_names(list(modules))}")
    module, _ = find_call(modules, name)
    if module is None:
        raise ArgumentError(f'layer "{name}" not found; {_suggestion(name, list(modules))}')
    check_recordable(name, module)
    return module


def check_recordable(name: str, module: nn.Module) -> None:
    """Refuse a layer whose output cannot be recorded, or has no gradient.

    Args:
        name: Its name, for the message.
        module: The layer.

    Raises:
        ArgumentError: If it is scripted, traced or quantized.
    """
    if isinstance(module, torch.jit.ScriptModule):
        raise ArgumentError(
            f'layer "{name}" is scripted or traced, and torch allows no hooks on such modules; '
            "give the network that it was made of"
        )
    if type(module).__module__.startswith("torch.ao.nn.quantized"):
        raise ArgumentError(
            f'layer "{name}" is quantized, and has no gradient; give the network before it was '
            "quantized"
        )


def named_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Every layer of a network by every name that it has.

    A module that is registered twice has two names, and so have those inside it. Parts that are
    compiled on their own, and what is in them, go by the names they have without torch.compile.

    Args:
        model: The network; a compiled one is unwrapped first.
    """
    named = unwrap(model).named_modules(remove_duplicate=False)
    layers = {_without_compile(name): unwrap(module) for name, module in named}
    return {name: module for name, module in layers.items() if name}


def first_names(model: nn.Module) -> dict[str, nn.Module]:
    """As :func:`named_layers`, each module by its first name only."""
    names: dict[nn.Module, str] = {}
    for name, module in named_layers(model).items():
        names.setdefault(module, name)
    return {name: module for module, name in names.items()}


def find_call(modules: Mapping[str, T], name: str) -> tuple[T | None, int | None]:
    """The layer that a name means, and which of its calls.

    Args:
        modules: Layers, or what belongs to them, by dotted name.
        name: Such as ``"V4.conv"``, or ``"V4.conv@2"`` for its second call in a forward.

    Returns:
        None for the layer if there is none; None for the call if the name does not say it.
    """
    name = _without_compile(name)
    if name in modules:
        return modules[name], None
    layer, _, call = name.rpartition("@")
    if not (call.isascii() and call.isdigit() and int(call)):
        return None, None
    return modules.get(layer), int(call)


def _without_compile(name: str) -> str:
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def select_layers(model: nn.Module, selection: LayerSelection) -> list[str]:
    """The dotted names of the layers that a selection means, each once.

    Args:
        model: The network; a compiled one is unwrapped first.
        selection: Dotted names; types of modules, or their names (``"Conv2d"``), for all layers of
            that type; ``"all-conv"`` for all convolutions; or several of these. Layers selected by
            type come in the order of ``model.named_modules()``, by their first names.

    Raises:
        TypeError: If a part is neither a string nor a type of modules.
        ValueError: If nothing is selected, or there is no such layer or type.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.ReLU())
        >>> select_layers(model, "all-conv"), select_layers(model, ["2", nn.ReLU])
        (['0', '2'], ['2', '1', '3'])
    """
    parts = [selection] if isinstance(selection, (str, type)) else list(selection)
    if not parts:
        raise ArgumentError("layers needs at least one layer; got none")
    every, modules = named_layers(model), first_names(model)
    names: dict[str, None] = {}
    for part in parts:
        matched = [] if part in every else _of_type(modules, part)
        if not matched:
            resolve_layer(model, _as_name(part))  # Raises if there is none that can be read.
            matched = [str(part)]
        names.update(dict.fromkeys(matched))
    return list(names)


def _of_type(modules: dict[str, nn.Module], part: str | type[nn.Module]) -> list[str]:
    """Names of the modules that a type, or a type's name, stands for."""
    if part == ALL_CONVOLUTIONS:
        return [name for name, module in modules.items() if isinstance(module, CONVOLUTIONS)]
    if isinstance(part, type):
        return [name for name, module in modules.items() if isinstance(module, part)]
    return [
        name
        for name, module in modules.items()
        if any(base.__name__ == part for base in type(module).__mro__ if base is not nn.Module)
    ]


def _as_name(part: str | type[nn.Module]) -> str:
    if isinstance(part, type) or part == ALL_CONVOLUTIONS:
        what = part.__name__ if isinstance(part, type) else "convolution"
        raise ArgumentError(f"the model has no layer of type {what}")
    return part


def _suggestion(name: str, names: list[str]) -> str:
    """Say which of ``names`` may have been meant."""
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.75)
    if not near:
        near = [known for known in names if known.endswith(f".{name}")][:3]
    if not near:
        return _first_names(names)
    quoted = [f'"{known}"' for known in near]
    if len(quoted) > 1:
        quoted[-2:] = [f"{quoted[-2]} or {quoted[-1]}"]
    return f"did you mean {', '.join(quoted)}?"


def _first_names(names: list[str]) -> str:
    if not names:
        return "the model has no layers: it is a single module"
    listed = ", ".join(f'"{known}"' for known in names[:5])
    return f"the model's layers are {listed}{', …' if len(names) > 5 else ''}"
