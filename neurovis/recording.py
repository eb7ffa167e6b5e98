"""Record activations with hooks, and run a network without changing it.

All changes that NeuroVis makes to a user's network (hooks, modes, flags) are made by a context
manager here or in ``restoration``, which undoes them in its ``finally``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.autocast_mode import is_autocast_available
from torch.nn.parameter import is_lazy

from neurovis.arithmetic import exact_float32
from neurovis.differentiation import differentiable
from neurovis.layers import class_name, find_call, named_layers, resolve_layer, unwrap
from neurovis.outputs import first_tensor
from neurovis.restoration import (
    accelerators,
    held_by,
    own_hooks_only,
    same_flags,
    same_random_state,
    same_state,
)

Hook = Callable[[str, nn.Module, tuple[Any, ...], Any], Any]

#: Function of a layer's name, inputs and output that returns what is kept of a call.
Reader = Callable[[str, tuple[Any, ...], Tensor], Tensor]


class _AllRecorded(BaseException):
    """Ends a forward once the last recording is made; no ``except Exception`` may swallow it."""


class Recorder:
    """Records the outputs of any layers in one forward that runs no further than the last of them.

    The network runs in whatever mode it is in (training flags, gradients); see :func:`undisturbed`
    to watch a network that is being trained. Hooks are on the network only while it runs.

    A layer that returns a tuple, a dictionary or the like is recorded by its first tensor. A
    recording holds what the layer returned, also when the next layer then works in place. Under
    gradients it is part of the graph, so that anything computed from it can be differentiated to
    the input.

    To stop at the right place the recorder must know how often each layer is called, which it
    learns from one forward of a single image, run without gradients at the first recording.

    Args:
        model: The network. A ``torch.compile``d one is run as its original, uncompiled self,
            since compiled code may ignore hooks.
        layers: Dotted name or names, as in ``model.named_modules()``; ``"conv@2"`` is the second
            call of a layer that one forward calls several times.
        calls: How often each layer is called in one forward, where an earlier recorder of these
            layers has learned it already.

    Attributes:
        calls: How often each layer is recorded in one forward; None before the first recording.

    Raises:
        ValueError: If there is no layer, or one is not in the model (near misses are suggested).

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), nn.Conv2d(8, 5, 3))
        >>> recorded = Recorder(model, ["0", "1"]).record(torch.rand(2, 3, 16, 16))
        >>> {name: tuple(activation.shape) for name, activation in recorded.items()}
        {'0': (2, 8, 14, 14), '1': (2, 8, 14, 14)}
    """

    def __init__(
        self,
        model: nn.Module,
        layers: str | Sequence[str],
        calls: Mapping[str, int] | None = None,
    ) -> None:
        names = [layers] if isinstance(layers, str) else list(layers)
        if not names:
            raise ValueError("layers needs at least one layer name; got none")
        self.model = unwrap(model)
        every = named_layers(self.model)
        found = {name: find_call(every, name) for name in names}
        self.modules = {name: resolve_layer(self.model, name) for name in found}
        self._only = {name: call for name, (_, call) in found.items()}
        self.calls = calls

    def record(self, images: Tensor, reader: Reader | None = None) -> dict[str, Tensor]:
        """Run the network on ``images`` and return each layer's output.

        Args:
            images: ``(B, C, H, W)`` in the network's space and on its device.
            reader: Called with a layer's name, inputs and output, returns what is kept in place of
                the output, so that memory does not grow with the maps. What it returns must be its
                own: the layers that follow may work in place.

        Returns:
            The output of each layer by name, ``(B, K, H', W')`` for a convolution.

        Raises:
            ValueError: If a layer is never reached, or is called more than once in a forward
                (:meth:`record_calls` gives every call).
        """
        calls = self.record_calls(images, reader)
        for name, outputs in calls.items():
            check_called_once(name, len(outputs))
        return {name: outputs[0] for name, outputs in calls.items()}

    def record_calls(self, images: Tensor, reader: Reader | None = None) -> dict[str, list[Tensor]]:
        """As :meth:`record`, with the outputs of all of a layer's calls in their order.

        Args:
            images: ``(B, C, H, W)`` in the network's space.
            reader: As there.

        Raises:
            TypeError: If images are no tensor, or a layer gives none.
        """
        if not isinstance(images, Tensor):
            raise TypeError(f"images must be a tensor (B, C, H, W); got {type(images).__name__}")
        if self.calls is None:
            self.calls = self._count_calls(images[:1])
        outputs: dict[str, list[Tensor]] = {name: [] for name in self.modules}
        missing = sum(self.calls.values())
        called = dict.fromkeys(self.modules, 0)

        def keep(name: str, _module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
            nonlocal missing
            called[name] += 1
            if self._only[name] not in (None, called[name]):
                return None
            recorded = first_tensor(name, output)
            missing -= 1
            if reader is not None:
                outputs[name].append(reader(name, inputs, recorded))
                if missing == 0:
                    raise _AllRecorded
                return None
            if missing == 0:
                outputs[name].append(recorded)
                raise _AllRecorded
            # The layers that follow may work in place (captum #156): they get a copy, or, where
            # the output is a structure whose type must not change, the recording is the copy.
            if recorded is output:
                outputs[name].append(recorded)
                return recorded.clone()
            outputs[name].append(recorded.clone())
            return None

        with hooked(self.modules, keep), suppress(_AllRecorded), differentiable(self.model, images):
            self.model(images)
        check_reached(self.model, {name: len(calls) for name, calls in outputs.items()})
        return outputs

    def _count_calls(self, image: Tensor) -> dict[str, int]:
        """Count the calls of each layer in a whole forward of one image, without gradients."""
        called, calls = dict.fromkeys(self.modules, 0), dict.fromkeys(self.modules, 0)

        def count(name: str, *_: Any) -> None:
            called[name] += 1
            calls[name] += self._only[name] in (None, called[name])

        with undisturbed(self.model), torch.no_grad(), hooked(self.modules, count):
            try:
                with differentiable(self.model, image.detach()):
                    self.model(image.detach())
            except (Exception, SystemExit):
                # Layers behind those to be recorded may fail: a classifier may need another
                # image size than its convolutions do.
                if not all(calls.values()):
                    raise
        check_reached(self.model, calls)
        return calls


def check_reached(model: nn.Module, calls: Mapping[str, int]) -> None:
    """Refuse layers that a forward does not call.

    Args:
        model: The network.
        calls: How often each layer is called, by name.

    Raises:
        ValueError: If one is not.
    """
    unreached = [f'"{name}"' for name, number in calls.items() if not number]
    if unreached:
        raise ValueError(
            f"layer {', '.join(unreached)} is never reached in a forward of "
            f"{class_name(model)}; choose a layer that its forward calls"
        )


def check_called_once(name: str, calls: int) -> None:
    """Refuse a layer that a forward calls several times, unless one of the calls is named.

    Raises:
        ValueError: If there are several calls.
    """
    if calls > 1:
        raise ValueError(
            f'layer "{name}" is called {calls} times in one forward, so its activation is '
            f'ambiguous; name one of its calls, such as "{name}@1", or a layer that is called once'
        )


def can_be_hooked(module: nn.Module) -> bool:
    """True if torch allows hooks on the module; it allows none on scripted and traced ones."""
    return not isinstance(module, torch.jit.ScriptModule)


@contextmanager
def hooked(modules: Mapping[str, nn.Module], hook: Hook) -> Iterator[None]:
    """Call ``hook(name, module, args, output)`` after each call of the modules, while inside.

    What the hook returns, unless None, replaces the module's output. Compiled modules run
    uncompiled while inside, so that their hooks are called (pytorch #117758).
    """
    with ExitStack() as stack:
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        for name, module in modules.items():
            stack.enter_context(module.register_forward_hook(partial(hook, name)))
        yield


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """Run a network in the middle of a training run, and leave it bitwise as it was.

    Inside: evaluation mode, parameters frozen, autocast and TF32 off, gradients to the input
    enabled, also when Lightning validates in inference mode. Afterwards, and after an exception:
    each module's training flag (user-frozen BatchNorms stay frozen), each parameter's
    ``requires_grad`` and ``.grad``, the random state of Python, NumPy, the CPU and every
    accelerator, and the state that the module keeps (:func:`~neurovis.restoration.same_state`) are
    what they were. What changed and cannot be restored is named in a warning. Use
    :func:`torch.autograd.grad`, never ``.backward()``, inside.

    Hooks of others (of a callback, of a logger, global ones) do not run inside; those that the
    network needs do (:func:`~neurovis.restoration.own_hooks_only` has the rule). What a hook from
    before writes into variables is restored too: register a hook that is to collect something
    inside, or use :class:`Recorder`.

    Compiled modules run uncompiled inside: code compiled for a few images in evaluation mode would
    count towards the limit after which a training is no longer run as compiled.

    Tensors made in inference mode cannot be differentiated even here: pass a clone of them.

    Raises:
        TypeError: If it is given no module.
        ValueError: If a lazy layer has no weights yet: its first forward would make them.
    """
    _check_initialized(unwrap(module))
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(exact_float32())
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        for device_type in _device_types(module):
            stack.enter_context(torch.autocast(device_type, enabled=False))
        stack.enter_context(same_random_state())
        stack.enter_context(own_hooks_only(module, held_by))
        stack.enter_context(same_state(module))
        stack.enter_context(same_flags(module))
        yield


def _check_initialized(module: nn.Module) -> None:
    for name, part in module.named_modules():
        if any(map(is_lazy, (*part.parameters(recurse=False), *part.buffers(recurse=False)))):
            raise ValueError(
                f'layer "{name}" ({type(part).__name__}) of {class_name(module)} is lazy and '
                "has no weights before its first forward; run the network on a batch first"
            )


def _device_types(module: nn.Module) -> set[str]:
    """The types of devices whose autocast is on."""
    tensors = (*module.parameters(), *module.buffers())
    types = {"cpu", *accelerators(), *(tensor.device.type for tensor in tensors)}
    return {
        kind for kind in types if is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    }
