"""One random, complete scene: who, in what light, from where."""

from __future__ import annotations

import numpy as np

from synth.heads import HeadProvider
from synth.sample.attach import attach
from synth.sample.clothes import sample_clothes
from synth.sample.config import SampleConfig
from synth.sample.face import grow_shell, vertex_normals
from synth.sample.glasses import sample_glasses
from synth.sample.hair import sample_hair
from synth.sample.headwear import press_hair, sample_headwear
from synth.sample.layout import layout_of
from synth.sample.light import expose, sample_light
from synth.sample.makeup import sample_makeup
from synth.sample.not_skin import sample_not_skin
from synth.sample.pigment import painted_pigment, sample_pigment
from synth.sample.strands import sample_strands
from synth.sample.surface import sample_surface
from synth.sample.view import project, sample_view
from synth.scene import REGIONS, Scene

_PART_SPECULAR = 0.5
_METERED_POINTS = 400


def sample_scene(rng: np.random.Generator, config: SampleConfig, provider: HeadProvider) -> Scene:
    """Draw a head, its pigments, surface and hair, a view and the light.

    The same generator state, configuration and provider give the same scene; nothing else is
    random.
    """
    layout = layout_of(provider)
    region, skin = layout.region, layout.skin
    head = provider.sample(rng)
    makeup = sample_makeup(rng, config, layout)
    if head.pigment.size:
        melanin, haemoglobin, pigment_record = painted_pigment(head, skin)
    else:
        melanin, haemoglobin, pigment_record = sample_pigment(rng, config, layout, makeup.evenness)
    tone = pigment_record["melanin_u"]
    surface = sample_surface(rng, config, layout)
    hair = sample_hair(rng, config, layout, tone)
    reflectance, part_roughness, part_record = sample_not_skin(rng, layout, tone)
    clothes, clothes_record = sample_clothes(rng, config, head)
    glasses, glasses_record = sample_glasses(rng, config, head)
    headwear, pressed, headwear_record = sample_headwear(rng, config, head)
    hair = press_hair(hair, pressed[skin])
    covers = (makeup.cover, hair)
    head = grow_shell(head, skin, hair.thickness)
    normals = vertex_normals(head.vertices.astype(np.float64), head.faces)
    strands, strand_record = sample_strands(rng, layout, head, normals, hair, clothes)

    bare, bump = np.ones(len(skin)), surface.bump
    roughness, specular = surface.roughness, surface.specular
    colour = np.zeros((len(skin), 4))
    for cover in covers:
        bare = cover.over(bare, 0.0)
        bump = cover.over(bump, 0.0)
        roughness = cover.over(roughness, cover.roughness)
        specular = cover.over(specular, cover.specular)
        colour += (cover.reflectance - colour) * (cover.coverage > 0)[:, None]
    reflectance[skin] = colour
    attributes = {
        "skin": _spread(bare, skin, len(region)),
        "melanin": _spread(melanin, skin, len(region)),
        "haemoglobin": _spread(haemoglobin, skin, len(region)),
        "roughness": part_roughness.astype(np.float32),
        "specular": np.full(len(region), _PART_SPECULAR, np.float32),
        "bump": _spread(bump, skin, len(region)),
    }
    attributes["roughness"][skin] = roughness
    attributes["specular"][skin] = specular
    for k in range(4):
        attributes[f"reflectance.{k}"] = reflectance[:, k].astype(np.float32)

    landmarks = head.vertices[head.landmarks].astype(np.float64)
    view, view_record = sample_view(rng, config, landmarks)
    lights, environment, light_record = sample_light(rng, config, view)
    face = skin[region[skin] <= REGIONS.index("chin")]
    metered = _metered(head.vertices[face].astype(np.float64), normals[face], view.position)
    lights, environment, exposure = expose(rng, config, lights, environment, *metered)
    record = {
        "identity": [round(float(v), 6) for v in head.identity],
        "expression": [round(float(v), 6) for v in head.expression],
        "pigment": pigment_record,
        "make_up": makeup.cover.record,
        "surface": surface.record,
        "hair": {**hair.record, **strand_record},
        "clothes": clothes_record,
        "glasses": glasses_record,
        "headwear": headwear_record,
        "parts": part_record,
        "view": view_record,
        "light": {
            **light_record,
            "exposure": exposure,
            "lamps": [
                {
                    "group": lamp.group,
                    "position": np.asarray(lamp.position).tolist(),
                    "size": float(lamp.size),
                    "irradiance": float(lamp.irradiance),
                }
                for lamp in lights
            ],
        },
        "landmarks": project(view, landmarks).round(6).tolist(),
    }
    head, attributes = attach(head, attributes, [*clothes, *glasses, *headwear, *strands])
    return Scene(head, attributes, lights, environment, view, record)


def _spread(values: np.ndarray, where: np.ndarray, count: int) -> np.ndarray:
    """(count,) float32 holding `values` at `where` and 0 elsewhere."""
    out = np.zeros(count, np.float32)
    out[where] = values
    return out


def _metered(
    points: np.ndarray, normals: np.ndarray, eye: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Some of the points and normals (N, 3) of the facial skin: those that face the camera."""
    seen = np.flatnonzero(((eye - points) * normals).sum(1) > 0)
    chosen = seen[:: max(1, len(seen) // _METERED_POINTS)]
    return points[chosen], normals[chosen]
