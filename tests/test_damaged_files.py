"""A file in which one byte is another is read, or refused in one line that names it.

Which byte, and what it becomes, follows from a seed.
"""

from __future__ import annotations

import functools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentError, ArgumentParser
from PIL import Image
from torch import Tensor, nn

from neurovis.cli.errors import one_line
from neurovis.cli.main import build_parser, main
from neurovis.cli.named_in_files import checked_names
from neurovis.inputs import InputSpec
from neurovis.maximization.jobs import FINISHED, Job
from neurovis.maximization.kept_images import ImageKeeper
from neurovis.maximization.manifest import MANIFEST, Manifest, resume_folder, unfinished_run
from neurovis.maximization.objectives import Direction, Target
from neurovis.maximization.preferred_image import PreferredImage
from neurovis.maximization.run_images import RunImages
from neurovis.maximization.settings import AscentSettings
from neurovis.modality import Modality
from neurovis.models import load_model
from neurovis.pictures import read_picture
from neurovis.tensorboard_layout import arrange

FEW, MANY = 50, 500
ARGUMENTS = {"in_channels": 3, "out_channels": 2, "kernel_size": 3}
DEPTH = InputSpec((Modality("depth", 1, range=(0, 70_000)),), 4)

Read = Callable[[Path], object]


def mutations(content: bytes, number: int) -> Iterator[bytes]:
    """Copies of a file in each of which one byte is another."""
    numbers = random.Random(14)
    for _ in range(number):
        changed = bytearray(content)
        changed[numbers.randrange(len(changed))] ^= numbers.randrange(1, 256)
        yield bytes(changed)


def outcomes(path: Path, read: Read, number: int) -> Counter[str]:
    """Read a file's mutations, and see that each is read, or refused in one line that names it."""
    whole = path.read_bytes()
    read(path)
    found: Counter[str] = Counter()
    for content in mutations(whole, number):
        path.write_bytes(content)
        said = _refusal(read, path)
        found["refused" if said else "read"] += 1
        assert not said or path.name in said, said
        assert "\n" not in said, said
    path.write_bytes(whole)
    return found


def _refusal(read: Read, path: Path) -> str:
    """What is said of a file that is refused; empty if it is read."""
    try:
        read(path)
    except (ValueError, OSError) as error:
        return str(error)
    return ""


# Weights.


def _state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(nn.Conv2d(**ARGUMENTS).state_dict())  # type: ignore[arg-type]


def _load(path: Path) -> object:
    return load_model("torch.nn.Conv2d", path, model_args=ARGUMENTS)


def _safetensors(path: Path) -> None:
    pytest.importorskip("safetensors.torch").save_file(_state(), path)


def _checkpoint(path: Path) -> None:
    network = {f"net.{name}": value for name, value in _state().items()}
    content = {"pytorch-lightning_version": "2.6.0", "state_dict": network, "epoch": 3}
    torch.save({**content, "hyper_parameters": {"kernels": 5}}, path)


# Pictures.


def _pixels(mode: str = "RGB") -> Image.Image:
    numbers = np.random.default_rng(0)
    if mode == "RGB":
        return Image.fromarray(numbers.integers(0, 256, (12, 10, 3), dtype=np.uint8))
    if mode == "F":
        return Image.fromarray(numbers.random((12, 10), np.float32))
    return Image.fromarray(numbers.integers(0, 65536, (12, 10), dtype=np.uint16))


def _save(mode: str = "RGB", **options: Any) -> Callable[[Path], None]:
    return lambda path: _pixels(mode).save(path, **options)


def _read_color(path: Path) -> object:
    return read_picture(path, InputSpec.rgb(4))


def _read_depth(path: Path) -> object:
    return read_picture(path, DEPTH)


def _array(path: Path) -> None:
    np.save(path, np.random.default_rng(0).random((3, 5, 4), np.float32))


# Configs and runs.

CONFIG = """\
# What is wanted.
layer: [conv1, conv2]
kernels: "0-3,7"
steps: 3
objective: {class_path: Position, init_args: {row: 1, column: 2}}
contrast: &rms {rgb: 0.2}
luminance: *rms
init: 2020-02-03
transforms:
  - Jitter
  - class_path: Affine
    init_args: {rotate: 3.0}
trainer:
  max_steps: 12
  callbacks: null
"""


@functools.cache
def _parser() -> ArgumentParser:
    return build_parser("am")


def _parse(path: Path) -> object:
    """Parse a config, as the command line does up to where it runs."""
    arguments = ["--config", str(path)]
    try:
        parsed = _parser().parse_args(arguments)
        with checked_names(parsed, arguments):
            return _parser().instantiate(parsed)
    except (ArgumentError, ValueError, TypeError, OSError) as error:
        # The options are named; the config was typed just before.
        raise ValueError(f"{path}: {one_line(error, arguments)}") from error


FORMATS: dict[str, tuple[str, Callable[[Path], object], Read]] = {
    "weights": ("a.pth", lambda path: torch.save(_state(), path), _load),
    "weights of old torch": (
        "a.pth",
        lambda path: torch.save(_state(), path, _use_new_zipfile_serialization=False),
        _load,
    ),
    "Lightning checkpoint": ("a.ckpt", _checkpoint, _load),
    "safetensors": ("a.safetensors", _safetensors, _load),
    "png": ("a.png", _save(), _read_color),
    "png of 16 bits": ("a.png", _save("I;16"), _read_depth),
    "jpeg": ("a.jpg", _save(), _read_color),
    "tiff": ("a.tiff", _save(compression="tiff_adobe_deflate"), _read_color),
    "tiff of floats": ("a.tiff", _save("F"), _read_depth),
    "bmp": ("a.bmp", _save(), _read_color),
    "gif": ("a.gif", _save(), _read_color),
    "ppm": ("a.ppm", _save(), _read_color),
    "webp": ("a.webp", _save(), _read_color),
    "array": ("a.npy", _array, _read_color),
    "vectors, npy": ("a.npy", lambda path: np.save(path, np.array([1.0, 2, 3])), Direction),
    "vectors, pt": ("a.pt", lambda path: torch.save(torch.tensor([1.0, 2, 3]), path), Direction),
    "config": ("a.yaml", lambda path: path.write_text(CONFIG), _parse),
}


def _each(number: int) -> list[Any]:
    """All formats with a number of mutations; many of them are slow."""
    marks = [pytest.mark.slow] if number > FEW else []
    return [pytest.param(name, number, id=f"{name}-{number}", marks=marks) for name in FORMATS]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "number"), [*_each(FEW), *_each(MANY)])
def test_it_is_read_or_refused_in_one_line(name: str, number: int, tmp_path: Path) -> None:
    file, make, read = FORMATS[name]
    make(tmp_path / file)
    found = outcomes(tmp_path / file, read, number)
    assert found.total() == number
    assert found["refused"]


def _manifest() -> Manifest:
    of_run = {"network": {"sha256": "a"}, "input": {}, "settings": {"steps": 3}, "layers": {}}
    return Manifest({"neurovis": "0.1", **of_run, "targets": "kernels", "complete": False})


KEEPER = ImageKeeper(InputSpec.rgb(4), AscentSettings())


def _image() -> PreferredImage:
    torch.manual_seed(0)
    return PreferredImage(
        index=0,
        layer="conv",
        label="kernel 0",
        kernels=(0,),
        weights=None,
        image=KEEPER.rounded(torch.rand(3, 4, 4)),
        start=torch.rand(3, 4, 4),
        activation=1.0,
        noise_activation=0.5,
        member_activations=torch.rand(1),
        member_noise_activations=torch.rand(1),
        target_map=torch.rand(2, 2),
        resulting_map=torch.rand(2, 2),
        curve=torch.rand(3),
    )


@pytest.mark.parametrize("suffix", [".npz", ".png"])
@pytest.mark.parametrize("number", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_a_damaged_finished_image_is_whole_or_made_again(
    number: int, suffix: str, tmp_path: Path
) -> None:
    job = Job(0, "conv", Target((0,)), "kernel 0")
    run = RunImages([job], InputSpec.rgb(4), AscentSettings())
    run.open(tmp_path, _manifest())
    image = _image()
    run.add(job, [image])
    path = (tmp_path / FINISHED / job.path).with_suffix(suffix)
    found: Counter[bool] = Counter()
    for content in mutations(path.read_bytes(), number):
        path.write_bytes(content)
        images = list(run.finished("conv"))
        found[not images] += 1
        for one in images:
            assert torch.equal(one.image, image.image)
            assert torch.equal(one.curve, image.curve)
            assert one.activation == image.activation
    assert found[True] > number / 2


@pytest.mark.parametrize("number", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_a_damaged_manifest_is_none_or_of_another_run(number: int, tmp_path: Path) -> None:
    folder = tmp_path / "version_0"
    (folder / FINISHED).mkdir(parents=True)
    (folder / FINISHED / "a.npz").touch()
    manifest = _manifest()
    whole = json.dumps(manifest.content, indent=2).encode()
    found: Counter[str] = Counter()
    for content in mutations(whole, number):
        (folder / MANIFEST).write_bytes(content)
        unfinished_run(tmp_path, manifest)
        said = _refusal(lambda run: resume_folder(run, manifest), folder)
        assert not said or str(folder) in said
        found["refused" if said else "open"] += 1
    assert found["refused"]
    assert found["open"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("number", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_a_damaged_log_is_left_alone(number: int, tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    class Logger:
        def __init__(self) -> None:
            self.experiment = SummaryWriter(tmp_path)

    logger = Logger()
    arrange([logger], {"ascent": {"activation": ["a", "b"]}})
    logger.experiment.close()
    (path,) = tmp_path.glob("*tfevents*")
    new = Logger()
    for content in mutations(path.read_bytes(), number):
        path.write_bytes(content)
        arrange([new], {"ascent": {"activation": ["a", "b"]}})
    new.experiment.close()


# A folder with some pictures that are damaged.

SHOWN = [
    ("features", "--kernels 0"),
    ("saliency", "--kernels 0"),
    ("rank", "--by sparseness"),
    ("am", "--kernels 0 --steps 1 --top_images 1"),
]


@pytest.mark.parametrize(("command", "options"), SHOWN, ids=[command for command, _ in SHOWN])
def test_a_damaged_picture_is_skipped_and_named(
    command: str, options: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in "abc":
        _array(pictures / f"{name}.npy")
    whole = (pictures / "b.npy").read_bytes()
    # Of a header that is no Python.
    (pictures / "b.npy").write_bytes(whole.replace(b"{'descr'", b"{'desc((", 1))
    parts = [
        *(command, "--model", f"{__name__}.Net", "--layer", "conv", *options.split()),
        *("--input.modalities", "rgb", "--input.size", "8", "--images", str(pictures)),
        *("--trainer.accelerator", "cpu", "--trainer.logger", "false"),
        *("--trainer.default_root_dir", str(tmp_path / "run")),
    ]
    assert main(parts) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "left out 1 " in line
    assert "b.npy" in line


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images)
