"""Training the demo network: the LightningModule and its data.

Two things make the trained network worth looking into. A modality is withheld at random, so that
neither color nor depth can be ignored. And, for the shipped weights, training is adversarial
(Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018): it
leaves features that people recognize (Engstrom et al., "Adversarial robustness as a prior for
learned representations", 2019), and so preferred images that look like their class.
"""

from __future__ import annotations

import lightning as L
import torch
from lightning.pytorch.utilities.types import LRSchedulerConfigType, OptimizerLRScheduler
from torch import Tensor, nn
from torch.utils.data import DataLoader

from neurovis.demo.network import ShapeNet
from neurovis.demo.scenes import BLANK, ShapeScenes, blank_modality, demo_input_spec

SceneBatch = tuple[Tensor, Tensor]


class ShapeClassifier(L.LightningModule):
    """Trains a :class:`ShapeNet` with AdamW and a one-cycle learning rate.

    Logs ``train_loss``, and over the validation (or test) scenes the accuracy with both modalities
    and with one alone: ``val_accuracy``, ``val_accuracy_rgb``, ``val_accuracy_depth``.

    Args:
        learning_rate: Highest learning rate of the cycle.
        weight_decay: Decoupled weight decay.
        blanking: Probability with which each modality is withheld from a training image; at most
            0.5. Never are both.
        adversarial_radius: Euclidean length, in image values, of the perturbation that is searched
            for each training image, reached halfway through the training; 0 trains on the
            images as they are.
        adversarial_steps: Gradient steps of that search, at least 1.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.05,
        blanking: float = 0.25,
        adversarial_radius: float = 0.0,
        adversarial_steps: int = 1,
    ) -> None:
        super().__init__()
        if not 0 <= blanking <= 0.5:
            raise ValueError(f"blanking must be in [0, 0.5]; got {blanking}")
        if adversarial_radius < 0:
            raise ValueError(f"adversarial_radius must be at least 0; got {adversarial_radius}")
        if adversarial_steps < 1:
            raise ValueError(f"adversarial_steps must be at least 1; got {adversarial_steps}")
        self.save_hyperparameters()
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.blanking = blanking
        self.adversarial_radius = adversarial_radius
        self.adversarial_steps = adversarial_steps
        self.input_spec = demo_input_spec()
        # Convolutions are about twice as fast on a CPU with channels innermost.
        self.network = ShapeNet().to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Class logits ``(B, 8)`` of images ``(B, 4, H, W)`` in [0, 1]."""
        logits: Tensor = self.network(self.input_spec.to_network(images))
        return logits

    def training_step(self, batch: SceneBatch) -> Tensor:
        """One step on a batch, some of its images with a modality withheld."""
        images, labels = batch
        images, shown = blank_at_random(images, self.blanking)
        if self.adversarial_radius > 0:
            # Growing from zero: at the full radius nothing is learned from scratch.
            radius = self.adversarial_radius * min(1.0, 2 * self._progress())
            images = perturb(self, images, labels, shown, radius, self.adversarial_steps)
        loss = nn.functional.cross_entropy(self(images), labels)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def _progress(self) -> float:
        """Share of the training done, in [0, 1]."""
        return self.global_step / float(self.trainer.estimated_stepping_batches)

    def validation_step(self, batch: SceneBatch) -> None:
        """Logs the accuracies."""
        self._log_accuracies("val", batch)

    def test_step(self, batch: SceneBatch) -> None:
        """Logs the accuracies."""
        self._log_accuracies("test", batch)

    def _log_accuracies(self, stage: str, batch: SceneBatch) -> None:
        images, labels = batch
        conditions = {
            f"{stage}_accuracy": images,
            f"{stage}_accuracy_rgb": blank_modality(images, "depth"),
            f"{stage}_accuracy_depth": blank_modality(images, "rgb"),
        }
        for name, shown in conditions.items():
            accuracy = (self(shown).argmax(1) == labels).float().mean()
            self.log(name, accuracy, prog_bar=True, sync_dist=True, batch_size=len(labels))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW, with the learning rate rising for a tenth of the steps and then falling."""
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=self.learning_rate,
            total_steps=int(self.trainer.estimated_stepping_batches),
            pct_start=0.1,
            cycle_momentum=False,
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": LRSchedulerConfigType(scheduler=scheduler, interval="step"),
        }


def blank_at_random(images: Tensor, probability: float) -> tuple[Tensor, Tensor]:
    """Withholds color from some images and depth from others.

    Args:
        images: RGB-D images ``(B, 4, H, W)`` in [0, 1].
        probability: Probability of each modality being withheld, in [0, 0.5]; never are both.

    Returns:
        The images with withheld modalities at ``BLANK``, and which channels are shown: 1 or 0,
        ``(B, 4, 1, 1)``.
    """
    chance = torch.rand(len(images), 1, 1, 1, device=images.device)
    shown = torch.ones(len(images), 4, 1, 1, device=images.device)
    parts = demo_input_spec().split(shown)
    parts["rgb"].mul_(chance >= probability)
    parts["depth"].mul_(chance < 1 - probability)
    return BLANK + (images - BLANK) * shown, shown


def perturb(
    classifier: nn.Module,
    images: Tensor,
    labels: Tensor,
    shown: Tensor,
    radius: float,
    steps: int,
) -> Tensor:
    """Searches near each image for one that the classifier gets more wrong.

    Projected gradient ascent of the loss in a Euclidean ball (Madry et al. 2018).

    Args:
        classifier: Maps images to logits, each image on its own.
        images: ``(B, C, H, W)`` in [0, 1].
        labels: Their classes, ``(B,)``.
        shown: 1 where a channel may be changed and 0 where not, ``(B, C, 1, 1)``.
        radius: Radius of the ball, in image values.
        steps: Gradient steps, at least 1.

    Returns:
        Images in [0, 1], detached, each within ``radius`` of its original.
    """
    change = torch.zeros_like(images)
    for _ in range(steps):
        trial = (images + change).clamp(0, 1).requires_grad_()
        with torch.enable_grad():
            loss = nn.functional.cross_entropy(classifier(trial), labels, reduction="sum")
            gradient = torch.autograd.grad(loss, trial)[0] * shown
        change = change + _shortened(gradient, exactly=True) * (1.5 * radius / steps)
        change = _shortened(change / max(radius, 1e-6)) * radius
    return (images + change).clamp(0, 1).detach()


def _shortened(vectors: Tensor, exactly: bool = False) -> Tensor:
    """Scales each ``(C, H, W)`` vector to length 1, or to at most 1 unless ``exactly``."""
    lengths = torch.linalg.vector_norm(vectors, dim=(1, 2, 3), keepdim=True)
    shortened: Tensor = vectors / lengths.clamp_min(1e-12 if exactly else 1.0)
    return shortened


class ShapeScenesDataModule(L.LightningDataModule):
    """Training, validation and test scenes, each from its own series.

    Args:
        train_length: Number of training scenes, drawn once and kept in memory.
        val_length: Number of validation scenes.
        test_length: Number of test scenes.
        batch_size: Scenes in a batch.
        seed: The series' seeds are this, the next and the one after.
        size: Width and height of the scenes in pixels.
    """

    def __init__(
        self,
        train_length: int = 16384,
        val_length: int = 512,
        test_length: int = 2048,
        batch_size: int = 64,
        seed: int = 0,
        size: int = 64,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.lengths = {"train": train_length, "val": val_length, "test": test_length}
        self.batch_size = batch_size
        self.seed = seed
        self.size = size
        self._scenes: dict[str, ShapeScenes] = {}

    def train_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        """Training scenes, shuffled."""
        return DataLoader(self._drawn("train"), self.batch_size, shuffle=True, drop_last=True)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        """Validation scenes, in order: the first eight show every class once."""
        return DataLoader(self._drawn("val"), self.batch_size)

    def test_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        """Test scenes, in order."""
        return DataLoader(self._drawn("test"), self.batch_size)

    def _drawn(self, part: str) -> ShapeScenes:
        if part not in self._scenes:
            seed = self.seed + list(self.lengths).index(part)
            self._scenes[part] = ShapeScenes(self.lengths[part], seed, self.size, cached=True)
        return self._scenes[part]
