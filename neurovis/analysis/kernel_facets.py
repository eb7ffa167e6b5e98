"""Facets of kernels: do the pictures that drive one do so in one way, or in several?

A kernel that responds to eyes and to wheels is driven by other kernels below in either case. So its
top pictures are described by what each kernel below contributes to its activation: nothing else in
them counts. They are clustered, and the number of clusters is that of the gap statistic (Tibshirani
et al. 2001), with a null that is spread as far, but evenly. A facet's preferred image is
that of the kernel as it is driven by this facet's kernels below. Images of facets are an idea of
Nguyen, Yosinski & Clune (2016), "Multifaceted feature visualization".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import Unpack

from neurovis.analysis.clusters import clusters
from neurovis.analysis.contributions import ContributionReader
from neurovis.analysis.picture_responses import PictureResponses, as_responses
from neurovis.analysis.preferred_images import run_ascents
from neurovis.analysis.shown_network import ShownNetwork
from neurovis.copies import frozen_copy
from neurovis.figures import labeled_grid
from neurovis.inputs import InputSpec
from neurovis.kernels import KernelSelection, select_kernels
from neurovis.layers import resolve_layer
from neurovis.maximization import ActivationMaximization, AscentOptions
from neurovis.result import Result, first_of
from neurovis.top_images.images import ImageSource, Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Fewer top pictures tell nothing of clusters.
_LEAST_TOP = 12
#: Number of pictures, at least, for each of a kernel's top ones.
_PER_TOP = 4
#: Fewer pictures have no facets.
LEAST_FOR_FACETS = _LEAST_TOP * _PER_TOP
_IN_FIGURES = 5


@dataclass(frozen=True)
class Facet:
    """One way in which pictures drive a kernel.

    Attributes:
        kernel: The kernel.
        number: Number of the facet, from 1: the one with the most pictures.
        count: How many the kernel has.
        p: Part of null samples that are clustered as much; NaN where too few pictures drive it.
        pictures: Numbers of its pictures, that which drives the kernel most first.
        vector: ``(C,)`` mean contribution of each kernel below.
    """

    kernel: int
    number: int
    count: int
    p: float
    pictures: list[int]
    vector: Tensor


@dataclass(frozen=True, repr=False)
class Facets(Result):
    """Facets of some kernels of a layer.

    Attributes:
        layer: Dotted name.
        space: Name of the layer below whose kernels' contributions are clustered.
        spec: What the network is shown.
        items: Of each kernel one or more; none if no kernel below drives it.
        shown: The pictures.
        images: ``(F, C, H, W)`` in [0, 1], a preferred image of each facet; None before
            :func:`facet_images`.
        activations: ``(F,)`` activation of each facet's kernel by its image.
    """

    layer: str
    space: str
    spec: InputSpec
    items: list[Facet]
    shown: Shown
    images: Tensor | None = None
    activations: Tensor | None = None

    @property
    def counts(self) -> dict[int, int]:
        """Number of facets of each kernel."""
        return {item.kernel: item.count for item in self.items}

    def rows(self) -> Iterator[dict[str, object]]:
        """One row for each facet, for :func:`~neurovis.tables.write_table`."""
        for place, item in enumerate(self.items):
            row: dict[str, object] = {
                "layer": self.layer,
                "kernel": item.kernel,
                "facet": item.number,
                "facets": item.count,
                "p": item.p,
                "space": self.space,
                "pictures": " ".join(self.shown.name(number) for number in item.pictures),
            }
            if self.activations is not None:
                row["activation"] = self.activations[place].item()
            yield row

    def figure(self) -> Figure:
        """Draw a row for each facet: its preferred image, if there is one, and its top pictures."""
        pictures, labels = [], []
        for place, item in enumerate(self.items):
            name = f"kernel {item.kernel}, {item.number} of {item.count}"
            if self.images is not None and self.activations is not None:
                pictures.append(self.images[place])
                labels.append(f"{name}: {self.activations[place]:.4g}")
            for number in item.pictures[:_IN_FIGURES]:
                pictures.append(self.shown.images.image(number))
                labels.append(self.shown.name(number))
            missing = _IN_FIGURES - len(item.pictures[:_IN_FIGURES])
            pictures += [torch.ones(self.spec.shape)] * missing
            labels += [""] * missing
        columns = _IN_FIGURES + (self.images is not None)
        title = f"{self.layer}: facets by {self.space}"
        return labeled_grid(torch.stack(pictures), labels, self.spec, title, columns)

    def _summary(self) -> str:
        counts = [f"kernel {kernel}: {count}" for kernel, count in self.counts.items()]
        return f"{self.layer}, facets by {self.space}: {first_of(counts)}"


def facets(
    network: nn.Module,
    layer: str,
    kernels: KernelSelection,
    pictures: ImageSource | PictureResponses,
    *,
    input_spec: InputSpec | None = None,
    space: str | None = None,
    top: int = 32,
    batch_size: int = 32,
) -> Facets:
    """Find the ways in which pictures drive kernels.

    A kernel's number is the mean of its map. What a kernel below contributes to it is its
    activation times the gradient, summed over positions; contributions of a picture count by their
    direction.

    Args:
        network: The network; it is left exactly as it was found.
        layer: Dotted name of the kernels' layer.
        kernels: Which.
        pictures: At least 48: a folder, a tensor ``(N, C, H, W)`` in [0, 1] or a data set; or the
            responses that other analyses have read of them.
        input_spec: What the network is shown; ImageNet RGB at 224 pixels when None.
        space: A layer below, which a forward calls once; by default the last one with kernels that
            all that drives ``layer`` passes, and that it mixes.
        top: Number of top pictures that are clustered, at least 12; at most a quarter of all.
        batch_size: Pictures at a time.

    Raises:
        ValueError: If there is no such layer or kernel, none is below, or there are too few
            pictures.
        TypeError: If pictures cannot be asked for by their number.
    """
    if top < _LEAST_TOP:
        raise ValueError(f"top must be at least {_LEAST_TOP}; got {top}")
    spec = input_spec or InputSpec.rgb(224)
    read = as_responses(pictures, spec, batch_size)
    shown = read.shown
    if shown.number is None:
        raise TypeError("facets looks at pictures twice; give a folder, a tensor or a data set")
    if shown.number < LEAST_FOR_FACETS:
        raise ValueError(f"facets needs at least {LEAST_FOR_FACETS} pictures; got {shown.number}")
    below = ContributionReader(network, layer, spec, space)
    (responses,) = read.moments({below.shown: {layer: 1}})
    values, numbers = responses[layer][:, 0], read.numbers
    chosen = select_kernels(kernels, values.shape[1], layer)
    top = min(top, len(numbers) // _PER_TOP)
    items: list[Facet] = []
    for kernel in chosen:
        best = values[:, kernel].argsort(descending=True, stable=True)[:top]
        of_kernel = [numbers[place] for place in best.tolist()]
        images = torch.stack([shown.images.image(number) for number in of_kernel])
        parts = [below.contributions(batch, kernel) for batch in images.split(batch_size)]
        items += _facets_of(kernel, torch.cat(parts), of_kernel)
    return Facets(layer, below.space, spec, items, shown)


def facet_images(
    network: nn.Module,
    found: Facets,
    *,
    accelerator: str = "auto",
    **settings: Unpack[AscentOptions],
) -> Facets:
    """Make a preferred image of each facet, in a network where only the facet drives its kernel.

    Each kernel below counts by its share of what facets contribute; if one contributes to no facet,
    or there is one facet alone, it counts as ever.

    Args:
        network: The network; it is left exactly as it was found.
        found: The facets.
        accelerator: As in Lightning's Trainer.
        **settings: Options of :class:`~neurovis.maximization.AscentSettings`.

    Returns:
        The facets with images, and the means of maps that their kernels reach by them in the
        network as it is.

    Raises:
        ValueError: If an option is out of its range, or the layer below has no weights of its own
            for each of its kernels.
    """
    images = []
    for item in found.items:
        driven = _driven_by(network, found, item)
        kernels = [item.kernel]
        module = ActivationMaximization(driven, found.layer, kernels, found.spec, **settings)
        images.append(run_ascents(module, accelerator=accelerator).images[0])
    made, kernels = torch.stack(images), [item.kernel for item in found.items]
    means = ShownNetwork(network, found.spec, found.spec).means(found.layer, made)
    return replace(found, images=made, activations=means[range(len(made)), kernels])


def _driven_by(network: nn.Module, found: Facets, facet: Facet) -> nn.Module:
    """Return a copy of the network in which what other facets contribute is taken away."""
    copy = frozen_copy(network)
    if facet.count == 1:
        return copy
    of_kernel = [item.vector for item in found.items if item.kernel == facet.kernel]
    total = torch.stack(of_kernel).clamp(min=0).sum(0)
    shares = torch.where(total > 0, facet.vector.clamp(min=0) / total, 1.0)
    module = resolve_layer(copy, found.space)
    own = module._parameters
    weight = own.get("weight")
    is_transposed = getattr(module, "transposed", False)
    if weight is None or is_transposed or len(weight) != len(shares):
        raise ValueError(
            f'images of facets need weights of each kernel of "{found.space}", a '
            f"{type(module).__name__}; give facets a convolution or linear layer as space"
        )
    for parameter in (weight, own.get("bias")):
        if parameter is not None:
            parameter.data.mul_(shares.to(parameter).reshape(-1, *[1] * (parameter.ndim - 1)))
    return copy


def _facets_of(kernel: int, contributions: Tensor, numbers: Sequence[int]) -> list[Facet]:
    """The facets of a kernel by contributions ``(N, C)`` for its top pictures."""
    drives = contributions.abs().sum(1) > 0
    numbers = [number for number, one in zip(numbers, drives.tolist(), strict=True) if one]
    directions = functional.normalize(contributions[drives].double(), dim=1)
    if len(numbers) < _LEAST_TOP:
        labels, p = torch.zeros(len(numbers), dtype=torch.long), math.nan
        if not numbers:
            return []
    else:
        labels, p = clusters(directions)
    order = labels.bincount().argsort(descending=True, stable=True)
    return [
        Facet(
            kernel,
            place + 1,
            len(order),
            p,
            [numbers[row] for row in (labels == label).nonzero().flatten().tolist()],
            directions[labels == label].mean(0).float(),
        )
        for place, label in enumerate(order.tolist())
    ]
