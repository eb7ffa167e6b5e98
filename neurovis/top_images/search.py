"""Search for the top images of all layers, and make results of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from neurovis.maximization.preferred_image import PreferredImage
from neurovis.maximization.results import MaximizationResults
from neurovis.top_images.highest import HighestResponses
from neurovis.top_images.images import (
    ImageBatch,
    NumberedStream,
    Shown,
    why_unreadable,
)
from neurovis.top_images.reading import TopReader
from neurovis.top_images.results import TopImages


class Search(nn.Module):
    """Top images found so far, of all layers.

    Args:
        reader: Reads the layers.
        shown: The images.
        k: How many to keep for each kernel.
    """

    def __init__(self, reader: TopReader, shown: Shown, k: int) -> None:
        super().__init__()
        self._reader = reader
        self._shown = shown
        self._metrics = {
            name: HighestResponses(len(layer.kernels), k) for name, layer in reader.layers.items()
        }
        # The first number and the count of unreadable pictures, as of one kernel that likes them.
        self._unreadable = HighestResponses(1, 1)
        # As a list, for their names have dots; so that they move to devices with this module.
        self._moving = nn.ModuleList([*self._metrics.values(), self._unreadable])

    def stay_alone(self) -> None:
        """Do not wait for other processes."""
        for metric in (*self._metrics.values(), self._unreadable):
            metric.distributed_available_fn = _is_alone

    def see(self, batch: ImageBatch) -> None:
        """Show a batch, and keep what is among the highest."""
        images, numbers, unreadable = batch
        if len(unreadable):
            ones = torch.ones(len(unreadable), 1, device=unreadable.device)
            self._unreadable.update(ones, torch.zeros_like(ones), unreadable)
        if not len(images):
            return
        for name, (values, units) in self._reader(images).items():
            self._metrics[name].update(values, units, numbers)
        if isinstance(self._shown.images, NumberedStream):
            kept = torch.cat([metric.kept for metric in self._metrics.values()])
            self._shown.images.keep(images, numbers, kept)

    def found(
        self, preferred: Sequence[MaximizationResults], batch_size: int
    ) -> dict[str, TopImages]:
        """Return the results of all processes; every process must call this."""
        unreadable = self._unreadable.found()
        highest = {name: metric.found() for name, metric in self._metrics.items()}
        if not max((one.shown for one in highest.values()), default=1):
            first = int(unreadable.numbers)
            raise ValueError(
                why_unreadable(self._shown, first) if first >= 0 else "images gave no image"
            )
        found = {}
        for name, layer in self._reader.layers.items():
            found[name] = TopImages(
                name,
                layer.kernels,
                self._reader.spec,
                highest[name],
                layer.places,
                self._shown,
                self._preferred(name, preferred, batch_size),
                layer.objective.noun,
                self._reader.by,
                layer.class_names,
            )
            if unreadable.shown:
                found[name].notes.append(
                    f"left out {unreadable.shown} that could not be read; the first: "
                    f"{why_unreadable(self._shown, int(unreadable.numbers))}"
                )
        return found

    def _preferred(
        self, name: str, preferred: Sequence[MaximizationResults], batch_size: int
    ) -> dict[int, tuple[PreferredImage, int]]:
        """The preferred images of a layer's kernels, with the units that they drive most."""
        layer = self._reader.layers[name]
        columns = {kernel: column for column, kernel in enumerate(layer.kernels)}
        of_layer = [item for one in preferred if one.layer == name for item in one.items]
        alone = [item for item in of_layer if len(item.kernels) == 1 and item.kernels[0] in columns]
        # Among several images of a kernel, the one that drives it most.
        best = {item.kernels[0]: item for item in sorted(alone, key=lambda item: item.activation)}
        found = {}
        pairs = list(best.items())
        for start in range(0, len(pairs), batch_size):
            chosen = pairs[start : start + batch_size]
            images = torch.stack([item.image for _, item in chosen])
            _, units = self._reader(images)[name]
            for (kernel, item), row in zip(chosen, units.tolist(), strict=True):
                found[kernel] = item, row[columns[kernel]]
        return found


def _is_alone() -> bool:
    """Return False, for metrics that must not wait for other processes."""
    return False
