"""Explain what in a picture drives the kernels of a layer, and check these explanations."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from neurovis.analysis.explained_pictures import ExplainedPicture, RandomizedPicture
from neurovis.calling import network_inputs, one_input
from neurovis.inputs import InputSpec
from neurovis.kernels import KernelSelection
from neurovis.recording import undisturbed
from neurovis.saliency import (
    STRONGEST,
    LayerTarget,
    Method,
    RandomizationCheck,
    SaliencyMaps,
    SaliencyOptions,
    SaliencySettings,
    cascading_randomization,
    check_method,
    kernel_choices,
    kernel_saliency,
)
from neurovis.saliency.maps import maps_title

#: Maps that are held in memory at a time, or those of one picture.
_MOST_MAPS = 64


class PictureExplainer:
    """Explains kernels of a layer for pictures: ``explainer(images)``.

    Args:
        network: The network, on any device; it is left as it was found.
        layer: Dotted name; None for the class scores, or the ``output`` that is named.
        kernels: Which, as in ``"0-15,20"``; or ``"strongest"``, each picture's own.
        method: One of :data:`~neurovis.saliency.METHODS`.
        input_spec: What the network is shown; ImageNet RGB at 224 pixels when None.
        **options: Those of :class:`~neurovis.saliency.SaliencySettings`.

    Attributes:
        layer: Name of the layer; ``"output"`` or ``"output.logits"`` for an output.
        method: The method.
        batch_size: Number of pictures whose maps should be held in memory together.

    Raises:
        ValueError: If there is no such layer, kernel or method, or an option is out of its range.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))
        >>> (found,) = PictureExplainer(network, "0", "1,3", input_spec=InputSpec.rgb(8))(
        ...     torch.rand(1, 3, 8, 8)
        ... )
        >>> found.kernels, found.maps.maps.shape
        ([1, 3], torch.Size([2, 3, 8, 8]))
    """

    def __init__(
        self,
        network: nn.Module,
        layer: str | None = None,
        kernels: KernelSelection = STRONGEST,
        method: Method = "gradient",
        **options: Unpack[SaliencyOptions],
    ) -> None:
        self._spec = options.get("input_spec") or InputSpec.rgb(224)
        self._network = network = one_input(network, self._spec)
        self._options: SaliencyOptions = {**options, "input_spec": self._spec}
        self.method = check_method(method)
        SaliencySettings(**self._options)
        example = network_inputs(network, self._spec, torch.full((1, *self._spec.shape), 0.5))
        self._target = LayerTarget.find(network, layer, example, options.get("output"))
        with undisturbed(network):
            self._choices = kernel_choices(network, self._target, kernels, example)
        self.layer = self._target.label
        self.batch_size = max(1, _MOST_MAPS // len(self._choices))

    @property
    def title(self) -> str:
        """Title of the maps, with Grad-CAM's layer once it is given or known."""
        return maps_title(self.method, self.layer, self._options.get("gradcam_layer"))

    def __call__(self, images: Tensor) -> list[ExplainedPicture]:
        """Return the maps of each image.

        Args:
            images: ``(B, C, H, W)`` in [0, 1].

        Raises:
            ValueError: As :func:`~neurovis.saliency.kernel_saliency`.
        """
        shown = network_inputs(self._network, self._spec, images)
        found = []
        for choice in self._choices:
            maps = kernel_saliency(
                self._network, shown, self._target, choice, self.method, **self._options
            )
            # One layer for all kernels and pictures.
            self._options["gradcam_layer"] = maps.gradcam_layer
            found.append(maps)
        return [
            ExplainedPicture(image, _maps_of_image(found, place), self._spec)
            for place, image in enumerate(images)
        ]

    def randomize(self, images: Tensor, max_stages: int | None = None) -> list[RandomizedPicture]:
        """Return for each image what is left of its maps as the network's weights become random.

        Args:
            images: ``(B, C, H, W)`` in [0, 1].
            max_stages: As in :func:`~neurovis.saliency.cascading_randomization`.

        Raises:
            ValueError: As :func:`~neurovis.saliency.cascading_randomization`.
        """
        shown = network_inputs(self._network, self._spec, images)
        checks = [
            cascading_randomization(
                self._network,
                shown,
                self._target,
                choice,
                self.method,
                max_stages=max_stages,
                **self._options,
            )
            for choice in self._choices
        ]
        return [
            RandomizedPicture(image, _check_of_image(checks, place), self._spec)
            for place, image in enumerate(images)
        ]


def _maps_of_image(found: list[SaliencyMaps], place: int) -> SaliencyMaps:
    """From the maps of all images for each kernel to those of all kernels for one image."""
    errors = [one.completeness_error[place] for one in found if one.completeness_error is not None]
    return replace(
        found[0],
        maps=torch.stack([one.maps[place] for one in found]),
        values=torch.stack([one.values[place] for one in found]),
        kernels=[(one.kernels or [])[place] for one in found],
        completeness_error=torch.stack(errors) if errors else None,
    )


def _check_of_image(checks: list[RandomizationCheck], place: int) -> RandomizationCheck:
    """From the checks of all images for each kernel to that of all kernels for one image."""
    return replace(
        checks[0],
        maps=torch.stack([one.maps[:, place] for one in checks], dim=1),
        correlations=torch.stack([one.correlations[:, place] for one in checks], dim=1),
        signed_correlations=torch.stack([one.signed_correlations[:, place] for one in checks], 1),
        kernels=[(one.kernels or [])[place] for one in checks],
    )
