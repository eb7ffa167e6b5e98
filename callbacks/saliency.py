"""Saliency maps during training: the pixels of a few images that drive a kernel or a class."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from typing_extensions import Unpack, override

from neurovis.callbacks.base import Monitor, MonitorOptions
from neurovis.figures import render, saliency_figure, stacked
from neurovis.kernels import KernelSelection, reusable
from neurovis.observation import Observation, PixelArray
from neurovis.saliency import (
    STRONGEST,
    CallableTarget,
    KernelChoice,
    LayerTarget,
    Method,
    ReadoutOption,
    SaliencyMaps,
    SaliencyOptions,
    SaliencySettings,
    check_method,
    kernel_choices,
)
from neurovis.saliency.explanation import checked_settings, explain
from neurovis.saliency.target import output_label

#: Descriptions in TensorBoard of what is logged, by the ends of the tags.
_SALIENCY_DESCRIPTIONS = {
    "": "**Pixels of the probe images that drive the kernel or class in the label**, which also "
    "gives its value, from left to right: the image, the map over it, the map, and the map when "
    "this fit began. The colors and their ends are stated under each map, in units of the "
    "explained value; a map in which nothing stands out explains nothing.",
    "/completeness_error": "**Completeness error of integrated gradients**: the "
    "difference between a map's sum and the change of the value from the baseline to the image, "
    "as a fraction of that change, the median over images. 0 is exact; where it is not well below "
    "0.1, give `method_options` more `steps`.",
}


class SaliencyMonitor(Monitor):
    """Logs which pixels of the probe images drive kernels, classes, units, or any number.

    Under the tag ``saliency/<method>/<layer>`` (``output`` for class scores): for each kernel
    the probe images, each beside its map laid over it, the plain map, and the map when this fit
    began (or went on from a checkpoint); a row for each modality. The label says what was
    explained, and its value. Integrated gradients also log ``/completeness_error``: how far the
    maps' sums are from what they should add up to, relative, the median over images.

    Args:
        layer: Dotted name, as in ``network.named_modules()``; None for an output of the network:
            its class scores, or the ``output`` that is named.
        kernels: Kernels of the layer, or classes of the output: numbers, or text such as
            ``"0-3,7"``; or ``"strongest"``, for each image the one with the highest value: the
            predicted class.
        method: ``gradient``, ``input_x_gradient``, ``smoothgrad``, ``integrated_gradients``,
            ``guided_backprop``, ``deconvnet``, ``gradcam``, ``guided_gradcam`` or ``occlusion``;
            see :func:`~neurovis.saliency.kernel_saliency`.
        readout: What of a kernel's map is explained: its ``mean`` (the default), its ``max``, its
            ``center`` unit, or the unit at ``(row, column)``.
        target: Explain this function of the layer's activation ``(B, K, ...)`` instead of kernels;
            it returns one number for each image, ``(B,)``.
        output: Which of the network's outputs is explained where no layer is, by its path, such as
            ``"logits"``, ``"0.boxes"``, or ``1`` for the second of a tuple.
        method_options: Further options of the method: those of
            :class:`~neurovis.saliency.SaliencySettings` by name.
        first_and_now: Whether to show the maps when the fit began beside those now.
        **options: ``every_n_epochs``, ``every_n_train_steps``, ``probe_images``, ``input_spec``,
            ``input_key``, ``get_images``, ``max_images``, ``name`` and ``on_error`` of
            :class:`~neurovis.callbacks.base.Monitor`.

    Raises:
        ValueError: If an argument is out of its range, or arguments exclude each other.
        TypeError: If an argument is of the wrong type, or there is no such option.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> monitor = SaliencyMonitor(method="integrated_gradients")
        >>> trainer = Trainer(callbacks=[monitor], accelerator="cpu", logger=False)
    """

    def __init__(
        self,
        layer: str | None = None,
        kernels: KernelSelection | None = None,
        method: Method = "gradient",
        *,
        readout: ReadoutOption | None = None,
        target: CallableTarget | None = None,
        output: str | int | None = None,
        method_options: SaliencyOptions | None = None,
        first_and_now: bool = True,
        **options: Unpack[MonitorOptions],
    ) -> None:
        super().__init__(layer, **options)
        if target is not None and kernels is not None:
            raise ValueError("target and kernels exclude each other; got both")
        if target is not None and readout is not None:
            raise ValueError("target and readout exclude each other; got both")
        self.layer = layer
        self.kernels = STRONGEST if kernels is None else reusable(kernels)
        self.method = check_method(method)
        self.target = target
        self.first_and_now = first_and_now
        self.method_options: SaliencyOptions = {
            "readout": readout,
            "input_spec": self.input_spec,
            "output": output,
            **(method_options or {}),
        }
        self._settings = SaliencySettings(**self.method_options)
        self.output_label = output_label(self._settings.output)
        settings = self.kernels, target, repr(self.method_options)
        self.tag_settings = {f"saliency/{method}": settings}
        self._layer_target = LayerTarget(None)
        self._choices: list[KernelChoice] = []
        #: Step and maps ``(B, H, W)`` by modality at the first look, on the CPU.
        self._first: dict[KernelChoice, tuple[int, dict[str, Tensor]]] = {}

    @property
    @override
    def state_key(self) -> str:
        return f"{super().state_key}{self.output_label}{self.method}{self.kernels}"

    @override
    def observe(self, network: nn.Module, images: Tensor, step: int) -> Observation:
        if self.is_first_look:
            self._check(images)
            self._settings = SaliencySettings(**self.method_options)
            self._layer_target = LayerTarget.find(
                network, self.layer, images, self._settings.output, self.target
            )
            self._choices, self._first = self._targets(network, images), {}
        shown = images if self.input_spec is None else self.input_spec.from_network(images)
        pictures, errors = [], []
        for choice in self._choices:
            # Not by kernel_saliency, which would guard the network a second time.
            found = explain(
                network, images, self._layer_target, choice, self.method, self._settings
            )
            if self.is_first_look:
                self._first[choice] = step, found.pooled(self.input_spec)
                # Later looks are at the same layer.
                self._settings = replace(self._settings, gradcam_layer=found.gradcam_layer)
                continue
            pictures.append(self._picture(found, shown.cpu(), step, self._first[choice]))
            if found.completeness_error is not None:
                errors.append(found.completeness_error)
        tag = f"saliency/{self.method}/{self.layer or self.output_label}"
        observation = Observation()
        if pictures:
            observation.pictures[tag] = stacked(pictures)
        if errors:
            error = torch.cat(errors).nanquantile(0.5).item()
            observation.scalars[f"{tag}/completeness_error"] = error
        observation.describe(tag, _SALIENCY_DESCRIPTIONS)
        observation.add_to_chart(
            "saliency", "completeness error of each layer", "saliency/*/completeness_error"
        )
        return observation

    def _check(self, images: Tensor) -> None:
        """Reject images that are not finite."""
        count = int((~images.isfinite()).sum())
        if count:
            raise ValueError(
                f"the probe images ({self.probe.origin}) have {count} values of {images.numel()} "
                "that are not finite (NaN or infinity); give probe_images without"
            )

    def _targets(self, network: nn.Module, images: Tensor) -> list[KernelChoice]:
        """Return the kernels or the target to explain, after checking the method on them."""
        choices: list[KernelChoice] = (
            kernel_choices(network, self._layer_target, self.kernels, images)
            if self.target is None
            else [self.target]
        )
        for choice in choices:
            checked_settings(network, images, choice, self.method, **self.method_options)
        return choices

    def _picture(
        self, found: SaliencyMaps, shown: Tensor, step: int, first: tuple[int, dict[str, Tensor]]
    ) -> PixelArray:
        first_step, first_maps = first
        is_strongest = self.target is None and self.kernels == STRONGEST
        figure = saliency_figure(
            shown,
            found.pooled(self.input_spec),
            _labels(found),
            self.input_spec,
            f"{found.title}, step {step}",
            found.is_signed,
            notes=["the first map is of what was strongest then"]
            if self.first_and_now and is_strongest
            else [],
            first=(f"first (step {first_step})", first_maps) if self.first_and_now else None,
        )
        return render(figure)


def _labels(found: SaliencyMaps) -> list[str]:
    """Return a label for each image: the explained kernel or target, and its value."""
    values = found.values.tolist()
    return [f"{name}: {value:.3g}" for name, value in zip(found.names, values, strict=True)]
