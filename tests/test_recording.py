from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neurovis.recording import Recorder, hooked, undisturbed


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def number_of_hooks(model: nn.Module) -> int:
    return sum(
        len(part._forward_hooks) + len(part._forward_pre_hooks) + len(part._backward_hooks)
        for part in model.modules()
    )


class Passing(nn.Module):
    """Counts its calls, and returns what it was given."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x


class Raising(nn.Module):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def forward(self, *_: Tensor) -> Tensor:
        raise self.error


class Branching(nn.Module):
    """A tuple, a dictionary, a layer called twice, one never called and one that returns text."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = nn.Conv2d(3, 3, 3, padding=1)
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.named = _Naming()
        self.never = nn.Conv2d(3, 3, 1)
        self.text = _Texting()

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(self.twice(x).relu())
        x, _ = self.pool(x)
        self.text(x)
        return self.named(x)["second"]


class _Naming(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"first": x + 1, "second": x + 2}


class _Texting(nn.Module):
    def forward(self, x: Tensor) -> str:
        return str(x.shape)


def small_network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Conv2d(8, 5, 3)
    )


class TestRecorder:
    def test_records_what_the_layers_return(self) -> None:
        model, images = small_network().eval(), torch.rand(2, 3, 9, 9)
        recorded = Recorder(model, ["0", "3"]).record(images)
        first = model[0](images)
        torch.testing.assert_close(recorded["0"], first, rtol=0, atol=0)
        torch.testing.assert_close(recorded["3"], model(images), rtol=0, atol=0)

    def test_in_place_layers_do_not_overwrite_a_recording(self) -> None:
        model, images = (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)),
            torch.randn(1, 3, 6, 6),
        )
        recorded = Recorder(model, ["0", "1"]).record(images)
        assert recorded["0"].min() < 0
        assert torch.equal(recorded["1"], recorded["0"].relu())

    def test_one_layer_by_a_string(self) -> None:
        assert list(Recorder(small_network(), "3").record(torch.rand(1, 3, 8, 8))) == ["3"]

    def test_runs_no_further_than_the_last_layer(self) -> None:
        later = Passing()
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), later)
        recorder = Recorder(model, ["0", "1"])
        for _ in range(3):
            recorder.record(torch.rand(2, 3, 6, 6))
        # The one forward that learns how often layers are called goes further, and leaves no trace.
        assert later.calls == 0
        model(torch.rand(2, 3, 6, 6))
        assert later.calls == 1

    def test_what_follows_need_not_work(self) -> None:
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(7, 2))
        assert Recorder(model, "0").record(torch.rand(2, 3, 6, 6))["0"].shape == (2, 4, 4, 4)

    def test_called_twice_is_ambiguous(self) -> None:
        model, images = Branching().eval(), torch.rand(2, 3, 6, 6)
        recorder = Recorder(model, ["twice"])
        with pytest.raises(ValueError, match=r'"twice" is called 2 times.* such as "twice@1"'):
            recorder.record(images)
        first, second = recorder.record_calls(images)["twice"]
        torch.testing.assert_close(first, model.twice(images))
        torch.testing.assert_close(second, model.twice(first.relu()))

    def test_calls_are_told_apart_by_their_number(self) -> None:
        model, images = Branching().eval(), torch.rand(2, 3, 6, 6)
        recorded = Recorder(model, ["twice@2", "twice@1"]).record(images)
        first = model.twice(images)
        torch.testing.assert_close(recorded["twice@1"], first)
        torch.testing.assert_close(recorded["twice@2"], model.twice(first.relu()))
        torch.testing.assert_close(
            Recorder(model, "twice@1").record(images)["twice@1"], recorded["twice@1"]
        )
        with pytest.raises(ValueError, match='"twice@3" is never reached'):
            Recorder(model, "twice@3").record(images)

    def test_first_tensor_of_tuples_and_dictionaries(self) -> None:
        model, images = Branching().eval(), torch.rand(2, 3, 6, 6)
        recorded = Recorder(model, ["pool", "named"]).record(images)
        torch.testing.assert_close(recorded["named"], recorded["pool"] + 1)

    def test_never_reached(self) -> None:
        with pytest.raises(ValueError, match='"never" is never reached in a forward of Branching'):
            Recorder(Branching(), ["twice", "never"]).record(torch.rand(1, 3, 6, 6))

    def test_no_tensor(self) -> None:
        with pytest.raises(ValueError, match='"text" returns str'):
            Recorder(Branching(), "text").record(torch.rand(1, 3, 6, 6))

    def test_unknown_layer_suggests_a_near_miss(self) -> None:
        with pytest.raises(ValueError, match=r'"twise" not found.*"twice"'):
            Recorder(Branching(), "twise")

    def test_no_layer(self) -> None:
        with pytest.raises(ValueError, match="at least one layer"):
            Recorder(Branching(), [])

    def test_not_a_tensor(self) -> None:
        with pytest.raises(TypeError, match="got ndarray"):
            Recorder(small_network(), "0").record(np.zeros((1, 3, 8, 8)))  # type: ignore[arg-type]

    def test_gradient_to_the_input(self) -> None:
        model = small_network().double().eval()
        images = torch.rand(2, 3, 9, 9, dtype=torch.double, requires_grad=True)
        recorded = Recorder(model, ["0", "2"]).record(images)
        (gradient,) = torch.autograd.grad(recorded["2"].pow(2).sum() + recorded["0"].sum(), images)
        first = model[0](images)
        activation = torch.relu(model[1](first))
        (expected,) = torch.autograd.grad(activation.pow(2).sum() + first.sum(), images)
        torch.testing.assert_close(gradient, expected)

    def test_leaves_no_hook(self) -> None:
        model = small_network()
        Recorder(model, ["0", "3"]).record(torch.rand(1, 3, 8, 8))
        assert number_of_hooks(model) == 0

    @pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
    def test_leaves_nothing_after_an_exception(self, error: BaseException) -> None:
        model = nn.Sequential(nn.Conv2d(3, 4, 3), Raising(error), nn.ReLU())
        with pytest.raises(type(error)):
            Recorder(model, ["0", "2"]).record(torch.rand(1, 3, 8, 8))
        assert number_of_hooks(model) == 0
        assert model.training
        assert all(parameter.requires_grad for parameter in model.parameters())

    def test_leaves_nothing_when_a_later_recording_fails(self) -> None:
        model = nn.Sequential(nn.Conv2d(3, 4, 3), Passing(), nn.ReLU())
        recorder = Recorder(model, ["0", "2"])
        recorder.record(torch.rand(1, 3, 8, 8))
        model[1] = Raising(KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            recorder.record(torch.rand(1, 3, 8, 8))
        assert number_of_hooks(model) == 0

    def test_compiled_network(self) -> None:
        model, images = small_network().eval(), torch.rand(2, 3, 9, 9)
        expected = model[0](images)
        compiled = torch.compile(model, backend="eager")
        compiled(images)  # hooks that are added after this would not be called
        recorded = Recorder(compiled, "0").record(images)
        torch.testing.assert_close(recorded["0"], expected)
        compiled(images)

    def test_compiled_part_of_a_network(self) -> None:
        part = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        model = nn.Sequential(torch.compile(part, backend="eager"), nn.Conv2d(4, 2, 3)).eval()
        images = torch.rand(2, 3, 9, 9)
        model(images)
        recorded = Recorder(model, ["0._orig_mod.0", "1"]).record(images)
        torch.testing.assert_close(recorded["0._orig_mod.0"], part[0](images))


def test_a_reader_says_what_is_kept() -> None:
    """It sees a layer's inputs and output before the next layer works on them in place."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 3), nn.ReLU())
    seen: dict[str, tuple[int, ...]] = {}

    def lowest(name: str, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        seen[name] = tuple(inputs[0].shape)
        return output.amin((1, 2, 3))

    images = torch.randn(3, 1, 9, 9)
    kept = Recorder(model, ["0", "2"]).record(images, lowest)
    with torch.no_grad():
        first = model[0](images)
        expected = {"0": first.amin((1, 2, 3)), "2": model[2](first.relu()).amin((1, 2, 3))}
    assert all(torch.allclose(kept[name], expected[name], atol=1e-6) for name in kept)
    assert seen == {"0": (3, 1, 9, 9), "2": (3, 4, 7, 7)}
    assert number_of_hooks(model) == 0


def test_hooked_replaces_outputs() -> None:
    model, images = small_network().eval(), torch.rand(1, 3, 8, 8)

    def silence(*name_module_args_output: Any) -> Tensor:
        return torch.zeros_like(name_module_args_output[-1])

    with hooked({"0": model[0]}, silence):
        silenced = model(images)
    assert torch.equal(silenced, model[1:](torch.zeros(1, 8, 6, 6)))
    assert not torch.equal(silenced, model(images))


class Snapshot:
    """All that somebody could find changed on a network, or in their random numbers."""

    def __init__(self, model: nn.Module) -> None:
        self.flags = {name: part.training for name, part in model.named_modules()}
        self.requires_grad = {name: p.requires_grad for name, p in model.named_parameters()}
        self.gradients = {
            name: (id(p.grad), None if p.grad is None else p.grad.clone())
            for name, p in model.named_parameters()
        }
        self.buffers = {name: (id(b), b.clone()) for name, b in model.named_buffers()}
        self.random = (torch.get_rng_state(), np.random.get_state()[1], random.getstate())
        self.modes = (
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.is_autocast_enabled("cpu"),
        )

    def assert_equal(self, other: Snapshot) -> None:
        assert self.flags == other.flags
        assert self.requires_grad == other.requires_grad
        assert self.modes == other.modes
        torch.testing.assert_close(self.buffers, other.buffers, rtol=0, atol=0)
        for name, (identity, gradient) in self.gradients.items():
            assert other.gradients[name][0] == identity
            if gradient is not None:
                assert torch.equal(gradient, other.gradients[name][1])
        assert torch.equal(self.random[0], other.random[0])
        assert np.array_equal(self.random[1], other.random[1])
        assert self.random[2] == other.random[2]


def somebodys_network() -> nn.Sequential:
    """In training, with a frozen BatchNorm, a frozen layer, and gradients half accumulated."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)
    )
    model[1].eval()
    model[3].requires_grad_(False)
    model(torch.rand(4, 3, 8, 8)).sum().backward()
    return model


def meddle(model: nn.Module) -> None:
    model.train()
    model(torch.rand(4, 3, 8, 8))
    for parameter in model.parameters():
        parameter.requires_grad_(True)
        parameter.grad = torch.ones_like(parameter)
    model[4].running_mean = torch.zeros(4)
    np.random.rand(3)
    random.random()


def _meddle_and_fail(model: nn.Module, error: type[BaseException]) -> None:
    with undisturbed(model):
        meddle(model)
        raise error


class TestUndisturbed:
    def test_restores_everything(self) -> None:
        model = somebodys_network()
        before = Snapshot(model)
        with undisturbed(model):
            meddle(model)
        before.assert_equal(Snapshot(model))

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    def test_restores_everything_after_an_exception(self, error: type[BaseException]) -> None:
        model = somebodys_network()
        before = Snapshot(model)
        with pytest.raises(error):
            _meddle_and_fail(model, error)
        before.assert_equal(Snapshot(model))

    def test_the_snapshot_notices_meddling(self) -> None:
        model = somebodys_network()
        before = Snapshot(model)
        meddle(model)
        with pytest.raises(AssertionError):
            before.assert_equal(Snapshot(model))

    def test_evaluation_mode_and_frozen_inside(self) -> None:
        model = somebodys_network()
        with undisturbed(model):
            assert not any(part.training for part in model.modules())
            assert not any(parameter.requires_grad for parameter in model.parameters())

    def test_autocast_is_off_inside(self) -> None:
        model, images = somebodys_network(), torch.rand(2, 3, 8, 8)
        with torch.autocast(images.device.type, torch.bfloat16):
            assert model[0](images).dtype == torch.bfloat16
            with undisturbed(model):
                assert model[0](images).dtype == torch.float32
            assert model[0](images).dtype == torch.bfloat16

    @pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
    def test_gradients_to_the_input_in_any_mode(self, mode: Callable[[], Iterator[None]]) -> None:
        model = somebodys_network()
        with mode():
            images = torch.rand(2, 3, 8, 8)
            before = Snapshot(model)
            with undisturbed(model):
                probe = images.clone().requires_grad_(True)
                (gradient,) = torch.autograd.grad(model(probe).square().sum(), probe)
            before.assert_equal(Snapshot(model))
        assert gradient.abs().sum() > 0

    def test_what_a_forward_keeps_for_itself(self) -> None:
        """A counter, a generator of its own, a part that it makes on the way."""

        class Busy(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layer = nn.Linear(3, 3)
                self.calls = 0
                self.generator = torch.Generator().manual_seed(1)

            def forward(self, values: Tensor) -> Tensor:
                self.calls += 1
                self.seen = torch.rand(1, generator=self.generator)
                if not hasattr(self, "extra"):
                    self.extra = nn.Linear(1, 1)
                return self.layer(values)

        model = Busy()
        state = model.generator.get_state()
        with undisturbed(model):
            model(torch.rand(2, 3))
            assert model.calls == 1
        assert model.calls == 0
        assert torch.equal(model.generator.get_state(), state)
        assert not hasattr(model, "extra")
        assert not hasattr(model, "seen")
        assert set(dict(model.named_children())) == {"layer"}

    def test_a_lazy_layer_is_not_initialized(self) -> None:
        model = nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU())
        with pytest.raises(ValueError, match=r'"0" \(LazyConv2d\) of Sequential is lazy'):
            undisturbed(model).__enter__()
        assert isinstance(model[0], nn.LazyConv2d)
        images = torch.rand(2, 3, 8, 8)
        expected = model(images)
        with undisturbed(model):
            assert torch.equal(model(images), expected)

    def test_same_random_numbers_follow(self) -> None:
        model = somebodys_network()
        state = torch.get_rng_state()
        expected = torch.rand(5)
        torch.set_rng_state(state)
        with undisturbed(model):
            torch.rand(100)
        assert torch.equal(torch.rand(5), expected)
