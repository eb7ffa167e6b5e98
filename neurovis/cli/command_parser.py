"""jsonargparse's parser, whose errors are one sentence, from its own actions and types."""

from __future__ import annotations

from argparse import Action
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace

from neurovis.cli.help_text import HelpFormatter
from neurovis.cli.option_errors import (
    OptionError,
    construction_error,
    first_error,
    near,
    shortened,
    value_error,
)
from neurovis.files import check_readable

_USAGE = "neurovis COMMAND [options]"
#: Characters of a message that jsonargparse writes by itself.
_MOST_CHARACTERS = 400


class CommandParser(ArgumentParser):
    """Parser of a command, or of the arguments of a class that an option takes.

    Args:
        options: As jsonargparse's takes them.
    """

    def __init__(self, **options: Any) -> None:
        # The parser of a class is made by that of the command, which gives it no name.
        super().__init__(
            # With abbreviations, "am --top 16" would be read as --top_images.
            **{
                "usage": _USAGE,
                "formatter_class": HelpFormatter,
                "exit_on_error": False,
                "allow_abbrev": False,
                **options,
            }
        )

    def add_class_arguments(self, *arguments: Any, **options: Any) -> list[str]:
        """Add the arguments of a class, as jsonargparse does."""
        added: list[str] = super().add_class_arguments(*arguments, **options)
        self._explain_values()
        return added

    def add_function_arguments(self, *arguments: Any, **options: Any) -> list[str]:
        """Add the arguments of a function, as jsonargparse does."""
        added: list[str] = super().add_function_arguments(*arguments, **options)
        self._explain_values()
        return added

    def parse_path(self, path: Any, *arguments: Any, **options: Any) -> Namespace:
        """Read a config file.

        Raises:
            OptionError: If it cannot be read, or is no mapping of options; the message names it.
        """
        try:
            check_readable(path)
            found: Namespace = super().parse_path(path, *arguments, **options)
        except (OSError, OptionError, ValueError) as error:
            raise OptionError(f'config "{path}": {" ".join(str(error).split())}') from error
        return found

    def parse_string(self, content: str, *arguments: Any, **options: Any) -> Namespace:
        """Read a config that is written out; a section without options keeps its defaults.

        Raises:
            OptionError: If it is no mapping of options.
        """
        found: Namespace = super().parse_string(content, *arguments, **options)
        for section in self.groups or {}:
            if section in found and found[section] is None:
                del found[section]
            elif section in found and not isinstance(found[section], Namespace):
                raise OptionError(f"must be names with values; got {found[section]!r}", section)
        return found

    def validate(self, namespace: Namespace, *arguments: Any, **options: Any) -> None:
        """Check parsed options.

        Raises:
            OptionError: If an option is not known, is missing, or has a value that it does not
                take.
        """
        try:
            super().validate(namespace, *arguments, **options)
        except (TypeError, KeyError) as error:
            raise first_error(error) or self._name_error(namespace) or error from error

    def instantiate(self, namespace: Namespace, *arguments: Any, **options: Any) -> Namespace:
        """Make the objects that options name.

        Raises:
            Exception: As their classes do.
        """
        try:
            made: Namespace = super().instantiate(namespace, *arguments, **options)
        except ValueError as error:
            raise construction_error(namespace) or error from error
        return made

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise an error of one line.

        Raises:
            OptionError: Always.
        """
        found = first_error(ex)
        if found is not None:
            raise found
        said = " ".join(message.removeprefix("argument ").split()).rstrip(".")
        raise OptionError(f"{shortened(said, _MOST_CHARACTERS)}; {self._see()}") from ex

    def _apply_actions(self, cfg: Any, *arguments: Any, **options: Any) -> Any:
        # A section may be a file of its own, which whoever wrote the config has named.
        for section in self.groups or {}:
            value = cfg.get(section) if isinstance(cfg, (Namespace, dict)) else None
            if isinstance(value, str):
                check_readable(value)
        return super()._apply_actions(cfg, *arguments, **options)

    def _parse_known_args(self, *arguments: Any, **options: Any) -> tuple[Any, list[str]]:
        namespace, extras = super()._parse_known_args(*arguments, **options)
        if extras:
            name = extras[0].partition("=")[0]
            if name.startswith("-"):
                raise self._unknown(name)
            raise OptionError(f'{self._name} takes no "{name}"; {self._see()}')
        return namespace, extras

    @property
    def _is_command(self) -> bool:
        """True if this is no parser of the arguments of a class."""
        return self.prog.startswith("neurovis")

    @property
    def _name(self) -> str:
        """Name of the command or class in messages."""
        return self.prog.removeprefix("neurovis ")

    def _see(self) -> str:
        """Return where the options are listed: by a command's help, or here."""
        if self._is_command:
            return f"see {self.prog} --help"
        typed = [action.dest for action in self._actions if hasattr(action, "_typehint")]
        names = [name for name in typed if not name.endswith(".help")]
        return f"it takes {', '.join(names) or 'none'}"

    def _unknown(self, name: str) -> OptionError:
        is_typed = name.startswith("-") and self._is_command
        known = [option for option in self._option_string_actions if not option.endswith("+")]
        if not is_typed:
            name, known = name.lstrip("-"), [option.lstrip("-") for option in known]
        meant = near(name, known) or f"; {self._see()}"
        return OptionError(f'{self._name} has no option "{name}"{meant}')

    def _name_error(self, namespace: Namespace) -> OptionError | None:
        """Return the error of the first option that is not known, or of those that are missing."""
        known = [action.dest for action in self._actions]
        # Values of an option that takes a mapping have names of their own.
        owners = tuple(f"{name}." for name in known if name not in (self.groups or {}))
        for key, _ in namespace.items():
            if key not in known and not key.startswith(owners):
                return self._unknown(key)
        missing = [
            action.option_strings[0] if self._is_command else action.dest
            for action in self._actions
            if action.required and namespace.get(action.dest) is None
        ]
        if not missing:
            return None
        return OptionError(f"{self._name} needs {', '.join(missing)}; {self._see()}")

    def _explain_values(self) -> None:
        for action in self._actions:
            check = getattr(action, "_check_type", None)
            if hasattr(action, "_typehint") and check and not hasattr(check, "__wrapped__"):
                vars(action)["_check_type"] = _explained(action, check)


def _explained(action: Action, check: Callable[..., Any]) -> Callable[..., Any]:
    """Return an action's check of values, whose errors are of one line."""

    @wraps(check)
    def checked(value: Any, **context: Any) -> Any:
        try:
            return check(value, **context)
        except TypeError as error:
            given = value
            if hasattr(value, "key"):  # An argument of an object whose class was given before.
                of_class = (context.get("cfg") or {}).get(action.dest)
                name = of_class.get("class_path") if isinstance(of_class, Namespace) else None
                given = {value.key: value.val}
                if name:
                    given = {"class_path": name, "init_args": [f"--{value.key}={value.val}"]}
            kind = getattr(action, "_typehint", None)
            raise value_error(action.dest, kind, given, CommandParser) from error

    return checked
