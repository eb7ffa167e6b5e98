"""Format ``--help``: a short usage, an example to type, few of the Trainer's options."""

from __future__ import annotations

import re
import sys
import textwrap
from argparse import Action

from jsonargparse import DefaultHelpFormatter

#: Options of the Trainer that a run of ours is often given; it takes all others as well.
TRAINER_OPTIONS = (
    "accelerator",
    "devices",
    "num_nodes",
    "max_time",
    "default_root_dir",
    "logger",
    "callbacks",
)
#: Heading of the Trainer's options.
TRAINER_TITLE = (
    "Where to run, by Lightning's Trainer; every other argument of it is taken too, as in "
    "--trainer.enable_progress_bar false"
)
#: What the Trainer's own texts leave open, or say at length.
_TRAINER_HELP = {
    "accelerator": "cpu, gpu, mps, or auto: the best that there is.",
    "devices": "How many of them, or which: 4, [0,2], auto.",
    "num_nodes": "Machines that work together.",
    "max_time": "Stop after so long: 00:12:00:00 is twelve hours.",
    "default_root_dir": "Folder for lightning_logs; by default the current one.",
    "logger": "Loggers by class_path; by default TensorBoard's.",
    "callbacks": "Callbacks of Lightning's or your own, by class_path.",
}
#: Below the list of commands.
EPILOG = """\
Start with these:

  neurovis demo
  neurovis am --model torchvision.models.squeezenet1_0 --weights DEFAULT \\
      --layer features.10 --kernels 0-7

neurovis layers names the layers of a network; neurovis am --help and so on list a command's
options, which are also read from a YAML file (--config). The pages are README.md and docs/ of the
repository, and configs/ has a file for each experiment."""


class HelpFormatter(DefaultHelpFormatter):
    """jsonargparse's, for a screen of 80 columns and a person who is new to it."""

    def add_argument(self, action: Action) -> None:
        """Leave out seldom used options, which are accepted all the same."""
        name = _of_trainer(action)
        if action.dest == "trainer" or (name and name not in TRAINER_OPTIONS):
            return
        if action.option_strings[:1] and action.option_strings[0].endswith((".help", "--input")):
            return
        super().add_argument(action)

    def _expand_help(self, action: Action) -> str:
        text = super()._expand_help(action).removeprefix(" (required)")  # Commands have it.
        name = _of_trainer(action)
        if name:
            return _TRAINER_HELP.get(name, text)
        # Options are described by docstrings too.
        text = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", _without_markup(text))
        text = re.sub(r", known subclasses: ([\w., ]+)", _short_names, text)
        return text.replace("; --OPTION", f"; --{action.dest}")

    def _format_action_invocation(self, action: Action) -> str:
        # Every option that takes a list can be appended to with a plus.
        text = re.sub(r", --[\w.]+\+ \S+", "", super()._format_action_invocation(action))
        # Choices that fill a line stand in the text as well.
        return re.sub(r"\{[^}]{60,}\}", action.dest.upper(), text)

    def start_section(self, heading: str | None) -> None:
        """Begin a group of options; long headings take several lines."""
        # That of a class is the first line of its docstring.
        super().start_section(heading and textwrap.fill(_without_markup(heading), self._width))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = [_paragraph(part, width) for part in text.split("\n\n")]
        return "\n\n".join(textwrap.indent(part, indent) for part in paragraphs)


def _paragraph(text: str, width: int) -> str:
    """Return indented lines as they are, but for long ones; else the paragraph, filled."""
    if text.startswith("  "):
        lines = text.splitlines()
        return "\n".join(textwrap.fill(line, width, subsequent_indent=" " * 14) for line in lines)
    return textwrap.fill(" ".join(text.split()), width)


def _of_trainer(action: Action) -> str:
    """The Trainer's argument that an option is; empty for others, and for those of a class."""
    trainer, _, name = action.dest.partition(".")
    return name if trainer == "trainer" and "." not in name else ""


def _without_markup(text: str) -> str:
    """A docstring's words as they are meant to be seen."""
    text = re.sub(r"`([^`<]+) <([^`>]+)>`_+", r"\1 (\2)", text)
    return re.sub(r"(?::\w+)+:`~?([^`]+)`", r"\1", text).replace("``", "")


def _short_names(found: re.Match[str]) -> str:
    """Classes by the names that an option takes; a kind of tensor is no choice."""
    names = [path.rpartition(".")[2] for path in found[1].split(", ") if not _is_tensor(path)]
    if not names:
        return ""
    return f", classes: {', '.join(names)}; --OPTION.help CLASS lists the arguments of one"


def _is_tensor(path: str) -> bool:
    from torch import Tensor  # The command whose classes these are has imported it.

    module, _, name = path.rpartition(".")
    found = getattr(sys.modules.get(module), name, None)
    return isinstance(found, type) and issubclass(found, Tensor)
