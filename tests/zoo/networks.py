"""All networks of the table."""

from __future__ import annotations

from zoo.case import Case
from zoo.library_networks import LIBRARIES
from zoo.other_networks import OTHERS
from zoo.torchvision_networks import TORCHVISION

CASES: list[Case] = [*TORCHVISION, *LIBRARIES, *OTHERS]
