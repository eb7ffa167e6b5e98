"""Choose the images of a command: pictures of the user's own, or the demo's scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from torch import Tensor

from neurovis.analysis import SaliencyProbe
from neurovis.cli.first_process import is_first_process
from neurovis.cli.notes import Notes, print_notes
from neurovis.cli.options import picture_paths
from neurovis.cli.tracking import tracked
from neurovis.demo import SHAPES, ShapeScenes
from neurovis.inputs import InputSpec
from neurovis.pictures import PictureDataset, PictureFiles, find_pictures, read_picture
from neurovis.saliency import Method
from neurovis.tuning.rankings import AnyRanking, ImageRanking

#: Number of the demo's scenes; each class as often.
_SCENES = 256
#: Scenes that the shipped network was not trained on.
_SCENES_SEED = 2000


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


@dataclass
class OwnPictures:
    """Pictures of the user's own, with what to print about them in the end.

    Attributes:
        dataset: The pictures that can be read.
        notes: Warnings about them.
        unreadable: Reasons why others were left out.
    """

    dataset: PictureDataset
    notes: Notes
    unreadable: list[str] = field(default_factory=list)

    def print_notes(self) -> None:
        """Print what was left out, and what was done to pictures."""
        print_unreadable(self.unreadable)
        self.notes.print()

    def raise_if_incomplete(self) -> None:
        """Raise ValueError at the end of a run if pictures were left out."""
        raise_unreadable(self.unreadable, len(self.unreadable) + len(self.dataset))


def noted_reader(notes: Notes) -> partial[Tensor]:
    """Return a function that reads pictures and keeps their warnings in ``notes``."""
    return partial(_read_noted, notes)


def _read_noted(notes: Notes, picture: PictureFiles, spec: InputSpec) -> Tensor:
    with notes.taken():
        return read_picture(picture, spec)


def print_unreadable(reasons: Sequence[str]) -> None:
    """Print why pictures were left out."""
    print_notes([f"left out: {' '.join(why.split())}" for why in reasons])


def raise_unreadable(reasons: Sequence[str], number: int) -> None:
    """Raise ValueError if any of a number of pictures were left out; why the first was."""
    if reasons:
        raise ValueError(
            f"left out {len(reasons)} of {number} pictures that could not be read; the first: "
            f"{reasons[0]}"
        )


def choose_ranking_images(
    rankings: Sequence[AnyRanking],
    spec: InputSpec,
    model: str,
    images: object,
    patterns: Mapping[str, str] | None,
) -> OwnPictures | DemoScenes | None:
    """Return the images that rankings need, if any; own pictures are each read once.

    Args:
        rankings: The rankings.
        spec: What the network is shown.
        model: Import path of the network; ``"demo"`` has scenes of its own.
        images: Paths as an option has them, or None.
        patterns: Names of the modalities' files.

    Raises:
        OSError: If a picture or folder does not exist.
        ValueError: If there are no images or classes, or pictures cannot be told apart.
    """
    by_image = [ranking for ranking in rankings if isinstance(ranking, ImageRanking)]
    if not by_image:
        if images is not None:
            raise ValueError(
                "--images are for rankings by images (sparseness, class, activation); none of "
                f"{', '.join(ranking.name for ranking in rankings)} is one"
            )
        return None
    labeled = [ranking.name for ranking in by_image if ranking.needs_labels]
    if images is None:
        if model == "demo":
            return DemoScenes(spec)
        raise ValueError(
            f"ranking by {by_image[0].name} needs images: give --images, "
            + ("a folder with one of each class in it" if labeled else "pictures or folders")
        )
    notes, paths = Notes(), picture_paths(images, spec)
    read = noted_reader(notes)
    with notes.taken():
        if labeled:
            folders = [] if isinstance(paths, dict) else paths
            try:
                found = PictureDataset.find_classes(folders, spec, patterns, read)
            except ValueError as error:
                raise ValueError(f"ranking by {labeled[0]} needs labels: {error}") from error
        else:
            found = PictureDataset.find(paths, spec, patterns, read)
    numbers = tracked(range(len(found)), "pictures looked into", is_first_process())
    reasons = dict(zip(numbers, found.unreadable(), strict=True))
    readable = [number for number, why in reasons.items() if why is None]
    if not readable:
        raise ValueError(reasons[0])
    unreadable = [why for why in reasons.values() if why is not None]
    return OwnPictures(found.subset(readable), notes, unreadable)


def choose_probe(
    spec: InputSpec,
    method: Method,
    model: str,
    probe: object,
    images: object,
    patterns: Mapping[str, str] | None,
) -> SaliencyProbe | None:
    """Return a picture for saliency maps: ``probe``, else the first of the images or scenes.

    Raises:
        OSError: If there is no such file.
        ValueError: If it is no picture, or there are several.
    """
    notes = Notes()
    with notes.taken():
        if probe is not None:
            found = find_pictures(picture_paths(probe, spec), spec, patterns)
            if len(found) > 1:
                raise ValueError(f"probe is one picture; got {len(found)}")
            chosen = SaliencyProbe(read_picture(found[0], spec), found[0].name, method)
        elif images is not None:
            pictures = PictureDataset.find(picture_paths(images, spec), spec, patterns)
            first, image = pictures.first_readable()
            chosen = SaliencyProbe(image, pictures.pictures[first].name, method)
        elif model == "demo":
            scene, _ = DemoScenes(spec)[0]
            chosen = SaliencyProbe(scene, "a scene of the demo", method)
        else:
            return None
    notes.print()
    return chosen
