"""Images with one picture per modality, whatever their channels, and notes on them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from neurovis.figures.cells import row_names
from neurovis.figures.pictures import alarmed, finite_range, gray, stated_range
from neurovis.inputs import InputSpec


@dataclass(frozen=True)
class ShownImages:
    """Some images as pictures, one row a modality.

    Args:
        pictures: ``(B, 3, H, W)`` in [0, 1] by modality; by ``""`` if the modalities are unknown.
        names: What stands beside each row; empty if there is nothing to tell apart.
        notes: What a figure must say about them.
        frames: Number of frames of a video, whose rows come frame by frame and are shown side by
            side.
    """

    pictures: dict[str, Tensor]
    names: list[str]
    notes: list[str]
    frames: int = 1


def shown_images(images: Tensor, spec: InputSpec | None) -> ShownImages:
    """Show each modality of some images as one picture.

    Args:
        images: ``(B, C, H, W)``, in [0, 1] if there is a spec, else in any unit: scaled together
            to their own range, as a note says.
        spec: The modalities. ``rgb`` is shown as color, a one-channel modality as gray, and any
            other as the mean of its channels, as its name says.

    Raises:
        ValueError: If the images are not ``(B, C, H, W)`` with the spec's channels, or there is
            none.
    """
    if images.ndim != 4 or images.numel() == 0:
        raise ValueError(f"images must be (B, C, H, W), B > 0; got {tuple(images.shape)}")
    images = images.detach().float().cpu()
    if spec is None:
        return _of_unknown_unit(images)
    pictures, names = {}, []
    for modality, part in zip(
        spec.modalities, spec.split(images.clamp(0, 1)).values(), strict=True
    ):
        mean = modality.channels > 1 and not modality.is_rgb
        shown = part if modality.is_rgb else part.mean(1, keepdim=True).expand(-1, 3, -1, -1)
        pictures[modality.name] = shown
        names.append(f"{modality.name} (mean of {modality.channels})" if mean else modality.name)
    is_named = names != list(pictures)
    names = row_names(names, spec.frames)
    alone = len(names) == 1 and not is_named
    return ShownImages(pictures, [] if alone else names, [], spec.frames)


def _of_unknown_unit(images: Tensor) -> ShownImages:
    channels = images.shape[1]
    shown = images if channels == 3 else images.mean(1, keepdim=True)
    limits = finite_range(shown)
    levels = gray(shown.flatten(0, 1), limits)[:, 0].unflatten(0, shown.shape[:2])
    picture = alarmed(levels.expand(-1, 3, -1, -1), shown.isfinite().all(1))
    what = "image" if channels in (1, 3) else f"image (mean of {channels} channels)"
    note = f"{what} scaled to its own range: {stated_range(shown, limits)}"
    return ShownImages({"": picture}, [], [note])
