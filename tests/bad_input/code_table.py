"""Files that name code, or hold it, in every place where something is looked up by its name."""

from __future__ import annotations

from typing import Any

import torch
from bad_input.bad import MARKER, Bad
from bad_input.commands import SHAPES
from bad_input.makers import Maker, Payload, all_of, folder, saved, text

_OWN = "bad_input.of_ones_own"
_TOUCH = f'"touch {MARKER}"'
_LAMBDA = "lightning.pytorch.callbacks.LambdaCallback"
_FILE = "is named in a file"


def _named(name: str, content: str, says: str = _FILE, given: Maker | None = None) -> Bad:
    """A config that names what runs code."""
    config = text("a.yaml", f"steps: 2\nkernels: '0'\n{content}")
    made = config if given is None else all_of(config, given)
    return Bad(f"config: {name}", "am --layer conv2 --config a.yaml", says, made)


def _model(path: str, arguments: str = "{}") -> str:
    return f"model: {path}\nmodel_args: {arguments}"


def _checkpoint(**hyperparameters: Any) -> Maker:
    content = {"pytorch-lightning_version": "2.6.0", "state_dict": {"a": torch.ones(1)}}
    return saved("a.ckpt", {**content, "hyper_parameters": hyperparameters})


_CHECKPOINT = f"am --layer conv --model {_OWN}.Trained --weights a.ckpt"

IN_CONFIGS = [
    _named("os.system", _model("os.system", f"{{command: {_TOUCH}}}")),
    _named("a process", _model("subprocess.Popen", f"{{args: {_TOUCH}, shell: true}}")),
    _named("its output", _model("subprocess.check_output", f"{{args: {_TOUCH}, shell: true}}")),
    _named("what a library imports", _model("torchvision.models._api.sys.exit")),
    _named("a builtin", _model("builtins.exec")),
    _named("a function", _model(f"{_OWN}.touch")),
    _named("what calls another", _model("neurovis.load_model", "{model: os.system, trust: true}")),
    _named("a part of it", _model(f"{_OWN}.PARTIAL")),
    _named("an object", _model(f"{_OWN}.TOUCHING")),
    _named("a checkpoint", _model("lightning.LightningModule.load_from_checkpoint")),
    _named("a library's reader", _model("torchvision.datasets.utils.extract_archive")),
    _named("a judge", "judge: os.system"),
    _named("a judge with weights", f"judge: [demo, {_OWN}.touch=a.pt]"),
    _named(
        "a pickle that a network reads",
        _model(f"{_OWN}.Reading", "{path: a.pt}"),
        "it reads a pickle, which is damaged or runs code when it is read",
        saved("a.pt", Payload()),
    ),
    _named(
        "code that is downloaded",
        _model(f"{_OWN}.Trained", "{config: {trust_remote_code: true}}"),
        "trust_remote_code is set by a file",
    ),
    _named("trust in itself", "trust: true", "trust is set by a file, which cannot vouch for itse"),
    _named("an objective", f"objective: {_OWN}.touch", f'objective "{_OWN}.touch" {_FILE}'),
    _named("an object for one", f"objective: {{class_path: {_OWN}.Touching}}"),
    _named("a penalty", f"regularizers: [{_OWN}.touch]"),
    _named("a transform", f"transforms: [Jitter, {_OWN}.touch]"),
    _named("an object among transforms", f"transforms: [{{class_path: {_OWN}.Touching}}]"),
    _named(
        "a function of a callback",
        "trainer: {callbacks: [{class_path: "
        f"{_LAMBDA}, init_args: {{on_fit_start: {_OWN}.touch}}}}]}}",
    ),
    _named(
        "an object of a callback",
        f"trainer: {{callbacks: {{class_path: {_LAMBDA}, init_args: "
        f"{{on_fit_start: {{class_path: {_OWN}.Touching}}}}}}}}",
    ),
    _named(
        "another config",
        "config: b.yaml",
        f'objective "{_OWN}.touch" {_FILE}',
        text("b.yaml", f"objective: {_OWN}.touch"),
    ),
    Bad(
        "config: in a folder of its name",
        f"am --layer conv2 --config ./{_OWN}.touch/a.yaml",
        f'objective "{_OWN}.touch" {_FILE}',
        all_of(
            folder(f"{_OWN}.touch"),
            text(f"{_OWN}.touch/a.yaml", f"steps: 2\nkernels: '0'\nobjective: {_OWN}.touch"),
        ),
    ),
    Bad(
        "config: a section's own",
        "am --layer conv2 --steps 2 --kernels 0 --trainer a.yaml",
        f'trainer.callbacks.init_args.on_fit_start "{_OWN}.touch" {_FILE}',
        text(
            "a.yaml",
            f"callbacks: [{{class_path: {_LAMBDA}, init_args: {{on_fit_start: {_OWN}.touch}}}}]",
        ),
    ),
    Bad(
        "config: a ranking that is a function",
        "rank --layer conv1 --config a.yaml",
        f'"{_OWN}.touch" is no ranking',
        text("a.yaml", f"by: [{_OWN}.touch]"),
    ),
]

TYPED = [
    Bad(
        "typed: a process",
        f"layers --model subprocess.Popen --model_args '{{args: {_TOUCH}, shell: true}}'",
        '"subprocess.Popen" is not called … torch.nn.Module',
    ),
    Bad(
        "typed: what a file of one's own imports",
        f"layers --model {_OWN}.os.system --model_args '{{command: {_TOUCH}}}'",
        "allow it with --trust",
    ),
]

IN_WEIGHTS = [
    Bad(
        "checkpoint that names a function",
        _CHECKPOINT,
        "names 'os.system' to be called, which runs code",
        _checkpoint(_instantiator="os.system"),
    ),
    Bad(
        "checkpoint that names a module",
        _CHECKPOINT,
        "names 'antigravity.fly' to be imported, which runs code",
        _checkpoint(
            _instantiator="lightning.pytorch.cli.instantiate_module", _class_path="antigravity.fly"
        ),
    ),
    Bad("weights of code", f"{SHAPES} a.pt", "runs code when it is read", saved("a.pt", Payload())),
]

CODE = [*IN_CONFIGS, *TYPED, *IN_WEIGHTS]
