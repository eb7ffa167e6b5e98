from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neurovis.demo import demo_input_spec, load_demo_network
from neurovis.inputs import InputSpec
from neurovis.saliency import METHODS, LayerTarget, Method, SaliencyMaps, kernel_saliency


class Disturbable(nn.Module):
    """Has all that a forward or a gradient could disturb, and works on its input in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.dropout = nn.Dropout(0.5)
        self.second = nn.Conv2d(6, 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x.sub_(0.5)
        x = torch.relu_(self.norm(self.first(x)))
        return self.second(self.dropout(x)).relu().mean((2, 3))


def snapshot(model: nn.Module) -> list[object]:
    tensors = [t.detach().clone() for t in (*model.parameters(), *model.buffers())]
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    flags = [(m.training, len(m._forward_hooks)) for m in model.modules()]
    return [tensors, gradients, flags, [p.requires_grad for p in model.parameters()]]


def assert_same(before: object, after: object) -> None:
    if isinstance(before, list) and isinstance(after, list):
        for one, other in zip(before, after, strict=True):
            assert_same(one, other)
    elif isinstance(before, Tensor) and isinstance(after, Tensor):
        assert torch.equal(before, after)
    else:
        assert before == after


def in_training() -> nn.Module:
    torch.manual_seed(0)
    model = Disturbable()
    model(torch.rand(4, 4, 12, 12)).sum().backward()
    model.first.requires_grad_(False)
    model.norm.eval()
    return model


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_disturbed(method: Method, images: Tensor) -> None:
    model = in_training()
    before, given, state = snapshot(model), images.clone(), torch.get_rng_state()
    images.requires_grad_()
    found = kernel_saliency(model, images, None, "strongest", method, samples=2, steps=3)
    assert_same(before, snapshot(model))
    assert torch.equal(images, given)
    assert images.grad is None
    assert torch.equal(state, torch.get_rng_state())
    assert found.maps.shape == (2, 1 if method == "gradcam" else 4, 12, 12)
    assert found.maps.dtype == torch.float32
    assert not found.maps.requires_grad
    assert not found.values.requires_grad
    assert found.maps.isfinite().all()


@pytest.mark.parametrize("method", METHODS)
def test_modes_of_the_caller_change_nothing(method: Method, images: Tensor) -> None:
    model = in_training()
    options: dict[str, Any] = {"method": method, "samples": 2, "steps": 3}
    expected = kernel_saliency(copy.deepcopy(model).eval(), images, None, 1, **options)
    with torch.inference_mode():
        inside = kernel_saliency(model, images.clone(), None, 1, **options)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        without = kernel_saliency(model, images, None, 1, **options)
    for found in (inside, without):
        torch.testing.assert_close(found.maps, expected.maps)
        torch.testing.assert_close(found.values, expected.values)
    assert expected.maps.any()


@pytest.mark.parametrize("method", METHODS)
def test_an_exception_leaves_nothing_behind(method: Method, images: Tensor) -> None:
    model = in_training()
    before, calls = snapshot(model), 0

    def fail_late(activation: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise RuntimeError("in between")
        return activation.sum(1)

    with pytest.raises(RuntimeError, match="in between"):
        kernel_saliency(model, images, None, fail_late, method)
    assert_same(before, snapshot(model))


@pytest.mark.parametrize("method", METHODS)
def test_a_map_does_not_depend_on_what_shares_the_batch(
    method: Method, network: nn.Module, images: Tensor
) -> None:
    options: dict[str, Any] = {"samples": 3, "steps": 5}
    together = kernel_saliency(network, images, "2", "strongest", method, **options)
    for index in range(2):
        alone = kernel_saliency(network, images[index, None], "2", "strongest", method, **options)
        torch.testing.assert_close(together.maps[index, None], alone.maps)
        assert together.kernels is not None
        assert alone.kernels == [together.kernels[index]]


def test_the_strongest_kernel_is_each_images_own(network: nn.Module, images: Tensor) -> None:
    images = torch.cat([images, -3 * images])
    activation = network[:3](images)
    found = kernel_saliency(network, images, "2", "strongest", readout="max")
    assert found.kernels == activation.amax((2, 3)).argmax(1).tolist()
    assert len(set(found.kernels)) > 1
    torch.testing.assert_close(found.values, activation.amax((1, 2, 3)))
    each = [kernel_saliency(network, images[i, None], "2", k, readout="max").maps
            for i, k in enumerate(found.kernels)]  # fmt: skip
    torch.testing.assert_close(found.maps, torch.cat(each))
    logits = kernel_saliency(network, images, None, "strongest")
    assert logits.kernels == network(images).argmax(1).tolist()
    assert logits.layer == "output"


READINGS: dict[object, Callable[[Tensor], Tensor]] = {
    None: lambda maps: maps.mean((1, 2)),
    "mean": lambda maps: maps.mean((1, 2)),
    "max": lambda maps: maps.amax((1, 2)),
    "center": lambda maps: maps[:, 2, 2],
    (0, 3): lambda maps: maps[:, 0, 3],
}


@pytest.mark.parametrize("readout", READINGS)
def test_readouts(readout: Any, network: nn.Module, images: Tensor) -> None:
    found = kernel_saliency(network, images, "3", 5, readout=readout)
    inputs = images.clone().requires_grad_()
    values = READINGS[readout](network[:4](inputs)[:, 5])
    torch.testing.assert_close(found.values, values.detach())
    torch.testing.assert_close(found.maps, torch.autograd.grad(values.sum(), inputs)[0])


def test_a_function_of_the_activation(network: nn.Module, images: Tensor) -> None:
    found = kernel_saliency(network, images, "2", lambda a: a[:, 1].mean((1, 2)) - a[:, 3, 0, 0])
    one = kernel_saliency(network, images, "2", 1)
    other = kernel_saliency(network, images, "2", 3, readout=(0, 0))
    torch.testing.assert_close(found.maps, one.maps - other.maps)
    assert found.kernels is None


class ChannelsLast(nn.Module):
    """A rectified linear layer on (B, H, W, K), and a dictionary of results."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, 6, 3)
        self.mix = nn.Linear(6, 9)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.relu(self.mix(self.stem(x).movedim(1, -1)))
        return {"logits": x.mean((1, 2)), "features": x}


@pytest.mark.parametrize("layer", ["mix", "relu"])
def test_kernels_need_not_be_second(layer: str, images: Tensor) -> None:
    model = ChannelsLast()
    target = LayerTarget.find(model, layer, images)
    inputs = images.clone().requires_grad_()
    activation = model.mix(model.stem(inputs).movedim(1, -1))
    activation = activation.relu() if layer == "relu" else activation
    (expected,) = torch.autograd.grad(activation[:, 3, 7, 8].sum(), inputs)
    for name in (layer, target):
        found = kernel_saliency(model, images, name, 8, readout=(3, 7))
        torch.testing.assert_close(found.maps, expected)
        assert found.layer == layer
    coarse = kernel_saliency(model, images, None, 8, "gradcam", gradcam_layer="mix")
    assert coarse.maps.shape == (2, 1, 12, 12)


def test_the_first_tensor_of_what_the_network_returns(images: Tensor) -> None:
    model = ChannelsLast()
    found = kernel_saliency(model, images, None, 2)
    torch.testing.assert_close(found.values, model(images)["logits"][:, 2].detach())


def test_a_compiled_network_is_explained_as_its_original(
    network: nn.Module, images: Tensor
) -> None:
    compiled = torch.compile(network, backend="eager")
    compiled(images)
    for layer in (None, "2"):
        for method in ("gradient", "guided_backprop", "gradcam"):
            found = kernel_saliency(compiled, images, layer, 1, method)  # type: ignore[arg-type]
            expected = kernel_saliency(network, images, layer, 1, method)  # type: ignore[arg-type]
            assert torch.equal(found.maps, expected.maps)


def test_other_precisions_come_out_as_float32(network: nn.Module, images: Tensor) -> None:
    exact = kernel_saliency(copy.deepcopy(network).double(), images.double(), "2", 0)
    rounded = kernel_saliency(copy.deepcopy(network).bfloat16(), images.bfloat16(), "2", 0)
    single = kernel_saliency(network, images, "2", 0)
    for found, tolerance in ((exact, 1e-5), (rounded, 0.05)):
        assert found.maps.dtype == found.values.dtype == torch.float32
        torch.testing.assert_close(found.maps, single.maps, atol=tolerance, rtol=tolerance)


def test_pooling() -> None:
    maps = torch.randn(2, 4, 5, 6)
    spec = InputSpec.rgbd((5, 6))
    signed = SaliencyMaps(maps, torch.zeros(2), [0, 0], "x", "occlusion")
    unsigned = SaliencyMaps(maps, torch.zeros(2), [0, 0], "x", "gradient")
    assert signed.is_signed
    assert not unsigned.is_signed
    array = maps.numpy()
    assert list(signed.pooled(spec)) == ["rgb", "depth"]
    torch.testing.assert_close(signed.pooled(spec)["rgb"].numpy(), array[:, :3].sum(1))
    torch.testing.assert_close(signed.pooled(None)[""].numpy(), array.sum(1))
    torch.testing.assert_close(unsigned.pooled(spec)["rgb"].numpy(), abs(array[:, :3]).max(1))
    torch.testing.assert_close(unsigned.pooled(spec)["depth"].numpy(), abs(array[:, 3]))
    coarse = SaliencyMaps(maps[:, :1].abs(), torch.zeros(2), [0, 0], "x", "gradcam")
    assert list(coarse.pooled(spec)) == [""]
    with pytest.raises(ValueError, match="rgb 3"):
        unsigned.pooled(InputSpec.rgb((5, 6)))


@pytest.mark.parametrize("method", METHODS)
def test_color_and_depth(method: Method) -> None:
    spec = demo_input_spec().resized(32)
    images = torch.rand(1, 4, 32, 32)
    found = kernel_saliency(
        load_demo_network(), images, None, "strongest", method, input_spec=spec, samples=2, steps=3
    )
    pooled = found.pooled(spec)
    assert list(pooled) == ([""] if method == "gradcam" else ["rgb", "depth"])
    assert all(part.shape == (1, 32, 32) for part in pooled.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "guided_backpropagation"}, 'did you mean "guided_backprop"'),
        ({"method": "magic"}, "no saliency method 'magic'; choose from \"gradient\""),
        ({"layer": "22"}, 'layer "22" not found'),
        ({"kernel": 8}, 'kernel 8 is out of range: layer "2" has 8 kernels'),
        ({"kernel": 3, "layer": None}, 'kernel 3 is out of range: layer "output" has 3 kernels'),
        ({"kernel": "best"}, 'kernel must be a number, "strongest" or a function; got "best"'),
        ({"kernel": lambda a: a.mean()}, r"a tensor of shape \(2,\) here; got \(\)"),
        ({"kernel": lambda a: a.sum((1, 2, 3)), "readout": "mean"}, "give one of them"),
        ({"readout": "median"}, "readout must be .*; got 'median'"),
        ({"readout": (5, 0)}, "lies outside the 5 x 5 map"),
        ({"readout": (-1, 0)}, "readout's row must be an integer of at least 0; got -1"),
        ({"readout": (0, 0), "layer": None}, r"shape \(2, 3\), not \(B, K, H, W\)"),
        ({"input_spec": InputSpec.rgb(12)}, "rgb 3"),
        ({"samples": 0}, "samples must be an integer of at least 1; got 0"),
        ({"noise": -0.1}, "noise must be a number of at least 0; got -0.1"),
        ({"steps": True}, "steps must be an integer"),
        ({"seed": -1}, "seed must be an integer"),
        ({"patch": 0}, "patch must be an integer of at least 1; got 0"),
        ({"stride": 1.5}, "stride must be an integer of at least 1; got 1.5"),
        ({"baseline": float("nan")}, "baseline must be a finite number"),
        ({"baseline": torch.zeros(3, 1, 1), "method": "integrated_gradients"}, "broadcast"),
        ({"patch": 13, "method": "occlusion"}, "shorter side, 12; got 13"),
        ({"patch": 3, "stride": 4, "method": "occlusion"}, "at most patch, 3.*got 4"),
        ({"layer": "0", "method": "guided_backprop"}, 'no rectifier .* layer "0"'),
        ({"layer": "0", "method": "deconvnet"}, "deconvnet would be the plain gradient"),
        ({"layer": "0", "method": "gradcam"}, 'no convolution .* leads to layer "0"'),
        ({"method": "gradcam", "gradcam_layer": "3"}, 'gradcam_layer "3" has no part in layer "2"'),
        ({"method": "gradcam", "gradcam_layer": "33"}, 'layer "33" not found'),
    ],
)
def test_what_is_refused(
    arguments: dict[str, Any], message: str, network: nn.Module, images: Tensor
) -> None:
    with pytest.raises(ValueError, match=message):
        kernel_saliency(network, images, **{"layer": "2", "kernel": 0} | arguments)


def test_images_that_are_refused(network: nn.Module, images: Tensor) -> None:
    with pytest.raises(TypeError, match=r"floating-point; got torch\.uint8"):
        kernel_saliency(network, images.to(torch.uint8), "2", 0)
    with pytest.raises(ValueError, match=r"\(4, 12, 12\)"):
        kernel_saliency(network, images[0], "2", 0)
    with pytest.raises(ValueError, match=r"images are on meta and the network on (cpu|simul)"):
        kernel_saliency(network, images.to("meta"), "2", 0)
    with pytest.raises(TypeError, match="got list"):
        kernel_saliency(network, [images], "2", 0)  # type: ignore[arg-type]


def test_a_value_without_gradient_is_refused_but_can_be_occluded(images: Tensor) -> None:
    class Rounded(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3)).detach()

    with pytest.raises(ValueError, match=r'layer "output" has no gradient .* "occlusion"'):
        kernel_saliency(Rounded(), images, None, 0)
    found = kernel_saliency(Rounded(), images, None, 0, "occlusion")
    assert found.maps.any()


@pytest.mark.parametrize("kernel", [[0, 1], (0, 1), range(2), 1.5, True, None])
def test_one_kernel_at_a_time(network: nn.Module, images: Tensor, kernel: Any) -> None:
    with pytest.raises(TypeError, match=r"kernel is one number.*ask for each"):
        kernel_saliency(network, images, None, kernel)


def test_integers_of_other_libraries(network: nn.Module, images: Tensor) -> None:
    expected = kernel_saliency(network, images, None, 1)
    for kernel in (np.int64(1), torch.tensor(1)):
        found = kernel_saliency(network, images, None, kernel)
        assert found.kernels == expected.kernels
        assert torch.equal(found.maps, expected.maps)
