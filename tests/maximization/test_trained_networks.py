"""Networks that have learned something: images worth looking at, far above noise."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from climbing import Climber
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from neurovis.inputs import InputSpec
from neurovis.maximization import ActivationMaximization
from neurovis.modality import Modality
from neurovis.models import load_model

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is absent")
pytestmark = pytest.mark.slow


def _contrast(images: Tensor) -> Tensor:
    """Standard deviation over pixels, ``(N,)``: below about 0.05 a picture looks gray."""
    return images.flatten(1).std(1)


@needs_data
def test_squeezenet_kernels_are_driven_far_beyond_noise(climb: Climber) -> None:
    weights = DATA / "squeezenet1_0_imagenet.pth"
    network = load_model("torchvision.models.squeezenet1_0", weights)
    am = ActivationMaximization(
        network, "features.10", range(8), InputSpec.rgb(96), style="maximal", steps=32, lr=0.1
    )
    climb(am)
    # Kernels 4 and 6 are silent on the noise start, and used to come out gray elsewhere.
    assert (am.results.noise_activations == 0).sum() >= 1
    assert (am.results.activations > 50).all()
    assert (am.results.activations > 10 * am.results.noise_activations).all()
    assert (_contrast(am.results.images) > 0.1).all()
    assert not am.results.dead.any()


@needs_data
def test_cifar_resnet_logits_win_their_class(climb: Climber) -> None:
    network = load_model("networks.CifarResNet", DATA / "cifar10_resnet32.th")
    spec = InputSpec.rgb(32)
    am = ActivationMaximization(network, "linear", input_spec=spec, steps=32, lr=0.1, batch_size=10)
    climb(am)
    with torch.no_grad():
        winners = network(spec.to_network(am.results.images)).argmax(1)
    assert winners.tolist() == list(range(10))


class LitSmall(pl.LightningModule):
    """A user's own LightningModule."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.backbone = nn.Sequential(nn.Conv2d(2, width, 5), nn.BatchNorm2d(width), nn.ReLU())
        self.head = nn.Linear(width, 3)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(images).mean((2, 3)))
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def test_a_users_lightning_module_from_its_checkpoint(climb: Climber, tmp_path: Path) -> None:
    data = TensorDataset(torch.rand(8, 2, 16, 16), torch.randint(3, (8,)))
    trained = LitSmall(width=6)
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, default_root_dir=tmp_path,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(trained, DataLoader(data, batch_size=4))
    trainer.save_checkpoint(tmp_path / "trained.ckpt")
    network = load_model(f"{__name__}.LitSmall", tmp_path / "trained.ckpt")
    for name, value in trained.state_dict().items():
        assert torch.equal(network.state_dict()[name], value)
    for layer, kernels in (("backbone.2", 6), ("head", 3)):
        spec = InputSpec((Modality("pair", 2),), size=(16, 16))
        am = ActivationMaximization(network, layer, input_spec=spec, steps=20, lr=0.1)
        climb(am)
        assert len(am.results) == kernels
        assert (am.results.activations >= am.results.noise_activations).all()
