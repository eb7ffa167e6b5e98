"""Predictability: can one tell by a kernel's images which other pictures drive it?

Source: Zimmermann, Klindt, Brendel, "Measuring mechanistic interpretability at scale without
humans", NeurIPS 2024: a machine does the two-alternative test that people did before. It is shown
the images of a kernel and two held-out pictures, and says which drives the kernel more: the one
that is more like the images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from neurovis.analysis.descriptions import ImageDescriber, directions, images_by_kernel
from neurovis.analysis.picture_responses import PictureResponses, as_responses
from neurovis.analysis.shown_network import ShownNetwork
from neurovis.figures import score_histogram
from neurovis.inputs import InputSpec
from neurovis.kernels import check_kernels
from neurovis.maximization import MaximizationResults
from neurovis.rank_correlation import average_ranks
from neurovis.result import Result
from neurovis.top_images.images import ImageSource

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Fewer pictures give no score.
LEAST_PICTURES = 10
#: Kernels whose images are tried in place of a kernel's own, at most.
_MOST_OTHERS = 50


@dataclass(frozen=True, repr=False)
class Predictability(Result):
    """Scores of kernels' images as predictors of the pictures that drive the kernels.

    Attributes:
        layer: Dotted name.
        kernels: The ``K`` kernels.
        scores: ``(K,)`` part of the pairs of pictures that are told apart rightly: 1 for all, 0.5
            by chance; NaN for a kernel that responds alike to all pictures.
        null: ``(K, M)`` the same by the images of ``M`` other kernels.
        percentiles: ``(K,)`` percent of other kernels whose images tell less than its own.
        pictures: Number of pictures.
        space: Where images and pictures are compared: the name of a layer, or ``"pixels"``.
    """

    layer: str
    kernels: list[int]
    scores: Tensor
    null: Tensor
    percentiles: Tensor
    pictures: int
    space: str

    def rows(self) -> Iterator[dict[str, object]]:
        """One row for each kernel, for :func:`~neurovis.tables.write_table`."""
        for place, kernel in enumerate(self.kernels):
            yield {
                "layer": self.layer,
                "kernel": kernel,
                "predictability": self.scores[place].item(),
                "null": self.null[place].nanmean().item(),
                "percentile": self.percentiles[place].item(),
                "pictures": self.pictures,
                "space": self.space,
            }

    def figure(self) -> Figure:
        """Histogram of the scores, with those by the images of other kernels as an outline."""
        return score_histogram(
            self.scores,
            self.null.flatten() if self.null.numel() else None,
            f"{self.layer}: do images tell which pictures drive kernels?",
            f"part of pairs of {self.pictures} pictures told apart, by {self.space}",
            limits=(0.0, 1.0),
            null_name="images of other kernels",
        )

    def _summary(self) -> str:
        return (
            f"{self.layer}, {len(self.kernels)} kernels, {self.pictures} pictures compared in "
            f"{self.space}: median {self.scores.nanmedian():.2f}, by other kernels' images "
            f"{self.null.flatten().nanmedian():.2f}"
        )


def predictability(
    network: nn.Module,
    layer: str,
    references: MaximizationResults | Mapping[int, Tensor],
    pictures: ImageSource | PictureResponses,
    *,
    input_spec: InputSpec | None = None,
    judge: nn.Module | None = None,
    judge_spec: InputSpec | None = None,
    space: str | None = None,
    share: float = 0.2,
    batch_size: int = 32,
) -> Predictability:
    """Measure whether kernels' images tell which held-out pictures drive the kernels.

    Pictures that drive a kernel much are paired with such that drive it little (by the mean of its
    map), and the one that is more like the kernel's images is chosen. Likeness is the cosine of two
    descriptions: mean and standard deviation of each channel of a layer over its positions, in
    units of their spread over the pictures. The images of other kernels give the null.

    Args:
        network: The network; it is left exactly as it was found.
        layer: Dotted name of the kernels' layer.
        references: Images of some kernels: the results of an ascent, or for each kernel images
            ``(R, C, H, W)`` in [0, 1], such as its top images of other pictures.
        pictures: At least 10, none of which served to make the images: a folder, a tensor
            ``(N, C, H, W)`` in [0, 1], a data set or an iterable of images; or the responses that
            other analyses have read of them.
        input_spec: What the network is shown; ImageNet RGB at 224 pixels when None.
        judge: A network that sees likeness, such as one that was trained on other pictures; by
            default the network itself below the layer.
        judge_spec: What the judge is shown; as ``input_spec`` when None.
        space: The layer in which descriptions are taken; by default the judge's last convolution,
            or the last layer with kernels before ``layer``: pixels if that is the first.
        share: Part of the pictures that drive a kernel most, and least, that are paired.
        batch_size: Pictures at a time.

    Raises:
        ValueError: If there is no such layer or kernel, there are too few pictures, or ``share`` is
            not above 0 and at most 0.5.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3))
        >>> pictures, images = torch.rand(20, 3, 8, 8), {0: torch.rand(1, 3, 8, 8)}
        >>> found = predictability(network, "2", images, pictures, input_spec=InputSpec.rgb(8))
        >>> found.space, found.pictures
        ('0', 20)
    """
    if not 0 < share <= 0.5:
        raise ValueError(f"share must be above 0 and at most 0.5; got {share}")
    spec = input_spec or InputSpec.rgb(224)
    of_kernels = images_by_kernel(references)
    describe = ImageDescriber(network, layer, spec, judge, judge_spec, space, batch_size)
    maker, seen_by = ShownNetwork(network, spec, spec, batch_size), describe.judge
    # One forward serves both where they are the same.
    maker = seen_by if seen_by.key == maker.key else maker
    described = [describe(images) for images in of_kernels.values()]
    example = next(iter(of_kernels.values()))[:1]
    check_kernels(list(of_kernels), maker.means(layer, example).shape[1], layer)
    asked = {maker: {layer: 1}}
    asked[seen_by] = asked.get(seen_by, {}) | describe.asked
    read = as_responses(pictures, spec, batch_size).moments(asked)
    values = read[0][layer][:, 0]
    if len(values) < LEAST_PICTURES:
        raise ValueError(
            f"predictability needs at least {LEAST_PICTURES} pictures; got {len(values)}"
        )
    likeness = _likeness(read[-1][describe.space].flatten(1), described)
    return _scored(layer, list(of_kernels), values, likeness, share, describe.space)


def _likeness(pictures: Tensor, references: list[Tensor]) -> Tensor:
    """``(N, K)`` cosines of pictures and the images of each kernel, their mean."""
    of_images = directions(torch.cat(references), pictures)
    own = [part.mean(0) for part in of_images.split([len(images) for images in references])]
    return directions(pictures, pictures) @ torch.stack(own, 1)


def _scored(
    layer: str, kernels: list[int], values: Tensor, likeness: Tensor, share: float, space: str
) -> Predictability:
    number = max(1, int(share * len(values)))
    generator = torch.Generator().manual_seed(0)
    scores = torch.full((len(kernels),), torch.nan, dtype=torch.float64)
    null = torch.full((len(kernels), min(len(kernels) - 1, _MOST_OTHERS)), torch.nan).double()
    for place, kernel in enumerate(kernels):
        order = values[:, kernel].argsort(stable=True)
        least, most = order[:number], order[-number:]
        if values[most[0], kernel] <= values[least[-1], kernel]:
            continue
        scores[place] = _told_apart(likeness[most, place], likeness[least, place])
        others = torch.randperm(len(kernels) - 1, generator=generator)[: null.shape[1]]
        others += others >= place
        for column, other in enumerate(others.tolist()):
            null[place, column] = _told_apart(likeness[most, other], likeness[least, other])
    own = scores[:, None]
    percentiles = ((null < own).double() + (null == own).double() / 2).mean(1) * 100
    percentiles[scores.isnan()] = torch.nan
    return Predictability(layer, kernels, scores, null, percentiles, len(values), space)


def _told_apart(more: Tensor, less: Tensor) -> Tensor:
    """The part of all pairs in which the first is larger; equal ones count half."""
    ranks = average_ranks(torch.cat([more, less]))
    number = len(more)
    return (ranks[:number].sum() - number * (number + 1) / 2) / (number * len(less))
