"""Saliency maps, with the number that was explained, as pictures and tables want them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from neurovis.inputs import InputSpec

#: The methods whose maps say how much, and with which sign, each pixel adds to the value.
SIGNED = ("input_x_gradient", "integrated_gradients", "occlusion")


@dataclass
class SaliencyMaps:
    """Saliency of each pixel for the value of a layer's kernel.

    Args:
        maps: ``(B, C, H, W)``, float32 on the CPU, with signs; ``(B, 1, H, W)`` for ``gradcam``,
            which knows no channels. ``input_x_gradient``, ``integrated_gradients`` and
            ``occlusion`` give units of the value; ``gradient``, ``smoothgrad``,
            ``guided_backprop`` and ``deconvnet`` give units of the value for a unit of the
            network's input.
        values: The number that was explained, ``(B,)``, float32 on the CPU.
        kernels: The kernel of each image; None where the target was a function.
        layer: Dotted name; ``"output"`` for the network's output.
        method: One of :data:`~neurovis.saliency.settings.METHODS`.
        completeness_error: ``(B,)``, for ``integrated_gradients`` only: by how much the sum of the
            map misses the change of the value from the baseline to the image, as a part of that
            change. NaN where there is no change.
    """

    maps: Tensor
    values: Tensor
    kernels: list[int] | None
    layer: str
    method: str
    completeness_error: Tensor | None = None

    @property
    def is_signed(self) -> bool:
        """True if the sign of a pixel tells whether it raised or lowered the value."""
        return self.method in SIGNED

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
