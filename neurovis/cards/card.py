"""Content of a card: pictures, curves, scores, and the evidence for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Measure:
    """A number that all cards can be sorted and filtered by.

    Args:
        name: What cards call it.
        label: What the page calls it, such as ``"orientation (gOSI)"``.
        meaning: What it is and how it is read, in a sentence or two.
    """

    name: str
    label: str
    meaning: str = ""


@dataclass(frozen=True)
class Score:
    """Score of one kernel in a ranking; numbers are NaN where undefined.

    Args:
        value: The score.
        rank: The kernel's place in its layer, from 1; None without a score.
        null_percentile: Percent of random kernels that score less.
        reliability: How well the halves of the stimuli agree, up to 1.
        preferred: What it prefers, in words, such as ``"35°"``.
        silent: Whether it responded to nothing of what it was ranked by.
    """

    value: float
    rank: int | None = None
    null_percentile: float = float("nan")
    reliability: float = float("nan")
    preferred: str = ""
    silent: bool = False


@dataclass(frozen=True)
class Evidence:
    """Evidence that a preferred image drives its kernel, and by how much.

    Args:
        activation: Activation of the image, on the network as it is.
        noise_activation: Activation of the noise that the ascent started from.
        dead: Whether the kernel stayed silent.
        ended: ``converged``, ``steps`` or ``cut short``.
        steps: Steps of the ascent.
        unit: What activations are counted in; empty for the layer's own.
    """

    activation: float
    noise_activation: float
    dead: bool
    ended: str = ""
    steps: int = 0
    unit: str = ""


@dataclass(frozen=True)
class Picture:
    """A small picture on a card.

    Args:
        source: A ``data:`` URI, see :func:`~neurovis.cards.data_uri`.
        label: What stands below it, such as its activation.
        title: What it is, in words: for those who cannot see it, and under the pointer.
    """

    source: str
    label: str = ""
    title: str = ""


@dataclass(frozen=True)
class Curves:
    """Responses to gratings, of one kernel.

    Args:
        orientation: ``(O,)`` responses over :attr:`CardLayer.orientations`.
        spatial_frequency: ``(F,)`` responses over :attr:`CardLayer.spatial_frequencies`.
        preferred_orientation: In degrees; NaN where undefined.
        preferred_spatial_frequency: In cycles per pixel; NaN where undefined.
        modulation: What the gratings modulate, where there are several such; the one that drives
            the kernel most is shown.
    """

    orientation: Sequence[float]
    spatial_frequency: Sequence[float]
    preferred_orientation: float = float("nan")
    preferred_spatial_frequency: float = float("nan")
    modulation: str = ""


@dataclass(frozen=True)
class ReceptiveField:
    """Receptive field of a kernel's central unit.

    Args:
        height: Height in pixels of the middle part that holds 95 % of the effective field; NaN for
            a unit that nothing drives.
        width: Its width.
        picture: The effective field.
        over: What it was measured over, in words.
    """

    height: float
    width: float
    picture: Picture | None = None
    over: str = ""


@dataclass(frozen=True)
class CardLayer:
    """Properties that the cards of a layer share.

    Args:
        name: Dotted name.
        kernels: How many it has.
        orientations: The gratings' orientations, in degrees counter-clockwise from horizontal.
        spatial_frequencies: The gratings' spatial frequencies, in cycles per pixel.
        receptive_field: Height and width in pixels of the theoretical field; None where unknown.
        response: What curves are of, such as ``"F1 amplitude"``.
        notes: What there is to know of all its kernels.
    """

    name: str
    kernels: int
    orientations: Sequence[float] = ()
    spatial_frequencies: Sequence[float] = ()
    receptive_field: tuple[int, int] | None = None
    response: str = ""
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Card:
    """One kernel with all that was found out about it; what was not asked is left out.

    Args:
        layer: Dotted name.
        kernel: 0-based.
        evidence: For the preferred images.
        preferred: Preferred images; several are variants.
        scores: By the name of their :class:`Measure`.
        curves: Tuning.
        weights: Weights of a first layer.
        field: What its central unit sees.
        saliency: Which pixels of a probe picture drive it: the map over the picture.
        top_images: Real pictures that drive it most, best first.
        top_activation: Activation of the best of them.
        remarks: Further words of evidence.
        name: What it is called beside its number, such as the class that it stands for.
    """

    layer: str
    kernel: int
    evidence: Evidence | None = None
    preferred: Sequence[Picture] = ()
    scores: Mapping[str, Score] = field(default_factory=dict)
    curves: Curves | None = None
    weights: Picture | None = None
    field: ReceptiveField | None = None
    saliency: Picture | None = None
    top_images: Sequence[Picture] = ()
    top_activation: float = float("nan")
    remarks: Sequence[str] = ()
    name: str = ""
