"""Remember the values of tensors, and find with one wait for the device whether they changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.grad_mode import _unsafe_preserve_version_counter
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

#: Number of values that are compared at once.
_VALUES_COMPARED_AT_ONCE = 2**22
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32}


@dataclass
class _Kept:
    """A tensor and what makes it the same again.

    Attributes:
        tensor: The tensor itself.
        alias: The same memory under the same size and strides, whatever becomes of the tensor.
        version: How often the tensor was changed in place, where that is counted.
        before: A copy: the bits of its values as integers, or, of a tensor that is not ``plain``,
            another tensor like it. None if it is only noticed that it changes.
        plain: True for strided tensors of torch itself.
    """

    tensor: Tensor
    alias: Tensor
    version: int | None
    before: Tensor | None = None
    plain: bool = True

    def is_moved(self) -> bool:
        """True if the tensor has another size, type or memory than before."""
        now, before = self.tensor, self.alias
        return (
            now.shape != before.shape
            or now.stride() != before.stride()
            or now.dtype != before.dtype
            or now.data_ptr() != before.data_ptr()
        )

    def has_new_version(self) -> bool:
        return _version(self.tensor) != self.version

    def restore(self) -> None:
        if self.before is None:
            return
        with torch.no_grad(), torch.inference_mode(self.alias.is_inference()):
            if self.plain:
                values = _dense(self.alias)
                values.copy_(self.before.view(self.alias.dtype).view(values.shape))
            else:
                self.tensor.copy_(self.before)


def remember(tensors: Iterable[tuple[Tensor, bool]]) -> Callable[[], list[Tensor]]:
    """Copy tensors on their device, and return a function that restores those that changed.

    Values, sizes, strides, types and versions are restored, also after assignments to ``.data``.
    One that did not change is not written to. For each device the host waits once, and once more
    if something changed.

    Args:
        tensors: Each with True if it is to be copied; else it is only noticed if its version
            changes.

    Returns:
        A function that returns the tensors that changed and could not be restored.
    """
    kept = [one for tensor, copied in tensors if (one := _kept(tensor, copied)) is not None]
    chunks = _copied_in_chunks([one for one in kept if one.plain and one.before is not None])
    copies = [one for one in kept if one.before is not None]
    versions = _unsafe_preserve_version_counter(
        tuple(one.tensor for one in copies if one.version is not None)
    )

    def restore() -> list[Tensor]:
        lost = [one.tensor for one in kept if one.before is None and one.has_new_version()]
        with versions:
            for one in kept:
                if one.plain and one.is_moved():
                    one.tensor.data = one.alias
                elif not one.plain and one.has_new_version():
                    one.restore()
            for one in _changed(copies, chunks):
                one.restore()
        return lost

    return restore


def _kept(tensor: Tensor, copied: bool) -> _Kept | None:
    if isinstance(tensor, (UninitializedBuffer, UninitializedParameter)) or tensor.is_meta:
        return None
    plain = _is_plain_tensor(tensor)
    kept = _Kept(tensor, tensor.data if plain else tensor, _version(tensor), plain=plain)
    if not copied:
        return kept
    if plain:
        kept.before = _bits(kept.alias)
        if tensor.device.type == "cpu":
            kept.before = kept.before.clone()
        return kept
    try:
        kept.before = tensor.detach().clone()
    except (RuntimeError, TypeError):  # Not all kinds of tensors can be copied.
        return kept
    return kept


def _copied_in_chunks(kept: Sequence[_Kept]) -> list[tuple[list[_Kept], Tensor]]:
    """Copy the tensors of accelerators with a few kernels: each becomes a piece of a larger one."""
    groups: dict[tuple[torch.device, torch.dtype], list[_Kept]] = defaultdict(list)
    sizes: dict[tuple[torch.device, torch.dtype], int] = defaultdict(int)
    chunks = []
    for one in kept:
        bits = one.before
        if bits is None or bits.device.type == "cpu":
            continue
        kind = bits.device, bits.dtype
        groups[kind].append(one)
        sizes[kind] += bits.numel()
        if sizes[kind] > _VALUES_COMPARED_AT_ONCE:
            sizes[kind] = 0
            chunks.append(groups.pop(kind))
    copied = []
    for chunk in (*chunks, *groups.values()):
        pieces = [one.before for one in chunk if one.before is not None]
        whole = torch.cat(pieces)
        for one, before in zip(
            chunk, whole.split([piece.numel() for piece in pieces]), strict=True
        ):
            one.before = before
        copied.append((chunk, whole))
    return copied


def _changed(kept: Iterable[_Kept], chunks: list[tuple[list[_Kept], Tensor]]) -> list[_Kept]:
    """Return the plain tensors whose bits are not what they were."""
    changed = [
        one
        for one in kept
        if one.plain and one.before is not None and one.before.device.type == "cpu"
        if not torch.equal(_bits(one.alias), one.before)
    ]
    differ = _are_true(
        (torch.cat([_bits(one.alias) for one in chunk]) != whole).any() for chunk, whole in chunks
    )
    suspects = [
        one
        for (chunk, _), is_other in zip(chunks, differ, strict=True)
        if is_other
        for one in chunk
    ]
    are_other = _are_true(
        (_bits(one.alias) != one.before).any() for one in suspects if one.before is not None
    )
    return changed + [one for one, is_other in zip(suspects, are_other, strict=True) if is_other]


def _are_true(flags: Iterable[Tensor]) -> list[bool]:
    """Bring flags to the host, those of one device together."""
    flags = list(flags)
    found = [False] * len(flags)
    for device in {flag.device for flag in flags}:
        numbers = [number for number, flag in enumerate(flags) if flag.device == device]
        values = torch.stack([flags[number] for number in numbers]).tolist()
        for number, value in zip(numbers, values, strict=True):
            found[number] = value
    return found


def _is_plain_tensor(tensor: Tensor) -> bool:
    return (
        type(tensor) in (Tensor, nn.Parameter)
        and tensor.layout is torch.strided
        and not (tensor.is_quantized or tensor.is_nested or tensor.is_conj() or tensor.is_neg())
    )


def _bits(tensor: Tensor) -> Tensor:
    """The bits of a tensor's values as integers: NaNs are equal to themselves, zero not to -0."""
    flat = _dense(tensor).reshape(-1)
    offset = flat.storage_offset() * flat.itemsize
    # The fewer integers, the faster they are compared.
    dtype = torch.int64 if flat.nbytes % 8 == offset % 8 == 0 else _INTEGERS[flat.itemsize]
    return flat.view(dtype)


def _dense(tensor: Tensor) -> Tensor:
    """The values of a tensor in the order of its memory, each once also if it is expanded."""
    if tensor.is_contiguous():
        return tensor
    strides = tensor.stride()
    for axis, stride in enumerate(strides):
        if stride == 0 and tensor.shape[axis] > 1:
            tensor = tensor.narrow(axis, 0, 1)
    return tensor.permute(sorted(range(tensor.dim()), key=lambda axis: -strides[axis]))


def _version(tensor: Tensor) -> int | None:
    """Return the number of in-place changes of a tensor, where they are counted."""
    return None if tensor.is_inference() else tensor._version
