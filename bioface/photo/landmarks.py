"""Tables over the 478 points of MediaPipe's face mesh, and the skin region they outline.

Points are (x, y) in pixels of an image, measured from its top left corner: the centre of the first
pixel is (0.5, 0.5).
"""

from __future__ import annotations

import numpy as np

# Face mesh indices of the 68 iBUG points (Sagonas et al. 2013), jaw first. Where the mesh has no
# vertex at the annotated place, the nearest one is taken.
# fmt: off
IBUG_68 = np.array([
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356,  # jaw
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,                                      # brows
    168, 197, 5, 4, 98, 97, 2, 326, 327,                                                # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,                          # eyes
    61, 39, 37, 0, 267, 269, 291, 321, 314, 17, 84, 91,                                 # outer lips
    78, 82, 13, 312, 308, 317, 14, 87,                                                  # inner lips
])

FACE_OVAL = np.array([
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
])
EYES = (
    np.array([33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7]),
    np.array([263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249]),
)
BROWS = (
    np.array([46, 53, 52, 65, 55, 107, 66, 105, 63, 70]),
    np.array([276, 283, 282, 295, 285, 336, 296, 334, 293, 300]),
)
INNER_MOUTH = np.array([
    78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95,
])
# fmt: on

_EDGE = 0.008  # Gaussian softening of the region's edge, as a fraction of the face's size
_GROW = 0.012  # how far eyes, brows and mouth are grown into the skin, likewise
_SUBPIXEL_BITS = 4


def ibug_landmarks(mesh: np.ndarray) -> np.ndarray:
    """The 68 iBUG points (68, 2) of a face mesh (478, 2)."""
    return mesh[IBUG_68]


def eye_centres(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres (2,) of the eye on the image's left and of the one on its right, of 68 points."""
    return landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)


def bounding_box(points: np.ndarray) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of points (N, 2)."""
    left, top = points.min(axis=0)
    right, bottom = points.max(axis=0)
    return float(left), float(top), float(right), float(bottom)


def skin_region(
    mesh: np.ndarray, shape: tuple[int, int], *, holes: bool = True, brows: bool = False
) -> np.ndarray:
    """How much of each pixel is facial skin by the mesh alone: float32 (H, W), 0-1, soft edges.

    The face oval without eyes, brows and inner mouth; lips count as skin. Exactly 0 away from the
    face.

    Parameters
    ----------
    mesh
        Face mesh (478, 2), pixels.
    shape
        (H, W) of the photo.
    holes
        False keeps eyes, brows and inner mouth in: the whole oval.
    brows
        True keeps brows in.
    """
    import cv2

    region = np.zeros(shape, np.float32)
    left, top, right, bottom = bounding_box(mesh)
    size = max(right - left, bottom - top)
    sigma = max(_EDGE * size, 0.5)
    margin = int(np.ceil(4 * sigma)) + 2
    x0, y0 = max(int(left) - margin, 0), max(int(top) - margin, 0)
    x1 = min(int(np.ceil(right)) + margin, shape[1])
    y1 = min(int(np.ceil(bottom)) + margin, shape[0])
    if x1 <= x0 or y1 <= y0:
        return region

    def filled(outline: np.ndarray, grow: float = 0.0) -> np.ndarray:
        canvas = np.zeros((y1 - y0, x1 - x0), np.uint8)
        centred = mesh[outline] - np.array([x0 + 0.5, y0 + 0.5])
        fixed = np.round(centred * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        cv2.fillPoly(canvas, [fixed], (255,), cv2.LINE_AA, _SUBPIXEL_BITS)
        radius = round(grow)
        if radius > 0:
            disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
            return cv2.dilate(canvas, disc).astype(np.float32) / 255
        return canvas.astype(np.float32) / 255

    skin = filled(FACE_OVAL)
    if holes:
        for outline in EYES if brows else (*EYES, *BROWS):
            skin *= 1 - filled(outline, _GROW * size)
        skin *= 1 - filled(INNER_MOUTH)
    skin = cv2.GaussianBlur(skin, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    skin[skin < 1 / 255] = 0
    region[y0:y1, x0:x1] = skin
    return region
