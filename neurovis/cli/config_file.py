"""Config files, looked into before they are believed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import yaml

from neurovis.files import check_readable

_OPTION = "--config"
#: Options that hold options.
_SECTIONS = ("input", "ranking", "trainer")
_NULL, _TEXT = "tag:yaml.org,2002:null", "tag:yaml.org,2002:str"
#: Values of a config; aliases can make a few lines into more than fit in memory.
_MOST_VALUES = 100_000


def check_configs(arguments: Sequence[str]) -> list[str]:
    """Refuse config files that are none, and say why.

    Args:
        arguments: The command line. A config may also be written out there, as a mapping.

    Returns:
        The arguments. Where a config has a section that is empty, as where all its lines are
        commented out, it is written out without.

    Raises:
        ValueError: If there is no such file, it is no mapping of options, or a section of it is
            none.
    """
    checked = list(arguments)
    for place, before, value in _values(arguments, _OPTION):
        checked[place] = before + _checked(value)
    for section in _SECTIONS:
        for _, _, value in _values(arguments, f"--{section}"):
            _check_section(value, Path())
    return checked


def _values(arguments: Sequence[str], option: str) -> Iterator[tuple[int, str, str]]:
    """Yield the place of each value of an option, what stands before it there, and the value."""
    for place, argument in enumerate(arguments):
        if argument.startswith(f"{option}="):
            yield place, f"{option}=", argument.partition("=")[2]
        elif place and arguments[place - 1] == option:
            yield place, "", argument


def _check_section(given: str, folder: Path) -> None:
    """Refuse a file that is none, where a section may be a config of its own.

    Args:
        given: What the section holds: a mapping that is written out, or a path.
        folder: That the path starts from.
    """
    if not isinstance(_written_out(given), Mapping) and os.path.exists(folder / given):
        _read_file(folder / given)


def _checked(given: str) -> str:
    """A config as it was given, if nothing is wrong with it and no section is empty."""
    if isinstance(_written_out(given), Mapping):
        return _without_empty_sections("the config", given, Path()) or given
    if not given:
        raise ValueError("config needs the path of a YAML file, or names with values; got nothing")
    path = Path(given)
    return _without_empty_sections(f'config "{given}"', _check_file(path), path.parent) or given


def _without_empty_sections(name: str, text: str, folder: Path) -> str | None:
    """A config whose sections that are empty say so; None where there are none."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    empty: list[yaml.Node] = []
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if key.value not in _SECTIONS or isinstance(value, yaml.MappingNode):
            continue
        if value.tag == _TEXT:
            _check_section(value.value, folder)
        if value.tag == _NULL:
            empty.append(value)
        elif isinstance(value, yaml.SequenceNode) or value.tag != _TEXT:
            raise ValueError(
                f"{name}: {key.value} must be names with values, line {value.start_mark.line + 1}"
            )
    for value in reversed(empty):
        text = f"{text[: value.start_mark.index]} {{}}{text[value.end_mark.index :]}"
    return text if empty else None


def _written_out(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except Exception:  # Also what makes no number or date of what looks like one.
        return None


def _check_file(path: Path) -> str:
    """The text of a config file that is a mapping of options."""
    name = f'config "{path}"'
    text, content = _read_file(path)
    if not isinstance(content, Mapping):
        raise ValueError(f"{name} has no options, such as layer: conv1; it holds {_kind(content)}")
    for key in content:
        if not isinstance(key, str):
            raise ValueError(f"{name} has {key!r} where an option's name is expected")
    if not {*content} & {*_SECTIONS} and all(value is None for value in content.values()):
        raise ValueError(f"{name} has no values: {', '.join(content) or 'it'} is empty")
    return text


def _read_file(path: Path) -> tuple[str, object]:
    """The text of a config file, and what it holds."""
    name = f'config "{path}"'
    try:
        check_readable(path)
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
        is_endless = node is not None and _count(node, {}) > _MOST_VALUES
        content = None if is_endless else yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f", line {mark.line + 1}"
        raise ValueError(f"{name} cannot be read{line}: {error.problem}") from error
    except RecursionError as error:
        raise ValueError(f"{name} is nested without end") from error
    except Exception as error:  # Such as a date with a month 13.
        raise ValueError(f"{name} cannot be read: {' '.join(str(error).split())}") from error
    if is_endless:
        raise ValueError(f"{name} has more than {_MOST_VALUES} values, counting its aliases")
    return text, content


def _count(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """Values in a node, those behind aliases each time, and those of texts that are YAML.

    Raises:
        RecursionError: If a node is in itself.
    """
    if node not in known:
        parts: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            parts = node.value
        elif isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
        elif "*" in node.value:
            with suppress(yaml.YAMLError):
                inner = yaml.compose(node.value, Loader=yaml.SafeLoader)
                parts = [inner] if isinstance(inner, yaml.CollectionNode) else []
        known[node] = 1 + sum(_count(part, known) for part in parts)
    return known[node]


def _kind(content: object) -> str:
    if content is None:
        return "nothing"
    return f"a {type(content).__name__}"
