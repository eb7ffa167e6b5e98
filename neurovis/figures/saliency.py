"""Figure of what drove a kernel in images: saliency maps beside and over the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from neurovis.figures.colors import (
    PERCENTILE,
    Key,
    color_limit,
    color_words,
    colored,
    overlaid,
    stated_maps,
)
from neurovis.figures.modalities import ShownImages, shown_images
from neurovis.figures.output import Pixels, side_by_side, to_pixels
from neurovis.figures.page import MAXIMUM_WIDTH, page_figure
from neurovis.figures.panels import Block, Blocks, Panel
from neurovis.figures.pictures import fitted, square_columns
from neurovis.inputs import InputSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Least and largest size of pictures; about what a block's texts take, in pixels down.
_LEAST_MAP, _LARGEST_MAP, _BLOCK_TEXTS = 128, 256, 90
#: Few images stand one below the other where they are large: a narrow page can be read as it is.
_FEW_BLOCKS, _WIDTH_OF_FEW = 4, 1200


def saliency_figure(
    images: Tensor,
    maps: Mapping[str, Tensor],
    labels: Sequence[str],
    spec: InputSpec | None,
    title: str,
    signed: bool,
    notes: Sequence[str] = (),
    first: tuple[str, Mapping[str, Tensor]] | None = None,
) -> Figure:
    """Images, each beside its saliency map and under it; one row a modality.

    Columns: the image; the image in gray under its map; the map; the first map, if given. The maps
    of an image share one scale over its modalities, and so do its first maps; below the maps stand
    the colors with the values of their ends, and the extremes. What is not finite is red.

    Args:
        images: ``(B, C, H, W)``, in [0, 1] if there is a spec, else in any unit: shown from their
            lowest to their highest value, as the figure says.
        maps: ``(B, H, W)`` for each modality by its name; or only one, by ``""``, which belongs to
            all modalities. Without a spec there is only that.
        labels: One for each image.
        spec: The modalities. One with several channels that is not ``rgb`` is shown as their mean.
        title: Stands over the figure.
        signed: Whether the maps' sign matters. If not, their sizes are shown.
        notes: Lines under the title.
        first: What to call the first maps, such as ``"first (step 0)"``, and those maps.

    Raises:
        ValueError: If there is no image, or the labels or maps are not the images'.

    Example:
        >>> images, maps = torch.rand(2, 4, 8, 8), torch.rand(2, 8, 8)
        >>> figure = saliency_figure(
        ...     images, {"rgb": maps, "depth": maps}, ["0", "1"], InputSpec.rgbd(8), "t", False
        ... )
    """
    shown = shown_images(images, spec)
    if len(labels) != len(images):
        raise ValueError(f"needs one label for each image; got {len(labels)} for {len(images)}")
    scaled = [_Scaled("map", _checked("maps", maps, shown), signed)]
    if first is not None:
        scaled.append(_Scaled(first[0], _checked("first", first[1], shown), signed))
        if set(first[1]) != set(maps):
            raise ValueError(f"first has maps of {list(first[1])}, but maps of {list(maps)}")
    blocks = _blocks(shown, scaled, labels, signed)
    scale = (
        f"{color_words(signed)}; the colors end at the {PERCENTILE:g}th percentile of "
        f"{'|map|' if signed else 'the map'} where it is not 0"
    )
    return page_figure(blocks, title, [*notes, scale, *shown.notes])


def _checked(argument: str, maps: Mapping[str, Tensor], shown: ShownImages) -> dict[str, Tensor]:
    """The maps in the order of the rows, as float32 on the CPU."""
    names = list(shown.pictures)
    if set(maps) != set(names) and set(maps) != {""}:
        raise ValueError(
            f'{argument} must have one map for each of {names}, or only one, named ""; '
            f"got {list(maps)}"
        )
    number, _, height, width = next(iter(shown.pictures.values())).shape
    for name, one in maps.items():
        if one.shape != (number, height, width):
            raise ValueError(
                f"{argument}[{name!r}] must be ({number}, {height}, {width}), as the images are; "
                f"got {tuple(one.shape)}"
            )
    order = names if set(maps) == set(names) else [""]
    return {name: maps[name].detach().float().cpu() for name in order}


class _Scaled:
    """Maps by modality, those of one image on one scale."""

    def __init__(self, heading: str, maps: dict[str, Tensor], signed: bool) -> None:
        self._heading = heading
        self.maps = maps if signed else {name: one.abs() for name, one in maps.items()}
        self._signed = signed
        self._of_images = torch.stack(list(self.maps.values()), dim=1)
        self.limits = torch.tensor([color_limit(one) for one in self._of_images])

    def panels(self, largest: int, frames: int) -> list[Panel]:
        """One for each image, of a number of frames."""
        pictures = [
            _pixels(colored(one, self.limits, self._signed), largest) for one in self.maps.values()
        ]
        strips = [
            side_by_side([one[index] for one in pictures], frames)
            for index in range(len(self._of_images))
        ]
        panels = []
        for index, (values, limit) in enumerate(
            zip(self._of_images, self.limits.tolist(), strict=True)
        ):
            words = stated_maps(dict(zip(self.maps, values, strict=True)), limit, self._signed)
            key = Key(strips[index][0].shape[1], limit, self._signed, words)
            panels.append(Panel(self._heading, strips[index], key))
        return panels


def _blocks(
    shown: ShownImages, scaled: Sequence[_Scaled], labels: Sequence[str], signed: bool
) -> Blocks:
    """A block for each image, in a grid that is about square."""
    rows = list(shown.pictures.values())
    height, width = (max(side, _LEAST_MAP) for side in rows[0].shape[-2:])
    columns = (2 + len(scaled)) * shown.frames
    stack = len(rows) // shown.frames * height
    across = square_columns(len(labels), stack + _BLOCK_TEXTS, columns * width)
    if len(labels) <= _FEW_BLOCKS:
        across = max(1, min(across, _WIDTH_OF_FEW // (columns * width)))
    largest = max(_LEAST_MAP, min(_LARGEST_MAP, MAXIMUM_WIDTH // (across * columns)))
    images = [_pixels(row, largest) for row in rows]
    maps = scaled[0].maps
    overlays = [
        _pixels(
            overlaid(row, maps[name if name in maps else ""], scaled[0].limits, signed), largest
        )
        for name, row in shown.pictures.items()
    ]
    panels = [one.panels(largest, shown.frames) for one in scaled]
    blocks = []
    for index, label in enumerate(labels):
        image, overlay = (
            Panel(heading, side_by_side([row[index] for row in pictures], shown.frames))
            for heading, pictures in (("image", images), ("map over image", overlays))
        )
        line = [overlay, *(of_maps[index] for of_maps in panels)]
        blocks.append(Block(label, image, [line], shown.names))
    return Blocks(blocks, across)


def _pixels(pictures: Tensor, largest: int) -> Pixels:
    return to_pixels(fitted(pictures, _LEAST_MAP, largest))
