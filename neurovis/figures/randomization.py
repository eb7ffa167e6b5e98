"""Saliency maps while weights are randomized, to test if maps depend on what was learned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from neurovis.figures.colors import PERCENTILE, Key, color_limit, color_words, colored
from neurovis.figures.modalities import shown_images
from neurovis.figures.output import Pixels, side_by_side, to_pixels
from neurovis.figures.page import page_figure
from neurovis.figures.panels import Block, Blocks, Panel, lines_of
from neurovis.figures.pictures import finite_range, fitted
from neurovis.inputs import InputSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Pixels across that the stages of an image take together, at most.
_STAGES_WIDTH = 1500
_RHO = "\N{GREEK SMALL LETTER RHO}"
#: Least and largest sizes of pictures where stages are few and where they are more than 8.
_FEW_STAGES, _MANY_STAGES = (128, 192), (96, 112)


def randomization_figure(
    images: Tensor,
    maps: Tensor,
    stages: Sequence[str],
    correlations: Tensor,
    spec: InputSpec | None,
    title: str,
    signed: bool,
    notes: Sequence[str] = (),
) -> Figure:
    """Images, and after each its saliency map at every stage of a randomization of the weights.

    Adebayo et al., "Sanity Checks for Saliency Maps", 2018: layers are randomized one after the
    other, from the output down; a map that stays the same does not show what the network learned.
    Below each map stands its rank correlation with the first. Each map has its own scale, as in
    the paper. What is not finite is red.

    Args:
        images: ``(B, C, H, W)``, in [0, 1] if there is a spec, else in any unit.
        maps: ``(S, B, H, W)``, one for each stage and image.
        stages: Names of the stages, the first being the trained network; long ones are wrapped.
        correlations: ``(S, B)``, of the maps with their signs if those matter, else of their
            magnitudes; NaN where there is none, as for a constant map.
        spec: The modalities, shown one below the other.
        title: Stands over the figure.
        signed: Whether the maps' sign matters. If not, their sizes are shown.
        notes: Lines under the title.

    Raises:
        ValueError: If there is no image or stage, or the shapes do not fit each other.
    """
    shown = shown_images(images, spec)
    expected = (len(stages), len(images), *images.shape[-2:])
    if len(stages) == 0 or maps.shape != expected:
        raise ValueError(
            f"maps must be (S, B, H, W), S > 0, of the stages and images: {expected}; "
            f"got {tuple(maps.shape)}"
        )
    if correlations.shape != maps.shape[:2]:
        raise ValueError(
            f"correlations must be (S, B) = {expected[:2]}; got {tuple(correlations.shape)}"
        )
    maps = maps.detach().float().cpu()
    sizes = _FEW_STAGES if len(stages) <= 8 else _MANY_STAGES
    rows = [to_pixels(fitted(row, *sizes)) for row in shown.pictures.values()]
    across = _STAGES_WIDTH // rows[0].shape[2] - 1
    blocks = []
    for index in range(len(images)):
        image = Panel("image", side_by_side([row[index] for row in rows], shown.frames))
        panels = _panels(maps[:, index], stages, correlations[:, index].tolist(), signed, sizes)
        blocks.append(Block("", image, lines_of(panels, across), shown.names))
    return page_figure(Blocks(blocks, 1), title, [*notes, _scale(signed), *shown.notes])


def _scale(signed: bool) -> str:
    """Return the meaning of colors and numbers, in words."""
    kind = "with signs" if signed else "of magnitudes"
    return (
        f"each map on its own scale: {color_words(signed)}, up to the {PERCENTILE:g}th percentile "
        f"of {'|map|' if signed else 'the map'} where it is not 0; "
        f"{_RHO}: rank correlation with the first map, {kind}"
    )


def _panels(
    maps: Tensor,
    stages: Sequence[str],
    correlations: Sequence[float],
    signed: bool,
    sizes: tuple[int, int],
) -> list[Panel]:
    """One for each stage of one image."""
    limits = torch.tensor([color_limit(one) for one in maps])
    pictures: Pixels = to_pixels(fitted(colored(maps, limits, signed), *sizes))
    panels = []
    for stage, one, correlation, picture in zip(stages, maps, correlations, pictures, strict=True):
        words = _stated(one, correlation)
        panels.append(Panel(stage, [picture], Key(picture.shape[1], 0, signed, words)))
    return panels


def _stated(one: Tensor, correlation: float) -> str:
    """Return the text below a map; a constant map has no meaningful correlation."""
    span, missing = finite_range(one), one.numel() - int(one.isfinite().sum())
    if not missing and span is not None and span[0] == span[1]:
        return "constant map"
    # Adding 0 turns a rounded -0 into 0.
    rounded = f"{round(correlation, 2) + 0.0:.2f}".replace("-", "\N{MINUS SIGN}")
    words = f"{_RHO} not defined" if math.isnan(correlation) else f"{_RHO} {rounded}"
    return words + (f"; {missing} not finite (red)" if missing else "")
