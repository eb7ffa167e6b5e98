"""Every public name says what it is, takes, gives and refuses, with the shapes of its tensors."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_origin

from docstring_parser import Docstring
from docstring_parser.google import parse

#: Packages and modules whose ``__all__`` is for others.
PUBLIC = (
    "neurovis",
    "neurovis.analysis",
    "neurovis.callbacks",
    "neurovis.demo",
    "neurovis.figures",
    "neurovis.maximization",
    "neurovis.maximization.objectives",
    "neurovis.maximization.parametrizations",
    "neurovis.top_images",
    "neurovis.maximization.transforms",
    "neurovis.models",
    "neurovis.pictures",
    "neurovis.receptive_fields",
    "neurovis.saliency",
    "neurovis.tuning",
    "neurovis.tuning.rankings",
    "neurovis.tuning.stimuli",
)
#: ``(B, C, H, W)``, ``(K,)``, ``(..., H, W)``, or a word for none.
SHAPE = re.compile(r"\((?:\.\.\., )?[\w' x+*-]+,(?: [\w' +*/-]+,?| \.\.\.)*\)|scalar|of any shape")
Named = tuple[str, Any]


def _names() -> list[Named]:
    found: dict[int, Named] = {}
    for module in PUBLIC:
        home = importlib.import_module(module)
        for name in home.__all__:
            value = getattr(home, name)
            if get_origin(value) is not None:  # A class to inspect in Python 3.10.
                continue
            if inspect.isfunction(value) or inspect.isclass(value):
                found.setdefault(id(value), (f"{module}.{name}", value))
    return list(found.values())


NAMES = _names()
CLASSES = [(name, value) for name, value in NAMES if inspect.isclass(value)]


def _own_methods(cls: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Public functions, methods and properties that a class does not have from elsewhere."""
    for name, member in vars(cls).items():
        inherited = any(hasattr(base, name) for base in cls.__mro__[1:])
        function = member.fget if isinstance(member, property) else member
        function = getattr(function, "__func__", function)
        if not name.startswith("_") and inspect.isfunction(function) and not inherited:
            yield name, inspect.unwrap(function)


def _functions() -> list[tuple[str, Callable[..., Any]]]:
    """Public functions, and the public methods of public classes."""
    functions = [
        (name, inspect.unwrap(value)) for name, value in NAMES if inspect.isfunction(value)
    ]
    for name, cls in CLASSES:
        functions += [(f"{name}.{method}", function) for method, function in _own_methods(cls)]
    return functions


FUNCTIONS = _functions()


def _described(docstring: Docstring) -> dict[str, str]:
    """What is said of each argument or attribute; several may share a line, as in ``x, y: …``."""
    described = {}
    for parameter in docstring.params:
        for name in parameter.arg_name.split(","):
            described[name.strip().lstrip("*")] = (parameter.description or "").strip()
    return described


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    signature = inspect.signature(function)
    return [one for one in signature.parameters.values() if one.name not in ("self", "cls")]


def _raised(function: Callable[..., Any]) -> set[str]:
    """The exceptions that its own source raises by name, but not from nested functions."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return {
        node.exc.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
    }


def _stated(docstring: Docstring) -> set[str]:
    return {name for one in docstring.raises for name in re.findall(r"\w+", one.type_name or "")}


def test_there_is_a_summary() -> None:
    for name, value in NAMES + FUNCTIONS:
        written = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
        assert written, name
        first, _, rest = inspect.cleandoc(written).partition("\n")
        assert first.endswith((".", "?", ":")), (name, first)
        assert not rest or rest.startswith("\n"), (name, "the summary is one line")


def test_functions_say_what_they_take() -> None:
    for name, function in FUNCTIONS:
        text = inspect.getdoc(function) or ""
        described = _described(parse(text))
        parameters = [one.name for one in _parameters(function)]
        # Of one or two, the summary may say it.
        missing = [one for one in parameters if not described.get(one)]
        assert not missing or (not described and len(parameters) <= 1), (name, missing)
        assert not set(described) - set(parameters), (name, "no such parameter")


def test_classes_say_what_they_take() -> None:
    for name, cls in CLASSES:
        if "__init__" not in vars(cls) or issubclass(cls, (dict, Warning)):
            continue
        described: dict[str, str] = {}
        for base in reversed(cls.__mro__):
            if base.__module__.startswith("neurovis"):
                described |= _described(parse(inspect.cleandoc(vars(base).get("__doc__") or "")))
        parameters = [one.name for one in _parameters(cls.__init__)]
        missing = [one for one in parameters if not described.get(one)]
        assert not missing, (name, missing)


def test_functions_say_what_they_refuse() -> None:
    for name, function in FUNCTIONS:
        raised = _raised(function) - {"NotImplementedError", "AssertionError"}
        stated = _stated(parse(inspect.getdoc(function) or ""))
        assert raised <= stated, (name, raised - stated)


FIRST = [(name, one) for name, one in FUNCTIONS if name.count(".") == 1]


def test_first_functions_say_what_they_give() -> None:
    """Those of the package itself, whose results a newcomer does not know yet."""
    for name, function in FIRST:
        if inspect.isgeneratorfunction(function):  # Of a context.
            continue
        returns = parse(inspect.getdoc(function) or "").returns
        assert returns is not None, name
        if any(
            one.name == "images" and _is_tensor(one.annotation) for one in _parameters(function)
        ):
            assert SHAPE.search(returns.description or ""), name


def test_classes_say_what_they_refuse() -> None:
    for name, cls in CLASSES:
        made_by = [vars(cls)[one] for one in ("__init__", "__post_init__") if one in vars(cls)]
        raised: set[str] = set()
        for function in made_by:
            if function.__code__.co_filename.startswith(str(Path(__file__).parents[1])):
                raised |= _raised(function)
        stated = _stated(parse(inspect.getdoc(cls) or ""))
        assert raised <= stated, (name, raised - stated)


def _is_tensor(annotation: Any) -> bool:
    return (
        isinstance(annotation, str) and re.fullmatch(r"Tensor( \| None)?", annotation) is not None
    )


def test_tensors_have_shapes() -> None:
    for name, function in FUNCTIONS:
        text = " ".join((inspect.getdoc(function) or "").split())
        described = _described(parse(inspect.getdoc(function) or ""))
        for parameter in _parameters(function):
            if _is_tensor(parameter.annotation):
                said = described.get(parameter.name, text)
                assert SHAPE.search(said) or "shape" in said, (name, parameter.name)
        if _is_tensor(inspect.signature(function).return_annotation):
            assert SHAPE.search(text), (name, "what is returned")


def test_tensors_of_classes_have_shapes() -> None:
    for name, cls in CLASSES:
        described = _described(parse(inspect.getdoc(cls) or ""))
        for field, annotation in vars(cls).get("__annotations__", {}).items():
            if _is_tensor(annotation) and not field.startswith("_"):
                assert SHAPE.search(described.get(field, "")), (name, field)


SOURCES = {
    "neurovis.cascading_randomization": "Adebayo",
    "neurovis.kernel_saliency": "Selvaraju",
    "neurovis.maximization.objectives.DeepDream": "Mordvintsev",
    "neurovis.maximization.objectives.Direction": "Olah",
    "neurovis.maximization.objectives.Inversion": "Mahendran",
    "neurovis.maximization.objectives.diversity_penalty": "Olah",
    "neurovis.maximization.parametrizations.FixedMagnitude": "Fel",
    "neurovis.maximization.parametrizations.Fourier": "Mordvintsev",
    "neurovis.tuning.effective_receptive_field": "Luo",
    "neurovis.tuning.measures.global_orientation_selectivity": "Ringach",
    "neurovis.tuning.measures.modulation_ratio": "Skottun",
    "neurovis.tuning.measures.orientation_bandwidth": "Ringach",
    "neurovis.tuning.measures.orientation_selectivity_index": "Mazurek",
    "neurovis.tuning.measures.spatial_frequency_bandwidth": "De Valois",
    "neurovis.tuning.rankings.border_ownership.BorderOwnershipRanking": "Zhou",
    "neurovis.tuning.rankings.category.CategoryRanking": "Afraz",
    "neurovis.tuning.rankings.class_selectivity.ClassRanking": "Morcos",
    "neurovis.tuning.rankings.color.ColorRanking": "Rafegas",
    "neurovis.tuning.rankings.curvature.CurvatureRanking": "Pasupathy",
    "neurovis.tuning.rankings.direction.DirectionRanking": "DeAngelis",
    "neurovis.tuning.rankings.orientation.OrientationRanking": "Ringach",
    "neurovis.tuning.rankings.phase.PhaseRanking": "Skottun",
    "neurovis.tuning.rankings.predictable.PredictableRanking": "Rust",
    "neurovis.tuning.rankings.sparseness.SparsenessRanking": "Vinje",
    "neurovis.tuning.rankings.texture.TextureRanking": "Freeman",
    "neurovis.tuning.rankings.tolerance.ToleranceRanking": "Zoccolan",
    "neurovis.tuning.selectivity.class_selectivity": "Morcos",
    "neurovis.tuning.selectivity.color_selectivity": "Rafegas",
    "neurovis.tuning.selectivity.lifetime_sparseness": "Vinje",
    "neurovis.tuning.selectivity.surround_suppression": "Cavanaugh",
    "neurovis.tuning.size_tuning": "Cavanaugh",
}


def test_formulas_have_their_source() -> None:
    for name, source in SOURCES.items():
        module, _, attribute = name.rpartition(".")
        text = inspect.getdoc(getattr(importlib.import_module(module), attribute)) or ""
        assert re.search(rf"{source}.*?(19|20)\d\d", text, re.DOTALL), (name, text)


def test_types_are_shipped() -> None:
    root = Path(__file__).resolve().parents[1]
    assert (root / "neurovis" / "py.typed").exists()
    assert re.search(r"^neurovis = .*py\.typed", (root / "setup.cfg").read_text(), re.MULTILINE)


def _python_files() -> list[Path]:
    root = Path(__file__).resolve().parents[1]
    files = [*(root / "neurovis").rglob("*.py"), *(root / "callbacks").glob("*.py")]
    assert len(files) > 100
    return files


def test_modules_say_why_they_exist() -> None:
    for file in _python_files():
        summary = (ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n\n")[0]
        assert len(summary.split()) > 2, file


#: First words of a clause, where an imperative or a noun phrase belongs.
CLAUSES = {"What", "How", "Which", "Where", "Whether", "Who", "Why", "When"}


def test_no_docstring_begins_with_a_clause() -> None:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for file in _python_files():
        for node in ast.walk(ast.parse(file.read_text())):
            text = ast.get_docstring(node) if isinstance(node, kinds) else None
            first = (text or "").partition("\n")[0]
            assert re.split(r"\W", first)[0] not in CLAUSES, (file, first)
