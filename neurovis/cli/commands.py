"""The subcommands of ``neurovis``, whose modules are imported when they are needed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from jsonargparse import ArgumentParser, Namespace


@dataclass(frozen=True)
class Command:
    """Subcommand of ``neurovis``.

    Its module imports torch and Lightning, which takes seconds, and is imported by the methods.

    Args:
        module: Dotted name of a module with functions ``add_arguments(parser)`` and
            ``run(options)``.
        description: Shown by ``--help``; the first line also in the list of commands.
    """

    module: str
    description: str

    def load(self) -> None:
        """Import the module."""
        import_module(self.module)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the command's options to its parser."""
        import_module(self.module).add_arguments(parser)

    def run(self, options: Namespace) -> None:
        """Do the work with the parsed options."""
        import_module(self.module).run(options)


COMMANDS: dict[str, Command] = {
    "demo": Command(
        "neurovis.cli.demo",
        "See everything work in about two minutes, offline.\n\n"
        "Trains a small RGB-D network with monitors attached, then shows what the kernels and "
        "classes of the shipped network want.\n\n"
        "Example: neurovis demo --seconds 30",
    ),
    "layers": Command(
        "neurovis.cli.layers",
        "List a network's layers: kernels, output size, stride and receptive field.\n\n"
        "Example: neurovis layers --model torchvision.models.resnet18",
    ),
    "am": Command(
        "neurovis.cli.am",
        "Activation maximization: the preferred image of each kernel of a layer, or of many.\n\n"
        "Example: neurovis am --model torchvision.models.squeezenet1_0 --weights DEFAULT "
        "--layer features.10 --kernels 0-7",
    ),
    "group-am": Command(
        "neurovis.cli.group_am",
        "Group activation maximization: one image that drives a group of kernels together.\n\n"
        "Example: neurovis group-am --model demo --layer conv3 --groups all",
    ),
    "features": Command(
        "neurovis.cli.features",
        "Feature maps: what each kernel makes of your own pictures.\n\n"
        "Example: neurovis features --model torchvision.models.squeezenet1_0 --weights DEFAULT "
        "--layer features.0 features.12 --images docs/media/cat.jpg\n\n"
        "The photograph is the repository's; put in pictures of your own.",
    ),
    "saliency": Command(
        "neurovis.cli.saliency",
        "Saliency: which pixels of your own pictures drove a kernel or a class.\n\n"
        "Example: neurovis saliency --model torchvision.models.squeezenet1_0 --weights DEFAULT "
        "--method integrated_gradients --images docs/media/cat.jpg\n\n"
        "The photograph is the repository's; put in pictures of your own.",
    ),
    "rank": Command(
        "neurovis.cli.rank",
        "Rank kernels by orientation, color, modality, class, …, each beside random kernels.\n\n"
        "Example: neurovis rank --model torchvision.models.squeezenet1_0 --weights DEFAULT "
        "--layer features.0 --by orientation color",
    ),
    "report": Command(
        "neurovis.cli.report",
        "Kernel cards: one HTML page of kernels to sort and filter, each with its evidence.\n\n"
        "Example: neurovis report --model torchvision.models.squeezenet1_0 --weights DEFAULT "
        "--layer features.3 features.10 --kernels 0-15 --images docs/media/cat.jpg\n\n"
        "The photograph is the repository's; put in pictures of your own.",
    ),
}
