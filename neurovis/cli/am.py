"""``neurovis am``: the preferred image of each kernel of a layer."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from neurovis.cli.ascent import add_ascent_arguments, climb, settings
from neurovis.cli.command import Command
from neurovis.cli.options import load_model_and_input
from neurovis.cli.top_kernels import resolve_kernels
from neurovis.maximization import ActivationMaximization


def add_arguments(parser: ArgumentParser) -> None:
    """Options of an ascent, and which kernels."""
    add_ascent_arguments(parser)
    parser.add_argument(
        "--kernels",
        type=int | list[int] | str,
        default="all",
        help='"all"; as in "0-15,20"; or the first of a ranking: "top:16:orientation", see rank.',
    )


def run(options: Namespace) -> None:
    """Optimize an image for each kernel."""
    network, spec = load_model_and_input(options)
    ascent = settings(options, spec)
    kernels = resolve_kernels(options.kernels, options, network, spec)
    module = ActivationMaximization(network, options.layer, kernels, spec, **ascent)
    climb(module, options)


COMMAND = Command(
    "Activation maximization: the preferred image of each kernel of a layer.\n\n"
    "Example: neurovis am --model torchvision.models.squeezenet1_0 --weights DEFAULT "
    "--layer features.10 --kernels 0-7",
    add_arguments,
    run,
)
