"""``neurovis saliency``: the pixels of your own pictures that drove a kernel or a class."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import fields
from typing import cast

from jsonargparse import ArgumentParser, Namespace
from torch import Tensor, nn

from neurovis.cli.options import load_model_and_input
from neurovis.cli.picture_run import PictureRun, add_picture_arguments, checked_options
from neurovis.cli.saliency_results import COLUMNS, Explained, Randomization, Report
from neurovis.cli.stopping import stoppable
from neurovis.inputs import InputSpec
from neurovis.kernels import KernelSelection
from neurovis.recording import undisturbed
from neurovis.saliency import (
    METHODS,
    STRONGEST,
    KernelChoice,
    LayerTarget,
    Method,
    RandomizationCheck,
    SaliencyMaps,
    SaliencyOptions,
    SaliencySettings,
    cascading_randomization,
    check_method,
    kernel_choices,
    kernel_saliency,
)

#: Maps that are held in memory at a time, or those of one picture.
_MOST_MAPS = 64


def add_arguments(parser: ArgumentParser) -> None:
    """Options: the network, the pictures, what is explained and how."""
    add_picture_arguments(parser)
    parser.add_argument(
        "--layer",
        type=str | None,
        default=None,
        help="Dotted name, see neurovis layers; by default the output, whose kernels are classes.",
    )
    parser.add_argument(
        "--kernels",
        type=int | list[int] | str,
        default=STRONGEST,
        help='As in "0-15,20"; "all"; or strongest, the picture\'s own: the predicted class.',
    )
    parser.add_argument(
        "--method", type=str, default="gradient", help=f"How maps are made: {', '.join(METHODS)}."
    )
    parser.add_class_arguments(SaliencySettings, skip={"input_spec", "baseline"})
    parser.add_argument(
        "--baseline",
        type=float,
        default=0.0,
        help="integrated_gradients and occlusion: where the way begins and what covers a patch, in "
        "the network's space.",
    )
    parser.add_argument(
        "--randomization",
        action="store_true",
        help="Also see how much of the maps is left as the network's weights become random.",
    )
    parser.add_argument(
        "--max_stages",
        type=int | None,
        default=None,
        help="Of the randomization; by default every layer is one.",
    )
    parser.add_argument(
        "--max_kernels", type=int, default=16, help="Kernels in a figure; the files hold all."
    )


def run(options: Namespace) -> None:
    """Explain the kernels for each picture."""
    for name in ("max_kernels", "max_stages"):
        if options[name] is not None and options[name] < 1:
            raise ValueError(f"{name} must be at least 1; got {options[name]}")
    if options.max_stages is not None and not options.randomization:
        raise ValueError(
            f"max_stages is of the randomization; got {options.max_stages} without --randomization"
        )
    method = check_method(options.method)
    network, spec = load_model_and_input(options)
    settings = _settings(options, spec)
    with checked_options(network, spec):
        question = _Question(network, options.layer, options.kernels, method, settings, spec)
    pictures = PictureRun(options, spec)
    network.to(pictures.device)
    # Whatever is wrong is found before anything is written.
    first = spec.to_network(pictures.first_image()).to(pictures.device)
    with checked_options(network, spec):
        question.maps(question.choices[0], first)
    with stoppable(lambda: pictures.kept):
        _explain(question, pictures, options)


def _explain(question: _Question, pictures: PictureRun, options: Namespace) -> None:
    """Make the maps of all pictures, write and print."""
    report, randomization = Report(), None
    with ExitStack() as stack:
        table = stack.enter_context(pictures.table("results.csv", COLUMNS))
        if options.randomization:
            randomization = Randomization(pictures, question.tag, options.max_kernels)
            stack.enter_context(randomization)
        for numbered, images in pictures.batches(max(1, _MOST_MAPS // len(question.choices))):
            shown = pictures.spec.to_network(images).to(pictures.device)
            found = [question.maps(choice, shown) for choice in question.choices]
            for place, picture in enumerate(numbered):
                one = Explained(images[place], found, place)
                one.save(pictures, question.tag, picture, options.max_kernels)
                rows = one.rows(picture)
                table.write(rows)
                report.add(rows)
            if randomization is not None:
                checks = (
                    question.randomized(choice, shown, options.max_stages)
                    for choice in question.choices
                )
                randomization.add(list(checks), numbered, images)
    report.print(question.method, question.layer)
    if randomization is not None:
        randomization.print()
    pictures.finish()


def _settings(options: Namespace, spec: InputSpec) -> SaliencyOptions:
    """The options of the method as keyword arguments."""
    names = [field.name for field in fields(SaliencySettings) if field.name != "input_spec"]
    named = {name: options[name] for name in names}
    SaliencySettings(**named)
    return cast(SaliencyOptions, {**named, "input_spec": spec})


class _Question:
    """Kernels to explain, and the method and settings to explain them with.

    Args:
        network: Moved to its device before maps are asked for.
        layer: Dotted name; None for the output.
        kernels: Which, or ``"strongest"``.
        method: One of the saliency methods.
        settings: Options of the method.
        spec: What the network is shown.

    Raises:
        ValueError: If there is no such layer or kernel.
    """

    def __init__(
        self,
        network: nn.Module,
        layer: str | None,
        kernels: KernelSelection,
        method: Method,
        settings: SaliencyOptions,
        spec: InputSpec,
    ) -> None:
        self._network = network
        self._settings = settings
        example = spec.example()
        self._target = LayerTarget.find(network, layer, example)
        self.method = method
        with undisturbed(network):
            self.choices = kernel_choices(network, self._target, kernels, example)

    @property
    def layer(self) -> str:
        """The layer's name, or what stands for the output."""
        return self._target.label

    @property
    def tag(self) -> str:
        """As in the monitor of saliency maps."""
        return f"saliency/{self.method}/{self.layer}"

    def maps(self, choice: KernelChoice, images: Tensor) -> SaliencyMaps:
        """Maps of one choice for images ``(B, C, H, W)`` in the network's space."""
        return kernel_saliency(
            self._network, images, self._target, choice, self.method, **self._settings
        )

    def randomized(
        self, choice: KernelChoice, images: Tensor, max_stages: int | None
    ) -> RandomizationCheck:
        """The same while the network's weights become random."""
        return cascading_randomization(
            self._network,
            images,
            self._target,
            choice,
            self.method,
            max_stages=max_stages,
            **self._settings,
        )
