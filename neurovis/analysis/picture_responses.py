"""Responses of networks to pictures, which are read once for several analyses."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from neurovis.analysis.shown_network import ShownNetwork
from neurovis.inputs import InputSpec
from neurovis.top_images.images import ImageSource, number_images


class PictureResponses:
    """Pictures, and the responses to them that analyses have asked for.

    Analyses of preferred images take it in place of pictures: what one of them has read of a
    network, which must stay as it is, the next one does not read again.

    Args:
        pictures: A folder, a tensor ``(N, C, H, W)`` in [0, 1], a data set or an iterable.
        input_spec: What pictures are read as.
        batch_size: Pictures at a time.

    Attributes:
        shown: The pictures.
        numbers: Numbers of those that could be read, once responses were asked for.

    Raises:
        ValueError: If there are no pictures.
    """

    def __init__(self, pictures: ImageSource, input_spec: InputSpec, batch_size: int = 32) -> None:
        self.shown = number_images(pictures, input_spec)
        self.numbers: list[int] = []
        self._batch_size = batch_size
        self._known: dict[tuple[nn.Module, InputSpec], dict[str, Tensor]] = {}

    def moments(self, asked: Mapping[ShownNetwork, Mapping[str, int]]) -> list[dict[str, Tensor]]:
        """Return means and standard deviations of layers' maps for each network, in one pass.

        Args:
            asked: By network, as :meth:`ShownNetwork.moments` takes it.

        Returns:
            ``(N, asked, K)`` by name, for each network; ``N`` is the number of readable pictures.
        """
        known = [self._known.setdefault(network.key, {}) for network in asked]
        missing = [
            {name: number for name, number in layers.items() if not _has(own, name, number)}
            for own, layers in zip(known, asked.values(), strict=True)
        ]
        if any(missing):
            self._read(dict(zip(asked, missing, strict=True)))
        return [
            {name: own[name][:, :number] for name, number in layers.items()}
            for own, layers in zip(known, asked.values(), strict=True)
        ]

    def _read(self, asked: Mapping[ShownNetwork, Mapping[str, int]]) -> None:
        parts: dict[ShownNetwork, list[dict[str, Tensor]]] = {
            network: [] for network, layers in asked.items() if layers
        }
        self.numbers = []
        for images, numbers, _ in self.shown.loader(self._batch_size):
            if len(images):
                self.numbers += numbers.tolist()
                for network, read in parts.items():
                    read.append(network.moments(asked[network], images))
        if not self.numbers:
            raise ValueError("there must be a picture that can be read; got none")
        for network, read in parts.items():
            self._known[network.key] |= {
                name: torch.cat([one[name] for one in read]) for name in asked[network]
            }


def _has(known: Mapping[str, Tensor], name: str, number: int) -> bool:
    return name in known and known[name].shape[1] >= number


def as_responses(
    pictures: ImageSource | PictureResponses, spec: InputSpec, batch_size: int
) -> PictureResponses:
    """Return the responses to pictures, which may be responses already."""
    if isinstance(pictures, PictureResponses):
        return pictures
    return PictureResponses(pictures, spec, batch_size)
