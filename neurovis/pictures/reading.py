"""From the files of one image to the image in [0, 1]."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from neurovis.inputs import InputSpec
from neurovis.modality import Modality
from neurovis.pictures.decoding import Decoded, decode_array_picture, decode_picture
from neurovis.pictures.finding import ARRAY_SUFFIX, PictureFiles, find_picture
from neurovis.pictures.ranges import check_finite, check_range, survey, warn_of_zeros

#: Weights of red, green and blue in luminance (ITU-R BT.601).
_LUMINANCE = (0.299, 0.587, 0.114)
#: Proportions of files of one frame may differ by so much, for sizes are whole pixels.
_SAME_PROPORTIONS = 0.02
#: Stretching a picture by more than this is worth a word.
_MOST_STRETCHED = 0.05


class StretchedWarning(UserWarning):
    """A picture's proportions are not those of the network's input."""


def read_picture(picture: str | Path | PictureFiles, spec: InputSpec) -> Tensor:
    """Read an image ``(C, H, W)`` in [0, 1], stretched to the spec's size.

    In 8-bit files (PNG, JPEG, TIFF) 0 to 255 is [0, 1], whatever the modality's range. Gray
    files of 16 bits or of float (PNG, TIFF) hold the modality's own unit, such as meters or
    millimeters; its ``range`` becomes [0, 1].

    Args:
        picture: A file, or the files of an image as :func:`find_pictures` gives them. Given one
            file of several modalities, the others are found by its name. A NumPy file ``.npy``
            ``(C, H, W)`` in [0, 1] holds all modalities.
        spec: Modalities and size.

    Warns:
        UserWarning: If values outside the modality's range are clipped; it says how many.
        ZeroDepthWarning: If a file of the modality ``depth`` in its own unit has zeros beside
            positive values.
        StretchedWarning: If the picture's proportions are changed by more than 5 %.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no picture, does not have the modality's channels, has values that
            are not finite, or more than half of them are outside the modality's range.
    """
    if not isinstance(picture, PictureFiles):
        picture = find_picture(picture, spec)
    for path in picture.files.values():
        if path.suffix.lower() == ARRAY_SUFFIX:
            if len(set(picture.files.values())) > 1:
                raise ValueError(f'"{path}" must hold all modalities, as a NumPy file does')
            decoded = _checked_array(path, spec)
            _warn_if_stretched(path, decoded.size, spec)
            return _shrunk(decoded, decoded.strips(), spec.channels, spec)
    alone = len(spec.modalities) == 1
    parts, sizes = [], {}
    for modality in spec.modalities:
        path = picture.files[modality.name]
        part, sizes[modality.name] = _part(path, modality, alone, spec)
        parts.append(part)
    _check_proportions(picture, sizes)
    first = spec.modalities[0].name
    _warn_if_stretched(picture.files[first], sizes[first], spec)
    return torch.cat(parts)


def _part(
    path: Path, modality: Modality, alone: bool, spec: InputSpec
) -> tuple[Tensor, tuple[int, int]]:
    """A modality's part of an image at the spec's size, and the size of its file's picture."""
    decoded = decode_picture(path)
    strips = _values(path, decoded, modality, alone)
    return _shrunk(decoded, strips, modality.channels, spec), decoded.size


def _shrunk(decoded: Decoded, strips: Iterator[Tensor], channels: int, spec: InputSpec) -> Tensor:
    """A picture at the spec's size, upright.

    Strips are interpolated along their rows first, as an image in one piece is.

    Args:
        decoded: The picture.
        strips: Its values in [0, 1], as it is stored.
        channels: Channels of the strips.
        spec: Whose size it gets.
    """
    height, width = decoded.turned_size(spec.size)
    # In one piece: small tensors that stay between large ones keep the memory of all.
    narrow, end = torch.empty(channels, decoded.stored_size[0], width), 0
    for strip in strips:
        start, end = end, end + strip.shape[1]
        narrow[:, start:end] = _interpolated(strip, (end - start, width), spec)
    return decoded.upright(_interpolated(narrow, (height, width), spec)).clamp(0, 1)


def _checked_array(path: Path, spec: InputSpec) -> Decoded:
    decoded = decode_array_picture(path)
    if decoded.channels != spec.channels:
        shape = (decoded.channels, *decoded.size)
        raise ValueError(f'"{path}" has shape {shape}; expected ({spec.channels}, H, W)')
    found = survey(decoded.strips(), (0, 1))
    check_finite(path, found)
    if found.outside:
        raise ValueError(f'"{path}" has values outside [0, 1]')
    return decoded


def _values(path: Path, decoded: Decoded, modality: Modality, alone: bool) -> Iterator[Tensor]:
    """The strips of a modality's part of an image, in [0, 1].

    Raises:
        ValueError: If it does not have the modality's channels, or values that it could have.
    """
    mix = _mixing(path, decoded, modality, alone)
    if not decoded.in_unit:
        return (mix(strip) for strip in decoded.strips())
    low, high = modality.range
    found = survey((mix(strip) for strip in decoded.strips()), modality.range)
    check_finite(path, found)
    check_range(path, found, modality, alone)
    if modality.name == "depth" and low >= 0:
        warn_of_zeros(path, found)
    return (
        ((mix(strip).double() - low) / (high - low)).clamp(0, 1).float()
        for strip in decoded.strips()
    )


def _mixing(
    path: Path, decoded: Decoded, modality: Modality, alone: bool
) -> Callable[[Tensor], Tensor]:
    """Return the conversion of a file's channels to the modality's."""
    channels, wanted = decoded.channels, modality.channels
    if channels == wanted:
        return lambda strip: strip
    if wanted == 1:
        if alone:
            weights = torch.tensor(_LUMINANCE)
            return lambda strip: torch.einsum("chw,c->hw", strip, weights)[None]
        if all(torch.equal(strip[:1].expand_as(strip), strip) for strip in decoded.strips()):
            return lambda strip: strip[:1]
    elif modality.is_rgb and not decoded.in_unit:
        return lambda strip: strip.expand(wanted, -1, -1)
    kind = "a color" if channels == 3 else "a 16-bit or float" if decoded.in_unit else "a gray"
    raise ValueError(
        f'"{path}" is {kind} picture, and modality "{modality.name}" has {wanted} '
        f"channel{'s' if wanted > 1 else ''}; give another file, or a NumPy file .npy of all "
        'modalities. Of a folder, patterns choose files, such as "*_RGB.png"'
    )


def _warn_if_stretched(path: Path, size: tuple[int, int], spec: InputSpec) -> None:
    (height, width), (shown_height, shown_width) = size, spec.size
    change = (width * shown_height) / (height * shown_width)
    stretched = max(change, 1 / change) - 1
    if stretched > _MOST_STRETCHED:
        warnings.warn(
            f'"{path}" is {width} x {height} pixels and is stretched to {shown_width} x '
            f"{shown_height}, which changes its proportions by {stretched:.0%}; crop it, or give "
            "the network another --input.size",
            StretchedWarning,
            stacklevel=2,
        )


def _check_proportions(picture: PictureFiles, sizes: dict[str, tuple[int, int]]) -> None:
    """Refuse files that cannot show the same frame, as their heights and widths tell."""
    proportions = [width / height for height, width in sizes.values()]
    if max(proportions) > (1 + _SAME_PROPORTIONS) * min(proportions):
        stated = ", ".join(f"{name} {width} x {height}" for name, (height, width) in sizes.items())
        raise ValueError(
            f'the files of image "{picture.name}" do not show the same frame: their proportions '
            f"differ ({stated}); crop them to what they share"
        )


def stretched(image: Tensor, spec: InputSpec) -> Tensor:
    """An image at an input's size, interpolated without aliasing.

    Args:
        image: ``(C, H, W)`` in [0, 1].
        spec: Whose size it gets.

    Returns:
        ``(C, *spec.size)`` in [0, 1].
    """
    return _interpolated(image, spec.size, spec).clamp(0, 1)


def _interpolated(image: Tensor, size: tuple[int, int], spec: InputSpec) -> Tensor:
    mode = spec.interpolation
    if mode == "nearest":
        return functional.interpolate(image[None], size=size, mode="nearest-exact")[0]
    return functional.interpolate(
        image[None], size=size, mode=mode, align_corners=False, antialias=True
    )[0]
