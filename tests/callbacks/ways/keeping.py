"""Networks that keep, count, log or measure something when they are called."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from lightning.pytorch.callbacks import EarlyStopping
from promise import CLASSES, TinyModule
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.classification import MulticlassAccuracy
from typing_extensions import override

from ways import Training, way


class FunctionalNorm(TinyModule):
    """Normalizes by the statistics of the batch, and updates them, in evaluation too."""

    @override
    def forward(self, images: Tensor) -> Tensor:
        features = self.conv2(self.relu(self.conv1(images)))
        normed = functional.batch_norm(
            features, self.norm.running_mean, self.norm.running_var, training=True
        )
        return self.head(normed.relu().mean((2, 3)))


@way()
def functional_batch_norm(training: Training) -> None:
    training.fit(FunctionalNorm())


class GrowingBuffer(TinyModule):
    """Keeps the features of all batches, and answers by the nearest."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bank", torch.zeros(1, 6))

    @override
    def forward(self, images: Tensor) -> Tensor:
        features = self.conv2(self.relu(self.conv1(images))).mean((2, 3))
        self.bank = torch.cat([self.bank, features.detach()])
        return self.head(features + self.bank.mean(0))


@way()
def buffers_that_grow(training: Training) -> None:
    training.fit(GrowingBuffer())


class MeasuresItself(TinyModule):
    """Updates a metric in its forward."""

    def __init__(self) -> None:
        super().__init__()
        self.certainty = MulticlassAccuracy(CLASSES)

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        self.certainty(logits, logits.argmax(1))
        self.certainty.update(logits, logits.argmin(1))
        return logits

    @override
    def on_train_epoch_end(self) -> None:
        self.log("certainty", self.certainty.compute())
        self.certainty.reset()


@way()
def torchmetrics_in_forward(training: Training) -> None:
    training.fit(MeasuresItself())


class Measured(TinyModule):
    """Logs metrics that Lightning computes at the end of an epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.accuracy = MulticlassAccuracy(CLASSES)
        self.val_accuracy = MulticlassAccuracy(CLASSES)

    @override
    def training_step(self, batch: Any) -> Tensor:
        self.accuracy(self(batch[0]), batch[1])
        self.log("accuracy", self.accuracy, on_step=True, on_epoch=True)
        return super().training_step(batch)

    @override
    def validation_step(self, batch: Any) -> None:
        self.val_accuracy(self(batch[0]), batch[1])
        self.log("val_accuracy", self.val_accuracy)


@way()
def torchmetrics_logged(training: Training) -> None:
    training.fit(Measured())


class LogsInForward(TinyModule):
    @override
    def forward(self, images: Tensor) -> Tensor:
        outputs = super().forward(images)
        if self._trainer is not None and not self.trainer.sanity_checking:
            self.log("largest", outputs.max(), on_step=True)
            self.log_dict({"mean": outputs.mean()})
        return outputs


@way()
def metrics_logged_in_forward(training: Training) -> None:
    training.fit(LogsInForward())


class Logging(nn.Module):
    """A layer that logs by a function which it was given."""

    def __init__(self, log: Any) -> None:
        super().__init__()
        self.log = log

    @override
    def forward(self, images: Tensor) -> Tensor:
        self.log("brightness", images.mean(), on_step=False, on_epoch=True)
        return images


class LogsInALayer(TinyModule):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(Logging(self.log), self.conv1)  # type: ignore[assignment]


@way()
def metrics_logged_by_a_layer(training: Training) -> None:
    training.fit(LogsInALayer())


@way()
def early_stopping_by_a_metric_of_forward(training: Training) -> None:
    stopping = EarlyStopping("largest", patience=1, mode="max", check_finite=False)
    training.fit(LogsInForward(), stopping, max_epochs=4)


class Slotted:
    """Counts where there is no ``__dict__``."""

    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls = 0


class Counts(TinyModule):
    """Counts its calls in every place that there is, and adds the counts to its answer."""

    def __init__(self) -> None:
        super().__init__()
        self.attribute = 0
        self.statistic = torch.zeros(1)
        self.seen: list[int] = []
        self.by_name: dict[str, int] = {}
        self.slotted = Slotted()
        self.counter = itertools.count()
        self.many = [[0] for _ in range(1200)]
        calls = 0

        def count() -> int:
            nonlocal calls
            calls += 1
            return calls

        self.closure = count

    @override
    def forward(self, images: Tensor) -> Tensor:
        self.attribute += 1
        self.statistic += images.detach().nan_to_num().mean().cpu()
        self.seen.append(len(images))
        self.by_name["calls"] = self.by_name.get("calls", 0) + 1
        self.slotted.calls += 1
        self.many[-1][0] += 1
        return super().forward(images) + self.total.to(images.device) / 100

    @property
    def total(self) -> Tensor:
        return self.statistic + self.attribute + len(self.seen) + self.by_name["calls"]


class CountsApart(Counts):
    """Counts where attributes do not lead."""

    @property
    @override
    def total(self) -> Tensor:
        apart = next(self.counter) + self.closure() + self.slotted.calls + self.many[-1][0]
        return torch.as_tensor(float(apart))


@way()
def counters_in_attributes(training: Training) -> Any:
    module = Counts()
    training.fit(module)
    return {"counts": (module.attribute, module.statistic, module.seen, module.by_name)}


@way()
def counters_in_closures_iterators_and_slots(training: Training) -> Any:
    module = CountsApart()
    training.fit(module)
    counts = (next(module.counter), module.closure(), module.slotted.calls, module.many[-1])
    return {"counts": counts}


class Caches(TinyModule):
    """Leaves its features in an attribute, by which a training step regularizes."""

    @override
    def forward(self, images: Tensor) -> Tensor:
        self.features = self.conv2(self.relu(self.conv1(images)))
        return self.head(self.features.mean((2, 3)))

    @override
    def training_step(self, batch: Any) -> Tensor:
        return super().training_step(batch) + self.features.square().mean()


@way()
def features_kept_for_the_loss(training: Training) -> Any:
    module = Caches()
    training.fit(module)
    return {"features": module.features.detach()}


class HooksItself(TinyModule):
    """Reads its own layers by hooks, and answers by what they read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[Tensor] = []
        self.conv2.register_forward_hook(lambda *call: self.read.append(call[2]))
        self.head.register_forward_pre_hook(lambda _, inputs: (inputs[0] * 2,))

    @override
    def forward(self, images: Tensor) -> Tensor:
        self.read.clear()
        logits = super().forward(images)
        return logits + self.read[0].mean((1, 2, 3))[:, None]


@way()
def hooks_of_the_network_itself(training: Training) -> None:
    training.fit(HooksItself())


class Quantized(TinyModule):
    """Rounds weights straight through, in a range that follows what it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("largest", torch.zeros(()), persistent=False)

    @override
    def forward(self, images: Tensor) -> Tensor:
        features = self.conv2(self.relu(self.conv1(images)))
        self.largest = torch.maximum(self.largest, features.detach().abs().amax())
        scale = self.largest / 127
        rounded = features + ((features / scale).round() * scale - features).detach()
        return self.head(rounded.relu().mean((2, 3)))


@way(is_slow=True)
def quantization_aware_training(training: Training) -> None:
    training.fit(Quantized())
