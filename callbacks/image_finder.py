"""Search for the images in a batch, whatever its structure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from torch import Tensor

from neurovis.calling import argument_shapes, stack_arguments
from neurovis.first_forward import reason
from neurovis.inputs import InputSpec

#: Matches the last key or field of a place in a batch.
_KEY = re.compile(r"(\['[^']*'\]|\.\w+)$")
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

    def __call__(
        self, batch: Any, channels: int | None = None, spec: InputSpec | None = None
    ) -> tuple[Tensor, str]:
        """The images ``(B, C, H, W)``, and where they were found.

        Args:
            batch: As the Trainer hands it to a hook.
            channels: What the network takes, where it is known and there is no spec.
            spec: Modalities, which may be several tensors in the batch.
        """
        if self.get_images is None:
            if spec is None or spec.passed_as == "tensor":
                channels = channels if spec is None else spec.channels
                return find_images(batch, self.input_key, channels)
            return find_modalities(batch, spec, self.input_key)
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


def find_modalities(
    batch: Any, spec: InputSpec, key: str | int | None = None
) -> tuple[Tensor, str]:
    """Find the modalities in a batch that holds them as several tensors, or as a video.

    Args:
        batch: As for :func:`find_images`.
        spec: An argument's tensor is looked for by its name, then by its channels, in order. Where
            keys tell tensors apart, there must not be more than arguments for them.
        key: As for :func:`find_images`.

    Returns:
        The images ``(B, C, H, W)``, all modalities as channels, and where they were found.

    Raises:
        ValueError: If one is missing, several may be meant, or their sizes differ.
    """
    part, place = (batch, "batch") if key is None else _part(batch, key)
    tensors = [(one, where) for one, where in _tensors(part, place) if one.is_floating_point()]
    shapes = argument_shapes(spec)
    fitting = {
        argument: [hit for hit in tensors if _fits(hit[0], shape)]
        for argument, shape in shapes.items()
    }
    found: dict[str, tuple[Tensor, str]] = {}
    for argument, hits in fitting.items():
        endings = (f"[{argument!r}]", f".{argument}")
        found.update((argument, hit) for hit in reversed(hits) if hit[1].endswith(endings))
    for argument in [argument for argument in shapes if argument not in found]:
        taken = [where for _, where in found.values()]
        left = [hit for hit in fitting[argument] if hit[1] not in taken]
        if not left:
            raise ValueError(
                f'no tensor of "{argument}", {_worded(shapes[argument])}, in {place}, of a batch '
                f"of {_described(batch)}; say where the images are by get_images"
            )
        alike = [one for one in shapes if one not in found and shapes[one] == shapes[argument]]
        _check_certain(argument, [where for _, where in left], len(alike))
        found[argument] = left[0]
    places = " and ".join(found[argument][1] for argument in shapes)
    try:
        return stack_arguments(spec, {argument: hit[0] for argument, hit in found.items()}), places
    except RuntimeError as error:
        raise ValueError(
            f"the modalities in {places} do not go together: {reason(error)}"
        ) from error


def _check_certain(argument: str, places: list[str], wanted: int) -> None:
    """Refuse tensors whose keys tell them apart if more of them fit than there are arguments."""
    keyed = {ending[0]: place for place in places if (ending := _KEY.search(place))}
    if len(keyed) > wanted:
        raise ValueError(
            f'several tensors may be "{argument}": {", ".join(keyed.values())}; give the modality '
            "the key of one as its argument=, or say where the images are by get_images"
        )


def _fits(tensor: Tensor, shape: tuple[int | None, ...]) -> bool:
    return tensor.ndim == len(shape) and all(
        wanted in (None, size) for wanted, size in zip(shape, tensor.shape, strict=True)
    )


def _worded(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"


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
