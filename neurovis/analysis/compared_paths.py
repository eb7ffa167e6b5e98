"""Path similarity: do a kernel's images take the same way in as the pictures that drive it?

Source: Geirhos, Zimmermann, Bilodeau, Brendel, Kim, "Don't trust your eyes: on the (un)reliability
of feature visualizations", ICML 2024: a network can be altered so that the images that are made for
its kernels show something else than what drives them, by units that work for such images only. So
images are trusted as far as they excite, layer by layer, what pictures excite.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurovis.analysis.descriptions import images_by_kernel
from neurovis.analysis.picture_prediction import LEAST_PICTURES
from neurovis.analysis.picture_responses import PictureResponses, as_responses
from neurovis.analysis.shown_network import ShownNetwork
from neurovis.figures import path_similarity_figure
from neurovis.inputs import InputSpec
from neurovis.kernels import check_kernels
from neurovis.maximization import MaximizationResults
from neurovis.result import Result, first_of
from neurovis.top_images.images import ImageSource

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What is said of a kernel that is flagged.
OTHER_WAY = "takes another way in than its top pictures"
#: Similarity in the last layer below which images take another way.
_LEAST_SIMILARITY = 0.15
#: Other kernels whose top pictures are tried in place of a kernel's own, at most.
_MOST_OTHERS = 100


@dataclass(frozen=True, repr=False)
class PathSimilarity(Result):
    """Correlations of what kernels' images and their top pictures excite, layer by layer.

    Attributes:
        layer: Dotted name.
        kernels: The ``K`` kernels.
        layers: The ``L`` layers with kernels before it, in the order of a forward.
        correlations: ``(K, L)``, from -1 to 1; NaN for a kernel that responds alike to all
            pictures.
        null: ``(K, M, L)`` the same with the top pictures of ``M`` other kernels of the layer.
        among_pictures: ``(K, L)`` the same of the top pictures with each other.
        pictures: Number of pictures.
        top_images: Number of top pictures of each kernel.
    """

    layer: str
    kernels: list[int]
    layers: list[str]
    correlations: Tensor
    null: Tensor
    among_pictures: Tensor
    pictures: int
    top_images: int

    @property
    def similarities(self) -> Tensor:
        """``(K, L)``, 0 for images like other kernels' top pictures, 1 for such like their own.

        Correlations on a scale from the null to those of the top pictures with each other; NaN
        where these are not above the null.
        """
        null = self.null.mean(1)
        reach = self.among_pictures - null
        return ((self.correlations - null) / reach).masked_fill(reach <= 0, torch.nan)

    @property
    def flagged(self) -> list[int]:
        """The kernels whose images excite the last layer unlike their top pictures."""
        places = (self.similarities[:, -1] < _LEAST_SIMILARITY).nonzero().flatten()
        return [self.kernels[place] for place in places]

    def rows(self) -> Iterator[dict[str, object]]:
        """One row for each kernel and layer before it, for :func:`~neurovis.tables.write_table`."""
        similarities, null = self.similarities, self.null.mean(1)
        for place, kernel in enumerate(self.kernels):
            for depth, before in enumerate(self.layers):
                yield {
                    "layer": self.layer,
                    "kernel": kernel,
                    "before": before,
                    "correlation": self.correlations[place, depth].item(),
                    "null": null[place, depth].item(),
                    "among_pictures": self.among_pictures[place, depth].item(),
                    "similarity": similarities[place, depth].item(),
                    "pictures": self.pictures,
                }

    def figure(self) -> Figure:
        """Correlation by depth, with the null as a band; flagged kernels stand out."""
        return path_similarity_figure(
            self.correlations,
            self.null,
            self.among_pictures,
            self.layers,
            {self.kernels.index(kernel): f"kernel {kernel} {OTHER_WAY}" for kernel in self.flagged},
            f"{self.layer}: do images take the way of the top {self.top_images} of "
            f"{self.pictures} pictures?",
        )

    def _summary(self) -> str:
        others = [f"kernel {kernel}" for kernel in self.flagged]
        last = self.correlations[:, -1].nanmedian()
        return (
            f"{self.layer}, {len(self.kernels)} kernels, top {self.top_images} of {self.pictures} "
            f"pictures: median correlation {last:.2f} in {self.layers[-1]}, with other kernels' "
            f"pictures {self.null[..., -1].flatten().nanmedian():.2f}; "
            + (f"another way in: {first_of(others)}" if others else "all take the same way in")
        )


def path_similarity(
    network: nn.Module,
    layer: str,
    references: MaximizationResults | Mapping[int, Tensor],
    pictures: ImageSource | PictureResponses,
    *,
    input_spec: InputSpec | None = None,
    top_images: int = 9,
    batch_size: int = 32,
) -> PathSimilarity:
    """Compare what kernels' images and the pictures that drive the kernels excite below.

    In each layer before the kernels' an image is described by the mean of each kernel's map, as a
    difference from the other images of its sort (pictures, or images of kernels), in units of the
    spread. The correlations of a kernel's images with its top pictures, those with the highest
    mean of its map, are compared with those with the top pictures of other kernels of the layer.
    Early layers differ in most networks; a kernel is flagged if the last layer before it does.

    Args:
        network: The network; it is left exactly as it was found.
        layer: Dotted name of the kernels' layer.
        references: Images of some kernels, best of several: the results of an ascent, or for each
            kernel images ``(R, C, H, W)`` in [0, 1].
        pictures: At least 10, none of which served to make the images: a folder, a tensor
            ``(N, C, H, W)`` in [0, 1], a data set or an iterable of images; or the responses that
            other analyses have read of them.
        input_spec: What the network is shown; ImageNet RGB at 224 pixels when None.
        top_images: Number of top pictures of each kernel, at least 2 and at most a fifth of all.
        batch_size: Pictures at a time.

    Raises:
        ValueError: If there is no such layer or kernel, no layer with 3 kernels or more is before
            it, there are too few pictures, or ``top_images`` is below 2.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 9, 3))
        >>> pictures, images = torch.rand(20, 3, 8, 8), {0: torch.rand(1, 3, 8, 8)}
        >>> found = path_similarity(network, "2", images, pictures, input_spec=InputSpec.rgb(8))
        >>> found.layers, tuple(found.null.shape)
        (['0'], (1, 8, 1))
    """
    if top_images < 2:
        raise ValueError(f"top_images must be at least 2; got {top_images}")
    spec = input_spec or InputSpec.rgb(224)
    of_kernels = images_by_kernel(references)
    kernels = list(of_kernels)
    shown = ShownNetwork(network, spec, spec, batch_size)
    layers = layers_on_path(shown, layer)
    asked = dict.fromkeys([*layers, layer], 1)
    of_images = [shown.moments(asked, images) for images in of_kernels.values()]
    check_kernels(kernels, of_images[0][layer].shape[2], layer)
    (of_pictures,) = as_responses(pictures, spec, batch_size).moments({shown: asked})
    values = of_pictures[layer][:, 0]
    if len(values) < LEAST_PICTURES:
        raise ValueError(
            f"path_similarity needs at least {LEAST_PICTURES} pictures; got {len(values)}"
        )
    top = values.topk(min(top_images, len(values) // 5), 0).indices.T
    is_silent = values.amax(0) == values.amin(0)
    others = _other_kernels(kernels, is_silent)
    compared = [
        _compared(
            of_pictures[name][:, 0], [one[name][:, 0] for one in of_images], top, kernels, others
        )
        for name in layers
    ]
    own, null, among = (torch.stack(of_layers, -1) for of_layers in zip(*compared, strict=True))
    own[is_silent[kernels]] = torch.nan
    return PathSimilarity(layer, kernels, layers, own, null, among, len(values), top.shape[1])


def layers_on_path(shown: ShownNetwork, layer: str) -> list[str]:
    """Return the layers before a layer that have 3 kernels or more: fewer have no correlation.

    Args:
        shown: The network.
        layer: Dotted name.

    Raises:
        ValueError: If there is no such layer, or none before it.
    """
    gray = torch.full((1, *shown.images_spec.shape), 0.5)
    found = shown.moments(dict.fromkeys(shown.layers(layer), 1), gray)
    layers = [name for name, means in found.items() if means.shape[2] > 2]
    if not layers:
        raise ValueError(
            f'layer "{layer}" has no layers with kernels before it, so there is no way in to '
            "compare; choose a later layer"
        )
    return layers


def _other_kernels(kernels: Sequence[int], is_silent: Tensor) -> Tensor:
    """``(K, M)`` some other kernels for each, which do not respond alike to all pictures."""
    generator = torch.Generator().manual_seed(0)
    candidates = (~is_silent).nonzero().flatten()
    number = min(_MOST_OTHERS, max(len(candidates) - 1, 0))
    rows = []
    for kernel in kernels:
        others = candidates[candidates != kernel]
        rows.append(others[torch.randperm(len(others), generator=generator)[:number]])
    return torch.stack(rows)


def _compared(
    pictures: Tensor, images: Sequence[Tensor], top: Tensor, kernels: Sequence[int], others: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Correlations in a layer ``(K,)``, their null ``(K, M)``, and those among pictures ``(K,)``.

    Args:
        pictures: ``(N, D)``, what pictures excite in a layer.
        images: ``(R, D)`` for each of ``K`` kernels, what its images excite.
        top: ``(all kernels, T)`` numbers of each kernel's top pictures.
        kernels: The ``K`` kernels.
        others: ``(K, M)`` kernels to compare each with.
    """
    # Of length 1 first: contrast, which is not what a picture shows, scales all kernels.
    pictures = functional.normalize(pictures, dim=1)
    made = torch.stack([functional.normalize(one, dim=1).mean(0) for one in images])
    spread = torch.cat([pictures, made]).std(0).clamp(min=1e-6)
    center = pictures.mean(0)
    # What all images that are made share tells nothing of one of them.
    units = _units((made - (made.mean(0) if len(made) > 1 else center)) / spread)
    of_top = _units((pictures - center) / spread)[top].mean(1)
    correlations = units @ of_top.T
    number = top.shape[1]
    among = (number * of_top[kernels].square().sum(1) - 1) / (number - 1)
    own = correlations[range(len(kernels)), kernels]
    return own, correlations.gather(1, others), among


def _units(vectors: Tensor) -> Tensor:
    """Vectors ``(N, D)`` without their mean and of length 1, whose products are correlations."""
    return functional.normalize(vectors - vectors.mean(1, keepdim=True), dim=1)
