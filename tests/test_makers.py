"""What may be called to make a network: by whom it is named, and what is known of it."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pytest
import torch
import torchvision
from bad_input.of_ones_own import TOUCHING
from torch import Tensor, nn

from neurovis.cli.main import main
from neurovis.models import load_model
from neurovis.models.makers import check_maker, check_named_in_file, runs_code
from neurovis.models.weight_files import no_code_in_pickles

Module = TypeVar("Module", bound=nn.Module)


class Net(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def plain():  # type: ignore[no-untyped-def]
    return Net()


def annotated() -> Net:
    return Net()


def bound(kind: type[Module]) -> Module:
    return kind()


def _of(library: str, function: Callable[..., Any], name: str, installed: bool = True) -> Any:
    """A copy of a function as if it was defined in a library."""
    copy = functools.wraps(function)(lambda *args: function(*args))
    copy.__module__, copy.__qualname__ = library, name
    module = ModuleType(library)
    module.__file__ = f"/usr/lib/python3/site-packages/{library}.py" if installed else "/home/a.py"
    sys.modules.setdefault(library, module)
    return copy


FACTORY = _of("timm.models.dla", plain, "dla60_res2next")
AUTO = _of("transformers.models.auto.auto_factory", plain, "_BaseAutoModelClass.from_pretrained")
READER = _of("open_clip.factory", plain, "load_state_dict")
PRIVATE = _of("timm.models._helpers", plain, "load_checkpoint")
INSTALLED = _of("somebodys_library", plain, "build")
INSTALLED_ANNOTATED = _of("somebodys_library", annotated, "build")


@pytest.mark.parametrize(
    ("maker", "typed", "in_file"),
    [
        pytest.param(Net, True, True, id="class of networks"),
        pytest.param(Net(), True, True, id="network"),
        pytest.param(torchvision.models.resnet18, True, True, id="torchvision's function"),
        pytest.param(torchvision.models.get_model, True, True, id="torchvision's models by name"),
        pytest.param(FACTORY, True, True, id="timm's function without annotation"),
        pytest.param(AUTO, True, True, id="transformers' pretrained models"),
        pytest.param(READER, True, False, id="a library's reader of pickles"),
        pytest.param(PRIVATE, True, False, id="a library's private function"),
        pytest.param(plain, True, False, id="own function"),
        pytest.param(annotated, True, False, id="own function that is annotated"),
        pytest.param(functools.partial(plain), True, False, id="part of an own function"),
        pytest.param(functools.partial(Net), True, False, id="part of a class"),
        pytest.param(TOUCHING, True, False, id="own object"),
        pytest.param(INSTALLED_ANNOTATED, True, False, id="another library's, annotated"),
        pytest.param(bound, True, False, id="annotated with a type variable"),
        pytest.param(INSTALLED, False, False, id="another library's"),
        pytest.param(torch.hub.load, False, False, id="torch.hub"),
        pytest.param(os.system, False, False, id="os.system"),
        pytest.param(functools.partial(os.system, "true"), False, False, id="part of os.system"),
        pytest.param(subprocess.Popen, False, False, id="process"),
        pytest.param(subprocess.check_output, False, False, id="output of a process"),
        pytest.param("".join, False, False, id="method of a builtin"),
        pytest.param(load_model, True, False, id="load_model"),
    ],
)
def test_who_may_name_it(maker: object, typed: bool, in_file: bool) -> None:
    for check, is_allowed in ((check_maker, typed), (check_named_in_file, in_file)):
        if is_allowed:
            check("a.b", maker)
        else:
            with pytest.raises(ValueError, match=r'"a\.b" is .* --trust'):
                check("a.b", maker)


def test_trust_allows_it() -> None:
    with pytest.raises(TypeError, match="makes a int, not a torch"):
        load_model("os.getpid", trust=True)
    with pytest.raises(ValueError, match="not called"):
        load_model("os.getpid")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Net", ()),
        ("annotated", ("--trust",)),
        ("annotated", ("--model", f"{__name__}.annotated")),
    ],
)
def test_a_config_may_name_a_class_and_with_trust_a_function(
    tmp_path: Path, name: str, options: tuple[str, ...]
) -> None:
    config = tmp_path / "a.yaml"
    config.write_text(f"model: {__name__}.{name}\nmodel_args: {{}}\ninput: {{size: 8}}\n")
    assert main(["layers", "--config", str(config), *options]) == 0


def test_a_function_that_is_typed_is_ones_own(tmp_path: Path) -> None:
    config = tmp_path / "a.yaml"
    config.write_text("kernels: '0'\nsteps: 1\n")
    parts = ["--layer", "conv1", "--config", str(config), "--trainer.logger", "false"]
    into = ["--trainer.accelerator", "cpu", "--trainer.default_root_dir", str(tmp_path)]
    # Under another name than that of the module that defines it.
    assert main(["am", *parts, *into, "--transforms", "[torch.relu]"]) == 0


@pytest.mark.parametrize("before", ["0", None])
def test_pickles_are_refused_inside_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    variable = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    monkeypatch.delenv(variable, raising=False)
    if before is not None:
        monkeypatch.setenv(variable, before)
    torch.save(Net(), tmp_path / "net.pt")
    with pytest.raises(Exception, match="Weights only"), no_code_in_pickles():
        torch.load(tmp_path / "net.pt", weights_only=False)
    assert os.environ.get(variable) == before
    assert isinstance(torch.load(tmp_path / "net.pt", weights_only=False), Net)


def test_arguments_that_let_a_library_run_code() -> None:
    assert runs_code({"a": [{"trust_remote_code": True}]})
    assert not runs_code({"trust_remote_code": False, "b": ["trust_remote_code"]})
