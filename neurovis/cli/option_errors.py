"""Say in a sentence what is wrong with an option, from its type and its value.

jsonargparse lists each type that a value could have had, and why it has not.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt

_LIST = 'a list, as in "[a, b]"'
_OBJECT = "an object by its class_path"
_WORDS = {
    int: "an integer",
    PositiveInt: "an integer of at least 1",
    NonNegativeInt: "an integer of at least 0",
    float: "a number",
    bool: "true or false",
    str: "a text",
    dict: 'names with values, as in "{name: value}"',
    Callable: "a function by its path",
}
#: Least similarity of names that may be meant: row and rwo are, groups and crop are not.
_SIMILARITY = 0.65
#: Characters of a value that are shown.
_LONGEST_VALUE = 120
#: Most classes that are listed where none is near to what was given.
_MOST_CLASSES = 12


class OptionError(ArgumentError, TypeError):
    """Option that is not known, is missing, or has a value that it does not take.

    Args:
        problem: What is wrong; begins with a verb where an option is named.
        option: Dotted name of the option, if it is known which.
    """

    def __init__(self, problem: str, option: str = "") -> None:
        super().__init__(None, f"{option} {problem}" if option else problem)
        self.option = option


def near(name: str, known: Iterable[str]) -> str:
    """``; did you mean "…"?`` where a known name is like this one, else nothing."""
    names = sorted(set(known))
    longer = sorted((other for other in names if name and other.startswith(name)), key=len)
    found = longer or get_close_matches(name, names, 1, _SIMILARITY)
    return f'; did you mean "{found[0]}"?' if found else ""


def shortened(text: str, most: int = _LONGEST_VALUE) -> str:
    """A text with its middle left out if it is long."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} … {text[-half:]}"


def first_error(error: BaseException | None) -> OptionError | None:
    """Return an error, or the first of its causes, that is an :class:`OptionError`; else None."""
    while error is not None and not isinstance(error, OptionError):
        error = error.__cause__
    return error


def value_error(option: str, kind: Any, value: object, parser: type[ArgumentParser]) -> OptionError:
    """Return the error of a value that an option does not take.

    Args:
        option: Dotted name.
        kind: Type of the option.
        value: As it was given: a text, or what was read from YAML. The ``init_args`` of a class may
            be command-line arguments.
        parser: Class of parsers, for arguments of classes.
    """
    value = _from_yaml(value)
    kinds = _members(kind)
    for item_kind in [get_args(one)[0] for one in kinds if _is_list(one) and get_args(one)]:
        for item in value if isinstance(value, list) else ():
            if not _is_accepted(item_kind, item, parser):
                return value_error(option, item_kind, item, parser)
    classes = [one for one in kinds if get_origin(one) is None and _is_class(one)]
    takes_objects = bool(classes) or Callable in {get_origin(one) for one in kinds}
    name, arguments = _class_and_arguments(value)
    if takes_objects and name:
        found = _class_error(option, classes, name, arguments, parser)
        if found is not None:
            return found
    names = [str(choice) for one in kinds if get_origin(one) is Literal for choice in get_args(one)]
    known = [*names, *(one.__name__ for one in _below(classes))]
    shown = shortened(str(name or value))
    meant = near(shown, known)
    if not meant and name and 0 < len(known) - len(names) <= _MOST_CLASSES:
        meant = f"; there are {', '.join(known[len(names) :])}"
    return OptionError(f'must be {_wanted(kinds)}; got "{shown}"{meant}', option)


def _from_yaml(value: object) -> object:
    try:
        return yaml.safe_load(value) if isinstance(value, str) else value
    except (yaml.YAMLError, ValueError):
        return value


def _members(kind: Any) -> list[Any]:
    """Types of a union, without None; a type that is no union by itself."""
    if get_origin(kind) not in (Union, UnionType):
        return [kind]
    return [part for one in get_args(kind) for part in _members(one) if part is not type(None)]


def _is_class(kind: Any) -> bool:
    return inspect.isclass(kind) and kind not in _WORDS


def _is_list(kind: Any) -> bool:
    origin = get_origin(kind)
    return inspect.isclass(origin) and issubclass(origin, Sequence) and origin is not tuple


def _wanted(kinds: Sequence[Any]) -> str:
    """Return what an option takes, in words."""
    names = [choice for one in kinds if get_origin(one) is Literal for choice in get_args(one)]
    words = dict.fromkeys(_word(one) for one in kinds if get_origin(one) is not Literal)
    listed = ", ".join(str(name) for name in names)
    others = " or ".join(words)
    return f"{listed}, or {others}" if listed and others else listed or others


def _word(kind: Any) -> str:
    origin = get_origin(kind) or kind
    if origin is tuple and Ellipsis not in get_args(kind):
        return f"a list of {len(get_args(kind))}"
    if origin is tuple or _is_list(kind):
        return _LIST
    return _WORDS.get(Callable if origin is get_origin(Callable[..., Any]) else origin, _OBJECT)


def _is_accepted(kind: Any, value: object, parser: type[ArgumentParser]) -> bool:
    one = parser(exit_on_error=False)
    one.add_argument("--value", type=kind)
    try:
        one.parse_object({"value": value})
    except ArgumentError:
        return False
    return True


def _class_and_arguments(value: Any) -> tuple[str, Any]:
    """Return the class that a value names, and its arguments; empty for other values."""
    if isinstance(value, str):
        return value, {}
    value = value.as_dict() if isinstance(value, Namespace) else value
    if isinstance(value, dict) and isinstance(value.get("class_path"), str):
        return value["class_path"], value.get("init_args") or {}
    return "", {}


def _class_error(
    option: str, bases: Sequence[type], name: str, arguments: Any, parser: type[ArgumentParser]
) -> OptionError | None:
    """Return what is wrong with an object's class or arguments; None if nothing is."""
    if "." in name:
        # Heavy, and imported by every command that takes objects.
        from neurovis.models.import_paths import import_by_path

        try:
            found = import_by_path(name, "class or function", "mypackage.MyClass")
        except ValueError as error:
            return OptionError(str(error), f"{option}:")
    else:
        found = next((one for one in _below(bases) if one.__name__ == name), None)
    if not inspect.isclass(found):
        return None
    inner = parser(prog=found.__name__, exit_on_error=False)
    inner.add_class_arguments(found)
    try:
        inner.parse_object(arguments) if isinstance(arguments, dict) else inner.parse_args(
            arguments
        )
    except OptionError as error:
        return nested_error(option, error)
    return None


def construction_error(value: Any) -> Exception | None:
    """Return the error with which the first of the named objects cannot be made, if any.

    Args:
        value: A parsed value, and all in it.
    """
    is_named = isinstance(value, Namespace)  # A mapping is a value of its own, and names nothing.
    parts = vars(value).values() if is_named else value if isinstance(value, list) else ()
    found = next(filter(None, (construction_error(part) for part in parts)), None)
    if found is not None or not is_named or "class_path" not in value:
        return found
    from neurovis.models.import_paths import import_by_path

    one = ArgumentParser(exit_on_error=False)
    one.add_argument("--value", type=import_by_path(value.class_path))
    try:
        one.instantiate(one.parse_object({"value": value}))
    except Exception as error:
        return error
    return None


def nested_error(option: str, error: OptionError) -> OptionError:
    """Return the error of an object's argument as one of the option that the object is for."""
    if error.option:
        return OptionError(str(error).removeprefix(f"{error.option} "), f"{option}.{error.option}")
    return OptionError(str(error), f"{option}:")


def _below(bases: Iterable[type]) -> list[type]:
    """Return the imported subclasses of some classes that can be made and are public."""
    found: list[type] = []
    for base in bases:
        children: list[type] = [] if base is type else base.__subclasses__()
        for child in children:
            usable = not (inspect.isabstract(child) or child.__name__.startswith("_"))
            found += [*([child] if usable else []), *_below([child])]
    return list(dict.fromkeys(found))
