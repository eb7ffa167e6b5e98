from __future__ import annotations

from collections.abc import Callable

import captum.attr
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.convnext import CNBlockConfig

from neurovis.receptive_fields import Layout
from neurovis.saliency import cascading_randomization, explanation, kernel_saliency
from neurovis.saliency.gradcam import last_layer_with_positions
from neurovis.saliency.question import Question


def literal(maps: Tensor, gradient: Tensor, size: tuple[int, int]) -> Tensor:
    """Equations 1 and 2 of Selvaraju et al., a kernel at a time, enlarged to the image."""
    coarse = torch.zeros(len(maps), 1, *maps.shape[2:])
    for image in range(len(maps)):
        for kernel in range(maps.shape[1]):
            coarse[image, 0] += gradient[image, kernel].mean() * maps[image, kernel]
    return F.interpolate(coarse.clamp(min=0), size, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("layer", ["0", "1", "2", "3"])
def test_as_captum_and_as_written_in_the_paper(
    layer: str, network: nn.Module, images: Tensor
) -> None:
    found = kernel_saliency(network, images, None, 1, "gradcam", gradcam_layer=layer)
    module = network[int(layer)]
    coarse = captum.attr.LayerGradCam(network, module).attribute(
        images.clone(), target=1, relu_attributions=True
    )
    expected = F.interpolate(coarse, (12, 12), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found.maps, expected.detach())
    front, back = network[: int(layer) + 1], network[int(layer) + 1 :]
    maps = front(images).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(back(maps)[:, 1].sum(), maps)
    torch.testing.assert_close(found.maps, literal(maps.detach(), gradient, (12, 12)))
    assert found.maps.any()
    assert (found.maps >= 0).all()


def test_a_rectifier_that_works_in_place_changes_nothing(
    network: nn.Module, images: Tensor
) -> None:
    expected = kernel_saliency(network, images, None, 1, "gradcam", gradcam_layer="2").maps
    network[3].inplace = True
    torch.testing.assert_close(
        kernel_saliency(network, images, None, 1, "gradcam", gradcam_layer="2").maps, expected
    )


def test_by_default_the_last_convolution_with_a_map(network: nn.Module, images: Tensor) -> None:
    assert kernel_saliency(network, images, None, 1, "gradcam").gradcam_layer == "2"

    def maps(layer: str | None, gradcam_layer: str | None = None) -> Tensor:
        options = {} if gradcam_layer is None else {"gradcam_layer": gradcam_layer}
        return kernel_saliency(network, images, layer, 1, "gradcam", **options).maps  # type: ignore[arg-type]

    assert torch.equal(maps(None), maps(None, "2"))
    assert torch.equal(maps("3"), maps("3", "2"))
    assert torch.equal(maps("2"), maps("2", "0"))


class Branches(nn.Module):
    """The last convolution called leads elsewhere, one has a map of 1 x 1, and one is reused."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted = nn.Conv2d(4, 5, 3)
        self.elsewhere = nn.Conv2d(5, 5, 3)
        self.squeeze = nn.Conv2d(5, 5, 10)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.wanted(x)
        aside = self.elsewhere(self.elsewhere(x))
        single = self.elsewhere(self.elsewhere(x[..., :5, :5]))
        return self.head(self.squeeze(x).flatten(1).relu()), aside.sum() + single.sum()


class Aside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, 5, 3)
        self.one, self.other = nn.Conv2d(5, 5, 3), nn.Conv2d(5, 5, 3)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        one, other = self.one(x), self.other(x)
        return self.head(one.relu().mean((2, 3))), other


@pytest.mark.parametrize(("model", "expected"), [(Branches, "wanted"), (Aside, "one")])
def test_convolutions_that_are_passed_over(
    model: type[nn.Module], expected: str, images: Tensor
) -> None:
    network = model()
    found = kernel_saliency(network, images, "head", 1, "gradcam")
    named = kernel_saliency(network, images, "head", 1, "gradcam", gradcam_layer=expected)
    assert torch.equal(found.maps, named.maps)


def hooked(network: nn.Module, layer: str, images: Tensor, kernel: int) -> tuple[Tensor, Tensor]:
    """A layer's output, and the gradient of a class to it, by an ordinary hook and autograd."""
    outputs: list[Tensor] = []
    module = network.get_submodule(layer)
    handle = module.register_forward_hook(lambda *arguments: outputs.append(arguments[-1]))
    scores = network(images)
    handle.remove()
    (gradient,) = torch.autograd.grad(scores[:, kernel].sum(), outputs[0])
    return outputs[0].detach(), gradient


def vision_transformer() -> nn.Module:
    network = torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5)
    # Its head is made of zeros.
    nn.init.normal_(network.heads.head.weight)
    return network


def convnext() -> nn.Module:
    stages = [CNBlockConfig(8, 12, 1), CNBlockConfig(12, None, 1)]
    return torchvision.models.ConvNeXt(stages, num_classes=5)


def grid_of_tokens(tokens: Tensor) -> Tensor:
    """Tokens ``(B, 1 + rows * columns, K)`` without the class token, ``(B, K, rows, columns)``."""
    return tokens[:, 1:].movedim(-1, 1).unflatten(-1, (4, 4))


#: By network: the last layer with weights and positions that leads to a class, and how it is read.
LAST_LAYERS: dict[Callable[[], nn.Module], tuple[str, Callable[[Tensor], Tensor]]] = {
    vision_transformer: ("encoder.layers.encoder_layer_1.ln_1", grid_of_tokens),
    lambda: torchvision.models.SwinTransformer([2, 2], 8, [1, 1], [2, 2], [4, 4], num_classes=5): (
        "norm",
        lambda maps: maps.movedim(-1, 1),
    ),
    convnext: ("features.3.0", lambda maps: maps),
    lambda: torchvision.models.resnet18(num_classes=5): ("layer4.1", lambda maps: maps),
}


@pytest.mark.parametrize("build", LAST_LAYERS, ids=["vit", "swin", "convnext", "resnet"])
def test_the_last_layer_with_positions(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    network = build().eval()
    size = 32 if build is vision_transformer else 64
    images = torch.randn(2, 3, size, size)
    layer, arranged = LAST_LAYERS[build]
    found = kernel_saliency(network, images, None, 3, "gradcam")
    assert found.gradcam_layer == layer
    assert found.title == f"gradcam of output at {layer}"
    maps, gradient = (arranged(part) for part in hooked(network, layer, images, 3))
    torch.testing.assert_close(found.maps, literal(maps, gradient, (size, size)))
    assert found.maps.any()


def test_tokens_that_lead_nowhere_are_passed_over() -> None:
    torch.manual_seed(0)
    network, images = vision_transformer().eval(), torch.randn(2, 3, 32, 32)
    _, gradient = hooked(network, "encoder.ln", images, 3)
    assert gradient[:, 0].any()
    assert not gradient[:, 1:].any()
    with pytest.raises(
        ValueError, match=r'positions of gradcam_layer "encoder\.ln" .* class token'
    ):
        kernel_saliency(network, images, None, 3, "gradcam", gradcam_layer="encoder.ln")


class Attention(nn.Module):
    """Attention whose projections come after a norm, and a norm that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(4, 6, 4, 4), nn.LayerNorm(6)
        self.attn = nn.ModuleDict({"kv": nn.Linear(6, 12)})
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        tokens = self.norm(self.stem(x).flatten(2).movedim(1, -1)).relu()
        key, value = self.attn["kv"](self.norm(tokens)).chunk(2, dim=-1)
        return (self.head(((tokens @ key.mT).softmax(-1) @ value).mean(1).relu()),)


def test_one_call_of_a_layer_and_no_projection_inside_an_attention(images: Tensor) -> None:
    network = Attention()
    found = kernel_saliency(network, images, None, 1, "gradcam")
    assert found.gradcam_layer == "norm@2"
    with pytest.raises(ValueError, match='layer "norm" is called 2 times'):
        kernel_saliency(network, images, None, 1, "gradcam", gradcam_layer="norm")
    named = kernel_saliency(network, images, None, 1, "gradcam", gradcam_layer="attn.kv")
    assert named.gradcam_layer == "attn.kv"


class Structure(nn.Module):
    """A block that returns a tuple, whose tensor the next layer rectifies in place."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.relu, self.head = Pair(), nn.ReLU(inplace=True), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.block(x)[0]).mean((2, 3)))


class Wrapped(nn.Module):
    """A backbone that returns what its last block returns."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.head = nn.Module(), nn.Linear(5, 3)
        self.backbone.forward = lambda x: self.backbone.block(x)  # type: ignore[method-assign]
        self.backbone.block = nn.Conv2d(4, 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.backbone(x).relu().mean((2, 3)))


def test_a_layer_goes_by_the_name_of_the_part_that_made_its_output(images: Tensor) -> None:
    assert kernel_saliency(Wrapped(), images, None, 1, "gradcam").gradcam_layer == "backbone.block"


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 5, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return -self.conv(x), None


def test_a_block_that_returns_a_structure(images: Tensor) -> None:
    network = Structure()
    found = kernel_saliency(network, images, None, 1, "gradcam")
    assert found.gradcam_layer == "block"
    maps = network.block(images)[0].detach().requires_grad_()
    scores = network.head(maps.relu().mean((2, 3)))
    (gradient,) = torch.autograd.grad(scores[:, 1].sum(), maps)
    torch.testing.assert_close(found.maps, literal(maps.detach(), gradient, (12, 12)))
    assert found.maps.any()


def test_random_weights_do_not_change_the_layer(
    network: nn.Module, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def noted(question: Question) -> tuple[str, Layout]:
        layer, layout = last_layer_with_positions(question)
        calls.append(layer)
        return layer, layout

    monkeypatch.setattr(explanation, "last_layer_with_positions", noted)
    check = cascading_randomization(network, images, None, 1, "gradcam")
    assert calls == [check.gradcam_layer] == ["2"]
    assert check.title == "gradcam of output at 2"
    assert kernel_saliency(network, images, None, 1).gradcam_layer is None


def test_kernels_of_the_map_need_not_be_second(images: Tensor) -> None:
    class ChannelsLast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.mix, self.head = nn.Conv2d(4, 6, 3), nn.Linear(6, 9), nn.Linear(9, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.mix(self.stem(x).movedim(1, -1)).tanh().mean((1, 2)))

    network = ChannelsLast()
    maps = network.mix(network.stem(images).movedim(1, -1)).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(network.head(maps.tanh().mean((1, 2)))[:, 2].sum(), maps)
    expected = literal(maps.detach().movedim(-1, 1), gradient.movedim(-1, 1), (12, 12))
    found = kernel_saliency(network, images, None, 2, "gradcam", gradcam_layer="mix")
    torch.testing.assert_close(found.maps, expected)
    assert found.maps.any()


def test_guided_gradcam_is_the_product(network: nn.Module, images: Tensor) -> None:
    maps = {
        method: kernel_saliency(network, images, None, 1, method).maps
        for method in ("gradcam", "guided_backprop", "guided_gradcam")
    }
    assert torch.equal(maps["guided_gradcam"], maps["gradcam"] * maps["guided_backprop"])
    assert maps["guided_gradcam"].any()


def test_a_map_without_positions_is_refused(network: nn.Module, images: Tensor) -> None:
    with pytest.raises(ValueError, match=r'gradcam_layer "6" needs maps .* shape \(2, 3\)'):
        kernel_saliency(network, images, None, 1, "gradcam", gradcam_layer="6")


def test_a_kernel_that_nothing_drives_has_an_empty_map(network: nn.Module, images: Tensor) -> None:
    with torch.no_grad():
        network[2].bias.fill_(-100)
    found = kernel_saliency(network, images, None, 1, "gradcam")
    assert not found.maps.any()
