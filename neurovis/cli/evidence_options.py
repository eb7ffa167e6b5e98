"""Options of evidence for the images of a run; finding it imports far more than naming it."""

from __future__ import annotations

from dataclasses import dataclass

from jsonargparse.typing import NonNegativeInt, PositiveInt

from neurovis.cli.commands import Flag, Models, PicturePaths

#: Options that ask for pictures.
ASKING = ("top_images", "predictability", "path_similarity", "facets")


@dataclass(frozen=True)
class TopImagesOptions:
    """Pictures of your own that drive each kernel most.

    Args:
        images: Find the pictures that drive each kernel most, to stand beside its preferred image:
            pictures, or folders of them, as for neurovis features; of a folder of folders those in
            them. Any number; they are read one after the other.
        patterns: Names of each modality's files in a folder, * being what the files of an image
            share: --patterns.rgb "*_RGB.png" --patterns.depth "*_perfect_depth.tiff".
        top_images: Number of top images for each kernel: 9 if there are --images. With --model
            demo, of its own scenes by default.
        image_workers: Processes that read images, for each device; 0 reads them in between.
        predictability: Also measure whether a kernel's preferred image tells which of the pictures
            drive it: 1 if always, 0.5 by chance; 10 pictures at least.
        path_similarity: Also compare what a kernel's preferred image and its top pictures excite in
            the layers before, and flag images that take another way in; 10 pictures at least.
        facets: Also tell whether pictures drive a kernel in several ways, and make an image for
            each of them; 48 pictures at least.
    """

    images: PicturePaths = None
    patterns: dict[str, str] | None = None
    top_images: PositiveInt | None = None
    image_workers: NonNegativeInt = 0
    predictability: Flag = False
    path_similarity: Flag = False
    facets: Flag = False

    @property
    def are_wanted(self) -> bool:
        """True if there are pictures to search."""
        return self.images is not None or any(getattr(self, name) for name in ASKING)


@dataclass(frozen=True)
class JudgeOptions:
    """Other networks that judge the images.

    Args:
        judge: Networks that say whether they see the same in the images, as for --model, with a
            name or file of weights after =, as for --weights. Of classes that they share with the
            model the rank and the probability; of other kernels the activation of the kernel that
            responds most as they do to --images, of which there must be 20.
    """

    judge: Models = None
