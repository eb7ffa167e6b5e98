"""What ``--help`` says can be read on a narrow screen, and its examples can be typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml
from lightning.pytorch.callbacks import Callback

from neurovis.cli.help_text import TRAINER_OPTIONS
from neurovis.cli.main import COMMANDS, build_parser, main
from neurovis.saliency import METHODS
from neurovis.tuning import RANKINGS

ROOT = Path(__file__).resolve().parents[2]


def _help(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit, match="0"):
        main([*arguments, "--help"])
    return capsys.readouterr().out


class Linked(Callback):
    """As the `manual <https://example.org/manual>`_ says.

    Args:
        times: How often, as in :py:class:`~some.where.Times`.
    """

    def __init__(self, times: int = 1) -> None:
        self.times = times


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def _shell_commands(text: str) -> list[str]:
    """The indented commands of a help text, as a shell reads them."""
    return re.findall(r"^  (neurovis .*)$", text.replace("\\\n", ""), re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_that_is_understood(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (written,) = _shell_commands(COMMANDS[name].description)
    words = shlex.split(written)
    assert words[:2] == ["neurovis", name]
    options = build_parser(name).parse_args(words[2:])
    for path in options.get("images") or []:
        assert (ROOT / path).is_file()
    text = _help(capsys, name)
    head = text.split("\noptions:\n")[0]
    # As it can be copied from the screen: over several lines, and still the same words.
    (shown,) = _shell_commands(head)
    assert shlex.split(shown) == words


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_fits_the_screen(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = _help(capsys, *name.split())
    assert max(map(len, text.splitlines())) <= 80
    assert not re.search(r"``|:\w+:`|<class|paramref", text)
    assert text.startswith(f"usage: neurovis {name or 'COMMAND'} ")
    assert "\n\n" in text.split("options:")[0]


@pytest.mark.parametrize(
    ("asked", "option", "said"),
    [
        ("am --objective.help Direction", "objective.cosine_power", "or (N, K), for several"),
        ("am --parametrization.help Fourier", "parametrization.decay", "see FourierImages"),
        ("am --regularizers.help TotalVariation", "regularizers.weight", "total_variation"),
        ("am --transforms.help Jitter", "transforms.pixels", "(type: int | null"),
        ("rank --input.modalities.help", "input.modalities.name", 'by the name "rgb"'),
        (
            "features --trainer.callbacks.help neurovis.callbacks.FeatureMapMonitor",
            "trainer.callbacks.max_kernels",
            "as in network.named_modules()",
        ),
        (
            "am --trainer.callbacks.help LearningRateMonitor",
            "trainer.callbacks.log_momentum",
            "set to 'epoch' or 'step' to log lr",
        ),
        (
            "am --trainer.callbacks.help test_help_text.Linked",
            "trainer.callbacks.times",
            "As the manual (https://example.org/manual) says",
        ),
        (
            "am --objective.help Direction --objective.vectors.help Constant",
            "objective.vectors.values",
            "(required, type: Tensor)",
        ),
    ],
)
def test_the_help_of_a_class_is_like_that_of_a_command(
    asked: str, option: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(asked.split())
    text = capsys.readouterr().out
    assert text.startswith("usage: neurovis COMMAND [options]\n")
    assert max(map(len, text.splitlines())) <= 80
    assert not re.search(r"``|:\w+:`|`_|<class|paramref", text)
    assert f"\n  --{option} " in text
    assert said in " ".join(text.split())
    # Kinds of tensor are nothing to choose from.
    assert "subclass" not in text
    assert not re.search(r"FlatParameter|Uninitialized|ReadOnlyTensor|\btorch\.", text)


def test_classes_of_other_than_tensors_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["am", "--objective.help", "Direction"])
    text = " ".join(capsys.readouterr().out.split())
    assert "| Tensor | Constant, classes: Constant; --objective.vectors.help CLASS" in text


def test_the_whole_says_where_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    text = _help(capsys)
    commands = _shell_commands(text)
    assert len(commands) == 2
    for command in commands:
        words = shlex.split(command)[1:]
        build_parser(words[0]).parse_args(words[1:])
    assert [line for line in text.splitlines() if "command" in line and line.endswith(":")] == [
        "commands:"
    ]
    assert re.findall(r"^  ([a-z][a-z-]*) ", text, re.MULTILINE)[:-2] == list(COMMANDS)
    for word in (*COMMANDS, "README.md", "docs/", "configs/"):
        assert word in text


@pytest.mark.parametrize("name", ["am", "features", "rank"])
def test_few_of_the_trainer_s_options_are_shown_and_all_are_taken(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = re.findall(r"^  --trainer\.(\w+)", _help(capsys, name), re.MULTILINE)
    assert sorted(shown) == sorted(TRAINER_OPTIONS)
    arguments = [name, "--layer", "conv1", "--trainer.benchmark", "true"]
    arguments += ["--images", "photo.png"] * (name == "features")
    assert build_parser(name).parse_args(arguments[1:]).trainer.benchmark is True
    with pytest.raises(SystemExit, match="0"):
        main([*arguments, "--print_config"])
    assert yaml.safe_load(capsys.readouterr().out)["trainer"]["benchmark"] is True


def test_required_options_stand_in_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    usage = _help(capsys, "features").splitlines()[0]
    assert usage == "usage: neurovis features --layer LAYER --images PATH [options]"


def test_classes_have_the_names_that_options_take(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(_help(capsys, "am").split())
    assert "--objective.help CLASS lists the arguments of one" in text
    (names,) = re.findall(r"classes: ([\w, ]+); --objective\.help", text)
    for named in names.split(", "):
        with pytest.raises(SystemExit, match="0"):
            main(["am", "--objective.help", named])
    assert "Position" in names


@pytest.mark.parametrize(
    ("command", "names"),
    [("rank", RANKINGS), ("saliency", METHODS), ("report", [*RANKINGS, *METHODS])],
)
def test_every_ranking_and_method_is_named(
    command: str, names: Iterable[str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = _help(capsys, command)
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []
