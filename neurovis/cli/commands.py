"""The subcommands of ``neurovis``: typed functions, imported when they are needed."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from docstring_parser import parse
from jsonargparse import Namespace

from neurovis.cli.command_parser import CommandParser
from neurovis.cli.help_text import TRAINER_TITLE


@dataclass(frozen=True)
class Untyped:
    """Annotation of an option that argparse adds without a type.

    Args:
        action: As argparse's, and so are the others.
        nargs: Number of values.
        metavar: Name of a value in the help.
        names: Values that it takes by name, which the help lists in place of ``{names}``.
    """

    action: str | None = None
    nargs: str | None = None
    metavar: str | None = None
    names: tuple[str, ...] = ()

    @property
    def options(self) -> dict[str, str]:
        """Arguments of ``add_argument``."""
        given = {"action": self.action, "nargs": self.nargs, "metavar": self.metavar}
        return {name: value for name, value in given.items() if value is not None}


#: Option that is written alone, as in ``--trust``.
Flag = Annotated[bool, Untyped(action="store_true")]
#: Names, several of which may follow an option; a single one may also stand in a config as it is.
#: Without a type, no YAML is read in "a: b.png" or "1".
LayerNames = Annotated[list[str], Untyped(nargs="+")]
#: Networks, in the same way or each behind an option of its own.
Models = Annotated[list[str] | None, Untyped(action="extend", nargs="+", metavar="MODEL[=WEIGHTS]")]
#: Files in the same way; or a file for each modality.
PicturePaths = Annotated[list[str] | dict[str, str] | None, Untyped(nargs="+", metavar="PATH")]
#: Arguments of Lightning's Trainer; the default of a parameter has those that are not Lightning's.
TrainerArguments = Annotated[Mapping[str, Any], "trainer"]


def listed_models(given: object) -> list[str]:
    """Return networks as the command line or a config has them.

    Raises:
        ValueError: If one is no text.
    """
    models = []
    for model in given if isinstance(given, list) else [] if given is None else [given]:
        if not isinstance(model, str):
            raise ValueError(f"judges are networks by name, as for --model; got {model!r}")
        models.append(model)
    return models


_TRAINER = {"enable_checkpointing": False, "enable_model_summary": False}


@dataclass(frozen=True)
class Command:
    """Subcommand of ``neurovis``: a function whose parameters are its options.

    A parameter whose type is a dataclass and that has no default stands for the dataclass's own
    options. Help texts come from docstrings. The function's module imports torch and Lightning,
    which takes seconds, and is imported by the methods.

    Args:
        module: Dotted name of the module whose function ``run`` it is.
        description: Shown by ``--help``; the first line also in the list of commands.
    """

    module: str
    description: str

    @cached_property
    def function(self) -> Callable[..., None]:
        """The function."""
        run: Callable[..., None] = import_module(self.module).run
        return run

    def parser(self, name: str) -> CommandParser:
        """The parser of its options.

        Args:
            name: The command's name.
        """
        parser = CommandParser(prog=f"neurovis {name}", description=self.description)
        parser.add_argument("--config", action="config", help="A YAML file with these options.")
        groups = self._groups()
        _add_options(parser, self.function, {*groups, "trainer"})
        for group in groups.values():
            # What the network is shown is made of other options.
            _add_options(parser, group, {"input_spec"})
        trainer = inspect.signature(self.function).parameters.get("trainer")
        if trainer is not None:
            _add_trainer(parser, trainer.default)
        required = [
            f"{action.option_strings[0]} {action.metavar or action.dest.upper()}"
            for action in parser._actions
            if action.required
        ]
        parser.usage = " ".join(["neurovis", name, *required, "[options]"])
        return parser

    def run(self, options: Namespace) -> None:
        """Call the function with instantiated options."""
        given = {**vars(options)}
        groups = self._groups()
        # A group may have an option of another group's name.
        own = [name for name in inspect.signature(self.function).parameters if name not in groups]
        arguments = {name: given.pop(name) for name in own}
        if "trainer" in arguments:
            arguments["trainer"] = vars(arguments["trainer"])
        for name, group in groups.items():
            fields = [field.name for field in dataclasses.fields(group) if field.name in given]
            arguments[name] = group(**{field: given.pop(field) for field in fields})
        self.function(**arguments)

    def _groups(self) -> dict[str, Any]:
        """Return the dataclasses of parameters that stand for several options."""
        return {
            name: kind
            for name, kind in get_type_hints(self.function).items()
            if dataclasses.is_dataclass(kind)
            and inspect.signature(self.function).parameters[name].default is inspect.Parameter.empty
        }


def _add_options(parser: CommandParser, component: Any, skip: Collection[str] = ()) -> None:
    """Add the parameters of a function, or those of a dataclass under a heading of their own.

    Args:
        parser: Parser of a command; options that it has by now are left out.
        component: The function or dataclass.
        skip: Names of parameters that are no options.
    """
    hints = get_type_hints(component, include_extras=True)
    there = {name for name in hints if f"--{name}" in parser._option_string_actions}
    untyped = {
        name: annotation
        for name, hint in hints.items()
        if name not in {*skip, *there} and (annotation := _untyped(hint)) is not None
    }
    left_out = {*skip, *there, *untyped}
    documented = parse(component.__doc__ or "")
    container: Any = parser
    if inspect.isclass(component):
        parser.add_class_arguments(component, skip=left_out)
        container = (parser.groups or {})[component.__name__]
        container.description = documented.long_description
    else:
        parser.add_function_arguments(component, as_group=False, skip=left_out)
    helps = {item.arg_name: item.description for item in documented.params}
    for name, annotation in untyped.items():
        default = inspect.signature(component).parameters[name].default
        given = {"required": True} if default is inspect.Parameter.empty else {"default": default}
        described = (helps[name] or "").replace("{names}", ", ".join(annotation.names))
        container.add_argument(f"--{name}", help=described, **given, **annotation.options)


def _untyped(hint: object) -> Untyped | None:
    """The annotation of an option without a type; None for others."""
    # Python 3.10 makes a type optional where the default is None.
    for part in (hint, *get_args(hint)):
        if get_origin(part) is Annotated and isinstance(part.__metadata__[0], Untyped):
            return part.__metadata__[0]
    return None


def _add_trainer(parser: CommandParser, defaults: Mapping[str, Any]) -> None:
    """Add the arguments of Lightning's Trainer."""
    import lightning.pytorch as pl

    parser.add_class_arguments(pl.Trainer, "trainer", instantiate=False)
    own = {**_TRAINER, **defaults}
    parser.set_defaults({f"trainer.{name}": value for name, value in own.items()})
    (parser.groups or {})["trainer"].title = TRAINER_TITLE


COMMANDS: dict[str, Command] = {
    "demo": Command(
        "neurovis.cli.demo",
        "See everything work in about two minutes, offline.\n\n"
        "Trains a small RGB-D network with monitors attached, then shows what the kernels and "
        "classes of the shipped network want.\n\n"
        "Example:\n\n"
        "  neurovis demo --seconds 30",
    ),
    "layers": Command(
        "neurovis.cli.layers",
        "List a network's layers: kernels, output size, stride and receptive field.\n\n"
        "Example:\n\n"
        "  neurovis layers --model torchvision.models.resnet18",
    ),
    "am": Command(
        "neurovis.cli.am",
        "Activation maximization: the preferred image of each kernel of a layer, or of many.\n\n"
        "Example:\n\n"
        "  neurovis am --model torchvision.models.squeezenet1_0 --weights DEFAULT \\\n"
        "      --layer features.10 --kernels 0-7",
    ),
    "group-am": Command(
        "neurovis.cli.group_am",
        "Group activation maximization: one image that drives a group of kernels together.\n\n"
        "Example:\n\n"
        "  neurovis group-am --model demo --layer conv3 --groups all",
    ),
    "features": Command(
        "neurovis.cli.features",
        "Feature maps: what each kernel makes of your own pictures.\n\n"
        "Example:\n\n"
        "  neurovis features --model torchvision.models.squeezenet1_0 \\\n"
        "      --weights DEFAULT --layer features.0 features.12 \\\n"
        "      --images docs/media/cat.jpg\n\n"
        "The photograph is the repository's; put in pictures of your own.",
    ),
    "saliency": Command(
        "neurovis.cli.saliency",
        "Saliency: which pixels of your own pictures drove a kernel or a class.\n\n"
        "Example:\n\n"
        "  neurovis saliency --model torchvision.models.squeezenet1_0 \\\n"
        "      --weights DEFAULT --method integrated_gradients \\\n"
        "      --images docs/media/cat.jpg\n\n"
        "The photograph is the repository's; put in pictures of your own.",
    ),
    "rank": Command(
        "neurovis.cli.rank",
        "Rank kernels by orientation, color, modality, class, …, each beside random kernels.\n\n"
        "Example:\n\n"
        "  neurovis rank --model torchvision.models.squeezenet1_0 --weights DEFAULT \\\n"
        "      --layer features.0 --by orientation color",
    ),
    "report": Command(
        "neurovis.cli.report",
        "Kernel cards: one HTML page of kernels to sort and filter, each with its evidence.\n\n"
        "Example:\n\n"
        "  neurovis report --model torchvision.models.squeezenet1_0 --weights DEFAULT \\\n"
        "      --layer features.3 features.10 --kernels 0-15 \\\n"
        "      --images docs/media/cat.jpg\n\n"
        "The photograph is the repository's; put in pictures of your own.",
    ),
}
