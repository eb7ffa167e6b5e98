"""Optimization by hand, and losses that take gradients themselves."""

from __future__ import annotations

from typing import Any

import torch
from promise import CLASSES, SIZE, TinyModule, TwoOptimizers, loader
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from ways import Training, way


class Adversaries(TinyModule):
    """A generator of images against the network, which tells them from real ones."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator = nn.Sequential(
            nn.Linear(8, 3 * SIZE * SIZE), nn.Unflatten(1, (3, SIZE, SIZE)), nn.Tanh()
        )

    @override
    def training_step(self, batch: Any) -> None:  # type: ignore[override]
        images = batch[0]
        of_generator, of_judge = self.optimizers()
        self.toggle_optimizer(of_generator)
        made = self.generator(torch.randn(len(images), 8, device=images.device))
        loss = -self(made)[:, 0].mean()
        of_generator.zero_grad()
        self.manual_backward(loss)
        of_generator.step()
        self.untoggle_optimizer(of_generator)
        self.toggle_optimizer(of_judge)
        judged = self(made.detach())[:, 0].mean() - self(images)[:, 0].mean()
        of_judge.zero_grad()
        self.manual_backward(judged)
        of_judge.step()
        self.untoggle_optimizer(of_judge)
        self.log_dict({"generator": loss, "judge": judged})

    @override
    def configure_optimizers(self) -> Any:
        judge = [self.conv1, self.conv2, self.norm, self.head]
        return [
            torch.optim.Adam(self.generator.parameters(), lr=1e-2, betas=(0.5, 0.999)),
            torch.optim.Adam([p for part in judge for p in part.parameters()], lr=1e-2),
        ]


@way()
def generative_adversarial_network(training: Training) -> None:
    training.fit(Adversaries())


@way()
def several_optimizers_by_hand(training: Training) -> None:
    training.fit(TwoOptimizers())


class Truncated(TinyModule):
    """Back through two steps in time of a recurrence, and on from where it was."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.memory = nn.GRUCell(6, CLASSES)
        self.state: Tensor | None = None

    @override
    def forward(self, images: Tensor) -> Tensor:
        features = functional.relu(self.conv2(self.conv1(images))).mean((2, 3))
        self.state = self.memory(features, self.state if _fits(self.state, images) else None)
        return self.state

    @override
    def training_step(self, batch: Any) -> None:  # type: ignore[override]
        optimizer = self.optimizers()
        for images in batch[0].split(2):
            loss = functional.cross_entropy(self(images), batch[1][:2])
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            self.state = self.state.detach() if self.state is not None else None
            self.log("loss", loss)


def _fits(state: Tensor | None, images: Tensor) -> bool:
    return state is not None and len(state) == len(images)


@way(warnings={"SaliencyMonitor": "no certain class scores"})  # They are a recurrence's state.
def truncated_backpropagation_through_time(training: Training) -> Any:
    module = Truncated()
    training.fit(module)
    return {"state": module.state}


class LearnsToLearn(TinyModule):
    """One step of an inner loop, differentiated through."""

    @override
    def training_step(self, batch: Any) -> Tensor:
        images, classes = batch
        names = [name for name, p in self.named_parameters() if p.requires_grad]
        weights = {name: self.get_parameter(name) for name in names}

        def loss_of(weights: dict[str, Tensor], chosen: slice) -> Tensor:
            logits = torch.func.functional_call(self, weights, (images[chosen],))
            return functional.cross_entropy(logits, classes[chosen])

        gradients = torch.autograd.grad(
            loss_of(weights, slice(0, 2)), list(weights.values()), create_graph=True
        )
        moved = {
            name: weights[name] - 0.1 * gradient
            for name, gradient in zip(names, gradients, strict=True)
        }
        loss = loss_of(moved, slice(2, 4))
        self.log("loss", loss)
        return loss


@way()
def inner_loop_of_meta_learning(training: Training) -> None:
    training.fit(LearnsToLearn())


class FunctionalGradients(TinyModule):
    """Weights each image by its own gradient's size, from torch.func."""

    @override
    def training_step(self, batch: Any) -> Tensor:
        images, classes = batch
        weights = {"weight": self.head.weight.detach(), "bias": self.head.bias.detach()}
        features = self.conv2(self.relu(self.conv1(images))).mean((2, 3))

        def loss_of(weights: dict[str, Tensor], feature: Tensor, wanted: Tensor) -> Tensor:
            return functional.cross_entropy(
                torch.func.functional_call(self.head, weights, (feature,)), wanted
            )

        each = torch.func.vmap(torch.func.grad(loss_of), in_dims=(None, 0, 0))
        size = each(weights, features.detach(), classes)["weight"].flatten(1).norm(dim=1)
        losses = functional.cross_entropy(self(images), classes, reduction="none")
        loss = (losses * size / size.sum()).sum()
        self.log("loss", loss)
        return loss


@way(is_slow=True)
def gradients_of_each_sample(training: Training) -> None:
    training.fit(FunctionalGradients())


class SharpnessAware(TinyModule):
    """Two backward passes a step, the second from where the first one climbed to."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    @override
    def training_step(self, batch: Any) -> None:  # type: ignore[override]
        optimizer = self.optimizers()
        self.manual_backward(self._loss(batch))
        moved = [(p, p.grad.clone()) for p in self.parameters() if p.grad is not None]
        with torch.no_grad():
            for parameter, gradient in moved:
                parameter.add_(gradient, alpha=0.05)
        optimizer.zero_grad()
        loss = self._loss(batch)
        self.manual_backward(loss)
        with torch.no_grad():
            for parameter, gradient in moved:
                parameter.sub_(gradient, alpha=0.05)
        optimizer.step()
        optimizer.zero_grad()
        self.log("loss", loss)


@way()
def sharpness_aware_minimization(training: Training) -> None:
    training.fit(SharpnessAware())


class AccumulatesByHand(TwoOptimizers):
    """Leaves gradients in place between batches, on purpose."""

    @override
    def training_step(self, batch: Any) -> None:  # type: ignore[override]
        loss = self._loss(batch)
        self.manual_backward(loss / 2)
        self.log("loss", loss)
        if (self.trainer.fit_loop.total_batch_idx + 1) % 3 == 0:
            for optimizer in self.optimizers():
                self.clip_gradients(optimizer, gradient_clip_val=1.0)
                optimizer.step()
                optimizer.zero_grad()


@way()
def accumulated_gradients_by_hand(training: Training) -> None:
    # Within one epoch: Lightning clears gradients when it validates.
    training.fit(AccumulatesByHand(), train=loader(batches=4), max_epochs=1)
