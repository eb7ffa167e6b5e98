"""Targets of images: the numbers of an objective to drive together, and how they become one.

For all images of a batch at once this is done with tensors, so that a step needs no loop over
images, and nothing waits for the device.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from neurovis.maximization.objectives.choice import as_objective
from neurovis.maximization.objectives.objective import Objective
from neurovis.maximization.options import is_number
from neurovis.readouts import Readout
from neurovis.transfer import sent

Joint = Literal["mean", "min", "weighted"]


def _is_weight(value: object) -> bool:
    """Return True for a finite real number, of Python, NumPy or torch."""
    return is_number(value.item() if isinstance(value, (np.generic, Tensor)) else value)


@dataclass(frozen=True)
class Target:
    """The kernels that one image is to drive together; most often just one.

    What is said of kernels holds for whatever an objective has numbers of: directions, or the
    layer as a whole, which is number 0.

    Args:
        kernels: 0-based channels of the layer, without repetition.
        joint: How their readouts become one number: their ``mean``, their ``min`` (the weakest
            is maximized), or ``weighted``, their mean weighted by ``weights`` over the sum of
            absolute weights.
        weights: One for each kernel; only with ``weighted``. Negative weights suppress.
        suppressed: Other kernels, whose mean readout is taken off the number.
        zscore: Statistics ``(means, standard deviations)`` of each member's readout of noise: if
            given, readouts are standardized by them before they are joined, so that kernels of
            different liveliness count alike. One of each for each kernel, then for each that is
            suppressed; see :func:`~neurovis.maximization.objectives.noise_statistics`.

    Raises:
        ValueError: If there is no kernel, one is repeated, or weights or statistics do not fit.
    """

    kernels: tuple[int, ...]
    joint: Joint = "mean"
    weights: tuple[float, ...] | None = None
    suppressed: tuple[int, ...] = ()
    zscore: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    def __post_init__(self) -> None:
        if not self.kernels:
            raise ValueError("a group needs at least one kernel; got none")
        if len(set(self.kernels)) < len(self.kernels):
            raise ValueError(f"a group names each kernel once; got {list(self.kernels)}")
        if any(kernel < 0 for kernel in self.members):
            raise ValueError(f"kernels are numbered from 0; got {list(self.members)}")
        if self.joint not in ("mean", "min", "weighted"):
            raise ValueError(f'joint must be "mean", "min" or "weighted"; got {self.joint!r}')
        self._check_weights()
        self._check_suppressed()
        self._check_statistics()

    @property
    def members(self) -> tuple[int, ...]:
        """The kernels, and after them those that are suppressed."""
        return self.kernels + self.suppressed

    @property
    def wanted(self) -> tuple[bool, ...]:
        """For each member whether it is to respond."""
        kernels = driven_members(len(self.kernels), self.weights)
        return (*kernels, *[False] * len(self.suppressed))

    def join(self, values: Tensor) -> Tensor:
        """One number from the members' readouts ``(M,)``."""
        return joint_values([values], [self])[0]

    def _check_weights(self) -> None:
        if (self.weights is not None) != (self.joint == "weighted"):
            raise ValueError('weights are given with joint="weighted", and only with it')
        if self.weights is None:
            return
        if len(self.weights) != len(self.kernels):
            raise ValueError(
                f"weights must have one value per kernel: {len(self.kernels)} kernels, "
                f"{len(self.weights)} weights"
            )
        if not all(map(_is_weight, self.weights)):
            raise ValueError(f"weights must be finite real numbers; got {list(self.weights)}")
        if not any(self.weights):
            raise ValueError("weights must not all be zero")

    def _check_suppressed(self) -> None:
        if len(set(self.suppressed)) < len(self.suppressed):
            raise ValueError(f"each suppressed kernel is named once; got {list(self.suppressed)}")
        both = sorted(set(self.kernels) & set(self.suppressed))
        if both:
            raise ValueError(f"kernels cannot be driven and suppressed at once; got {both} as both")

    def _check_statistics(self) -> None:
        if self.zscore is None:
            return
        for name, values in zip(("means", "standard deviations"), self.zscore, strict=True):
            if len(values) != len(self.members):
                raise ValueError(
                    f"zscore must have one value per member: {len(self.members)} members, "
                    f"{len(values)} {name}"
                )
            if not all(map(math.isfinite, values)):
                raise ValueError(f"{name} of zscore must be finite numbers; got {list(values)}")
        if min(self.zscore[1]) <= 0:
            raise ValueError(
                f"standard deviations of zscore must be positive; got {list(self.zscore[1])}"
            )


def driven_members(count: int, weights: Sequence[float] | None) -> list[bool]:
    """Return True for kernels that are to respond: all but those with a weight of 0 or less.

    Args:
        count: How many there are.
        weights: One for each kernel; None where all count alike.
    """
    return [True] * count if weights is None else [weight > 0 for weight in weights]


class TargetBatch:
    """Reads each image of a batch at its own target's members, and joins what it read.

    Made once for as long as the targets stay the same. What comes out for an image is the same,
    bitwise, however many members the other images' targets have: the objective has read everything
    for everyone, and members are added up in an order that does not depend on how many there are.

    Args:
        targets: One for each image.
        device: Where activations are.

    Attributes:
        targets: One for each image.
        index: ``(B, M)`` each image's members; 0 where a target has fewer than M, which is the most
            that any has.
        is_member: ``(B, M)`` whether there is such a member.
        wanted: ``(B, M)`` whether it is to respond, on the CPU.

    Raises:
        ValueError: If there is no target.

    Example:
        >>> batch = TargetBatch([Target((2,)), Target((0, 1), "min")], torch.device("cpu"))
        >>> values = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
        >>> batch.joint(batch.members(values)).tolist()
        [3.0, 4.0]
    """

    def __init__(self, targets: Sequence[Target], device: torch.device | str) -> None:
        if not targets:
            raise ValueError("a batch needs at least one target; got none")
        self.targets = list(targets)
        self._largest = max(max(target.members) for target in targets)
        self.index = _table([target.members for target in targets], 0, device).long()
        self.is_member = _table([[1] * len(t.members) for t in targets], 0, device).bool()
        # On the CPU, where it is decided what is to be woken.
        self.wanted = _table([target.wanted for target in targets], 0, "cpu").bool()
        self._climbs_weakest = torch.tensor([target.joint == "min" for target in targets])
        # A lone kernel's number is its readout: nothing to standardize, to weight or to take off.
        self._is_plain = all(
            target.joint != "weighted" and target.zscore is None and len(target.members) == 1
            for target in targets
        )
        if not self._is_plain:
            self._prepare_joining(device)

    def members(self, values: Tensor) -> Tensor:
        """The readouts ``(B, M)`` of each image's own members.

        Args:
            values: ``(B, N)``, what an objective has read.

        Raises:
            ValueError: If they are not of as many images, or there are no such members.
        """
        if values.ndim != 2 or len(values) != len(self.targets):
            raise ValueError(
                f"an objective must return (B, N) numbers for {len(self.targets)} images; it "
                f"returned {tuple(values.shape)}"
            )
        # Checked here, for a GPU would not say which index is wrong.
        if self._largest >= values.shape[1]:
            raise ValueError(
                f"a target is of number {self._largest}; the objective reads {values.shape[1]}, "
                "counted from 0"
            )
        return values.gather(1, self.index)

    def joint(self, members: Tensor) -> Tensor:
        """Return the number ``(B,)`` each image maximizes, from members' ``(B, M)`` readouts."""
        if self._is_plain:
            return members[:, 0]
        if self._standardizes:
            members = (members - self._means) / self._deviations
        # Whatever stands where there is no member may be infinite.
        kernels = torch.where(self._is_kernel, members, 0.0)
        joint = _sums(kernels * self._weights) / self._weight_sums
        if self._has_min:
            lowest = torch.where(self._is_kernel, members, math.inf).amin(1)
            joint = torch.where(self._is_min, lowest, joint)
        if self._suppresses:
            taken_off = torch.where(self._is_suppressed, members, 0.0)
            joint = joint - _sums(taken_off) / self._suppressed_counts
        return joint

    def silent(self, members: Tensor) -> Tensor:
        """Return ``(B, M)`` True for wanted members that read exactly 0, as only rectifiers leave.

        Args:
            members: ``(B, M)`` readouts, on the CPU.
        """
        return (members.detach() == 0) & self.wanted

    def waking(self, members: Tensor, silent: Tensor) -> Tensor:
        """The number ``(B,)`` whose gradient wakes silent members, as steep as :meth:`joint`.

        Args:
            members: ``(B, M)`` readouts, with gradients where they are silent too.
            silent: ``(B, M)`` which are to be woken.
        """
        if self._is_plain:
            return (members * silent)[:, 0]
        if self._standardizes:
            members = members / self._deviations
        asleep = torch.where(silent, members, 0.0)
        joint = _sums(asleep * self._weights) / self._weight_sums
        # The weakest counts alone, and here these are all as weak.
        weakest = _sums(asleep) / silent.sum(1).clamp(min=1)
        return torch.where(self._is_min, weakest, joint)

    def asleep(self, members: Tensor) -> Tensor:
        """Return ``(B,)`` True where a target is silent: all its members, or any one with ``min``.

        Args:
            members: ``(B, M)`` readouts, on the CPU.
        """
        silent = self.silent(members)
        everything = (silent | ~self.wanted).all(1) & self.wanted.any(1)
        return everything | (self._climbs_weakest & silent.any(1))

    def of(self, rows: Sequence[int]) -> TargetBatch:
        """The targets of some of the images, with as many columns as all have."""
        some = copy.copy(self)
        some.targets = [self.targets[row] for row in rows]
        chosen = torch.tensor(list(rows), dtype=torch.long)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(some, name, value[sent(chosen, value.device)])
        return some

    def split(self, members: Tensor) -> list[Tensor]:
        """The readouts of each image by itself, ``(M_i,)`` for the members that it has."""
        return [
            values[: len(target.members)]
            for values, target in zip(members, self.targets, strict=True)
        ]

    def _prepare_joining(self, device: torch.device | str) -> None:
        """Tensors ``(B, M)`` and ``(B,)`` that say how members are joined."""
        targets = self.targets
        width = self.index.shape[1]
        weights = [target.weights or (1.0,) * len(target.kernels) for target in targets]
        self._weights = _table(weights, 0, device, width)
        self._weight_sums = _table([[math.fsum(map(abs, w))] for w in weights], 0, device)[:, 0]
        is_kernel = [[1] * len(target.kernels) for target in targets]
        self._is_kernel = _table(is_kernel, 0, device, width).bool()
        self._is_suppressed = self.is_member & ~self._is_kernel
        counts = [[max(len(target.suppressed), 1)] for target in targets]
        self._suppressed_counts = _table(counts, 1, device)[:, 0]
        self._is_min = self._climbs_weakest.to(device)
        statistics = [target.zscore or ((), ()) for target in targets]
        self._means = _table([means for means, _ in statistics], 0, device, width)
        self._deviations = _table([stds for _, stds in statistics], 1, device, width)
        # Known on the host, so that no step has to ask the device.
        self._has_min = any(target.joint == "min" for target in targets)
        self._suppresses = any(target.suppressed for target in targets)
        self._standardizes = any(target.zscore is not None for target in targets)


def member_values(
    activation: Tensor, targets: Sequence[Target], readout: Objective | Readout
) -> list[Tensor]:
    """Each image's readouts ``(M,)`` of its own target's members, in float32.

    Args:
        activation: ``(B, K, ...)``, kernels second.
        targets: One for each image.
        readout: An objective, or a function from activations to ``(B, K)``.

    Raises:
        ValueError: If the readout returns another shape, or does not have a member.
    """
    batch = TargetBatch(targets, activation.device)
    return batch.split(batch.members(as_objective(readout)(activation.float())))


def joint_values(members: Sequence[Tensor], targets: Sequence[Target]) -> Tensor:
    """Return the number that each image maximizes, from the readouts of its members.

    Args:
        members: For each image its members' readouts, ``(M,)``.
        targets: One for each image.

    Returns:
        ``(B,)``.
    """
    batch = TargetBatch(targets, members[0].device)
    return batch.joint(pad_sequence(list(members), batch_first=True))


def _table(
    rows: Sequence[Sequence[float]], fill: float, device: torch.device | str, width: int = 0
) -> Tensor:
    """Rows of different lengths as one float32 tensor, at least ``width`` wide."""
    width = max(width, *map(len, rows))
    filled = [[*row, *[fill] * (width - len(row))] for row in rows]
    return torch.tensor(filled, dtype=torch.float32).to(device)


def _sums(values: Tensor) -> Tensor:
    """Sums over the columns of ``(B, M)``, pair by pair.

    Unlike that of ``sum``, the order of additions does not change with columns of zeros behind.
    """
    while values.shape[1] > 1:
        if values.shape[1] % 2:
            values = functional.pad(values, (0, 1))
        values = values[:, 0::2] + values[:, 1::2]
    return values[:, 0]
