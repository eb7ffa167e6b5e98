"""Hooks that others registered do not run inside `undisturbed`; those that a network needs do."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from neurovis import Recorder, undisturbed


class Counter:
    """Counts what is called, in each way that a hook may be written."""

    def __init__(self) -> None:
        self.calls = 0

    def count(self, *_: Any, **__: Any) -> None:
        self.calls += 1

    def __call__(self, *_: Any, **__: Any) -> None:
        self.calls += 1

    def closure(self) -> Callable[..., None]:
        def hook(*_: Any, **__: Any) -> None:
            self.calls += 1

        return hook

    def without_self(self) -> Callable[..., None]:
        counter = self

        def hook(*_: Any, **__: Any) -> None:
            counter.count()

        return torch.no_grad()(hook)

    @staticmethod
    def static(*_: Any, **__: Any) -> None:
        raise AssertionError("a hook of others runs")


class CountingCallback(Counter, Callback):
    pass


HOOKS: dict[str, Callable[[Counter], Callable[..., None]]] = {
    "method": lambda counter: counter.count,
    "object": lambda counter: counter,
    "closure": lambda counter: counter.closure(),
    "closure without self": lambda counter: counter.without_self(),
    "static": lambda counter: counter.static,
    "partial": lambda counter: partial(partial(counter.count, 1), 2),
}

REGISTERED: dict[str, Callable[[nn.Module, Any], Any]] = {
    "forward": lambda module, hook: module.register_forward_hook(hook),
    "forward, kwargs": lambda m, hook: m.register_forward_hook(hook, with_kwargs=True),
    "forward, always": lambda m, hook: m.register_forward_hook(hook, always_call=True),
    "pre": lambda module, hook: module.register_forward_pre_hook(hook),
    "pre, kwargs": lambda m, hook: m.register_forward_pre_hook(hook, with_kwargs=True),
    "backward": lambda module, hook: module.register_full_backward_hook(hook),
    "backward pre": lambda module, hook: module.register_full_backward_pre_hook(hook),
    "global": lambda _, hook: nn.modules.module.register_module_forward_hook(hook),
    "global, always": lambda _, hook: nn.modules.module.register_module_forward_hook(
        hook, always_call=True
    ),
    "global pre": lambda _, hook: nn.modules.module.register_module_forward_pre_hook(hook),
    "global backward": lambda _, h: nn.modules.module.register_module_full_backward_hook(h),
}


def run(network: nn.Module) -> Tensor:
    """Return the gradient of the network's output to its input."""
    images = torch.ones(1, 3).requires_grad_()
    (gradient,) = torch.autograd.grad(network(images).sum(), images)
    return gradient


@pytest.fixture
def handles() -> Iterator[list[Any]]:
    made: list[Any] = []
    yield made
    for handle in made:
        handle.remove()


@pytest.mark.parametrize("kind", REGISTERED)
@pytest.mark.parametrize("owner", [Counter, CountingCallback])
def test_hooks_of_others_are_kept_out(owner: type, kind: str, handles: list[Any]) -> None:
    network, counter = nn.Sequential(nn.Linear(3, 3), nn.ReLU()), owner()
    handles.append(REGISTERED[kind](network[0], counter.count))
    run(network)
    assert counter.calls > 0
    calls = counter.calls
    with undisturbed(network):
        run(network)
    assert counter.calls == calls
    run(network)
    assert counter.calls == 2 * calls


@pytest.mark.parametrize("written", HOOKS)
def test_however_they_are_written(written: str) -> None:
    network, counter = nn.Sequential(nn.Linear(3, 3)), CountingCallback()
    network.register_forward_hook(HOOKS[written](counter))
    with undisturbed(network):
        run(network)
        Recorder(network, "0").record(torch.ones(1, 3))
        assert counter.calls == 0
    assert len(network._forward_hooks) == 1


def test_their_order_is_kept() -> None:
    network, order, counter = nn.Linear(3, 3), [], Counter()
    network.register_forward_hook(lambda *_: order.append("function"))
    network.register_forward_hook(counter.count)
    network.register_forward_hook(lambda *_: order.append("last"))
    before = list(network._forward_hooks.items())
    with undisturbed(network):
        network(torch.ones(1, 3))
        assert order == ["function", "last"]
        assert counter.calls == 0
    assert list(network._forward_hooks.items()) == before


def test_after_an_exception() -> None:
    network = nn.Linear(3, 3)
    network.register_forward_hook(Counter().count)
    with pytest.raises(KeyboardInterrupt), undisturbed(network):
        raise KeyboardInterrupt
    assert len(network._forward_hooks) == 1


class Features:
    """Keeps what layers return, as timm's FeatureHooks does."""

    def __init__(self, layer: nn.Module) -> None:
        self.features: dict[str, Tensor] = {}
        layer.register_forward_hook(partial(self.keep, "first"))

    def keep(self, name: str, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        self.features[name] = output


def clamped(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
    return output.clamp(max=0.25)


class Hooked(nn.Module):
    """Needs all of its hooks: without one of them it fails, or returns something else."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Linear(3, 3) for _ in range(3))
        self.features = Features(self.first)
        self.activations = activations = {}
        self.second.register_forward_hook(lambda *call: activations.update(second=call[-1]))
        self.second.register_forward_hook(self.doubled, with_kwargs=True)
        self.third.register_forward_pre_hook(lambda _, inputs: (inputs[0] + 1,))
        self.third.register_forward_hook(clamped)
        self.register_forward_hook(type(self).shifted)

    def doubled(self, _module: nn.Module, _inputs: Any, _kwargs: Any, output: Tensor) -> Tensor:
        return output * 2

    @staticmethod
    def shifted(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        return output + 1

    def forward(self, images: Tensor) -> Tensor:
        self.third(self.second(self.first(images)))
        return self.third(self.features.features.pop("first")) + self.activations.pop("second")


def weight_normed() -> nn.Module:
    with pytest.warns(FutureWarning):
        return weight_norm(nn.Linear(3, 3))


def half_pruned() -> nn.Module:
    class Half(prune.BasePruningMethod):
        PRUNING_TYPE = "unstructured"

        def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
            return default_mask * (torch.arange(t.numel()).view_as(t) % 2)

    layer = nn.Linear(3, 3)
    Half.apply(layer, "weight")
    return layer


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "its own hooks": Hooked,
    "weight norm": weight_normed,
    "spectral norm": lambda: spectral_norm(nn.Linear(3, 3)),
    "parametrized": lambda: parametrizations.weight_norm(nn.Linear(3, 3)),
    "pruned": lambda: prune.l1_unstructured(nn.Linear(3, 3), "weight", amount=4),
    "pruned by a method of the user's": half_pruned,
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_is_seen_with_the_hooks_that_it_needs(kind: str) -> None:
    torch.manual_seed(0)
    network, images = NETWORKS[kind]().eval(), torch.rand(2, 3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2)
        expected = network(images)
        with undisturbed(network):
            seen = network(images)
    assert torch.equal(seen, expected)


def test_a_hook_that_is_kept_out_and_returns_something_is_told() -> None:
    class Noise(Callback):
        def add(self, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            return output + 1

    network = nn.Sequential(nn.Linear(3, 3))
    network[0].register_forward_hook(Noise().add)
    said = r'forward hook.* on layer "0", .*Noise\.add, does not belong to the network'
    with pytest.warns(UserWarning, match=said), undisturbed(network):
        pass


class Noise:
    """Writes hooks that replace what a layer returns, and some that do not."""

    def __call__(self, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        return output + 1

    def as_lambda(self) -> Callable[..., Any]:
        return lambda _module, _inputs, output: output + 1

    def as_lambda_that_calls(self) -> Callable[..., Any]:
        return lambda *_: Counter()


def add_to_all(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
    return output + 1


@pytest.mark.parametrize(
    ("kind", "hook", "said"),
    [
        ("forward", Noise(), r'hook on layer "", Noise\.__call__, .*make it a method of a module'),
        ("forward", Noise().as_lambda(), r'hook on layer "", Noise\.as_lambda.*<lambda>, '),
        ("pre", Noise(), r'forward pre hooks? on layer "", Noise\.__call__, '),
        ("global", add_to_all, "hook on all modules, add_to_all, .* register it on the layer alon"),
        ("global pre", Noise(), r"hook on all modules, Noise\.__call__, "),
        ("forward", Noise().as_lambda_that_calls(), ""),
        ("backward", Noise(), ""),
        ("global backward", add_to_all, ""),
    ],
)
def test_whatever_is_kept_out_and_returns_something_is_told(
    kind: str, hook: Any, said: str, handles: list[Any]
) -> None:
    network = nn.Linear(3, 3)
    handles.append(REGISTERED[kind](network, hook))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with undisturbed(network):
            pass
    texts = [str(warning.message) for warning in caught]
    assert len(texts) == bool(said)
    assert all(re.search(said, text) for text in texts)
