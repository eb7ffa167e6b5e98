"""The picture on which a report shows what drives each kernel."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import torch
from jsonargparse import Namespace
from torch import Tensor, nn

from neurovis.cards import Picture, overlay_uri
from neurovis.cli.notes import Notes
from neurovis.cli.options import picture_paths
from neurovis.cli.ranked_images import DemoScenes
from neurovis.figures.pictures import number
from neurovis.inputs import InputSpec
from neurovis.maximization.top_images import PictureImages
from neurovis.pictures import find_pictures, read_picture
from neurovis.saliency import LayerTarget, Method, kernel_saliency

#: Longest side of a saliency map on a card, in pixels.
_LARGEST = 144
#: A map is small in a picture if it takes less than this part of its sides, and is shown with so
#: much around it as makes it this part of what is seen; never less than a part of the picture.
_SMALL, _AROUND, _LEAST_PART = 5, 3, 6


@dataclass(frozen=True)
class ProbePicture:
    """A picture, and how its saliency maps are made.

    Args:
        image: ``(C, H, W)`` in [0, 1].
        name: What the page calls it.
        method: Saliency method of the maps.
        spec: What the network is shown.
    """

    image: Tensor
    name: str
    method: Method
    spec: InputSpec

    def target(self, network: nn.Module, layer: str) -> LayerTarget:
        """A layer, found once for all its kernels."""
        return LayerTarget.find(network, layer, self._shown(network))

    def saliency(self, network: nn.Module, target: LayerTarget, kernel: int) -> Picture:
        """The map of one kernel's most active unit over the picture, with its activation there.

        Where the map is 0 but for a small part, over that part of the picture.
        """
        shown = self._shown(network)
        found = kernel_saliency(network, shown, target, kernel, self.method, readout="max")
        maps = {name: one[0] for name, one in found.pooled(self.spec).items()}
        label = f"activation {number(found.values[0].item())}"
        window = _window(torch.stack(list(maps.values())).abs().amax(0))
        image = self.image
        if window is not None:
            down, across = window
            image = image[:, down, across]
            maps = {name: one[down, across] for name, one in maps.items()}
            label += f", at {across.start}, {down.start}"
        source = overlay_uri(image, maps, self.spec, _LARGEST, found.is_signed)
        where = "" if window is None else f", {image.shape[2]} x {image.shape[1]} pixels of it"
        title = f"{self.method} of kernel {kernel} on {self.name}{where}"
        return Picture(source, label, title)

    def _shown(self, network: nn.Module) -> Tensor:
        device = next((one.device for one in network.parameters()), torch.device("cpu"))
        return self.spec.to_network(self.image[None]).to(device)


def choose_probe(options: Namespace, spec: InputSpec, method: Method) -> ProbePicture | None:
    """The picture that the options name; else the first of the images, or of the demo's scenes.

    Raises:
        OSError: If there is no such file.
        ValueError: If it is no picture, or there are several.
    """
    notes = Notes()
    with notes.taken():
        if options.probe is not None:
            found = find_pictures(picture_paths(options.probe, spec), spec, options.patterns)
            if len(found) > 1:
                raise ValueError(f"probe is one picture; got {len(found)}")
            chosen = ProbePicture(read_picture(found[0], spec), found[0].name, method, spec)
        elif options.images is not None:
            pictures = PictureImages(picture_paths(options.images, spec), spec, options.patterns)
            first, image = _first_readable(pictures)
            chosen = ProbePicture(image, pictures.pictures[first].name, method, spec)
        elif options.model == "demo":
            scene, _ = DemoScenes(spec)[0]
            chosen = ProbePicture(scene, "a scene of the demo", method, spec)
        else:
            return None
    notes.print()
    return chosen


def _first_readable(pictures: PictureImages) -> tuple[int, Tensor]:
    """The number of a picture, and the picture; if none can be read, what is wrong with one."""
    for index in range(len(pictures)):
        with suppress(ValueError, OSError):
            return index, pictures[index]
    return 0, pictures[0]


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
