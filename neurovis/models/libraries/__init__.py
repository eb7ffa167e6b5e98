"""Networks by a library's own name: ``timm:``, ``hf:``, ``torchvision:``, ``open_clip:``.

A library makes its network, loads its weights and says what pictures it takes; nothing of that is
known here. A library is imported when one of its networks is asked for.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurovis.layers import ArgumentError
from neurovis.models.import_paths import first_line
from neurovis.models.libraries.library_network import RANDOM, LibraryNetwork, Weights
from neurovis.models.makers import runs_code
from neurovis.models.state_dicts import find_state_dict, load_strictly
from neurovis.models.weight_files import read_weights

__all__ = [
    "RANDOM",
    "LibraryNetwork",
    "RandomWeightsWarning",
    "is_library_name",
    "load_from_library",
    "near_names",
]

#: By prefix: the module that loads the networks, the library, and the extra that installs it.
_LIBRARIES = {
    "timm": ("from_timm", "timm", "timm"),
    "hf": ("from_transformers", "transformers", "transformers"),
    "torchvision": ("from_torchvision", "torchvision", ""),
    "open_clip": ("from_open_clip", "open_clip", "open_clip"),
}
#: What to do where weights cannot be downloaded.
_IF_OFFLINE = (
    "if it cannot be downloaded here, give a local folder, or --weights: a file, or random"
)


class RandomWeightsWarning(UserWarning):
    """Weights of a library's network are random, and that was not asked for."""


def is_library_name(model: str) -> bool:
    """True for a name such as ``"timm:resnet50"``.

    Raises:
        ArgumentError: If there is no library of that prefix.
    """
    prefix, colon, name = model.partition(":")
    if not colon:
        return False
    if prefix not in _LIBRARIES or not name:
        near = difflib.get_close_matches(prefix, _LIBRARIES, n=1)
        hint = f'did you mean "{near[0]}:{name}"?' if near and name else f"known are {_listed()}"
        raise ArgumentError(f'model "{model}" names no network of a known library; {hint}')
    return True


def load_from_library(
    model: str, weights: str | Path | None, arguments: Mapping[str, Any], trust: bool
) -> LibraryNetwork:
    """Make a library's network, with the library's weights, those of a file, or random ones.

    Args:
        model: Prefix and name.
        weights: None or ``"DEFAULT"`` for the library's own choice, ``"random"``, a name that the
            library knows, or a file.
        arguments: Further arguments of the library's call.
        trust: Whether code that comes with a network, or is in a file of weights, is run.

    Raises:
        ValueError: If the library is not installed or has no such network, or the weights cannot
            be had.
    """
    prefix, _, name = model.partition(":")
    if runs_code(dict(arguments)) and not trust:
        raise ArgumentError(_runs_code(model, "is given trust_remote_code to run"))
    module = _module(model, prefix)
    _check_name(model, name, module)
    asked = Weights(weights)
    settings = {**arguments, "trust_remote_code": trust} if prefix == "hf" else dict(arguments)
    try:
        found: LibraryNetwork = module.load(name, asked, settings)
    except ArgumentError:
        raise
    except Exception as error:
        if "trust_remote_code" in str(error):
            raise ArgumentError(_runs_code(model, "comes with")) from error
        reason = first_line(error).rstrip(".")
        remedy = "" if asked.is_random else f"; {_IF_OFFLINE}"
        raise ValueError(f'"{model}" could not be loaded: {reason}{remedy}') from error
    if asked.file is None:
        if "random" in found.origin and not asked.is_random:
            warnings.warn(f"{model}: {found.origin}", RandomWeightsWarning, stacklevel=3)
        return found
    content = read_weights(asked.file, trust)
    state_dict = find_state_dict(content, asked.file)
    load_strictly(found.network, state_dict, asked.file, partial=found.is_part)
    origin = found.origin.replace("random weights", f"weights of {asked.file.name}", 1)
    return LibraryNetwork(found.network, found.input_spec, origin)


def near_names(name: str) -> str:
    """Say which networks of installed libraries a bare name may mean; empty if none."""
    if Path(name).is_dir() and (Path(name) / "config.json").is_file():
        return f'; did you mean "hf:{name}"?'
    if name.count("/") == 1 and "" not in name.split("/") and not name.startswith("."):
        return f'; did you mean "hf:{name}"?'
    for cutoff in (1.0, 0.8):
        for prefix in ("torchvision", "timm", "open_clip"):
            if not is_installed(prefix):
                continue
            known = _module(name, prefix).names()
            if near := difflib.get_close_matches(name, known, n=1, cutoff=cutoff):
                return f'; did you mean "{prefix}:{near[0]}"?'
    return ""


def is_installed(prefix: str) -> bool:
    """True if the library of a prefix can be imported."""
    return importlib.util.find_spec(_LIBRARIES[prefix][1]) is not None


def _module(model: str, prefix: str) -> Any:
    module, library, extra = _LIBRARIES[prefix]
    if not is_installed(prefix):
        raise ArgumentError(
            f'model "{model}" needs {library}, which is not installed; '
            f'pip install "neurovis[{extra}]"'
        )
    return importlib.import_module(f"{__name__}.{module}")


def _check_name(model: str, name: str, module: Any) -> None:
    """Refuse a name that the library does not list, with near ones."""
    known = module.names()
    # On a hub or in a folder, there are others.
    if not known or ":" in name or "/" in name or name.partition(".")[0] in known:
        return
    prefix = model.partition(":")[0]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    quoted = " or ".join(f'"{prefix}:{one}"' for one in near)
    hint = f"did you mean {quoted}?" if near else f"see the documentation of {prefix}"
    raise ArgumentError(f'model "{model}" not found; {hint}')


def _runs_code(model: str, how: str) -> str:
    return (
        f'model "{model}" {how} code of others, which is refused; if you trust it, allow it with '
        "--trust on the command line or trust=True in Python"
    )


def _listed() -> str:
    return ", ".join(f"{prefix}:" for prefix in _LIBRARIES)
