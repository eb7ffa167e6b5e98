"""Reads files of weights without running code in them, and says in one line why it cannot."""

from __future__ import annotations

import importlib.util
import os
import pickle
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from neurovis.archives import archive_problem
from neurovis.models.import_paths import IMPORT_PATH, first_line

_GLOBAL = re.compile(r"GLOBAL (\S+)")
#: What a Lightning checkpoint may name to be imported, and then called or made.
_INSTANTIATOR, _CLASS = "_instantiator", "_class_path"
#: Written by Lightning's own command line.
_INSTANTIATORS = (
    "lightning.pytorch.cli.instantiate_module",
    "pytorch_lightning.cli.instantiate_module",
)
#: Classes that hyperparameters may name, once they are imported.
_HARMLESS_BASES = (nn.Module, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler)
#: Where checkpoints keep hyperparameters, those of old versions too.
_HYPERPARAMETERS = ("hyper_parameters", "hparams", "module_arguments")
#: Raised by PyYAML for texts that are no YAML, or that look like a number or date and are none.
_NO_YAML = (
    *(yaml.YAMLError, ValueError, TypeError, LookupError),
    *(AttributeError, OverflowError, RecursionError),
)
#: Torch reads it at each call of ``torch.load``, whatever arguments are given there.
_WEIGHTS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def read_weights(path: Path, trust: bool) -> Any:
    """Return what a file of weights holds, on the CPU.

    Args:
        path: What ``torch.save`` or safetensors wrote.
        trust: Also read a pickle that runs code.

    Raises:
        ValueError: If the file is missing, damaged, of another kind, or needs ``trust``.
    """
    if not path.exists():
        raise ValueError(f'weights file "{path}" not found')
    if not path.is_file():
        raise ValueError(f'weights "{path}" is not a file')
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise ValueError(f'weights file "{path}" cannot be read: {first_line(error)}') from error
    if not start:
        raise ValueError(f'weights file "{path}" is empty')
    if start.startswith(b"version https://git-lfs"):
        raise ValueError(
            f'weights file "{path}" is a Git LFS pointer, not the weights; run "git lfs pull"'
        )
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return _read_torch(path, start, trust)


def check_hyperparameters(path: Path, content: Mapping[str, Any], module_class: type) -> None:
    """Refuse a Lightning checkpoint that names a function to be called, or another class.

    Older versions of Lightning import and call whatever is named there.

    Args:
        path: Path of the checkpoint.
        content: What it holds.
        module_class: Class of the LightningModule to restore from it.

    Raises:
        ValueError: If it names anything but what Lightning itself writes.
    """
    given: dict[Any, Any] = {}
    for key in _HYPERPARAMETERS:
        part = content.get(key) or {}
        if not isinstance(part, Mapping):
            raise ValueError(f'"{path}" has {key} that are no names with values')
        given |= part
    named = given.pop(_CLASS, None)
    if named is not None and not _is_imported_subclass(named, module_class):
        raise ValueError(_runs_code(path, f"names {named!r} to be imported"))
    named = given.pop(_INSTANTIATOR, None)
    if named is None:
        return
    if named not in _INSTANTIATORS:
        raise ValueError(_runs_code(path, f"names {named!r} to be called"))
    # It imports and calls what is named within.
    for text in _texts(given, set()):
        if _is_importable(text) and not _is_imported_subclass(text, *_HARMLESS_BASES):
            raise ValueError(_runs_code(path, f"names {text!r} to be imported or called"))


def _texts(value: object, seen: set[int]) -> Iterator[str]:
    """Yield all texts in a value, also those in texts that are YAML."""
    if isinstance(value, str):
        yield value.strip()
        try:
            loaded = yaml.safe_load(value)
        except _NO_YAML:
            return
        if loaded != value:
            yield from _texts(loaded, seen)
    elif isinstance(value, (Mapping, list, tuple, set)) and id(value) not in seen:
        seen.add(id(value))
        for part in (*value.values(), *value.keys()) if isinstance(value, Mapping) else value:
            yield from _texts(part, seen)


def _is_importable(path: str) -> bool:
    """True if a text is a path into a module that could be imported; nothing is imported."""
    if not IMPORT_PATH.fullmatch(path) or path in sys.modules:
        return False
    first = path.partition(".")[0]
    with suppress(ValueError):
        return first in sys.modules or importlib.util.find_spec(first) is not None
    return True


def _is_imported_subclass(path: object, *bases: type) -> bool:
    module, _, name = str(path).rpartition(".")
    found = getattr(sys.modules.get(module), name, None)
    return isinstance(found, type) and issubclass(found, bases)


def _runs_code(path: Path, contents: str) -> str:
    return (
        f'"{path}" {contents}, which runs code when it is read, and is refused; if you made '
        "the file yourself, allow it with --trust on the command line or trust=True in Python"
    )


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise ValueError(
            f'reading "{path}" needs the safetensors library; pip install safetensors'
        ) from error
    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except Exception as error:  # Also of its header, which is JSON.
        raise ValueError(_damaged(path, error)) from error
    return tensors


def _read_torch(path: Path, start: bytes, trust: bool) -> Any:
    try:
        problem = archive_problem(path)
    except Exception as error:  # Damaged archives raise anything.
        raise ValueError(_damaged(path, error)) from error
    if problem is not None:
        raise ValueError(f'weights file "{path}" {problem}')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about old pickle protocols
            return torch.load(path, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError as error:
        # A pickle starts with its protocol; what else the safe reader stumbles over is damage.
        is_pickle = start.startswith((b"\x80", b"PK"))
        if trust or not is_pickle:
            raise ValueError(_damaged(path, error)) from error
        found = _GLOBAL.search(str(error))
        contents = f"holds {found[1]}" if found else "is a pickle of something other than tensors"
        raise ValueError(_runs_code(path, contents)) from error
    except (ImportError, AttributeError) as error:
        raise ValueError(f'"{path}" needs code that is not here: {first_line(error)}') from error
    except Exception as error:
        raise ValueError(_damaged(path, error)) from error


def _damaged(path: Path, error: BaseException) -> str:
    # Torch's advice about weights_only does not help here, and a bare number says nothing.
    reason = first_line(error).split(". ")[0].rstrip(".")
    tells = " " in reason and "weights_only" not in str(error) and not reason.startswith("[")
    return (
        f'weights file "{path}" is truncated, damaged, or not a file of weights'
        f"{f' ({reason})' if tells else ''}"
    )


@contextmanager
def no_code_in_pickles() -> Iterator[None]:
    """Let ``torch.load`` refuse pickles that run code, also where libraries allow them."""
    before = os.environ.get(_WEIGHTS_ONLY)
    os.environ[_WEIGHTS_ONLY] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_WEIGHTS_ONLY]
        else:
            os.environ[_WEIGHTS_ONLY] = before
