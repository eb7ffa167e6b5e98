"""Files and printed tables of ``neurovis saliency``."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType

import torch
from rich.table import Table
from rich.text import Text
from torch import Tensor

from neurovis.cli.picture_run import Numbered, PictureRun
from neurovis.cli.printing import MOST_ROWS, console
from neurovis.cli.words import RANDOMIZATION, SALIENCY
from neurovis.figures import randomization_figure, saliency_figure
from neurovis.saliency import RandomizationCheck, SaliencyMaps, kernel_word
from neurovis.saliency.maps import SIGNED
from neurovis.tables import Row, TableWriter

#: Columns of the table of maps.
COLUMNS = ("layer", "kernel", "method", "value", "completeness_error")
#: Columns of the table of randomizations.
_RANDOMIZATION_COLUMNS = (
    *("layer", "method", "kernel", "stage", "randomized"),
    *("correlation", "signed_correlation"),
)


@dataclass(frozen=True)
class Explained:
    """The maps of the ``K`` kernels that were explained for one picture.

    Args:
        image: ``(C, H, W)`` in [0, 1].
        found: For each kernel the maps of a batch of pictures.
        place: Place of the picture in the batch.
    """

    image: Tensor
    found: list[SaliencyMaps]
    place: int

    @property
    def kernels(self) -> list[int]:
        """Their numbers."""
        return [(maps.kernels or [])[self.place] for maps in self.found]

    @property
    def errors(self) -> list[float] | None:
        """Completeness errors, of a method that has them."""
        errors = [maps.completeness_error for maps in self.found]
        return [error[self.place].item() for error in errors if error is not None] or None

    def rows(self, picture: Numbered) -> list[Row]:
        """One row of the table for each kernel."""
        errors: list[float] | list[None] = self.errors or [None] * len(self.found)
        return [
            {
                **picture.columns,
                "layer": maps.layer,
                "kernel": kernel,
                "method": maps.method,
                "value": maps.values[self.place].item(),
                "completeness_error": error,
            }
            for maps, kernel, error in zip(self.found, self.kernels, errors, strict=True)
        ]

    def save(self, run: PictureRun, tag: str, picture: Numbered, most: int) -> None:
        """Write the figure and the raw maps."""
        maps, values = self.found[0], [one.values[self.place].item() for one in self.found]
        kind = kernel_word(maps.layer)
        pooled = [one.pooled(run.spec) for one in self.found[:most]]
        figure = saliency_figure(
            self.image.expand(len(pooled), -1, -1, -1),
            {name: torch.stack([one[name][self.place] for one in pooled]) for name in pooled[0]},
            [
                f"{kind} {kernel}: {value:.4g}"
                for kernel, value in zip(self.kernels[:most], values[:most], strict=True)
            ],
            run.spec,
            f"{maps.method} of {maps.layer}, picture {picture.name}",
            maps.is_signed,
            notes=self._notes(most),
        )
        run.save_figure(tag, picture, figure, SALIENCY)
        arrays = {
            "maps": torch.stack([one.maps[self.place] for one in self.found]).numpy(),
            "values": values,
            "kernels": self.kernels,
            "image": self.image.numpy(),
            "layer": maps.layer,
            "method": maps.method,
            "modalities": [modality.name for modality in run.spec.modalities],
        }
        if self.errors is not None:
            arrays["completeness_errors"] = self.errors
        run.save_arrays(tag, picture, arrays)

    def _notes(self, most: int) -> list[str]:
        notes = []
        if len(self.found) > most:
            notes.append(f"{most} of the {len(self.found)} kernels that were explained")
        if self.errors is not None:
            stated = ", ".join(f"{error:.2g}" for error in self.errors[:most])
            notes.append(f"completeness error: {stated}")
        return notes


@dataclass
class Report:
    """The first rows of the table, to be printed."""

    rows: list[Row] = field(default_factory=list)
    number: int = 0

    def add(self, rows: list[Row]) -> None:
        """Count rows, and keep the first."""
        self.number += len(rows)
        self.rows += rows[: MOST_ROWS - len(self.rows)]

    def print(self, method: str, layer: str) -> None:
        """Print what was explained and its values."""
        table = Table(title=f"{method} of {layer}")
        table.add_column("picture", overflow="fold")
        columns = ["kernel", "value"]
        if any(row["completeness_error"] is not None for row in self.rows):
            columns.append("completeness_error")
        for column in columns:
            table.add_column(column.replace("_", " "), justify="right")
        for row in self.rows:
            numbers = [row[column] for column in columns]
            shown = [f"{one:.4g}" if isinstance(one, float) else str(one) for one in numbers]
            table.add_row(Text(f"{row['index']}: {row['picture']}"), *shown)
        console().print(table)
        if self.number > len(self.rows):
            console().print(f"… and {self.number - len(self.rows)} more in results.csv")


class Randomization:
    """Writes checks of maps picture by picture, and prints what they say together.

    Use it as a context manager: its table is complete at the end.

    Args:
        run: Whose pictures were checked.
        tag: Tag of the maps that were checked.
        max_kernels: Kernels in a figure.
    """

    def __init__(self, run: PictureRun, tag: str, max_kernels: int) -> None:
        self._run = run
        self._tag = f"{tag}/randomization"
        self._max_kernels = max_kernels
        self._found: dict[tuple[int, str], list[Tensor]] = {}
        self._stack = ExitStack()
        self._table: TableWriter | None = None

    def __enter__(self) -> Randomization:
        self._table = self._stack.enter_context(
            self._run.table("randomization.csv", _RANDOMIZATION_COLUMNS)
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return self._stack.__exit__(kind, error, traceback)

    def add(
        self, checks: list[RandomizationCheck], numbered: list[Numbered], images: Tensor
    ) -> None:
        """Write what was checked of some pictures.

        Args:
            checks: One for each of the ``K`` kernels.
            numbered: The ``B`` pictures.
            images: ``(B, C, H, W)`` in [0, 1].
        """
        for check in checks:
            for row in check.rows():
                self._add_row(numbered, row)
            both = torch.stack([check.correlations, check.signed_correlations], dim=-1)
            for stage in enumerate(check.stages):
                self._found.setdefault(stage, []).append(both[stage[0]])
        for place, picture in enumerate(numbered):
            self._save_figure(checks[: self._max_kernels], place, picture, images[place])
            self._save_arrays(checks, place, picture)

    def _add_row(self, numbered: list[Numbered], row: dict[str, object]) -> None:
        place = row.pop("image")
        if self._table is None or not isinstance(place, int):
            raise RuntimeError("the table of randomizations is not open")
        self._table.write([{**numbered[place].columns, **row}])

    def _save_figure(
        self, checks: list[RandomizationCheck], place: int, picture: Numbered, image: Tensor
    ) -> None:
        kernels = [str((check.kernels or [])[place]) for check in checks]
        first = checks[0]
        kind = kernel_word(first.layer)
        notes = [
            f"from above: {kind} {', '.join(kernels)}" if checks[1:] else f"{kind} {kernels[0]}"
        ]
        if len(self._run.spec.modalities) > 1:
            notes.append("maps: all modalities together")
        is_signed = first.method in SIGNED
        correlations = [
            check.signed_correlations if is_signed else check.correlations for check in checks
        ]
        figure = randomization_figure(
            image.expand(len(checks), -1, -1, -1),
            _of_picture([check.maps for check in checks], place),
            first.stages,
            _of_picture(correlations, place),
            self._run.spec,
            f"{first.method} of {first.layer} as weights become random, picture {picture.name}",
            is_signed,
            notes=notes,
        )
        self._run.save_figure(self._tag, picture, figure, RANDOMIZATION)

    def _save_arrays(self, checks: list[RandomizationCheck], place: int, picture: Numbered) -> None:
        """Write maps ``(S, K, H, W)`` and correlations ``(S, K)`` of all kernels."""
        kinds = {
            "maps": [check.maps for check in checks],
            "correlations": [check.correlations for check in checks],
            "signed_correlations": [check.signed_correlations for check in checks],
        }
        arrays = {
            **{name: _of_picture(found, place).numpy() for name, found in kinds.items()},
            "stages": checks[0].stages,
            "kernels": [(check.kernels or [])[place] for check in checks],
            "layer": checks[0].layer,
            "method": checks[0].method,
        }
        self._run.save_arrays(self._tag, picture, arrays)

    def print(self) -> None:
        """Print how alike the maps are to those of the trained network, stage by stage."""
        table = Table(title="Weights made random, from the top down")
        table.add_column("stage", justify="right")
        table.add_column("randomized last", overflow="fold")
        for heading in ("correlation of magnitudes", "with signs", "constant maps"):
            table.add_column(heading, justify="right")
        any_constant = False
        for (stage, randomized), found in self._found.items():
            correlations = torch.cat(found)
            constant = int(correlations[:, 0].isnan().sum())
            any_constant = any_constant or constant > 0
            medians = [_median(column) for column in correlations.T]
            stated = f"{constant} of {len(correlations)}" if constant else ""
            table.add_row(str(stage), randomized, *medians, stated)
        console().print(table)
        console().print(
            "correlation: of the ranks of a map's pixels with those of the trained network's, the "
            "median over maps that are not constant. Maps that stay alike show the picture, not "
            "what the network has learned.",
        )
        if any_constant:
            console().print(
                "constant maps have no ranks and are left out: random weights silenced the kernel "
                "(or, at stage 0, the picture does), so nothing was tested there; try another "
                "--seed or a layer before the last rectifier."
            )


def _of_picture(found: list[Tensor], place: int) -> Tensor:
    """From ``(S, B, ...)`` of each kernel to ``(S, K, ...)`` of one picture."""
    return torch.stack([one[:, place] for one in found], dim=1)


def _median(correlations: Tensor) -> str:
    """Return the median without NaN, for an even number the mean of the middle two."""
    median = torch.nanquantile(correlations, 0.5).item()
    return "-" if math.isnan(median) else f"{median:.3f}"
