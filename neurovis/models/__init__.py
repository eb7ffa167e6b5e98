"""The user's network: by import path, with its weights, ready to be looked at.

Nothing is loaded by halves: either every parameter comes from the weights, or one line says what
does not fit. Files are read without running any code in them unless they are trusted.
"""

from __future__ import annotations

import copy
import importlib.util
import inspect
import pickle
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.error import URLError

from torch import nn

from neurovis.class_names import CLASS_NAMES
from neurovis.first_forward import reason
from neurovis.inputs import InputSpec
from neurovis.layers import unwrap
from neurovis.models.import_paths import (
    IMPORT_PATH,
    current_directory_importable,
    first_line,
    import_by_path,
)
from neurovis.models.libraries import is_library_name, load_from_library, near_names
from neurovis.models.makers import check_maker, check_module_named_in_file, check_named_in_file
from neurovis.models.pretrained import is_weights_name, pretrained_input, pretrained_weights
from neurovis.models.state_dicts import find_state_dict, load_strictly
from neurovis.models.weight_files import check_hyperparameters, read_weights

__all__ = ["load_model", "suggested_input_spec"]

# Short names, and where what they stand for is found: its network, and what that is shown.
_NETWORKS = {"demo": "neurovis.demo.load_demo_network"}
_INPUTS = {"demo": "neurovis.demo.demo_input_spec"}
#: Attribute of a loaded network that holds what it is shown, where that is known.
_INPUT_SPEC = "input_spec"


def load_model(
    model: str,
    weights: str | Path | None = None,
    *,
    model_args: Mapping[str, Any] | None = None,
    trust: bool = False,
) -> nn.Module:
    """Make a network and load its weights.

    Args:
        model: Import path of a class or function that makes the network, such as
            ``"torchvision.models.squeezenet1_0"`` or ``"mypackage.module.Net"``; modules in the
            current directory are found too. ``"demo"`` is the trained network that is shipped. Or
            a library's own name: ``"timm:resnet50"``, ``"hf:facebook/dinov2-small"`` (on the hub,
            or a folder), ``"torchvision:resnet50"``, ``"open_clip:ViT-B-32"`` (the image tower).
        weights: Name of torchvision weights (``"DEFAULT"``, ``"IMAGENET1K_V1"``), or a file: a
            state dict (by itself or as ``state_dict``, ``model_state_dict`` or ``model`` in a
            dictionary), a Lightning checkpoint, or safetensors. Prefixes that a wrapper added to
            the names, such as ``module.``, are removed. None leaves the network as it is made; a
            library's network has the library's pretrained weights then, or others by their name
            there; ``"random"`` loads none.
        model_args: Arguments for the class or function, or for the library's call. For a
            LightningModule's checkpoint they replace the hyperparameters stored in it.
        trust: Also read files that run code when they are read, such as whole pickled modules,
            call a function of which nothing says that it makes a network, and run code that comes
            with a network of a hub. Only for files of your own: they can do anything that you can.

    Returns:
        The network on the CPU, in eval mode, its parameters in float32. Where a library says them,
        it has the attributes ``input_spec``, ``class_names`` and ``origin`` (of its weights).

    Raises:
        TypeError: If an argument has a wrong type, or ``model`` does not make an ``nn.Module``.
        ValueError: If the network or the weights cannot be found, made, read or matched; the
            message is one line. Also if ``model`` is not annotated to return an ``nn.Module``, and
            defined neither in a Python file of yours nor in a known library; see ``trust``.
    """
    if not isinstance(model, str):
        raise TypeError(f"model must be an import path, a str; got {type(model).__name__}")
    if weights is not None and not isinstance(weights, (str, Path)):
        raise TypeError(f"weights must be a name or a path; got {type(weights).__name__}")
    if weights == "":
        raise ValueError("weights needs a name such as DEFAULT, or a path; got an empty text")
    if model_args is not None and not isinstance(model_args, Mapping):
        raise TypeError(f"model_args must be a mapping; got {type(model_args).__name__}")
    arguments = dict(model_args or {})
    if is_library_name(model):
        found = load_from_library(model, weights, arguments, trust)
        return _described(found.network, found.input_spec, found.class_names, found.origin)
    with current_directory_importable():
        _check_path(model)
        maker = import_by_path(_NETWORKS.get(model, model))
        if not trust:
            check_maker(model, maker)
        named = None
        if weights is None:
            network = _make(model, maker, arguments)
        elif is_weights_name(weights):
            named = pretrained_weights(model, maker, str(weights))
            network = _make(model, maker, {**arguments, "weights": named})
        else:
            network = _from_file(model, maker, Path(weights), arguments, trust)
    categories = named.meta.get("categories", ()) if named is not None else ()
    return _described(network, suggested_input_spec(model, weights), categories)


def check_model_of_file(model: str) -> None:
    """Refuse a model that a file, rather than a person, may not name; nothing is called.

    Raises:
        ValueError: If it is a function that could do anything, or cannot be found.
    """
    if is_library_name(model):
        return
    path = _NETWORKS.get(model, model)
    check_module_named_in_file(path)
    with current_directory_importable():
        check_named_in_file(model, import_by_path(path))


def suggested_input_spec(
    model: str | nn.Module, weights: str | Path | None = None
) -> InputSpec | None:
    """Return the input that a network takes, as far as its name or its library tells.

    Args:
        model: A network of :func:`load_model`; or as for it. A network that is given by a library's
            name, such as ``"timm:resnet50"``, is loaded for this: better give the loaded one.
        weights: As for :func:`load_model`. The name of torchvision weights tells the size and the
            normalization that they were trained with.

    Returns:
        The input of libraries' networks, the demo network and torchvision's models; None for any
        other.

    Raises:
        ValueError: If the model has no weights of that name.
    """
    if isinstance(model, str) and is_library_name(model):
        model = load_model(model, weights)
    if isinstance(model, nn.Module):
        known = getattr(unwrap(model), _INPUT_SPEC, None)
        return known if isinstance(known, InputSpec) else None
    if model in _INPUTS:
        spec = import_by_path(_INPUTS[model])()
        return spec if isinstance(spec, InputSpec) else None
    if not model.startswith("torchvision.models."):
        return None
    name = str(weights) if weights is not None and is_weights_name(weights) else None
    return pretrained_input(model, import_by_path(model), name)


def _described(
    network: nn.Module,
    spec: InputSpec | None,
    class_names: Sequence[str] = (),
    origin: str = "",
) -> nn.Module:
    """The network ready to be looked at, with what is known of it as attributes."""
    network = unwrap(network).eval().float()
    known = {_INPUT_SPEC: spec, CLASS_NAMES: list(class_names), "origin": origin}
    for name, value in known.items():
        if value:
            setattr(network, name, value)
    return network


def _check_path(model: str) -> None:
    """Refuse what is no import path, and suggest a library's network of that name."""
    if model in _NETWORKS:
        return
    is_path = IMPORT_PATH.fullmatch(model) is not None
    if is_path and importlib.util.find_spec(model.partition(".")[0]) is not None:
        return
    near = '; did you mean "demo"?' if get_close_matches(model, _NETWORKS) else near_names(model)
    if near or not is_path:
        raise ValueError(
            f'model "{model}" is neither an import path such as "torchvision.models.resnet18" nor '
            f'a name such as "timm:resnet18"{near}'
        )


def _from_file(
    model: str, maker: Any, path: Path, arguments: dict[str, Any], trust: bool
) -> nn.Module:
    """Make the network and fill it from a file."""
    content = read_weights(path, trust)
    is_class = isinstance(maker, type)
    if isinstance(content, nn.Module) and is_class and isinstance(content, maker):
        return content
    is_checkpoint = isinstance(content, Mapping) and "pytorch-lightning_version" in content
    if is_checkpoint and is_class and _is_lightning(maker):
        return _from_checkpoint(model, maker, path, content, arguments, trust)
    network = _make(model, maker, arguments)
    load_strictly(unwrap(network), find_state_dict(content, path), path, partial=is_checkpoint)
    return network


def _from_checkpoint(
    model: str,
    module_class: Any,
    path: Path,
    content: Mapping[str, Any],
    arguments: dict[str, Any],
    trust: bool,
) -> nn.Module:
    """Rebuild a LightningModule from its hyperparameters and weights."""
    if not trust:
        check_hyperparameters(path, content, module_class)
    load = module_class.load_from_checkpoint
    settings: dict[str, Any] = {"map_location": "cpu", "strict": True}
    if "weights_only" in inspect.signature(load).parameters:
        settings["weights_only"] = not trust
    try:
        network = load(path, **settings, **arguments)
    except TypeError as error:
        raise ValueError(
            f'"{model}" cannot be rebuilt from the hyperparameters in "{path}": '
            f"{first_line(error)}; "
            "give what is missing as model_args; or give as the model what makes the network that "
            "it holds, which is filled from the same file"
        ) from error
    except SystemExit as error:
        raise ValueError(f'"{model}" could not be made: {reason(error)}') from error
    except Exception as error:
        raise ValueError(f'"{path}" does not fit "{model}": {first_line(error)}') from error
    return _checked(model, network)


def _make(model: str, maker: Any, arguments: dict[str, Any]) -> nn.Module:
    """Call what makes the network, or copy it if it is one already."""
    if isinstance(maker, nn.Module):
        return copy.deepcopy(maker)
    if not callable(maker):
        raise TypeError(f'"{model}" is not a class or function but a {type(maker).__name__}')
    _check_arguments(model, maker, arguments)
    try:
        network = maker(**arguments)
    except URLError as error:
        raise ValueError(
            f'the weights of "{model}" could not be downloaded ({first_line(error)}); '
            "get the file by other means and give its path"
        ) from error
    except SystemExit as error:
        raise ValueError(f'"{model}" could not be made: {reason(error)}') from error
    except pickle.UnpicklingError as error:
        raise ValueError(
            f'"{model}" could not be made: it reads a pickle, which is damaged or runs code when '
            "it is read; if the file is yours, allow it with --trust"
        ) from error
    except Exception as error:
        raise ValueError(f'"{model}" could not be made: {first_line(error)}') from error
    return _checked(model, network)


def _check_arguments(model: str, maker: Callable[..., Any], arguments: dict[str, Any]) -> None:
    try:
        signature = inspect.signature(maker)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise ValueError(
            f'"{model}" cannot be called with model_args {arguments}: {error}; '
            f"it takes {signature.replace(return_annotation=signature.empty)}"
        ) from error


def _checked(model: str, network: Any) -> nn.Module:
    if not isinstance(network, nn.Module):
        raise TypeError(f'"{model}" makes a {type(network).__name__}, not a torch.nn.Module')
    return network


def _is_lightning(module_class: type) -> bool:
    """Return True for a LightningModule of ``lightning`` or ``pytorch_lightning``.

    Told by its name: importing Lightning takes seconds, which other networks do not need.
    """
    return any(base.__name__ == "LightningModule" for base in module_class.__mro__)
