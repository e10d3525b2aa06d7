"""Where things are on a face: curves and signed distances from the 68 landmarks.

Everything is measured on a provider's mean head (`HeadMesh.canonical`), in cm, so that region
labels and pigment fields stick to anatomy whatever the identity and expression. Distances scale
with the distance between the eyes: a head of another size gets the same picture.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from bioface.errors import InputError
from synth.heads.shapes import polar_angle
from synth.scene import REGIONS, HeadMesh

_EYE_DISTANCE = 6.3

# Azimuth (degrees from the front, left and right alike) against the height of the hairline and of
# the lower edge of the face, as (reference landmark, cm above it).
_HAIRLINE = (
    (0.0, 21, 5.3),
    (22.0, 21, 5.2),
    (40.0, 21, 4.4),
    (52.0, 21, 2.6),
    (66.0, 21, 0.2),
    (76.0, 27, -0.2),
    (84.0, 27, -1.0),
    (92.0, 27, 1.5),
    (112.0, 27, 2.0),
    (124.0, 30, 0.5),
    (145.0, 33, -2.5),
    (180.0, 33, -3.5),
)


@dataclass(frozen=True)
class Anatomy:
    """The landmarks (68, 3) cm of a mean head in iBUG order, and measures taken from them."""

    landmarks: np.ndarray

    @classmethod
    def of(cls, head: HeadMesh) -> Anatomy:
        """The anatomy of the mean head that `head` was deformed from."""
        return cls(np.asarray(head.canonical, np.float64)[head.landmarks])

    def __post_init__(self) -> None:
        if self.landmarks.shape != (68, 3) or not np.isfinite(self.landmarks).all():
            raise InputError(f"68 finite landmarks are needed, not shape {self.landmarks.shape}")

    @property
    def unit(self) -> float:
        """Size of this head: the distance between the eyes over that of an average adult."""
        eyes = self.landmarks[42:48].mean(0) - self.landmarks[36:42].mean(0)
        return float(np.linalg.norm(eyes)) / _EYE_DISTANCE

    @property
    def axis(self) -> np.ndarray:
        """(3,) a point on the vertical axis through the skull: centred, above the ears."""
        jaw = self.landmarks[[0, 16]].mean(0)
        return jaw - np.array([0.0, 0.0, 3.5 * self.unit])

    def azimuth(self, points: np.ndarray) -> np.ndarray:
        """(...,) degrees from straight ahead around the vertical axis, 0-180 on either side."""
        offset = points - self.axis
        return np.degrees(polar_angle(np.abs(offset[..., 0]), offset[..., 2]))

    def above_hairline(self, points: np.ndarray) -> np.ndarray:
        """(...,) cm above the hairline (negative on the face)."""
        angle, reference, rise = (np.array(column) for column in zip(*_HAIRLINE, strict=True))
        height = self.landmarks[reference.astype(int), 1] + rise * self.unit
        return (points[..., 1] - np.interp(self.azimuth(points), angle, height)) / self.unit

    def below_jaw(self, points: np.ndarray) -> np.ndarray:
        """(...,) cm below the lower edge of the face (positive on the neck)."""
        jaw = self.landmarks[8:15]
        angle = np.concatenate([np.maximum.accumulate(self.azimuth(jaw)), [95.0, 130.0, 180.0]])
        nape = self.landmarks[33, 1] - 2.0 * self.unit
        height = np.concatenate([jaw[:, 1] - 0.4 * self.unit, [jaw[4, 1], nape, nape]])
        return (np.interp(self.azimuth(points), angle, height) - points[..., 1]) / self.unit

    def distance(self, points: np.ndarray, first: int, last: int) -> np.ndarray:
        """(...,) cm to the polyline of the landmarks `first` to `last`, both included."""
        return polyline_distance(points, self.landmarks[first : last + 1]) / self.unit

    def inside_lips(self, points: np.ndarray) -> np.ndarray:
        """(...,) cm inside the vermilion border seen from the front (negative outside)."""
        outline = _smooth_closed(self.landmarks[48:60, :2], corners=(0, 6))
        depth = self.landmarks[[48, 54], 2].mean() - 1.2 * self.unit
        inside = signed_inside(points[..., :2], outline) / self.unit
        return np.where(points[..., 2] > depth, inside, -9.0)

    def inside_eye(self, points: np.ndarray, left: bool) -> np.ndarray:
        """(...,) cm inside the opening of the eyelids seen from the front (negative outside)."""
        first = 42 if left else 36
        outline = _smooth_closed(self.landmarks[first : first + 6, :2], corners=(0, 3))
        front = points[..., 2] > self.landmarks[first : first + 6, 2].min() - 1.5 * self.unit
        inside = signed_inside(points[..., :2], outline) / self.unit
        return np.where(front, inside, -9.0)


def label_skin(points: np.ndarray, anatomy: Anatomy, ears: np.ndarray) -> np.ndarray:
    """Region index (N,) uint8 of skin points (N, 3) on the mean head; `ears` (N,) bool."""
    unit = anatomy.unit
    marks = anatomy.landmarks
    x, y = np.abs(points[:, 0]), points[:, 1]
    left = points[:, 0] > 0
    angle = anatomy.azimuth(points)
    region = np.full(len(points), REGIONS.index("face"), np.uint8)

    def paint(where: np.ndarray, name: str) -> None:
        region[where] = REGIONS.index(name)

    brows = np.minimum(anatomy.distance(points, 17, 21), anatomy.distance(points, 22, 26))
    brow_height = np.interp(x, marks[22:27, 0], marks[22:27, 1])
    paint((y > brow_height) & (angle < 65) & (brows > 0.6), "forehead")
    low_lid = np.minimum(anatomy.distance(points, 36, 41), anatomy.distance(points, 42, 47))
    mouth_height = marks[[48, 54], 1].mean()
    cheek = (angle < 75) & (y < marks[28, 1]) & (y > mouth_height - 1.2 * unit)
    cheek &= x > marks[35, 0] + 0.25 * unit
    for side, where in (("left", left), ("right", ~left)):
        paint(cheek & where, f"cheek_{side}")
        under = (low_lid < 1.5) & (y < marks[36:48, 1].mean()) & (x > marks[42, 0] - 0.3 * unit)
        paint(under & where & (angle < 60), f"under_eye_{side}")
    span = (marks[27, 1] + 0.4 * unit, marks[33, 1] - 0.3 * unit)
    half = np.interp(y, [span[1], marks[30, 1], span[0]], [marks[35, 0] + 0.5 * unit] * 2 + [unit])
    paint((y < span[0]) & (y > span[1]) & (x < half) & (angle < 45), "nose")
    chin = (y < marks[57, 1] - 0.4 * unit) & (x < 2.6 * unit) & (angle < 45)
    paint(chin, "chin")
    paint(anatomy.inside_lips(points) > 0, "lips")
    paint(anatomy.below_jaw(points) > 0, "neck")
    paint(anatomy.above_hairline(points) > 0, "scalp")
    for side, where in (("left", left), ("right", ~left)):
        paint(ears & where, f"ear_{side}")
    return region


def face_centres(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 3) mean of the corners of quads (F, 4); -1 pads triangles."""
    corner = vertices[faces]
    real = (faces >= 0)[..., None]
    return (corner * real).sum(1) / real.sum(1)


def vertex_regions(head: HeadMesh) -> np.ndarray:
    """(V,) uint8 region of every vertex: the lowest region index among its faces."""
    out = np.full(len(head.vertices), len(REGIONS), np.uint8)
    real = head.faces >= 0
    np.minimum.at(out, head.faces[real], np.repeat(head.region, real.sum(1)))
    return np.where(out == len(REGIONS), REGIONS.index("face"), out).astype(np.uint8)


def polyline_distance(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """(...,) distance from points (..., D) to the polyline (K, D)."""
    return np.linalg.norm(points - nearest_on_polyline(points, line), axis=-1)


def nearest_on_polyline(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """(..., D) the points of the polyline (K, D) nearest to points (..., D)."""
    best = np.full(points.shape[:-1], np.inf)
    nearest = np.zeros(points.shape)
    for start, end in itertools.pairwise(line):
        along = end - start
        t = np.clip((points - start) @ along / max(float(along @ along), 1e-12), 0.0, 1.0)
        here = start + t[..., None] * along
        gap = ((points - here) ** 2).sum(-1)
        closer = gap < best
        best = np.where(closer, gap, best)
        nearest[closer] = here[closer]
    return nearest


def _smooth_closed(corner: np.ndarray, corners: tuple[int, ...], steps: int = 4) -> np.ndarray:
    """A closed Catmull-Rom curve through the points (K, 2), sharp at `corners`."""
    out = []
    count = len(corner)
    for i in range(count):
        before, start, end, after = (corner[(i + k) % count] for k in (-1, 0, 1, 2))
        if i in corners:
            before = start
        if (i + 1) % count in corners:
            after = end
        for t in np.arange(steps) / steps:
            out.append(
                0.5
                * (
                    2 * start
                    + (end - before) * t
                    + (2 * before - 5 * start + 4 * end - after) * t**2
                    + (3 * start - before - 3 * end + after) * t**3
                )
            )
    return np.array(out)


def signed_inside(points: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Distance to a closed outline (K, 2), positive inside."""
    closed = np.concatenate([outline, outline[:1]])
    distance = polyline_distance(points, closed)
    inside = np.zeros(points.shape[:-1], bool)
    x, y = points[..., 0], points[..., 1]
    for (x0, y0), (x1, y1) in itertools.pairwise(closed):
        if y0 != y1:
            crosses = (y0 > y) != (y1 > y)
            inside ^= crosses & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return np.where(inside, distance, -distance)
