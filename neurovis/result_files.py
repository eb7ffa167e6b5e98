"""Write figures and arrays of an analysis into a folder, and log the figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurovis.figures import render, save_png
from neurovis.files import write_arrays
from neurovis.observation import Observation
from neurovis.summaries import log_observation, picture_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class ResultFiles:
    """Figures and arrays of an analysis, in a folder and in loggers.

    Names are paths below the folder; what no file system should hold in them is replaced, see
    :func:`~neurovis.summaries.picture_path`. Every file appears whole or not at all.

    Args:
        folder: Made with the first file.
        loggers: As in ``trainer.loggers``; figures go to those that take images.
    """

    def __init__(self, folder: str | Path, loggers: Iterable[object] = ()) -> None:
        self.folder = Path(folder)
        self._loggers = list(loggers)
        self._described: set[str] = set()

    def save_figure(
        self,
        name: str,
        figure: Figure,
        tag: str | None = None,
        step: int = 0,
        description: str = "",
    ) -> Path:
        """Write a figure as PNG, and log it.

        Args:
            name: Name of the file, without its suffix.
            figure: Rendered at its own size.
            tag: Tag in the logs; by default the name.
            step: Step in the logs, such as the place of a picture among several of a tag.
            description: Markdown that explains the tag, in TensorBoard; logged once for a tag.

        Returns:
            The file.

        Raises:
            OSError: If the file cannot be written.
        """
        tag, pixels, path = tag or name, render(figure), self.path(name, ".png")
        save_png(path, pixels)
        observation = Observation(pictures={tag: pixels})
        if description and tag not in self._described:
            observation.descriptions[tag] = description
        log_observation(self._loggers, observation, step, None)
        self._described.add(tag)
        return path

    def save_observation(self, observation: Observation, names: Mapping[str, str]) -> None:
        """Write the pictures of an observation as PNG, and log all that it has.

        Args:
            observation: Logged at step 0.
            names: Names of the pictures' files, by tag.

        Raises:
            OSError: If a file cannot be written.
        """
        for tag, picture in observation.pictures.items():
            save_png(self.path(names[tag], ".png"), picture)
        log_observation(self._loggers, observation, 0, None)

    def save_arrays(self, name: str, **arrays: Any) -> None:
        """Write arrays into a compressed ``.npz`` file.

        Args:
            name: Name of the file, without its suffix.
            **arrays: Whatever NumPy makes arrays of.

        Raises:
            OSError: If the file cannot be written.
        """
        write_arrays(self.path(name, ".npz"), arrays)

    def path(self, name: str, suffix: str) -> Path:
        """Return the path of a file.

        Args:
            name: Name of the file, without its suffix.
            suffix: Such as ``".png"``.
        """
        safe = picture_path(name, 0).parent
        return self.folder / safe.with_name(f"{safe.name}{suffix}")
