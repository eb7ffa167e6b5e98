from __future__ import annotations

import csv
import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from legible import texts
from PIL import Image
from top_images_two_processes import make_probe
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset, TensorDataset

from neurovis.inputs import InputSpec
from neurovis.maximization.objectives import Direction, Position
from neurovis.modality import Modality
from neurovis.pictures import PictureDataset, read_picture
from neurovis.receptive_fields import receptive_fields
from neurovis.top_images import TopImages, TopImagesProbe, find_top_images
from neurovis.top_images.highest import HighestResponses

SPEC = InputSpec((Modality("gray", 1),), 16)
READOUTS: dict[str, Any] = {
    "mean": lambda maps: maps.flatten(2).mean(2),
    "max": lambda maps: maps.flatten(2).max(2).values,
    "center": lambda maps: maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2],
}


@pytest.fixture
def network() -> nn.Sequential:
    """Without padding, so that a unit gives the same for what it sees alone."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 5, 3, bias=False)
    )


@pytest.fixture
def images() -> Tensor:
    return torch.rand(60, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def find(network: nn.Module, images: Any, k: int = 4, **more: Any) -> TopImages:
    given = {"layer": "3", "kernels": "all", "objective": "max", "input_spec": SPEC} | more
    return find_top_images(network, images=images, k=k, **given)


def literal(values: Tensor, k: int) -> list[list[int]]:
    """Numbers of the ``k`` highest of ``(N, K)``, the earlier of equal ones first."""
    return [sorted(range(len(one)), key=lambda i: (-one[i], i))[:k] for one in values.T.tolist()]


class Flat(nn.Module):
    """Kernel 0 gives an image's upper left pixel, kernel 1 gives 0; NaN where it is over 0.9."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        corner = images[:, :, 0, 0]
        corner = torch.where(corner > 0.95, torch.inf, corner)
        corner = torch.where((corner > 0.9) & corner.isfinite(), torch.nan, corner)
        return self.layer(torch.cat([corner, torch.zeros_like(corner)], dim=1))


def corners(*values: float) -> Tensor:
    return torch.tensor(values)[:, None, None, None].expand(-1, 1, 16, 16)


class TestFound:
    @pytest.mark.parametrize("objective", READOUTS)
    @pytest.mark.parametrize("batch_size", [1, 7, 64])
    def test_as_by_brute_force(
        self, network: nn.Sequential, images: Tensor, objective: str, batch_size: int
    ) -> None:
        found = find(network, images, objective=objective, batch_size=batch_size)
        with torch.no_grad():
            values = READOUTS[objective](network(images))
        expected = torch.tensor(literal(values, 4))
        assert torch.equal(found.indices, expected)
        assert torch.allclose(found.activations, values.T.gather(1, expected), rtol=1e-5)
        assert found.number == 60

    def test_chosen_kernels_in_their_order(self, network: nn.Sequential, images: Tensor) -> None:
        every, some = find(network, images), find(network, images, kernels=[4, 1])
        assert some.kernels == [4, 1]
        assert torch.equal(some.indices, every.indices[[4, 1]])
        assert torch.equal(some.activations, every.activations[[4, 1]])

    def test_own_objective(self, network: nn.Sequential, images: Tensor) -> None:
        def lowest(activation: Tensor) -> Tensor:
            return -activation.flatten(2).amin(2)

        with torch.no_grad():
            values = lowest(network(images))
        found = find(network, images, objective=lowest)
        assert found.indices.tolist() == literal(values, 4)

    def test_of_directions(self, network: nn.Sequential, images: Tensor) -> None:
        vectors = [[1.0, -1.0, 0.5, 0.0, 2.0], [0.0, 1.0, 0.0, -3.0, 0.0]]
        found = find(network, images, objective=Direction(vectors))
        with torch.no_grad():
            maps = network(images)
            values = torch.einsum("bkhw,nk->bn", maps, torch.tensor(vectors)) / maps[0, 0].numel()
            of_second = torch.einsum("bkhw,k->bhw", maps, torch.tensor(vectors[1])).flatten(1)
        assert found.indices.tolist() == literal(values, 4)
        assert torch.equal(found.units[1], of_second[found.indices[1]].argmax(1))
        assert "direction 1" in texts(found.figure())

    def test_of_equal_ones_the_earlier(self) -> None:
        images = corners(0.2, 0.5, 0.1, 0.5, 0.5, 0.3, 0.5)
        for batch_size in (1, 2, 3, 7):
            found = find(Flat(), images, 3, layer="layer", batch_size=batch_size)
            assert found.indices.tolist() == [[1, 3, 4], [0, 1, 2]]

    def test_what_is_not_finite_is_left_out(self) -> None:
        images = corners(0.2, 0.92, 0.5, 0.99, 0.1)
        found = find(Flat(), images, 4, layer="layer", batch_size=2)
        assert found.indices.tolist() == [[2, 0, 4, -1], [0, 1, 2, 3]]
        assert found.activations[0, :3].tolist() == pytest.approx([0.5, 0.2, 0.1])
        assert found.activations[0, 3].isnan()
        assert found.not_finite.tolist() == [2, 0]

    def test_fewer_images_than_wanted(self, network: nn.Sequential, images: Tensor) -> None:
        found = find(network, images[:3], 5)
        assert found.indices.shape == found.activations.shape == (5, 5)
        assert (found.indices[:, 3:] == -1).all()
        assert found.activations[:, 3:].isnan().all()
        assert (found.boxes[:, 3:] == -1).all()
        assert sorted(found.indices[0, :3].tolist()) == [0, 1, 2]
        assert len(found.crops(0)) == 3
        assert len(list(found.rows())) == 15

    def test_network_is_left_alone(self, network: nn.Sequential, images: Tensor) -> None:
        network.train()
        before = {name: one.clone() for name, one in network.state_dict().items()}
        find(network, images)
        assert network.training
        assert not any(module._forward_hooks for module in network.modules())
        assert all(torch.equal(one, before[name]) for name, one in network.state_dict().items())


class TestCrops:
    @pytest.mark.parametrize("objective", ["max", "center"])
    def test_alone_gives_the_same(
        self, network: nn.Sequential, images: Tensor, objective: str
    ) -> None:
        found = find(network, images, objective=objective)
        for row, kernel in enumerate(found.kernels):
            for crop, value in zip(found.crops(kernel), found.activations[row], strict=True):
                assert crop.shape == (1, 8, 8)
                with torch.no_grad():
                    alone = network(crop[None])
                assert alone.shape[2:] == (1, 1)
                # Float32 adds terms of the order of 1 in one order or another.
                assert alone[0, kernel].item() == pytest.approx(value.item(), rel=1e-5, abs=1e-6)

    def test_most_active_unit_of_the_mean(self, network: nn.Sequential, images: Tensor) -> None:
        found = find(network, images, objective="mean")
        with torch.no_grad():
            maps = network(images).flatten(2)
        for row in range(5):
            expected = maps[found.indices[row], row].argmax(1)
            assert torch.equal(found.units[row], expected)

    def test_center_is_the_unit_in_the_middle(self, images: Tensor) -> None:
        network = nn.Sequential(nn.Conv2d(1, 3, 3, stride=2, padding=1))
        found = find(network, images, layer="0", objective="center")
        box = receptive_fields(network, SPEC.example())["0"].pixels((4, 4))
        assert (found.boxes == torch.tensor(box)).all()

    def test_a_position_is_the_unit_there(self, network: nn.Sequential, images: Tensor) -> None:
        found = find(network, images, objective=Position(1, 3))
        assert (found.units == 5 * 1 + 3).all()

    def test_clipped_at_the_edge(self) -> None:
        network = nn.Sequential(nn.Conv2d(1, 1, 5, padding=2))
        nn.init.constant_(network[0].weight, 0)
        with torch.no_grad():
            network[0].weight[0, 0, 2, 2] = 1
        images = torch.zeros(2, 1, 16, 16)
        images[0, 0, 0, 15], images[1, 0, 8, 1] = 0.9, 0.8
        found = find(network, images, 2, layer="0")
        assert found.boxes.tolist() == [[[0, 13, 3, 16], [6, 0, 11, 4]]]
        first, second = found.crops(0)
        assert torch.equal(first, images[0, :, 0:3, 13:16])
        assert torch.equal(second, images[1, :, 6:11, 0:4])

    @pytest.mark.parametrize("head", [nn.Flatten(), nn.AdaptiveAvgPool2d(1)])
    def test_whole_image_where_all_of_it_is_seen(self, images: Tensor, head: nn.Module) -> None:
        network = nn.Sequential(nn.Conv2d(1, 2, 3), head)
        found = find(network, images, layer="1")
        assert (found.boxes == torch.tensor([0, 0, 16, 16])).all()
        assert torch.equal(found.crops(1)[0], images[found.indices[1, 0]])


class Items(Dataset[Any]):
    """Images that are made when they are asked for; knows how many live."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.alive: weakref.WeakSet[Tensor] = weakref.WeakSet()
        self.most = 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(index))
        self.alive.add(image)
        self.most = max(self.most, len(self.alive))
        return image, 0

    def all(self) -> Iterator[tuple[Tensor, int]]:
        return (self[index] for index in range(self.count))


class TestSources:
    @pytest.mark.parametrize(
        "of",
        [
            lambda images: list(images),
            lambda images: TensorDataset(images, torch.zeros(60)),
            lambda images: iter(images),
            lambda images: ((image, 1) for image in images),
        ],
        ids=["list", "dataset", "iterator", "generator"],
    )
    def test_as_of_a_tensor(self, network: nn.Sequential, images: Tensor, of: Any) -> None:
        found, expected = find(network, of(images)), find(network, images)
        assert torch.equal(found.indices, expected.indices)
        assert torch.equal(found.activations, expected.activations)
        for kernel in range(5):
            for crop, other in zip(found.crops(kernel), expected.crops(kernel), strict=True):
                assert torch.equal(crop, other)

    @pytest.mark.parametrize("as_stream", [False, True])
    def test_few_images_live_at_a_time(self, network: nn.Sequential, as_stream: bool) -> None:
        items = Items(200)
        found = find(network, items.all() if as_stream else items, 2, batch_size=8)
        gc.collect()
        assert items.most <= 3 * 8
        assert found.number == 200
        kept = getattr(found._shown.images, "_kept", {})
        assert len(kept) == (len(found.indices.unique()) if as_stream else 0)

    def test_other_sizes_are_stretched(self, network: nn.Sequential) -> None:
        large = torch.rand(20, 1, 40, 24)
        small = functional.interpolate(large, size=(16, 16), mode="bilinear", antialias=True)
        found, expected = find(network, large), find(network, small.clamp(0, 1))
        assert torch.equal(found.indices, expected.indices)
        assert torch.allclose(found.crops(2)[0], expected.crops(2)[0])

    @pytest.mark.filterwarnings("ignore::neurovis.pictures.StretchedWarning")
    def test_a_folder(self, network: nn.Sequential, tmp_path: Path) -> None:
        for number in range(6):
            folder = tmp_path / "set" / ("cats" if number % 2 else "dogs")
            folder.mkdir(parents=True, exist_ok=True)
            levels = torch.randint(0, 256, (20 + number, 30), dtype=torch.uint8).numpy()
            Image.fromarray(levels).save(folder / f"p{number}.png")
        (tmp_path / "set" / "cats" / "p2.png").write_text("no picture")
        files = [tmp_path / "set" / "cats" / f"p{number}.png" for number in (1, 3, 5)]
        files += [tmp_path / "set" / "dogs" / f"p{number}.png" for number in (0, 2, 4)]
        found = find(network, tmp_path / "set", 3, batch_size=2)
        read = torch.stack([read_picture(file, SPEC) for file in files])
        with torch.no_grad():
            values = READOUTS["max"](network(read))
        rows = list(found.rows())
        expected = [str(files[index]) for one in literal(values, 3) for index in one]
        assert [row["file"] for row in rows] == expected
        assert [row["picture"] for row in rows] == [Path(file).stem for file in expected]
        assert found.number == 6
        assert len(found.notes) == 1
        assert "left out 1 that could not be read" in found.notes[0]
        assert "p2.png" in found.notes[0]

    def test_a_flat_folder_beside_folders(self, tmp_path: Path) -> None:
        (tmp_path / "inner").mkdir()
        for path in (tmp_path / "a.png", tmp_path / "inner" / "b.png"):
            Image.new("L", (16, 16)).save(path)
        names = [one.name for one in PictureDataset.find(tmp_path, SPEC).pictures]
        assert names == ["a"]

    def test_pictures_of_no_modality_are_not_passed_over(self, tmp_path: Path) -> None:
        spec = InputSpec.rgbd(16)
        (tmp_path / "inner").mkdir()
        for name in ("a.png", "inner/b_rgb.png", "inner/b_depth.png"):
            Image.new("RGB" if "rgb" in name else "L", (16, 16)).save(tmp_path / name)
        assert [one.name for one in PictureDataset.find(tmp_path / "inner", spec).pictures] == ["b"]
        with (
            pytest.warns(UserWarning, match="left out"),
            pytest.raises(ValueError, match="no picture"),
        ):
            PictureDataset.find(tmp_path, spec)


def preferred(kernels: list[int], **more: Any) -> Any:
    items = [
        SimpleNamespace(
            kernels=(kernel,),
            image=torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(kernel)),
            activation=10.0 + kernel,
            noise_activation=0.25,
            dead=False,
        )
        for kernel in kernels
    ]
    return SimpleNamespace(layer="3", items=items, **more)


class TestHighestResponses:
    def test_an_image_counts_once(self) -> None:
        highest = HighestResponses(kernels=2, k=3)
        values = torch.tensor([[5.0, 1.0], [4.0, 2.0], [3.0, 3.0]])
        for numbers in ([0, 1, 2], [2, 0, 1]):
            highest.update(
                values[numbers],
                torch.tensor(numbers)[:, None].expand(3, 2) + 7,
                torch.tensor(numbers),
            )
        found = highest.found()
        assert found.numbers.tolist() == [[0, 1, 2], [2, 1, 0]]
        assert found.units.tolist() == [[7, 8, 9], [9, 8, 7]]
        assert found.shown == 6

    def test_as_by_sorting_everything(self) -> None:
        generator = torch.Generator().manual_seed(2)
        values = torch.randint(0, 20, (400, 3), generator=generator).float()
        highest = HighestResponses(kernels=3, k=17)
        for numbers in torch.randperm(400, generator=generator).split(23):
            highest.update(values[numbers], numbers[:, None].expand(-1, 3), numbers)
        found = highest.found()
        assert found.numbers.tolist() == literal(values, 17)
        assert torch.equal(found.units, found.numbers)


class TestBesidePreferred:
    def test_its_best_unit_and_both_activations(
        self, network: nn.Sequential, images: Tensor
    ) -> None:
        results = preferred([2, 4])
        found = find(network, images, kernels=[4, 0, 2], preferred=results)
        assert set(found.preferred) == {2, 4}
        for item in results.items:
            (kernel,) = item.kernels
            with torch.no_grad():
                maps = network(item.image[None])[0, kernel]
            assert found.preferred[kernel][1] == int(maps.argmax())
        rows = {(row["kernel"], row["rank"]): row for row in found.rows()}
        assert rows[4, 1]["preferred_activation"] == 14.0
        assert rows[4, 2]["noise_activation"] == 0.25
        assert rows[0, 1]["preferred_activation"] == ""

    def test_of_several_the_best(self, network: nn.Sequential, images: Tensor) -> None:
        results = preferred([1, 1, 1])
        for item, activation in zip(results.items, (3.0, 7.0, 5.0), strict=True):
            item.activation, item.image = activation, torch.full((1, 16, 16), activation / 10)
        found = find(network, images, preferred=results)
        assert found.preferred[1][0].activation == 7.0
        assert (found.preferred[1][0].image == 0.7).all()

    def test_saved(self, network: nn.Sequential, images: Tensor, tmp_path: Path) -> None:
        found = find(network, images, preferred=preferred([0, 1, 2, 3, 4]))
        files = found.save(tmp_path)
        assert [file.name for file in files] == ["top_images.csv", "top_images.png"]
        with open(files[0], newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 20
        for row in rows:
            place = found.kernels.index(int(row["kernel"])), int(row["rank"]) - 1
            assert float(row["activation"]) == pytest.approx(found.activations[place].item())
            assert int(row["index"]) == found.indices[place]
            box = [int(row[side]) for side in ("top", "left", "bottom", "right")]
            assert box == found.boxes[place].tolist()
            unit_row, unit_column = map(int, row["unit"].split("x"))
            assert 5 * unit_row + unit_column == found.units[place]

    def test_many_kernels_are_several_pages(self, images: Tensor, tmp_path: Path) -> None:
        network = nn.Sequential(nn.Conv2d(1, 30, 3))
        files = find(network, images, 2, layer="0").save(tmp_path)
        assert [file.name for file in files[1:]] == [f"top_images_00{n}.png" for n in (1, 2, 3)]


def trainer(folder: Path, **more: Any) -> pl.Trainer:
    given: dict[str, Any] = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False}
    return pl.Trainer(**(given | more), default_root_dir=folder, enable_model_summary=False)


class TestUnderTheTrainer:
    def test_as_the_function(self, network: nn.Sequential, images: Tensor, tmp_path: Path) -> None:
        layers = {"3": "all", "0": "1,3"}
        probe = TopImagesProbe(network, layers, images, 4, "max", input_spec=SPEC, batch_size=9)
        for _ in range(2):  # A second pass forgets the first.
            trainer(tmp_path).predict(probe, return_predictions=False)
            for layer, kernels in layers.items():
                alone = find(network, images, layer=layer, kernels=kernels)
                assert torch.equal(probe.results[layer].indices, alone.indices)
                assert torch.allclose(probe.results[layer].activations, alone.activations)
                assert probe.results[layer].number == 60

    def test_mixed_precision_makes_no_difference(
        self, network: nn.Sequential, images: Tensor, tmp_path: Path
    ) -> None:
        probe = TopImagesProbe(network, {"3": "all"}, images, 4, "max", input_spec=SPEC)
        trainer(tmp_path, precision="bf16-mixed").predict(probe, return_predictions=False)
        assert torch.equal(probe.results["3"].activations, find(network, images).activations)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"limit_predict_batches": 2}, "needs all images"),
            ({"fast_dev_run": True}, "fast_dev_run"),
            ({"precision": "bf16-true"}, "precision bf16-true"),
        ],
    )
    def test_refused_trainers(
        self,
        network: nn.Sequential,
        images: Tensor,
        tmp_path: Path,
        options: dict[str, Any],
        message: str,
    ) -> None:
        probe = TopImagesProbe(network, {"3": "all"}, images, input_spec=SPEC)
        with pytest.raises(ValueError, match=message):
            trainer(tmp_path, **options).predict(probe)

    @pytest.mark.slow
    def test_two_processes_find_the_same(self, tmp_path: Path) -> None:
        script = Path(__file__).with_name("top_images_two_processes.py")
        done = subprocess.run(
            [sys.executable, str(script), str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        for count in (37, 3):
            probe = make_probe(count)
            trainer(tmp_path).predict(probe, return_predictions=False)
            for rank in (0, 1):
                left = torch.load(tmp_path / f"{count}.{rank}.pt")
                for name, expected in probe.results.items():
                    activations, indices, units, number = left[name]
                    assert torch.equal(indices, expected.indices)
                    assert torch.equal(units, expected.units)
                    assert torch.allclose(activations, expected.activations, equal_nan=True)
                    assert number == count


class TestBadInput:
    @pytest.mark.parametrize(
        ("more", "message"),
        [
            ({"k": 0}, "k must be at least 1; got 0"),
            ({"batch_size": 0}, "batch_size must be at least 1; got 0"),
            ({"objective": "median"}, "objective must be .*; got 'median'"),
            ({"objective": lambda activation: activation.mean()}, "one number for each image"),
            ({"kernels": "9"}, "kernel 9 is out of range"),
            ({"layer": "4"}, "4"),
            ({"images": torch.empty(0, 1, 16, 16)}, "at least one image"),
            ({"images": iter(())}, "no image"),
            ({"images": torch.rand(2, 3, 16, 16)}, r"image 0 is \(3, 16, 16\)"),
            ({"images": torch.rand(2, 1, 16, 16) * 255}, r"in \[0, 1\]; image 0"),
            ({"images": torch.ones(2, 1, 16, 16, dtype=torch.uint8)}, "uint8"),
            ({"images": [torch.rand(1, 16, 16), "x"]}, "image 1 is str"),
            ({"images": []}, "at least one image"),
        ],
    )
    def test_refused(
        self, network: nn.Sequential, images: Tensor, more: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            find(network, **({"images": images} | more))

    @pytest.mark.parametrize("given", [7, torch.utils.data.DataLoader(torch.rand(4, 1, 16, 16))])
    def test_no_images(self, network: nn.Sequential, given: Any) -> None:
        with pytest.raises(TypeError, match="images must"):
            find(network, given)

    def test_no_readable_picture(self, network: nn.Sequential, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_text("no picture")
        with pytest.raises(ValueError, match=r"a\.png"):
            find(network, str(tmp_path))

    def test_kernel_not_asked_for(self, network: nn.Sequential, images: Tensor) -> None:
        with pytest.raises(ValueError, match=r"kernel 3 .* there are 0, 1"):
            find(network, images, kernels=[0, 1]).crops(3)
