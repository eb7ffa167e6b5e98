"""From the files of one image to the image in [0, 1]."""

from __future__ import annotations

import warnings
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from neurovis.inputs import InputSpec, Modality
from neurovis.pictures.decoding import Decoded, decode_array, decode_picture
from neurovis.pictures.finding import ARRAY_SUFFIX, PictureFiles, find_picture

#: Weights of red, green and blue in luminance (ITU-R BT.601).
_LUMINANCE = (0.299, 0.587, 0.114)
#: Proportions of files of one frame may differ by so much, for sizes are whole pixels.
_SAME_PROPORTIONS = 0.02
#: Stretching a picture by more than this is worth a word.
_MOST_STRETCHED = 0.05
#: What integer files of 16 bits can hold.
_SIXTEEN_BITS = 65535


class ZeroDepthWarning(UserWarning):
    """Depths are exactly 0, which may mean that nothing was measured there."""


class StretchedWarning(UserWarning):
    """A picture's proportions are not those of the network's input."""


def read_picture(picture: str | Path | PictureFiles, spec: InputSpec) -> Tensor:
    """Read an image ``(C, H, W)`` in [0, 1], stretched to the spec's size.

    In 8-bit files (PNG, JPEG, TIFF) 0 to 255 is [0, 1], whatever the modality's range. Grey
    files of 16 bits or of float (PNG, TIFF) hold the modality's own unit, such as metres or
    millimetres; its ``range`` becomes [0, 1].

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
            image = _checked_array(path, spec)
            _warn_if_stretched(path, image, spec)
            return stretched(image, spec)
    alone = len(spec.modalities) == 1
    parts = {
        modality: _modality_values(picture.files[modality.name], modality, alone)
        for modality in spec.modalities
    }
    _check_proportions(picture, parts)
    first = spec.modalities[0]
    _warn_if_stretched(picture.files[first.name], parts[first], spec)
    return torch.cat([stretched(part, spec) for part in parts.values()])


def _checked_array(path: Path, spec: InputSpec) -> Tensor:
    image = decode_array(path)
    if image.ndim != 3 or len(image) != spec.channels or not image.numel():
        raise ValueError(
            f'"{path}" has shape {tuple(image.shape)}; expected ({spec.channels}, H, W)'
        )
    _check_finite(path, image)
    if image.min() < 0 or image.max() > 1:
        raise ValueError(f'"{path}" has values outside [0, 1]')
    return image


def _modality_values(path: Path, modality: Modality, alone: bool) -> Tensor:
    """A modality's part ``(channels, H, W)`` of an image, in [0, 1]."""
    decoded = decode_picture(path)
    values = _with_channels(path, decoded, modality, alone)
    if not decoded.in_unit:
        return values
    _check_finite(path, values)
    low, high = modality.range
    _check_range(path, values, modality, alone)
    if modality.name == "depth" and low >= 0:
        _warn_of_zeros(path, values)
    return ((values.double() - low) / (high - low)).clamp(0, 1).float()


def _with_channels(path: Path, decoded: Decoded, modality: Modality, alone: bool) -> Tensor:
    values, wanted = decoded.values, modality.channels
    if len(values) == wanted:
        return values
    if wanted == 1:
        if alone:
            return torch.einsum("chw,c->hw", values, torch.tensor(_LUMINANCE))[None]
        if torch.equal(values[:1].expand_as(values), values):
            return values[:1]
    elif modality.is_rgb and not decoded.in_unit:
        return values.expand(wanted, -1, -1)
    kind = "a colour" if len(values) == 3 else "a 16-bit or float" if decoded.in_unit else "a grey"
    raise ValueError(
        f'"{path}" is {kind} picture, and modality "{modality.name}" has {wanted} '
        f"channel{'s' if wanted > 1 else ''}; give another file, or a NumPy file .npy of all "
        'modalities. Of a folder, patterns choose files, such as "*_RGB.png"'
    )


def _check_finite(path: Path, values: Tensor) -> None:
    number = int((~values.isfinite()).sum())
    if number:
        raise ValueError(
            f'"{path}" has {number} values of {values.numel()} that are not finite (NaN or '
            "infinity); replace them"
        )


def _check_range(path: Path, values: Tensor, modality: Modality, alone: bool) -> None:
    """Warn of values that will be clipped; refuse a file that is hardly in range."""
    low, high = modality.range
    # In float32, as the file is: 1.1 is not outside of a range that ends at 1.1.
    outside = int(((values < low) | (values > high)).sum())
    if not outside:
        return
    lowest, highest = (f"{limit.item():.4g}" for limit in values.aminmax())
    share = outside / values.numel()
    found = (
        f'"{path}" holds {lowest} to {highest}: {outside} pixels ({share:.1%}) are outside the '
        f'range {low:g} to {high:g} of modality "{modality.name}"'
    )
    if share > 0.5:
        raise ValueError(f"{found}; {_remedy(values, modality, alone)}")
    warnings.warn(f"{found} and are clipped", stacklevel=2)


def _remedy(values: Tensor, modality: Modality, alone: bool) -> str:
    """The option that gives a modality the range of a file."""
    if modality.name == "depth":
        return f'give the modality\'s range, as in --input.depth_range "{_range_around(values)}"'
    holds_integers = bool((values == values.round()).all()) and values.min() >= 0
    is_sixteen_bits = holds_integers and 255 < values.max() <= _SIXTEEN_BITS
    limits = f"[0, {_SIXTEEN_BITS}]" if is_sixteen_bits else _range_around(values)
    entry = f"{{name: {modality.name}, channels: {modality.channels}, range: {limits}}}"
    listed = f"[{entry}]" if alone else f"[..., {entry}]"
    return (
        f"give the modality's range, on the command line as --input.modalities '{listed}', in YAML "
        f"as input: {{modalities: {listed}}}; mean and std, if the network has them, are in the "
        "same unit"
    )


def _range_around(values: Tensor) -> str:
    """``[low, high]`` in four digits, rounded outwards so that no value lies outside."""
    lowest, highest = (Decimal(limit.item()) for limit in values.aminmax())
    steps = [
        Decimal(1).scaleb(limit.adjusted() - 3) if limit else Decimal(1)
        for limit in (lowest, highest)
    ]
    low = lowest.quantize(steps[0], ROUND_FLOOR)
    high = highest.quantize(steps[1], ROUND_CEILING)
    if low == high:
        low, high = low - steps[0], high + steps[1]
    return f"[{low.normalize():f}, {high.normalize():f}]"


def _warn_of_zeros(path: Path, values: Tensor) -> None:
    """Say how many depths are exactly 0, unless all are."""
    zeros = int((values == 0).sum())
    if zeros and values.min() == 0 and values.max() > 0:
        warnings.warn(
            f'{zeros} pixels ({zeros / values.numel():.1%}) of "{path}" are 0, which many sensors '
            'write for "not measured"; they are shown as the nearest depth',
            ZeroDepthWarning,
            stacklevel=2,
        )


def _warn_if_stretched(path: Path, image: Tensor, spec: InputSpec) -> None:
    (height, width), (shown_height, shown_width) = image.shape[-2:], spec.size
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


def _check_proportions(picture: PictureFiles, parts: dict[Modality, Tensor]) -> None:
    """Refuse files that cannot show the same frame, as their heights and widths tell."""
    sizes = {modality.name: part.shape[1:] for modality, part in parts.items()}
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
    return functional.interpolate(
        image[None], size=spec.size, mode="bilinear", align_corners=False, antialias=True
    )[0].clamp(0, 1)
