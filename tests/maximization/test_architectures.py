"""Activation maximization on the architectures that people bring, with random weights."""

from __future__ import annotations

import pytest
import torch
import torchvision
from climbing import Climber
from torch import nn

from neurovis.inputs import InputSpec
from neurovis.maximization import ActivationMaximization

pytestmark = pytest.mark.usefixtures("without_figures")

#: A convolution, a linear layer where there is one before the logits, and the logits.
ARCHITECTURES = {
    "alexnet": ("features.6", "classifier.1", "classifier.6"),
    "vgg16": ("features.10", "classifier.0", "classifier.6"),
    "resnet18": ("layer2.0.conv1", "layer3.1", "fc"),
    "squeezenet1_0": ("features.4.expand3x3", "features.5", "classifier.1"),
    "mobilenet_v3_small": ("features.4.block.0.0", "classifier.0", "classifier.3"),
    "convnext_tiny": ("features.1.0.block.0", "features.1.0.block.3", "classifier.2"),
    "densenet121": ("features.denseblock1.denselayer2.conv1", "features.norm5", "classifier"),
    "googlenet": ("inception3a.branch2.1.conv", "inception3b", "fc"),
}


#: More of the kinds that others stand for, and large.
LARGE = {*ARCHITECTURES} - {"squeezenet1_0"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in ARCHITECTURES],
)
def test_kernels_of_every_layer_are_driven(climb: Climber, name: str) -> None:
    torch.manual_seed(0)
    options = {"init_weights": False} if name in ("googlenet", "vgg16") else {}
    network = torchvision.models.get_model(name, weights=None, **options)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)  # some initializations let signals die out
    for layer in ARCHITECTURES[name]:
        am = ActivationMaximization(
            network,
            layer,
            [1, 3],
            InputSpec.rgb(64),
            style="maximal",
            steps=20,
            lr=0.1,
            batch_size=2,
            jitter=0,
            scale=(1, 1),
            rotate=0,
        )
        climb(am)
        assert am.results.images.isfinite().all()
        assert (am.results.activations > am.results.noise_activations).all(), layer
        assert (am.results.images - am.results.starts).flatten(1).std(1).min() > 0.01, layer
