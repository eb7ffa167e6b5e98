"""Similarity of kernels' and neurons' distributions, its uncertainty, and what chance gives.

The score is that of Marques, Schrimpf & DiCarlo (2021): one minus the Kolmogorov-Smirnov distance
of two binned distributions over the largest possible, over what the neurons score themselves.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neurovis.tuning.reference import Counts, Distribution, Numbers

_RESAMPLES = 1000
#: Name of the mean over properties.
MEAN = "mean"


@dataclass(frozen=True)
class ReferenceScore:
    """Likeness of a layer's kernels to neurons, in one property or in the mean of several.

    Similarities are over that of the neurons to themselves.

    Attributes:
        layer: Dotted name.
        name: The property, or ``"mean"``.
        score: Expected similarity of as many of the kernels as there are neurons: 1 for the same
            distribution, 0 for one as far apart as can be.
        null_score: The same of the layer's random kernels; NaN without any.
        observed: Similarity of all kernels.
        draws: ``(1000,)``, similarity of resampled kernels to resampled neurons.
        null_draws: ``(1000,)``, similarity of as many random kernels; NaN without any.
        kernel_counts: ``(bins,)``, kernels in the bins of the neurons; empty for a mean.
        null_counts: ``(bins,)``, random kernels in them.
    """

    layer: str
    name: str
    score: float
    null_score: float
    observed: float
    draws: Numbers
    null_draws: Numbers
    kernel_counts: Counts
    null_counts: Counts

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the score's 95 % interval, from the bootstrap of kernels and neurons.

        Resampling makes distributions less alike, as sampling did: the upper end makes up for that.
        """
        errors = self.draws - self.observed
        lower, upper = np.nanquantile(errors, [0.025, 0.975])
        low = self.score - float(upper - np.nanmean(errors))
        return max(0.0, min(self.score, low)), min(1.0, max(self.score, self.score - float(lower)))

    @property
    def null_percentile(self) -> float:
        """Percent of layers of as many random kernels that are less alike; NaN without any."""
        known = self.null_draws[np.isfinite(self.null_draws)]
        return 100 * float((known < self.observed).mean()) if len(known) else float("nan")

    @property
    def exceeds_null(self) -> bool:
        """True if 95 % of layers of random kernels are less alike."""
        return self.null_percentile >= 95


def similarity(counts: Counts, reference: Counts) -> Numbers:
    """Return one minus the Kolmogorov-Smirnov distance, over the largest possible, of counts.

    Args:
        counts: ``(..., bins)``.
        reference: ``(..., bins)``; the largest distance is that of any distribution from it.

    Returns:
        ``(...)`` in [0, 1]; NaN where all counts are 0.

    Example:
        >>> float(similarity(np.array([1, 1]), np.array([1, 3])))  # (1/2 - 1/4) / (1 - 1/4)
        0.6666666666666667
    """
    with np.errstate(invalid="ignore"):
        shares = counts / counts.sum(-1, keepdims=True)
    wanted = reference / reference.sum(-1, keepdims=True)
    distance = np.abs(shares.cumsum(-1) - wanted.cumsum(-1)).max(-1)
    farthest = 1 - np.minimum(wanted[..., 0], wanted[..., -1])
    return np.asarray(1 - distance / farthest)


def expected_similarity(counts: Counts, reference: Counts) -> float:
    """Return the mean similarity of samples of counts, each as large as the reference, to it."""
    samples = _resampled(counts, int(reference.sum()), np.random.default_rng(0))
    return float(similarity(samples, reference).mean())


def _resampled(counts: Counts, size: int, random: np.random.Generator) -> Counts:
    return random.multinomial(size, counts / counts.sum(), _RESAMPLES)


def property_score(
    layer: str, kernels: Numbers, null: Numbers, neurons: Distribution
) -> ReferenceScore:
    """Compare a layer's kernels and random kernels with neurons.

    Args:
        layer: Name of the layer.
        kernels: ``(K,)``, their values of the property; NaN where undefined, not everywhere.
        null: ``(N,)``, those of the random kernels; empty without any.
        neurons: Distribution of the property.
    """
    counts, number = neurons.counts, len(neurons.counts)
    ceiling = expected_similarity(counts, counts)
    bins, null_bins = neurons.bins(kernels), neurons.bins(null)
    own, of_null = (np.bincount(one[one >= 0], minlength=number) for one in (bins, null_bins))
    # The same kernels are drawn for each property of a layer, but neurons of other studies.
    random = np.random.default_rng(1)
    of_neurons = np.random.default_rng(zlib.crc32(neurons.name.encode()))
    drawn = _resampled_kernels(bins, len(bins), number, random)
    null_score, null_draws = float("nan"), np.full(_RESAMPLES, np.nan)
    if of_null.any():
        # Kernels that vary less than the neurons may score a little more than these.
        null_score = min(1.0, expected_similarity(of_null, counts) / ceiling)
        null_draws = similarity(_resampled_kernels(null_bins, len(bins), number, random), counts)
    return ReferenceScore(
        layer,
        neurons.name,
        score=min(1.0, expected_similarity(own, counts) / ceiling),
        null_score=null_score,
        observed=float(similarity(own, counts)) / ceiling,
        draws=similarity(drawn, _resampled(counts, int(counts.sum()), of_neurons)) / ceiling,
        null_draws=null_draws / ceiling,
        kernel_counts=own,
        null_counts=of_null,
    )


def mean_score(parts: Sequence[ReferenceScore]) -> ReferenceScore:
    """Return the mean of a layer's scores over properties, draw by draw."""
    nothing = np.empty(0, np.int64)
    return ReferenceScore(
        parts[0].layer,
        MEAN,
        score=float(np.mean([part.score for part in parts])),
        null_score=float(np.mean([part.null_score for part in parts])),
        observed=float(np.mean([part.observed for part in parts])),
        draws=np.mean([part.draws for part in parts], axis=0),
        null_draws=np.mean([part.null_draws for part in parts], axis=0),
        kernel_counts=nothing,
        null_counts=nothing,
    )


def _resampled_kernels(bins: Counts, size: int, number: int, random: np.random.Generator) -> Counts:
    """Count ``size`` kernels, drawn from these, in bins: ``(1000, number)``."""
    # In few bytes, since a layer may have thousands of kernels.
    places = random.integers(len(bins), size=(_RESAMPLES, size), dtype=np.int32)
    drawn = bins.astype(np.int16)[places]
    return np.stack([(drawn == place).sum(1) for place in range(number)], axis=1)
