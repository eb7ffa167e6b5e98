"""Choose the images of a command: pictures of the user's own, or the demo's scenes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import ClassVar

from torch import Tensor

from neurovis.analysis import SaliencyProbe
from neurovis.cli.first_process import is_first_process
from neurovis.cli.options import picture_paths
from neurovis.cli.printing import print_notes
from neurovis.demo import SHAPES, ShapeScenes
from neurovis.inputs import InputSpec
from neurovis.maximization.progress import progress_bar
from neurovis.pictures import (
    PictureDataset,
    PictureFiles,
    StretchedWarning,
    ZeroDepthWarning,
    read_picture,
)
from neurovis.saliency import Method
from neurovis.tuning.rankings import RANKINGS, AnyRanking, are_all

#: Number of the demo's scenes; each class as often.
_SCENES = 256
#: Scenes that the shipped network was not trained on.
_SCENES_SEED = 2000
#: Most notes of a kind that are printed: a thousand pictures may give as many.
_MOST_NOTES = 3
#: Kinds of which one is printed: what it says holds for a whole folder, as a rule.
_SAID_ONCE = (StretchedWarning, ZeroDepthWarning)


class DemoScenes(ShapeScenes):
    """The demo's scenes with their classes' names.

    Args:
        spec: What the demo's network is shown.

    Raises:
        ValueError: If the scenes cannot have that shape.
    """

    classes: ClassVar[list[str]] = list(SHAPES)

    def __init__(self, spec: InputSpec) -> None:
        if spec.channels != 4 or spec.size[0] != spec.size[1]:
            raise ValueError(
                f"the demo's own scenes are square, of 4 channels; the input is {spec.shape}: give "
                "--images"
            )
        super().__init__(_SCENES, _SCENES_SEED, spec.size[0], cached=True)


class Notes:
    """Warnings about pictures by their kind, each once."""

    def __init__(self) -> None:
        self._kinds: dict[type[Warning], dict[str, None]] = {}

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Keep the warnings of what is done inside."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        for warning in caught:
            self._kinds.setdefault(warning.category, {})[str(warning.message)] = None

    def print(self) -> None:
        """Print the first of each kind, and how many more there are."""
        for kind, notes in self._kinds.items():
            print_notes(list(notes), 1 if issubclass(kind, _SAID_ONCE) else _MOST_NOTES)


class CommandImages:
    """Images of a command, with what to print about them in the end.

    Args:
        dataset: Pictures of the user's own, or the demo's scenes.
        notes: Warnings about them, also about those that are read later.
    """

    def __init__(self, dataset: PictureDataset | DemoScenes, notes: Notes) -> None:
        self.dataset = dataset
        self.notes = notes

    @property
    def left_out(self) -> list[str]:
        """Reasons why pictures could not be read."""
        dataset = self.dataset
        return list(dataset.left_out.values()) if isinstance(dataset, PictureDataset) else []

    def readable(self) -> PictureDataset | DemoScenes:
        """Read each picture once, and return those that can be read.

        Raises:
            ValueError: If there are none; why the first cannot be read.
        """
        dataset = self.dataset
        if isinstance(dataset, DemoScenes):
            return dataset
        with progress_bar("pictures looked into", len(dataset), is_shown=is_first_process()) as bar:
            for index in range(len(dataset)):
                dataset.try_image(index)
                bar.update(1)
        dataset.first_readable()
        return dataset.subset([n for n in range(len(dataset)) if n not in dataset.left_out])

    def first(self) -> tuple[Tensor, str]:
        """Return the first image ``(C, H, W)`` that can be read, and its name.

        Raises:
            ValueError: If there is none; why the first cannot be read.
        """
        if isinstance(self.dataset, DemoScenes):
            return self.dataset[0][0], "a scene of the demo"
        number, image = self.dataset.first_readable()
        return image, self.dataset.pictures[number].name

    def print_notes(self) -> None:
        """Print what was left out, and what was done to pictures."""
        left_out = [f"left out: {' '.join(why.split())}" for why in self.left_out]
        print_notes(left_out, _MOST_NOTES)
        self.notes.print()

    def raise_if_incomplete(self) -> None:
        """Raise ValueError at the end of a run if pictures were left out; why the first was."""
        if self.left_out:
            raise ValueError(
                f"left out {len(self.left_out)} of {len(self.dataset)} pictures that could not be "
                f"read; the first: {self.left_out[0]}"
            )


def own_pictures(
    images: object,
    patterns: Mapping[str, str] | None,
    spec: InputSpec,
    find: Callable[..., PictureDataset] = PictureDataset.find,
) -> tuple[PictureDataset, Notes]:
    """Find pictures of the user's own; their warnings are noted, also of those read later.

    Args:
        images: Paths, as an option has them.
        patterns: Names of the modalities' files.
        spec: What the network is shown.
        find: Class method of ``PictureDataset``.

    Raises:
        OSError: If a picture or folder does not exist.
        ValueError: If there is no picture, or pictures cannot be told apart.
    """
    notes, paths = Notes(), picture_paths(images, spec)
    with notes.taken():
        return find(paths, spec, patterns, partial(_read_noted, notes)), notes


def choose_images(
    model: str, images: object, patterns: Mapping[str, str] | None, spec: InputSpec
) -> CommandImages | None:
    """Return the user's own pictures; else the demo's scenes for its network, or None."""
    if images is not None:
        return CommandImages(*own_pictures(images, patterns, spec))
    return CommandImages(DemoScenes(spec), Notes()) if model == "demo" else None


def _read_noted(notes: Notes, picture: PictureFiles, spec: InputSpec) -> Tensor:
    with notes.taken():
        return read_picture(picture, spec)


def choose_ranking_images(
    rankings: Sequence[AnyRanking],
    model: str,
    images: object,
    patterns: Mapping[str, str] | None,
    spec: InputSpec,
) -> CommandImages | None:
    """Return the images that rankings need, if any.

    Args:
        rankings: The rankings.
        model: Import path of the network; ``"demo"`` has scenes of its own.
        images: Paths as an option has them, or None.
        patterns: Names of the modalities' files.
        spec: What the network is shown.

    Raises:
        OSError: If a picture or folder does not exist.
        ValueError: If there are no images or classes, or pictures cannot be told apart.
    """
    by_image = [ranking for ranking in rankings if ranking.needs_images]
    if not by_image:
        if images is not None:
            known = [one.name for one in RANKINGS.values() if one.needs_images]
            raise ValueError(
                f"--images are for rankings by images ({', '.join(known)}); none of "
                f"{', '.join(ranking.name for ranking in rankings)} is one"
            )
        return None
    labeled = [ranking.name for ranking in by_image if ranking.needs_labels]
    if images is not None and labeled:
        try:
            return CommandImages(*own_pictures(images, patterns, spec, PictureDataset.find_classes))
        except ValueError as error:
            if not are_all(rankings):
                raise ValueError(f"ranking by {labeled[0]} needs labels: {error}") from error
    chosen = choose_images(model, images, patterns, spec)
    if chosen is None and not are_all(rankings):
        raise ValueError(
            f"ranking by {by_image[0].name} needs images: give --images, "
            + ("a folder with one of each class in it" if labeled else "pictures or folders")
        )
    return chosen


def choose_probe(
    method: Method,
    probe: object,
    model: str,
    images: object,
    patterns: Mapping[str, str] | None,
    spec: InputSpec,
) -> SaliencyProbe | None:
    """Return a picture for saliency maps: ``probe``, else the first of the images or scenes.

    Raises:
        OSError: If there is no such file.
        ValueError: If it is no picture, or there are several.
    """
    if probe is None:
        chosen = choose_images(model, images, patterns, spec)
    else:
        chosen = CommandImages(*own_pictures(probe, patterns, spec))
        if len(chosen.dataset) > 1:
            raise ValueError(f"probe is one picture; got {len(chosen.dataset)}")
    if chosen is None:
        return None
    image, name = chosen.first()
    chosen.notes.print()
    return SaliencyProbe(image, name, method)
