"""Shorten jsonargparse's paragraphs about options to a sentence.

Its messages list each type that a value could have had, and why it has not. A person wants to know
which option, what it takes, what came, and what may have been meant. Whatever is not recognized
here is passed on as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from neurovis.cli.option_classes import arguments_of, classes_below

_KEY = re.compile(r'\s*Parser key "(?P<key>[^"]+)":\s*')
_UNION = "Does not validate against any of the Union subtypes"
#: Message for a group of options.
_NO_SECTION = re.compile(r"Unable to load config '(?P<value>.*)'")
_TELL_NOTHING = (
    *(_UNION, "Type collections.abc.Callable", "Expected a", "Not a valid subclass of"),
    *("a class path (str)", "a dict with class_path", "a dict without class_path"),
    "a dict with parameters accepted by the base class",
)
_OF_ARGUMENTS = "Problem with given class_path"
_GIVEN = re.compile(r"Given value: (?P<value>.*)|Got value: (?P<other>.*)")
_CLASS_PATH = re.compile(r"'class_path': '(?P<name>[^']*)'")
_NO_CLASS = re.compile(r"Expected a dot import path string: (?P<name>.*)", re.DOTALL)
_OF_CLASS = re.compile(
    r"Problem with given class_path '(?P<path>[^']*)':\s*(?P<reason>.*)", re.DOTALL
)
_NO_OPTION = re.compile(r"Option '(?P<name>[^']*)' is not accepted")
_NEEDED = re.compile(r"the following arguments are required: (?P<names>.*)")
_LITERAL = re.compile(r"Expected a (?:typing\.)?Literal\[(?P<names>[^\]]*)\]")
_TYPE = re.compile(r"Expected a (?:<class '(?P<type>[^']*)'>|tuple with (?P<length>\d+) elements)")
_TYPE_IN_LIST = re.compile(r"<class '(?P<path>[\w.]+)'>")

_OBJECT = "an object by its class_path"
_KINDS = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "list": 'a list, as in "[a, b]"',
    "tuple": 'a list, as in "[a, b]"',
    "collections.abc.Sequence": 'a list, as in "[a, b]"',
    "collections.abc.Iterable": 'a list, as in "[a, b]"',
    "dict": 'names with values, as in "{name: value}"',
}
#: At which two names are alike: row and rwo are, groups and crop are not.
_LIKENESS = 0.65
#: Characters of a value that are shown.
_MOST_SIGNS = 120
#: Most classes that are listed where none is near to what was given.
_MOST_CLASSES = 12


def option_error(said: str, command: str = "", options: Sequence[str] = ()) -> str | None:
    """A message of jsonargparse in one sentence; None for a message that is no such.

    Args:
        said: The message, with its line breaks.
        command: The subcommand, if there is one.
        options: The names of the subcommand's options, such as ``trainer.max_steps``.
    """
    if _KEY.match(said) or said.startswith(_UNION):
        return _of_value(said)
    words = " ".join(said.split())
    for form, sentence in _FORMS:
        match = form.fullmatch(words)
        if match:
            return sentence(match, command, options)
    return None


def near(name: str, known: Sequence[str]) -> str:
    """`` ; did you mean "…"?`` where a known name is like this one, else nothing."""
    longer = sorted((other for other in known if name and other.startswith(name)), key=len)
    found = longer or get_close_matches(name, sorted(set(known)), 1, _LIKENESS)
    return f'; did you mean "{found[0]}"?' if found else ""


def shortened(text: str, most: int = _MOST_SIGNS) -> str:
    """A text with its middle left out if it is long."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} … {text[-half:]}"


# Options and commands.


def _unknown(match: re.Match[str], command: str, options: Sequence[str]) -> str:
    given = match["given"].split()[0]
    name = given.partition("=")[0]
    if not name.startswith("-"):
        return f'{command} takes no "{given}"; see neurovis {command} --help'
    meant = near(name, [f"--{option}" for option in options])
    if not command:
        return f'there is no option "{name}"; first comes a command, see neurovis --help'
    return f'{command} has no option "{name}"{meant or f"; see neurovis {command} --help"}'


def _unknown_in_config(match: re.Match[str], command: str, options: Sequence[str]) -> str:
    command, name = match["command"] or command, match["name"]
    meant = near(name, options) or f"; see neurovis {command} --help"
    return f'the config has "{name}", which is no option of {command}{meant}'


def _ambiguous(match: re.Match[str], command: str, options: Sequence[str]) -> str:  # noqa: ARG001
    # An option of lists has a second form that appends, --kernels+.
    known = [name for name in match["names"].split(", ") if not name.endswith("+")]
    listed = " or ".join(f'"{name}"' for name in known)
    return f'{command} has no option "{match["name"]}"; did you mean {listed}?'


def _needed(match: re.Match[str], command: str, options: Sequence[str]) -> str:  # noqa: ARG001
    names = [name.removeprefix(f"{command}.") for name in match["names"].split(", ")]
    listed = ", ".join(f"--{name}" for name in names)
    return f"{command} needs {listed}; see neurovis {command} --help"


def _no_value(match: re.Match[str], command: str, options: Sequence[str]) -> str:  # noqa: ARG001
    name = match["name"].split("/")[-1]
    return f'{name} needs a value; one that begins with "-" is written as in {name}=-value'


def _no_command(match: re.Match[str], command: str, options: Sequence[str]) -> str:  # noqa: ARG001
    named = match.groupdict().get("name")
    listed = f"one of {', '.join(options)}"
    if named is None:
        return f"give a command, {listed}; see neurovis --help"
    return f'there is no command "{named}"{near(named, options) or f"; first comes {listed}"}'


_Sentence = Callable[[re.Match[str], str, Sequence[str]], str]
_FORMS: tuple[tuple[re.Pattern[str], _Sentence], ...] = (
    (re.compile(r"unrecognized arguments: (?P<given>.+)"), _unknown),
    (
        re.compile(
            r"(?:Subcommand '(?P<command>[^']*)' does not accept option|Option|Group '[^']*' does "
            r"not accept option) '(?P<name>[^']*)'(?: is not accepted)?"
        ),
        _unknown_in_config,
    ),
    (re.compile(r"ambiguous option: (?P<name>\S+) could match (?P<names>.+)"), _ambiguous),
    (_NEEDED, _needed),
    (re.compile(r"argument (?P<name>--?\S+): expected (?:at least )?one argument"), _no_value),
    (re.compile(r"argument command: invalid choice: '(?P<name>[^']*)'.*"), _no_command),
    (re.compile(r'expected "command" to be one of .*'), _no_command),
)


# Values.


@dataclass
class _Complaint:
    """Parsed parts of jsonargparse's message about a value.

    Attributes:
        option: Its dotted name; empty where it was not told.
        given: What came.
        literals: Names that the option takes.
        kinds: What else it takes, in words.
        unknown: Names of no class.
        of_classes: What is wrong with the arguments of a class, by its path.
        reasons: What was said by those who took the value.
        bases: Types that classes may have.
    """

    option: str
    given: str
    literals: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    of_classes: list[tuple[str, str]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    bases: list[str] = field(default_factory=list)

    def note(self, item: str) -> None:
        """Sort one of the complaints in."""
        of_class, unknown = _OF_CLASS.match(item), _NO_CLASS.match(item)
        literal, kind = _LITERAL.match(item), _TYPE.match(item)
        if of_class:
            self.of_classes.append((of_class["path"], of_class["reason"].strip()))
        elif unknown:
            self.unknown.append(unknown["name"].strip())
            self.kinds.append(_OBJECT)
        elif literal:
            self.literals += [name.strip(" '") for name in literal["names"].split(",")]
        elif kind:
            length, name = kind["length"], kind["type"]
            known = f"a list of {length}" if length else _KINDS.get(name, name)
            self.kinds += [] if name == "NoneType" else [known]
        elif not item.startswith(_TELL_NOTHING):
            self.reasons.append(" ".join(item.split()))


def _of_value(said: str) -> str | None:
    key = _KEY.match(said)
    text = said[key.end() :] if key else said
    section = _NO_SECTION.match(text)
    if key and section:
        given = shortened(section["value"])
        return f'{key["key"]} must be {_KINDS["dict"]}, or the path of a config; got "{given}"'
    found = _Complaint(key["key"] if key else "", _given(text))
    found.bases = _TYPE_IN_LIST.findall(" ".join(re.findall(r"Subtypes: (.*)", text)))
    for item in _items(text) or [text.strip()]:
        found.note(item)
    named = f"{found.option}: " if found.option else ""
    if found.of_classes:
        path, reason = found.of_classes[0]
        return _of_class(found.option, named, path, reason)
    if found.reasons:
        return f"{named}{found.reasons[0]}"
    if found.bases and not (found.literals or found.kinds):
        # For what is neither a path nor a mapping jsonargparse says nothing else.
        takes_functions = "collections.abc.Callable" in text
        found.kinds.append(f"{_OBJECT}, or a function by its path" if takes_functions else _OBJECT)
    if not found.option or not (found.literals or found.kinds):
        return None
    return _wanted(found)


def _items(text: str) -> list[str]:
    """Return the listed items, nested ones too; a class's message on its arguments is one item."""
    items: list[str] = []
    depth, is_open = 0, False
    for line in text.splitlines():
        words = line.lstrip()
        indent = len(line) - len(words)
        if is_open and indent > depth and items[-1].startswith(_OF_ARGUMENTS):
            items[-1] += f"\n{line}"
        elif words.startswith("- "):
            items.append(words[2:])
            depth, is_open = indent, True
        elif words.startswith("Given value type:"):
            is_open = False
        elif is_open:
            items[-1] += f"\n{line}"
    return items


def _given(text: str) -> str:
    """The part of a value that did not fit, short enough for a line."""
    match = _GIVEN.search(text)
    value = "" if match is None else match["value"] or match["other"] or ""
    of_class = _CLASS_PATH.search(value)
    return shortened(of_class["name"] if of_class else value)


def _wanted(found: _Complaint) -> str:
    classes = classes_below(found.bases)
    literals, kinds = (list(dict.fromkeys(part)) for part in (found.literals, found.kinds))
    if literals:
        takes = ", ".join(literals) + (f", or {' or '.join(kinds)}" if kinds else "")
    else:
        takes = " or ".join(kinds)
    given = found.unknown[0] if found.unknown else found.given
    meant = near(given, [*literals, *classes])
    if not meant and found.unknown and 0 < len(classes) <= _MOST_CLASSES:
        meant = f"; there are {', '.join(classes)}"
    return f'{found.option} must be {takes}; got "{shortened(given)}"{meant}'


def _of_class(option: str, named: str, path: str, reason: str) -> str:
    """Return a message that says what is wrong with the arguments of a class."""
    name = path.rpartition(".")[2]
    unknown, needed = _NO_OPTION.search(reason), _NEEDED.search(reason)
    if _KEY.match(reason):
        inner = _of_value(reason)
        if inner is not None:
            return f"{option}.{inner}" if option else inner
    if reason.startswith("No module named"):
        return f'{named}"{path}" cannot be imported: {reason}'
    if unknown:
        options = arguments_of(path)
        meant = near(unknown["name"], options) or f"; it takes {', '.join(options) or 'none'}"
        return f'{named}{name} has no argument "{unknown["name"]}"{meant}'
    if needed:
        return f"{named}{name} needs {needed['names']}"
    return f"{named}{name}: {' '.join(reason.split())}"
