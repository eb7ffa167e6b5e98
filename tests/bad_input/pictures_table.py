"""Pictures that are missing, cut off, endless, of another kind, or have names that do something."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from bad_input.bad import Bad
from bad_input.commands import AM, COLOR, FEATURES, GRAY, RANK, SALIENCY
from bad_input.makers import (
    Maker,
    all_of,
    array,
    closed,
    code_array,
    cut,
    endless_array,
    endless_png,
    endless_tiff,
    float_tiff,
    folder,
    picture,
    raw,
    text,
)

_NO_PICTURE = "is not a picture that can be read"


def _color(name: str, file: str, given: Maker, says: str) -> Bad:
    return Bad(name, f"{COLOR} {file}", f'"{file}" {says}', given)


def _gray(name: str, file: str, given: Maker, says: str) -> Bad:
    return Bad(name, f"{GRAY} {file}", f'"{file}" {says}', given)


_FILES = [
    Bad("no picture", f"{COLOR} nowhere.png", 'there is no picture "nowhere.png"'),
    Bad("empty folder", f"{COLOR} f", 'there is no picture in "f": no PNG, JPEG,', folder("f")),
    _color("empty picture", "p.png", text("p.png", ""), f"{_NO_PICTURE}: it is empty"),
    _color("text for a picture", "p.png", text("p.png"), f"{_NO_PICTURE}: it is no PNG, JPEG,"),
    _color("a PDF for a picture", "p.png", text("p.png", "%PDF-1.4"), f"{_NO_PICTURE}: it is no"),
    _color(
        "a program for a printer",  # Pillow would run Ghostscript for it.
        "p.png",
        text("p.png", "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        f"{_NO_PICTURE}: it is no PNG",
    ),
    _color("PNG cut off", "p.png", cut("p.png", picture("p.png")), f"{_NO_PICTURE}: image file is"),
    _color(
        "JPEG cut off", "p.jpg", cut("p.jpg", picture("p.jpg")), f"{_NO_PICTURE}: image file is"
    ),
    _gray(
        "TIFF cut off",
        "p.tiff",
        cut("p.tiff", picture("p.tiff", "L")),
        f"{_NO_PICTURE}: ",
    ),
    _color(
        "endless PNG", "p.png", endless_png("p.png"), "has more pixels than can be meant: Image"
    ),
    _gray("endless TIFF", "p.tiff", endless_tiff("p.tiff"), "has more pixels than can be meant"),
    _color(
        "large PNG cut off", "p.png", endless_png("p.png", 9000), f"{_NO_PICTURE}: image file is"
    ),
    _color("PNG without pixels", "p.png", endless_png("p.png", 0), f"{_NO_PICTURE}: "),
    _gray("TIFF without pixels", "p.tiff", endless_tiff("p.tiff", 0), f"{_NO_PICTURE}: "),
    _gray(
        "depth of NaN", "p.tiff", float_tiff("p.tiff", float("nan")), "has 1 values of 256 that are"
    ),
    _gray(
        "endless depth", "p.tiff", float_tiff("p.tiff", float("inf")), "has 1 values of 256 that"
    ),
    _gray(
        "depth out of range",
        "p.npy",
        array("p.npy", [[[7.0]]]),
        "has values outside [0, 1]",
    ),
    _color("floats for color", "p.tiff", float_tiff("p.tiff", 1), "is a 16-bit or float picture"),
    _color(
        "array of four channels", "p.npy", array("p.npy", [[[0.5]]] * 4), "has shape (4, 1, 1); ex"
    ),
    _color(
        "array of NaN", "p.npy", array("p.npy", [[[float("nan")]]] * 3), "has 3 values of 3 that"
    ),
    _color(
        "array without pixels", "p.npy", array("p.npy", [[], [], []]), "has shape (3, 0); expected"
    ),
    _color(
        "array cut off", "p.npy", endless_array("p.npy", (3, 99_999, 99_999)), "is not a NumPy file"
    ),
    _color(
        "endless array",
        "p.npy",
        endless_array("p.npy", (3, 20_000, 20_000), with_holes=True),
        "has more values than can be meant: 1200000000, of shape (3, 20000, 20000)",
    ),
    _color("array of code", "p.npy", code_array("p.npy"), "is not a NumPy file of numbers"),
    _color(
        "archive for an array", "p.npy", raw("p.npy", b"PK\3\4"), "is not a NumPy file of numbers"
    ),
    Bad("a pipe", f"{COLOR} p.png", 'there is no picture "p.png"', lambda: os.mkfifo("p.png")),
    Bad("a device", f"{COLOR} /dev/zero", 'there is no picture "/dev/zero"'),
    Bad(
        "a link to itself",
        f"{COLOR} p.png",
        'there is no picture "p.png"',
        lambda: os.symlink("p.png", "p.png"),
    ),
    Bad(
        "a picture that is closed",
        f"{COLOR} p.png",
        "Permission denied",
        closed("p.png", picture("p.png")),
        as_root=False,
    ),
]


_PARTS = tuple(shlex.split(COLOR))


def _named(name: str, file: str, shown: str) -> Bad:
    return Bad(name, (*_PARTS, f"./{file}"), f'"{shown}" {_NO_PICTURE}', text(file))


_NAMES = [
    _named("name with markup", "[red]a[-red].png", "[red]a[-red].png"),
    _named("name with a dash", "-rf.png", "-rf.png"),
    _named("name for a shell", "$(touch CODE_WAS_RUN).png", "$(touch CODE_WAS_RUN).png"),
    _named("name with a format", "{0.__class__}%s%n.png", "{0.__class__}%s%n.png"),
    _named("name in Unicode", "猫 и кошка.png", "猫 и кошка.png"),
    _named("name with an escape", "\x1b[31mred.png", "\\x1b[31mred.png"),
    Bad(
        "name in two lines",
        (*_PARTS, "a\nb.png"),
        f'"a\\nb.png" {_NO_PICTURE}',
        text("a\nb.png"),
    ),
    Bad(
        "name of no encoding",
        (*_PARTS, os.fsdecode(b"\xff.png")),
        f'"\\udcff.png" {_NO_PICTURE}',
        lambda: Path(os.fsdecode(b"\xff.png")).write_text("text"),
    ),
    Bad("name with a null byte", (*_PARTS, "a\0b.png"), 'there is no picture "a\\x00b.png"'),
    Bad("endless name", f"{COLOR} {'x' * 5000}.png", "xxx.png"),
    Bad("a dash for a picture", f"{COLOR} -rf.png", "--images … saliency --help"),
]

_RGBD = [
    Bad(
        "color without depth",
        f"{SALIENCY} a_rgb.png",
        'there is no depth picture to go with "a_rgb.png"',
        picture("a_rgb.png"),
    ),
    Bad(
        "two depths",
        f"{FEATURES} a_rgb.png",
        "has 2 pictures of depth: a_far_depth.png, a_near_depth.png",
        all_of(
            picture("a_rgb.png"), picture("a_far_depth.png", "L"), picture("a_near_depth.png", "L")
        ),
    ),
    Bad(
        "pattern of one",
        f"{FEATURES} . --patterns.rgb *.png",
        "patterns needs one for each modality",
    ),
    Bad(
        "pattern out of the folder",
        f"{FEATURES} . --patterns.rgb *.png --patterns.depth ../../*/x.png",
        'the pattern of depth must be a file\'s name with one "*"',
    ),
    Bad(
        "pattern without a name",
        f"{FEATURES} . --patterns *.png",
        "patterns must be names with values",
    ),
]

_ELSEWHERE = [
    Bad("start of no file", f"{AM} --init nowhere.png", 'there is no picture "nowhere.png"'),
    Bad(
        "start of color alone",
        f"{AM} --init photo.png",
        '"photo.png" … (rgb, depth) … end in "rgb" and "depth" … .npy file (C, H, W)',
        picture("photo.png"),
    ),
    Bad(
        "start of code",
        f"{AM} --init v.npy",
        '"v.npy" is not a NumPy file of numbers',
        code_array("v.npy"),
    ),
    Bad(
        "frozen picture of code",
        f"{AM} --frozen.rgb v.npy",
        '"v.npy" is not a NumPy file of numbers',
        code_array("v.npy"),
    ),
    Bad(
        "inversion of code",
        f"{AM} --objective Inversion --objective.picture v.npy",
        '"v.npy" is not a NumPy file of numbers',
        code_array("v.npy"),
    ),
    Bad(
        "spectrum of no pictures",
        f"{AM} --parametrization FixedMagnitude --parametrization.pictures nowhere",
        'there is no picture "nowhere"',
    ),
    Bad(
        "top images of no pictures",
        f"{AM} --images photos",
        'no picture in "photos" … names of files must',
        all_of(folder("photos"), text("photos/a.png")),
    ),
    Bad(
        "sparseness on text",
        f"{RANK} --by sparseness --images a_rgb.png",
        f'"a_rgb.png" {_NO_PICTURE}: it is no PNG',
        all_of(text("a_rgb.png"), picture("a_depth.png", "L")),
    ),
]

PICTURES = [*_FILES, *_NAMES, *_RGBD, *_ELSEWHERE]
