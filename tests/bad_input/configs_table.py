"""Configs that are no configs, hold other options, or would make objects."""

from __future__ import annotations

import os

from bad_input.bad import Bad
from bad_input.commands import AM, RANK, REPORT
from bad_input.makers import picture, text


def _config(name: str, content: str, says: str) -> Bad:
    return Bad(name, "am --layer conv2 --config a.yaml", says, text("a.yaml", content))


def _pipe() -> None:
    os.mkfifo("p.yaml")


CONFIGS = [
    Bad("no config", f"{AM} --config a.yaml", "a.yaml"),
    Bad("config that is a folder", f"{AM} --config .", "config … not a file"),
    Bad("a pipe for a config", f"{AM} --config p.yaml", "p.yaml", _pipe),
    Bad("a device for a config", f"{AM} --config /dev/zero", "config … /dev/zero"),
    _config("a device for a section", "layer: conv1\ntrainer: /dev/zero", "/dev/zero"),
    _config("config cut off", "layer: [conv1\nsteps: 3", "a.yaml … line 2"),
    _config("empty config", "", '"a.yaml"'),
    _config("config of a list", "- layer\n- conv1", '"a.yaml"'),
    _config("config's near miss", "layr: conv1", '"layr" … "layer"'),
    _config(
        "config's near miss within",
        "trainer:\n  max_step: 3",
        '"trainer.max_step" … "trainer.max_steps"',
    ),
    _config("config of another command", "groups: all", '"groups"'),
    _config(
        "a list for a section",
        "steps: 2\ntrainer: [1, 2]",
        '"a.yaml" … trainer … [1, 2]',
    ),
    _config("a number for a section", "input: 3", '"a.yaml" … input … 3'),
    Bad(
        "nothing for a section",
        f"{AM} --input null",
        "input … null",
    ),
    Bad(
        "a number for a report's section",
        f"{REPORT} --ranking 3",
        "ranking … 3",
    ),
    Bad("no name of a config", ("am", "--config", ""), "am --help"),
    _config("config of empty lines", "layer:\nweights:", "--layer"),
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
    _config("config's type", "steps: many", 'steps … "many"'),
    _config("config with a number for a name", "3: conv1", "a.yaml … 3"),
    _config(
        "config that calls",
        "layer: !!python/object/apply:os.system ['touch CODE_WAS_RUN']",
        "python/object/apply:os.",
    ),
    _config(
        "config that makes objects",
        "model_args: !!python/object/new:pathlib.Path ['x']",
        "a.yaml … could not determine a constructor for the tag … line 1",
    ),
    Bad(
        "config that is no text",
        f"{AM} --config a.png",
        "a.png … byte",
        picture("a.png"),
    ),
]
