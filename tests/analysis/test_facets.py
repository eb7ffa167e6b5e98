"""Facets of planted detectors: two of a sum of two, one of a single one, each with its image."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from neurovis import InputSpec
from neurovis.analysis import facet_images, facets
from neurovis.analysis.clusters import clusters
from neurovis.analysis.contributions import ContributionReader
from neurovis.demo import ShapeScenes, demo_input_spec, load_demo_network
from neurovis.modality import Modality

SPEC = InputSpec(Modality("gray", 1), 16)
ORIENTATIONS = 4
EACH = 24


def _wave(size: int, orientation: int, phases: Tensor) -> Tensor:
    """Gratings ``(N, size, size)`` of 5 pixels a period."""
    angle = torch.tensor(orientation * torch.pi / ORIENTATIONS)
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    along = (rows * angle.sin() + columns * angle.cos()) * 2 * torch.pi / 5
    return (along + phases[:, None, None]).sin()


def pictures() -> Tensor:
    """Gratings in noise ``(N, 1, 16, 16)``, on dark or on bright ground."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for orientation in range(ORIENTATIONS):
        phases, contrasts, grounds = torch.rand(3, EACH, generator=generator)
        waves = _wave(16, orientation, 2 * torch.pi * phases)
        noise = torch.randn(EACH, 16, 16, generator=generator) * 0.04
        ground = 0.35 + 0.3 * (grounds > 0.5)
        scaled = (0.15 + 0.15 * contrasts)[:, None, None] * waves
        made.append((ground[:, None, None] + scaled + noise).clamp(0, 1)[:, None])
    return torch.cat(made)


class Detectors(nn.Module):
    """Kernel 0 responds to one orientation, 1 to another, 2 to either of them, 3 to nothing.

    Below are four phases of each orientation, and two kernels of brightness that no kernel reads.
    """

    def __init__(self) -> None:
        super().__init__()
        phases = torch.arange(4) * torch.pi / 2
        waves = torch.cat([_wave(7, number, phases) for number in range(ORIENTATIONS)])
        waves = waves - waves.mean((1, 2), keepdim=True)
        ground = torch.stack([torch.ones(7, 7), -torch.ones(7, 7)])
        self.below = nn.Conv2d(1, 18, 7, bias=False)
        self.sums = nn.Conv2d(18, 4, 1, bias=False)
        self.below.weight.data = torch.cat([waves, ground])[:, None]
        self.sums.weight.data.zero_()
        self.sums.weight.data[0, 0:4] = self.sums.weight.data[1, 8:12] = 1
        self.sums.weight.data[2, 0:4] = self.sums.weight.data[2, 8:12] = 1

    def forward(self, images: Tensor) -> Tensor:
        summed: Tensor = self.sums(functional.relu(self.below(images), inplace=True))
        return summed


def test_a_sum_of_two_detectors_has_two_facets_and_one_detector_one() -> None:
    found = facets(Detectors(), "sums", [0, 1, 2], pictures(), input_spec=SPEC)
    assert found.space == "below"
    assert found.counts == {0: 1, 1: 1, 2: 2}
    of_both = [item for item in found.items if item.kernel == 2]
    # Pictures of an orientation follow each other.
    planted = [{number // EACH for number in item.pictures} for item in of_both]
    assert sorted(map(tuple, planted)) == [(0,), (2,)]
    assert sum(len(item.pictures) for item in of_both) == len(pictures()) // 4
    assert of_both[0].p == 0.01
    assert found.items[0].p > 0.01
    for item, (orientation,) in zip(of_both, planted, strict=True):
        own = slice(4 * orientation, 4 * orientation + 4)
        assert item.vector[own].sum() > 0.9 * item.vector.abs().sum()
    rows = list(found.rows())
    assert [(row["kernel"], row["facet"], row["facets"]) for row in rows] == [
        (0, 1, 1), (1, 1, 1), (2, 1, 2), (2, 2, 2),
    ]  # fmt: skip
    assert str(rows[-1]["pictures"]).split() == [str(number) for number in of_both[1].pictures]


def test_contributions_add_up_to_the_activation() -> None:
    """Above the layer below, the network is linear but for a rectifier."""
    network, images = Detectors(), pictures()[:5]
    found = ContributionReader(network, "sums", SPEC).contributions(images, 2)
    with torch.no_grad():
        activation = network(SPEC.to_network(images))[:, 2].mean((1, 2))
        below = network.below(SPEC.to_network(images)).relu().mean((2, 3))
    torch.testing.assert_close(found.sum(1), activation)
    torch.testing.assert_close(found, below * network.sums.weight[2, :, 0, 0])


def test_each_facet_has_an_image_that_drives_its_own_detector() -> None:
    network = Detectors()
    found = facets(network, "sums", [2], pictures(), input_spec=SPEC)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = facet_images(network, found, steps=12, style="maximal", accelerator="cpu")
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert found.images is not None
    assert found.activations is not None
    with torch.no_grad():
        values = network(SPEC.to_network(found.images)).mean((2, 3))
    torch.testing.assert_close(found.activations, values[:, 2])
    for item, reached in zip(found.items, values, strict=True):
        own, other = (0, 1) if item.pictures[0] < EACH else (1, 0)
        assert reached[own] > 3 * reached[other]
    assert found.figure().get_size_inches().prod() > 0
    assert "activation" in next(iter(found.rows()))


def test_what_nothing_drives_has_no_facet() -> None:
    assert facets(Detectors(), "sums", [3], pictures(), input_spec=SPEC).items == []


def test_a_branch_beside_the_layer_is_passed_over() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.beside = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 2, 1)
            self.own = nn.Conv2d(6, 2, 1)

        def forward(self, images: Tensor) -> Tensor:
            stem = self.stem(images).relu()
            return torch.cat([self.beside(stem), self.own(stem)], 1)

    torch.manual_seed(0)
    found = facets(Branches(), "own", [0], pictures(), input_spec=SPEC)
    assert found.space == "stem"
    with pytest.raises(ValueError, match='facets of layer "own" need a layer "beside" below'):
        facets(Branches(), "own", [0], pictures(), input_spec=SPEC, space="beside")


def test_everything_passes_the_layer_below_and_is_mixed_above_it() -> None:
    class Fire(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.squeeze, self.depthwise = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, groups=4)
            self.narrow, self.wide = nn.Conv2d(4, 3, 1), nn.Conv2d(4, 3, 3, padding=1)

        def forward(self, images: Tensor) -> Tensor:
            squeezed = self.depthwise(self.squeeze(images).relu()).relu()
            return torch.cat([self.narrow(squeezed), self.wide(squeezed)], 1)

    torch.manual_seed(0)
    network = nn.Sequential(Fire(), nn.ReLU())
    for layer in ("0", "1"):
        found = facets(network, layer, [0], pictures(), input_spec=SPEC)
        assert found.space == "0.depthwise"
    # A kernel of a depthwise convolution reads one kernel: there is nothing to tell apart.
    with pytest.raises(ValueError, match="below that everything passes"):
        facets(network, "0.depthwise", [0], pictures(), input_spec=SPEC)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "below"}, 'facets of layer "below" need a layer below that everything passes'),
        ({"pictures": torch.rand(47, 1, 16, 16)}, "at least 48 pictures; got 47"),
        ({"top": 11}, "top must be at least 12; got 11"),
        ({"kernels": [9]}, "9"),
        ({"layer": "som"}, 'layer "som" not found'),
    ],
)
def test_what_cannot_be_clustered_is_said(arguments: dict[str, object], message: str) -> None:
    given = {"layer": "sums", "kernels": [0], "pictures": pictures(), **arguments}
    with pytest.raises(ValueError, match=message):
        facets(Detectors(), input_spec=SPEC, **given)  # type: ignore[arg-type]


def test_a_stream_is_refused() -> None:
    with pytest.raises(TypeError, match="looks at pictures twice"):
        facets(Detectors(), "sums", [0], iter(pictures()), input_spec=SPEC)


@pytest.mark.parametrize(("count", "apart"), [(1, 0.0), (2, 9.0), (3, 12.0)])
def test_clusters_are_as_many_as_are_planted(count: int, apart: float) -> None:
    right = 0
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        points = torch.randn(30, 10, generator=generator, dtype=torch.float64)
        planted = torch.arange(30) % count
        points += apart * torch.eye(10, dtype=torch.float64)[planted]
        labels, p = clusters(points)
        is_right = len(labels.unique()) == count
        if is_right and count > 1:
            assert p == 0.01
            # One label for each that was planted.
            assert len((10 * labels + planted).unique()) == count
        right += is_right
    assert right >= 4


def test_points_that_are_all_alike_are_one_cluster() -> None:
    labels, p = clusters(torch.ones(20, 3, dtype=torch.float64))
    assert not labels.any()
    assert p == 1


class EitherClass(nn.Module):
    """Sums of the rectified scores of classes of the shipped network."""

    def __init__(self, classes: list[list[int]]) -> None:
        super().__init__()
        self.shipped = load_demo_network()
        self.sums = nn.Linear(8, len(classes), bias=False)
        self.sums.weight.data = torch.stack(
            [functional.one_hot(torch.tensor(own), 8).sum(0).float() for own in classes]
        )

    def forward(self, images: Tensor) -> Tensor:
        summed: Tensor = self.sums(self.shipped(images).relu())
        return summed


@pytest.mark.slow
def test_of_a_trained_network_classes_have_one_facet_and_sums_of_two_have_more() -> None:
    pairs = [list(pair) for pair in itertools.combinations(range(8), 2)]
    classes = [[number] for number in range(8)] + pairs
    spec = demo_input_spec()
    scenes = ShapeScenes(512, 7, spec.size[0], cached=True)
    network = EitherClass(classes)
    found = facets(network, "sums", "all", scenes, input_spec=spec, space="shipped.conv4")
    assert [found.counts[kernel] for kernel in range(8)] == [1] * 8
    balanced = 0
    for kernel, own in enumerate(classes[8:], 8):
        items = [item for item in found.items if item.kernel == kernel]
        of_facets = [[int(scenes[number][1]) for number in item.pictures] for item in items]
        together = [number for one in of_facets for number in one]
        if min(together.count(one) for one in own) < len(together) // 4:
            continue  # The pictures of one class are nearly all.
        balanced += 1
        assert len(items) > 1, own
        of_one_class = sum(max(one.count(number) for number in own) for one in of_facets)
        assert of_one_class > 0.9 * len(together), own
    assert balanced >= 6
