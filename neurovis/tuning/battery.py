"""Choose the stimuli for rankings: each set is shown once, for all layers and all rankings."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import Dataset

from neurovis.inputs import InputSpec, check_values
from neurovis.layers import ArgumentError
from neurovis.tuning.rankings import (
    AdaptiveRanking,
    AnyRanking,
    GratingRanking,
    ImageRanking,
    StimuliRanking,
    are_all,
)
from neurovis.tuning.settings import RankingSettings
from neurovis.tuning.stimuli import Conditions, Variation

IMAGES = "images"
#: Name of the gratings that show which are best for a kernel.
GRATINGS = GratingRanking.set_name
#: Minimum number of images to rank by, and to split into halves.
_FEWEST_IMAGES, _FEWEST_TO_SPLIT = 2, 4

#: Images ``(B, C, H, W)`` or a dataset of ``(C, H, W)``, each alone or with its class, in [0, 1].
Images = Tensor | Dataset[Any]


@dataclass(frozen=True)
class Battery:
    """Sets of stimuli by name, those that do not depend on the responses to others.

    Attributes:
        settings: Options of the gratings.
        conditions: Gratings, those that find the best for each kernel among them, and the sets of
            rankings that bring their own.
        variations: For rankings by each kernel's best grating, by their names, how it is shown.
        images: Those of image rankings, if any.
        classes: Names of the images' classes; empty if they have none.
        may_leave_out: Whether all rankings were asked for, so that those that cannot be made are
            left out.
        left_out: Why rankings are left out, by their names: those that do not apply to the input,
            or want images or classes that are not given.
    """

    settings: RankingSettings
    conditions: dict[str, Conditions]
    variations: dict[str, Sequence[Variation]]
    images: LabeledImages | None
    classes: list[str]
    may_leave_out: bool
    left_out: dict[str, str]

    @property
    def sets(self) -> dict[str, Conditions | LabeledImages]:
        """All sets by name; none where nothing is shown."""
        images = {} if self.images is None else {IMAGES: self.images}
        return {**self.conditions, **images}

    @property
    def can_be_split(self) -> bool:
        """True if there are enough images for several in each half."""
        return self.image_count >= _FEWEST_TO_SPLIT

    @property
    def image_count(self) -> int:
        """Number of the images of image rankings."""
        return 0 if self.images is None else len(self.images)


def choose_battery(
    rankings: Sequence[AnyRanking],
    spec: InputSpec,
    settings: RankingSettings,
    images: Images | None,
    labels: Tensor | None,
    classes: Sequence[str] | None,
) -> Battery:
    """Choose the stimuli that these rankings need.

    Where all rankings are asked for, those that cannot be made are left out.

    Args:
        rankings: The rankings.
        spec: What the network is shown.
        settings: Options of the gratings.
        images: For the rankings by images.
        labels: ``(B,)``, a class for each of the images, where they are a tensor.
        classes: Names of the classes, in the order of their numbers.

    Raises:
        ValueError: If a ranking does not apply to the input, or wants images or labels that are
            not given.
    """
    shown, names = None, []
    if images is not None and any(ranking.needs_images for ranking in rankings):
        shown = LabeledImages(images, labels, spec)
        names = _class_names(images, labels, classes)
        if labels is not None and labels.max() >= len(names):
            raise ValueError(
                f"labels go up to class {int(labels.max())}, but there are {len(names)} classes, "
                "from 0"
            )
    battery = Battery(settings, {}, {}, shown, names, are_all(rankings), {})
    for ranking in rankings:
        try:
            _check_images(ranking, shown, names)
            if isinstance(ranking, StimuliRanking):
                stimuli = ranking.stimuli(spec, settings, shown)
                battery.conditions.setdefault(ranking.set_name, stimuli)
            if isinstance(ranking, AdaptiveRanking):
                battery.variations[ranking.name] = ranking.variations(spec, settings)
                battery.conditions.setdefault(GRATINGS, settings.gratings(spec))
        except ArgumentError:
            raise
        except ValueError as error:
            if not battery.may_leave_out:
                raise
            battery.left_out[ranking.name] = str(error)
    by_images = (one for one in rankings if isinstance(one, ImageRanking))
    if all(ranking.name in battery.left_out for ranking in by_images):
        return replace(battery, images=None)
    return battery


def _check_images(ranking: AnyRanking, shown: LabeledImages | None, names: Sequence[str]) -> None:
    """Refuse a ranking that needs images or classes which are not given."""
    if ranking.needs_images and shown is None:
        raise ValueError(f"ranking by {ranking.name} needs images to show; give images")
    if ranking.needs_labels and not names:
        raise ValueError(
            f"ranking by {ranking.name} needs images with labels; give labels, a dataset of "
            "(image, class) with the names of its classes, or a folder with one for each class"
        )
    if ranking.needs_labels and len(names) == 1:
        raise ValueError(
            f"ranking by {ranking.name} compares classes; all images are of {names[0]}"
        )


class LabeledImages(Dataset[tuple[Tensor, int, int]]):
    """Images with their number and class, ``(image (C, H, W), number, class)``; class -1 is none.

    Args:
        images: A tensor, or a dataset whose items are images or ``(image, class)``.
        labels: The tensor's classes.
        spec: What images must look like.

    Raises:
        ValueError: If there are too few images, or the tensor or its labels do not fit.
        TypeError: If it is neither a tensor nor a dataset with a length.
    """

    def __init__(self, images: Images, labels: Tensor | None, spec: InputSpec) -> None:
        if not isinstance(images, (Tensor, Sized)) or not hasattr(images, "__getitem__"):
            raise TypeError(
                "images must be a tensor (B, C, H, W) or a map-style dataset with a length; "
                f"got {type(images).__name__}"
            )
        number = len(cast(Sized, images))
        if number < _FEWEST_IMAGES:
            raise ValueError(
                f"images needs at least {_FEWEST_IMAGES} images, to compare responses; got {number}"
            )
        if labels is not None and (
            not isinstance(images, Tensor) or labels.shape != images.shape[:1] or labels.min() < 0
        ):
            raise ValueError(
                "labels must be one class number, 0 or more, for each image of a tensor; got "
                f"shape {tuple(labels.shape)}"
            )
        if labels is not None and (labels.is_floating_point() or labels.is_complex()):
            raise TypeError(f"labels must be integers, the classes' numbers; got {labels.dtype}")
        self._images, self._labels, self._spec = images, labels, spec

    def __len__(self) -> int:
        return len(cast(Sized, self._images))

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        item = self._images[index]
        label = -1 if self._labels is None else int(self._labels[index])
        if isinstance(item, (tuple, list)):
            item, label = item[0], int(item[1])
        if not isinstance(item, Tensor) or tuple(item.shape) != self._spec.shape:
            got = tuple(item.shape) if isinstance(item, Tensor) else type(item).__name__
            raise ValueError(
                f"images must be tensors {self._spec.shape} as the input_spec says; image {index} "
                f"is {got}"
            )
        check_values(item, index)
        return item.float(), index, label


def _class_names(images: Images, labels: Tensor | None, classes: Sequence[str] | None) -> list[str]:
    """The classes' names: those given, the dataset's own, or the labels' numbers."""
    names = classes if classes is not None else getattr(images, "classes", None)
    if names is not None:
        return [str(name) for name in names]
    if labels is None:
        return []
    return [str(number) for number in range(int(torch.as_tensor(labels).max()) + 1)]
