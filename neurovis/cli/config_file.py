"""Config files, looked into before they are believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import yaml

_OPTION = "--config"
#: Values of a config; aliases can make a few lines into more than fit in memory.
_MOST_VALUES = 100_000


def check_configs(arguments: Sequence[str]) -> None:
    """Refuse config files that are none, and say why.

    Args:
        arguments: Of the command line. A config may also be written out there, as a mapping.

    Raises:
        ValueError: If there is no such file, or it is no mapping of options.
    """
    after = (value for name, value in pairwise(arguments) if name == _OPTION)
    within = (part.partition("=")[2] for part in arguments if part.startswith(f"{_OPTION}="))
    for given in [*after, *within]:
        if not isinstance(_written_out(given), Mapping):
            _check_file(f'config "{given}"', Path(given))


def _written_out(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        return None


def _check_file(name: str, path: Path) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ValueError(f"{name} not found") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is no text (byte {error.start})") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ValueError(f"{name} cannot be read: {reason}") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None and _count(node, {}) > _MOST_VALUES:
            raise ValueError(f"{name} has more than {_MOST_VALUES} values, counting its aliases")
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f", line {mark.line + 1}"
        raise ValueError(f"{name} cannot be read{line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{name} cannot be read: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{name} is nested without end") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{name} has no options, such as layer: conv1; it holds {_kind(content)}")
    for key in content:
        if not isinstance(key, str):
            raise ValueError(f"{name} has {key!r} where an option's name is expected")


def _count(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """Values in a node, those behind aliases each time.

    Raises:
        RecursionError: If a node is in itself.
    """
    if node not in known:
        parts: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            parts = node.value
        elif isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
        known[node] = 1 + sum(_count(part, known) for part in parts)
    return known[node]


def _kind(content: object) -> str:
    if content is None:
        return "nothing"
    return f"a {type(content).__name__}"
