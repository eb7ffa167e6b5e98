"""Configs that are no configs, hold other options, or would make objects."""

from __future__ import annotations

import os
from itertools import pairwise

from bad_input.bad import Bad
from bad_input.commands import AM, RANK, REPORT
from bad_input.makers import all_of, picture, text


def _config(name: str, content: str, says: str) -> Bad:
    return Bad(name, "am --layer conv2 --config a.yaml", says, text("a.yaml", content))


def _pipe() -> None:
    os.mkfifo("p.yaml")


def _growing() -> str:
    """A few lines that stand for half a million values."""
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"{key}: &{key} [{', '.join([f'*{last}'] * 9)}]" for last, key in pairwise("abcdef")]
    return "\n".join(lines)


CONFIGS = [
    Bad("no config", f"{AM} --config a.yaml", 'config "a.yaml" not found'),
    Bad("config that is a folder", f"{AM} --config .", 'config "." cannot be read: Is a directory'),
    *(
        Bad(
            f"a pipe for {option}",
            f"{AM} --{option} p.yaml",
            'config "p.yaml" cannot be read: Is a pipe, socket or device, no file',
            _pipe,
        )
        for option in ("config", "input", "trainer")
    ),
    Bad(
        "a pipe for a section",
        f"{AM} --config a.yaml",
        'config "p.yaml" cannot be read: Is a pipe',
        all_of(_pipe, text("a.yaml", "trainer: p.yaml")),
    ),
    Bad("a device for a config", f"{AM} --config /dev/zero", "Is a pipe, socket or device"),
    _config(
        "config cut off", "layer: [conv1\nsteps: 3", 'config "a.yaml" cannot be read, line 2: '
    ),
    _config(
        "empty config", "", 'config "a.yaml" has no options, such as layer: conv1; it holds noth'
    ),
    _config("config of a list", "- layer\n- conv1", "such as layer: conv1; it holds a list"),
    _config(
        "config's near miss", "layr: conv1", 'has "layr", which is no option of am; did you mean'
    ),
    _config(
        "config's near miss within",
        "trainer:\n  max_step: 3",
        '"trainer.max_step", which is no option of am; did you mean "trainer.max_steps"?',
    ),
    _config(
        "config of another command", "groups: all", 'the config has "groups", which is no option'
    ),
    _config(
        "a list for a section",
        "steps: 2\ntrainer: [1, 2]",
        'config "a.yaml": trainer must be names with values, line 2',
    ),
    _config(
        "a number for a section", "input: 3", 'config "a.yaml": input must be names with values'
    ),
    Bad(
        "nothing for a section",
        f"{AM} --input null",
        'input must be names with values, as in "{name: value}", or the path of a config; got "nul',
    ),
    Bad(
        "a number for a report's section",
        f"{REPORT} --ranking 3",
        'ranking must be names with values, as in "{name: value}", or the path of a config; got "3',
    ),
    Bad("no name of a config", ("am", "--config", ""), "config needs the path of a YAML file, or"),
    _config("config of empty lines", "layer:\nweights:", "has no values: layer, weights is empty"),
    Bad(
        "no rankings in a config",
        f"{RANK} --config a.yaml",
        "by must be names of rankings, such as orientation; got None",
        text("a.yaml", "seed: 1\nby:"),
    ),
    Bad(
        "a number for rankings",
        f"{RANK} --config a.yaml",
        "by must be names of rankings, such as orientation; got [3]",
        text("a.yaml", "by: [3]"),
    ),
    _config("config's type", "steps: many", 'steps must be an integer; got "many"'),
    _config(
        "config with a number for a name", "3: conv1", "has 3 where an option's name is expected"
    ),
    _config(
        "config that calls",
        "layer: !!python/object/apply:os.system ['touch CODE_WAS_RUN']",
        "could not determine a constructor for the tag 'tag:yaml.org,2002:python/object/apply:os.",
    ),
    _config(
        "config that makes objects",
        "model_args: !!python/object/new:pathlib.Path ['x']",
        'config "a.yaml" cannot be read, line 1: could not determine a constructor for the tag',
    ),
    _config("config within itself", "layer: &a [*a]", 'config "a.yaml" is nested without end'),
    _config(
        "config that grows",
        _growing(),
        'config "a.yaml" has more than 100000 values, counting its aliases',
    ),
    Bad(
        "config that is no text",
        f"{AM} --config a.png",
        'config "a.png" is no text (byte 0)',
        picture("a.png"),
    ),
]
