"""Results of activation maximization: images, and the numbers that say how far to trust them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from neurovis.class_names import class_label
from neurovis.figures import (
    curve_figure,
    labeled_grid,
    modality_rows,
    save_gif,
    save_png,
    signature_figure,
    tile,
)
from neurovis.files import link, write_arrays
from neurovis.inputs import InputSpec
from neurovis.maximization.accentuation import alpha_map
from neurovis.maximization.constraints import measured
from neurovis.maximization.preferred_image import LEAST, PreferredImage
from neurovis.receptive_fields import Box
from neurovis.result import Result, first_of
from neurovis.tables import write_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


#: Pixels of an image's longer side in figures, at most; in its own picture it has all of them.
_IN_FIGURES = 128
#: Images that a notebook shows, at most.
_IN_NOTEBOOKS = 24


@dataclass(repr=False)
class MaximizationResults(Result):
    """The preferred images of a layer, in the order in which they were asked for.

    Args:
        layer: Dotted name.
        spec: Modalities and size of the images.
        seed: The run's seed.
        grouped: Whether images are of groups, so that the table tells groups and weights.
        items: What was found.
        class_names: Names of all of the layer's kernels, where they are classes.
    """

    layer: str
    spec: InputSpec
    seed: int
    grouped: bool = False
    items: list[PreferredImage] = field(default_factory=list)
    class_names: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.items)

    @property
    def images(self) -> Tensor:
        """Preferred images ``(N, C, H, W)`` in [0, 1]."""
        return self._stack([item.image for item in self.items])

    @property
    def starts(self) -> Tensor:
        """The images that the ascents started from, ``(N, C, H, W)`` in [0, 1]."""
        return self._stack([item.start for item in self.items])

    @property
    def activations(self) -> Tensor:
        """``(N,)`` of the final images, without random views; see :class:`PreferredImage`."""
        return torch.tensor([item.activation for item in self.items])

    @property
    def noise_activations(self) -> Tensor:
        """``(N,)`` the same number for noise images."""
        return torch.tensor([item.noise_activation for item in self.items])

    @property
    def kernels(self) -> list[int]:
        """All kernels, image by image: the kernel of each image where each has one."""
        return [kernel for item in self.items for kernel in item.kernels]

    @property
    def dead(self) -> Tensor:
        """``(N,)`` whether all kernels of an image stayed silent."""
        return torch.tensor([item.dead for item in self.items], dtype=torch.bool)

    @property
    def has_variants(self) -> bool:
        """True if there are several images of the same kernels."""
        return any(item.variant for item in self.items)

    @property
    def curves(self) -> Tensor:
        """``(N, steps)`` the activation at each step; NaN after an ascent's last step."""
        return pad_sequence(
            [item.curve for item in self.items], batch_first=True, padding_value=torch.nan
        )

    def label(self, item: PreferredImage) -> str:
        """Return how figures call an image: by its class, or as ``kernel 5``."""
        kernel = f"kernel {item.kernels[0]}"
        if item.label not in (kernel, f"{kernel}{LEAST}"):
            return item.label
        return item.label.replace(kernel, class_label(self.class_names, item.kernels[0]))

    def poles(self) -> list[MaximizationResults]:
        """Return the images that drive kernels most and those that drive them least, apart."""
        signs = sorted({item.sign for item in self.items} or {1}, reverse=True)
        apart = [[item for item in self.items if item.sign == sign] for sign in signs]
        return [replace(self, items=items) for items in apart]

    def grid(self) -> Figure:
        """All images with their labels and activations."""
        cells = [cell for item in self.items for cell in self._cells(item)]
        title = f"preferred images of {self.layer}"
        box = self.items[0].box if self.items else None
        if box is not None:
            title += f": the {_size(box)} that the center unit sees"
        images, labels, remarks = zip(*cells, strict=True)
        seen = torch.stack(images)
        return labeled_grid(seen, labels, self.spec, title, self._columns(), _IN_FIGURES, remarks)

    def _cells(self, item: PreferredImage) -> list[tuple[Tensor, str, str]]:
        """Image, label and remark; between a photograph and its alpha map, if it has one."""
        label = f"{self.label(item)}: {'dead' if item.dead else item.counted(item.activation)}"
        if item.photograph_activation is None:
            return [(item.seen(item.image), label, item.remark)]
        before = f"photograph: {item.counted(item.photograph_activation)}"
        label = f"{label} ({item.ratio:.2g}x), SSIM {item.similarity:.2f}"
        alpha = alpha_map(item.image, item.start).expand_as(item.image)
        shown = (item.image, label, item.remark)
        return [(item.start, before, ""), shown, (alpha, "where it changed", "")]

    def _columns(self) -> int | None:
        """Images in a row of the grid: all images of a kernel, several times over."""
        of_kernel = 1 + max((item.variant for item in self.items), default=0)
        of_kernel *= len({item.sign for item in self.items})
        is_accentuated = any(item.photograph_activation is not None for item in self.items)
        cells = 3 if is_accentuated else 1
        across = cells * of_kernel
        if across < 2:
            return None
        return across * max(1, round(math.sqrt(len(self.items) * cells) / across))

    def curves_figure(self) -> Figure:
        """Plot the maximized number over the steps."""
        return curve_figure(
            self.curves,
            [self.label(item) for item in self.items],
            f"ascent in {self.layer}",
            "activation on random views",
        )

    def save(
        self, folder: str | Path, kept: Callable[[PreferredImage], Path | None] | None = None
    ) -> list[Path]:
        """Write everything into ``folder``: each file appears whole or not at all.

        ``grid.png``, ``curves.png``, ``results.npz``, ``results.csv``, and for each image a picture
        under ``images/`` and its signature figure under ``signatures/``. A video's picture has its
        frames in a row, and beside it a GIF shows them one after the other. Pictures of images of
        which only a receptive field was optimized show that field. For 8-bit RGB they hold the
        image, pixel for pixel.

        Args:
            folder: Made if need be.
            kept: Says which file, if any, holds the picture of an image of one RGB modality
                already; it then gets a second name (a hard link) where the file system has those.

        Returns:
            The files written.

        Raises:
            OSError: If the folder cannot be written.
            ValueError: If there are no images yet.
        """
        if not self.items:
            raise ValueError(
                f'there are no images of layer "{self.layer}" yet; Trainer.fit makes them'
            )
        folder = Path(folder)
        files = [*self.save_overview(folder), folder / "curves.png", folder / "results.npz"]
        for item in self.items:
            files += self._save_item(item, folder, kept(item) if kept is not None else None)
        save_png(folder / "curves.png", self.curves_figure(), colors=256)
        self._save_arrays(folder / "results.npz")
        return files

    def save_overview(self, folder: Path) -> list[Path]:
        """Write ``grid.png`` and ``results.csv``, which have the evidence, into ``folder``.

        Returns:
            The files written.

        Raises:
            OSError: If the folder cannot be written.
        """
        grid, table = folder / "grid.png", folder / "results.csv"
        save_png(grid, self.grid())
        write_table(table, self.rows())
        return [grid, table]

    def rows(self) -> Iterator[dict[str, object]]:
        """The rows of ``results.csv``: one for each kernel of each image."""
        has_least = any(item.sign < 0 for item in self.items)
        for item in self.items:
            for member, (kernel, row) in enumerate(zip(item.kernels, item.rows(), strict=True)):
                row["seed"] = self.seed
                row |= {name: row.pop(name) for name in ("dead", "ended")}  # These come after it.
                if self.class_names:
                    row["class_name"] = self.class_names[kernel]
                if has_least:
                    row["sign"] = item.sign
                if self.has_variants:
                    row["variant"] = item.variant + 1
                for modality, (contrast, luminance) in measured(
                    item.seen(item.image)[None], self.spec
                ).items():
                    row[f"contrast_{modality}"] = float(contrast)
                    row[f"luminance_{modality}"] = float(luminance)
                if self.grouped:
                    row["group"] = item.index
                    row["weight"] = 1.0 if item.weights is None else item.weights[member]
                    row["group_activation"] = item.activation
                    row["group_noise_activation"] = item.noise_activation
                yield row | dict(item.evidence)

    def _summary(self) -> str:
        reached = [
            f"{self.label(item)} {item.counted(item.activation)} "
            f"(noise {item.counted(item.noise_activation)})"
            for item in self.items
        ]
        return f"{len(self)} images of {self.layer}, {int(self.dead.sum())} dead: " + (
            first_of(reached) or "none yet"
        )

    def _pictures(self) -> Iterator[Figure]:
        if self.items:
            yield replace(self, items=self.items[:_IN_NOTEBOOKS]).grid()

    def _save_item(self, item: PreferredImage, folder: Path, kept: Path | None) -> list[Path]:
        picture = folder / "images" / f"{item.file_name}.png"
        signature = folder / "signatures" / f"{item.file_name}.png"
        files = [picture, signature]
        rows = modality_rows(item.seen(item.image)[None], self.spec)
        if kept is not None and len(rows) == 1 and kept.exists():
            link(kept, picture)
        else:
            # A row for each modality, a column for each frame.
            parts = torch.cat(list(rows.values())).unflatten(0, (self.spec.frames, -1))
            apart = 2 if len(rows) > 1 else 0
            save_png(picture, tile(parts.transpose(0, 1).flatten(0, 1), len(parts), apart))
            if len(parts) > 1:
                files.append(picture.with_suffix(".gif"))
                save_gif(files[-1], [tile(frame, 1, 0) for frame in parts])
        noise = item.counted(item.noise_activation)
        reached = f"{item.counted(item.activation)} (noise {noise})"
        figure = signature_figure(
            item.seen(item.start),
            item.seen(item.image),
            item.target_map,
            item.resulting_map,
            self.spec,
            f"{self.layer}, {self.label(item)}: {reached}",
            _IN_FIGURES,
        )
        save_png(signature, figure, colors=128)
        return files

    def _save_arrays(self, path: Path) -> None:
        arrays = {
            "activations": self.activations.numpy(),
            "noise_activations": self.noise_activations.numpy(),
            "curves": self.curves.numpy(),
            "kernels": np.array(self.kernels),
            "image_of_kernel": np.repeat(
                np.arange(len(self)), [len(item.kernels) for item in self.items]
            ),
            "modalities": np.array([modality.name for modality in self.spec.modalities]),
            "layer": np.array(self.layer),
        }
        if any(item.photograph_activation is not None for item in self.items):
            alpha = [alpha_map(item.image, item.start) for item in self.items]
            arrays["alpha_maps"] = torch.stack(alpha).numpy()
        write_arrays(path, arrays)

    def _stack(self, images: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(images)) if images else torch.empty(0, *self.spec.shape)


def _size(box: Box) -> str:
    top, left, bottom, right = box
    return f"{bottom - top} x {right - left} px"
