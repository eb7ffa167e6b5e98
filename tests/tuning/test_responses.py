"""What is read of layers and of random kernels, against plain forwards."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from neurovis.first_forward import IncompatibleInputError
from neurovis.inputs import InputSpec
from neurovis.tuning import rank_kernels
from neurovis.tuning.responses import LayerResponses, RankedLayer, _trial_gratings
from neurovis.tuning.settings import RankingSettings

SPEC = InputSpec.rgb(20)


class Net(nn.Module):
    """In-place ReLUs, a batch norm, a strided convolution, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5, padding=2)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2)
        self.norm2 = nn.BatchNorm2d(8)
        self.relu2 = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.block = nn.Sequential(nn.Conv2d(8, 5, 3, padding=1), nn.GELU())
        self.head = nn.Linear(5 * 16, 4)
        self.forwards = 0

    def forward(self, images: Tensor) -> Tensor:
        self.forwards += 1
        x = self.relu2(self.norm2(self.conv2(self.relu1(self.conv1(images)))))
        return self.head(self.block(self.pool(x)).flatten(1))


@pytest.fixture
def network() -> Net:
    torch.manual_seed(0)
    network = Net().eval()
    network.norm2.running_mean.normal_()
    return network


def read(network: nn.Module, layers: Any, **options: Any) -> LayerResponses:
    return LayerResponses(network, layers, SPEC, RankingSettings(null_kernels=7, **options))


def images() -> Tensor:
    return torch.rand(3, *SPEC.shape, generator=torch.Generator().manual_seed(3))


ALL = ["conv1", "relu1", "conv2", "norm2", "relu2", "pool", "block", "block.1", "head"]


@pytest.mark.parametrize("readout", ["center", "mean", "max"])
def test_responses_are_those_of_a_plain_forward(network: Net, readout: Any) -> None:
    responses = read(network, ALL, readout=readout)
    found = responses(images())
    x = SPEC.to_network(images())
    plain: dict[str, Tensor] = {}
    with torch.no_grad():
        plain["conv1"] = network.conv1(x)
        plain["relu1"] = network.relu1(plain["conv1"].clone())
        plain["conv2"] = network.conv2(plain["relu1"])
        plain["norm2"] = network.norm2(plain["conv2"])
        plain["relu2"] = network.relu2(plain["norm2"].clone())
        plain["pool"] = network.pool(plain["relu2"])
        plain["block"] = plain["block.1"] = network.block(plain["pool"])
        plain["head"] = network.head(plain["block"].flatten(1))
    for name, activation in plain.items():
        layer = responses.layers[name]
        if activation.ndim == 4:
            row, column = activation.shape[2] // 2, activation.shape[3] // 2
            literal = {
                "center": activation[:, :, row, column],
                "mean": activation.mean((2, 3)),
                "max": activation.amax((2, 3)),
            }[readout]
            assert layer.unit == (row, column)
        else:
            literal = activation
        assert layer.kernels == literal.shape[1]
        assert torch.allclose(found[name][:, : layer.kernels], literal, atol=1e-5), name
        assert found[name].shape[1] == layer.kernels + layer.null_count


def test_what_layers_are_taken_for(network: Net) -> None:
    layers = read(network, ALL).layers

    def facts(layer: RankedLayer) -> tuple[bool, bool, str | None]:
        return layer.is_rectified, layer.is_first, layer.source

    assert {name: facts(layer) for name, layer in layers.items()} == {
        "conv1": (False, True, "conv1"),
        "relu1": (True, False, "conv1"),
        "conv2": (False, False, "conv2"),
        "norm2": (False, False, "conv2"),
        "relu2": (True, False, "conv2"),
        # Other units, and nothing negative among their responses.
        "pool": (True, False, None),
        # It has parts, and its GELU goes below 0.
        "block": (False, False, None),
        "block.1": (True, False, "block.0"),
        "head": (False, False, "head"),
    }


def null_of_conv2(network: Net, responses: LayerResponses, pictures: Tensor) -> Tensor:
    """Maps of the random kernels on the convolution's own input, literally."""
    with torch.no_grad():
        seen = network.relu1(network.conv1(SPEC.to_network(pictures)))
        return nn.functional.conv2d(seen, responses.layers["conv2"].null.weights, stride=2)


def test_random_kernels_stand_in_for_the_layer_s_own(network: Net) -> None:
    """Behind a batch norm and a rectifier they have the own kernels' levels."""
    responses = read(network, ["conv2", "norm2", "relu2"])
    found = responses(images())
    linear = null_of_conv2(network, responses, images())[:, :, 4, 4]
    assert torch.allclose(found["conv2"][:, 8:], linear, atol=1e-5)
    assert torch.allclose(found["relu2"][:, 8:], found["norm2"][:, 8:].relu(), atol=1e-5)
    # What gray does to each, and how far gratings drive it, are those of one of the own kernels.
    trials = responses(_trial_gratings(SPEC))["norm2"]
    own, null = trials[:, :7], trials[:, 8:]
    assert torch.allclose(null[0], own[0], atol=1e-4)
    assert torch.allclose(null.std(0), own.std(0), rtol=1e-3)
    # It is a matter of scale: the tuning is theirs.
    correlations = torch.corrcoef(torch.cat([linear, found["norm2"][:, 8:]], dim=1).T)
    assert torch.allclose(correlations.diagonal(7), torch.ones(7), atol=1e-4)


@pytest.mark.parametrize("readout", ["mean", "max"])
def test_random_kernels_have_maps_too(network: Net, readout: Any) -> None:
    responses = read(network, ["conv2", "relu2"], readout=readout)
    found = responses(images())
    centered = read(network, ["conv2", "relu2"])(images())
    maps = null_of_conv2(network, responses, images())
    reduce = {"mean": lambda x: x.mean((2, 3)), "max": lambda x: x.amax((2, 3))}[readout]
    assert torch.allclose(found["conv2"][:, 8:], reduce(maps), atol=1e-5)
    # The same scale and shift everywhere, found where the unit in the center is awake.
    awake = (centered["relu2"][:, 8:] > 0).sum(0) >= 2
    assert awake.any()
    for n in awake.nonzero().flatten().tolist():
        rows = (centered["relu2"][:, 8 + n] > 0).nonzero().flatten()[:2]
        x, y = centered["conv2"][rows, 8 + n], centered["relu2"][rows, 8 + n]
        scale = (y[1] - y[0]) / (x[1] - x[0])
        expected = reduce((maps[:, n : n + 1] * scale + y[0] - x[0] * scale).relu())[:, 0]
        assert torch.allclose(found["relu2"][:, 8 + n], expected, atol=1e-3)


class Branching(nn.Module):
    """Branches of one shape, a sum that is rectified, a pool behind a function."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Conv2d(3, 4, 7, padding=3), nn.Conv2d(3, 4, 3, padding=1)
        self.of_wide, self.of_narrow = nn.ReLU(), nn.ReLU(inplace=True)
        self.of_sum, self.pool = nn.ReLU(), nn.MaxPool2d(3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        wide, narrow = self.wide(images), self.narrow(images)
        joined = self.of_wide(wide) + self.of_narrow(narrow)
        joined -= 0.1
        return self.pool(self.of_sum(joined))


def test_a_source_is_what_a_layer_works_on() -> None:
    torch.manual_seed(0)
    network = Branching()
    layers = read(network, ["of_wide", "of_narrow", "of_sum", "pool"]).layers
    sources = {name: layer.source for name, layer in layers.items()}
    assert sources == {"of_wide": "wide", "of_narrow": "narrow", "of_sum": None, "pool": None}


def test_what_is_over_the_image() -> None:
    class Stems(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.grouped = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 6, 3, groups=3)
            self.mixed, self.second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 4, 3)

        def forward(self, images: Tensor) -> Tensor:
            scaled = (images - 0.2) * images.new_tensor([1.0, 2.0, 3.0])[:, None, None]
            first = self.stem(scaled), self.grouped(images), self.second(self.mixed(images))
            return torch.cat(first, dim=1)

    layers = read(Stems(), ["stem", "grouped", "mixed", "second"]).layers
    assert [name for name, layer in layers.items() if layer.is_first] == ["stem", "mixed"]


def test_one_forward_serves_all_layers_and_leaves_nothing(network: Net) -> None:
    responses = read(network, ALL)
    responses(images())
    before = network.forwards
    responses(images())
    # The forward stops at the last layer, which is the head here.
    assert network.forwards == before + 1
    assert not any(module._forward_hooks for module in network.modules())


def test_rectify_reads_signed_layers_as_behind_a_relu(network: Net) -> None:
    plain, rectified = read(network, ["conv2"]), read(network, ["conv2"], rectify=True)
    assert rectified.layers["conv2"].is_rectified
    expected = plain(images())["conv2"][:, :8].relu()
    assert torch.equal(rectified(images())["conv2"][:, :8], expected)


def test_notes_say_what_a_unit_cannot_see(network: Net) -> None:
    layers = read(network, ["conv1", "pool", "block.0", "head"], aperture=4.0).layers
    said = "gratings of 4 px in the middle of the image do not cover the receptive field of 5 x 5"
    assert any(said in note for note in layers["conv1"].notes)
    large = read(network, ["conv1"], aperture=9.0).layers["conv1"]
    assert not any("do not cover" in note for note in large.notes)
    assert not any("padding" in note for note in layers["conv1"].notes)
    assert not any("beside the middle" in note for note in layers["conv1"].notes)
    # The unit 2 of 4, over the pixels 10 to 14.
    coarse = nn.Sequential(nn.Conv2d(3, 4, 5, stride=5))
    notes = LayerResponses(coarse, "0", SPEC, RankingSettings()).layers["0"].notes
    assert notes[1].startswith("its central unit looks 3.5 px beside the middle of the image")
    wide = nn.Sequential(nn.Conv2d(3, 4, 25, padding=12))
    notes = LayerResponses(wide, "0", SPEC, RankingSettings()).layers["0"].notes
    assert any("20 x 20 px, do not fill the receptive field" in note for note in notes)
    assert any(note.startswith("no null") for note in layers["pool"].notes)


def test_precision_of_the_network_is_kept_and_responses_are_float32() -> None:
    torch.manual_seed(0)
    network = Net().eval().bfloat16()
    reader = read(network, ["conv2", "relu2"])
    assert {response.dtype for response in reader(images()).values()} == {torch.float32}
    for layer in reader.layers.values():
        assert layer.notes[0].startswith("computed in bfloat16: differences of 0.39% of a response")


def test_features_last_and_sequences() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch = nn.Conv2d(3, 6, 5, stride=5)
            self.mix = nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.mix(self.patch(x).flatten(2).transpose(1, 2))

    network = Tokens()
    responses = read(network, ["mix"])
    assert responses.layers["mix"].unit == (2, 2)
    with torch.no_grad():
        plain = network(SPEC.to_network(images()))[:, 2 * 4 + 2]
    found = responses(images())["mix"]
    assert torch.allclose(found[:, :4], plain, atol=1e-5)
    assert found.shape[1] == 11


class Recurrent(nn.Module):
    """One convolution called twice, each time before a norm of its own, as in CORnet-S."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.first, self.second = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.relu = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        return self.relu(self.second(self.conv(self.relu(self.first(self.conv(images))))))


def test_calls_of_one_convolution_are_as_convolutions_of_their_own() -> None:
    torch.manual_seed(0)
    network = Recurrent().eval()
    network.first.running_mean.normal_()
    unrolled = nn.Sequential(
        *(network.conv, network.first, nn.ReLU()),
        *(nn.Conv2d(3, 3, 3, padding=1), network.second, nn.ReLU()),
    ).eval()
    unrolled[3].load_state_dict(network.conv.state_dict())
    recurrent = read(network, ["conv@1", "first", "relu@1", "conv@2", "second", "relu@2"])
    apart = read(unrolled, [str(place) for place in range(6)])
    sources = [layer.source for layer in recurrent.layers.values()]
    assert sources == ["conv@1"] * 3 + ["conv@2"] * 3
    for one, other in zip(recurrent(images()).values(), apart(images()).values(), strict=True):
        assert one.shape == other.shape == (3, 3 + 7)
        assert torch.equal(one[:, :3], other[:, :3])
    # Random kernels are drawn for each source; as many of each layer are beside its own.
    scores = [ranking.score for ranking in rank_kernels(network, "second", input_spec=SPEC)]
    wanted = [ranking.score for ranking in rank_kernels(unrolled, "4", input_spec=SPEC)]
    torch.testing.assert_close(scores, wanted, equal_nan=True)


def test_a_network_that_cannot_be_traced_is_ranked_without_fields(
    network: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    def untraceable(*_: object) -> None:
        raise IncompatibleInputError("an operator of its own")

    monkeypatch.setattr("neurovis.receptive_fields.receptive_fields", untraceable)
    (ranking,) = rank_kernels(network, "conv2", input_spec=SPEC)
    assert ranking.score.isfinite().all()
    assert "its receptive field is unknown" in ranking.notes
