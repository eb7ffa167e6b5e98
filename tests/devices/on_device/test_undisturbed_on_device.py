"""`undisturbed` restores what is on a device, and waits for it once or twice."""

from __future__ import annotations

import pytest
import torch
from on_simulated_gpu import DEVICE
from simulated_gpu import counting
from torch import Tensor, nn

from neurovis import undisturbed


class Changing(nn.Module):
    """Changes tensors in place, behind autograd's back, and by other data; draws numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(20))
        self.register_buffer("bank", torch.zeros(2**22 + 3))
        self.others = [torch.zeros(3, device=f"{DEVICE.type}:1"), torch.zeros(2), torch.zeros(1)]

    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            self.layers[3].running_mean.add_(1)
            self.layers[5].weight.data.mul_(2)
            self.layers[7].num_batches_tracked.data = torch.ones_like(
                self.layers[7].num_batches_tracked
            )
            self.bank[-1] = 7
            for other in self.others:
                other.add_(1)
        return self.layers[0](images) + torch.rand_like(images)

    def state(self) -> list[Tensor]:
        return [value.cpu().clone() for value in (*self.state_dict().values(), *self.others)]


def test_all_is_restored_and_nothing_waits_for_each_tensor() -> None:
    module = Changing().to(DEVICE).eval()
    before = module.state()
    images = torch.rand(1, 3, 4, 4, device=DEVICE)
    with counting() as counts, undisturbed(module):
        drawn = module(images)
    # Once and once more for each of two devices.
    assert counts.all_waits <= 4
    after = module.state()
    assert all(map(torch.equal, after, before))
    assert torch.equal(module(images), drawn)
    assert not all(map(torch.equal, module.state(), before))


def test_one_wait_if_nothing_changes() -> None:
    pytest.importorskip("torchvision")
    from torchvision.models import resnet18

    network = resnet18().to(DEVICE)
    with counting() as counts, undisturbed(network):
        pass
    assert counts.all_waits == 1


def test_autocast_of_the_device_is_off_inside() -> None:
    layer, images = nn.Linear(3, 3).to(DEVICE), torch.rand(1, 3, device=DEVICE)
    with torch.autocast(DEVICE.type, torch.bfloat16):
        assert layer(images).dtype == torch.bfloat16
        with undisturbed(layer):
            assert layer(images).dtype == torch.float32
