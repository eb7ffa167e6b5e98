"""``neurovis am --images … --top_images …``: preferred images beside the best of pictures."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from PIL import Image

from neurovis import ActivationMaximization
from neurovis.analysis import (
    facets,
    judge_images,
    path_similarity,
    predictability,
    seed_stability,
)
from neurovis.cli.main import main
from neurovis.cli.own_images import DemoScenes
from neurovis.demo import ShapeNet, demo_input_spec, load_demo_network

SPEC = demo_input_spec()
COUNT = 7


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """RGB-D pictures of coarse noise."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    numbers = np.random.default_rng(1)
    for index in range(COUNT):
        for name, channels in (("rgb", (3,)), ("depth", ())):
            values = numbers.integers(0, 256, (8, 8, *channels), dtype=np.uint8)
            picture = Image.fromarray(values).resize((64, 64), Image.Resampling.NEAREST)
            picture.save(folder / f"{index}_{name}.png")
    return folder


def _run(folder: Path, *arguments: str) -> int:
    return main(
        [
            *("am", "--steps", "4", "--trainer.accelerator", "cpu", "--trainer.logger", "false"),
            *("--trainer.default_root_dir", str(folder), *arguments),
        ]
    )


def _image(folder: Path, index: int) -> torch.Tensor:
    """A picture ``(4, 64, 64)`` in [0, 1]: 8 bits are the whole range, of depth too."""
    parts = [np.asarray(Image.open(folder / f"{index}_{name}.png")) for name in ("rgb", "depth")]
    return torch.from_numpy(np.dstack(parts)).permute(2, 0, 1) / 255


def _rows(table: Path) -> list[dict[str, str]]:
    with open(table, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.drawn
def test_the_pictures_are_those_that_drive_each_kernel_most(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    options = ("--layer", "conv2", "--kernels", "3,5", "--objective", "center")
    assert _run(run, *options, "--images", str(pictures), "--top_images", "3") == 0
    shown = torch.stack([_image(pictures, index) for index in range(COUNT)])
    network = load_demo_network()
    maps: list[torch.Tensor] = []
    network.conv2.register_forward_hook(lambda _module, _inputs, output: maps.append(output))
    with torch.no_grad():
        network(SPEC.to_network(shown))
    expected = maps[0][:, :, 8, 8]
    rows, made = _rows(run / "top_images.csv"), _rows(run / "results.csv")
    assert [(row["kernel"], row["rank"]) for row in rows] == [
        (kernel, rank) for kernel in "35" for rank in "123"
    ]
    for kernel, result in zip((3, 5), made, strict=True):
        own = [row for row in rows if row["kernel"] == str(kernel)]
        best = expected[:, kernel].topk(3)
        assert [int(row["index"]) for row in own] == best.indices.tolist()
        assert [float(row["activation"]) for row in own] == pytest.approx(
            best.values.tolist(), rel=1e-4
        )
        for row in own:
            assert row["file"] == str(pictures / f"{row['index']}_rgb.png")
            assert float(row["preferred_activation"]) == float(result["activation"])
            assert float(row["noise_activation"]) == float(result["noise_activation"])
            # Unit 8, 8 of a map with a stride of 4 and a field of 27.
            box = [int(row[side]) for side in ("top", "left", "bottom", "right")]
            assert (row["unit"], box) == ("8x8", [20, 20, 47, 47])
    with Image.open(run / "top_images.png") as page:
        assert np.asarray(page.convert("RGB")).std() > 20
    assert f"top images of {COUNT}" in capsys.readouterr().out


def test_of_several_layers_each_has_its_own_page(tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ("--layer", "conv1", "conv2", "--kernels", "0", "--batch_size", "2")
    assert _run(run, *options, "--top_images", "2") == 0
    for layer in ("conv1", "conv2"):
        rows = _rows(run / layer / "top_images.csv")
        assert [row["layer"] for row in rows] == [layer, layer]
        assert float(rows[0]["activation"]) >= float(rows[1]["activation"])
        assert (run / layer / "top_images.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--images", "nowhere"), "nowhere"),
        (("--top_images", "0"), 'top_images must be an integer of at least 1; got "0"'),
        (
            ("--model", "torchvision.models.squeezenet1_0", "--top_images", "2"),
            "top_images needs images",
        ),
        (
            ("--model", "torchvision.models.squeezenet1_0", "--predictability"),
            "predictability needs images",
        ),
        (
            ("--objective", "deep_dream", "--predictability"),
            "predictability asks about kernels; the objective reads a layer",
        ),
        (("--objective", "center", "--path_similarity"), "give --objective mean"),
        (("--sign", "-1", "--top_images", "2"), "top images drive kernels most"),
        (("--facets", "--top_images", "2"), "below that everything passes"),
    ],
    ids=[
        "missing",
        "none",
        "of what",
        "told by what",
        "layer",
        "one position",
        "least",
        "first layer",
    ],
)
def test_what_cannot_be_looked_at_is_said_before_the_ascent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    layer = "features.0" if "--model" in arguments else "conv1"
    assert _run(tmp_path / "run", "--layer", layer, *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not list(tmp_path.rglob("*.npz")), "nothing was climbed"


def test_a_judge_that_cannot_run_is_refused_before_the_ascent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "from torch import nn\ndef judge(): return nn.Sequential(nn.Conv2d(3, 4, 3))"
    (tmp_path / "blind.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    options = ("--layer", "conv1", "--top_images", "2", "--judge", "blind.judge")
    assert _run(tmp_path / "run", *options) == 2
    assert "Sequential cannot run on images of 4 channels" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.npz"))


def test_referees_are_those_of_the_functions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    options = ("--layer", "conv2", "--kernels", "3,5", "--top_images", "1")
    options += ("--sign", "both")  # Of which one is compared.
    assert _run(run, *options, "--predictability", "--path_similarity") == 0
    assert "conv2: path similarity in conv1" in capsys.readouterr().out
    rows = _rows(run / "predictability.csv")
    assert [(row["kernel"], row["pictures"], row["space"]) for row in rows] == [
        (kernel, "256", "conv1") for kernel in "35"
    ]
    module = ActivationMaximization(load_demo_network(), "conv2", "3,5", SPEC, steps=4)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    pl.Trainer(accelerator="cpu", default_root_dir=tmp_path / "again", max_epochs=-1, **quiet).fit(
        module
    )  # type: ignore[arg-type]
    found = predictability(
        load_demo_network(), "conv2", module.results, DemoScenes(SPEC), input_spec=SPEC
    )
    assert [float(row["predictability"]) for row in rows] == found.scores.tolist()
    paths = path_similarity(
        load_demo_network(), "conv2", module.results, DemoScenes(SPEC), input_spec=SPEC
    )
    rows = _rows(run / "path_similarity.csv")
    assert [(row["kernel"], row["before"]) for row in rows] == [("3", "conv1"), ("5", "conv1")]
    correlations = [float(row["correlation"]) for row in rows]
    assert correlations == pytest.approx(paths.correlations[:, 0].tolist())
    assert (run / "path_similarity.png").is_file()


def test_nothing_before_a_layer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--layer", "conv1", "--kernels", "0", "--top_images", "1", "--path_similarity")
    assert _run(tmp_path / "run", *options) == 2
    assert 'layer "conv1" has no layers with kernels before it' in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.npz"))


def test_without_evidence_results_are_written_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("there is no evidence to save")

    monkeypatch.setattr("neurovis.cli.evidence.save_evidence", refuse)
    assert _run(tmp_path / "run", "--layer", "conv2", "--kernels", "3,5") == 0
    assert "conv2: evidence" not in capsys.readouterr().out


def test_too_few_pictures_to_predict(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--layer", "conv2", "--kernels", "3", "--images", str(pictures), "--predictability")
    assert _run(tmp_path / "run", *options) != 0
    assert "at least 10 pictures; --images has 7" in capsys.readouterr().err


@pytest.mark.drawn
def test_judges_and_variants_stand_beside_every_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, weights = tmp_path / "run", tmp_path / "other.pt"
    torch.manual_seed(3)
    torch.save(ShapeNet().state_dict(), weights)
    options = ("--layer", "conv2", "--kernels", "3,5", "--variants", "2", "--top_images", "1")
    judges = ("--judge", f"neurovis.demo.ShapeNet={weights}", "--judge", "neurovis.demo.ShapeNet")
    assert _run(run, *options, *judges) == 0
    judge = ShapeNet().eval()
    judge.load_state_dict(torch.load(weights))
    module = ActivationMaximization(
        load_demo_network(), "conv2", "3,5", SPEC, steps=4, variants=2, batch_size=4
    )
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    pl.Trainer(accelerator="cpu", default_root_dir=tmp_path / "again", max_epochs=-1, **quiet).fit(
        module
    )  # type: ignore[arg-type]
    judged = judge_images(
        load_demo_network(), "conv2", module.results, judge, DemoScenes(SPEC), input_spec=SPEC
    )
    stable = seed_stability(load_demo_network(), "conv2", module.results, input_spec=SPEC)
    rows = _rows(run / "results.csv")
    assert [float(row["ShapeNet other:percentile"]) for row in rows] == judged.measures[
        "percentile"
    ].tolist()
    assert [row["ShapeNet other:partner"] for row in rows] == judged.counterparts
    assert [float(row["stability"]) for row in rows[::2]] == pytest.approx(
        stable.dprime.tolist(), rel=1e-3
    )
    assert "ShapeNet:rank" not in rows[0]
    assert "ShapeNet:percentile" in rows[0]
    said = " ".join(capsys.readouterr().out.split())
    assert "note: judge ShapeNet has the weights that neurovis.demo.ShapeNet makes it with" in said
    assert "conv2: evidence" in said


@pytest.mark.slow
def test_facets_are_those_of_the_function(tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ("--layer", "conv2", "--kernels", "3", "--top_images", "1", "--facets")
    assert _run(run, *options, "--objective", "center") == 0
    rows = _rows(run / "facets.csv")
    found = facets(load_demo_network(), "conv2", [3], DemoScenes(SPEC), input_spec=SPEC)
    assert [row["pictures"] for row in rows] == [row["pictures"] for row in found.rows()]
    assert [row["space"] for row in rows] == ["conv1"] * len(found.items)
    mean = ActivationMaximization(load_demo_network(), "conv2", [3], SPEC, steps=4)
    pl.Trainer(accelerator="cpu", max_epochs=-1, logger=False, fast_dev_run=4).fit(mean)
    if len(rows) == 1:  # The network drives the kernel as ever.
        assert float(rows[0]["activation"]) == pytest.approx(mean.results.items[0].activation)
    assert all(math.isfinite(float(row["activation"])) for row in rows)
    assert (run / "facets.png").is_file()
