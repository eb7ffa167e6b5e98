from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from kept import FIRST_RUN, kept_images
from PIL import Image
from torch.nn import functional

from neurovis.analysis import explained_pictures, feature_maps, picture_explainer
from neurovis.cli.main import main
from neurovis.cli.options import InputOptions
from neurovis.demo import demo_input_spec, load_demo_network
from neurovis.inputs import InputSpec
from neurovis.modality import Modality
from neurovis.pictures import find_pictures, read_picture
from neurovis.saliency import METHODS, RandomizationCheck, cascading_randomization, kernel_saliency

pytestmark = pytest.mark.filterwarnings("ignore:.*which changes its proportions")

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "rgbd"
DEPTHS = (1.2, 1.8)
MODEL = ("--model", "demo", "--input.depth_range", str(list(DEPTHS)))
CPU = ("--trainer.accelerator", "cpu")
FEATURES = ("features", *MODEL, "--layer", "relu2", *CPU)
SALIENCY = ("saliency", *MODEL, *CPU)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three RGB-D images, color with depth in meters."""
    random = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a", "b", "c"):
        color = random.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(color).save(folder / f"{name}_rgb.png")
        depth = random.uniform(*DEPTHS, (20, 24)).astype(np.float32)
        Image.fromarray(depth).save(folder / f"{name}_depth.tiff")
    return folder


def _images(folder: Path) -> torch.Tensor:
    """As the demo network takes them, made without the option that is tested."""
    demo = demo_input_spec()
    color, _ = demo.modalities
    spec = InputSpec((color, Modality("depth", 1, range=DEPTHS)), demo.size)
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


@pytest.mark.drawn
def test_features_go_to_tensorboard_with_the_index_as_step(tmp_path: Path, pictures: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _run(*FEATURES, "--images", pictures, "--trainer.default_root_dir", tmp_path)
    folder = tmp_path / "lightning_logs" / "version_0"
    events = EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    logged = events.Images("feature_maps/relu2")
    assert [image.step for image in logged] == [0, 1, 2]
    words = events.SummaryMetadata("feature_maps/relu2").summary_description
    assert "The slider goes through the pictures" in words
    with Image.open(folder / "feature_maps" / "relu2" / "0000_a.png") as written:
        assert (logged[0].width, logged[0].height) == written.size


def test_features_of_layers_by_type_and_of_vectors(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--images", pictures / "a_rgb.png", "--trainer.logger", "false")
    layers = ("--layer", "all-conv", "classifier")
    _run("features", *MODEL, *CPU, *layers, *options, "--trainer.default_root_dir", tmp_path)
    output = capsys.readouterr().out
    assert f"Written to {tmp_path / FIRST_RUN}" in output
    assert "tensorboard" not in output
    assert {path.name for path in (tmp_path / FIRST_RUN / "feature_maps").iterdir()} == {
        *("conv1", "conv2", "conv3", "conv4", "classifier")
    } & {name for name, _ in load_demo_network().named_modules()}
    logits = np.load(tmp_path / FIRST_RUN / "feature_maps" / "classifier" / "0000_a.npz")["maps"]
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
    rows = _rows(tmp_path / FIRST_RUN / "results.csv")
    assert [row["silent"] for row in rows] == ["True", "False"] * 3
    assert [row["constant"] for row in rows] == ["True", "False"] * 3
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "relu1" in line]
    assert line.split("│")[-2].strip() == "1"


def test_silent_in_all_counts_every_picture(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    _run("features", *MODEL, *CPU, *where, "--layer", "relu3", "--images", pictures)
    rows = _rows(tmp_path / FIRST_RUN / "results.csv")
    silent = np.array([row["silent"] == "True" for row in rows]).reshape(3, -1)
    assert silent.all(0).sum() < silent.sum(1).min()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "relu3" in line]
    assert line.split("│")[-2].strip() == str(silent.all(0).sum())


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", ["..", "a.b .c", "x" * 250, "[red]", "日本"])
def test_names_of_pictures_stay_in_the_folder(tmp_path: Path, pictures: Path, name: str) -> None:
    picture = pictures / f"{name}.png"
    Image.new("RGB", (8, 8)).save(picture, format="png")
    results = tmp_path / "results"
    run = results / FIRST_RUN
    _run(
        *("features", "--model", "torchvision.models.squeezenet1_1", "--layer", "features.0"),
        *("--input.size", 32, "--images", picture, "--kernels", 0, *CPU),
        *("--trainer.default_root_dir", results, "--trainer.logger", "false"),
    )
    written = {path.relative_to(run).parent for path in results.rglob("*") if path.is_file()}
    assert written == {Path(), Path("feature_maps/features.0")}
    assert _rows(run / "results.csv")[0]["picture"] == picture.stem
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
    rows = _rows(tmp_path / FIRST_RUN / "results.csv")
    assert [int(row["kernel"]) for row in rows] == logits.argmax(1).tolist()
    for index, row in enumerate(rows):
        name = f"000{index}_{'abc'[index]}.npz"
        maps = np.load(
            tmp_path / FIRST_RUN / "saliency" / "integrated_gradients" / "output" / name
        )["maps"]
        kernel = int(row["kernel"])
        change = (logits - start)[index, kernel].item()
        error = float(row["completeness_error"])
        assert abs(maps.sum() - change) / abs(change) == pytest.approx(error, abs=1e-3)


def test_saliency_of_an_output_by_name(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    images = ("--images", pictures / "a_rgb.png", *where)
    line = _fails(capsys, *SALIENCY, *images, "--output", "logits")
    assert 'has no output "logits"; it returns "output" (1, 8)' in line
    config = tmp_path / "config.yaml"
    config.write_text("output: output\nmethod: gradcam\nkernels: 1\n")
    _run(*SALIENCY, *images, "--config", config)
    (row,) = _rows(tmp_path / FIRST_RUN / "results.csv")
    layer = kernel_saliency(
        load_demo_network(), _images(pictures), None, 1, "gradcam"
    ).gradcam_layer
    assert (row["layer"], row["gradcam_layer"]) == ("output", layer)
    assert f"gradcam of output at {layer}" in capsys.readouterr().out


def test_saliency_checks_its_maps_by_randomization(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    check = ("--randomization", "--max_stages", 2, "--batch_size", 2)
    _run(*SALIENCY, "--layer", "relu2", "--kernels", "0,1", "--images", pictures, *check, *where)
    rows = _rows(tmp_path / FIRST_RUN / "randomization.csv")
    seen = {(row["picture"], row["kernel"], row["stage"]) for row in rows}
    assert seen == {(name, kernel, stage) for name in "abc" for kernel in "01" for stage in "012"}
    assert len(rows) == len(seen)
    for row in rows:
        is_trained = row["stage"] == "0"
        assert (row["randomized"] == "trained") == is_trained
        assert (float(row["correlation"]) == pytest.approx(1)) == is_trained
    last = [float(row["correlation"]) for row in rows if row["stage"] == "2"]
    signed = [float(row["signed_correlation"]) for row in rows if row["stage"] == "2"]
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│     2 ")]
    stated = [part.strip() for part in line.split("│")[3:]]
    assert stated == [f"{np.median(last):.3f}", f"{np.median(signed):.3f}", "", ""]
    figures = tmp_path / FIRST_RUN / "saliency" / "gradient" / "relu2" / "randomization"
    assert [path.name for path in sorted(figures.iterdir())] == [
        f"000{index}_{name}.{suffix}"
        for index, name in enumerate("abc")
        for suffix in ("npz", "png")
    ]
    assert len(_rows(tmp_path / FIRST_RUN / "results.csv")) == 6


def test_patterns_and_named_files_make_an_image(tmp_path: Path, pictures: Path) -> None:
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    named = (f"rgb={pictures / 'b_rgb.png'}", f"depth={pictures / 'c_depth.tiff'}")
    _run(*FEATURES, *where, "--images", *named)
    assert {row["picture"] for row in _rows(tmp_path / FIRST_RUN / "results.csv")} == {"b_rgb"}
    patterns = ("--patterns.rgb", "*_rgb.png", "--patterns.depth", "*_depth.tiff")
    _run(*FEATURES, *where, "--images", pictures, *patterns)
    second = tmp_path / FIRST_RUN.with_name("version_1")
    assert {row["picture"] for row in _rows(second / "results.csv")} == {"a", "b", "c"}


def test_notes_are_said_once_and_briefly(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(6):
        color = Image.new("RGB", (8, 8))
        color.save(pictures / f"{index}_rgb.png")
        depth = np.full((8, 8), 1.5, np.float32)
        depth[0, 0] = 9
        Image.fromarray(depth).save(pictures / f"{index}_depth.tiff")
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    _run(*FEATURES, *where, "--images", pictures)
    output = capsys.readouterr().out
    assert output.count("note:") == 4
    assert output.count("which changes its proportions by 20%") == 1
    assert "and 2 more notes" in output
    assert output.count("0_depth.tiff") == 1
    assert "1.5 to 9: 1 pixels (1.6%)" in output
    assert "and 3 more notes" in output


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--images", "absent.png"), 'there is no picture "absent.png"'),
        (("--images", "a_rgb.png", "--layer", "relu9"), 'layer "relu9" not found; did you mean'),
        (("--images", "a_rgb.png", "--kernels", "64"), "kernel 64 is out of range"),
        (("--images", "a_rgb.png", "--input.depth_range", "[5, 6]"), "--input.depth_range"),
        (
            ("--images", "a_rgb.png", "--batch_size", "0"),
            'batch_size must be an integer of at least 1; got "0"',
        ),
        (
            ("--images", "a_rgb.png", "--max_kernels", "0"),
            'max_kernels must be an integer of at least 1; got "0"',
        ),
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


# Pictures that cannot be read


@pytest.mark.sampled(2)
@pytest.mark.parametrize("command", [FEATURES, SALIENCY])
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_unreadable_pictures_are_left_out(
    tmp_path: Path,
    pictures: Path,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    batch: int,
) -> None:
    (pictures / "a_rgb.png").write_text("no picture")
    Image.fromarray(np.full((20, 24), 7.0, np.float32)).save(pictures / "b_depth.tiff")
    where = ("--trainer.default_root_dir", tmp_path / "results", "--trainer.logger", "false")
    arguments = (*command, "--images", pictures, *where, "--batch_size", batch)
    assert main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith("neurovis: error: left out 2 of 3 pictures that could not be read; ")
    assert 'a_rgb.png" is not a picture that can be read' in line
    assert said.out.count("note: left out: ") == 2
    assert f"Written to {tmp_path / 'results'}" in said.out
    rows = _rows(tmp_path / "results" / FIRST_RUN / "results.csv")
    assert {(row["index"], row["picture"]) for row in rows} == {("2", "c")}
    (arrays,) = (tmp_path / "results").rglob("*.npz")
    assert arrays.name == "0002_c.npz"
    if command is FEATURES:
        assert "Feature maps of 1 picture " in said.out
        expected = _until_relu2(_images(pictures / "c_rgb.png"))
        np.testing.assert_allclose(np.load(arrays)["maps"], expected[0], atol=1e-4)


@pytest.mark.parametrize("command", [FEATURES, SALIENCY])
def test_where_no_picture_is_readable_nothing_is_written(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    for name in "abc":
        (pictures / f"{name}_rgb.png").write_text("no picture")
    where = ("--trainer.default_root_dir", tmp_path / "results")
    for images in ([pictures], [pictures / "a_rgb.png"]):
        line = _fails(capsys, *command, "--images", *images, *where)
        assert line.startswith(f'neurovis: error: "{pictures / "a_rgb.png"}" is not a picture')
    assert not list((tmp_path / "results").rglob("*"))


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("--input.size", "4"), r"(of shape \(3, 4, 4\)|of 3 channels and 4x4 pixels)"),
        (
            ("--input.size", "32", "--input.modalities", "rgbd"),
            r"(of shape \(4, 32, 32\)|of 4 channels and 32x32 pixels)",
        ),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        ("features", "--layer", "features.12"),
        ("features", "--layer", "features.10.expand3x3"),
        ("features", "--layer", "all-conv"),
        ("saliency",),
        ("saliency", "--layer", "features.12", "--kernels", "0"),
    ],
)
def test_images_that_the_network_cannot_take_are_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    options: tuple[str, ...],
    wanted: str,
) -> None:
    np.save(tmp_path / "x.npy", np.zeros((4 if "rgbd" in options else 3, 32, 32)))
    model = ("--model", "torchvision.models.squeezenet1_1", *CPU)
    where = ("--trainer.default_root_dir", tmp_path / "results")
    line = _fails(capsys, *command, *model, *options, "--images", tmp_path / "x.npy", *where)
    assert re.search(f"SqueezeNet cannot (take|run on) images {wanted}.*: ", line)
    assert line.endswith("see --input.size and --input.modalities")
    assert not list((tmp_path / "results").rglob("*"))


@pytest.mark.parametrize("is_yaml", [False, True])
def test_the_range_of_a_modality_can_be_given_as_the_error_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], is_yaml: bool
) -> None:
    stored = np.arange(300, 364, dtype=np.uint16).reshape(8, 8)
    Image.fromarray(stored).save(tmp_path / "nir.png")
    network = "{in_channels: 1, out_channels: 2, kernel_size: 3}"
    command = ("saliency", "--model", "torch.nn.Conv2d", "--model_args", network, *CPU)
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    arguments = (*command, "--images", tmp_path / "nir.png", "--input.size", 8, *where)
    given = ("--input.modalities", "[{name: nir, channels: 1}]")
    line = _fails(capsys, *arguments, *given)
    remedy = ("--input.modalities", line.split("--input.modalities '")[1].split("'")[0])
    if is_yaml:
        config = tmp_path / "config.yaml"
        config.write_text(line.split("in YAML as ")[1].split(";")[0])
        remedy = ("--config", str(config))
    _run(*arguments, *remedy)
    (arrays,) = tmp_path.rglob("*.npz")
    np.testing.assert_allclose(np.load(arrays)["image"][0] * 65535, stored, atol=0.01)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("fast_dev_run", ["false", "true"])
@pytest.mark.parametrize("command", [FEATURES, SALIENCY], ids=["features", "saliency"])
def test_without_a_logger_each_run_has_a_folder_of_its_own(
    command: tuple[str, ...],
    fast_dev_run: str,
    tmp_path: Path,
    pictures: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    where = ("--trainer.default_root_dir", tmp_path / "out", "--trainer.logger", fast_dev_run)
    for version, picture in enumerate(("a_rgb.png", "b_rgb.png")):
        given = ("--images", pictures / picture, "--trainer.fast_dev_run", fast_dev_run)
        _run(*command, *where, *given)
        folder = tmp_path / "out" / FIRST_RUN.with_name(f"version_{version}")
        assert f"Written to {folder}\n" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["lightning_logs"]
    for version, name in enumerate("ab"):
        folder = tmp_path / "out" / FIRST_RUN.with_name(f"version_{version}")
        assert {row["picture"] for row in _rows(folder / "results.csv")} == {name}
        assert [path.name for path in folder.rglob("*.npz")] == [f"0000_{name}.npz"]


def test_only_a_logger_that_takes_images_is_shown_by_tensorboard(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = ("--images", pictures / "a_rgb.png", "--trainer.default_root_dir", tmp_path)
    _run(*FEATURES, *images)
    folder = tmp_path / "lightning_logs" / "version_0"
    assert f"See it with: tensorboard --logdir {folder} " in capsys.readouterr().out
    table = ("--trainer.logger", "lightning.pytorch.loggers.CSVLogger")
    _run(*FEATURES, *images, *table, "--trainer.logger.save_dir", tmp_path / "csv")
    output = capsys.readouterr().out
    assert f"Written to {tmp_path / 'csv'}" in output
    assert "tensorboard" not in output


def test_zeros_of_depth_are_noted_once(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abc":
        depth = np.full((20, 24), 1.5, np.float32)
        depth[:5] = 0
        Image.fromarray(depth).save(pictures / f"{name}_depth.tiff")
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    _run(*FEATURES, *where, "--images", pictures)
    output = capsys.readouterr().out
    assert output.count("they are shown as the nearest depth") == 1
    assert "note: 120 pixels (25.0%) of" in output


def test_titles_name_the_picture(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []

    def noted(module: object, name: str, position: int) -> None:
        figure = getattr(module, name)

        def made(*arguments: object, **options: object) -> object:
            titles.append(str(arguments[position]))
            return figure(*arguments, **options)

        monkeypatch.setattr(module, name, made)

    noted(feature_maps, "feature_map_figure", 4)
    noted(explained_pictures, "saliency_figure", 4)
    noted(explained_pictures, "randomization_figure", 5)
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    images = ("--images", pictures / "a_rgb.png", *where)
    _run(*FEATURES, *images)
    count = _until_relu2(_images(pictures)).shape[1]
    _run(*FEATURES, *images, "--max_kernels", 3)
    _run(*SALIENCY, *images, "--randomization", "--max_stages", 1)
    assert titles == [
        "relu2, picture a",
        f"relu2 (3 of {count} kernels), picture a",
        "gradient of output, picture a",
        "gradient of output as weights become random, picture a",
    ]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("method", ["gradient", "input_x_gradient"])
def test_raw_maps_of_a_randomization_are_written_and_shown(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    shown: list[tuple[tuple[object, ...], dict[str, object]]] = []
    figure = explained_pictures.randomization_figure

    def noted(*arguments: object, **options: object) -> object:
        shown.append((arguments, options))
        return figure(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(explained_pictures, "randomization_figure", noted)
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    check = ("--randomization", "--max_stages", 2, "--seed", 3, "--max_kernels", 1)
    kernels = ("--kernels", "5,1", "--method", method)
    images = (pictures / "a_rgb.png", pictures / "b_rgb.png")
    _run(*SALIENCY, *kernels, "--images", *images, *check, *where)
    found = np.load(
        tmp_path / FIRST_RUN / "saliency" / method / "output" / "randomization" / "0001_b.npz"
    )
    assert found["kernels"].tolist() == [5, 1]
    for place, kernel in enumerate((5, 1)):
        expected = cascading_randomization(
            *(load_demo_network(), _images(pictures), None, kernel, method), max_stages=2, seed=3
        )
        assert found["stages"].tolist() == expected.stages
        scale = expected.maps[:, 1].abs().max().item()
        np.testing.assert_allclose(
            found["maps"][:, place], expected.maps[:, 1], atol=1e-3 * scale, rtol=1e-3
        )
        for name in ("correlations", "signed_correlations"):
            np.testing.assert_allclose(
                found[name][:, place], getattr(expected, name)[:, 1], atol=1e-3
            )
    arguments, options = shown[1]
    assert "maps: all modalities together" in options["notes"]
    name = "correlations" if method == "gradient" else "signed_correlations"
    np.testing.assert_array_equal(arguments[3], found[name][:, :1])
    other = "signed_correlations" if method == "gradient" else "correlations"
    assert not np.allclose(found[name], found[other], atol=0.01)


def test_constant_maps_of_a_randomization_are_counted(
    tmp_path: Path,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def made(*arguments: object, **_: object) -> RandomizationCheck:
        last = [0.1, 0.2, float("nan")] if arguments[3] == 0 else [0.5, 0.9, float("nan")]
        correlations = torch.tensor([[1.0, 1.0, 1.0], last])
        return RandomizationCheck(
            stages=["trained", "conv1"],
            maps=torch.rand(2, 3, *demo_input_spec().size),
            correlations=correlations,
            signed_correlations=-correlations / 2,
            method="gradient",
            layer="output",
            kernels=[0] * 3,
        )

    monkeypatch.setattr(picture_explainer, "cascading_randomization", made)
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    _run(*SALIENCY, "--kernels", "0,1", "--images", pictures, "--randomization", *where)
    output = capsys.readouterr().out
    (line,) = [line for line in output.splitlines() if "conv1" in line]
    stated = [part.strip() for part in line.split("│")[3:-1]]
    assert stated == ["0.350", "-0.175", "2 of 6"]
    assert "random weights silenced the kernel" in output
    assert "try another --seed" in " ".join(output.split())


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--method", "magic"), 'occlusion; got "magic"'),
        (("--method", "gradiant"), 'did you mean "gradient"'),
        (("--max_stages", "2"), "max_stages is of the randomization; got 2 without --random"),
        (("--method", "gradcam", "--gradcam_layer", "nowhere"), 'layer "nowhere" not found'),
        (("--samples", "0"), "samples must be an integer of at least 1; got 0"),
        (("--max_stages", "0"), 'max_stages must be an integer of at least 1; got "0"'),
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
    said = " ".join(capsys.readouterr().out.split())
    assert f"Example: neurovis {command} --model" in said
    assert "only 16-bit and float files have a unit" in said
    assert "stretched to the network's size" in said
    if command == "saliency":
        assert ", ".join(map(repr, METHODS)) in said


def test_am_starts_from_a_pair_of_files(tmp_path: Path, pictures: Path) -> None:
    _run(
        *("am", *MODEL, "--layer", "conv2", "--kernels", 0, "--steps", 1, *CPU),
        *("--init", pictures / "a_rgb.png", "--trainer.logger", "false"),
        *("--trainer.default_root_dir", tmp_path),
    )
    # A step on, the image has not gone far; noise would be 0.25 away.
    assert np.abs(kept_images(tmp_path)[0] - _images(pictures)[0].numpy()).mean() < 0.1


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
    meters = Modality("depth", 1, range=(0.3, 2.0), mean=(1.0,), std=(0.5,))
    spec = InputOptions(depth_range=(1.0, 2.0)).resolve(InputSpec((meters,), 8))
    value = functional.pad(torch.zeros(1, 1, 1), (1, 0), value=1.0)  # 2 m and 1 m
    torch.testing.assert_close(spec.to_network(value), torch.tensor([[[2.0, 0.0]]]))


@pytest.mark.skipif(not REAL.is_dir(), reason="the real RGB-D frames are not here")
def test_real_frames_with_the_demo_network(tmp_path: Path) -> None:
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    _run(*FEATURES, "--images", REAL, *where)
    assert len({row["picture"] for row in _rows(tmp_path / FIRST_RUN / "results.csv")}) == 2


@pytest.mark.parametrize(
    ("options", "interpolation"),
    [
        (InputOptions(size=8), "bicubic"),
        (InputOptions(modalities="rgb"), "bicubic"),
        (InputOptions(modalities=[Modality("gray", 1)]), "bicubic"),
        (InputOptions(frames=2), "bicubic"),
        (InputOptions(interpolation="nearest"), "nearest"),
    ],
)
def test_interpolation_is_the_librarys_unless_given(
    options: InputOptions, interpolation: str
) -> None:
    spec = InputSpec((Modality("rgb", 3),), 16, interpolation="bicubic")
    assert options.resolve(spec).interpolation == interpolation
