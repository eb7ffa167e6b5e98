"""Look into a zip archive, as torch writes them, before torch reads it into memory."""

from __future__ import annotations

import zipfile
from pathlib import Path

#: Torch compresses nothing; an archive that somebody compressed shrinks to no less than this part.
_LEAST_PART = 0.1
#: Bytes; a small archive of zeros does no harm.
_HARMLESS = 2**24


def archive_problem(path: Path) -> str | None:
    """Return what is wrong with an archive of tensors, after its name; None for all other files.

    Torch looks neither at checksums nor at what an archive unpacks to.

    Raises:
        Exception: Of any kind, if the archive is damaged.
    """
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.filename.endswith("/constants.pkl") for member in members):
            return (
                "is a TorchScript archive, which has no Python modules to look at; save the "
                "original model's state_dict instead"
            )
        unpacked, size = sum(member.file_size for member in members), path.stat().st_size
        if unpacked > _HARMLESS and unpacked * _LEAST_PART > size:
            return (
                f"is a file of {size} bytes that unpacks to {unpacked}, which no file of weights "
                "does; save it again with torch.save"
            )
        # torch.serialization.set_crc32_options(False) leaves all checksums at 0.
        damaged = archive.testzip() if any(member.CRC for member in members) else None
    return None if damaged is None else f"is damaged: the checksum of {damaged!r} is wrong"
