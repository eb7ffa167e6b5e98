"""Decide what a config file may name: what runs code is a person's to type, or to trust."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from os import PathLike
from os.path import isfile

from jsonargparse import Namespace
from torch import nn

from neurovis.cli.commands import listed_models
from neurovis.models import check_model_of_file
from neurovis.models.import_paths import (
    IMPORT_PATH,
    current_directory_importable,
    import_by_path,
)
from neurovis.models.makers import runs_code
from neurovis.models.weight_files import no_code_in_pickles

_TRUST = "--trust"


def checked_names(options: Namespace, arguments: Sequence[str]) -> AbstractContextManager[None]:
    """Refuse what a file names and only a person may, before anything is instantiated.

    Args:
        options: Of a command, parsed and not instantiated.
        arguments: Its part of the command line; what is on it was typed.

    Returns:
        The context to run the command in.

    Raises:
        ValueError: If a file names a function or runs code otherwise, and there is no ``--trust``.
    """
    if _TRUST in arguments:
        return nullcontext()
    if options.get("trust"):
        raise ValueError(f"trust is set by a file, which cannot vouch for itself; type {_TRUST}")
    # A config may be called like a function, or lie in a folder that is.
    words = [argument for argument in arguments if not isfile(argument.rpartition("=")[2])]
    typed = list(_typed_objects(words))
    for option, name, named in _named(options, ""):
        is_class = isinstance(named, type) and issubclass(named, _bases())
        if not is_class and not any(named is other for other in typed):
            raise ValueError(
                f'{option} "{name}" is named in a file, and a function could do anything when it '
                f"is called; name it on the command line, or allow it there with {_TRUST}"
            )
    if "model" not in options:
        return nullcontext()
    models = [options.model, *listed_models(options.get("judge"))]
    is_typed = {model: _is_typed(model, words) for model in models}
    for model in models:
        if not is_typed[model]:
            check_model_of_file(model.partition("=")[0])
    model_args = options.model_args or {}
    if runs_code(model_args) and not _is_typed("trust_remote_code", words):
        raise ValueError(
            "model_args: trust_remote_code is set by a file; type it on the command line, or allow "
            f"it there with {_TRUST}"
        )
    are_typed = all(is_typed.values()) and all(
        _is_typed(text, arguments) for text in _texts(model_args)
    )
    return nullcontext() if are_typed else no_code_in_pickles()


def _bases() -> tuple[type, ...]:
    """Return the classes of which options take subclasses.

    They are imported where something is named: ``neurovis layers`` does without Lightning.
    """
    import lightning.pytorch as pl
    from lightning.fabric.plugins import CheckpointIO, ClusterEnvironment
    from lightning.pytorch.accelerators import Accelerator
    from lightning.pytorch.loggers import Logger
    from lightning.pytorch.plugins import LayerSync, Precision
    from lightning.pytorch.profilers import Profiler
    from lightning.pytorch.strategies import Strategy

    from neurovis.maximization.objectives import Objective
    from neurovis.maximization.parametrizations import Parametrization
    from neurovis.maximization.regularizers import Regularizer
    from neurovis.maximization.transforms import Transform

    return (
        *(nn.Module, Objective, Parametrization, Regularizer, Transform),
        *(pl.Callback, Logger, Profiler, Strategy, Accelerator),
        *(Precision, ClusterEnvironment, CheckpointIO, LayerSync),
    )


def _named(value: object, option: str) -> Iterator[tuple[str, str, object]]:
    """Option, import path and object of all that is named to be called."""
    if isinstance(value, Namespace):
        value = vars(value)  # Its own items are those of all parts.
    if isinstance(value, dict):
        path = value.get("class_path")
        if isinstance(path, str):
            with current_directory_importable():
                yield option, path, import_by_path(path, "class", "mypackage.MyClass")
        for name, part in value.items():
            yield from _named(part, f"{option}.{name}" if option else str(name))
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _named(part, option)
    # Paths of configs that were read can be called, but are no functions.
    elif callable(value) and not isinstance(value, PathLike):
        yield option, f"{value.__module__}.{getattr(value, '__qualname__', '')}", value


def _typed_objects(arguments: Sequence[str]) -> Iterator[object]:
    """Yield the objects whose import paths the command line holds."""
    for argument in arguments:
        for path in IMPORT_PATH.findall(argument):
            if path.partition(".")[0] in sys.modules:
                with suppress(ValueError), current_directory_importable():
                    yield import_by_path(path)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, str):
        yield value


def _is_typed(name: str, arguments: Sequence[str]) -> bool:
    """True if a name is on the command line, and not as a part of another."""
    whole = re.compile(rf"(?<![\w.]){re.escape(name)}(?![\w.])")
    return any(whole.search(argument) for argument in arguments)
