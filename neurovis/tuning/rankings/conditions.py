"""Base classes of the rankings that bring their own stimuli, the same for all kernels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sized
from typing import Any, ClassVar, Generic, TypeVar, cast

import torch
from torch import Tensor
from torch.utils.data import Dataset
from typing_extensions import override

from neurovis.inputs import InputSpec
from neurovis.tuning.condition_responses import ConditionResponses
from neurovis.tuning.grating_responses import significant_without_phase
from neurovis.tuning.rankings.base import Ranking, Responses, images_note, mixed_units_reason
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.stimuli import Conditions, DriftingGratings, PictureVersions

_Stimuli = TypeVar("_Stimuli", bound=Conditions)


class OwnStimuliRanking(Ranking[Responses], Generic[Responses, _Stimuli]):
    """A ranking by responses to a set of stimuli of its own, in a form of its own."""

    @property
    def set_name(self) -> str:
        """Name of the set of stimuli; rankings with one name share it."""
        return self.name

    @abstractmethod
    def stimuli(self, spec: InputSpec, images: Dataset[Any] | None) -> _Stimuli:
        """Return the stimuli.

        Args:
            spec: What the network is shown.
            images: Those that the user gives, if any; items begin with ``(C, H, W)`` in [0, 1].

        Raises:
            ValueError: If they cannot be shown in such an input.
        """

    @abstractmethod
    def responses(self, stimuli: _Stimuli, means: Tensor, layer: RankedLayer) -> Responses:
        """Return what :meth:`score` takes.

        Args:
            stimuli: What was shown.
            means: ``(K, n)``, mean responses to each stimulus, of the layer's kernels and of the
                random ones behind them.
            layer: The layer.
        """

    def note(self, stimuli: _Stimuli) -> str | None:
        """Return what there is to know of the stimuli; None where there is nothing."""


class ConditionRanking(OwnStimuliRanking[ConditionResponses, Conditions]):
    """A ranking by a table of responses over the parameters of a set of stimuli of its own.

    For the reliability, every second value of the set's first parameter goes into either half.
    """

    @override
    def responses(
        self, stimuli: Conditions, means: Tensor, layer: RankedLayer
    ) -> ConditionResponses:
        table = means[:, :-1].unflatten(1, stimuli.shape)
        return ConditionResponses(table, means[:, -1], torch.arange(stimuli.shape[0]))

    @override
    def inapplicable_reason(self, layer: RankedLayer) -> str | None:
        return mixed_units_reason(layer, self.name) or super().inapplicable_reason(layer)


class MotionRanking(ConditionRanking):
    """A ranking by drifting gratings, for networks of video."""

    shows_gratings = True

    @property
    @override
    def set_name(self) -> str:
        return "drifting_gratings"

    @override
    def check(self, spec: InputSpec) -> None:
        if spec.frames == 1:
            raise ValueError(
                f"ranking by {self.name} is for networks of video; the input is images"
            )
        DriftingGratings(spec)

    @override
    def stimuli(self, spec: InputSpec, images: Dataset[Any] | None) -> DriftingGratings:
        return DriftingGratings(spec)

    def tuning(self, responses: ConditionResponses, layer: RankedLayer) -> Tensor:
        """Return the responses without phase, non-negative, as those to gratings are.

        Args:
            responses: Responses to drifting gratings.
            layer: Layer of the kernels.

        Returns:
            ``(K, spatial frequencies, directions, temporal frequencies)``.
        """
        return significant_without_phase(responses.table, responses.blank, layer.is_rectified)


class PictureRanking(ConditionRanking):
    """A ranking by responses to pictures in several versions, ``(K, pictures, versions)``.

    Attributes:
        versions: Class of the versions.
        most_pictures: Largest number of pictures that are shown, evenly spaced over those given.
    """

    needs_images = True
    versions: ClassVar[type[PictureVersions]]
    most_pictures: ClassVar[int]

    @override
    def stimuli(self, spec: InputSpec, images: Dataset[Any] | None) -> PictureVersions:
        if images is None:
            raise ValueError(f"ranking by {self.name} needs images to show; give images")
        count = len(cast(Sized, images))
        shown = min(count, self.most_pictures)
        return self.versions(spec, images, [place * count // shown for place in range(shown)])

    @override
    def note(self, stimuli: Conditions) -> str:
        return images_note(self.name, stimuli.shape[0])
