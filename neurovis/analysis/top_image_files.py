"""Write the pages and the table of top images, and log the pages."""

from __future__ import annotations

from neurovis.analysis.result_files import ResultFiles
from neurovis.top_images import TopImages

_DESCRIPTION = (
    "**The pictures that drive each kernel most**, highest first, each with the activation it "
    "reaches in the layer's own unit, beside the kernel's preferred image where there is one. The "
    "slider goes through the pages; all numbers are in `top_images.csv`."
)


def save_top_images(found: TopImages, files: ResultFiles) -> None:
    """Write ``top_images.csv`` and the pages, and log these with their numbers as steps.

    Args:
        found: Top images of a layer.
        files: Folder of the layer, and loggers to write to.

    Raises:
        OSError: If a file cannot be written.
    """
    found.save_table(files.folder)
    for page, (name, figure) in enumerate(found.pages()):
        tag = f"top_images/{found.layer}"
        files.save_figure(name.removesuffix(".png"), figure, tag, page, _DESCRIPTION)
