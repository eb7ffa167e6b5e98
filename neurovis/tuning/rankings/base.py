"""Base classes of the rankings, which give each kernel of a layer a number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from torch import Tensor
from typing_extensions import override

from neurovis.inputs import InputSpec
from neurovis.tuning.grating_responses import GratingResponses
from neurovis.tuning.metrics import ResponseMetric
from neurovis.tuning.responses import RankedLayer
from neurovis.tuning.settings import RankingSettings
from neurovis.tuning.stimuli import Conditions, Gratings, Variation
from neurovis.tuning.varied_responses import VariedResponses

#: A column of a table, one value for each kernel: numbers ``(K,)``, or words.
Column = Tensor | Sequence[str]
Responses = TypeVar("Responses")
_Stimuli = TypeVar("_Stimuli", bound=Conditions)

#: Least number of images for a ranking whose note does not call them few.
_FEW_IMAGES = 20


@dataclass(frozen=True)
class Scores:
    """Scores of ``K`` kernels by a ranking, and what else it finds about them.

    Attributes:
        score: ``(K,)``, the number that they are ranked by, highest first; NaN where undefined.
        dead: ``(K,)``, which of them responded to nothing.
        curve: ``(K, n)``, the responses that the score is of; halves of the stimuli should agree
            on them. None if there is no curve.
        values: Further columns by name, such as the preferred orientation.
        curve_over: What a curve that is not over all gratings is over, for figures; a word or a
            number for each of its ``n`` values.
    """

    score: Tensor
    dead: Tensor
    curve: Tensor | None = None
    values: Mapping[str, Column] = field(default_factory=dict)
    curve_over: Column = ()


def chosen_names(names: Sequence[str], choices: Tensor, undefined: Tensor) -> list[str]:
    """Return the name that each kernel chooses by its index ``(K,)``; empty where undefined."""
    return [
        "" if without else names[choice]
        for choice, without in zip(choices.tolist(), undefined.tolist(), strict=True)
    ]


class Ranking(ABC, Generic[Responses]):
    """Base of the rankings.

    A subclass of :class:`GratingRanking`, :class:`AdaptiveRanking`, :class:`ImageRanking`,
    :class:`WeightRanking` or ``ConditionRanking`` has a ``name`` and a ``score_name``, and computes
    the number in :meth:`score`.

    Attributes:
        name: What ``by`` calls it.
        score_name: What figures call its score, with the unit if there is one.
        scale: How the score is read: its range and what its ends mean; empty if nothing is to say.
        boundary: Score that divides two kinds of kernels, drawn in histograms.
        needs_rectifier: Whether responses must be cut off at 0 for it to mean something.
        needs_single_units: Whether responses that can be negative must be those of one unit each.
        is_signed: Whether the lowest scores are as selective as the highest, for something else.
        curve_axis: What a curve over numbers is over, with the unit, for figures.
        needs_images: Whether it is by images that the user gives.
        needs_labels: Whether each of these must have a class.
        curve_name: What the values of a curve are.
        shows_gratings: Whether the stimuli are gratings, whose phases responses are reduced over.
        least_phases: Fewest phases of each of these that the score needs.
    """

    name: ClassVar[str]
    score_name: ClassVar[str]
    scale: ClassVar[str] = ""
    boundary: ClassVar[float | None] = None
    needs_rectifier: ClassVar[bool] = False
    needs_single_units: ClassVar[bool] = False
    is_signed: ClassVar[bool] = False
    curve_axis: ClassVar[str] = ""
    needs_images: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = False
    curve_name: ClassVar[str] = "response"
    shows_gratings: ClassVar[bool] = False
    least_phases: ClassVar[int] = 4

    @property
    def meaning(self) -> str:
        """The first line of the class's docstring; empty without one."""
        return next(iter((type(self).__doc__ or "").strip().splitlines()), "")

    def inapplicable_reason(self, layer: RankedLayer) -> str | None:
        """Return the reason why the ranking does not apply to a layer; None if it does."""
        if self.needs_single_units and layer.mixes_units:
            return (
                f"the {layer.readout} of a map that can be negative says nothing of "
                f"{'gratings' if self.shows_gratings else self.name}; use the readout center, "
                "name the layer behind the ReLU, or say rectify"
            )
        if self.needs_rectifier and not layer.is_rectified:
            return (
                f"{self.name} needs responses that are cut off at 0, as behind a ReLU; name the "
                "layer behind it, or say rectify"
            )
        return None

    @abstractmethod
    def score(self, responses: Responses, layer: RankedLayer) -> Scores:
        """Score the layer's kernels, or the random ones beside them.

        Args:
            responses: Responses or weights of the kernels.
            layer: Layer of the kernels.
        """


AnyRanking = Ranking[Any]


class StimuliRanking(Ranking[Responses], Generic[Responses, _Stimuli]):
    """A ranking by responses to a set of stimuli, the same for all kernels."""

    @property
    def set_name(self) -> str:
        """Name of the set of stimuli; rankings with one name share it."""
        return f"stimuli of {self.name}"

    @abstractmethod
    def stimuli(self, spec: InputSpec, settings: RankingSettings, images: Any) -> _Stimuli:
        """Return the stimuli.

        Args:
            spec: What the network is shown.
            settings: Numbers of orientations and phases, spatial frequencies, and contrast.
            images: Dataset of the images that the user gives, whose items begin with
                ``(C, H, W)`` in [0, 1]; None without any, unless the ranking needs them.

        Raises:
            ArgumentError: If the settings are wrong in themselves.
            ValueError: If the ranking does not apply to the input or the images.
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


class GratingRanking(StimuliRanking[GratingResponses, Gratings]):
    """A ranking by responses to gratings; a subclass may show others than the settings'.

    Attributes:
        split: The axis of the gratings that is split for the reliability, every second value in
            either half: ``"orientation"`` or ``"spatial_frequency"``.
        split_phases: Whether every second phase goes into either half too.
        drawn_over: The axis of the gratings that figures draw responses over.
    """

    shows_gratings = True
    needs_single_units = True
    set_name = "gratings"
    split: ClassVar[str] = "orientation"
    split_phases: ClassVar[bool] = True
    drawn_over: ClassVar[str] = "orientation"

    @override
    def stimuli(self, spec: InputSpec, settings: RankingSettings, images: Any) -> Gratings:
        return settings.gratings(spec)

    @override
    def responses(self, stimuli: Gratings, means: Tensor, layer: RankedLayer) -> GratingResponses:
        return GratingResponses.to_gratings(
            stimuli, means, layer.is_rectified, self.split, self.split_phases
        )


class AdaptiveRanking(Ranking[VariedResponses]):
    """A ranking by responses to each kernel's best grating, shown in several variations.

    A first pass over the gratings of the other rankings finds the best orientation and spatial
    frequency of every kernel, and of every random one; a second pass shows these.

    Attributes:
        is_windowed: Whether the variations have windows, which stand where a layer's central units
            look.
    """

    shows_gratings = True
    needs_single_units = True
    is_windowed: ClassVar[bool] = False

    @abstractmethod
    def variations(self, spec: InputSpec, settings: RankingSettings) -> Sequence[Variation]:
        """Return how the gratings are shown; :meth:`score` is given the responses in this order.

        Args:
            spec: What the network is shown.
            settings: Contrast and aperture of the gratings.

        Raises:
            ValueError: If the ranking does not apply to the input.
        """

    @override
    def inapplicable_reason(self, layer: RankedLayer) -> str | None:
        if self.is_windowed and layer.place is None:
            return f"{self.name} shows windows, and the layer has no maps whose units look at one"
        if self.is_windowed and layer.readout != "center":
            return f"{self.name} shows windows to the central unit; use the readout center"
        return super().inapplicable_reason(layer)


def images_note(name: str, number: int, classes: int = 0) -> str:
    """Return a note on the number of images, on which scores and dead kernels depend.

    Args:
        name: Name of the ranking.
        number: Number of images.
        classes: Number of their classes, if the ranking needs them.
    """
    of_classes = f" of {classes} classes" if classes else ""
    few = ": too few to say much" if number < _FEW_IMAGES else ""
    return f"{name}: shown {number} images{of_classes}{few}"


@dataclass(frozen=True)
class ImageResponses:
    """Responses of ``K`` kernels to any images, reduced by a metric.

    Attributes:
        values: ``(K, ...)``, what the metric computed.
        classes: Names of the images' classes; empty if they have none.
    """

    values: Tensor
    classes: Sequence[str] = ()


class ImageRanking(Ranking[ImageResponses]):
    """A ranking by responses to any images, reduced by a metric as they stream."""

    needs_images = True

    @abstractmethod
    def metric(self, kernels: int, classes: int) -> ResponseMetric:
        """Return a new metric; :meth:`score` is given its result.

        Args:
            kernels: Number of kernels, those of the layer and the random ones beside it.
            classes: Number of classes of the images; 0 where they have none.
        """


class WeightRanking(Ranking[Tensor]):
    """A ranking by the weights ``(K, ...)`` themselves; nothing is shown to the network."""
