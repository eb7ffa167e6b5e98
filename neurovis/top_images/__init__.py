"""The images of a data set that drive each kernel most, for comparison with what it prefers.

A preferred image is what a kernel wants; these are the best that real pictures give it. They are
found in one pass that keeps a few numbers for each kernel, whatever the number of images.
"""

from neurovis.top_images.probe import TopImagesProbe, find_top_images
from neurovis.top_images.results import TopImages

__all__ = ["TopImages", "TopImagesProbe", "find_top_images"]
