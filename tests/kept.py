"""Reads what a run keeps of its images, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

#: The folder of a first run, in the Trainer's ``default_root_dir``.
FIRST_RUN = Path("lightning_logs", "version_0")


def kept_images(
    run: Path, layer: str = "*", size: tuple[int, int] | None = None
) -> npt.NDArray[np.float32]:
    """The images ``(N, C, H, W)`` of a layer, file by file, without modalities that are frozen.

    Args:
        run: Its folder.
        layer: As its folder is called.
        size: Height and width of whole images, where only a part of them was optimized.
    """
    images = []
    for path in sorted(run.glob(f"finished/{layer}/*.npz")):
        with np.load(path) as arrays:
            record = json.loads(str(arrays["record"]))
            for variant, fields in enumerate(record["images"]):
                image = _image(path, variant, arrays)
                if fields["box"] is not None and size is not None:
                    top, left, bottom, right = fields["box"]
                    whole = np.full((len(image), *size), 0.5, dtype=np.float32)
                    whole[:, top:bottom, left:right] = image
                    image = whole
                images.append(image)
    return np.stack(images)


def _image(path: Path, variant: int, arrays: Any) -> npt.NDArray[np.float32]:
    picture = path.with_name(f"{path.stem}{f'_{variant + 1}' if variant else ''}.png")
    parts = []
    if picture.exists():
        with Image.open(picture) as pixels:
            parts.append(np.asarray(pixels).transpose(2, 0, 1) / np.float32(255))
    for name in arrays.files:
        if name.startswith("levels_") and name.endswith(f"_{variant}"):
            parts.append(arrays[name] / np.float32(65535))
    return np.concatenate(parts).astype(np.float32)
