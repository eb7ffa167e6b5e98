"""Show the pictures of a data set that drive a kernel most on its card."""

from __future__ import annotations

from collections.abc import Iterator

from neurovis.cards import Picture, image_uri
from neurovis.figures.pictures import number
from neurovis.top_images import TopImages

#: Longest side of each, in pixels.
_CROP_SIDE = 88


def top_pictures(found: TopImages, kernel: int) -> list[Picture]:
    """Return a kernel's top images, best first; none where any image would do as well."""
    if _is_unmoved(found, kernel):
        return []
    shown = zip(found.crops(kernel), found.values(kernel), found.names(kernel), strict=False)
    return [
        Picture(image_uri(crop, found.spec, _CROP_SIDE, is_photograph=True), number(value), name)
        for crop, value, name in shown
    ]


def top_remarks(found: TopImages, kernel: int, preferred: float) -> Iterator[str]:
    """Yield remarks on a kernel's top images, given what its preferred image gives."""
    values = found.values(kernel)
    if _is_unmoved(found, kernel):
        yield "silent for all images" if values[0] == 0 else f"{number(values[0])} for all images"
        return
    if len(values) > 1 and values[0] == values[-1]:
        yield f"its top {len(values)} images drive it alike"
    if values and values[0] > preferred:
        yield "real pictures drive it more than its preferred image"


def _is_unmoved(found: TopImages, kernel: int) -> bool:
    """True if all pictures that the kernel was shown drive it alike."""
    values = found.values(kernel)
    if not values or values[0] != values[-1]:
        return False
    return values[0] == 0 or 1 < found.number == len(values)
