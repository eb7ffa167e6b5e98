from __future__ import annotations

import math
import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import lightning as L
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.functional as transforms
from networks import CifarResNet
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision import models

from neurovis.inputs import InputSpec
from neurovis.models import load_model, suggested_input_spec
from neurovis.models.import_paths import import_by_path

HERE = __name__
NET = f"{HERE}.Net"
DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
SQUEEZENET = DATA / "squeezenet1_0_imagenet.pth"
CIFAR = DATA / "cifar10_resnet32.th"


class Net(nn.Module):
    """A network with every kind of entry in its state dict."""

    def __init__(self, kernels: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, kernels, 3)
        self.norm = nn.BatchNorm2d(kernels)
        self.head = nn.Linear(kernels, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.conv(x)).mean((2, 3)))


class Wrapped(L.LightningModule):
    """A user's training code around a network."""

    def __init__(self, kernels: int = 3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = Net(kernels)
        self.loss_weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: list[Tensor]) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1]) * self.loss_weight.square().sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.1)


class Unsaved(Wrapped):
    """The same without a default and without saving its hyperparameters."""

    def __init__(self, kernels: int) -> None:
        L.LightningModule.__init__(self)
        self.net = Net(kernels)
        self.loss_weight = nn.Parameter(torch.ones(1))


class Teacher(Wrapped):
    """Holds two networks of the same kind."""

    def __init__(self) -> None:
        super().__init__()
        self.teacher = Net(3)


class Harmful:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


LINEAR = {"in_features": 2, "out_features": 2}
A_NUMBER = math.pi
AN_INSTANCE = Net()


def not_a_network() -> dict[str, int]:
    return {}


def fails() -> Net:
    raise RuntimeError("out of\nluck")


def refusal(*arguments: Any, **options: Any) -> str:
    """The one line with which loading is refused."""
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the caller looks at the message
        load_model(*arguments, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def same_weights(model: nn.Module, expected: dict[str, Tensor]) -> bool:
    found = model.state_dict()
    return found.keys() == expected.keys() and all(
        torch.equal(found[key], value) for key, value in expected.items()
    )


@pytest.fixture
def expected() -> dict[str, Tensor]:
    torch.manual_seed(3)
    return weights_of(Net())


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def save(content: Any, name: str = "weights.pth", **options: Any) -> Path:
        torch.save(content, tmp_path / name, **options)
        return tmp_path / name

    return save


class TestMaking:
    def test_the_result_is_ready_to_be_looked_at(self) -> None:
        network = load_model("torchvision.models.squeezenet1_1", model_args={"num_classes": 7})
        assert isinstance(network, models.SqueezeNet)
        assert not any(part.training for part in network.modules())
        assert network.num_classes == 7

    def test_demo_is_the_shipped_network(self) -> None:
        network = load_model("demo")
        spec = suggested_input_spec("demo")
        assert spec is not None
        assert network(spec.example()).ndim == 2

    def test_an_instance_is_copied(self) -> None:
        network = load_model(f"{HERE}.AN_INSTANCE")
        assert network is not AN_INSTANCE
        assert AN_INSTANCE.training

    def test_parameters_are_single_precision(self) -> None:
        network = load_model("torch.nn.Linear", model_args={**LINEAR, "dtype": torch.float16})
        assert network.weight.dtype == torch.float32

    def test_modules_in_the_current_directory_are_found(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "my_own_nets.py").write_text("from torch import nn\nNet = nn.Identity\n")
        monkeypatch.chdir(tmp_path)
        before = list(sys.path)
        assert isinstance(load_model("my_own_nets.Net"), nn.Identity)
        assert sys.path == before

    @pytest.mark.parametrize("name", ["alexnet", "googlenet"])
    def test_functions_named_like_their_modules_are_found(self, name: str) -> None:
        assert import_by_path(f"torchvision.models.{name}") is getattr(models, name)
        assert import_by_path(f"torchvision.models.{name}.{name}") is getattr(models, name)

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            ("torchvision.models.squeezenet1_O", '"torchvision.models.squeezenet1_0"'),
            ("torchvision.modles.resnet18", 'did you mean "torchvision.models"?'),
            ("no_such_package.Net", 'there is no module "no_such_package"'),
            ("resnet18", 'did you mean "torchvision:resnet18"?'),
            ("", 'model "" is neither an import path'),
            ("a b.c", 'model "a b.c" is neither an import path'),
            ("torchvision.models", "is a module; name a class or function in it"),
            (f"{HERE}.fails", f'"{HERE}.fails" could not be made: out of luck'),
        ],
    )
    def test_what_cannot_be_found_or_made(self, model: str, message: str) -> None:
        assert message in refusal(model)

    def test_a_module_that_cannot_be_imported(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "needs_more.py").write_text("import a_library_that_is_not_here\n")
        monkeypatch.chdir(tmp_path)
        assert 'importing "needs_more" failed: No module named' in refusal("needs_more.Net")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "missing a required argument: 'in_features'; it takes (in_features: int"),
            ({**LINEAR, "size": 3}, "'size'"),
        ],
    )
    def test_arguments_that_do_not_fit(self, arguments: dict[str, Any], message: str) -> None:
        assert message in refusal("torch.nn.Linear", model_args=arguments)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((f"{HERE}.A_NUMBER",), "is not a class or function but a float"),
            ((f"{HERE}.not_a_network",), "makes a dict, not a torch.nn.Module"),
            ((Net,), "model must be an import path, a str; got type"),
            ((NET, 5), "weights must be a name or a path; got int"),
        ],
    )
    def test_wrong_types(self, arguments: tuple[Any, ...], message: str) -> None:
        with pytest.raises(TypeError) as raised:
            load_model(*arguments)
        assert message in str(raised.value)


class TestFiles:
    @pytest.mark.parametrize(
        "wrap",
        [
            lambda weights: weights,
            lambda weights: {"state_dict": weights, "epoch": 3},
            lambda weights: {"model": weights, "args": None},
            lambda weights: {"model_state_dict": weights},
            lambda weights: {f"module.{key}": value for key, value in weights.items()},
            lambda weights: {f"model.{key}": value for key, value in weights.items()},
            lambda weights: {f"_orig_mod.{key}": value for key, value in weights.items()},
            lambda weights: {
                "state_dict": {
                    f"module._orig_mod.net.{key}": value for key, value in weights.items()
                }
            },
        ],
    )
    def test_state_dicts_however_they_are_wrapped(
        self,
        save: Callable[..., Path],
        expected: dict[str, Tensor],
        wrap: Callable[[dict[str, Tensor]], Any],
    ) -> None:
        assert same_weights(load_model(NET, save(wrap(expected))), expected)

    def test_the_old_format(self, save: Callable[..., Path], expected: dict[str, Tensor]) -> None:
        path = save(expected, _use_new_zipfile_serialization=False)
        assert same_weights(load_model(NET, str(path)), expected)

    def test_half_precision_becomes_single(
        self, save: Callable[..., Path], expected: dict[str, Tensor]
    ) -> None:
        half = {k: v.half() if v.is_floating_point() else v for k, v in expected.items()}
        network = load_model(NET, save(half))
        assert network.conv.weight.dtype == torch.float32
        torch.testing.assert_close(network.conv.weight, half["conv.weight"].float())

    def test_safetensors(self, tmp_path: Path, expected: dict[str, Tensor]) -> None:
        safetensors = pytest.importorskip("safetensors.torch")
        path = tmp_path / "weights.safetensors"
        safetensors.save_file(expected, path)
        assert same_weights(load_model(NET, path), expected)
        path.write_bytes(path.read_bytes()[:200])
        assert "truncated, damaged" in refusal(NET, path)

    def test_safetensors_without_the_library(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "weights.safetensors"
        path.write_bytes(b"something")
        monkeypatch.setitem(sys.modules, "safetensors.torch", None)
        assert "pip install safetensors" in refusal(NET, path)

    def test_counters_may_be_missing(
        self, save: Callable[..., Path], expected: dict[str, Tensor]
    ) -> None:
        del expected["norm.num_batches_tracked"]
        network = load_model(NET, save({f"module.{k}": v for k, v in expected.items()}))
        assert torch.equal(network.head.weight, expected["head.weight"])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda w: w.pop("conv.bias"), "keys 1 missing: conv.bias"),
            (lambda w: w.update(extra=torch.ones(1)), "keys 1 unexpected: extra"),
            (
                lambda w: w.update({"head.weight": torch.ones(9, 4)}),
                "head.weight is (9, 4) in the file and (2, 4) in the model",
            ),
            (lambda w: w.update({"head.bias": torch.tensor([1, torch.nan])}), "head.bias"),
            (lambda w: w.clear(), "is empty"),
            (lambda w: [w.pop(key) for key in list(w)] and w.update(epoch=3), "its keys are epoch"),
        ],
    )
    @pytest.mark.parametrize("prefix", ["", "module."])
    def test_nothing_is_loaded_by_halves(
        self,
        save: Callable[..., Path],
        expected: dict[str, Tensor],
        change: Callable[[dict[str, Any]], Any],
        message: str,
        prefix: str,
    ) -> None:
        change(expected)
        if "extra" in expected or "epoch" in expected:
            prefix = ""
        path = save({f"{prefix}{key}": value for key, value in expected.items()})
        line = refusal(NET, path)
        assert message in line
        assert str(path) in line

    def test_what_lies_beside_a_prefix_is_not_dropped(
        self, save: Callable[..., Path], expected: dict[str, Tensor]
    ) -> None:
        wrapped = {f"module.{key}": value for key, value in expected.items()}
        path = save({**wrapped, "ema.decay": torch.ones(1)})
        assert "keys 1 unexpected: ema.decay" in refusal(NET, path)

    def test_a_long_list_of_keys_is_cut(self, save: Callable[..., Path]) -> None:
        line = refusal("torchvision.models.resnet18", save(weights_of(Net())))
        assert "122 missing" not in line
        assert ", and " in line
        assert len(line) < 500

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is empty"),
            (b"<html>404 not found</html>" * 20, "truncated, damaged, or not a file of weights"),
            (bytes(range(255)) * 9, "truncated, damaged, or not a file of weights"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        ],
    )
    def test_files_of_something_else(self, tmp_path: Path, content: bytes, message: str) -> None:
        path = tmp_path / "weights.pth"
        path.write_bytes(content)
        assert message in refusal(NET, path)

    @pytest.mark.parametrize("new_format", [True, False])
    @pytest.mark.parametrize("kept", [0.3, 0.95])
    def test_truncated_files(
        self,
        save: Callable[..., Path],
        expected: dict[str, Tensor],
        new_format: bool,
        kept: float,
    ) -> None:
        path = save(expected, _use_new_zipfile_serialization=new_format)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * kept)])
        assert "truncated, damaged" in refusal(NET, path)

    def test_numbers_that_are_not_what_was_written(
        self, save: Callable[..., Path], expected: dict[str, Tensor]
    ) -> None:
        path = save(expected)
        content = bytearray(path.read_bytes())
        numbers = next(iter(expected.values())).numpy().tobytes()
        start = content.index(numbers)
        content[start : start + 4] = b"\0\0\0\1"
        path.write_bytes(content)
        assert "is damaged: the checksum of" in refusal(NET, path)

    def test_missing_files_and_folders(self, tmp_path: Path) -> None:
        assert f'"{tmp_path / "no.pth"}" not found' in refusal(NET, tmp_path / "no.pth")
        assert "is not a file" in refusal(NET, tmp_path)

    def test_a_list_is_no_state_dict(self, save: Callable[..., Path]) -> None:
        assert "holds a list, not a state dict" in refusal(NET, save([torch.ones(2)]))


class TestCodeInFiles:
    @pytest.mark.parametrize("how", ["zip", "old", "plain pickle"])
    def test_is_never_run(self, tmp_path: Path, expected: dict[str, Tensor], how: str) -> None:
        harmed = tmp_path / "harmed"
        path = tmp_path / "weights.pth"
        content = {"state_dict": expected, "extra": Harmful(harmed)}
        if how == "plain pickle":
            path.write_bytes(pickle.dumps(content))
        else:
            torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
        line = refusal(NET, path)
        assert not harmed.exists()
        assert "--trust" in line
        assert "trust=True" in line
        if how != "plain pickle":
            torch.load(path, weights_only=False)
            assert harmed.exists(), "the file was harmless, so this test shows nothing"

    def test_what_it_is_is_said(self, save: Callable[..., Path]) -> None:
        assert f"holds {HERE}.Net, which runs code" in refusal(NET, save(Net()))
        accuracy = {"state_dict": {}, "accuracy": np.float64(0.9)}
        assert "multiarray.scalar" in refusal(NET, save(accuracy))

    def test_whole_modules_load_with_trust(self, save: Callable[..., Path]) -> None:
        saved = Net(kernels=9)
        network = load_model(NET, save(saved), trust=True)
        assert same_weights(network, weights_of(saved))
        assert not network.training

    def test_a_whole_module_fills_what_a_function_makes(self, save: Callable[..., Path]) -> None:
        saved = models.squeezenet1_1()
        network = load_model("torchvision.models.squeezenet1_1", save({"model": saved}), trust=True)
        assert same_weights(network, weights_of(saved))

    def test_code_that_is_not_here(
        self, save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = save(Net())
        monkeypatch.delattr(sys.modules[HERE], "Net")
        line = refusal("torch.nn.Linear", path, model_args=LINEAR, trust=True)
        assert "needs code that is not here" in line


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    data = TensorDataset(torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 0, 1]))
    trainer = L.Trainer(
        max_epochs=1,
        accelerator="cpu",
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Wrapped(kernels=5), DataLoader(data, batch_size=2))
    return next(folder.rglob("*.ckpt"))


class TestLightningCheckpoints:
    def test_rebuild_their_module_from_its_hyperparameters(self, checkpoint: Path) -> None:
        network = load_model(f"{HERE}.Wrapped", checkpoint)
        assert isinstance(network, Wrapped)
        assert network.net.conv.out_channels == 5
        assert same_weights(network, torch.load(checkpoint, weights_only=True)["state_dict"])
        assert not any(part.training for part in network.modules())

    def test_give_their_network_by_itself(self, checkpoint: Path) -> None:
        network = load_model(NET, checkpoint, model_args={"kernels": 5})
        saved = torch.load(checkpoint, weights_only=True)["state_dict"]
        assert torch.equal(network.conv.weight, saved["net.conv.weight"])

    def test_of_another_shape(self, checkpoint: Path) -> None:
        line = refusal(NET, checkpoint, model_args={"kernels": 6})
        assert "conv.weight is (5, 3, 3, 3) in the file and (6, 3, 3, 3) in the model" in line
        line = refusal(f"{HERE}.Wrapped", checkpoint, model_args={"kernels": 6})
        assert "size mismatch for net.conv.weight" in line

    def test_without_hyperparameters(self, checkpoint: Path, save: Callable[..., Path]) -> None:
        content = torch.load(checkpoint, weights_only=True)
        del content["hyper_parameters"]
        path = save(content, "bare.ckpt")
        line = refusal(f"{HERE}.Unsaved", path)
        assert "'kernels'; give what is missing as model_args; or give as the model" in line
        network = load_model(f"{HERE}.Unsaved", path, model_args={"kernels": 5})
        assert same_weights(network, content["state_dict"])

    def test_with_missing_weights(self, checkpoint: Path, save: Callable[..., Path]) -> None:
        content = torch.load(checkpoint, weights_only=True)
        del content["state_dict"]["net.head.bias"]
        path = save(content, "partial.ckpt")
        assert '"net.head.bias"' in refusal(f"{HERE}.Wrapped", path)
        assert "1 missing: head.bias" in refusal(NET, path, model_args={"kernels": 5})

    def test_with_two_networks_are_ambiguous(
        self, checkpoint: Path, save: Callable[..., Path]
    ) -> None:
        content = torch.load(checkpoint, weights_only=True)
        content["state_dict"] = weights_of(Teacher())
        line = refusal(NET, save(content, "two.ckpt"), model_args={"kernels": 3})
        assert "several networks of this kind, under net., teacher." in line

    def test_with_code_in_them_are_refused(
        self, checkpoint: Path, save: Callable[..., Path], tmp_path: Path
    ) -> None:
        content = torch.load(checkpoint, weights_only=True)
        content["hyper_parameters"]["kernels"] = Harmful(tmp_path / "harmed")
        assert "--trust" in refusal(f"{HERE}.Wrapped", save(content, "harmful.ckpt"))
        assert not (tmp_path / "harmed").exists()


class TestTorchvisionWeights:
    def test_by_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # What a download would have left in the cache.
        saved = weights_of(models.squeezenet1_1())
        monkeypatch.setattr(models.SqueezeNet1_1_Weights, "get_state_dict", lambda *_, **__: saved)
        for name in ("DEFAULT", "IMAGENET1K_V1", "SqueezeNet1_1_Weights.IMAGENET1K_V1"):
            assert same_weights(load_model("torchvision.models.squeezenet1_1", name), saved)

    def test_without_a_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def offline(*_: Any, **__: Any) -> None:
            raise URLError("Name or service not known")

        monkeypatch.setattr(models.SqueezeNet1_1_Weights, "get_state_dict", offline)
        line = refusal("torchvision.models.squeezenet1_1", "DEFAULT")
        assert "could not be downloaded (<urlopen error Name or service not known>)" in line

    @pytest.mark.parametrize(
        ("model", "weights", "message"),
        [
            ("torchvision.models.squeezenet1_1", "IMAGENET1K_V3", 'mean "IMAGENET1K_V1"?'),
            ("torchvision.models.squeezenet1_1", "ResNet18_Weights.DEFAULT", "no weights"),
            (NET, "DEFAULT", "is not a torchvision model; give a file"),
        ],
    )
    def test_unknown_names(self, model: str, weights: str, message: str) -> None:
        assert message in refusal(model, weights)


@pytest.mark.parametrize(
    ("model", "weights", "spec"),
    [
        ("torchvision.models.resnet18", None, InputSpec.rgb(224)),
        ("torchvision.models.resnet18", "weights.pth", InputSpec.rgb(224)),
        ("torchvision.models.inception_v3", None, InputSpec.rgb(299)),
        ("torchvision.models.efficientnet_b1", "IMAGENET1K_V2", InputSpec.rgb(240)),
        (
            "torchvision.models.vit_b_16",
            "IMAGENET1K_SWAG_E2E_V1",
            replace(InputSpec.rgb(384), interpolation="bicubic"),
        ),
        (NET, None, None),
    ],
)
def test_suggested_input(model: str, weights: str | None, spec: InputSpec | None) -> None:
    assert suggested_input_spec(model, weights) == spec


# The real files.


def photograph() -> Tensor:
    """Grace Hopper in her uniform ``(1, 3, 224, 224)`` in [0, 1], cropped as for ImageNet."""
    import matplotlib.cbook

    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        image = Image.open(file).convert("RGB")
    cropped = transforms.center_crop(transforms.resize(image, 256), 224)
    return transforms.to_tensor(cropped)[None]


@pytest.mark.skipif(not SQUEEZENET.exists(), reason="the trained SqueezeNet is not here")
def test_the_trained_squeezenet_sees_a_uniform() -> None:
    network = load_model("torchvision.models.squeezenet1_0", SQUEEZENET)
    assert network.features[0].weight.dtype == torch.float32
    with torch.no_grad():
        logits = network(InputSpec.rgb(224).to_network(photograph()))[0]
    bow_tie, suit, mortarboard, gown, windsor_tie = 457, 834, 667, 400, 906
    assert set(logits.topk(5).indices.tolist()) == {bow_tie, suit, mortarboard, gown, windsor_tie}


@pytest.mark.skipif(not CIFAR.exists(), reason="the trained CIFAR ResNet is not here")
def test_the_trained_cifar_resnet_fits_its_definition() -> None:
    network = load_model("networks.CifarResNet", CIFAR)
    assert isinstance(network, CifarResNet)
    saved = torch.load(CIFAR, weights_only=True, map_location="cpu")["state_dict"]
    assert torch.equal(network.linear.weight, saved["module.linear.weight"])
    with torch.no_grad():
        assert network(InputSpec.rgb(32).example()).isfinite().all()
