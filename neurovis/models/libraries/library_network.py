"""Network that a library makes, and what the library says of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from neurovis.inputs import InputSpec, Interpolation

#: Weights of a network as it is made, before any training.
RANDOM = "random"
#: The library's own choice of weights.
DEFAULT = "DEFAULT"
# Of weights, which have no dots and no folders, as files have.
_NAME = re.compile(r"[\w-]+")


@dataclass(frozen=True)
class LibraryNetwork:
    """A network as a library makes it.

    Args:
        network: The network.
        input_spec: What the library prepares pictures to.
        origin: Weights and preparation in a few words, such as ``"weights augreg_in1k; input as
            its pretrained_cfg says"``.
        class_names: Names of the output's classes; empty if the library has none, or the weights
            are not its own.
        is_part: True if it is a part of what files of weights hold.
    """

    network: nn.Module
    input_spec: InputSpec
    origin: str
    class_names: Sequence[str] = ()
    is_part: bool = False


@dataclass(frozen=True)
class Weights:
    """The weights that are asked for.

    Args:
        given: A name, a file, or None for the library's own choice.
    """

    given: str | Path | None = None

    @property
    def file(self) -> Path | None:
        """Path of the file, where a file is meant."""
        if self.given is None:
            return None
        path = Path(self.given)
        is_name = isinstance(self.given, str) and _NAME.fullmatch(self.given) is not None
        return None if is_name and not path.is_file() else path

    @property
    def is_random(self) -> bool:
        """True if the library is to load none."""
        return self.file is not None or self.given == RANDOM

    @property
    def tag(self) -> str | None:
        """Name of one of several weights that a library has for the network."""
        return None if self.is_random or self.given in (None, DEFAULT) else str(self.given)


def common_interpolation(name: str) -> Interpolation:
    """Return the nearest of the interpolations that pictures can be resized with."""
    if name in ("bicubic", "lanczos"):
        return "bicubic"
    return "nearest" if name.startswith("nearest") else "bilinear"
