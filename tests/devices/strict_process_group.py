"""A process group that is as strict as NCCL, for two ranks on two simulated GPUs.

It takes tensors of the rank's current device and no others. Objects travel as such tensors.
"""

from __future__ import annotations

from typing import Any

import simulated_gpu
import torch
import torch.distributed as dist
from torch import Tensor

BACKEND = "strict"
_init_process_group = dist.init_process_group


class _Done(dist._Work):
    """What has been done already."""

    def __init__(self, result: Any = None) -> None:
        super().__init__()
        self._result = result
        self._future: torch.futures.Future[Any] = torch.futures.Future()
        self._future.set_result(result)

    def wait(self, timeout: Any = None) -> bool:  # noqa: ARG002
        return True

    def is_completed(self) -> bool:
        return True

    def get_future(self) -> torch.futures.Future[Any]:
        return self._future

    def result(self) -> Any:
        return self._result


class StrictProcessGroup(dist.ProcessGroup):
    """Gloo's collectives behind NCCL's refusals."""

    def __init__(self, store: dist.Store, rank: int, size: int, timeout: Any) -> None:
        super().__init__(rank, size)
        inner = dist.PrefixStore("inner", store)
        self._gloo = dist.ProcessGroupGloo(inner, rank, size, timeout=timeout)

    def getBackendName(self) -> str:  # noqa: N802 - torch's name
        return BACKEND

    def allreduce(self, tensors: Any, opts: Any = None) -> _Done:
        tensors = [tensors] if isinstance(tensors, Tensor) else tensors
        hosts = _hosts("allreduce", tensors)
        self._gloo.allreduce(hosts, *([] if opts is None else [opts])).wait()
        return _back(tensors, hosts)

    def broadcast(self, tensors: list[Tensor], opts: Any = None) -> _Done:
        hosts = _hosts("broadcast", tensors)
        self._gloo.broadcast(hosts, *([] if opts is None else [opts])).wait()
        return _back(tensors, hosts)

    def allgather(
        self, outputs: list[list[Tensor]], inputs: list[Tensor], opts: Any = None
    ) -> _Done:
        del opts
        hosts = [_hosts("allgather", output) for output in outputs]
        self._gloo.allgather(hosts, _hosts("allgather", inputs)).wait()
        for output, host in zip(outputs, hosts, strict=True):
            _back(output, host)
        return _Done(outputs)

    def _allgather_base(self, output: Tensor, own: Tensor, opts: Any = None) -> _Done:
        return self.allgather([list(output.chunk(self.size()))], [own], opts)

    def barrier(self, opts: Any = None) -> _Done:
        del opts
        self._gloo.barrier().wait()
        return _Done()


def _hosts(name: str, tensors: list[Tensor]) -> list[Tensor]:
    current = simulated_gpu.current_device()
    for tensor in tensors:
        if tensor.device.type != simulated_gpu.DEVICE_TYPE:
            raise RuntimeError(f"{name}: no backend for tensors of {tensor.device}")
        if tensor.device.index != current:
            raise RuntimeError(f"{name}: a tensor of {tensor.device}, and the device is {current}")
    return [tensor.cpu() for tensor in tensors]


def _back(tensors: list[Tensor], hosts: list[Tensor]) -> _Done:
    for tensor, host in zip(tensors, hosts, strict=True):
        tensor.copy_(host)
    return _Done(tensors)


def _object_device(_: Any = None) -> str:
    """Torch would ask a group's backend, which one in Python does not tell."""
    current = f"{simulated_gpu.DEVICE_TYPE}:{simulated_gpu.current_device()}"
    return "cpu" if dist.get_backend() == "gloo" else current


def _unbound(*arguments: Any, **options: Any) -> None:
    """A device that a group is bound to must be one that torch has backends for."""
    options.pop("device_id", None)
    _init_process_group(*arguments, **options)


def register() -> None:
    """Make the backend known to torch by its name."""
    dist.Backend.register_backend(BACKEND, StrictProcessGroup, devices=[simulated_gpu.DEVICE_TYPE])
    dist.distributed_c10d._get_object_coll_device = _object_device
    # Asked of all that is on CUDA.
    torch.cuda.get_device_capability = lambda *_: (8, 0)
    dist.init_process_group = _unbound
