"""The contrast response function of Naka and Rushton, fitted to responses."""

from __future__ import annotations

#: Exponents and, as parts of the highest contrast, semisaturation contrasts that are tried.
_EXPONENTS, _CONTRASTS = (0.1, 20.0), (1e-3, 1e3)
#: Values tried of each in a round; every further round is between the neighbors of the best.
_TRIED, _ROUNDS = 25, 8
