"""Targets: the kernels that an image is to drive, and the one number that their readouts become.

It is a sum of weighted readouts and offsets; only for a minimum, the lowest term of the kernels
that are to respond takes the place of their sum.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from neurovis.maximization.objectives.objective import Objective
from neurovis.transfer import sent


@dataclass(frozen=True)
class Target:
    """The kernels that one image is to drive together; most often just one.

    What is said of kernels holds for whatever an objective has numbers of: directions, or the
    layer as a whole, which is number 0. See
    :func:`~neurovis.maximization.objectives.group_target` for what groups can ask for.

    Args:
        kernels: 0-based channels of the layer, without repetition.
        weights: What each readout is multiplied by; by default the number is their mean. Kernels
            with a positive weight are to respond, the others are not.
        offsets: What is added to each; by default 0.
        is_minimum: Whether the lowest term of the kernels that are to respond takes the place of
            their sum.

    Raises:
        ValueError: If there is no kernel, one is repeated, numbers are not finite or do not fit,
            or there is no kernel of which to take the minimum.
    """

    kernels: tuple[int, ...]
    weights: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    is_minimum: bool = False

    def __post_init__(self) -> None:
        count = len(self.kernels)
        if not count:
            raise ValueError("a group needs at least one kernel; got none")
        if len(set(self.kernels)) < count:
            raise ValueError(f"a group names each kernel once; got {list(self.kernels)}")
        if any(kernel < 0 for kernel in self.kernels):
            raise ValueError(f"kernels are numbered from 0; got {list(self.kernels)}")
        object.__setattr__(self, "weights", self.weights or (1 / count,) * count)
        object.__setattr__(self, "offsets", self.offsets or (0.0,) * count)
        for name, values in (("weights", self.weights), ("offsets", self.offsets)):
            if len(values) != count or not all(map(math.isfinite, values)):
                raise ValueError(
                    f"{name} must be a finite number for each of {count} kernels; got "
                    f"{list(values)}"
                )
        if self.is_minimum and not any(self.driven):
            raise ValueError(
                f"a minimum needs a kernel with a positive weight; got {list(self.weights)}"
            )

    @property
    def driven(self) -> tuple[bool, ...]:
        """For each kernel whether it is to respond."""
        return tuple(weight > 0 for weight in self.weights)

    def join_maps(self, maps: Tensor) -> Tensor:
        """One map from the kernels' maps ``(M, ...)``; its mean is the joint of their means.

        For a minimum, the maps of the kernels that are to respond are averaged.
        """
        shape = (-1, *[1] * (maps.ndim - 1))
        weights, offsets = (
            maps.new_tensor(values).reshape(shape) for values in (self.weights, self.offsets)
        )
        terms = maps * weights + offsets
        if not self.is_minimum:
            return terms.sum(0)
        driven = maps.new_tensor(self.driven, dtype=torch.bool)
        return terms[driven].mean(0) + terms[~driven].sum(0)


class TargetBatch:
    """Reads each image of a batch at its own target's kernels, and joins what it read.

    Made once for as long as the targets stay the same. What comes out for an image is the same,
    bitwise, however many kernels the other images' targets have: the objective has read everything
    for everyone, and terms are added up in an order that does not depend on how many there are.

    Args:
        targets: One for each image.
        device: Where activations are.

    Attributes:
        targets: One for each image.
        driven: ``(B, M)`` whether there is such a kernel and it is to respond, on the CPU; M is
            the most kernels that any target has.

    Raises:
        ValueError: If there is no target.

    Example:
        >>> targets = [Target((2,)), Target((0, 1), (1.0, 1.0), is_minimum=True)]
        >>> batch = TargetBatch(targets, torch.device("cpu"))
        >>> values = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
        >>> batch.joint(batch.members(values)).tolist()
        [3.0, 4.0]
    """

    def __init__(self, targets: Sequence[Target], device: torch.device | str) -> None:
        if not targets:
            raise ValueError("a batch needs at least one target; got none")
        self.targets = list(targets)
        self._largest = max(max(target.kernels) for target in targets)
        self._index = _table([target.kernels for target in targets], device).long()
        # On the CPU, where it is decided what is to be woken.
        self.driven = _table([target.driven for target in targets], "cpu").bool()
        self._is_minimum = torch.tensor([target.is_minimum for target in targets])
        # A lone kernel's number is its readout.
        self._is_plain = all(
            target.weights == (1.0,) and target.offsets == (0.0,) for target in targets
        )
        if not self._is_plain:
            self._is_member = _table([[1] * len(t.kernels) for t in targets], device).bool()
            self._weights = _table([target.weights for target in targets], device)
            self._offsets = _table([target.offsets for target in targets], device)
            # Known on the host, so that no step has to ask the device.
            self._has_minimum = any(target.is_minimum for target in targets)
            self._takes_lowest = (self.driven & self._is_minimum[:, None]).to(device)

    def members(self, values: Tensor) -> Tensor:
        """The readouts ``(B, M)`` of each image's own kernels.

        Args:
            values: ``(B, N)``, what an objective has read.

        Raises:
            ValueError: If they are not of as many images, or there are no such kernels.
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
        return values.gather(1, self._index)

    def joint(self, members: Tensor) -> Tensor:
        """Return the number ``(B,)`` each image maximizes, from kernels' ``(B, M)`` readouts."""
        if self._is_plain:
            return members[:, 0]
        # Whatever stands where there is no member may be infinite.
        terms = torch.where(self._is_member, members, 0.0) * self._weights + self._offsets
        if not self._has_minimum:
            return _sums(terms)
        lowest = torch.where(self._takes_lowest, terms, math.inf).amin(1, keepdim=True)
        others = torch.where(self._takes_lowest, 0.0, terms)
        joint = _sums(others)
        has_lowest = self._takes_lowest.any(1)
        return torch.where(has_lowest, joint + lowest[:, 0], joint)

    def silent(self, members: Tensor) -> Tensor:
        """Return ``(B, M)`` True for driven kernels that read exactly 0, as only rectifiers leave.

        Args:
            members: ``(B, M)`` readouts, on the CPU.
        """
        return (members.detach() == 0) & self.driven

    def waking(self, members: Tensor, silent: Tensor) -> Tensor:
        """The number ``(B,)`` whose gradient wakes silent kernels, as steep as :meth:`joint`.

        Args:
            members: ``(B, M)`` readouts, with gradients where they are silent too.
            silent: ``(B, M)`` which are to be woken.
        """
        if self._is_plain:
            return (members * silent)[:, 0]
        total = _sums(torch.where(silent, members, 0.0) * self._weights)
        # The weakest counts alone, and here these are all as weak.
        weakest = total / silent.sum(1).clamp(min=1)
        return torch.where(self._takes_lowest.any(1), weakest, total)

    def asleep(self, members: Tensor) -> Tensor:
        """Return ``(B,)`` True where a target is silent: all kernels, or any one of a minimum.

        Args:
            members: ``(B, M)`` readouts, on the CPU.
        """
        silent = self.silent(members)
        everything = (silent | ~self.driven).all(1) & self.driven.any(1)
        return everything | (self._is_minimum & silent.any(1))

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
        """The readouts of each image by itself, ``(M_i,)`` for the kernels that it has."""
        return [
            values[: len(target.kernels)]
            for values, target in zip(members, self.targets, strict=True)
        ]


def member_values(
    activation: Tensor, targets: Sequence[Target], objective: Objective
) -> list[Tensor]:
    """Each image's readouts ``(M,)`` of its own target's kernels, in float32.

    Args:
        activation: ``(B, K, ...)``, kernels second.
        targets: One for each image.
        objective: What is read from the layer.

    Raises:
        ValueError: If the objective returns another shape, or does not read a kernel.
    """
    batch = TargetBatch(targets, activation.device)
    return batch.split(batch.members(objective(activation.float())))


def _table(rows: Sequence[Sequence[float]], device: torch.device | str) -> Tensor:
    """Rows of different lengths as one float32 tensor, with zeros behind."""
    width = max(map(len, rows))
    filled = [[*row, *[0] * (width - len(row))] for row in rows]
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
