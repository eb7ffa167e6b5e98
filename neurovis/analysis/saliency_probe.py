"""Show on one picture what drives each kernel of a report."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neurovis.calling import one_input
from neurovis.cards import Picture, overlay_uri
from neurovis.figures.pictures import number
from neurovis.inputs import InputSpec
from neurovis.saliency import LayerTarget, Method, kernel_saliency

#: Longest side of a saliency map on a card, in pixels.
_MAP_SIDE = 144
#: A map is small in a picture if it takes less than this part of its sides, and is shown with so
#: much around it as makes it this part of what is seen; never less than a part of the picture.
_SMALL, _AROUND, _LEAST_PART = 5, 3, 6


@dataclass(frozen=True)
class SaliencyProbe:
    """Picture for saliency maps, and the method that makes them.

    Args:
        image: ``(C, H, W)`` in [0, 1], of the network's size.
        name: What the page calls it.
        method: Saliency method of the maps.
    """

    image: Tensor
    name: str
    method: Method = "gradient"


class ProbeMaps:
    """Saliency maps of a layer's kernels on one picture.

    Args:
        network: The network.
        layer: Dotted name.
        spec: What the network is shown.
        probe: The picture.
    """

    def __init__(
        self, network: nn.Module, layer: str, spec: InputSpec, probe: SaliencyProbe
    ) -> None:
        device = next((one.device for one in network.parameters()), torch.device("cpu"))
        self._network = network = one_input(network, spec)
        self._spec, self._probe = spec, probe
        self._shown = spec.to_network(probe.image[None]).to(device)
        self._target = LayerTarget.find(network, layer, self._shown)

    def picture(self, kernel: int) -> Picture:
        """Return the map of a kernel's most active unit over the picture, with its activation.

        Where the map is 0 but for a small part, over that part of the picture.
        """
        probe, image = self._probe, self._probe.image
        found = kernel_saliency(
            self._network, self._shown, self._target, kernel, probe.method, readout="max"
        )
        maps = {name: one[0] for name, one in found.pooled(self._spec).items()}
        label = f"activation {number(found.values[0].item())}"
        title = f"{probe.method} of {found.names[0]} on {probe.name}"
        window = _window(torch.stack(list(maps.values())).abs().amax(0))
        if window is not None:
            down, across = window
            image = image[:, down, across]
            maps = {name: one[down, across] for name, one in maps.items()}
            label += f", at {across.start}, {down.start}"
            title += f", {image.shape[2]} x {image.shape[1]} pixels of it"
        source = overlay_uri(image, maps, self._spec, _MAP_SIDE, found.is_signed)
        return Picture(source, label, title)


def _window(sizes: Tensor) -> tuple[slice, slice] | None:
    """The part of an image, down and across, around a map ``(H, W)`` that is small in it."""
    here = sizes > sizes.max() / 100
    spans = []
    for axis, pixels in enumerate(sizes.shape):
        places = here.any(1 - axis).nonzero().flatten()
        if not len(places):
            return None
        first, extent = int(places[0]), int(places[-1] - places[0]) + 1
        if extent > pixels / _SMALL:
            return None
        side = max(_AROUND * extent, pixels // _LEAST_PART)
        start = min(max(first + extent // 2 - side // 2, 0), max(pixels - side, 0))
        spans.append(slice(start, min(start + side, pixels)))
    return spans[0], spans[1]
