"""Saliency maps, with the number that was explained, as pictures and tables want them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from neurovis.class_names import class_label
from neurovis.figures import receptive_field_figure
from neurovis.inputs import InputSpec
from neurovis.result import Result, first_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The methods whose maps say how much, and with which sign, each pixel adds to the value.
SIGNED = ("input_x_gradient", "integrated_gradients", "occlusion")


def maps_title(method: str, layer: str, gradcam_layer: str | None) -> str:
    """Return a title for maps of a method: of which layer, and by which layer's map."""
    return f"{method} of {layer}" + (f" at {gradcam_layer}" if gradcam_layer else "")


def kernel_name(word: str, kernel: int | None, layer: str, class_names: Sequence[str] = ()) -> str:
    """Return the name of what was explained: of a kernel, a function, or the only number."""
    if kernel is None:
        return "target"
    return class_label(class_names, kernel, word) if word else layer


@dataclass(repr=False)
class SaliencyMaps(Result):
    """Saliency of each pixel for the value of a layer's kernel.

    Args:
        maps: ``(B, C, H, W)``, float32 on the CPU, with signs; ``(B, 1, H, W)`` for ``gradcam``,
            which knows no channels. ``input_x_gradient``, ``integrated_gradients`` and
            ``occlusion`` give units of the value; ``gradient``, ``smoothgrad``,
            ``guided_backprop`` and ``deconvnet`` give units of the value for a unit of the
            network's input.
        values: The number that was explained, ``(B,)``, float32 on the CPU.
        kernels: The kernel of each image; None where the target was a function.
        layer: Dotted name; ``"output"`` for the class scores, ``"output.boxes"`` for an output
            that was named.
        method: One of :data:`~neurovis.saliency.settings.METHODS`.
        completeness_error: ``(B,)``, for ``integrated_gradients`` only: by how much the sum of the
            map misses the change of the value from the baseline to the image, as a part of that
            change. NaN where there is no change.
        gradcam_layer: The layer whose map was weighted, for ``gradcam`` and ``guided_gradcam``.
        kernel_word: What a kernel is called, as in :class:`~neurovis.saliency.LayerTarget`.
        class_names: Names of all of the layer's kernels, where they are classes.
    """

    maps: Tensor
    values: Tensor
    kernels: list[int] | None
    layer: str
    method: str
    completeness_error: Tensor | None = None
    gradcam_layer: str | None = None
    kernel_word: str = "kernel"
    class_names: Sequence[str] = ()

    @property
    def title(self) -> str:
        """Title of the maps, such as ``"gradcam of output at layer4.2"``."""
        return maps_title(self.method, self.layer, self.gradcam_layer)

    @property
    def names(self) -> list[str]:
        """Name of what was explained of each image: its class, ``"kernel 3"``, or the layer."""
        kernels = [None] * len(self.values) if self.kernels is None else self.kernels
        return [
            kernel_name(self.kernel_word, kernel, self.layer, self.class_names)
            for kernel in kernels
        ]

    @property
    def is_signed(self) -> bool:
        """True if the sign of a pixel tells whether it raised or lowered the value."""
        return self.method in SIGNED

    def rows(self) -> Iterator[dict[str, object]]:
        """One row for each image: what was explained, and the evidence."""
        for image, value in enumerate(self.values.tolist()):
            row = {
                "layer": self.layer,
                "image": image,
                "kernel": None if self.kernels is None else self.kernels[image],
                "method": self.method,
                "value": value,
                "completeness_error": None
                if self.completeness_error is None
                else self.completeness_error[image].item(),
                "gradcam_layer": self.gradcam_layer,
            }
            if self.kernels is not None and self.class_names:
                row["class_name"] = self.class_names[self.kernels[image]]
            yield row

    def figure(self, count: int = 16) -> Figure:
        """The maps of the first images, pooled over channels, each on its own scale.

        Args:
            count: Maximum number of images.
        """
        return receptive_field_figure(
            {"": self.pooled()[""][:count]}, self._labels[:count], self.title, {"": self.is_signed}
        )

    @property
    def _labels(self) -> list[str]:
        values = self.values.tolist()
        return [f"{name}: {value:.4g}" for name, value in zip(self.names, values, strict=True)]

    def _summary(self) -> str:
        size = " x ".join(map(str, self.maps.shape[1:]))
        return f"{self.title}, {len(self.maps)} maps of {size}: {first_of(self._labels)}"

    def _pictures(self) -> Iterator[Figure]:
        if len(self.maps):
            yield self.figure()

    def pooled(self, spec: InputSpec | None = None) -> dict[str, Tensor]:
        """One map for each image and modality, ``(B, H, W)``, by the modality's name.

        Signed methods are summed over a modality's channels; for the others the largest magnitude
        is taken (Simonyan, Vedaldi, Zisserman, "Deep inside convolutional networks", 2014).

        Args:
            spec: What the network is shown. Without it, and for ``gradcam``, there is one map
                under the name ``""``.

        Raises:
            ValueError: If the spec has another number of channels.
        """
        one_map = spec is None or self.method == "gradcam"
        parts = {"": self.maps} if spec is None or one_map else spec.split(self.maps)
        if self.is_signed:
            return {name: part.sum(1) for name, part in parts.items()}
        return {name: part.abs().amax(1) for name, part in parts.items()}
