"""The demo's small network, which every command uses unless it is given another."""

from __future__ import annotations

import io
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor, nn

from neurovis.demo.scenes import BLANK
from neurovis.demo.shapes import SHAPES

WEIGHTS_FILE = "shapenet.pt"

# The first layer starts this much smaller than usual, so that what its kernels show was learned.
_FIRST_LAYER_SCALE = 0.1


class ShapeNet(nn.Module):
    """A convolutional network that names the shape in an RGB-D scene.

    Four convolutions with averages between them, not strides (Zhang, "Making convolutional networks
    shift-invariant again", ICML 2019, on why not striding) end in a 4 x 4 grid of responses, from
    which a linear layer reads the classes: keeping the grid lets a class be a layout rather than
    a collection of parts.

    Args:
        widths: Number of kernels of each convolution.
    """

    class_names = SHAPES

    def __init__(self, widths: tuple[int, int, int, int] = (24, 48, 64, 96)) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, widths[0], kernel_size=9, stride=2, padding=4)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.AvgPool2d(2)
        self.conv2 = nn.Conv2d(widths[0], widths[1], kernel_size=5, padding=2)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.AvgPool2d(2)
        self.conv3 = nn.Conv2d(widths[1], widths[2], kernel_size=3, padding=1)
        self.relu3 = nn.ReLU()
        self.conv4 = nn.Conv2d(widths[2], widths[3], kernel_size=3, padding=1)
        self.relu4 = nn.ReLU()
        self.pool4 = nn.AdaptiveAvgPool2d(4)
        self.classifier = nn.Linear(widths[3] * 16, len(SHAPES))
        with torch.no_grad():
            self.conv1.weight.mul_(_FIRST_LAYER_SCALE)

    def forward(self, images: Tensor) -> Tensor:
        """Names shapes.

        Args:
            images: RGB-D images ``(B, 4, H, W)`` in [0, 1], at least 32 x 32.

        Returns:
            Class logits ``(B, 8)`` in the order of ``SHAPES``.
        """
        centered = (images - BLANK) * 4
        features = self.pool1(self.relu1(self.conv1(centered)))
        features = self.pool2(self.relu2(self.conv2(features)))
        features = self.relu4(self.conv4(self.relu3(self.conv3(features))))
        logits: Tensor = self.classifier(self.pool4(features).flatten(1))
        return logits


class TwoStreamNet(nn.Module):
    """A network with random weights that takes color and depth as two arguments.

    Args:
        width: Number of kernels of each stream.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.color = nn.Sequential(nn.Conv2d(3, width, 9, stride=2, padding=4), nn.ReLU())
        self.depth = nn.Sequential(nn.Conv2d(1, width, 9, stride=2, padding=4), nn.ReLU())
        self.both = nn.Sequential(nn.Conv2d(2 * width, 2 * width, 5, padding=2), nn.ReLU())
        self.classifier = nn.Linear(2 * width, len(SHAPES))

    def forward(self, image: Tensor, depth: Tensor) -> Tensor:
        """Return class logits ``(B, 8)`` of color ``(B, 3, H, W)`` and depth ``(B, 1, H, W)``."""
        streams = torch.cat([self.color(image), self.depth(depth)], dim=1)
        logits: Tensor = self.classifier(self.both(streams).mean((2, 3)))
        return logits


def load_demo_network() -> ShapeNet:
    """Load the trained network that is shipped with the package.

    Returns:
        The network in evaluation mode, in float32, on the CPU. The recipe that trained it is
        ``configs/demo_training.yaml``.
    """
    with resources.files("neurovis.demo").joinpath(WEIGHTS_FILE).open("rb") as file:
        weights = torch.load(file, map_location="cpu", weights_only=True)
    network = ShapeNet()
    network.load_state_dict(weights)  # copied into float32 parameters
    return network.eval()


def export_weights(network: ShapeNet, path: str | Path) -> None:
    """Writes a network's weights in half precision, as :func:`load_demo_network` reads them."""
    weights = {
        name: value.cpu().half().contiguous() for name, value in network.state_dict().items()
    }
    # torch.save writes the file's own name into it; from a buffer, equal weights are equal files.
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    Path(path).write_bytes(buffer.getvalue())
