"""Base classes of the rankings by a table of responses over the parameters of stimuli."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from neurovis.inputs import InputSpec
from neurovis.tuning.condition_responses import ConditionResponses
from neurovis.tuning.grating_responses import significant_without_phase
from neurovis.tuning.rankings.base import StimuliRanking, images_note
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.settings import RankingSettings
from neurovis.tuning.stimuli import Conditions, DriftingGratings, PictureVersions


class ConditionRanking(StimuliRanking[ConditionResponses, Conditions]):
    """A ranking by a table of responses over the parameters of a set of stimuli.

    For the reliability, every second value of the set's first parameter goes into either half.
    """

    needs_single_units = True

    @override
    def responses(
        self, stimuli: Conditions, means: Tensor, layer: RankedLayer
    ) -> ConditionResponses:
        table = means[:, :-1].unflatten(1, stimuli.shape)
        return ConditionResponses(table, means[:, -1], torch.arange(stimuli.shape[0]))


class MotionRanking(ConditionRanking):
    """A ranking by drifting gratings, for networks of video."""

    shows_gratings = True
    set_name = "drifting gratings"

    @override
    def stimuli(self, spec: InputSpec, settings: RankingSettings, images: Any) -> DriftingGratings:
        if spec.frames == 1:
            raise ValueError(
                f"ranking by {self.name} is for networks of video; the input is images"
            )
        return DriftingGratings(spec)

    def curves(
        self, responses: ConditionResponses, layer: RankedLayer, axis: int, first: int = 0
    ) -> Tensor:
        """Return responses over one parameter, at each kernel's best values of the others.

        They are without phase and non-negative, as those to gratings are.

        Args:
            responses: Responses to drifting gratings.
            layer: Layer of the kernels.
            axis: The parameter: 1 for spatial frequencies, 2 for directions, 3 for temporal
                frequencies.
            first: The lowest temporal frequency that counts; 1 leaves out what stands still.

        Returns:
            ``(K, n)``.
        """
        tuning = significant_without_phase(responses.table, responses.blank, layer.is_rectified)
        curves = tuning[..., first:].movedim(axis, 3).flatten(1, 2)
        return curves[torch.arange(len(curves)), curves.amax(2).nan_to_num().argmax(1)]


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
    def stimuli(self, spec: InputSpec, settings: RankingSettings, images: Any) -> PictureVersions:
        count = len(images)
        shown = min(count, self.most_pictures)
        return self.versions(spec, images, [place * count // shown for place in range(shown)])

    @override
    def note(self, stimuli: Conditions) -> str:
        return images_note(self.name, stimuli.shape[0])
