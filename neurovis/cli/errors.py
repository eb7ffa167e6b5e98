"""What went wrong, in one line."""

from __future__ import annotations

import re
from difflib import get_close_matches

#: What jsonargparse says of a value for an option that takes names, and perhaps objects.
_NO_SUCH_CHOICE = (
    re.compile(
        r'Parser key "(?P<option>[^"]+)": Does not validate against any of the Union subtypes '
        r".*?Literal\[(?P<names>[^\]]*)\].* (?P<object>Expected a dot import path).*"
        r"Given value: (?P<value>\w+)"
    ),
    re.compile(
        r'Parser key "(?P<option>[^"]+)": Expected a (typing\.)?Literal\[(?P<names>[^\]]*)\]\. '
        r"Got value: (?P<value>.+)"
    ),
)


def one_line(error: BaseException) -> str:
    """What an error says, or what it is where it says nothing."""
    said = " ".join(str(error).split())
    for form in _NO_SUCH_CHOICE:
        match = form.fullmatch(said)
        if match:
            return _no_such_choice(match.groupdict())
    return said or type(error).__name__


def _no_such_choice(found: dict[str, str]) -> str:
    choices = re.findall("'([^']*)'", found["names"])
    near = get_close_matches(found["value"], choices, 1)
    named = ", ".join(choices)
    objects = ", or an object by its class_path" if "object" in found else ""
    meant = f'; did you mean "{near[0]}"?' if near else ""
    return f'{found["option"]} must be {named}{objects}; got "{found["value"]}"{meant}'
