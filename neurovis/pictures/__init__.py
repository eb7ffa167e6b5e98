"""A person's own pictures: found in files and folders, and read into images in [0, 1].

An image of several modalities, color and depth say, is a file each; their names, or patterns that
are given, tell which belong together.
"""

from neurovis.pictures.dataset import PictureDataset
from neurovis.pictures.finding import PICTURE_SUFFIXES, PictureFiles, find_pictures
from neurovis.pictures.ranges import ZeroDepthWarning
from neurovis.pictures.reading import StretchedWarning, read_picture, stretched

__all__ = [
    "PICTURE_SUFFIXES",
    "PictureDataset",
    "PictureFiles",
    "StretchedWarning",
    "ZeroDepthWarning",
    "find_pictures",
    "read_picture",
    "stretched",
]
