"""Small files that stand for much: refused by what they declare, or read a few rows at a time."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neurovis import archives
from neurovis.inputs import InputSpec
from neurovis.maximization.objectives import Direction
from neurovis.modality import Modality
from neurovis.models import load_model
from neurovis.pictures import decoding, read_picture

#: Bytes that a command may have in memory at any moment.
MOST = 1.5 * 2**30
SIDE = 13_000


def _archive(tensors: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()


def _compressed(path: Path, content: bytes, zeros: int = 0) -> Path:
    """An archive of torch's, compressed; perhaps with its first tensor replaced by zeros."""
    with (
        zipfile.ZipFile(io.BytesIO(content)) as plain,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            if zeros and name.endswith("/data/0"):
                with packed.open(name, "w", force_zip64=True) as file:
                    for _ in range(zeros // 2**20):
                        file.write(bytes(2**20))
            else:
                packed.writestr(name, plain.read(name))
    return path


@pytest.mark.parametrize("read", [Direction, lambda path: load_model("torch.nn.Linear", path)])
def test_weights_that_unpack_to_much_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], object]
) -> None:
    path = _compressed(tmp_path / "bomb.pth", _archive({"weight": torch.zeros(4)}), 2**26)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(ValueError, match=r'bomb\.pth" is a file of \d+ bytes that unpacks to 671'):
        read(path)


@pytest.mark.filterwarnings("ignore:.*(prototype stage|in beta state|invariant)")
@pytest.mark.parametrize(
    ("tensor", "problem"),
    [
        (lambda: torch.ones(1).expand(2**40), r"has shape \(1099511627776,\), and .* only 4 bytes"),
        (lambda: torch.eye(2).to_sparse(), "is a sparse tensor"),
        (lambda: torch.eye(2).to_sparse_csr(), "is a sparse tensor"),
        (lambda: torch.eye(2, device="meta"), "is a meta tensor"),
        (lambda: torch.nested.nested_tensor([torch.ones(2)]), "is a nested tensor"),
    ],
)
@pytest.mark.parametrize("used", ["vectors", "weights"])
def test_tensors_that_do_not_hold_their_numbers_are_refused(
    tmp_path: Path, tensor: Callable[[], torch.Tensor], problem: str, used: str
) -> None:
    path, arguments = tmp_path / "x.pt", {"in_features": 2, "out_features": 2, "bias": False}
    torch.save(tensor() if used == "vectors" else {"weight": tensor()}, path)
    with pytest.raises(
        ValueError, match=rf'(in ".*x\.pt"|x\.pt" cannot be used: weight) {problem}'
    ):
        Direction(path) if used == "vectors" else load_model(
            "torch.nn.Linear", path, model_args=arguments
        )


def test_what_else_a_checkpoint_holds_may_be_sparse(tmp_path: Path) -> None:
    network = nn.Linear(2, 2)
    state_dict = {f"net.{name}": value for name, value in network.state_dict().items()}
    others = {"loss.weight": torch.eye(2).to_sparse()}
    checkpoint = {"pytorch-lightning_version": "2.4.0", "state_dict": state_dict | others}
    torch.save(checkpoint, tmp_path / "x.ckpt")
    arguments = {"in_features": 2, "out_features": 2}
    loaded = load_model("torch.nn.Linear", tmp_path / "x.ckpt", model_args=arguments)
    assert torch.equal(loaded.weight, network.weight)


def _with_another_directory(content: bytes) -> bytes:
    """An archive with a second directory, of small files, where Python looks for one."""
    start = int.from_bytes(content[-6:-2], "little")
    directory, end = bytearray(content[start:-22]), content[-22:]
    place = directory.find(b"PK\x01\x02")
    while place >= 0:
        directory[place + 16 : place + 28] = bytes(12)  # Checksum and sizes.
        place = directory.find(b"PK\x01\x02", place + 4)
    return content[:-22] + bytes(directory) + end


@pytest.mark.parametrize("read", [Direction, lambda path: load_model("torch.nn.Linear", path)])
@pytest.mark.parametrize(
    "changed",
    [
        lambda content: content + b"PK\x05\x06",
        lambda content: content + bytes(9),
        _with_another_directory,
    ],
)
def test_an_archive_cannot_show_other_sizes_than_torch_reads(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: Callable[[bytes], bytes],
    read: Callable[[Path], object],
) -> None:
    path = _compressed(tmp_path / "bomb.pth", _archive({"weight": torch.zeros(2**22 + 1)}))
    path.write_bytes(changed(path.read_bytes()))
    # Torch finds what is in it, small or not.
    assert torch.load(path, weights_only=True)["weight"].shape == (2**22 + 1,)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(ValueError, match=r'bomb\.pth" is (truncated, )?damaged'):
        read(path)


def test_weights_that_somebody_compressed_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_HARMLESS_BYTES", 0)
    network = nn.Conv2d(3, 16, 30)
    path = _compressed(tmp_path / "w.pth", _archive(network.state_dict()))
    arguments = {"in_channels": 3, "out_channels": 16, "kernel_size": 30}
    loaded = load_model("torch.nn.Conv2d", path, model_args=arguments)
    assert torch.equal(loaded.weight, network.weight)


def test_a_picture_that_is_all_width_is_refused(tmp_path: Path) -> None:
    Image.new("1", (2**16 + 1, 1)).save(tmp_path / "wide.png")
    with pytest.raises(ValueError, match=r"more pixels than can be meant: 65537 x 1"):
        read_picture(tmp_path / "wide.png", InputSpec.rgb(8))


def _in_several_scans(path: Path) -> None:
    """Make a JPEG file's first scan one of a single channel."""
    before, _, after = path.read_bytes().partition(b"\xff\xda")
    end = int.from_bytes(after[:2], "big")
    path.write_bytes(before + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + after[end:])


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_picture_is_refused_by_what_its_decoder_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    picture = Image.new(mode, (40, 30))
    picture.save(tmp_path / "plain.jpg")
    picture.save(tmp_path / "progressive.jpg", progressive=True)
    picture.convert("RGB").save(tmp_path / "x.webp")
    picture.convert("RGB").save(tmp_path / "x.png")
    light, heavy = ["plain.jpg", "x.png"], ["progressive.jpg", "x.webp"]
    if mode != "L":
        picture.save(tmp_path / "scans.jpg")
        _in_several_scans(tmp_path / "scans.jpg")
        heavy.append("scans.jpg")
    if mode == "RGB":
        both = {"format": "MPO", "save_all": True, "append_images": [picture]}
        picture.save(tmp_path / "two.jpg", **both)
        picture.save(tmp_path / "two_progressive.jpg", **both, progressive=True)
        light.append("two.jpg")
        heavy.append("two_progressive.jpg")
    monkeypatch.setattr(decoding, "_MOST_BYTES", 4 * 40 * 30)
    for name in light:
        assert read_picture(tmp_path / name, InputSpec.rgb((30, 40))).shape == (3, 30, 40)
    for name in heavy:
        with pytest.raises(ValueError, match=r"40 x 30 of this kind of (JPEG|MPO|WEBP) take .* GB"):
            read_picture(tmp_path / name, InputSpec.rgb((30, 40)))


# In strips and in one piece.


def _picture(path: Path, mode: str, orientation: int) -> np.ndarray:
    """A picture that is turned, and its values ``(C, H, W)`` upright."""
    numbers = np.random.default_rng(orientation)
    if mode == "RGB":
        pixels = numbers.integers(0, 256, (61, 47, 3), dtype=np.uint8)
        values = pixels.transpose(2, 0, 1).astype(np.float32) / 255
    else:
        pixels = numbers.integers(0, 2**16, (61, 47), dtype=np.uint16)
        values = pixels[None].astype(np.float32) / 2**16
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    turned = {
        1: lambda a: a,
        2: lambda a: a[:, :, ::-1],
        3: lambda a: a[:, ::-1, ::-1],
        4: lambda a: a[:, ::-1],
        5: lambda a: a.transpose(0, 2, 1),
        6: lambda a: np.rot90(a, -1, (1, 2)),
        7: lambda a: a.transpose(0, 2, 1)[:, ::-1, ::-1],
        8: lambda a: np.rot90(a, 1, (1, 2)),
    }[orientation](values)
    return np.ascontiguousarray(turned)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "I;16"])
@pytest.mark.parametrize("size", [(7, 5), (90, 20)])
@pytest.mark.filterwarnings("ignore:.*is stretched")
def test_strips_give_what_one_piece_gives(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    orientation: int,
    mode: str,
    size: tuple[int, int],
) -> None:
    whole = torch.from_numpy(_picture(tmp_path / "a.png", mode, orientation))
    spec = InputSpec.rgb(size)
    if mode != "RGB":
        spec = InputSpec((Modality("height", 1, range=(0, 2**16)),), size)
    meant = nn.functional.interpolate(
        whole[None], size=size, mode="bilinear", align_corners=False, antialias=True
    )[0]
    for strip in (1, 1000, 2**20):
        monkeypatch.setattr(decoding, "_STRIP_VALUES", strip)
        torch.testing.assert_close(
            read_picture(tmp_path / "a.png", spec), meant.clamp(0, 1), atol=1e-5, rtol=0
        )


def test_an_upright_picture_has_the_same_bits_in_strips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _picture(tmp_path / "a.png", "RGB", 1)
    whole = read_picture(tmp_path / "a.png", InputSpec.rgb((7, 5)))
    monkeypatch.setattr(decoding, "_STRIP_VALUES", 1000)
    assert torch.equal(read_picture(tmp_path / "a.png", InputSpec.rgb((7, 5))), whole)


# Memory, of whole commands.

_MEASURED = """
import sys
from neurovis.cli.main import main

status = main(sys.argv[1:])
with open("/proc/self/status") as file:
    (peak,) = (line.split()[1] for line in file if line.startswith("VmHWM"))
print(f"\\n{status} {int(peak) * 1024}")
"""


def _peak(folder: Path, *arguments: str) -> tuple[int, int, str]:
    """Exit status, peak memory in bytes, and what was said, of a command in its own process."""
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not tell a process's peak memory")
    into = () if arguments[0] == "layers" else ("--trainer.default_root_dir", str(folder / "run"))
    own = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _MEASURED, *arguments, *into]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=own)
    status, peak = done.stdout.splitlines()[-1].split()
    sys.stdout.write(f"\n{arguments[0]}: at most {int(peak) / 2**20:.0f} MiB\n")
    return int(status), int(peak), done.stderr


@pytest.mark.slow
def test_two_gigabytes_in_a_small_file_of_weights(tmp_path: Path) -> None:
    # Half a billion floats, as its pickle says too.
    with torch.serialization.skip_data():
        torch.save({"weight": torch.empty(2**29)}, tmp_path / "empty.pth")
    packed = tmp_path / "bomb.pth"
    with zipfile.ZipFile(tmp_path / "empty.pth") as plain:
        small = io.BytesIO()
        with zipfile.ZipFile(small, "w") as copied:
            for name in plain.namelist():
                copied.writestr(name, b"" if name.endswith("/data/0") else plain.read(name))
    _compressed(packed, small.getvalue(), 2**31)
    assert packed.stat().st_size < 3 * 10**6
    model = ("--model", "torch.nn.Linear", "--model_args", "{in_features: 2, out_features: 2}")
    status, peak, said = _peak(tmp_path, "layers", *model, "--weights", str(packed))
    assert status == 2
    assert 'bomb.pth" is a file of' in said
    assert peak < MOST


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["RGB", "I;16"])
def test_a_very_large_picture_shown_at_48_pixels(tmp_path: Path, mode: str) -> None:
    rows = np.arange(SIDE, dtype=np.uint16)[:, None] % 251
    pixels = (rows + np.zeros(SIDE, np.uint16)).astype(np.uint8 if mode == "RGB" else np.uint16)
    picture = Image.fromarray(pixels)
    large = picture.convert("RGB") if mode == "RGB" else picture
    large.save(tmp_path / "large.png", compress_level=1)
    large.crop((0, 0, 50, 50)).save(tmp_path / "small.png")
    modalities = "rgb" if mode == "RGB" else "[{name: height, channels: 1, range: [0, 250]}]"
    arguments = f"{{in_channels: {3 if mode == 'RGB' else 1}, out_channels: 2, kernel_size: 3}}"
    peaks = []
    for name in ("small.png", "large.png"):
        status, peak, said = _peak(
            tmp_path,
            *("features", "--model", f"{__name__}.Net", "--model_args", arguments),
            *("--layer", "conv", "--input.modalities", modalities, "--input.size", "48"),
            *("--trainer.logger", "false", "--trainer.accelerator", "cpu"),
            *("--images", str(tmp_path / name)),
        )
        assert status == 0, said
        peaks.append(peak)
    # Its 4 bytes a pixel, and little more; libraries take what they take.
    assert peaks[1] - peaks[0] < 4 * SIDE**2 + 2**28


class Net(nn.Module):
    """One convolution, under a name."""

    def __init__(self, **arguments: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(**arguments)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv(images)
