"""A tensor that an objective is made with, fit to be part of a frozen dataclass."""

from __future__ import annotations

import torch
from torch import Tensor

from neurovis.maximization.fingerprints import tensor_fingerprint


class Constant:
    """A float32 tensor that is equal to others of the same values, and says which it is.

    Copies stay on the devices where it is used, so that no step waits for a transfer.

    Args:
        values: Kept as a separate copy on the CPU.

    Example:
        >>> Constant(torch.ones(2)) == Constant(torch.ones(2))
        True
    """

    def __init__(self, values: Tensor) -> None:
        # Tensors of inference mode could not be part of a gradient later.
        with torch.inference_mode(False):
            self.values = values.detach().to("cpu", torch.float32, copy=True).contiguous()
        self._copies: dict[torch.device, Tensor] = {}
        self._fingerprint = tensor_fingerprint(self.values)

    def on(self, device: torch.device) -> Tensor:
        """The values on a device, of any shape; not to be changed."""
        if device.type == "cpu":
            return self.values
        if device not in self._copies:
            with torch.inference_mode(False):
                self._copies[device] = self.values.to(device)
        return self._copies[device]

    def release_copies(self) -> None:
        """Release the copies on devices."""
        self._copies.clear()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and torch.equal(self.values, other.values)

    def __hash__(self) -> int:
        return hash(self._fingerprint)

    def __repr__(self) -> str:
        return self._fingerprint

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_copies": {}}
