"""Objectives, regularizers, transforms, parametrizations and constraints in a config file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from kept import kept_images
from PIL import Image
from torch import Tensor

from neurovis.cli.main import main
from neurovis.demo import demo_input_spec, load_demo_network
from neurovis.maximization import ActivationMaximization
from neurovis.maximization.objectives import (
    Center,
    DeepDream,
    Direction,
    Inversion,
    Objective,
    Position,
)
from neurovis.maximization.parametrizations import FixedMagnitude, Fourier, Parametrization, Pixel
from neurovis.maximization.regularizers import HighFrequency, TotalVariation
from neurovis.maximization.transforms import Affine, GaussianNoise, Jitter, Lighting
from neurovis.pictures import read_picture

SPEC = demo_input_spec()


def corner(activation: Tensor) -> Tensor:
    """The unit in the upper left of each map."""
    return activation[:, :, 0, 0]


def brightness(images: Tensor) -> Tensor:
    """A penalty on white."""
    return images.flatten(1).mean(1)


def darker(images: Tensor) -> Tensor:
    """A transform."""
    return images * 0.9


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three RGB-D pictures."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    numbers = np.random.default_rng(0)
    for name, channels in (("rgb", (3,)), ("depth", ())):
        for index in range(3):
            values = numbers.integers(0, 256, (24, 32, *channels), dtype=np.uint8)
            Image.fromarray(values).save(folder / f"{index}_{name}.png")
    return folder


def _made_by_config(folder: Path, options: dict[str, object]) -> dict[str, np.ndarray]:
    """What the command makes of a config with these options."""
    config = folder / "config.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                **{"model": "demo", "layer": "conv2", "kernels": "0,1", "steps": 3},
                **options,
                "trainer": {"accelerator": "cpu", "logger": False},
            }
        )
    )
    # Functions that a file names need trust.
    into = ["--trainer.default_root_dir", str(folder / "run"), "--trust"]
    assert main(["am", "--config", str(config), *into]) == 0
    run = folder / "run"
    return {**np.load(run / "results.npz"), "images": kept_images(run, size=(64, 64))}


def _made_in_python(folder: Path, climb_options: dict[str, object]) -> ActivationMaximization:
    import lightning.pytorch as pl

    kernels = climb_options.pop("kernels", [0, 1])
    am = ActivationMaximization(
        load_demo_network(),
        "conv2",
        kernels,
        SPEC,
        steps=3,
        **climb_options,
    )
    pl.Trainer(
        accelerator="cpu", logger=False, max_epochs=-1, default_root_dir=folder / "python",
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    ).fit(am)  # fmt: skip
    return am


def _object(name: str, **arguments: object) -> dict[str, object]:
    return {"class_path": name, "init_args": arguments} if arguments else {"class_path": name}


def test_everything_at_once_does_in_a_config_what_it_does_in_python(
    tmp_path: Path, pictures: Path
) -> None:
    vectors = [[float(kernel % 3) for kernel in range(48)], [1.0] * 48]
    frozen = {"depth": str(pictures / "1_depth.png")}
    penalties = [TotalVariation(2.0), HighFrequency(1.0, sigma=2.0)]
    configured = _made_by_config(
        tmp_path,
        {
            "objective": _object("Direction", vectors=vectors, cosine_power=1, over="center"),
            "regularizers": [
                _object("TotalVariation", weight=2),
                _object("neurovis.maximization.regularizers.HighFrequency", weight=1, sigma=2),
                f"{__name__}.brightness",
            ],
            "transforms": [
                _object("Jitter", pixels=2),
                _object("Lighting", contrast=[0.9, 1.1]),
                f"{__name__}.darker",
                "GaussianNoise",
            ],
            "parametrization": _object("FixedMagnitude", pictures=str(pictures)),
            "contrast": {"rgb": 0.2},
            "luminance": {"rgb": 0.4},
            "frozen": frozen,
        },
    )
    am = _made_in_python(
        tmp_path,
        {
            "objective": Direction(vectors, cosine_power=1.0, over="center"),
            "regularizers": [*penalties, brightness],
            "transforms": [Jitter(2), Lighting(contrast=(0.9, 1.1)), darker, GaussianNoise()],
            "parametrization": FixedMagnitude(str(pictures)),
            "contrast": {"rgb": 0.2},
            "luminance": {"rgb": 0.4},
            "frozen": frozen,
        },
    )
    # What is frozen is not kept.
    assert np.array_equal(configured["images"], am.results.images[:, :3].numpy())
    assert np.array_equal(configured["curves"], am.results.curves.numpy())


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("center", Center()),
        ("Center", Center()),
        ("deep_dream", DeepDream()),
        (_object("Position", row=1, column=2), Position(1, 2)),
        (_object("neurovis.maximization.objectives.DeepDream"), DeepDream()),
        (f"{__name__}.corner", corner),
    ],
    ids=["name", "class", "underscored", "arguments", "path", "function"],
)
def test_objectives_by_name_class_and_function(
    tmp_path: Path, written: object, meant: Objective
) -> None:
    configured = _made_by_config(tmp_path, {"objective": written, "kernels": "0"})
    am = _made_in_python(tmp_path, {"objective": meant, "kernels": [0]})
    assert np.array_equal(configured["images"], am.results.images.numpy())


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("pixel", Pixel()),
        ("FixedMagnitude", FixedMagnitude()),
        (_object("Fourier", decay=2, decorrelate=False), Fourier(2.0, decorrelate=False)),
    ],
    ids=["name", "class", "arguments"],
)
def test_parametrizations_by_name_and_class(
    tmp_path: Path, written: object, meant: Parametrization
) -> None:
    configured = _made_by_config(tmp_path, {"parametrization": written, "kernels": "0"})
    am = _made_in_python(tmp_path, {"parametrization": meant, "kernels": [0]})
    assert np.array_equal(configured["images"], am.results.images.numpy())


def test_options_of_classes_in_the_shell(tmp_path: Path, pictures: Path) -> None:
    assert (
        main(
            [
                *("am", "--layer", "conv2", "--kernels", "0", "--steps", "3"),
                *("--objective", "Position", "--objective.row", "1", "--objective.column", "2"),
                *("--regularizers+=TotalVariation", "--regularizers.weight", "2"),
                *("--transforms", "[{class_path: Affine, init_args: {rotate: 3}}, Jitter]"),
                *("--contrast.rgb", "0.2", "--luminance", "0.4"),
                *("--frozen.depth", str(pictures / "0_depth.png")),
                *("--trainer.accelerator", "cpu", "--trainer.logger", "false"),
                *("--trainer.default_root_dir", str(tmp_path / "run")),
            ]
        )
        == 0
    )
    am = _made_in_python(
        tmp_path,
        {
            "objective": Position(1, 2),
            "regularizers": [TotalVariation(2.0)],
            "transforms": [Affine(rotate=3.0), Jitter()],
            "contrast": {"rgb": 0.2},
            "luminance": {"rgb": 0.4},
            "frozen": {"depth": str(pictures / "0_depth.png")},
            "kernels": [0],
        },
    )
    assert np.array_equal(kept_images(tmp_path / "run"), am.results.images[:, :3].numpy())


def test_a_printed_config_is_one_that_can_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [
        *("--layer", "conv2", "--objective", "Position", "--objective.row", "1"),
        *("--objective.column", "2", "--parametrization", "FixedMagnitude"),
        *("--regularizers", f"[{{class_path: TotalVariation, init_args: {{weight: 2}}}}, "
          f"{__name__}.brightness]"),
        *("--transforms", f"[Jitter, {__name__}.darker]", "--contrast.rgb", "0.2"),
        *("--frozen.depth", "depth.png", "--luminance", "0.4"),
    ]  # fmt: skip
    printed = []
    config = tmp_path / "config.yaml"
    for arguments in (given, ["--config", str(config)]):
        with pytest.raises(SystemExit, match="0"):
            main(["am", *arguments, "--print_config"])
        printed.append(capsys.readouterr().out)
        config.write_text(printed[-1])
    assert printed[0] == printed[1]
    content = yaml.safe_load(printed[0])
    assert content["objective"] == {
        "class_path": "neurovis.maximization.objectives.Position",
        "init_args": {"row": 1, "column": 2},
    }
    assert content["transforms"][1] == f"{__name__}.darker"
    assert content["frozen"] == {"depth": "depth.png"}


def test_help_names_what_there_is_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("am", "group-am"):
        with pytest.raises(SystemExit, match="0"):
            main([command, "--help"])
        text = capsys.readouterr().out
        for name in (Position, Direction, Inversion, FixedMagnitude, TotalVariation, Jitter):
            assert name.__name__ in text
        # Classes of tensors are no objectives, though tensors can be called for in annotations.
        assert "torch.Tensor" not in text
        assert "SparseSemiStructured" not in text


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("objective", _object("Position", row=-1, column=0), "row must be an integer of at least"),
        ("objective", _object("Position", row=20, column=0), "is outside the layer's maps"),
        ("regularizers", [_object("TotalVariation", weight=-1)], "weight must be a number of at"),
        ("transforms", [_object("GaussianNoise", std=-1)], "std must be a number of at least 0"),
        ("contrast", {"color": 0.2}, 'contrast names "color"'),
        ("frozen", {"rgb": "nowhere.png"}, "nowhere.png"),
    ],
    ids=["row", "map", "weight", "std", "contrast", "frozen"],
)
def test_what_cannot_be_used_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: object, message: str
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"layer": "conv2", "steps": 1, option: value}))
    into = ["--trainer.default_root_dir", str(tmp_path / "run")]
    assert main(["am", "--config", str(config), "--trainer.accelerator", "cpu", *into]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.filterwarnings("ignore:.*is stretched")
def test_an_inversion_in_a_config(tmp_path: Path, pictures: Path) -> None:
    """Any file of an image finds the others."""
    picture = pictures / "0_rgb.png"
    written = _object("Inversion", picture=str(picture))
    configured = _made_by_config(tmp_path, {"objective": written, "kernels": "0"})
    meant = Inversion(read_picture(picture, SPEC))
    am = _made_in_python(tmp_path, {"objective": meant, "kernels": [0]})
    assert np.array_equal(configured["images"], am.results.images.numpy())
    assert (tmp_path / "run" / "images" / "picture_0000.png").is_file()
