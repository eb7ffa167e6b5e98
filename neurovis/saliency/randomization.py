"""Test if a saliency map depends on the network's weights, by randomizing them layer by layer.

A map that does not change while the weights are replaced by random ones shows the image, not the
network, however convincing it looks.

Source: Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim, "Sanity checks for saliency maps",
NeurIPS 2018: the cascading parameter randomization test.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from neurovis.calling import one_input
from neurovis.copies import frozen_copy
from neurovis.figures import receptive_field_figure
from neurovis.rank_correlation import rank_correlations
from neurovis.recording import undisturbed
from neurovis.result import Result, first_of
from neurovis.saliency.explanation import checked_settings, explain, find_target, one_kernel
from neurovis.saliency.maps import SIGNED, SaliencyMaps, kernel_name, maps_title
from neurovis.saliency.parameter_use import modules_in_use
from neurovis.saliency.settings import Method, SaliencyOptions
from neurovis.saliency.target import KernelChoice, LayerTarget

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Name of the stage at which nothing is randomized.
TRAINED = "trained"

#: Maximum number of draws of a stage's weights until none of the kernels is silent.
_MOST_DRAWS = 8
#: Difference of the seeds of two draws, larger than a network's number of stages.
_NEXT_DRAW = 100_003


@dataclass(repr=False)
class RandomizationCheck(Result):
    """Maps of a network whose layers are randomized one after another, from the top down.

    Args:
        stages: ``"trained"``, then the layer that was randomized last.
        maps: ``(S, B, H, W)``, pooled over all channels as :meth:`SaliencyMaps.pooled` does.
        correlations: ``(S, B)``: Spearman's rank correlation of the maps' magnitudes with those of
            the trained network, 1 at stage 0. NaN where a map is the same everywhere and has no
            ranks: random weights may silence a kernel behind a rectifier, and a map of a silent
            kernel is all zero, which says nothing of the method.
        signed_correlations: ``(S, B)``: those of the maps with their signs, summed over channels.
        method: One of :data:`~neurovis.saliency.METHODS`.
        layer: Dotted name of the layer; ``"output"`` for the network's output.
        kernels: The kernel of each image; None where the target was a function.
        gradcam_layer: As in :class:`~neurovis.saliency.SaliencyMaps`: at all stages that of the
            trained network.
        kernel_word: As there.
        class_names: As there.
    """

    stages: list[str]
    maps: Tensor
    correlations: Tensor
    signed_correlations: Tensor
    method: str
    layer: str
    kernels: list[int] | None
    gradcam_layer: str | None = None
    kernel_word: str = "kernel"
    class_names: Sequence[str] = ()

    @property
    def title(self) -> str:
        """Title of the maps, such as ``"gradcam of output at layer4.2"``."""
        return maps_title(self.method, self.layer, self.gradcam_layer)

    def rows(self) -> Iterator[dict[str, object]]:
        """One row for each stage and image, as a table has them."""
        names: list[dict[str, object]] = [{}] * self.maps.shape[1]
        if self.kernels is not None and self.class_names:
            names = [{"class_name": self.class_names[kernel]} for kernel in self.kernels]
        for stage, randomized in enumerate(self.stages):
            for image in range(self.maps.shape[1]):
                yield {
                    "layer": self.layer,
                    "method": self.method,
                    "image": image,
                    "kernel": None if self.kernels is None else self.kernels[image],
                    "stage": stage,
                    "randomized": randomized,
                    "correlation": self.correlations[stage, image].item(),
                    "signed_correlation": self.signed_correlations[stage, image].item(),
                    **names[image],
                }

    def figure(self, count: int = 4) -> Figure:
        """The maps of the first images at each stage, each on its own scale.

        Args:
            count: Maximum number of images.
        """
        kernels: Sequence[int | None] = self.kernels or [None] * self.maps.shape[1]
        named = [
            kernel_name(self.kernel_word, kernel, self.layer, self.class_names)
            for kernel in kernels[:count]
        ]
        maps = {f"image {at}, {name}": self.maps[:, at] for at, name in enumerate(named)}
        return receptive_field_figure(
            maps,
            self._labels,
            f"{self.title} as weights become random",
            dict.fromkeys(maps, self.method in SIGNED),
            notes=[
                *[name for name in maps if len(maps) == 1],
                "over each map: the layer whose weights became random last, and the rank "
                "correlation with the trained network's map, the median of all images",
            ],
        )

    @property
    def _labels(self) -> list[str]:
        found = self.signed_correlations if self.method in SIGNED else self.correlations
        medians = found.nanmedian(1).values.tolist()
        return [f"{name}: {median:.2f}" for name, median in zip(self.stages, medians, strict=True)]

    def _summary(self) -> str:
        return (
            f"{self.title}, {self.maps.shape[1]} images; median correlation with the trained "
            f"network's maps: {first_of(self._labels, 6)}; at last {self._labels[-1]}"
        )


def cascading_randomization(
    model: nn.Module,
    images: Tensor,
    layer: str | LayerTarget | None,
    kernel: KernelChoice,
    method: Method = "gradient",
    *,
    max_stages: int | None = None,
    **options: Unpack[SaliencyOptions],
) -> RandomizationCheck:
    """Measure how much of a saliency map is left as the network's layers are randomized.

    Modules that own parameters and work towards the layer, itself included, are randomized one
    after another, from the one used last to the first, and stay so. Each is given what its
    ``reset_parameters()`` gives, or, where it has none or is left as it was by it, normal
    numbers of the parameter's own mean and standard deviation. Weights that silence a kernel that
    responds when trained are drawn again, all of them and for all images, up to eight times. The
    network itself is not touched: all this is done to a copy.

    Magnitudes keep some correlation under any weights, since they follow the image's contrast;
    compare methods (Adebayo et al. 2018). Measured on an ImageNet SqueezeNet with all weights
    random: 0.02 to 0.18 is left of the gradient, 0.3 to 0.5 of guided backprop, which is known to
    fail.

    Args:
        model: The network.
        images: ``(B, C, H, W)``, as in :func:`~neurovis.saliency.kernel_saliency`.
        layer: As there.
        kernel: As there. ``"strongest"`` is decided by the trained network, and then kept.
        method: As there.
        max_stages: Most stages after the first; each then randomizes several modules.
            The last has everything randomized in any case. By default one for each module.
        **options: As there; ``seed`` also fixes the random weights.

    Returns:
        For ``S`` stages, the trained network first: ``maps`` ``(S, B, H, W)``, and the
        ``correlations`` and ``signed_correlations`` ``(S, B)`` of each with the trained network's.

    Raises:
        ValueError: If an argument is out of its range, or no parameter works towards the layer.
        TypeError: If an argument is of another type.
    """
    kernel = one_kernel(kernel)
    settings = checked_settings(model, images, kernel, method, **options)
    model = one_input(model, settings.input_spec)
    _check_stages(max_stages)
    with undisturbed(model):
        images = images.clone().detach()
        network = frozen_copy(model)
        target = find_target(model, layer, kernel, images, settings)
        found = [explain(network, images, target, kernel, method, settings)]
        if found[0].gradcam_layer is not None:
            settings = replace(settings, gradcam_layer=found[0].gradcam_layer)
        kernels = found[0].kernels
        kept = kernel if kernels is None else kernels
        stages = [TRAINED]
        above: list[nn.Module] = []
        for modules in _stages(network, target, images, max_stages):
            above += modules.values()
            for draw in range(_MOST_DRAWS):
                # What a forward draws, if it does, must not change the weights of later stages.
                torch.manual_seed(settings.seed + len(found) + _NEXT_DRAW * draw)
                # Layers further up may silence a kernel, too.
                for module in above if draw else modules.values():
                    randomize(module)
                maps = explain(network, images, target, kept, method, settings)
                if not (_constant(maps) & ~_constant(found[0])).any():
                    break
            stages.append(list(modules)[-1])
            found.append(maps)
    return _compared(stages, found)


def _check_stages(max_stages: object) -> None:
    is_integer = isinstance(max_stages, int) and not isinstance(max_stages, bool)
    if max_stages is not None and not (is_integer and max_stages >= 1):  # type: ignore[operator]
        raise ValueError(f"max_stages must be an integer of at least 1; got {max_stages!r}")


def _constant(found: SaliencyMaps) -> Tensor:
    """Return a mask ``(B,)`` of the images whose map is the same everywhere."""
    values = found.maps.flatten(1)
    return (values == values[:, :1]).all(1)


def _stages(
    network: nn.Module, target: LayerTarget, images: Tensor, max_stages: int | None
) -> Iterator[dict[str, nn.Module]]:
    """The modules to randomize at each stage, from the top down."""
    modules = list(reversed(modules_in_use(network, target, images[:1]).items()))
    if not modules:
        raise ValueError(f'no parameter works towards layer "{target.label}": nothing to randomize')
    number = len(modules) if max_stages is None else min(max_stages, len(modules))
    ends = [round(len(modules) * (stage + 1) / number) for stage in range(number)]
    for start, end in zip([0, *ends], ends, strict=False):
        yield dict(modules[start:end])


@torch.no_grad()
def randomize(module: nn.Module) -> None:
    """Give a module's own parameters random values, from the current random state.

    A batch norm's running statistics are reset with its weights, by its own ``reset_parameters``.
    Those of the trained network do not fit what random weights make: kept, they let the activations
    of a CIFAR ResNet-32 grow to 1e12.
    """
    parameters = list(module.parameters(recurse=False))
    trained = [parameter.clone() for parameter in parameters]
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
    for parameter, before in zip(parameters, trained, strict=True):
        # A weight norm's reset writes into a weight that is computed again in the next forward.
        if parameter.is_floating_point() and torch.equal(parameter, before):
            parameter.normal_(before.mean().item(), before.std(correction=0).item())


def _compared(stages: list[str], found: list[SaliencyMaps]) -> RandomizationCheck:
    pooled = torch.stack([maps.pooled()[""] for maps in found])
    signed = torch.stack([maps.maps.sum(1) for maps in found])
    trained = found[0]
    return RandomizationCheck(
        stages=stages,
        maps=pooled,
        correlations=_correlations(pooled.abs()),
        signed_correlations=_correlations(signed),
        method=trained.method,
        layer=trained.layer,
        kernels=trained.kernels,
        gradcam_layer=trained.gradcam_layer,
        kernel_word=trained.kernel_word,
        class_names=trained.class_names,
    )


def _correlations(maps: Tensor) -> Tensor:
    return torch.stack([rank_correlations(of_stage, maps[0]) for of_stage in maps]).float()
