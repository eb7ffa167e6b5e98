from __future__ import annotations

import csv
import io
import math
import os
import subprocess
import sys
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kept import FIRST_RUN, kept_images
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from neurovis.analysis import preferred_images, ranked_fields
from neurovis.cli import printing, rank_printing
from neurovis.cli.main import main
from neurovis.cli.own_images import DemoScenes
from neurovis.demo import SHAPES, demo_input_spec, load_demo_network
from neurovis.maximization import ActivationMaximization
from neurovis.pictures import PictureDataset, find_pictures, read_picture
from neurovis.tuning import RANKINGS, TuningProbe, map_receptive_fields, rank_kernels
from neurovis.tuning.stimuli import DenseNoise

CPU = ("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false")
FEW = (
    *("--orientations", 4, "--phases", 3, "--spatial_frequencies", "[0.1, 0.2]"),
    *("--null_kernels", 10, "--sheets", 0, "--top", 4),
)
RANK = ("rank", *CPU, *FEW)
OF_VIDEOS = ("direction", "temporal_frequency")


class GrayNet(nn.Sequential):
    """A network of one channel, whose layers are called 0 and 1."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, 3, 5), nn.ReLU())


GRAY = (
    *("--model", "test_rank_command.GrayNet", "--input.size", 32),
    *("--input.modalities", '[{"name": "gray", "channels": 1}]'),
)
RGB = ("--model", "torchvision.models.squeezenet1_0", "--input.size", 64)


def _run(*arguments: object) -> None:
    assert main([str(argument) for argument in arguments]) == 0


def _fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line on stderr of a command that must end with status 2."""
    assert main([str(argument) for argument in arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("neurovis: error: ")
    return line


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def _by_kernel(rows: list[dict[str, str]], layer: str, by: str, column: str) -> list[str]:
    chosen = [row for row in rows if (row["layer"], row["by"]) == (layer, by)]
    return [row[column] for row in sorted(chosen, key=lambda row: int(row["kernel"]))]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """RGB-D images in a folder for each of two classes, which differ in brightness."""
    random = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    for name, brightest in (("dark", 90), ("light", 256)):
        (folder / name).mkdir(parents=True)
        for index in range(3):
            color = random.integers(0, brightest, (16, 16, 3), dtype=np.uint8)
            depth = random.integers(0, 256, (16, 16), dtype=np.uint8)
            Image.fromarray(color).save(folder / name / f"{index}_rgb.png")
            Image.fromarray(depth).save(folder / name / f"{index}_depth.png")
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder and the printed text of a ranking of two layers by two questions."""
    folder = tmp_path_factory.mktemp("ranking")
    with redirect_stdout(io.StringIO()) as printed:
        _run(
            *RANK,
            *("--layer", "conv1", "relu2", "--by", "orientation", "phase", "--sheets", 2),
            *("--reference", "macaque_v1"),
            *("--trainer.default_root_dir", folder),
        )
    return folder / "lightning_logs" / "version_0", printed.getvalue()


def test_columns_are_those_of_the_design(written: tuple[Path, str]) -> None:
    rows = _rows(written[0] / "results.csv")
    assert list(rows[0])[:10] == [
        *("layer", "kernel", "by", "score", "rank", "null_percentile", "reliability", "dead"),
        *("preferred_orientation", "preferred_spatial_frequency"),
    ]
    assert len(rows) == 2 * (24 + 48)
    for layer, kernels in (("conv1", 24), ("relu2", 48)):
        ranks = _by_kernel(rows, layer, "orientation", "rank")
        assert sorted(map(int, ranks)) == list(range(1, kernels + 1))


def test_what_does_not_apply_is_said_and_the_rest_is_ranked(written: tuple[Path, str]) -> None:
    folder, output = written
    rows = _rows(folder / "results.csv")
    assert set(_by_kernel(rows, "conv1", "phase", "score")) == {""}
    notes = set(_by_kernel(rows, "conv1", "phase", "note"))
    assert len(notes) == 1
    assert notes.pop().startswith("not applicable: phase needs responses that are cut off at 0")
    assert any(_by_kernel(rows, "relu2", "phase", "score"))
    (line,) = [line for line in output.splitlines() if "conv1" in line and "phase" in line[:20]]
    assert "not applicable" in line
    assert output.count("note: conv1: not applicable: phase needs") == 1
    assert not (folder / "kernel_ranking" / "phase" / "conv1.png").exists()


def test_arrays_stand_beside_the_figures(written: tuple[Path, str]) -> None:
    """With what the same ranking holds in memory, to the last bit."""
    folder, _ = written
    found = rank_kernels(
        load_demo_network(), ["conv1", "relu2"], ["orientation", "phase"],
        input_spec=demo_input_spec(), orientations=4, phases=3, spatial_frequencies=[0.1, 0.2],
        null_kernels=10,
    )  # fmt: skip
    applicable = [ranking for ranking in found if ranking.reason is None]
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*.npz")}
    assert names == {f"kernel_ranking/{one.by}/{one.layer}.npz" for one in applicable}
    assert len(names) == 3
    for ranking in applicable:
        path = folder / "kernel_ranking" / ranking.by / f"{ranking.layer}.npz"
        assert path.with_suffix(".png").is_file()
        with np.load(path, allow_pickle=False) as arrays:
            for name in ("score", "ranks", "null_percentile", "reliability", "dead", "null_score"):
                np.testing.assert_array_equal(arrays[name], getattr(ranking, name))
            assert ranking.grating_responses is not None
            np.testing.assert_array_equal(arrays["tuning"], ranking.grating_responses.tuning)
            assert arrays["tuning"].shape == (len(ranking), 1, 4, 2)
            assert arrays["orientations"].tolist() == [0, 45, 90, 135]


def test_figures_and_logs_are_written(written: tuple[Path, str]) -> None:
    folder, output = written
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}
    for by, layer in (("orientation", "conv1"), ("orientation", "relu2"), ("phase", "relu2")):
        stem = f"kernel_ranking/{by}/{layer}"
        assert {f"{stem}.png", f"{stem}_histogram.png"} <= files
        assert sum(file.startswith(f"{stem}/kernel_") for file in files) == 2
    assert f"Written to {folder}" in output
    assert f"tensorboard --logdir {folder}" in output
    log = EventAccumulator(str(folder), size_guidance={"images": 0})
    log.Reload()
    tag = "kernel_ranking/orientation/conv1"
    assert {tag, f"{tag}/histogram", f"{tag}/sheets"} <= set(log.Tags()["images"])
    assert [event.step for event in log.Images(f"{tag}/sheets")] == [0, 1]
    for kind in ("images", "scalars", "histograms"):
        for name in set(log.Tags()[kind]) - {"hp_metric"}:  # Lightning's own.
            assert log.SummaryMetadata(name).summary_description.startswith("**"), name
    # At a single step there are no curves to be compared.
    assert "custom_scalars__config__" not in log.Tags()["tensors"]
    assert {f"{tag}/scores", f"{tag}/null_scores"} <= set(log.Tags()["histograms"])
    (median,) = [event.value for event in log.Scalars(f"{tag}/median")]
    scores = [
        float(row)
        for row in _by_kernel(_rows(folder / "results.csv"), "conv1", "orientation", "score")
    ]
    assert median == pytest.approx(float(np.median(scores)), rel=1e-5)


def test_scores_against_the_reference_are_written_and_printed(written: tuple[Path, str]) -> None:
    folder, output = written
    rows = _rows(folder / "reference_scores.csv")
    named = [(row["layer"], row["property"]) for row in rows]
    assert named == [
        (layer, name) for layer in ("conv1", "relu2") for name in ("preferred_orientation", "mean")
    ]
    found = rank_kernels(
        load_demo_network(), ["conv1", "relu2"], input_spec=demo_input_spec(), orientations=4,
        phases=3, spatial_frequencies=[0.1, 0.2], null_kernels=10, reference="macaque_v1",
    ).reference_scores  # fmt: skip
    assert found is not None
    for row in rows:
        score = found[row["layer"], row["property"]].score
        assert float(row["score"]) == pytest.approx(score, abs=1e-5)
        (line,) = [
            line
            for line in output.partition(f"{row['layer']}: likeness to")[2].splitlines()[:8]
            if line.startswith(f"│ {row['property']} ")
        ]
        assert f" {score:.3f} " in line
    root = folder / "kernel_ranking" / "reference_scores" / "macaque_v1"
    assert root.with_suffix(".png").is_file()
    assert (root / "preferred_orientation" / "histogram.png").is_file()
    *_, line = output.partition("in degrees of visual angle")[0].splitlines()
    assert "preferred_spatial_frequency" in line


def test_an_unknown_reference_is_refused_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    line = _fails(capsys, *RANK, *GRAY, "--layer", "0", "--reference", "macaque_v2")
    assert 'reference "macaque_v2" not found; did you mean "macaque_v1"?' in line


def test_the_table_says_what_the_file_does(written: tuple[Path, str]) -> None:
    folder, output = written
    rows = [row for row in _rows(folder / "results.csv") if row["layer"] == "conv1"][:24]
    (line,) = [line for line in output.splitlines() if "conv1" in line and "gOSI" in line]
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    scores = [float(row["score"]) for row in rows]
    above = np.mean([float(row["null_percentile"]) >= 95 for row in rows])
    assert cells[:4] == ["conv1", "orientation", "gOSI", "24"]
    assert float(cells[4]) == pytest.approx(float(np.median(scores)), rel=1e-2)
    assert cells[6:8] == [f"{100 * above:.0f} %", "0"]
    assert cells[9].split(", ") == [row["kernel"] for row in rows[:5]]


@pytest.mark.parametrize(
    ("width", "left_out"),
    [
        (200, set()),
        (100, {"score", "kernels"}),
        (80, {"score", "kernels", "null's 95 %", "reliability"}),
    ],
)
def test_a_narrow_table_keeps_what_was_asked_for(
    width: int, left_out: set[str], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    asked: Any = {"null_kernels": 10, "orientations": 4, "phases": 3, "spatial_frequencies": [0.1]}
    by = ["orientation", "modality", "phase"]
    found = rank_kernels(
        load_demo_network(), ["conv1", "relu1"], by, input_spec=demo_input_spec(), **asked
    )
    screen = printing.console()
    screen.width = width
    monkeypatch.setattr(printing, "console", lambda: screen)
    rank_printing.print_rankings(found)
    lines = capsys.readouterr().out.split("note: ")[0].splitlines()
    assert max(map(len, lines)) <= width
    heads, *rows = [
        [cell.strip() for cell in line.strip("┃│").replace("┃", "│").split("│")]
        for line in lines
        if line.startswith(("┃", "│"))
    ]
    every = ["layer", "ranking", "score", "kernels", "median", "null's 95 %", "above null", "dead"]
    every += ["reliability", "first kernels"]
    assert heads == [head for head in every if head not in left_out]
    assert len(rows) == len(found)
    for ranking, row in zip(found, rows, strict=True):
        cells = dict(zip(heads, row, strict=True))
        assert (cells["layer"], cells["ranking"]) == (ranking.layer, ranking.by)
        if ranking.reason is not None:
            said = {name: text for name, text in cells.items() if text and name != "kernels"}
            why = {"score": "not applicable", "median": "n/a"}
            assert dict(list(said.items())[2:]) == {
                name: why[name] for name in why if name in heads
            }
            continue
        assert cells["first kernels"] == ", ".join(map(str, ranking.top(5)))
        assert float(cells["median"]) == pytest.approx(ranking.score.nanmedian().item(), abs=0.1)


def test_scores_are_those_of_gratings_made_by_hand(written: tuple[Path, str]) -> None:
    """Sinusoids, the first convolution, one Fourier coefficient, and the vector sum."""
    network = load_demo_network()
    orientations, phases = [0.0, 45.0, 90.0, 135.0], [0.0, 120.0, 240.0]
    rows, columns = torch.meshgrid(*[torch.arange(64.0) - 31.5] * 2, indexing="ij")
    # The unit in the center sees pixels 28 to 36: any other place changes phases alone.
    amplitude = torch.zeros(24, 2, 4)
    for index, frequency in enumerate((0.1, 0.2)):
        for angle, orientation in enumerate(orientations):
            theta, coefficient = math.radians(orientation), torch.zeros(24, dtype=torch.complex64)
            for phase in phases:
                shift = math.radians(phase)
                along = -math.sin(theta) * columns - math.cos(theta) * rows
                image = 0.5 + 0.5 * torch.sin(2 * math.pi * frequency * along + shift)
                with torch.no_grad():
                    seen = network.conv1((image.expand(1, 4, 64, 64) - 0.5) * 4)[0, :, 16, 16]
                coefficient += seen * np.exp(-1j * shift)
            amplitude[:, index, angle] = 2 * coefficient.abs() / 3
    best = amplitude.amax(2).argmax(1)
    curves = amplitude[torch.arange(24), best].double()
    vectors = curves.to(torch.complex128) @ torch.exp(
        2j * torch.deg2rad(torch.tensor(orientations).double())
    )
    expected = vectors.abs() / curves.sum(1)
    table = _rows(written[0] / "results.csv")
    scores = [float(score) for score in _by_kernel(table, "conv1", "orientation", "score")]
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    preferred = _by_kernel(table, "conv1", "orientation", "preferred_orientation")
    angles = torch.rad2deg(vectors.angle()) / 2 % 180
    difference = (torch.tensor([float(angle) for angle in preferred]) - angles + 90) % 180 - 90
    assert difference.abs().max() < 0.05


def test_all_that_applies_to_pictures_without_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        Image.effect_noise((32, 32), 60).save(tmp_path / f"{number}.png")
    few = ("--batch_size", 200, "--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    _run(*RANK, *GRAY, "--layer", "1", "--by", "all", "--images", tmp_path, *few)
    rows = _rows(tmp_path / FIRST_RUN / "results.csv")
    assert {row["by"] for row in rows} == set(RANKINGS)
    stated = {row["by"] for row in rows if row["note"].startswith("not applicable")}
    not_here = {"class", "category", "predictable", "weight", "color", "modality", *OF_VIDEOS}
    assert stated == not_here
    assert "needs images with labels" in " ".join(capsys.readouterr().out.split())
    figures = {path.parent.name for path in tmp_path.rglob("kernel_ranking/*/1.png")}
    assert figures == set(RANKINGS) - stated


def test_classes_are_folders(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "dark" / "1_rgb.png").write_bytes(b"no picture")
    Image.new("RGB", (8, 8)).save(pictures / "beside_rgb.png")
    out = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    images = ("--layer", "relu1", "--by", "class", "sparseness", "--images", pictures)
    message = _fails(capsys, *RANK, *images, *out)
    assert "left out 1 of 6 pictures that could not be read" in message
    assert "1_rgb.png" in message
    rows = _rows(tmp_path / FIRST_RUN / "results.csv")

    network, spec = load_demo_network(), demo_input_spec()
    means = []
    for name in ("dark", "light"):
        found = [
            read_picture(picture, spec)
            for picture in find_pictures(pictures / name, spec)
            if picture.name != "1" or name == "light"
        ]
        seen = []
        for image in found:
            with torch.no_grad():
                maps = network.relu1(network.conv1((image[None] - 0.5) * 4))
            seen.append(maps[0, :, 16, 16].double())
        means.append(torch.stack(seen).mean(0))
    dark, light = means
    expected = (light - dark).abs() / (light + dark)
    scores = [float(score or "nan") for score in _by_kernel(rows, "relu1", "class", "score")]
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    preferred = ["light" if one > other else "dark" for one, other in zip(light, dark, strict=True)]
    given = _by_kernel(rows, "relu1", "class", "preferred_class")
    assert [a for a, score in zip(given, scores, strict=True) if score == score] == [
        a for a, score in zip(preferred, scores, strict=True) if score == score
    ]
    assert any(_by_kernel(rows, "relu1", "sparseness", "score"))


def test_what_was_left_out_is_printed(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "dark" / "0_rgb.png").write_bytes(b"no picture")
    Image.new("RGB", (8, 8)).save(pictures / "beside_rgb.png")
    out = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    given = (*RANK, "--layer", "relu1", "--by", "class", "--images", pictures, *out)
    assert main([str(part) for part in given]) == 2
    output = capsys.readouterr().out
    assert "note: left out: " in output
    assert f'1 pictures in "{pictures}" are left out: no class has them' in output


def test_pictures_are_read_when_they_are_asked_for(pictures: Path) -> None:
    spec = demo_input_spec()
    files = find_pictures(pictures / "dark", spec)
    dataset = PictureDataset(files, spec, [0, 0, 1], ["a", "b"])
    assert (len(dataset), dataset.classes) == (3, ["a", "b"])
    changed = Image.new("L", (16, 16), 255)
    changed.save(pictures / "dark" / "2_depth.png")
    image, label = dataset[2]
    assert label == 1
    assert image[3].eq(1).all()


def test_pictures_of_any_folders_without_classes(tmp_path: Path, pictures: Path) -> None:
    """A folder of classes is also one of pictures, where nothing asks for the classes."""
    scores = []
    for given in ([pictures], [pictures / "dark", pictures / "light"]):
        out = tmp_path / str(len(scores))
        where = ("--trainer.default_root_dir", out, "--trainer.logger", "false")
        _run(*RANK, "--layer", "relu1", "--by", "sparseness", "--images", *given, *where)
        scores.append(
            _by_kernel(_rows(out / FIRST_RUN / "results.csv"), "relu1", "sparseness", "score")
        )
    assert scores[0] == scores[1]


def test_the_demo_has_images_of_its_own(tmp_path: Path) -> None:
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    _run(*RANK, "--layer", "relu4", "--by", "class", *where)
    rows = _rows(tmp_path / FIRST_RUN / "results.csv")
    assert {row["preferred_class"] for row in rows} - {""} <= set(SHAPES)
    scenes = DemoScenes(demo_input_spec())
    labels = [label for _, label in scenes]
    assert scenes.classes == list(SHAPES)
    assert {labels.count(label) for label in range(len(SHAPES))} == {len(scenes) // len(SHAPES)}


@pytest.fixture(scope="module")
def first_kernels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder and the printed text of two rankings with all about their first kernels."""
    folder = tmp_path_factory.mktemp("first_kernels")
    asked = ("--by", "orientation", "spatial_frequency", "--orientations", 8)
    more = ("--preferred_images", 1, "--receptive_fields", 2)
    where = ("--trainer.default_root_dir", folder, "--trainer.logger", "false")
    noise = DenseNoise(demo_input_spec(), 64, seed=0)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        few = partial(map_receptive_fields, noise=noise)
        patch.setattr(ranked_fields, "map_receptive_fields", few)
        short = partial(ActivationMaximization, steps=2)
        patch.setattr(preferred_images, "ActivationMaximization", short)
        _run(*RANK, "--layer", "conv1", *asked, *more, *where)
    return folder / FIRST_RUN, printed.getvalue()


def test_preferred_images_of_the_first_kernels(first_kernels: tuple[Path, str]) -> None:
    folder, output = first_kernels
    rows = _rows(folder / "preferred_images.csv")
    assert list(rows[0]) == [
        *("layer", "kernel", "by", "preferred_orientation", "image_orientation"),
        *("orientation_difference", "preferred_spatial_frequency", "image_spatial_frequency"),
        *("octaves", "activation", "noise_activation", "selectivity", "at_range_end"),
    ]
    firsts = [row for row in _rows(folder / "results.csv") if row["rank"] == "1"]
    for row, first in zip(rows, firsts, strict=True):
        for column in ("layer", "kernel", "by"):
            assert row[column] == first[column]
    assert len(kept_images(folder / "preferred_images" / "conv1", size=(64, 64))) == 2
    assert "Preferred images against preferred gratings" in output
    assert (folder / "kernel_ranking" / "orientation" / "conv1_preferred_images.png").is_file()


def test_receptive_fields_of_the_first_kernels(first_kernels: tuple[Path, str]) -> None:
    folder, output = first_kernels
    rows = _rows(folder / "receptive_fields.csv")
    ranked = _rows(folder / "results.csv")
    assert [(row["kernel"], row["by"]) for row in rows] == [
        (row["kernel"], "orientation") for row in ranked[:2]
    ]
    for row in rows:
        assert [row[name] for name in ("top", "left", "bottom", "right")] == [
            "28",
            "28",
            "37",
            "37",
        ]
    for name in ("receptive_fields", "size_tuning"):
        assert (folder / "kernel_ranking" / "orientation" / f"conv1_{name}.png").is_file()
    assert "9 x 9" in output


def test_kernels_that_noise_does_not_wake_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    little = DenseNoise(demo_input_spec(), 64, seed=0)
    monkeypatch.setattr(
        ranked_fields, "map_receptive_fields", partial(map_receptive_fields, noise=little)
    )
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    few = ("--null_kernels", 0, "--sheets", 0, "--top", 1, "--orientations", 8, "--phases", 4)
    _run("rank", *CPU, *few, "--layer", "relu2", "classifier", "--receptive_fields", 1, *where)
    rows = _rows(tmp_path / FIRST_RUN / "receptive_fields.csv")
    assert [row["layer"] for row in rows] == ["relu2", "classifier"]
    assert rows[1]["preferred_size"] == ""
    output = capsys.readouterr().out
    assert "note: classifier: no maps, so that gratings have no size" in output
    # It responds to a few gratings alone, and is the most selective for it.
    assert rows[0]["reverse_correlation_peak_z"] == ""
    assert "note: relu2: 1 of 1 kernels do not respond to noise" in output
    assert "note: classifier: 1 of 1" not in output


def test_layers_with_numbers_for_names(tmp_path: Path) -> None:
    config = tmp_path / "rank.yaml"
    config.write_text("layer: [0, 1]\nby: orientation\n")
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    _run(*RANK, *GRAY, "--config", config, *where)
    rows = _rows(tmp_path / FIRST_RUN / "results.csv")
    assert [row["layer"] for row in rows] == ["0"] * 3 + ["1"] * 3


def test_without_a_logger_each_run_has_a_folder_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for version, layer in enumerate(("conv1", "conv2")):
        where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
        _run("rank", *CPU, "--by", "weight", "--top", 1, "--layer", layer, *where)
        folder = tmp_path / FIRST_RUN.with_name(f"version_{version}")
        assert f"Written to {folder}\n" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["lightning_logs"]
    for version, layer in enumerate(("conv1", "conv2")):
        folder = tmp_path / FIRST_RUN.with_name(f"version_{version}")
        assert {row["layer"] for row in _rows(folder / "results.csv")} == {layer}


@pytest.mark.slow
def test_two_processes_find_what_one_does(tmp_path: Path) -> None:
    asked = (*RANK, "--layer", "conv1", "relu2", "--by", "orientation", "class")
    one, two = tmp_path / "one", tmp_path / "two"
    _run(*asked, "--trainer.logger", "false", "--trainer.default_root_dir", one)
    given = (*asked, "--trainer.devices", 2, "--trainer.default_root_dir", two)
    finished = subprocess.run(
        [sys.executable, "-m", "neurovis", *map(str, given)],
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert finished.stdout.count("Written to") == 1
    assert "Warning" not in finished.stderr
    (folder,) = (two / "lightning_logs").iterdir()
    tables = [_rows(path / "results.csv") for path in (one / FIRST_RUN, folder)]
    assert len(tables[0]) == len(tables[1]) == 2 * (24 + 48)
    for row, other in zip(*tables, strict=True):
        assert row.keys() == other.keys()
        for column, value in row.items():
            if column in ("layer", "kernel", "by", "rank", "dead", "preferred_class", "note"):
                assert value == other[column]
            elif value or other[column]:
                assert float(value) == pytest.approx(float(other[column]), abs=1e-5, rel=1e-5)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--by", "orientatoin"), 'no ranking "orientatoin"; did you mean "orientation"?'),
        (("--by", "phse", "color"), 'did you mean "phase"?'),
        (("--spatial_frequencies", "[0.1, 0.4]"), "0.35"),
        (("--orientations", 3), "orientations must be at least 4"),
        (("--phases", 2), "phases must be at least 3"),
        (("--contrast", 2), "contrast"),
        (("--top", 0), 'top must be an integer of at least 1; got "0"'),
        (("--sheets", -1), 'sheets must be an integer of at least 0; got "-1"'),
        (("--preferred_images", -1), 'preferred_images must be an integer of at least 0; got "-1"'),
        (("--receptive_fields", 1, "--trainer.devices", 2), "one device; got 2"),
        (("--layer", "conv22"), 'layer "conv22" not found; did you mean "conv2"'),
        (("--layer", "ConvTranspose2d"), "ConvTranspose2d"),
        (("--by", "class", *RGB, "--layer", "features.1"), "class needs images: give --images"),
        (("--by", "sparseness", *RGB, "--layer", "features.1"), "needs images: give --images"),
        (("--by", "class", "--images", "pictures/dark"), "class needs labels"),
        (("--by", "class", "--images", "pictures/dark/0_rgb.png"), "class needs labels"),
        (("--by", "class", "--images", "absent"), 'there is no folder "absent"'),
        (("--by", "sparseness", "--images", "absent.png"), 'there is no picture "absent.png"'),
        (("--by", "modality", *RGB, "--layer", "features.1"), "the input has 1: rgb"),
        (("--by", "color", *GRAY, "--layer", "0"), "rgb"),
        (("--by", "class", "--input.size", "[64, 32]"), "the demo's own scenes are square"),
        (("--input.modalities", "rgb"), "channels"),
        (("--trainer.fast_dev_run", "true"), "a ranking needs all stimuli"),
        (("--trainer.default_root_dir", "pictures/dark/0_rgb.png"), "cannot write to"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str],
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[object, ...],
    message: str,
) -> None:
    monkeypatch.chdir(pictures.parent)
    assert message in _fails(capsys, *RANK, "--layer", "conv1", *arguments)
    assert [path.name for path in pictures.parent.iterdir()] == ["pictures"]


def test_a_layer_without_kernels_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    gray = ("--model", "test_rank_command.SummingNet", *GRAY[2:])
    assert 'layer "1" does not tell which dimension' in _fails(capsys, *RANK, *gray, "--layer", "1")
    assert not list(tmp_path.iterdir())


class SummingNet(nn.Sequential):
    """Ends in one number for each image."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, 3, 5), _Sum())


class _Sum(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.sum((1, 2, 3))


def test_print_config_can_be_read_back(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([str(part) for part in (*RANK, "--layer", "conv1", "--print_config")])
    assert stopped.value.code in (0, None)
    config = tmp_path / "printed.yaml"
    config.write_text(capsys.readouterr().out)
    where = ("--trainer.default_root_dir", tmp_path, "--trainer.logger", "false")
    _run("rank", "--config", config, *where)
    assert len(_rows(tmp_path / FIRST_RUN / "results.csv")) == 24


def test_a_ranking_of_one_s_own_by_its_import_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bars_of_mine.py").write_text(
        "from neurovis.tuning.rankings import GratingRanking, Scores\n"
        "class Bars(GratingRanking):\n"
        "    name = score_name = 'bars'\n"
        "    split = 'spatial_frequency'\n"
        "    def score(self, responses, layer):\n"
        "        curves = responses.tuning[:, 0].sum(2)\n"
        "        return Scores(curves[:, 0], responses.dead, curve=curves)\n"
    )
    _run(*RANK, "--layer", "conv1", "--by", "bars_of_mine.Bars", "--orientations", 8)
    (table,) = tmp_path.rglob("results.csv")
    assert {row["by"] for row in _rows(table)} == {"bars"}
    for wrong, said in (("bars_of_mine.Bras", "did you mean"), ("os.path", "ranking")):
        assert main(["rank", "--layer", "conv1", "--by", wrong]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.sampled(3)
@pytest.mark.parametrize("by", [name for name in RANKINGS if name not in OF_VIDEOS])
def test_each_ranking_alone(tmp_path: Path, by: str) -> None:
    _run(
        *(*RANK, "--layer", "relu1", "conv1", "--by", by, "--orientations", 8, "--sheets", 1),
        *("--trainer.default_root_dir", tmp_path),
    )
    (table,) = tmp_path.rglob("results.csv")
    assert {row["by"] for row in _rows(table)} == {by}
    assert any(row["score"] for row in _rows(table))
    (options,) = tmp_path.rglob("hparams.yaml")
    assert f"by:\n- {by}\n" in options.read_text()


def test_two_rankings_at_a_time_have_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one begins when the first has shown a batch of its stimuli."""
    folder = ("--trainer.default_root_dir", tmp_path, "--batch_size", 4)
    command = [str(part) for part in (*RANK, "--layer", "conv1", *folder)]
    shown, original = 0, TuningProbe.predict_step

    def predict_step(self: TuningProbe, *arguments: Any) -> Any:
        nonlocal shown
        shown += 1
        if shown == 2:
            assert main(command) == 0
        return original(self, *arguments)

    monkeypatch.setattr(TuningProbe, "predict_step", predict_step)
    assert main(command) == 0
    tables = sorted(tmp_path.rglob("results.csv"))
    assert [path.parent.name for path in tables] == ["version_0", "version_1"]
    assert tables[0].read_text() == tables[1].read_text()
