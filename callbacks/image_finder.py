"""Search for the images in a batch, whatever its structure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from torch import Tensor

from neurovis.first_forward import reason

#: Usual names of images in batches that are dictionaries.
_NAMES = ("image", "images", "img", "pixel_values", "input", "inputs", "x")


@dataclass(frozen=True)
class ImageFinder:
    """Finder of the images in a batch, by key or by a custom function.

    Args:
        input_key: See :func:`find_images`.
        get_images: A function that finds them instead.

    Raises:
        ValueError: If both are given.
        TypeError: If ``get_images`` cannot be called.
    """

    input_key: str | int | None = None
    get_images: Callable[[Any], Tensor] | None = None

    def __post_init__(self) -> None:
        if self.get_images is not None and self.input_key is not None:
            raise ValueError("input_key and get_images exclude each other; got both")
        if self.get_images is not None and not callable(self.get_images):
            raise TypeError(
                f"get_images must be a function of a batch; got {type(self.get_images).__name__}"
            )

    def __call__(self, batch: Any, channels: int | None = None) -> tuple[Tensor, str]:
        """The images ``(B, C, H, W)``, and where they were found; ``channels`` if there are any."""
        if self.get_images is None:
            return find_images(batch, self.input_key, channels)
        try:
            images = self.get_images(batch)
        except Exception as error:
            raise ValueError(
                f"get_images failed on a batch of {_described(batch)}: {reason(error)}"
            ) from error
        if not _are_images(images):
            came = f"{tuple(images.shape)} {images.dtype}" if isinstance(images, Tensor) else images
            raise ValueError(
                f"get_images must return floating-point images (B, C, H, W); it returned {came}"
            )
        return images, "what get_images finds"


def find_images(
    batch: Any, key: str | int | None = None, channels: int | None = None
) -> tuple[Tensor, str]:
    """Find the images in a batch.

    Args:
        batch: A tensor, or tensors in (nested) tuples, lists, dictionaries and dataclasses.
        key: ``batch[key]`` holds the images, or ``batch.key`` of a dataclass or named tuple. By
            default the first floating-point tensor with four dimensions does, those with the
            right channels before others, then those named like images.
        channels: What the network takes, where it is known.

    Returns:
        The images ``(B, C, H, W)``, and where they were found, such as ``"batch[0]"``.

    Raises:
        ValueError: If there are none.

    Example:
        >>> import torch
        >>> images, place = find_images((torch.rand(8, 3, 32, 32), torch.arange(8)))
        >>> place
        'batch[0]'
    """
    part, place = (batch, "batch") if key is None else _part(batch, key)
    found = [(images, where) for images, where in _tensors(part, place) if _are_images(images)]
    if not found:
        raise ValueError(
            f"no floating-point images (B, C, H, W) in {place}, of a batch of {_described(batch)}; "
            "say where they are by input_key or get_images, or give probe_images; a forward that "
            "takes none cannot be watched"
        )
    endings = tuple(ending for name in _NAMES for ending in (f"[{name!r}]", f".{name}"))
    return min(
        found,
        key=lambda hit: (channels not in (None, hit[0].shape[1]), not hit[1].endswith(endings)),
    )


def _are_images(value: object) -> bool:
    return isinstance(value, Tensor) and value.ndim == 4 and value.is_floating_point()


def _part(batch: Any, key: str | int) -> tuple[Any, str]:
    """Return the part of a batch that a key selects, and its place."""
    if isinstance(key, str) and key in _field_names(batch):
        return getattr(batch, key), f"batch.{key}"
    try:
        return batch[key], f"batch[{key!r}]"
    except (KeyError, IndexError, TypeError):
        raise ValueError(
            f"input_key={key!r} finds nothing in a batch of {_described(batch)}"
        ) from None


def _field_names(batch: Any) -> tuple[str, ...]:
    """The fields of a dataclass or a named tuple."""
    if is_dataclass(batch) and not isinstance(batch, type):
        return tuple(field.name for field in fields(batch))
    return tuple(getattr(batch, "_fields", ())) if isinstance(batch, tuple) else ()


def _tensors(batch: Any, place: str) -> Iterator[tuple[Tensor, str]]:
    """All tensors in a batch, depth first, and where each is."""
    if isinstance(batch, Tensor):
        yield batch, place
    elif isinstance(batch, Mapping):
        for key, part in batch.items():
            yield from _tensors(part, f"{place}[{key!r}]")
    elif _field_names(batch):
        for name in _field_names(batch):
            yield from _tensors(getattr(batch, name), f"{place}.{name}")
    elif isinstance(batch, (tuple, list)):
        for index, part in enumerate(batch):
            yield from _tensors(part, f"{place}[{index}]")


def _described(batch: Any) -> str:
    parts = [
        f"{place} {tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
        for tensor, place in _tensors(batch, "batch")
    ]
    return f"{type(batch).__name__} with {', '.join(parts) or 'no tensor'}"
