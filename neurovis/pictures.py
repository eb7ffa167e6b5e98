"""A person's own pictures, read into images in [0, 1]."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from neurovis.inputs import InputSpec


def read_picture(path: str | Path, spec: InputSpec) -> Tensor:
    """Read an image ``(C, H, W)`` in [0, 1], resized to the spec's size.

    Args:
        path: A colour or grey picture (PNG, JPEG, …) for a spec that is one RGB or one-channel
            modality; or a NumPy file ``.npy`` ``(C, H, W)`` in [0, 1] for any modalities.
        spec: Modalities and size.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no picture, or does not have the spec's channels or range.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'there is no picture "{path}"')
    image = _read_array(path) if path.suffix == ".npy" else _read_colours(path, spec)
    if image.ndim != 3 or len(image) != spec.channels:
        raise ValueError(
            f'"{path}" has shape {tuple(image.shape)}; expected ({spec.channels}, H, W)'
        )
    if not (image.isfinite().all() and image.min() >= 0 and image.max() <= 1):
        raise ValueError(f'"{path}" has values outside [0, 1]')
    return F.interpolate(
        image[None], size=spec.size, mode="bilinear", align_corners=False, antialias=True
    )[0].clamp(0, 1)


def _read_array(path: Path) -> Tensor:
    try:
        return torch.from_numpy(np.load(path, allow_pickle=False)).float()
    except (ValueError, EOFError, TypeError) as error:
        raise ValueError(f'"{path}" is not a NumPy file of numbers: {error}') from error


def _read_colours(path: Path, spec: InputSpec) -> Tensor:
    if len(spec.modalities) > 1 or spec.channels not in (1, 3):
        names = ", ".join(f"{m.name} {m.channels}" for m in spec.modalities)
        raise ValueError(
            f'"{path}": give a .npy file ({spec.channels}, H, W) for inputs of {names}'
        )
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("L" if spec.channels == 1 else "RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f'"{path}" is not a picture that can be read: {error}') from error
    pixels = pixels.reshape(*pixels.shape[:2], spec.channels)
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255
