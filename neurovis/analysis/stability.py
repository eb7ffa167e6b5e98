"""Stability: are images of one kernel from several seeds more alike than those of two kernels?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurovis.analysis.descriptions import ImageDescriber, images_by_kernel
from neurovis.figures import score_histogram
from neurovis.inputs import InputSpec
from neurovis.maximization import MaximizationResults
from neurovis.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Stability(Result):
    """Likeness of the images of each kernel, against that of the images of different kernels.

    Attributes:
        layer: Dotted name.
        kernels: The ``K`` kernels.
        dprime: ``(K,)`` by how much images of a kernel are more alike than images of it and of
            other kernels, in standard deviations of such likenesses: 0 where it is another image
            each time. NaN for a kernel with a single image.
        within: ``(K,)`` mean likeness, from -1 to 1, of two images of the kernel.
        between: ``(K,)`` mean likeness of an image of the kernel and one of another kernel.
        space: Where images are compared: the name of a layer, or ``"pixels"``.
    """

    layer: str
    kernels: list[int]
    dprime: Tensor
    within: Tensor
    between: Tensor
    space: str

    def rows(self) -> Iterator[dict[str, object]]:
        """One row for each kernel, for :func:`~neurovis.tables.write_table`."""
        for place, kernel in enumerate(self.kernels):
            yield {
                "layer": self.layer,
                "kernel": kernel,
                "dprime": self.dprime[place].item(),
                "within": self.within[place].item(),
                "between": self.between[place].item(),
                "space": self.space,
            }

    def figure(self) -> Figure:
        """Histogram of the kernels' d'."""
        title = f"{self.layer}: are images of one kernel alike?"
        return score_histogram(self.dprime, None, title, f"d′ of likeness in {self.space}")

    def _summary(self) -> str:
        return (
            f"{self.layer}, {len(self.kernels)} kernels compared in {self.space}: median d′ "
            f"{self.dprime.nanmedian():.2g}"
        )


def seed_stability(
    network: nn.Module,
    layer: str,
    images: MaximizationResults | Mapping[int, Tensor],
    *,
    input_spec: InputSpec | None = None,
    judge: nn.Module | None = None,
    judge_spec: InputSpec | None = None,
    space: str | None = None,
    batch_size: int = 32,
) -> Stability:
    """Measure whether several images of a kernel are more alike than images of different kernels.

    Likeness is the cosine of descriptions as for :func:`~neurovis.analysis.predictability`. d′ is
    the difference of its means over pairs of images of one kernel, and over pairs of different
    kernels, over the root of the mean of both variances. For one kernel, the means are over its own
    pairs, and the variances over those of all kernels, since it has few. They differ less than they
    would over many kernels where there are two or three, and d′ is larger.

    Args:
        network: The network; it is left exactly as it was found.
        layer: Dotted name of the kernels' layer.
        images: Several images of each of at least two kernels: results of ``variants``, or for each
            kernel images ``(R, C, H, W)`` in [0, 1].
        input_spec: What the network is shown; ImageNet RGB at 224 pixels when None.
        judge: As for :func:`~neurovis.analysis.predictability`, and so are ``judge_spec`` and
            ``space``.
        judge_spec: What the judge is shown.
        space: The layer in which images are compared.
        batch_size: Images at a time.

    Raises:
        ValueError: If there are images of fewer than two kernels, or no kernel has two.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3))
        >>> images = {kernel: torch.rand(4, 3, 8, 8) for kernel in range(2)}
        >>> found = seed_stability(network, "2", images, input_spec=InputSpec.rgb(8))
        >>> found.space, found.dprime.shape
        ('0', torch.Size([2]))
    """
    spec = input_spec or InputSpec.rgb(224)
    of_kernels = images_by_kernel(images)
    counts = torch.tensor([len(own) for own in of_kernels.values()])
    if len(counts) < 2 or counts.max() < 2:
        raise ValueError(
            "stability needs several images of a kernel, and images of at least two kernels; got "
            f"{counts.max()} of {len(counts)}: see variants"
        )
    describe = ImageDescriber(network, layer, spec, judge, judge_spec, space, batch_size)
    descriptions = describe(torch.cat(list(of_kernels.values())))
    # Counted from no mean: over images of few kernels that would push these apart.
    units = functional.normalize(descriptions, dim=1)
    found = _dprime(units @ units.T, torch.arange(len(counts)).repeat_interleave(counts))
    return Stability(layer, list(of_kernels), *found, describe.space)


def _dprime(likeness: Tensor, kernels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """d′ and the means within and between kernels, each ``(K,)``.

    Args:
        likeness: ``(N, N)`` of all pairs of images.
        kernels: ``(N,)`` the kernel of each image, ``0`` to ``K - 1``.
    """
    is_own = kernels[:, None] == torch.arange(int(kernels.max()) + 1)
    is_alike = kernels[:, None] == kernels
    within, between = (
        torch.where(chosen, likeness.double(), torch.nan)
        for chosen in (is_alike & ~torch.eye(len(kernels), dtype=torch.bool), ~is_alike)
    )
    means = [torch.stack([pairs[own].nanmean() for own in is_own.T]) for pairs in (within, between)]
    # Each pair stands there twice, which changes neither mean nor variance.
    variances = [pairs[~pairs.isnan()].var(correction=0) for pairs in (within, between)]
    spread = torch.stack(variances).mean().sqrt()
    return (means[0] - means[1]) / spread, means[0], means[1]
