"""Feature maps as training goes on: what each kernel makes of the same few images."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass

import numpy as np
from lightning.pytorch import LightningModule
from torch import Tensor
from typing_extensions import Unpack, override

from neurovis.callbacks.base import Monitor, MonitorOptions, Picture, Pictures
from neurovis.figures import feature_map_figure, render
from neurovis.kernels import KernelSelection, select_kernels
from neurovis.layer_table import kernel_axes
from neurovis.recording import Recorder


class FeatureMapMonitor(Monitor):
    """Logs a grid of feature maps beside each probe image, for each layer.

    One picture a layer, under the tag ``feature_maps/<layer>``: the probe images one below the
    other, each beside its maps, which share a scale from black (lowest) to white (highest value).
    A linear layer's maps are single values.

    Args:
        layers: Dotted name or names, as in ``pl_module.named_modules()``.
        max_kernels: Show the first kernels of a layer, up to this many.
        kernels: Show these kernels of every layer instead: numbers, or text such as ``"0-7,12"``.
        **options: ``every_n_epochs``, ``every_n_train_steps``, ``probe_images``, ``input_spec``,
            ``input_key``, ``max_images`` and ``on_error`` of
            :class:`~neurovis.callbacks.base.Monitor`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> monitor = FeatureMapMonitor(layers=["conv1"], every_n_train_steps=100)
        >>> trainer = Trainer(callbacks=[monitor], accelerator="cpu", logger=False)
    """

    def __init__(
        self,
        layers: Sequence[str] | str,
        *,
        max_kernels: int = 64,
        kernels: KernelSelection | None = None,
        **options: Unpack[MonitorOptions],
    ) -> None:
        super().__init__(layers, **options)
        if max_kernels < 1:
            raise ValueError(f"max_kernels must be at least 1; got {max_kernels}")
        if isinstance(kernels, Sized) and len(kernels) == 0:
            raise ValueError("kernels needs at least one kernel; got none")
        self.max_kernels = max_kernels
        self.kernels = kernels
        self._kernel_axes: dict[str, int] | None = None

    @override
    def observe(self, pl_module: LightningModule, images: Tensor, step: int) -> Pictures:
        spec = self.input_spec
        shown = (images if spec is None else spec.from_network(images)).cpu()
        pictures = {}
        for layer, found in self._feature_maps(pl_module, images).items():
            number = len(found.kernels)
            which = f"{number} of {found.count} kernels, " if number < found.count else ""
            figures = [
                feature_map_figure(
                    image,
                    maps,
                    found.kernels,
                    spec,
                    f"{layer}, {which}image {index + 1} of {len(images)}, step {step}",
                )
                for index, (image, maps) in enumerate(zip(shown, found.maps.cpu(), strict=True))
            ]
            pictures[f"feature_maps/{layer}"] = _stacked([render(figure) for figure in figures])
        return pictures

    @override
    def check(self, pl_module: LightningModule, images: Tensor) -> None:
        if self.input_spec is not None:
            self.input_spec.from_network(images)  # Raises if it has other channels.
        self._feature_maps(pl_module, images[:1])

    def _feature_maps(self, pl_module: LightningModule, images: Tensor) -> dict[str, _LayerMaps]:
        if self._kernel_axes is None:
            self._kernel_axes = kernel_axes(pl_module, self.layers, images[:1])
        found = {}
        for layer, activation in Recorder(pl_module, self.layers).record(images).items():
            maps = _as_maps(layer, activation.movedim(self._kernel_axes[layer], 1))
            count = maps.shape[1]
            selection = (
                range(min(self.max_kernels, count)) if self.kernels is None else self.kernels
            )
            kernels = select_kernels(selection, count, layer)
            found[layer] = _LayerMaps(kernels, count, maps[:, kernels])
        return found


@dataclass(frozen=True)
class _LayerMaps:
    """The chosen kernels of a layer's ``count``, and their maps ``(B, K, H', W')``."""

    kernels: list[int]
    count: int
    maps: Tensor


def _as_maps(layer: str, activation: Tensor) -> Tensor:
    """Activations ``(B, K, …)`` with the two spatial dimensions that a picture has."""
    if activation.ndim == 2:
        return activation[:, :, None, None]
    if activation.ndim == 3:
        return activation[:, :, None, :]
    if activation.ndim == 4:
        return activation
    raise ValueError(
        f'layer "{layer}" has {activation.ndim}-dimensional activations; feature maps can be drawn '
        "of 2, 3 or 4: (B, K), (B, K, L) or (B, K, H, W)"
    )


def _stacked(pictures: list[Picture]) -> Picture:
    """Pictures ``(H, W, 3)`` one below the other, on white where they differ in width."""
    width = max(picture.shape[1] for picture in pictures)
    return np.concatenate(
        [
            np.pad(picture, ((0, 0), (0, width - picture.shape[1]), (0, 0)), constant_values=255)
            for picture in pictures
        ]
    )
