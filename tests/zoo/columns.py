"""What is done to a network, compared with an ordinary forward hook and autograd.

Each function raises AssertionError if something is wrong, and what NeuroVis raises if it refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.data import DataLoader, TensorDataset

from neurovis import ActivationMaximization, kernel_saliency, list_layers, rank_kernels
from neurovis.analysis import FeatureReader
from neurovis.callbacks import (
    ActivationMaximizationMonitor,
    FeatureMapMonitor,
    KernelRankingMonitor,
    SaliencyMonitor,
)
from neurovis.tuning.stimuli import Gratings
from zoo.case import Case

#: Stands for the output that is explained if none is named.
DEFAULT = "default"
#: Gratings, and how exactly the responses to them are those of a hook.
_ORIENTATIONS, _PHASES, _FREQUENCIES = 4, 4, [0.125]


def images_of(case: Case, count: int = 2) -> Tensor:
    """Noise images in [0, 1]."""
    return torch.rand(count, *case.spec.shape, generator=torch.Generator().manual_seed(1))


def inputs_of(case: Case, network: nn.Module, images: Tensor) -> Tensor:
    """Images in the network's space, computed by hand."""
    channels = [
        (m.range, mean, std)
        for m in case.spec.modalities
        for mean, std in zip(m.mean, m.std, strict=True)
    ]
    parts = [
        (low + images[:, place] * (high - low) - mean) / std
        for place, ((low, high), mean, std) in enumerate(channels)
    ]
    dtypes = [p.dtype for p in network.parameters() if p.is_floating_point()]
    return torch.stack(parts, 1).to(dtypes[0] if dtypes else torch.float32)


def hooked(
    case: Case, network: nn.Module, names: Sequence[str], inputs: Tensor
) -> dict[str, Tensor]:
    """What forward hooks see of layers in one forward, ``(B, K, *positions)`` by name."""
    calls: dict[str, list[Any]] = {name: [] for name in names if name not in case.refused}
    with ExitStack() as hooks:
        for name, outputs in calls.items():

            def keep(*call: Any, outputs: list[Any] = outputs) -> None:
                # What follows may work in place.
                outputs.append(tree_map_only(Tensor, Tensor.clone, call[2]))

            module = network.get_submodule(name.partition("@")[0])
            hooks.callback(module.register_forward_hook(keep).remove)
        case.call(network, inputs)
    # What is refused has no activation.
    seen = dict.fromkeys(names, torch.zeros(len(inputs), 1))
    for name, outputs in calls.items():
        _, _, call = name.partition("@")
        assert call or len(outputs) == 1, f"{name} is called {len(outputs)} times"
        seen[name] = case.layers[name](outputs[int(call or 1) - 1])
    return seen


def _mean(activation: Tensor) -> Tensor:
    return activation.flatten(2).mean(2) if activation.ndim > 2 else activation


def _kernel(activation: Tensor) -> int:
    """The kernel that responds most to the first image, and so is not silent."""
    return int(_mean(activation)[0].argmax())


def layers(case: Case, network: nn.Module, names: Sequence[str], _folder: Path) -> None:
    """Kernels and sizes are those of the hooks' outputs."""
    with torch.no_grad():
        seen = hooked(case, network, names, inputs_of(case, network, images_of(case)))
    rows = {row.name: row for row in list_layers(network, case.spec, "all")}
    for name in names:
        row, shape = rows[name], seen[name].shape
        if name in case.refused:
            assert row.calls == 0, row
            continue
        assert (row.kernels, row.output_size) == (shape[1], tuple(shape[2:])), (row, shape)


def features(case: Case, network: nn.Module, names: Sequence[str], _folder: Path) -> None:
    """Maps are the hooks' outputs; frames stand side by side."""
    images = images_of(case)
    found = FeatureReader(network, names, case.spec)(images)
    with torch.no_grad():
        seen = hooked(case, network, names, inputs_of(case, network, images))
    for place, (name, expected) in enumerate(seen.items()):
        assert [of_image[place].layer for of_image in found] == [name] * len(images)
        maps = torch.stack([of_image[place].maps for of_image in found])
        if expected.ndim == 5:
            expected = expected.movedim(2, 3).flatten(3)
        expected = expected.reshape(*expected.shape[:2], *(1, 1, *expected.shape[2:])[-2:])
        _assert_close(maps, expected.float(), name)


def _assert_close(found: Tensor, expected: Tensor, name: str) -> None:
    """Equal but for rounding, which is relative to the largest value."""
    assert found.shape == expected.shape, (name, found.shape, expected.shape)
    error, scale = (found - expected).abs().amax().item(), expected.abs().amax().item()
    assert error <= 1e-3 * scale, f"{name} is off by {error:.3g} of {scale:.3g}"


def saliency(case: Case, network: nn.Module, names: Sequence[str], _folder: Path) -> None:
    """Maps are autograd's gradients of the means of the hooks' outputs."""
    inputs = inputs_of(case, network, images_of(case))
    leaf = inputs.clone().requires_grad_()
    for name, activation in hooked(case, network, names, leaf).items():
        readings = _mean(activation)
        kernel = _kernel(readings)
        found = kernel_saliency(network, inputs, name, kernel, input_spec=case.spec)
        _compare_maps(found, readings[:, kernel], leaf, name)


def scores(case: Case, network: nn.Module, names: Sequence[str], _folder: Path) -> None:
    """The class scores are explained by default, or the output that is named."""
    inputs = inputs_of(case, network, images_of(case))
    leaf = inputs.clone().requires_grad_()
    readings = _mean(case.scores(case.call(network, leaf)))
    kernel = _kernel(readings)
    for name in names:
        output = None if name == DEFAULT else name
        found = kernel_saliency(network, inputs, None, kernel, input_spec=case.spec, output=output)
        _compare_maps(found, readings[:, kernel], leaf, name)


def _compare_maps(found: Any, readings: Tensor, leaf: Tensor, name: str) -> None:
    (expected,) = torch.autograd.grad(readings.sum(), leaf, retain_graph=True)
    _assert_close(found.values, readings.detach().float(), name)
    assert expected.any(), f"{name} has no gradient"
    _assert_close(found.maps, expected.float(), name)


def am(case: Case, network: nn.Module, names: Sequence[str], folder: Path) -> None:
    """The activation that is reported is the hook's of the image, and above that of noise."""
    with torch.no_grad():
        seen = hooked(case, network, names, inputs_of(case, network, images_of(case)))
    kernels = {name: [_kernel(activation)] for name, activation in seen.items()}
    # Six steps in the natural style reach too little of what random weights respond to.
    made = ActivationMaximization(
        network, list(names), kernels, case.spec, steps=6, style="maximal"
    )
    trainer(folder, max_epochs=-1).fit(made)
    for name in names:
        (item,) = made.results_of(name).items
        with torch.no_grad():
            inputs = inputs_of(case, network, item.image[None])
            readings = _mean(hooked(case, network, [name], inputs)[name].float())[0]
        reached, reading = item.activation, readings[kernels[name][0]].item()
        rounding = 1e-3 * max(reading, readings.abs().amax().item())
        assert abs(reached - reading) <= rounding, f"{name}: {reached} is not {reading}"
        noise = item.noise_activation
        assert reached > noise, f"{name}: {reached} is not above noise, {noise}"


def rank(case: Case, network: nn.Module, names: Sequence[str], _folder: Path) -> None:
    """Responses to gratings, and scores, are those of the hooks' center units."""
    gratings = Gratings(case.spec, _ORIENTATIONS, _FREQUENCIES, _PHASES)
    images = gratings.images(torch.arange(len(gratings)))
    with torch.no_grad():
        seen = hooked(case, network, names, inputs_of(case, network, images))
    options: Any = {"orientations": _ORIENTATIONS, "phases": _PHASES, "null_kernels": 2}
    rankings = rank_kernels(
        network, names, input_spec=case.spec, spatial_frequencies=_FREQUENCIES, **options
    )
    for name, activation in seen.items():
        for size in activation.shape[2:]:
            activation = activation[:, :, size // 2]
        responses = rankings[name].grating_responses
        assert responses is not None
        table = torch.cat([responses.table.flatten(1), responses.blank[:, None]], 1)
        expected = activation.double().T
        _assert_close(table.double(), expected, name)
        of_gratings = expected[:, :-1].unflatten(1, (_ORIENTATIONS, _PHASES))
        if not responses.is_rectified:
            _compare_scores(rankings[name].score, of_gratings, name)


def _compare_scores(scores: Tensor, responses: Tensor, name: str) -> None:
    """gOSI of F1 amplitudes by a literal formula, of kernels that tell phases apart."""
    amplitudes = torch.fft.fft(responses).abs()[..., 1] * 2 / _PHASES
    angles = torch.arange(_ORIENTATIONS) * (2 * torch.pi / _ORIENTATIONS)
    expected = (amplitudes * torch.exp(1j * angles)).sum(1).abs() / amplitudes.sum(1)
    told = amplitudes.amax(1) > 1e-2 * responses.abs().amax()
    assert (scores[told] - expected[told]).abs().le(0.01).all(), f"{name} has other scores"


class Trained(LightningModule):
    """Trains a network by one step of gradient descent."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case = case
        self.network = case.network()

    def training_step(self, batch: Any) -> Tensor:
        """Minimize the case's loss, or the mean square of all that the network returns."""
        images = inputs_of(self.case, self.network, batch[0])
        if self.case.loss is not None:
            return self.case.loss(self.network, images)
        output = tree_leaves(self.case.call(self.network, images))
        tensors = (part for part in output if isinstance(part, Tensor) and part.requires_grad)
        return torch.stack([part.float().square().mean() for part in tensors]).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Plain gradient descent."""
        return torch.optim.SGD(self.parameters(), lr=1e-3)


def monitors(case: Case, _network: nn.Module, names: Sequence[str], folder: Path) -> None:
    """One step ends with the same weights as without monitors, whose pictures are there."""
    layer = names[0]
    options: Any = {
        "input_spec": case.spec,
        "network": case.part,
        "on_error": "raise",
        "probe_images": images_of(case, 1),
    }
    watching = [
        FeatureMapMonitor(layer, max_kernels=2, **options),
        SaliencyMonitor(output=case.output, **options),
        ActivationMaximizationMonitor(layer, kernels=[0], steps=1, **options),
        KernelRankingMonitor(
            layer,
            orientations=4,
            phases=3,
            spatial_frequencies=_FREQUENCIES,
            max_kernels=1,
            null_kernels=2,
            **options,
        ),
    ]
    plain = _weights(case, folder / "plain", [])
    watched = _weights(case, folder / "watched", watching)
    assert plain.keys() == watched.keys()
    assert all(torch.equal(plain[name], watched[name]) for name in plain)
    assert any(not torch.equal(before, plain[name]) for name, before in _weights(case).items())
    folders = {part.name for path in folder.rglob("*.png") for part in path.parents}
    kinds = {"feature_maps", "saliency", "activation_maximization", "kernel_ranking"}
    assert {f"{kind}_{case.part}" for kind in kinds} <= folders, folders


def _weights(
    case: Case, folder: Path | None = None, callbacks: Sequence[Any] = ()
) -> dict[str, Tensor]:
    """The weights after one training step, or before it if there is no folder."""
    torch.manual_seed(0)
    module = Trained(case) if case.module is None else case.module()
    if folder is not None:
        module.train()
        data = DataLoader(TensorDataset(images_of(case)), batch_size=2)
        torch.manual_seed(2)
        steps = 1 if module.automatic_optimization else 2
        run = trainer(folder, callbacks=list(callbacks), max_steps=steps)
        run.fit(module, data)
    # Quantized layers have other things than tensors in theirs.
    weights = module.state_dict().items()
    return {name: value.clone() for name, value in weights if isinstance(value, Tensor)}


def trainer(folder: Path, **options: Any) -> Trainer:
    """A quiet Trainer on the CPU."""
    return Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **options,
    )


#: What is done, by the column's name: to each layer, to outputs, and to one layer.
COLUMNS: dict[str, Callable[[Case, nn.Module, Sequence[str], Path], None]] = {
    "layers": layers,
    "am": am,
    "saliency": saliency,
    "rank": rank,
    "features": features,
    "scores": scores,
    "monitors": monitors,
}
