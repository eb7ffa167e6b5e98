"""Show the pictures of a data set that drive a kernel most on its card."""

from __future__ import annotations

from collections.abc import Iterator

from neurovis.cards import Picture, image_uri
from neurovis.figures.pictures import number
from neurovis.inputs import InputSpec
from neurovis.top_images import TopImages

#: Longest side of each, in pixels.
_LARGEST = 88


class TopPictures:
    """The top images of a layer's kernels.

    Args:
        found: Top images of all kernels that have a card; None without images.
        spec: What the network is shown.
    """

    def __init__(self, found: TopImages | None, spec: InputSpec) -> None:
        self._found = found
        self._spec = spec

    def pictures(self, kernel: int) -> list[Picture]:
        """Best first; none where any would do as well."""
        if self._found is None or self._is_unmoved(kernel):
            return []
        return [
            Picture(
                image_uri(crop, self._spec, _LARGEST, is_photograph=True), number(activation), name
            )
            for crop, activation, name in zip(
                self._found.crops(kernel),
                self._activations(kernel),
                self._found.names(kernel),
                strict=False,
            )
        ]

    def highest(self, kernel: int) -> float:
        """The activation that the best gives; NaN without any."""
        return next(iter(self._activations(kernel)), float("nan"))

    def remarks(self, kernel: int, preferred: float) -> Iterator[str]:
        """Yield remarks on a kernel's top images.

        Args:
            kernel: 0-based.
            preferred: What the kernel's preferred image gives.
        """
        found, highest = self._activations(kernel), self.highest(kernel)
        if self._is_unmoved(kernel):
            yield "silent for all images" if highest == 0 else f"{number(highest)} for all images"
            return
        if len(found) > 1 and found[0] == found[-1]:
            yield f"its top {len(found)} images drive it alike"
        if highest > preferred:
            yield "real pictures drive it more than its preferred image"

    def _activations(self, kernel: int) -> list[float]:
        """Highest first."""
        if self._found is None:
            return []
        values = self._found.activations[self._found.kernels.index(kernel)].tolist()
        return [value for value in values if value == value]

    def _is_unmoved(self, kernel: int) -> bool:
        """True if all pictures that the kernel was shown drive it alike."""
        values = self._activations(kernel)
        if self._found is None or not values or values[0] != values[-1]:
            return False
        return values[0] == 0 or 1 < self._found.number == len(values)
