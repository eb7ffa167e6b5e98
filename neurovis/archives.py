"""Look at files of tensors: archives before torch reads them, and tensors before they are used."""

from __future__ import annotations

import zipfile
from pathlib import Path

import torch
from torch import Tensor

#: Torch compresses nothing; an archive compressed otherwise shrinks to no less than this part.
_STRONGEST_COMPRESSION = 0.1
#: Bytes; a small archive of zeros does no harm.
_HARMLESS_BYTES = 2**24
#: Torch reads a file that starts with this as an archive, whatever follows.
_START = b"PK\x03\x04"
#: Bytes of the records at an archive's end: of the archive, of its place, and of a large one.
_END, _LOCATOR, _LARGE_END = 22, 20, 56


def archive_problem(path: Path) -> str | None:
    """Return what is wrong with an archive of tensors, after its name; None for all other files.

    Torch looks neither at checksums nor at what an archive unpacks to.

    Raises:
        Exception: Any kind, if the archive is damaged.
    """
    with path.open("rb") as file:
        is_archive = file.read(len(_START)) == _START
    if not is_archive and not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        if _directory_place(path) != archive.start_dir:
            return "is damaged: it does not end with the directory that it names"
        members = archive.infolist()
        if any(member.filename.endswith("/constants.pkl") for member in members):
            return (
                "is a TorchScript archive, which has no Python modules to look at; save the "
                "original model's state_dict instead"
            )
        unpacked, size = sum(member.file_size for member in members), path.stat().st_size
        if unpacked > _HARMLESS_BYTES and unpacked * _STRONGEST_COMPRESSION > size:
            return (
                f"is a file of {size} bytes that unpacks to {unpacked}, which no file of weights "
                "does; save it again with torch.save"
            )
        # torch.serialization.set_crc32_options(False) leaves all checksums at 0.
        damaged = archive.testzip() if any(member.CRC for member in members) else None
    return None if damaged is None else f"is damaged: the checksum of {damaged!r} is wrong"


def tensor_problem(tensor: Tensor) -> str | None:
    """Return what is wrong with a tensor from a file, after its name; None if it holds numbers.

    A file of a few bytes may hold a tensor of any shape whose numbers are one and the same, or that
    has none.
    """
    if tensor.is_nested or tensor.layout != torch.strided or tensor.is_meta:
        kind = "nested" if tensor.is_nested else "meta" if tensor.is_meta else "sparse"
        return f"is a {kind} tensor; save one that is dense and on the CPU"
    needed, stored = tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()
    if needed > _HARMLESS_BYTES and needed * _STRONGEST_COMPRESSION > stored:
        return f"has shape {tuple(tensor.shape)}, and the file only {stored} bytes for it"
    return None


def _directory_place(path: Path) -> int | None:
    """Return the position of an archive's directory as its last bytes state it.

    Python finds a directory in front of these, torch's reader the one that they name: unless it is
    the same, the sizes that are looked at here are not of what is read.
    """
    with path.open("rb") as file:
        file.seek(-min(_END + _LOCATOR + _LARGE_END, path.stat().st_size), 2)
        records = file.read()
    end, locator = records[-_END:], records[-_END - _LOCATOR : -_END]
    if not end.startswith(b"PK\x05\x06"):
        return None
    if not locator.startswith(b"PK\x06\x07"):
        return int.from_bytes(end[16:20], "little")
    large = records[: -_END - _LOCATOR]
    is_here = int.from_bytes(locator[8:16], "little") == path.stat().st_size - len(records)
    if len(large) < _LARGE_END or not large.startswith(b"PK\x06\x06") or not is_here:
        return None
    return int.from_bytes(large[48:56], "little")
