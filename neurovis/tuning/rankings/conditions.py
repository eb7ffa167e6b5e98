"""Base classes of the rankings by a table of responses over the parameters of stimuli."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from neurovis.inputs import InputSpec
from neurovis.tuning.condition_responses import ConditionResponses
from neurovis.tuning.grating_responses import significant_without_phase
from neurovis.tuning.rankings.base import StimuliRanking, images_note, mixed_units_reason
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.settings import RankingSettings
from neurovis.tuning.stimuli import Conditions, DriftingGratings, PictureVersions


class ConditionRanking(StimuliRanking[ConditionResponses, Conditions]):
    """A ranking by a table of responses over the parameters of a set of stimuli.

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
    set_name = "drifting gratings"

    @override
    def stimuli(self, spec: InputSpec, settings: RankingSettings, images: Any) -> DriftingGratings:
        if spec.frames == 1:
            raise ValueError(
                f"ranking by {self.name} is for networks of video; the input is images"
            )
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
    def stimuli(self, spec: InputSpec, settings: RankingSettings, images: Any) -> PictureVersions:
        count = len(images)
        shown = min(count, self.most_pictures)
        return self.versions(spec, images, [place * count // shown for place in range(shown)])

    @override
    def note(self, stimuli: Conditions) -> str:
        return images_note(self.name, stimuli.shape[0])
