"""The top images of a layer's kernels: which they are, what they give, and how they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from neurovis.class_names import class_label
from neurovis.figures.pictures import number
from neurovis.figures.top_images import Crop, TopImagesRow, top_images_figure
from neurovis.inputs import InputSpec
from neurovis.maximization.preferred_image import PreferredImage
from neurovis.result import Result, first_of
from neurovis.result_files import ResultFiles
from neurovis.tables import write_table
from neurovis.top_images.highest import Highest
from neurovis.top_images.images import Shown
from neurovis.top_images.reading import Places

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Kernels on a page, of one modality and with ten crops or fewer.
_ROWS = 12
#: Images that are held for the next crop.
_HELD = 64
_COLUMNS = (
    *("layer", "kernel", "rank", "activation", "index", "picture", "file", "unit"),
    *("top", "left", "bottom", "right", "preferred_activation", "noise_activation"),
)
_DESCRIPTION = (
    "**The pictures that drive each kernel most**, highest first, each with the activation it "
    "reaches in the layer's own unit, beside the kernel's preferred image where there is one. The "
    "slider goes through the pages; all numbers are in `top_images.csv`."
)


class TopImages(Result):
    """The ``k`` images that each of ``K`` kernels of a layer responds to most.

    Args:
        layer: Dotted name.
        kernels: The ``K`` kernels.
        spec: What the network was shown.
        highest: What was found.
        places: Where the layer's units look.
        shown: The images.
        preferred: For some kernels, the preferred image, and the number of the unit that it drives
            most.
        noun: What figures call a kernel.
        by: Name of the objective that images are compared by, such as ``"mean"``.
        class_names: Names of all of the layer's kernels, where they are classes.

    Attributes:
        activations: ``(K, k)``, from the highest down; NaN where there were fewer images.
        indices: ``(K, k)``, which images these are; -1 where there were fewer.
        units: ``(K, k)``, each image's most active unit, numbered row by row through the map.
        not_finite: ``(K,)``, to how many images the response was NaN or infinite; they are left
            out.
        number: How many images were shown.
        notes: What is to be said about the images as a whole.
    """

    def __init__(
        self,
        layer: str,
        kernels: Sequence[int],
        spec: InputSpec,
        highest: Highest,
        places: Places,
        shown: Shown,
        preferred: Mapping[int, tuple[PreferredImage, int]] | None = None,
        noun: str = "kernel",
        by: str = "mean",
        class_names: Sequence[str] = (),
    ) -> None:
        self.layer = layer
        self.kernels = list(kernels)
        self.spec = spec
        self.activations = highest.values
        self.indices = highest.numbers
        self.units = highest.units
        self.by = by
        self.not_finite = highest.not_finite
        self.number = highest.shown
        self.notes: list[str] = []
        self.preferred = preferred or {}
        self._places = places
        self._noun, self._class_names = noun, class_names
        self._shown = shown
        self._held = lru_cache(maxsize=_HELD)(shown.images.image)

    def __len__(self) -> int:
        return len(self.kernels)

    @property
    def boxes(self) -> Tensor:
        """``(K, k, 4)``: top, left, bottom and right of each crop in its image; -1 without one.

        In pixels of the network's input, ``image[:, top:bottom, left:right]``.
        """
        boxes = [
            [self._places.clipped(unit) if unit >= 0 else (-1,) * 4 for unit in row]
            for row in self.units.tolist()
        ]
        return torch.tensor(boxes, dtype=torch.int64).view(*self.units.shape, 4)

    def values(self, kernel: int) -> list[float]:
        """Return the activations that a kernel's top images give, from the highest down.

        Raises:
            ValueError: If the kernel was not asked for.
        """
        values = self.activations[self._row_of(kernel)].tolist()
        return [value for value in values if value == value]

    def images(self, kernel: int) -> list[Tensor]:
        """A kernel's top images ``(C, H, W)`` in [0, 1], as the network was shown them.

        They are read again, and on the CPU.

        Raises:
            ValueError: If the kernel was not asked for, or a file has since become unreadable.
        """
        row = self._row_of(kernel)
        return [self._held(index).cpu() for index in self.indices[row].tolist() if index >= 0]

    def crops(self, kernel: int) -> list[Tensor]:
        """Return the part of each of :meth:`images` that its most active unit sees, ``(C, h, w)``.

        Crops of units whose receptive field reaches over the image's edge are smaller.
        """
        boxes = self.boxes[self._row_of(kernel)].tolist()
        return [
            image[:, top:bottom, left:right]
            for image, (top, left, bottom, right) in zip(self.images(kernel), boxes, strict=False)
        ]

    def names(self, kernel: int) -> list[str]:
        """Return the names of a kernel's top images, files with the folder that they are in."""
        numbers = [index for index in self.indices[self._row_of(kernel)].tolist() if index >= 0]
        folders = [Path(self._shown.file(index)).parent.name for index in numbers]
        names = [self._shown.name(index) for index in numbers]
        return [
            f"{folder}/{name}" if folder else name
            for folder, name in zip(folders, names, strict=True)
        ]

    def figure(self, kernels: Sequence[int] | None = None, title: str | None = None) -> Figure:
        """One row for each kernel: its preferred image if there is one, then its top images.

        Args:
            kernels: Which; by default all.
            title: Stands over the figure.
        """
        chosen = self.kernels if kernels is None else kernels
        title = title or f"top images of {self.layer}"
        rows = [self._figure_row(kernel) for kernel in chosen]
        return top_images_figure(rows, self._places.cell, title, self._said(), self.spec)

    def pages(self) -> Iterator[tuple[str, Figure]]:
        """All kernels, some on a page; each page with its name."""
        per_page = self._kernels_per_page
        starts = range(0, len(self), per_page)
        if len(starts) == 1:
            yield "top_images", self.figure()
            return
        for page, start in enumerate(starts, 1):
            title = f"top images of {self.layer} (page {page} of {len(starts)})"
            figure = self.figure(self.kernels[start : start + per_page], title)
            yield f"top_images_{page:03d}", figure

    def rows(self) -> Iterator[dict[str, object]]:
        """The rows of ``top_images.csv``: one for each image of each kernel."""
        boxes = self.boxes.tolist()
        for row, kernel in enumerate(self.kernels):
            preferred, _ = self.preferred.get(kernel, (None, 0))
            for rank, index in enumerate(self.indices[row].tolist()):
                if index < 0:
                    continue
                yield {
                    "layer": self.layer,
                    "kernel": kernel,
                    "rank": rank + 1,
                    "activation": self.activations[row, rank].item(),
                    "index": index,
                    "picture": self._shown.name(index),
                    "file": self._shown.file(index),
                    "unit": self._unit_name(int(self.units[row, rank])),
                    **dict(zip(("top", "left", "bottom", "right"), boxes[row][rank], strict=True)),
                    "preferred_activation": preferred.activation if preferred else "",
                    "noise_activation": preferred.noise_activation if preferred else "",
                    **({"class_name": self._class_names[kernel]} if self._class_names else {}),
                }

    def _summary(self) -> str:
        highest = [
            f"{class_label(self._class_names, kernel, self._noun)} {number(value)}"
            for kernel, value in zip(self.kernels, self.activations[:, 0].tolist(), strict=True)
        ]
        return (
            f"{self.indices.shape[1]} of {self.number} images for each of {len(self)} kernels of "
            f"{self.layer} by {self.by}; highest: {first_of(highest)}"
        )

    def _pictures(self) -> Iterator[Figure]:
        return (figure for _, figure in islice(self.pages(), 1))

    def save(self, folder: str | Path, loggers: Iterable[object] = ()) -> list[Path]:
        """Write ``top_images.csv``, and ``top_images.png`` or pages ``top_images_001.png``, ….

        Each file appears whole or not at all.

        Args:
            folder: Made if need be.
            loggers: As in ``trainer.loggers``; pages are logged with their numbers as steps.

        Returns:
            The files written.

        Raises:
            OSError: If the folder cannot be written.
        """
        table = Path(folder) / "top_images.csv"
        write_table(table, self.rows(), [*_COLUMNS, *(["class_name"] if self._class_names else [])])
        files, written = ResultFiles(folder, loggers), [table]
        for page, (name, figure) in enumerate(self.pages()):
            tag = f"top_images/{self.layer}"
            written.append(files.save_figure(name, figure, tag, page, _DESCRIPTION))
        return written

    @property
    def _kernels_per_page(self) -> int:
        modalities = sum(1 if one.is_rgb else one.channels for one in self.spec.modalities)
        lines = -(-self.indices.shape[1] // 10)
        return max(1, _ROWS // (modalities * lines))

    def _row_of(self, kernel: int) -> int:
        if kernel not in self.kernels:
            raise ValueError(
                f'kernel {kernel} of layer "{self.layer}" was not asked for; there are '
                f"{', '.join(map(str, self.kernels))}"
            )
        return self.kernels.index(kernel)

    def _unit_name(self, unit: int) -> str:
        """Row and column as ``3x5``; empty for layers without a map."""
        size = self._places.map_size
        return "x".join(str(int(one)) for one in np.unravel_index(unit, size)) if size else ""

    def _figure_row(self, kernel: int) -> TopImagesRow:
        row, label = self._row_of(kernel), class_label(self._class_names, kernel, self._noun)
        values, units = self.activations[row].tolist(), self.units[row].tolist()
        crops = [
            self._crop(image, unit, number(value))
            for image, unit, value in zip(self.images(kernel), units, values, strict=False)
        ]
        notes = []
        if crops and values[0] == 0 == values[len(crops) - 1]:
            notes.append("silent for all images")
        if self.not_finite[row]:
            notes.append(f"{int(self.not_finite[row])} images gave NaN or infinity")
        preferred, unit = self.preferred.get(kernel, (None, 0))
        if preferred is None:
            return TopImagesRow(label, crops, note="; ".join(notes))
        stronger = sum(value > preferred.activation for value in values)
        if stronger:
            notes.append(
                f"{stronger} drive{'s' * (stronger == 1)} it more than its preferred image"
            )
        labels = [
            f"preferred {number(preferred.activation)}",
            f"noise {number(preferred.noise_activation)}",
        ]
        crop = self._crop(preferred.image, unit, "cropped")
        whole = self._places.cell == self.spec.size
        return TopImagesRow(
            label + (": dead" if preferred.dead else ""),
            crops,
            "; ".join(notes),
            preferred.image,
            labels,
            None if whole else crop,
        )

    def _crop(self, image: Tensor, unit: int, label: str) -> Crop:
        """Return what a unit sees, placed in its cell by what the image's edge cuts off."""
        top, left, bottom, right = self._places.clipped(unit)
        full_top, full_left, _, _ = self._places.box(unit)
        height, width = self._places.cell
        down = min(top - full_top, max(height - (bottom - top), 0))
        across = min(left - full_left, max(width - (right - left), 0))
        return Crop(image[:, top:bottom, left:right], label, (down, across))

    def _said(self) -> list[str]:
        images = f"{self.number} image{'s' * (self.number > 1)}"
        said = [f"of {images} those with the highest activation, which stands over each"]
        here = self.boxes[self.indices >= 0]
        if bool((here != torch.tensor([0, 0, *self.spec.size])).any()):
            height, width = self._places.cell
            unit = "the unit that is read" if self._places.one_unit else "its most active unit"
            said[0] += f"; of each what {unit} sees, up to {width} x {height} pixels"
        return [*said, *self.notes]
