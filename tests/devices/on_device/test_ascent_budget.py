"""What a step of the ascent costs a GPU, and what stays on it afterwards."""

from __future__ import annotations

import gc
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from budgets import BUDGETS, kernels_of_a_constrained_step, kernels_of_a_step
from on_simulated_gpu import DEVICE, MODE
from step_counts import ascent_steps, five_layer_network
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from neurovis import ActivationMaximization, InputSpec
from neurovis.maximization import TargetMaximization
from neurovis.maximization.objectives import Direction
from neurovis.maximization.transforms import Affine, GaussianBlur, GaussianNoise, Jitter, Lighting
from neurovis.maximization.transforms.sampling import sampled

OPTIONS: dict[str, dict[str, Any]] = {
    "convergence": {"patience": 4, "min_improvement": 0},
    "contrast": {"contrast": 0.2},
    "variants under many transforms": {
        "variants": 2,
        "diversity": 0.1,
        "batch_size": 8,
        "transforms": [Jitter(), Affine(), GaussianBlur(), Lighting(), GaussianNoise()],
    },
    "other objective": {"objective": Direction(torch.eye(6)), "parametrization": "pixel"},
}


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take longer than the steps, and are made on the host."""
    monkeypatch.setattr(TargetMaximization, "_save", lambda *_: None)


@pytest.mark.skipif(MODE != "plain", reason="the same in every mode")
@pytest.mark.parametrize("name", OPTIONS)
def test_a_step_waits_once(name: str) -> None:
    # Gradients leak through the last rectifier up to step 10 of 25, and then no more.
    counts = ascent_steps(8, 14, size=32, **{"steps": 25, **OPTIONS[name]})
    assert counts.all_waits == 6, counts


@pytest.mark.skipif(MODE != "plain", reason="the same in every mode")
@pytest.mark.parametrize("measure", [kernels_of_a_step, kernels_of_a_constrained_step])
def test_a_step_launches_few_kernels_and_waits_once(measure: Any) -> None:
    number, counts = measure()
    assert number <= BUDGETS[measure], counts
    assert counts.all_waits == 16, counts


class _Levels(pl.Callback):
    """Looks at what the network was shown at the end of each step."""

    def __init__(self) -> None:
        self.shown: list[Tensor] = []
        self.tries: list[int] = []

    def on_train_batch_start(self, *_: Any) -> None:
        self.shown.clear()

    def on_train_batch_end(self, *_: Any) -> None:
        self.tries.append(len(self.shown))
        values = self.shown[-1].double().flatten(1)
        assert (values.std(1, correction=0) - 0.3).abs().max() < 2e-5
        assert (values.mean(1) - 0.4).abs().max() < 2e-5


@pytest.mark.skipif(MODE == "bfloat16", reason="the same as plain")
def test_every_step_keeps_to_the_constraints_however_far_it_goes(tmp_path: Path) -> None:
    levels = _Levels()

    def see(images: Tensor) -> Tensor:
        levels.shown.append(images.detach().cpu())
        return images

    module = ActivationMaximization(
        five_layer_network(),
        "4",
        range(3),
        InputSpec.rgb(32),
        steps=12,
        batch_size=2,
        contrast=0.3,
        luminance=0.4,
        parametrization="pixel",
        lr=2.0,
        transforms=[see],
    )
    trainer(tmp_path, callbacks=[levels]).fit(module)
    assert len(levels.tries) == 24
    # A step that went too far from the last one is made again, and most are not.
    assert levels.tries.count(2) > 0
    assert levels.tries.count(1) > 12


class _Interruption(pl.Callback):
    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == 3:
            raise RuntimeError("interrupted")


def ascent(layers: list[str], objective: Any = "mean") -> ActivationMaximization:
    """Of two kernels in each layer, for four steps."""
    return ActivationMaximization(
        five_layer_network(), layers, range(2), InputSpec.rgb(32), steps=4, objective=objective
    )


def trainer(folder: Path, **options: Any) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=-1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder, **options,
    )  # fmt: skip


def tensors_on_device() -> list[Tensor]:
    gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            one
            for one in gc.get_objects()
            if isinstance(one, Tensor) and one.device.type == DEVICE.type
        ]


@pytest.mark.parametrize("interrupted", [False, True])
def test_after_fit_no_network_and_no_objective_stays_on_the_device(
    tmp_path: Path, interrupted: bool
) -> None:
    before = {id(one) for one in tensors_on_device()}
    module = ascent(["1", "4"]) if interrupted else ascent(["4"], Direction(torch.eye(6)))
    if interrupted:
        with pytest.raises(RuntimeError, match="interrupted"):
            trainer(tmp_path, callbacks=[_Interruption()]).fit(module)
    else:
        trainer(tmp_path).fit(module)
        assert len(module.results) == 2
    left = [one.shape for one in tensors_on_device() if id(one) not in before]
    # The Trainer's optimizer keeps the images themselves.
    assert set(left) <= {module.images.values.shape}


class _Called(TorchDispatchMode):
    """Notes which operations are called, and on which types."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.summed: set[torch.dtype] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.names.add(func.overloadpacket.__name__)
        if func.overloadpacket.__name__ == "scatter_add_":
            self.summed.add(args[0].dtype)
        return func(*args, **(kwargs or {}))


@pytest.mark.skipif(MODE == "no-float64", reason="is_cuda is false in this mode")
@pytest.mark.parametrize("deterministic", [False, True])
def test_deterministic_steps_call_nothing_that_adds_up_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deterministic: bool
) -> None:
    # Lightning sets it.
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    called = _Called()
    try:
        with called:
            trainer(tmp_path, deterministic=deterministic).fit(ascent(["4"]))
    finally:
        torch.use_deterministic_algorithms(False)
    # CUDA adds up in any order in these, of all that an ascent calls besides the user's network.
    in_any_order = {"grid_sampler_2d_backward", "cumsum", "reflection_pad2d_backward"}
    assert called.names & in_any_order == (set() if deterministic else {"grid_sampler_2d_backward"})
    assert called.summed == ({torch.int64} if deterministic else set())


def test_the_exact_adjoint_is_that_of_sampling() -> None:
    images = torch.rand(2, 3, 12, 9, device=DEVICE, requires_grad=True)
    maps = torch.tensor([[[0.9, 0.1, 0.2], [-0.1, 1.1, -0.1]]]).expand(2, 2, 3)
    gradients = []
    for deterministic in (False, True):
        torch.use_deterministic_algorithms(deterministic)
        try:
            gray = torch.full((3, 1, 1), 0.5, device=DEVICE)
            total = sampled(images, maps, gray).square().sum()
            gradients += torch.autograd.grad(total, images)
        finally:
            torch.use_deterministic_algorithms(False)
    torch.testing.assert_close(*[gradient.cpu() for gradient in gradients])
