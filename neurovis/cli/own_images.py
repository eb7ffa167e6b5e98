"""Choose the images of a command: pictures of the user's own, or the demo's scenes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar

from torch import Tensor

from neurovis.analysis import SaliencyProbe
from neurovis.cli.counting import counted
from neurovis.cli.first_process import is_first_process
from neurovis.cli.notes import Notes, print_notes
from neurovis.cli.options import picture_paths
from neurovis.demo import SHAPES, ShapeScenes
from neurovis.inputs import InputSpec
from neurovis.pictures import PictureDataset, PictureFiles, read_picture
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


class OwnPictures:
    """Pictures of the user's own, with what to print about them in the end.

    Args:
        find: Finds them: a class method of ``PictureDataset``.
        images: Paths, as an option has them.
        spec: What the network is shown.
        patterns: Names of the modalities' files.

    Attributes:
        dataset: The pictures.
        notes: Warnings about them.

    Raises:
        OSError: If a picture or folder does not exist.
        ValueError: If there is no picture, or pictures cannot be told apart.
    """

    def __init__(
        self,
        find: Callable[..., PictureDataset],
        images: object,
        spec: InputSpec,
        patterns: Mapping[str, str] | None,
    ) -> None:
        self.notes = Notes()
        paths = picture_paths(images, spec)
        with self.notes.taken():
            self.dataset = find(paths, spec, patterns, partial(_read_noted, self.notes))

    def readable(self) -> PictureDataset:
        """Read each picture once, and return those that can be read.

        Raises:
            ValueError: If there are none; why the first cannot be read.
        """
        number = len(self.dataset)
        with counted("pictures looked into", number, is_first_process()) as count:
            for index in range(number):
                self.dataset.try_image(index)
                count(1)
        self.dataset.first_readable()
        return self.dataset.subset([n for n in range(number) if n not in self.dataset.left_out])

    def print_notes(self) -> None:
        """Print what was left out, and what was done to pictures."""
        print_notes(
            [f"left out: {' '.join(why.split())}" for why in self.dataset.left_out.values()]
        )
        self.notes.print()

    def raise_if_incomplete(self) -> None:
        """Raise ValueError at the end of a run if pictures were left out; why the first was."""
        reasons = list(self.dataset.left_out.values())
        if reasons:
            raise ValueError(
                f"left out {len(reasons)} of {len(self.dataset)} pictures that could not be read; "
                f"the first: {reasons[0]}"
            )


def _read_noted(notes: Notes, picture: PictureFiles, spec: InputSpec) -> Tensor:
    with notes.taken():
        return read_picture(picture, spec)


def choose_ranking_images(
    rankings: Sequence[AnyRanking],
    spec: InputSpec,
    model: str,
    images: object,
    patterns: Mapping[str, str] | None,
) -> OwnPictures | DemoScenes | None:
    """Return the images that rankings need, if any.

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
    if not labeled:
        return OwnPictures(PictureDataset.find, images, spec, patterns)
    try:
        return OwnPictures(PictureDataset.find_classes, images, spec, patterns)
    except ValueError as error:
        raise ValueError(f"ranking by {labeled[0]} needs labels: {error}") from error


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
    if probe is not None:
        own = OwnPictures(PictureDataset.find, probe, spec, patterns)
        if len(own.dataset) > 1:
            raise ValueError(f"probe is one picture; got {len(own.dataset)}")
    elif images is not None:
        own = OwnPictures(PictureDataset.find, images, spec, patterns)
    elif model == "demo":
        scene, _ = DemoScenes(spec)[0]
        return SaliencyProbe(scene, "a scene of the demo", method)
    else:
        return None
    first, image = own.dataset.first_readable()
    own.notes.print()
    return SaliencyProbe(image, own.dataset.pictures[first].name, method)
