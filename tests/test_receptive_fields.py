from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

from neurovis.receptive_fields import Field, receptive_fields


def fields_of(model: nn.Module, size: tuple[int, int] = (64, 64)) -> dict[str, Field]:
    return receptive_fields(model, torch.zeros(1, 3, *size))


class Computed(nn.Module):
    """Any function of the image and of some convolutions, as the layer ``end``."""

    def __init__(self, compute: Callable[..., Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.compute = compute
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.end = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.compute(self, x))


def end_of(compute: Callable[..., Tensor], **layers: nn.Module) -> Field:
    return fields_of(Computed(compute, **layers))["end"]


def conv(kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(3, 3, kernel, stride, padding, dilation)


# Hand-computed: after each layer, field += (kernel - 1) * jump and jump *= stride; a residual
# block has the field of its longer branch.


@pytest.mark.parametrize(
    ("layer", "size", "stride"),
    [
        ("conv1", 7, 2),
        ("maxpool", 11, 4),
        ("layer1", 43, 4),
        ("layer2.0.downsample", 43, 8),
        ("layer2", 99, 8),
        ("layer3", 211, 16),
        ("layer4", 435, 32),
    ],
)
def test_resnet18(layer: str, size: int, stride: int) -> None:
    field = fields_of(models.resnet18(), (224, 224))[layer]
    assert field.size == (size, size)
    assert field.stride == (stride, stride)


def test_squeezenet_by_the_closed_form() -> None:
    # The path through the 3x3 convolutions: (kernel, stride) of each layer from the input on.
    conv1, pool, fire = [(7, 2)], [(3, 2)], [(1, 1), (3, 1)]
    path = conv1 + pool + fire * 3 + pool + fire * 4 + pool + fire
    size, jump = 1, 1
    for kernel, stride in path:
        size += (kernel - 1) * jump
        jump *= stride
    field = fields_of(models.squeezenet1_0(), (224, 224))["features.12"]
    assert field.size == (size, size)
    assert field.stride == (jump, jump)
    # 1 + 6 + 2*2 + 3*(2*4) + 2*4 + 4*(2*8) + 2*8 + 2*16
    assert size == 155


@pytest.mark.parametrize(
    ("make", "layer", "size", "stride"),
    [
        # 1 + 2*2 + 1 + 2*2*2 + 2 + 3*2*4 + 4 + 3*2*8 + 8 + 3*2*16, pools of 2
        pytest.param(models.vgg16, "features.28", 196, 16, marks=pytest.mark.slow),
        # 11/4, pool 3/2, 5, pool 3/2, 3, 3, 3: 1 + 10 + 2*4 + 4*8 + 2*8 + 2*16 * 3
        (models.alexnet, "features.10", 163, 16),
        # 7/2 and pool 3/2, then 6 layers of 3x3 at stride 4 and the pool of 2: 11 + 6*8 + 4 = 63
        (models.densenet121, "features.transition1", 63, 8),
        # 4/4, then three 7x7: 4 + 3 * 6*4
        (models.convnext_tiny, "features.1", 76, 4),
    ],
)
def test_other_chains(make: Callable[[], nn.Module], layer: str, size: int, stride: int) -> None:
    field = fields_of(make(), (224, 224))[layer]
    assert field.size == (size, size)
    assert field.stride == (stride, stride)


def test_a_layer_of_branches_sees_what_its_longest_branch_sees() -> None:
    model = models.googlenet(init_weights=False)
    fields = fields_of(model, (224, 224))
    # 7/2, pool 3/2, 1, 3, pool 3/2: 1 + 6 + 2*2 + 2*4 + 2*4 = 27 at stride 8.
    assert fields["inception3a.branch1"].size == (27, 27)
    assert fields["inception3a.branch2"].size == (43, 43)
    assert fields["inception3a"].size == (43, 43)
    # The next one adds another 3x3 to the longest.
    assert fields["inception3b"].size == (59, 59)


def test_a_squeeze_excitation_gate_sees_the_whole_image() -> None:
    fields = fields_of(models.mobilenet_v3_small(), (96, 128))
    assert fields["features.1.block.0"].size == (7, 7)
    assert fields["features.1.block.1"].size == (96, 128)
    assert fields["features.1.block.1"].stride == (4, 4)
    assert fields["features.12"].size == (96, 128)


def test_layers_behind_flattening_and_global_pooling_see_the_whole_image() -> None:
    assert fields_of(models.vgg11(), (64, 96))["classifier.0"].size == (64, 96)
    fields = fields_of(models.resnet18(), (64, 96))
    for layer in ("avgpool", "fc"):
        assert fields[layer].size == (64, 96)
        assert fields[layer].stride is None


def test_pixels_that_strides_leave_out_are_not_seen() -> None:
    # Convolutions at 0, 2, …, 58 of 5 pixels end at pixel 62 of 0 … 63.
    model = nn.Sequential(conv(5, stride=2), nn.Flatten(), nn.Linear(3 * 30 * 30, 2))
    assert fields_of(model)["2"].size == (63, 63)


@pytest.mark.parametrize(
    ("compute", "layers", "size", "stride"),
    [
        (lambda s, x: F.relu(s.a(x)), {"a": nn.Conv2d(3, 3, (1, 7), (1, 2))}, (1, 7), (1, 2)),
        (lambda s, x: s.a(x), {"a": conv(3, dilation=4)}, (9, 9), (1, 1)),
        (lambda s, x: s.a(x) + x, {"a": conv(5, padding=2)}, (5, 5), (1, 1)),
        (lambda s, x: s.a(x).add_(s.b(x)), {"a": conv(3), "b": conv(5, padding=1)}, (5, 5), (1, 1)),
        (lambda s, x: s.a(x)[:, :, 3:-2, ::4], {"a": conv(3)}, (3, 3), (1, 4)),
        (lambda s, x: F.pad(s.a(x), (2, 0, 1, 5)), {"a": conv(3)}, (3, 3), (1, 1)),
        # The convolution's unit i sees i - 3 to i - 1, the shortcut's i.
        (lambda s, x: s.a(x)[:, :, :-4, :-4] + x, {"a": conv(3, padding=3)}, (4, 4), (1, 1)),
        (lambda s, x: F.channel_shuffle(s.a(x), 3), {"a": conv(3)}, (3, 3), (1, 1)),
        (lambda s, x: s.a(x.mT), {"a": nn.Conv2d(3, 3, (1, 7))}, (7, 1), (1, 1)),
        (lambda s, x: F.softmax(s.a(x), 1), {"a": conv(3)}, (3, 3), (1, 1)),
        (lambda s, x: s.a(x).softmax(2), {"a": conv(3)}, (64, 3), (1, 1)),
        (lambda s, x: s.a(x).mean(3), {"a": conv(3)}, (3, 64), None),
        (
            lambda s, x: F.adaptive_avg_pool2d(s.a(x), 8),
            {"a": conv(3, padding=1)},
            (10, 10),
            (8, 8),
        ),
        # Two pixels of the half-sized map, 3 pixels each at 2 pixels distance.
        (
            lambda s, x: F.interpolate(s.a(x), scale_factor=2, mode="bilinear"),
            {"a": conv(3, stride=2, padding=1)},
            (5, 5),
            (1, 1),
        ),
        # Every other unit of the last layer looks at two of the units that were copied.
        (
            lambda s, x: s.b(F.interpolate(s.a(x), scale_factor=2)),
            {"a": conv(3, stride=2, padding=1), "b": conv(2)},
            (5, 5),
            (1, 1),
        ),
        # An encoder and a decoder with a skip connection between them.
        (
            lambda s, x: torch.cat([s.a(x), s.c(s.b(F.max_pool2d(s.a(x), 2)))], 1),
            {
                "a": conv(3, padding=1),
                "b": conv(3, padding=1),
                "c": nn.ConvTranspose2d(3, 3, 2, stride=2),
            },
            (8, 8),
            (1, 1),
        ),
        (lambda s, x: s.a(x)[:, :, 4, 9], {"a": conv(5)}, (5, 5), None),
        (lambda s, x: s.n(s.a(x)), {"a": conv(5), "n": nn.GroupNorm(1, 3)}, (64, 64), (1, 1)),
        (lambda s, x: s.n(s.a(x)), {"a": conv(5), "n": nn.InstanceNorm2d(3)}, (64, 64), (1, 1)),
        (
            lambda s, x: s.b(F.gelu(s.a(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2),
            {"a": conv(5), "b": nn.Linear(3, 8)},
            (5, 5),
            (1, 1),
        ),
    ],
)
def test_small_pieces(
    compute: Callable[..., Tensor],
    layers: dict[str, nn.Module],
    size: tuple[int, int],
    stride: tuple[int, int] | None,
) -> None:
    field = end_of(compute, **layers)
    assert field.size == size
    assert field.stride == stride


def written_into_a_constant(model: Computed, x: Tensor) -> Tensor:
    result = torch.zeros_like(x)
    result[:, :2] = model.a(model.a(x))[:, :2]
    return result + model.a(x)


def written_into_a_map(model: Computed, x: Tensor) -> Tensor:
    result = model.a(x)
    result[:, :2] = model.a(model.a(x))[:, :2]
    return result


@pytest.mark.parametrize(
    "compute",
    [
        lambda s, x: F.unfold(s.a(x), 3),
        lambda s, x: s.a(x) + s.a(x).mT,
        lambda s, x: torch.fft.fft2(s.a(x)).real,
        lambda s, x: torch.fft.fft2(s.a(x)).real.mean((2, 3)) + s.a(x).mean((2, 3)),
        written_into_a_constant,
        written_into_a_map,
    ],
)
def test_what_is_not_understood_is_unknown(compute: Callable[..., Tensor]) -> None:
    field = end_of(compute, a=conv(3, padding=1))
    assert field.size is None
    assert field.stride is None
    assert field.output_shape is not None


def test_a_patch_sees_itself_before_attention_and_everything_behind_it() -> None:
    model = models.VisionTransformer(32, 16, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=8)
    fields = fields_of(model, (32, 32))
    block = "encoder.layers.encoder_layer_0"
    assert fields["conv_proj"].size == fields[f"{block}.ln_1"].size == (16, 16)
    assert fields[f"{block}.ln_1"].pixels((0, 1)) == (0, 16, 16, 32)
    assert fields[f"{block}.mlp.0"].size == fields["heads.head"].size == (32, 32)
    assert fields[f"{block}.mlp.0"].stride == (16, 16)


def test_attention_within_windows_sees_its_window() -> None:
    model = models.SwinTransformer([4, 4], 8, [2], [2], [4, 4], num_classes=5)
    fields = fields_of(model, (64, 64))
    first, rolled = fields["features.1.0.attn"], fields["features.1.1.norm1"]
    assert first.size == (16, 16)
    assert [first.pixels((row, 0)) for row in (3, 4)] == [(0, 0, 16, 16), (16, 0, 32, 16)]
    assert rolled.size == (16, 16)
    # Windows of the second block begin two patches further, across windows of the first.
    assert fields["features.1.1.attn"].pixels((4, 4)) == (0, 0, 32, 32)


def test_a_layer_called_twice_has_only_what_its_calls_share() -> None:
    model = nn.Sequential(shared := conv(3, padding=1), nn.ReLU(), shared)
    field = fields_of(model)["0"]
    assert field == Field(None, (1, 1), (1, 3, 64, 64), 1, calls=2)


# Independent: make one column (or row) of the image NaN, and see which units become NaN.


class RandomNetwork(nn.Module):
    """A few random stages of convolution, residual, branching, dense and pooling layers."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = random.Random(seed)
        makers = [self._chain, self._residual, self._branches, self._pooled, self._dense]
        self.stages = nn.Sequential(*(self.random.choice(makers)() for _ in range(3)))

    def _conv(self, stride: int = 1) -> nn.Conv2d:
        kernels = [self.random.choice([1, 3, 5]) for _ in range(2)]
        dilation = self.random.choice([1, 1, 2])
        padding = [(kernel - 1) * dilation // 2 for kernel in kernels]
        return nn.Conv2d(3, 3, tuple(kernels), stride, tuple(padding), dilation)

    def _chain(self) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 3, self.random.choice([2, 4, 7]), 2, 1), nn.ReLU())

    def _pooled(self) -> nn.Module:
        pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        return nn.Sequential(
            self._conv(), nn.BatchNorm2d(3), self.random.choice([pool, nn.AvgPool2d(2)])
        )

    def _residual(self) -> nn.Module:
        stride = self.random.choice([1, 2])
        return Computed(
            lambda s, x: F.relu(s.b(F.relu(s.a(x))).add_(s.short(x))),
            a=self._conv(stride),
            b=self._conv(),
            short=nn.Conv2d(3, 3, 1, stride),
        )

    def _branches(self) -> nn.Module:
        return Computed(
            lambda s, x: s.c(torch.cat([s.a(x), s.b(x), F.avg_pool2d(x, 3, 1, 1)], 1)),
            a=self._conv(),
            b=self._conv(),
            c=nn.Conv2d(9, 3, 1),
        )

    def _dense(self) -> nn.Module:
        return Computed(
            lambda s, x: F.channel_shuffle(torch.cat([x, s.a(x)], 1), 2)[:, 1:4], a=self._conv()
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.stages(x)


def observed(model: nn.Module, axis: int) -> tuple[int, int]:
    """Field and stride along an axis (0 vertical, 1 horizontal), from the spread of NaNs.

    Double precision, in which torch convolves without transforms that would spread NaNs further.
    """
    pixels = 112
    size = (pixels, 36) if axis == 0 else (36, pixels)
    images = torch.rand(pixels, 3, *size, dtype=torch.double)
    for pixel in range(pixels):
        images[pixel].select(axis + 1, pixel).fill_(torch.nan)
    with torch.no_grad():
        maps = torch.cat([model(part) for part in images.split(32)])
    changed = maps.isnan().any(1).any(2 - axis)
    spans = [tuple(unit.nonzero().flatten()[[0, -1]].tolist()) for unit in changed.T]
    inside = [(first, last) for first, last in spans if first > 0 and last < pixels - 1]
    assert len(inside) > 1, "the image is too small for this network"
    middle = len(inside) // 2
    (before, _), (first, last) = inside[middle - 1 : middle + 1]
    return last - first + 1, first - before


@pytest.mark.parametrize("seed", range(10))
def test_random_networks_against_the_spread_of_nans(seed: int) -> None:
    torch.manual_seed(seed)
    model = RandomNetwork(seed).double().eval()
    fields = receptive_fields(model, torch.zeros(1, 3, 112, 112))
    field = fields["stages"]
    assert field.size is not None
    assert field.stride is not None
    for axis in (0, 1):
        assert observed(model, axis) == (field.size[axis], field.stride[axis])


def test_shufflenet_against_the_spread_of_nans() -> None:
    model = models.shufflenet_v2_x0_5().double().eval()
    model.forward = lambda x: model.stage3[0](model.stage2(model.maxpool(model.conv1(x))))
    field = receptive_fields(model, torch.zeros(1, 3, 112, 112))["stage3.0"]
    for axis in (0, 1):
        size, stride = observed(model, axis)
        assert (field.size[axis], field.stride[axis]) == (size, stride)  # type: ignore[index]


# The model is somebody else's.


def test_the_model_is_left_as_it_was_found() -> None:
    model = nn.Sequential(conv(3), nn.BatchNorm2d(3), nn.Dropout(), nn.ReLU(inplace=True))
    model.train()
    model[1].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    fields_of(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert [part.training for part in model.modules()] == [True, True, False, True, True]
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
    assert not any(part._forward_hooks for part in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_hooks_go_when_the_model_fails() -> None:
    model = nn.Sequential(conv(3), nn.Linear(7, 2))
    with pytest.raises(ValueError, match="Sequential cannot run on images of 3 channels and 64x64"):
        fields_of(model)
    assert not any(part._forward_hooks for part in model.modules())


def test_works_in_inference_mode_and_under_autocast() -> None:
    model = models.squeezenet1_1()
    expected = fields_of(model)
    with torch.inference_mode():
        assert fields_of(model) == expected
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert fields_of(model) == expected


def test_the_examples_values_and_dtype_do_not_matter() -> None:
    model = models.squeezenet1_1().half()
    example = torch.full((1, 3, 64, 64), torch.nan)
    assert receptive_fields(model, example) == fields_of(models.squeezenet1_1())


def test_takes_little_longer_than_a_forward() -> None:
    model = models.resnet18()
    fields_of(model, (224, 224))
    start = time.perf_counter()
    fields_of(model, (224, 224))
    assert time.perf_counter() - start < 2.0


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated")
def test_scripted_parts_are_passed_through() -> None:
    """Torch allows no hooks on them, and the fields of the layers behind them need none."""
    network = nn.Sequential(conv(3, 2), torch.jit.script(nn.BatchNorm2d(3)), conv(3))
    plain = nn.Sequential(network[0], nn.BatchNorm2d(3), network[2])
    fields, expected = fields_of(network.eval()), fields_of(plain.eval())
    assert fields.keys() == {"0", "2"}
    assert fields["2"] == expected["2"]
