"""Hold explanations of single pictures, with figures, rows and arrays of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from neurovis.class_names import class_label
from neurovis.figures import randomization_figure, saliency_figure
from neurovis.inputs import InputSpec
from neurovis.result import Result
from neurovis.saliency import RandomizationCheck, SaliencyMaps
from neurovis.saliency.maps import SIGNED, kernel_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class ExplainedPicture(Result):
    """Saliency maps of ``K`` kernels for one picture.

    Attributes:
        image: The picture, ``(C, H, W)`` in [0, 1].
        maps: One map for each kernel in place of each image: maps ``(K, C, H, W)``, values
            ``(K,)``.
        spec: What the network is shown.
    """

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
        for row in self.maps.rows():
            del row["image"]
            yield row

    def _summary(self) -> str:
        return self.maps._summary()

    def figure(self, name: str = "", count: int = 16) -> Figure:
        """The picture, each map over it, and each map.

        Args:
            name: Name of the picture, for the title.
            count: Maximum number of kernels.
        """
        maps = self.maps
        pooled = maps.pooled(self.spec)
        labels = [
            f"{named}: {value:.4g}"
            for named, value in zip(maps.names, maps.values.tolist(), strict=True)
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
            f"{maps.title}, picture {name}",
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
            "gradcam_layer": self.maps.gradcam_layer or "",
            "modalities": [modality.name for modality in self.spec.modalities],
        }
        return arrays if self._errors is None else arrays | {"completeness_errors": self._errors}

    @property
    def _errors(self) -> list[float] | None:
        errors = self.maps.completeness_error
        return None if errors is None else errors.tolist()


@dataclass(frozen=True, repr=False)
class RandomizedPicture(Result):
    """Saliency maps of ``K`` kernels for one picture as the network's weights become random.

    Attributes:
        image: The picture, ``(C, H, W)`` in [0, 1].
        check: One map for each kernel in place of each image: maps ``(S, K, H, W)`` at ``S``
            stages, correlations ``(S, K)``.
        spec: What the network is shown.
    """

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
            yield {**row, "gradcam_layer": self.check.gradcam_layer}

    def _summary(self) -> str:
        return self.check._summary()

    def figure(self, name: str = "", count: int = 16) -> Figure:
        """The maps, from the trained network's to those of random weights.

        Args:
            name: Name of the picture, for the title.
            count: Maximum number of kernels.
        """
        check = self.check
        kernels = [class_label(check.class_names, kernel, "") for kernel in self.kernels[:count]]
        named = kernel_name(check.kernel_word, self.kernels[0], check.layer, check.class_names)
        notes = [", ".join([f"from above: {named}", *kernels[1:]]) if kernels[1:] else named]
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
            f"{check.title} as weights become random, picture {name}",
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
