"""Networks of other people's weights that torchvision does not have."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class CifarBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut without parameters (He et al. 2016, option A)."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.added = channels - channels_in

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        # New channels are zero, half of them before and half behind the old ones.
        before = self.added // 2
        shortcut = F.pad(shortcut, (0, 0, 0, 0, before, self.added - before))
        return F.relu(out + shortcut)


class CifarResNet(nn.Module):
    """The CIFAR-10 ResNet of He et al. 2016, section 4.2: 6n + 2 layers, 32 for n = 5.

    Args:
        n: Blocks in each of the three stages of 16, 32 and 64 channels.
    """

    def __init__(self, n: int = 5) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, n, stride=1)
        self.layer2 = self._stage(16, 32, n, stride=2)
        self.layer3 = self._stage(32, 64, n, stride=2)
        self.linear = nn.Linear(64, 10)

    @staticmethod
    def _stage(channels_in: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
        first = CifarBlock(channels_in, channels, stride)
        return nn.Sequential(first, *(CifarBlock(channels, channels, 1) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(F.avg_pool2d(x, x.shape[2:]).flatten(1))
