from __future__ import annotations

import captum.attr
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurovis.saliency import Method, kernel_saliency


class Rectified(nn.Module):
    """Three rectifiers: modules of their own, one that is reused, or functions."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kind = kind
        self.conv1 = nn.Conv2d(4, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1)
        self.fc1 = nn.Linear(8 * 9, 10)
        self.fc2 = nn.Linear(10, 3)
        self.relu = nn.ReLU(inplace=kind == "in place")
        if kind != "reused":
            self.relu2, self.relu3 = (nn.ReLU(inplace=kind == "in place") for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        first = second = third = self.relu
        if self.kind == "functions":
            x = torch.relu(self.conv1(x))
            x = F.max_pool2d(self.conv2(x).relu_(), 4)
            return self.fc2(F.relu(self.fc1(x.flatten(1)), inplace=True))
        if self.kind != "reused":
            second, third = self.relu2, self.relu3
        x = F.max_pool2d(second(self.conv2(first(self.conv1(x)))), 4)
        return self.fc2(third(self.fc1(x.flatten(1))))


CAPTUM = {
    "guided_backprop": captum.attr.GuidedBackprop,
    "deconvnet": captum.attr.Deconvolution,
}


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU")
@pytest.mark.parametrize("method", CAPTUM)
@pytest.mark.parametrize("kind", ["separate", "reused", "in place", "functions"])
def test_as_captum_with_modules(kind: str, method: Method, images: Tensor) -> None:
    found = kernel_saliency(Rectified(kind), images, None, 1, method)
    # Captum does nothing to functions: it is asked about the same network with modules.
    expected = CAPTUM[method](Rectified("separate")).attribute(
        images.clone().requires_grad_(), target=1
    )
    plain = kernel_saliency(Rectified(kind), images, None, 1)
    torch.testing.assert_close(found.maps, expected)
    assert not torch.allclose(found.maps, plain.maps)
    torch.testing.assert_close(found.values, plain.values)


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU")
@pytest.mark.parametrize("method", CAPTUM)
def test_of_a_hidden_kernel(method: Method, images: Tensor) -> None:
    found = kernel_saliency(Rectified("functions"), images, "conv2", 5, method, readout="center")
    separate = Rectified("separate")
    front = nn.Sequential(separate.conv1, separate.relu, separate.conv2)
    expected = CAPTUM[method](front).attribute(images.clone().requires_grad_(), target=(5, 6, 6))
    torch.testing.assert_close(found.maps, expected)


class Rescaled(nn.Module):
    """Clamped at other values than zero, and curved at zero: nothing that these methods rule."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(F.hardtanh(self.conv(x.clamp(-2, 2)))).mean((2, 3))


@pytest.mark.parametrize("method", CAPTUM)
def test_refused_where_it_would_be_the_plain_gradient(method: Method, images: Tensor) -> None:
    with pytest.raises(ValueError, match=f'no rectifier .* layer "output", so that {method}'):
        kernel_saliency(Rescaled(), images, None, 0, method)


class PartlyRectified(nn.Module):
    def __init__(self, scripted: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.conv2 = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 2, 3)
        self.act: nn.Module = torch.jit.script(nn.ReLU()) if scripted else nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv2(F.relu(self.conv1(x)))).mean((2, 3))


@pytest.mark.parametrize("method", CAPTUM)
def test_other_nonlinearities_are_said_to_pass_their_gradient(
    method: Method, images: Tensor
) -> None:
    with pytest.warns(UserWarning, match=f"{method} .* changes .* rectifiers .* gelu pass"):
        kernel_saliency(PartlyRectified(scripted=False), images, None, 0, method)


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize("method", CAPTUM)
def test_scripted_parts_are_refused(method: Method, images: Tensor) -> None:
    with pytest.raises(ValueError, match=f'{method} cannot see the rectifiers of "act"'):
        kernel_saliency(PartlyRectified(scripted=True), images, None, 0, method)
