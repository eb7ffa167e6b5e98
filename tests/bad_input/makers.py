"""Makes files that cannot be used: cut off, empty, endless, of another kind, or full of code."""

from __future__ import annotations

import functools
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bad_input.bad import MARKER
from PIL import Image
from torch import Tensor

Maker = Callable[[], object]


class Payload:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (MARKER,)


def all_of(*makers: Maker) -> Maker:
    return lambda: [maker() for maker in makers]


def text(name: str, content: str = "this is something else") -> Maker:
    return lambda: Path(name).write_text(content)


def raw(name: str, content: bytes) -> Maker:
    return lambda: Path(name).write_bytes(content)


def folder(name: str) -> Maker:
    return lambda: Path(name).mkdir(parents=True)


def closed(name: str, maker: Maker) -> Maker:
    """A file or folder that nobody has any permission for."""
    return all_of(maker, lambda: Path(name).chmod(0o500 if Path(name).is_dir() else 0))


def cut(name: str, maker: Maker, part: float = 0.6) -> Maker:
    """What is left of a file that was not written to its end."""

    def make() -> None:
        maker()
        content = Path(name).read_bytes()
        Path(name).write_bytes(content[: int(part * len(content))])

    return make


# Pictures.


def picture(name: str, mode: str = "RGB", size: int = 64, kind: str | None = None) -> Maker:
    shape = (size, size, 3) if mode == "RGB" else (size, size)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return lambda: Image.fromarray(pixels).save(name, format=kind)


def float_tiff(name: str, value: float) -> Maker:
    """A depth map with one such value."""
    values = np.full((16, 16), 0.5, np.float32)
    values[3, 4] = value
    return lambda: Image.fromarray(values).save(name)


def array(name: str, values: Any) -> Maker:
    return lambda: np.save(name, np.asarray(values, np.float32))


def code_array(name: str) -> Maker:
    """A NumPy file of objects, which are pickled."""
    return lambda: np.save(name, np.array([Payload()], dtype=object), allow_pickle=True)


def endless_png(name: str, side: int = 60_000) -> Maker:
    """A file of a hundred bytes that says it is very large."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    written = b"".join(
        struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))
        for tag, data in chunks
    )
    return raw(name, b"\x89PNG\r\n\x1a\n" + written)


def endless_tiff(name: str, side: int = 60_000) -> Maker:
    """The same of floats."""
    entries = (
        *((256, 4, side), (257, 4, side), (258, 3, 32), (259, 3, 1), (262, 3, 1), (273, 4, 8)),
        *((277, 3, 1), (278, 4, side), (279, 4, 64), (339, 3, 3)),
    )
    tags = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    body = struct.pack("<I", 72) + bytes(64) + struct.pack("<H", len(entries)) + tags
    return raw(name, b"II*\0" + body + bytes(4))


def endless_array(name: str, shape: tuple[int, ...], with_holes: bool = False) -> Maker:
    """A NumPy file that says it is very large; or that is, and takes no room on the disk."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".encode().ljust(117)

    def make() -> None:
        start = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header + b"\n"
        Path(name).write_bytes(start + bytes(64))
        if with_holes:
            os.truncate(name, len(start) + 4 * int(np.prod(shape)))

    return make


# Weights.


@functools.cache
def _trained() -> dict[str, Tensor]:
    from neurovis.demo import load_demo_network

    return dict(load_demo_network().state_dict())


def weights(name: str, changed: Callable[[dict[str, Tensor]], object] | None = None) -> Maker:
    """The demo network's weights, perhaps with something done to them."""

    def make() -> None:
        own = {key: value.clone() for key, value in _trained().items()}
        if changed is not None:
            changed(own)
        torch.save(own, name)

    return make


def saved(name: str, content: Any, **options: Any) -> Maker:
    return lambda: torch.save(content, name, **options)


def pickled(name: str) -> Maker:
    return lambda: Path(name).write_bytes(pickle.dumps(Payload()))


def checkpoint_with_code(name: str) -> Maker:
    """As Lightning writes them, with code among the hyperparameters."""
    return lambda: torch.save(
        {
            **{"pytorch-lightning_version": "2.6.0", "state_dict": _trained()},
            "hyper_parameters": {"kernels": Payload()},
        },
        name,
    )


def safetensors(name: str) -> Maker:
    def make() -> None:
        from safetensors.torch import save_file

        save_file(_trained(), name)

    return make


def flipped(name: str, maker: Maker) -> Maker:
    """One byte in the middle is another."""

    def make() -> None:
        maker()
        content = bytearray(Path(name).read_bytes())
        content[len(content) // 2] ^= 0xFF
        Path(name).write_bytes(content)

    return make


def archive(name: str, **members: bytes) -> Maker:
    """A zip archive, as files of weights are, of other things."""

    def make() -> None:
        with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as written:
            for member, content in members.items():
                written.writestr(f"archive/{member}", content)

    return make
