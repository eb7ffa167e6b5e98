"""TensorBoard's descriptions of the pictures that commands log."""

from __future__ import annotations

FEATURE_MAPS = (
    "**What the kernels make of a picture**, beside the picture, one map a kernel. The maps share "
    "one scale from black (lowest) to white (highest value), stated above them in the layer's own "
    "unit. The slider goes through the pictures; their names are in the titles and `results.csv`."
)
SALIENCY = (
    "**Which pixels of a picture drive what each label names** (a kernel or a class, with its "
    "value): the image, the map over it, and the map. The colors and their ends are stated under "
    "each map, in units of the explained value. The slider goes through the pictures."
)
RANDOMIZATION = (
    "**The same map while the network's weights become random**, from the output down. A map that "
    "stays alike (rank correlation near 1) shows the picture, not what the network has learned. "
    "The slider goes through the pictures."
)
TOP_IMAGES = (
    "**The pictures that drive each kernel most**, highest first, each with the activation it "
    "reaches in the layer's own unit, beside the kernel's preferred image where there is one. The "
    "slider goes through the pages; all numbers are in `top_images.csv`."
)
#: Descriptions of a ranking's pictures, by the last part of the tag.
RANKED = {
    "sheets": "**What one kernel is tuned to**: its response to gratings of all orientations and "
    "spatial frequencies (cycles per pixel of the input), in the layer's own unit. The slider goes "
    "through the kernels, from the first of the ranking on; their numbers are in the titles.",
    "receptive_fields": "**What the first kernels of the ranking see**: where in the image a pixel "
    "changes the central unit. Sizes are in pixels of the network's input.",
    "size_tuning": "**How large a grating the first kernels of the ranking want**: response over "
    "its diameter in pixels of the network's input. Where the curve falls again, the surround "
    "suppresses.",
    "preferred_images": "**Each kernel's preferred image beside the grating that it prefers.** "
    "Where both tell the truth, orientation (degrees) and spatial frequency (cycles per pixel) "
    "agree; the label says how far apart the orientations are.",
}
