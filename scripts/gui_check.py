"""Steps of scripts/gui_check, run inside a real Blender window: `blender --python gui_check.py`.

Goes through the extension as an artist would and photographs the screen after each step; every
step that fails says so, and the exit status is 1.
"""

import os
import subprocess
import sys
import time
import traceback
from pathlib import Path

import bpy

WORK = Path(sys.argv[sys.argv.index("--") + 1])
PHOTO, PHOTO_SHAPE = WORK / "astronaut.png", (512, 512)
FACE_BOX = (179, 86, 92)
"""Left, top and side of the face in the photo."""

_failed = []


def shot(name):
    """Photograph the screen: Blender's own operator gives black under Xvfb."""
    subprocess.run(["import", "-window", "root", str(WORK / f"{name}.png")], check=True)


def shot_with_material(name, seconds):
    """Show the material for a photograph; a software renderer takes that long for it."""
    shading = view()["area"].spaces.active.shading
    shading.type = "MATERIAL"
    yield seconds
    shot(name)
    shading.type = "SOLID"


def view():
    """Window, area and region of the 3D view, as an override."""
    window = bpy.context.window_manager.windows[0]
    area = next(a for a in window.screen.areas if a.type == "VIEW_3D")
    region = next(r for r in area.regions if r.type == "WINDOW")
    return {"window": window, "area": area, "region": region, "screen": window.screen}


def open_tab():
    """Click the BioFace tab: `active_panel_category` is read-only before Blender 4.4."""
    area = view()["area"]
    bar = next(r for r in area.regions if r.type == "UI")
    height = bpy.context.window_manager.windows[0].height
    x = bar.x + bar.width - 8
    for y in range(height - bar.y - bar.height + 40, height - bar.y - bar.height + 420, 12):
        subprocess.run(["xdotool", "mousemove", str(x), str(y)], check=True)
        subprocess.run(["xdotool", "click", "1"], check=True)
        yield 0.2
        if bar.active_panel_category == "BioFace":
            break
    subprocess.run(["xdotool", "mousemove", "400", "760"], check=True)
    yield 0.5
    assert bar.active_panel_category == "BioFace", "the tab BioFace was not found"


def scrolled(notches):
    """Turn the mouse wheel over the side bar: down where negative."""
    bar = next(r for r in view()["area"].regions if r.type == "UI")
    height = bpy.context.window_manager.windows[0].height
    at = (bar.x + bar.width // 2, height - bar.y - bar.height // 2)
    subprocess.run(["xdotool", "mousemove", *map(str, at)], check=True)
    wheel = "5" if notches < 0 else "4"
    subprocess.run(["xdotool", "click", "--repeat", str(abs(notches)), wheel], check=True)
    yield 2.0


def key(name):
    subprocess.run(["xdotool", "key", name], check=True)


def drag_face_box():
    """Draw `FACE_BOX` on the photo with the mouse, photographing it on the way."""
    area, window = view()["area"], bpy.context.window_manager.windows[0]
    region = view()["region"]
    overlay = next(m for name, m in sys.modules.items() if name.endswith("bioface.photo_overlay"))
    place = overlay.Placement.inside(overlay.free_room(area), PHOTO_SHAPE)
    x, y, side = FACE_BOX
    for step, share in enumerate((0, 0.3, 0.6, 1)):
        across, up = place.to_region(x + share * side, y + share * side)
        at = (round(region.x + across), round(window.height - 1 - region.y - up))
        subprocess.run(["xdotool", "mousemove", *map(str, at)], check=True)
        yield 0.4
        if step == 0:
            subprocess.run(["xdotool", "mousedown", "1"], check=True)
            yield 0.4
    shot("04-face-box")
    subprocess.run(["xdotool", "mouseup", "1"], check=True)
    yield 1.0


def draw_face_box():
    """Begin to draw, think better of it, draw, undo and draw again."""
    source = bpy.context.scene.bioface.source
    for decision in ("Escape", "drag", "undo", "drag"):
        if decision == "undo":
            with bpy.context.temp_override(**view()):
                bpy.ops.ed.undo()
            source = bpy.context.scene.bioface.source  # undo replaces what Python holds
            assert not source.use_box, "drawing was not undone"
            continue
        with bpy.context.temp_override(**view()):
            assert bpy.ops.bioface.face_box_draw("INVOKE_DEFAULT") == {"RUNNING_MODAL"}
        yield 1.0
        if decision == "Escape":
            key("Escape")
            yield 0.5
            assert not source.use_box, "cancelled, and yet there is a box"
        else:
            yield from drag_face_box()
            drawn = (*source.box_corner, source.box_side)
            assert source.use_box, "nothing was drawn"
            off = max(abs(a - b) for a, b in zip(drawn, FACE_BOX, strict=True))
            assert off <= 3, f"{drawn} was drawn instead of {FACE_BOX}"


def wait_for(condition, seconds):
    """Let Blender work until `condition()` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"nothing happened in {seconds} s"
        yield 0.3


def idle():
    return not bpy.context.window_manager.bioface.operator


def steps():
    """The walk-through; yields how long to wait."""
    settings = bpy.context.scene.bioface
    bpy.ops.object.select_all(action="SELECT")
    bpy.ops.object.delete()
    yield 0.5
    over = view()
    over["area"].spaces.active.show_region_ui = True
    over["area"].spaces.active.overlay.show_floor = False
    yield 1.0
    yield from open_tab()
    shot("01-empty")
    with bpy.context.temp_override(**view()):
        bpy.ops.bioface.head_add()
        bpy.context.object.rotation_euler.z = 0.0
        bpy.ops.view3d.view_axis(type="FRONT")
        bpy.ops.view3d.view_selected()
    bpy.ops.bioface.skin_preset_set(group="SA")
    yield from shot_with_material("02-skin", 60.0)

    source = settings.source
    source.filepath = str(PHOTO)
    with bpy.context.temp_override(**view()):
        bpy.ops.ed.undo_push(message="photo")  # as the file browser does
    read = bpy.ops.bioface.photo_estimate
    with bpy.context.temp_override(**view()):
        assert read("INVOKE_DEFAULT") == {"RUNNING_MODAL"}
    yield 1.0
    shot("03-reading")
    bpy.ops.bioface.task_cancel()
    yield from wait_for(idle, 60)
    assert not source.maps, "cancelled, and yet there are maps"
    assert not source.result, "cancelled, and yet there is a file"
    yield from draw_face_box()
    settings = bpy.context.scene.bioface
    source = settings.source
    with bpy.context.temp_override(**view()):
        assert read("INVOKE_DEFAULT") == {"RUNNING_MODAL"}
    yield from wait_for(idle, 600)
    assert len(source.maps) == 4, "no maps came"
    source.show_uncertainty = True
    yield from scrolled(-12)
    shot("05-photo")
    yield from scrolled(12)
    settings.texture_size = 512
    with bpy.context.temp_override(**view()):
        assert bpy.ops.bioface.maps_project() == {"FINISHED"}
    yield from shot_with_material("06-applied", 150.0)

    dataset = settings.dataset
    dataset.folder, dataset.count, dataset.size = str(WORK / "dataset"), 2, 32
    dataset.samples = 8
    with bpy.context.temp_override(**view()):
        assert bpy.ops.bioface.dataset_generate("INVOKE_DEFAULT") == {"RUNNING_MODAL"}
    manager = bpy.context.window_manager
    yield from wait_for(lambda: manager.bioface.share > 0, 600)
    shot("07-generating")
    bpy.ops.bioface.task_cancel()
    yield from wait_for(idle, 60)
    assert not (WORK / "dataset" / "contact_sheet.png").exists()
    with bpy.context.temp_override(**view()):
        assert bpy.ops.bioface.dataset_generate("INVOKE_DEFAULT") == {"RUNNING_MODAL"}
    yield from wait_for(idle, 900)
    assert (WORK / "dataset" / "contact_sheet.png").exists(), "the dataset was not continued"
    yield 1.0
    shot("08-dataset")


def advance(generator):
    try:
        return next(generator)
    except StopIteration:
        pass
    except Exception:
        traceback.print_exc()
        shot("failed")
        _failed.append(True)
    sys.stdout.flush()
    os._exit(1 if _failed else 0)


def start():
    running = steps()
    bpy.app.timers.register(lambda: advance(running))


bpy.app.timers.register(start, first_interval=3.0)
