"""Explain what in a picture drives the kernels of a layer, and check these explanations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from neurovis.figures import randomization_figure, saliency_figure
from neurovis.inputs import InputSpec, network_inputs
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
    kernel_word,
)
from neurovis.saliency.maps import SIGNED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Maps that are held in memory at a time, or those of one picture.
_MOST_MAPS = 64


@dataclass(frozen=True)
class ExplainedPicture:
    """Saliency maps of ``K`` kernels for one picture.

    Attributes:
        image: The picture, ``(C, H, W)`` in [0, 1].
        maps: One map for each kernel in place of each image: maps ``(K, C, H, W)``, values
            ``(K,)``.
        spec: What the network is shown.
    """

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "layer",
        "kernel",
        "method",
        "value",
        "completeness_error",
    )
    DESCRIPTION: ClassVar[str] = (
        "**Which pixels of a picture drive what each label names** (a kernel or a class, with its "
        "value): the image, the map over it, and the map. The colors and their ends are stated "
        "under each map, in units of the explained value. The slider goes through the pictures."
    )

    image: Tensor
    maps: SaliencyMaps
    spec: InputSpec

    @property
    def tag(self) -> str:
        """Tag of the figure in logs, as the monitor's, and the folder of its files."""
        return f"saliency/{self.maps.method}/{self.maps.layer}"

    @property
    def kernels(self) -> list[int]:
        """The explained kernels."""
        return self.maps.kernels or []

    def rows(self) -> Iterator[dict[str, object]]:
        """One row for each kernel."""
        errors: list[float] | list[None] = self._errors or [None] * len(self.kernels)
        for kernel, value, error in zip(
            self.kernels, self.maps.values.tolist(), errors, strict=True
        ):
            yield {
                "layer": self.maps.layer,
                "kernel": kernel,
                "method": self.maps.method,
                "value": value,
                "completeness_error": error,
            }

    def figure(self, name: str = "", count: int = 16) -> Figure:
        """The picture, each map over it, and each map.

        Args:
            name: Name of the picture, for the title.
            count: Maximum number of kernels.
        """
        maps, kind = self.maps, kernel_word(self.maps.layer)
        pooled = maps.pooled(self.spec)
        labels = [
            f"{kind} {kernel}: {value:.4g}"
            for kernel, value in zip(self.kernels, maps.values.tolist(), strict=True)
        ][:count]
        notes = []
        if len(self.kernels) > count:
            notes.append(f"{count} of the {len(self.kernels)} kernels that were explained")
        if self._errors is not None:
            stated = ", ".join(f"{error:.2g}" for error in self._errors[:count])
            notes.append(f"completeness error: {stated}")
        return saliency_figure(
            self.image.expand(len(labels), -1, -1, -1),
            {modality: one[:count] for modality, one in pooled.items()},
            labels,
            self.spec,
            f"{maps.method} of {maps.layer}, picture {name}",
            maps.is_signed,
            notes=notes,
        )

    def arrays(self) -> dict[str, Any]:
        """Maps ``(K, C, H, W)``, values ``(K,)`` and what they are of, with the image."""
        arrays = {
            "maps": self.maps.maps.numpy(),
            "values": self.maps.values.tolist(),
            "kernels": self.kernels,
            "image": self.image.numpy(),
            "layer": self.maps.layer,
            "method": self.maps.method,
            "modalities": [modality.name for modality in self.spec.modalities],
        }
        return arrays if self._errors is None else arrays | {"completeness_errors": self._errors}

    @property
    def _errors(self) -> list[float] | None:
        errors = self.maps.completeness_error
        return None if errors is None else errors.tolist()


@dataclass(frozen=True)
class RandomizedPicture:
    """Saliency maps of ``K`` kernels for one picture as the network's weights become random.

    Attributes:
        image: The picture, ``(C, H, W)`` in [0, 1].
        check: One map for each kernel in place of each image: maps ``(S, K, H, W)`` at ``S``
            stages, correlations ``(S, K)``.
        spec: What the network is shown.
    """

    COLUMNS: ClassVar[tuple[str, ...]] = (
        *("layer", "method", "kernel", "stage", "randomized"),
        *("correlation", "signed_correlation"),
    )
    DESCRIPTION: ClassVar[str] = (
        "**The same map while the network's weights become random**, from the output down. A map "
        "that stays alike (rank correlation near 1) shows the picture, not what the network has "
        "learned. The slider goes through the pictures."
    )

    image: Tensor
    check: RandomizationCheck
    spec: InputSpec

    @property
    def tag(self) -> str:
        """Tag of the figure in logs, and the folder of its files."""
        return f"saliency/{self.check.method}/{self.check.layer}/randomization"

    @property
    def kernels(self) -> list[int]:
        """The explained kernels."""
        return self.check.kernels or []

    def rows(self) -> Iterator[dict[str, object]]:
        """One row for each stage and kernel."""
        for row in self.check.rows():
            del row["image"]
            yield row

    def figure(self, name: str = "", count: int = 16) -> Figure:
        """The maps, from the trained network's to those of random weights.

        Args:
            name: Name of the picture, for the title.
            count: Maximum number of kernels.
        """
        check, kind = self.check, kernel_word(self.check.layer)
        kernels = [str(kernel) for kernel in self.kernels[:count]]
        notes = [
            f"from above: {kind} {', '.join(kernels)}" if kernels[1:] else f"{kind} {kernels[0]}"
        ]
        if len(self.spec.modalities) > 1:
            notes.append("maps: all modalities together")
        is_signed = check.method in SIGNED
        correlations = check.signed_correlations if is_signed else check.correlations
        return randomization_figure(
            self.image.expand(len(kernels), -1, -1, -1),
            check.maps[:, :count],
            check.stages,
            correlations[:, :count],
            self.spec,
            f"{check.method} of {check.layer} as weights become random, picture {name}",
            is_signed,
            notes=notes,
        )

    def arrays(self) -> dict[str, Any]:
        """Maps ``(S, K, H, W)`` and correlations ``(S, K)`` of all kernels."""
        return {
            "maps": self.check.maps.numpy(),
            "correlations": self.check.correlations.numpy(),
            "signed_correlations": self.check.signed_correlations.numpy(),
            "stages": self.check.stages,
            "kernels": self.kernels,
            "layer": self.check.layer,
            "method": self.check.method,
        }


class PictureExplainer:
    """Explains kernels of a layer for pictures: ``explainer(images)``.

    Args:
        network: The network, on any device; it is left as it was found.
        layer: Dotted name; None for the network's output, whose kernels are classes.
        kernels: Which, as in ``"0-15,20"``; or ``"strongest"``, each picture's own.
        method: One of :data:`~neurovis.saliency.METHODS`.
        input_spec: What the network is shown; ImageNet RGB at 224 pixels when None.
        **options: Those of :class:`~neurovis.saliency.SaliencySettings`.

    Attributes:
        layer: Name of the layer, or ``"output"``.
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
        self._network = network
        self._spec = options.get("input_spec") or InputSpec.rgb(224)
        self._options: SaliencyOptions = {**options, "input_spec": self._spec}
        self.method = check_method(method)
        SaliencySettings(**self._options)
        example = network_inputs(network, self._spec, torch.full((1, *self._spec.shape), 0.5))
        self._target = LayerTarget.find(network, layer, example)
        with undisturbed(network):
            self._choices = kernel_choices(network, self._target, kernels, example)
        self.layer = self._target.label
        self.batch_size = max(1, _MOST_MAPS // len(self._choices))

    def __call__(self, images: Tensor) -> list[ExplainedPicture]:
        """Return the maps of each image.

        Args:
            images: ``(B, C, H, W)`` in [0, 1].

        Raises:
            ValueError: As :func:`~neurovis.saliency.kernel_saliency`.
        """
        shown = network_inputs(self._network, self._spec, images)
        found = [
            kernel_saliency(
                self._network, shown, self._target, choice, self.method, **self._options
            )
            for choice in self._choices
        ]
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
    return SaliencyMaps(
        torch.stack([one.maps[place] for one in found]),
        torch.stack([one.values[place] for one in found]),
        [(one.kernels or [])[place] for one in found],
        found[0].layer,
        found[0].method,
        torch.stack(errors) if errors else None,
    )


def _check_of_image(checks: list[RandomizationCheck], place: int) -> RandomizationCheck:
    """From the checks of all images for each kernel to that of all kernels for one image."""
    first = checks[0]
    return RandomizationCheck(
        first.stages,
        torch.stack([one.maps[:, place] for one in checks], dim=1),
        torch.stack([one.correlations[:, place] for one in checks], dim=1),
        torch.stack([one.signed_correlations[:, place] for one in checks], dim=1),
        first.method,
        first.layer,
        [(one.kernels or [])[place] for one in checks],
    )
