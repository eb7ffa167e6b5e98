"""Names of the classes that the kernels of a network's last layer stand for.

A network keeps them in an attribute ``class_names``: :func:`~neurovis.models.load_model` sets it
where a library has them, and you can set it on a network of your own.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from neurovis.layers import named_layers, root

#: Attribute of a network with the names of its classes, in the order of its output.
CLASS_NAMES = "class_names"


def class_names(network: nn.Module, layer: str | None, count: int) -> list[str]:
    """Return the names of a layer's kernels; empty if they are not known to be classes.

    They are classes in the output and in the last layer with weights, what contains it or follows
    it, if there are as many kernels as names.

    Args:
        network: The network, or a module that contains it.
        layer: Dotted name; None for the network's output.
        count: Number of the layer's kernels.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(8, 2))
        >>> network.class_names = ["cat", "dog"]
        >>> class_names(network, "2", 2), class_names(network, "0", 2)
        (['cat', 'dog'], [])
    """
    for prefix, module in {"": root(network), **named_layers(network)}.items():
        names = getattr(module, CLASS_NAMES, None)
        if not isinstance(names, (list, tuple)) or not names:
            continue
        if len(names) == count and _is_output(module, layer, prefix):
            return [str(name) for name in names]
        return []
    return []


def gives_output(network: nn.Module, layer: str) -> bool:
    """True if a layer gives the network's output: its kernels are what the network returns."""
    return _is_output(root(network), layer, "")


def match_classes(names: Sequence[str], others: Sequence[str]) -> list[int | None]:
    """Return the place of each class among another network's classes; None where it has none.

    Of synonyms, as in ``"tench, Tinca tinca"``, the first counts. Where most names stand at the
    same places in both lists, a name that only one of them has is another spelling.

    Example:
        >>> match_classes(["cat", "dog", "eft"], ["dog", "cat, house cat"])
        [1, 0, None]
    """
    names, others = (
        [name.partition(",")[0].strip().replace("_", " ").casefold() for name in listed]
        for listed in (names, others)
    )
    alike = sum(name == other for name, other in zip(names, others, strict=False))
    is_same_order = len(names) == len(others) and 2 * alike > len(names)
    found: list[int | None] = []
    for place, name in enumerate(names):
        places = [number for number, other in enumerate(others) if other == name]
        is_spelling = is_same_order and not places and others[place] not in names
        if place in places or is_spelling:
            found.append(place)
        else:
            found.append(places[0] if len(places) == 1 else None)
    return found


def has_class_names(network: nn.Module) -> bool:
    """True if the network, or a module in it, names classes."""
    return any(getattr(module, CLASS_NAMES, None) for module in network.modules())


def class_label(names: Sequence[str], kernel: int, noun: str = "kernel") -> str:
    """Return how figures call a kernel: ``"lorikeet (90)"``, or ``"kernel 90"`` without names.

    Of synonyms, as in ``"tench, Tinca tinca"``, the first is shown.

    Args:
        names: As :func:`class_names` returns them.
        kernel: Its number.
        noun: What stands before the number of a kernel without a name.
    """
    if names:
        return f"{names[kernel].partition(', ')[0]} ({kernel})"
    return f"{noun} {kernel}".lstrip()


def _is_output(module: nn.Module, layer: str | None, prefix: str) -> bool:
    """True if a layer gives the output of the module called ``prefix``."""
    if layer is None or layer == prefix:
        return True
    if prefix and not layer.startswith(f"{prefix}."):
        return False
    name = layer.removeprefix(f"{prefix}." if prefix else "").partition("@")[0]
    layers = named_layers(module)
    names = list(layers)
    weighted = [one for one in names if list(layers[one].parameters(recurse=False))]
    if not weighted or name not in layers:
        return False
    return weighted[-1].startswith(f"{name}.") or names.index(name) >= names.index(weighted[-1])
