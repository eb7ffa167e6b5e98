from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from neurovis.cli import main
from neurovis.cli.options import InputOptions
from neurovis.demo import demo_input_spec, load_demo_network
from neurovis.inputs import InputSpec, Modality
from neurovis.pictures import find_pictures, read_picture

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "rgbd"
DEPTHS = (1.2, 1.8)
MODEL = ("--model", "demo", "--input.depth_range", str(list(DEPTHS)))
CPU = ("--trainer.accelerator", "cpu")
FEATURES = ("features", *MODEL, "--layer", "relu2", *CPU)
SALIENCY = ("saliency", *MODEL, *CPU)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three RGB-D images, colour with depth in metres."""
    random = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a", "b", "c"):
        colour = random.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(colour).save(folder / f"{name}_rgb.png")
        depth = random.uniform(*DEPTHS, (20, 24)).astype(np.float32)
        Image.fromarray(depth).save(folder / f"{name}_depth.tiff")
    return folder


def _images(folder: Path) -> torch.Tensor:
    """As the demo network takes them, made without the option that is tested."""
    demo = demo_input_spec()
    colour, _ = demo.modalities
    spec = InputSpec((colour, Modality("depth", 1, range=DEPTHS)), demo.size)
    read = torch.stack([read_picture(image, spec) for image in find_pictures(folder, spec)])
    return demo.to_network(read)


def _run(*arguments: object) -> None:
    assert main([str(argument) for argument in arguments]) == 0


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def _fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line on stderr of a command that must end with status 2."""
    assert main([str(argument) for argument in arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("neurovis: error: ")
    return line


def _until_relu2(images: torch.Tensor) -> torch.Tensor:
    network = load_demo_network()
    found: list[torch.Tensor] = []
    network.relu2.register_forward_hook(lambda *call: found.append(call[2].clone()))
    with torch.no_grad():
        network(images)
    return found[0]


def test_features_are_the_layers_output(tmp_path: Path, pictures: Path) -> None:
    options = ("--images", pictures, "--trainer.default_root_dir", tmp_path, "--batch_size", 2)
    _run(*FEATURES, *options, "--kernels", "3,0,7", "--max_kernels", 2)
    folder = tmp_path / "lightning_logs" / "version_0"
    expected = _until_relu2(_images(pictures))[:, [3, 0, 7]]
    for index, name in enumerate("abc"):
        found = np.load(folder / "feature_maps" / "relu2" / f"000{index}_{name}.npz")
        np.testing.assert_allclose(found["maps"], expected[index], atol=1e-4)
        assert found["kernels"].tolist() == [3, 0, 7]
        assert (folder / "feature_maps" / "relu2" / f"000{index}_{name}.png").is_file()
    rows = _rows(folder / "results.csv")
    assert [(row["index"], row["picture"], row["kernel"]) for row in rows] == [
        (str(index), name, kernel) for index, name in enumerate("abc") for kernel in "307"
    ]
    assert rows[0]["file"] == str(pictures / "a_rgb.png")
    for row, maps in zip(rows, expected.flatten(0, 1).numpy(), strict=True):
        for column in ("mean", "std", "min", "max"):
            assert float(row[column]) == pytest.approx(getattr(maps, column)(), abs=1e-4)
        assert row["silent"] == str(not maps.any())


def test_features_go_to_tensorboard_with_the_index_as_step(tmp_path: Path, pictures: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _run(*FEATURES, "--images", pictures, "--trainer.default_root_dir", tmp_path)
    folder = tmp_path / "lightning_logs" / "version_0"
    events = EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    logged = events.Images("feature_maps/relu2")
    assert [image.step for image in logged] == [0, 1, 2]
    with Image.open(folder / "feature_maps" / "relu2" / "0000_a.png") as written:
        assert (logged[0].width, logged[0].height) == written.size


def test_features_of_layers_by_type_and_of_vectors(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--images", pictures / "a_rgb.png", "--trainer.logger", "false")
    layers = ("--layer", "all-conv", "classifier")
    _run("features", *MODEL, *CPU, *layers, *options, "--trainer.default_root_dir", tmp_path)
    output = capsys.readouterr().out
    assert f"Written to {tmp_path}" in output
    assert "tensorboard" not in output
    assert {path.name for path in (tmp_path / "feature_maps").iterdir()} == {
        *("conv1", "conv2", "conv3", "conv4", "classifier")
    } & {name for name, _ in load_demo_network().named_modules()}
    logits = np.load(tmp_path / "feature_maps" / "classifier" / "0000_a.npz")["maps"]
    with torch.no_grad():
        expected = load_demo_network()(_images(pictures)[:1])[0]
    np.testing.assert_allclose(logits[:, 0, 0], expected, atol=1e-3)


def test_a_dead_kernel_is_silent_in_all(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = load_demo_network()
    with torch.no_grad():
        network.conv1.weight[4] = 0
        network.conv1.bias[4] = -1
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    model = ("--model", "neurovis.demo.ShapeNet", "--weights", tmp_path / "weights.pt")
    spec = ("--input.modalities", "rgbd", "--input.size", 32, *MODEL[2:])
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    layer = ("--layer", "relu1", "--kernels", "4,5")
    _run("features", *model, *spec, *layer, *CPU, *where, "--images", pictures)
    rows = _rows(tmp_path / "results.csv")
    assert [row["silent"] for row in rows] == ["True", "False"] * 3
    assert [row["constant"] for row in rows] == ["True", "False"] * 3
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "relu1" in line]
    assert line.split("│")[-2].strip() == "1"


def test_silent_in_all_counts_every_picture(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    _run("features", *MODEL, *CPU, *where, "--layer", "relu3", "--images", pictures)
    rows = _rows(tmp_path / "results.csv")
    silent = np.array([row["silent"] == "True" for row in rows]).reshape(3, -1)
    assert silent.all(0).sum() < silent.sum(1).min()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "relu3" in line]
    assert line.split("│")[-2].strip() == str(silent.all(0).sum())


@pytest.mark.parametrize("name", ["..", "a.b .c", "x" * 250, "[red]", "日本"])
def test_names_of_pictures_stay_in_the_folder(tmp_path: Path, pictures: Path, name: str) -> None:
    picture = pictures / f"{name}.png"
    Image.new("RGB", (8, 8)).save(picture, format="png")
    results = tmp_path / "results"
    _run(
        *("features", "--model", "torchvision.models.squeezenet1_1", "--layer", "features.0"),
        *("--input.size", 32, "--images", picture, "--kernels", 0, *CPU),
        *("--trainer.default_root_dir", results, "--trainer.logger", "false"),
    )
    written = {path.relative_to(results).parent for path in results.rglob("*") if path.is_file()}
    assert written == {Path(), Path("feature_maps/features.0")}
    assert _rows(results / "results.csv")[0]["picture"] == picture.stem
    assert {path.name for path in tmp_path.iterdir()} == {"pictures", "results"}


def test_saliency_of_classes_is_the_gradient(tmp_path: Path, pictures: Path) -> None:
    where = ("--trainer.default_root_dir", tmp_path, "--batch_size", 2)
    _run(*SALIENCY, "--images", pictures, *where, "--kernels", "0-2")
    folder = tmp_path / "lightning_logs" / "version_0"
    images = _images(pictures).requires_grad_()
    logits = load_demo_network()(images)
    rows = _rows(folder / "results.csv")
    assert [(row["picture"], row["kernel"]) for row in rows] == [
        (name, kernel) for name in "abc" for kernel in "012"
    ]
    assert {row["layer"] for row in rows} == {"output"}
    assert {row["completeness_error"] for row in rows} == {""}
    for index, name in enumerate("abc"):
        found = np.load(folder / "saliency" / "gradient" / "output" / f"000{index}_{name}.npz")
        for kernel in range(3):
            value = logits[index, kernel]
            (gradient,) = torch.autograd.grad(value, images, retain_graph=True)
            scale = gradient.abs().max().item()
            np.testing.assert_allclose(
                found["maps"][kernel], gradient[index], atol=1e-3 * scale, rtol=1e-3
            )
            assert float(rows[3 * index + kernel]["value"]) == pytest.approx(value.item(), rel=1e-4)
    assert (folder / "saliency" / "gradient" / "output" / "0002_c.png").is_file()


def test_saliency_explains_the_predicted_class_by_default(tmp_path: Path, pictures: Path) -> None:
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    method = ("--method", "integrated_gradients", "--steps", 8, "--baseline", 0.5)
    _run(*SALIENCY, "--images", pictures, *method, *where)
    images = _images(pictures)
    with torch.no_grad():
        logits = load_demo_network()(images)
        start = load_demo_network()(torch.full_like(images, 0.5))
    rows = _rows(tmp_path / "results.csv")
    assert [int(row["kernel"]) for row in rows] == logits.argmax(1).tolist()
    for index, row in enumerate(rows):
        name = f"000{index}_{'abc'[index]}.npz"
        maps = np.load(tmp_path / "saliency" / "integrated_gradients" / "output" / name)["maps"]
        kernel = int(row["kernel"])
        change = (logits - start)[index, kernel].item()
        error = float(row["completeness_error"])
        assert abs(maps.sum() - change) / abs(change) == pytest.approx(error, abs=1e-3)


def test_saliency_checks_its_maps_by_randomization(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    check = ("--randomization", "--max_stages", 2, "--batch_size", 2)
    _run(*SALIENCY, "--layer", "relu2", "--kernels", "0,1", "--images", pictures, *check, *where)
    rows = _rows(tmp_path / "randomization.csv")
    seen = {(row["picture"], row["kernel"], row["stage"]) for row in rows}
    assert seen == {(name, kernel, stage) for name in "abc" for kernel in "01" for stage in "012"}
    assert len(rows) == len(seen)
    for row in rows:
        is_trained = row["stage"] == "0"
        assert (row["randomized"] == "trained") == is_trained
        assert (float(row["correlation"]) == pytest.approx(1)) == is_trained
    last = [float(row["correlation"]) for row in rows if row["stage"] == "2"]
    assert f"{torch.tensor(last).median():.3f}" in capsys.readouterr().out
    figures = tmp_path / "saliency" / "gradient" / "relu2" / "randomization"
    assert [path.name for path in sorted(figures.iterdir())] == [
        *("0000_a.png", "0001_b.png", "0002_c.png")
    ]
    assert len(_rows(tmp_path / "results.csv")) == 6


def test_patterns_and_named_files_make_an_image(tmp_path: Path, pictures: Path) -> None:
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    named = (f"rgb={pictures / 'b_rgb.png'}", f"depth={pictures / 'c_depth.tiff'}")
    _run(*FEATURES, *where, "--images", *named)
    assert {row["picture"] for row in _rows(tmp_path / "results.csv")} == {"b_rgb"}
    patterns = ("--patterns.rgb", "*_rgb.png", "--patterns.depth", "*_depth.tiff")
    _run(*FEATURES, *where, "--images", pictures, *patterns)
    assert {row["picture"] for row in _rows(tmp_path / "results.csv")} == {"a", "b", "c"}


def test_notes_are_said_once_and_briefly(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(6):
        colour = Image.new("RGB", (8, 8))
        colour.save(pictures / f"{index}_rgb.png")
        depth = np.full((8, 8), 1.5, np.float32)
        depth[0, 0] = 9
        Image.fromarray(depth).save(pictures / f"{index}_depth.tiff")
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    _run(*FEATURES, *where, "--images", pictures)
    output = capsys.readouterr().out
    assert output.count("note:") == 3
    assert output.count("0_depth.tiff") == 1
    assert "1.5 to 9: 1 pixels (1.6%)" in output
    assert "and 3 more notes" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--images", "absent.png"), 'there is no picture "absent.png"'),
        (("--images", "a_rgb.png", "--layer", "relu9"), 'layer "relu9" not found; did you mean'),
        (("--images", "a_rgb.png", "--kernels", "64"), "kernel 64 is out of range"),
        (("--images", "a_rgb.png", "--input.depth_range", "[5, 6]"), "--input.depth_range"),
        (("--images", "a_rgb.png", "--batch_size", "0"), "batch_size must be at least 1; got 0"),
        (("--images", "a_rgb.png", "--max_kernels", "0"), "max_kernels must be at least 1; got 0"),
        (("--images", "a_rgb.png", "--trainer.devices", "2"), "one device; got 2"),
        (("--images", "a_rgb.png", "--trainer.precision", "bf16-mixed"), "float32; got"),
        (("--images", ".", "--patterns.rgb", "*.png"), "patterns needs one for each modality"),
        (("--images", "a_rgb.png", "--input.modalities", "rgb"), "input.depth_range needs"),
    ],
)
@pytest.mark.parametrize("command", ["features", "saliency"])
def test_bad_input_is_one_line_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str],
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(pictures)
    before = sorted(pictures.iterdir())
    assert message in _fails(capsys, command, *MODEL, "--layer", "relu2", *CPU, *arguments)
    assert sorted(pictures.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--method", "magic"), "method"),
        (("--method", "gradcam", "--gradcam_layer", "nowhere"), 'layer "nowhere" not found'),
        (("--samples", "0"), "samples must be an integer of at least 1; got 0"),
        (("--max_stages", "0"), "max_stages must be at least 1; got 0"),
        (("--layer", "relu2", "--readout", "[99, 0]"), "lies outside"),
        (("--kernels", "8"), 'kernel 8 is out of range: layer "output" has 8 kernels'),
    ],
)
def test_bad_questions_are_one_line_and_leave_nothing(
    capsys: pytest.CaptureFixture[str],
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(pictures)
    before = sorted(pictures.iterdir())
    assert message in _fails(capsys, *SALIENCY, "--images", ".", *arguments)
    assert sorted(pictures.iterdir()) == before


def test_a_folder_that_cannot_be_written_is_refused_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "blocked").write_text("")
    where = ("--trainer.default_root_dir", tmp_path / "blocked")
    assert "cannot write to" in _fails(capsys, *FEATURES, *where, "--images", "absent")


@pytest.mark.parametrize("command", ["features", "saliency"])
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert f"Example: neurovis {command} --model" in " ".join(capsys.readouterr().out.split())


def test_am_starts_from_a_pair_of_files(tmp_path: Path, pictures: Path) -> None:
    _run(
        *("am", *MODEL, "--layer", "conv2", "--kernels", 0, "--steps", 1, *CPU),
        *("--init", pictures / "a_rgb.png", "--trainer.logger", "false"),
        *("--trainer.default_root_dir", tmp_path),
    )
    start = np.load(tmp_path / "images.npz")["starts"][0]
    np.testing.assert_allclose(start, _images(pictures)[0], atol=1e-3)


# --input.depth_range


def test_depth_range_is_of_the_files_where_the_network_takes_relative_depth() -> None:
    demo = demo_input_spec()
    spec = InputOptions(depth_range=DEPTHS).resolve(demo)
    assert spec.modalities[1].range == DEPTHS
    images = torch.rand(2, 4, 8, 8)
    torch.testing.assert_close(spec.to_network(images), demo.to_network(images))
    rgbd = InputOptions(modalities="rgbd", depth_range=(0.3, 2.0)).resolve(demo)
    torch.testing.assert_close(rgbd.to_network(images)[:, 3], images[:, 3])


def test_depth_range_keeps_the_unit_of_a_network_that_has_one() -> None:
    metres = Modality("depth", 1, range=(0.3, 2.0), mean=(1.0,), std=(0.5,))
    spec = InputOptions(depth_range=(1.0, 2.0)).resolve(InputSpec((metres,), 8))
    value = functional.pad(torch.zeros(1, 1, 1), (1, 0), value=1.0)  # 2 m and 1 m
    torch.testing.assert_close(spec.to_network(value), torch.tensor([[[2.0, 0.0]]]))


@pytest.mark.skipif(not REAL.is_dir(), reason="the real RGB-D frames are not here")
def test_real_frames_with_the_demo_network(tmp_path: Path) -> None:
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    _run(*FEATURES, "--images", REAL, *where)
    assert len({row["picture"] for row in _rows(tmp_path / "results.csv")}) == 2
