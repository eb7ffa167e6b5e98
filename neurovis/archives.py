"""Look at files of tensors: archives before torch reads them, and tensors before they are used."""

from __future__ import annotations

import zipfile
from pathlib import Path

import torch
from torch import Tensor

#: Torch reads a file that starts with this as an archive, whatever follows.
_START = b"PK\x03\x04"


def archive_problem(path: Path) -> str | None:
    """Return what is wrong with an archive of tensors, after its name; None for all other files.

    Torch does not look at checksums.

    Raises:
        Exception: Any kind, if the archive is damaged.
    """
    with path.open("rb") as file:
        is_archive = file.read(len(_START)) == _START
    if not is_archive and not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.filename.endswith("/constants.pkl") for member in members):
            return (
                "is a TorchScript archive, which has no Python modules to look at; save the "
                "original model's state_dict instead"
            )
        # torch.serialization.set_crc32_options(False) leaves all checksums at 0.
        damaged = archive.testzip() if any(member.CRC for member in members) else None
    return None if damaged is None else f"is damaged: the checksum of {damaged!r} is wrong"


def tensor_problem(tensor: Tensor) -> str | None:
    """Return what is wrong with a tensor from a file, after its name; None if it is dense."""
    if tensor.is_nested or tensor.layout != torch.strided or tensor.is_meta:
        kind = "nested" if tensor.is_nested else "meta" if tensor.is_meta else "sparse"
        return f"is a {kind} tensor; save one that is dense and on the CPU"
    return None
