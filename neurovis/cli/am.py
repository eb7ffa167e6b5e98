"""``neurovis am``: the preferred image of each kernel of some layers."""

from __future__ import annotations

from torch import nn

from neurovis.cli.ascent import ASCENT_TRAINER, AscentRun, ImageOptions
from neurovis.cli.commands import LayerNames, TrainerArguments
from neurovis.cli.evidence_options import JudgeOptions, TopImagesOptions
from neurovis.cli.options import NetworkOptions, is_top, layer_names
from neurovis.cli.stopping import stoppable
from neurovis.inputs import InputSpec
from neurovis.kernels import KernelSelection
from neurovis.layers import select_layers
from neurovis.maximization import ActivationMaximization, AscentOptions, AscentSettings
from neurovis.maximization.activation_maximization import Sign


def run(
    network: NetworkOptions,
    images: ImageOptions,
    ascent: AscentSettings,
    pictures: TopImagesOptions,
    judges: JudgeOptions,
    layer: LayerNames,
    kernels: int | list[int] | str = "all",
    sign: Sign = 1,
    trainer: TrainerArguments = ASCENT_TRAINER,
) -> None:
    """Optimize an image for each kernel.

    Args:
        network: Network and its input.
        images: Objective and images.
        ascent: Settings of the ascent.
        pictures: Real pictures to compare with.
        judges: Other networks that judge the images.
        layer: Dotted names, see neurovis layers; types such as Conv2d; or all-conv.
        kernels: Of each layer: "all"; as in "0-15,20"; or the first of a ranking,
            "top:16:orientation", see rank.
        sign: 1 for the images that drive kernels most, -1 for those that drive them least (most
            negative, or silent where a rectifier ends the layer), both for one beside the other.
        trainer: Arguments of the Trainer.
    """
    if pictures.are_wanted and sign == -1:
        raise ValueError(
            "top images drive kernels most, and --sign -1 least; give --sign both, or leave out one"
        )
    module, spec = network.load()
    settings = images.settings(ascent, spec)
    maximization = make_maximization(module, spec, layer, kernels, network.model, settings, sign)
    ascents = AscentRun(maximization, trainer, images.resume)
    if not pictures.are_wanted and not judges.judge and settings["variants"] == 1:
        ascents.run()
        return
    # Rankings, stimuli, saliency and reports, which the images alone do not need.
    from neurovis.cli.evidence import EvidenceRun

    evidence = EvidenceRun(pictures, judges, network, module, maximization, ascents.trainer)
    folder = ascents.run()
    with stoppable(lambda: f"while evidence was sought; the preferred images are in {folder}"):
        evidence.run(folder)
        evidence.raise_if_incomplete()


def make_maximization(
    network: nn.Module,
    spec: InputSpec,
    layers: object,
    kernels: KernelSelection,
    model: str,
    settings: AscentOptions,
    sign: Sign = 1,
) -> ActivationMaximization:
    """Return the ascents to the images of kernels.

    Args:
        network: The network.
        spec: What it is shown.
        layers: Names of layers, as the command line or a config has them.
        kernels: Which kernels of each layer.
        model: Import path of the network.
        settings: Keyword arguments of the ascent.
        sign: Whether images are to drive kernels most, least, or one of each.
    """
    selection = layer_names(layers)
    if not is_top(kernels):
        return ActivationMaximization(network, selection, kernels, spec, sign, **settings)
    from neurovis.cli.top_kernels import without_top

    ranked = {
        layer: without_top([kernels], network, spec, layer, model)[0]
        for layer in select_layers(network, selection)
    }
    return ActivationMaximization(network, list(ranked), ranked, spec, sign, **settings)
