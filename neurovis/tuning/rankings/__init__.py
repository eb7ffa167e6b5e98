"""The rankings, by name; each is one small file, and a new one is one more."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from neurovis.tuning.rankings.activation import ActivationRanking
from neurovis.tuning.rankings.base import (
    AdaptiveRanking,
    AnyRanking,
    GratingRanking,
    ImageRanking,
    ImageResponses,
    Ranking,
    Scores,
    StimuliRanking,
    WeightRanking,
)
from neurovis.tuning.rankings.border_ownership import BorderOwnershipRanking
from neurovis.tuning.rankings.category import CategoryRanking
from neurovis.tuning.rankings.class_selectivity import ClassRanking
from neurovis.tuning.rankings.color import ColorRanking
from neurovis.tuning.rankings.conditions import ConditionRanking, PictureRanking
from neurovis.tuning.rankings.contrast import ContrastRanking
from neurovis.tuning.rankings.cross_orientation import CrossOrientationRanking
from neurovis.tuning.rankings.curvature import CurvatureRanking
from neurovis.tuning.rankings.direction import DirectionRanking
from neurovis.tuning.rankings.length import LengthRanking
from neurovis.tuning.rankings.modality import ModalityRanking
from neurovis.tuning.rankings.orientation import OrientationRanking
from neurovis.tuning.rankings.phase import PhaseRanking
from neurovis.tuning.rankings.predictable import PredictableRanking
from neurovis.tuning.rankings.size import SizeRanking
from neurovis.tuning.rankings.sparseness import SparsenessRanking
from neurovis.tuning.rankings.spatial_frequency import SpatialFrequencyRanking
from neurovis.tuning.rankings.temporal_frequency import TemporalFrequencyRanking
from neurovis.tuning.rankings.texture import TextureRanking
from neurovis.tuning.rankings.tolerance import ToleranceRanking
from neurovis.tuning.rankings.weight import WeightNormRanking

__all__ = [
    "RANKINGS",
    "AdaptiveRanking",
    "AnyRanking",
    "ConditionRanking",
    "GratingRanking",
    "ImageRanking",
    "ImageResponses",
    "PictureRanking",
    "PredictableRanking",
    "Ranking",
    "Scores",
    "StimuliRanking",
    "WeightRanking",
    "are_all",
    "register_ranking",
    "resolve_rankings",
]

#: The rankings that ``by`` can name.
RANKINGS: dict[str, AnyRanking] = {
    ranking.name: ranking
    for ranking in (
        OrientationRanking(),
        SpatialFrequencyRanking(),
        PhaseRanking(),
        SizeRanking(),
        LengthRanking(),
        ContrastRanking(),
        CrossOrientationRanking(),
        CurvatureRanking(),
        BorderOwnershipRanking(),
        DirectionRanking(),
        TemporalFrequencyRanking(),
        ColorRanking(),
        ModalityRanking(),
        SparsenessRanking(),
        ClassRanking(),
        CategoryRanking(),
        TextureRanking(),
        ToleranceRanking(),
        PredictableRanking(),
        ActivationRanking(),
        WeightNormRanking(),
    )
}


#: All that can be collected and scored.
_KINDS = (StimuliRanking, AdaptiveRanking, ImageRanking, WeightRanking)


def register_ranking(ranking: AnyRanking) -> AnyRanking:
    """Let ``by`` name a ranking of your own.

    Raises:
        TypeError: If it is no ranking.
        ValueError: If another ranking has its name.
    """
    _check_kind(ranking)
    known = RANKINGS.get(ranking.name)
    if known is not None and type(known) is not type(ranking):
        raise ValueError(
            f'there is a ranking "{ranking.name}" already ({type(known).__name__}); '
            "give yours another name"
        )
    RANKINGS[ranking.name] = ranking
    return ranking


def _check_kind(ranking: object) -> None:
    if not isinstance(ranking, _KINDS):
        raise TypeError(
            "a ranking is an object of a subclass of GratingRanking, AdaptiveRanking, "
            f"ConditionRanking, ImageRanking or WeightRanking; got {ranking!r}"
        )


def are_all(rankings: Iterable[AnyRanking]) -> bool:
    """True if all known rankings are among these: those that do not apply are left out then."""
    return RANKINGS.keys() <= {ranking.name for ranking in rankings}


def resolve_rankings(by: str | AnyRanking | Iterable[str | AnyRanking]) -> list[AnyRanking]:
    """The rankings that ``by`` names, each once; ``"all"`` names all of :data:`RANKINGS`.

    Raises:
        ValueError: If there is no such ranking; the message suggests the nearest names.
        TypeError: If a part is neither a name nor a ranking.
    """
    if not isinstance(by, (str, Ranking, Iterable)):
        raise TypeError(f"by names rankings, or is one; got {by!r}")
    parts = [by] if isinstance(by, (str, Ranking)) else list(by)
    parts = [one for part in parts for one in (RANKINGS if part == "all" else [part])]
    if not parts:
        raise ValueError(f"by needs at least one ranking: {', '.join(RANKINGS)}")
    found = {}
    for part in parts:
        if isinstance(part, str) and part not in RANKINGS:
            near = difflib.get_close_matches(part, RANKINGS, n=1, cutoff=0.5)
            hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(RANKINGS)}, all"
            raise ValueError(f'there is no ranking "{part}"; {hint}')
        ranking = RANKINGS[part] if isinstance(part, str) else part
        _check_kind(ranking)
        found[ranking.name] = ranking
    return list(found.values())
