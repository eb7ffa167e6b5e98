"""Options of a report that cannot be meant."""

from __future__ import annotations

from bad_input.bad import each_with
from bad_input.commands import REPORT

REPORTS = each_with(
    REPORT,
    [
        ("a report's near miss", "--fieldimages 3", '"--fieldimages" … "--field_images"'),
        ("noise of less than none", "--field_images -1", "field_images must be at least 0; got -1"),
        (
            "noise without end",
            f"--field_images {10**20}",
            f"field_images must be at most 1000, and 16 will do; got {10**20}",
        ),
        (
            "cards by gratings without end",
            "--ranking.orientations 1801",
            "orientations must be at most 1800; got 1801",
        ),
        ("no such maps", "--method gradients", '"gradients" … "gradient"'),
        ("no such ranking of cards", "--by orientatoin", '"orientatoin" … "orientation"'),
        ("no card for a layer", "--objective deep_dream", "card for each kernel; the objective"),
        ("cards by few gratings", "--ranking.orientations 2", "orientations must be at least 4"),
        ("cards of no top images", "--top_images 0", "top_images … at least 1 … 0"),
        ("a probe that is not there", "--probe nowhere.png", 'there is no picture "nowhere.png"'),
        ("cards in half precision", "--trainer.precision bf16-mixed", "bf16-mixed"),
        ("a kernel that is not there", "--kernels 99", 'kernel 99 is out of range: layer "'),
    ],
)
