"""``neurovis am``: the preferred image of each kernel of some layers."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace
from torch import nn

from neurovis.cli import top_images
from neurovis.cli.ascent import add_ascent_arguments, climb, make_trainer, settings
from neurovis.cli.options import add_layers_argument, layer_names, load_model_and_input
from neurovis.cli.stopping import stoppable
from neurovis.cli.top_kernels import is_top, resolve_kernels
from neurovis.inputs import InputSpec
from neurovis.layers import select_layers
from neurovis.maximization import ActivationMaximization


def add_arguments(parser: ArgumentParser) -> None:
    """Options of an ascent, which kernels, and real pictures to compare with."""
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


def make_module(options: Namespace, network: nn.Module, spec: InputSpec) -> ActivationMaximization:
    """The ascents to the images of the kernels that the options name."""
    ascent = settings(options, spec)
    selection, kernels = layer_names(options.layer), options.kernels
    if not is_top(kernels):
        return ActivationMaximization(network, selection, kernels, spec, **ascent)
    ranked = {
        layer: resolve_kernels(kernels, network, spec, layer, options.model)
        for layer in select_layers(network, selection)
    }
    return ActivationMaximization(network, list(ranked), ranked, spec, **ascent)


def run(options: Namespace) -> None:
    """Optimize an image for each kernel."""
    network, spec = load_model_and_input(options)
    module = make_module(options, network, spec)
    trainer = make_trainer(module, options)
    of_pictures = top_images.prepare(options, network, module, trainer)
    folder = climb(module, options, trainer)
    if of_pictures is None:
        return
    with stoppable(lambda: f"while top images were sought; the preferred images are in {folder}"):
        found = of_pictures.run(folder)
        if trainer.is_global_zero:
            top_images.raise_if_incomplete(found)
