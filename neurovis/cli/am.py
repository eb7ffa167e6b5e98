"""``neurovis am``: the preferred image of each kernel of some layers."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from neurovis.cli import top_images
from neurovis.cli.ascent import add_ascent_arguments, climb, make_trainer, settings
from neurovis.cli.command import Command
from neurovis.cli.options import add_layers_argument, layer_names, load_model_and_input
from neurovis.cli.stopping import stoppable
from neurovis.cli.top_kernels import resolve_kernels
from neurovis.layers import select_layers
from neurovis.maximization import ActivationMaximization


def add_arguments(parser: ArgumentParser) -> None:
    """Options of an ascent, and which kernels."""
    add_layers_argument(parser)
    add_ascent_arguments(parser)
    parser.add_argument(
        "--kernels",
        type=int | list[int] | str,
        default="all",
        help='Of each layer: "all"; as in "0-15,20"; or the first of a ranking, '
        '"top:16:orientation", see rank.',
    )
    top_images.add_arguments(parser)


def run(options: Namespace) -> None:
    """Optimize an image for each kernel."""
    network, spec = load_model_and_input(options)
    ascent = settings(options, spec)
    layers = select_layers(network, layer_names(options.layer))
    kernels = {
        layer: resolve_kernels(options.kernels, options, network, spec, layer) for layer in layers
    }
    module = ActivationMaximization(network, layers, kernels, spec, **ascent)
    trainer = make_trainer(module, options)
    of_pictures = top_images.prepare(options, spec, trainer)
    folder = climb(module, trainer)
    if of_pictures is None:
        return
    with stoppable(lambda: f"while top images were sought; the preferred images are in {folder}"):
        results = [module.results_of(layer) for layer in layers]
        folders = {layer: module.folder_of(layer, folder) for layer in layers}
        of_pictures.run(network, results, trainer, folders, module.settings.readout)


COMMAND = Command(
    "Activation maximization: the preferred image of each kernel of a layer, or of many.\n\n"
    "Example: neurovis am --model torchvision.models.squeezenet1_0 --weights DEFAULT "
    "--layer features.10 --kernels 0-7",
    add_arguments,
    run,
)
