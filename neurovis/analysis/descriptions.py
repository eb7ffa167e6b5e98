"""Descriptions of images by the features of a network, whose cosines tell how alike images are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurovis.analysis.shown_network import PIXELS, ShownNetwork
from neurovis.inputs import InputSpec
from neurovis.maximization import MaximizationResults


def images_by_kernel(
    references: MaximizationResults | Mapping[int, Tensor],
) -> dict[int, Tensor]:
    """Return the images ``(R, C, H, W)`` that drive each kernel most.

    Raises:
        ValueError: If there are none.
    """
    if isinstance(references, Mapping):
        found = dict(references)
    else:
        found = {}
        for item in references.items:
            if item.sign < 0:  # It tells which pictures do not drive the kernel.
                continue
            (kernel,) = item.kernels
            images = item.image[None]
            found[kernel] = torch.cat([found[kernel], images]) if kernel in found else images
    if not found:
        raise ValueError("there must be images of at least one kernel; got none")
    return found


class ImageDescriber:
    """Describes images by the moments of the maps of a layer, of which cosines are taken.

    Args:
        network: Has the kernels that images are of.
        layer: Their layer.
        spec: What the network is shown.
        judge: Describes images; the network itself when None.
        judge_spec: What the judge is shown; as ``spec`` when None.
        space: Its layer; by default the judge's last one with kernels and maps, or the last such
            before ``layer`` if the judge is the network itself: pixels if there is none.
        batch_size: Images at a time.

    Attributes:
        judge: The judge, as it is shown images.
        space: Where images are described: the name of a layer, or ``"pixels"``.
        asked: The same, as :meth:`ShownNetwork.moments` takes it.

    Raises:
        ValueError: If there is no such layer, or the judge is shown other modalities than images
            have.
    """

    def __init__(
        self,
        network: nn.Module,
        layer: str,
        spec: InputSpec,
        judge: nn.Module | None = None,
        judge_spec: InputSpec | None = None,
        space: str | None = None,
        batch_size: int = 32,
    ) -> None:
        judge = judge or network
        self.judge = ShownNetwork(judge, judge_spec or spec, spec, batch_size)
        if space is None:
            before = layer if judge is network else None
            space = next(reversed(self.judge.layers(before, with_maps=True)), PIXELS)
        self.space = space
        self.asked = {space: 1 if space == PIXELS else 2}

    def __call__(self, images: Tensor) -> Tensor:
        """Describe images ``(N, C, H, W)`` in [0, 1], ``(N, D)``."""
        return self.judge.moments(self.asked, images)[self.space].flatten(1)


def directions(descriptions: Tensor, reference: Tensor) -> Tensor:
    """Return descriptions as directions, whose products are cosines.

    Args:
        descriptions: ``(N, D)``.
        reference: ``(M, D)`` of many images: each number is counted from their mean, in units of
            their standard deviation.

    Returns:
        ``(N, D)`` of length 1.
    """
    # Of length 1 first: contrast, which is not what an image shows, scales all channels.
    descriptions, reference = (
        functional.normalize(one, dim=1) for one in (descriptions, reference)
    )
    center, spread = reference.mean(0), reference.std(0).clamp(min=1e-6)
    return functional.normalize((descriptions - center) / spread, dim=1)
