"""Write OUT/report.html from what the demo left in OUT: one file, every picture inside it.

usage: scripts/demo_report.py OUT DATASET PHOTO
"""

import base64
import csv
import html
import io
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from PIL import Image

from bioface.atomic import write_text
from bioface.photo.files import read_photo, to_bytes

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fafafa; margin: 0; }
main { max-width: 1080px; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { font-weight: 600; } h2 { font-weight: 600; margin-top: 3rem; }
figure { margin: 1rem 0; } img { max-width: 100%; border-radius: 6px; display: block; }
figcaption { color: #555; font-size: .9rem; margin-top: .4rem; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
table { border-collapse: collapse; } td, th { padding: .3rem .9rem .3rem 0; text-align: left; }
td + td, th + th { font-variant-numeric: tabular-nums; }
"""


def main() -> None:
    out, dataset, photo = (Path(argument) for argument in sys.argv[1:4])
    finetuning = json.loads((out / "finetune" / "report.json").read_text())
    estimate_json = next((out / "estimate").glob("*.json"))
    estimate = json.loads(estimate_json.read_text())
    parts = [
        "<h1>BioFace: from rendered faces to an editable skin</h1>",
        "<h2>a. Faces rendered with known skin</h2>",
        figure(
            (dataset / "contact_sheet.png").read_bytes(),
            f"{dataset.name}: every sample stores light transport and pigments; "
            "shown under D65 with the mean camera.",
        ),
        "<h2>b, c. Training</h2>",
        figure(
            loss_curves(out),
            "Left: supervised pretraining on the renders, colours drawn anew for every batch. "
            "Right: self-supervised fine-tuning on photos.",
        ),
        table(
            ("Reconstruction of the photos, RMSE in linear RGB on skin", ""),
            ("before fine-tuning", f"{finetuning['reconstruction']['before']['rmse']:.4f}"),
            ("after fine-tuning", f"{finetuning['reconstruction']['after']['rmse']:.4f}"),
        ),
        "<h2>d. The photo and its skin maps</h2>",
        figure(thumbnail(photo), f"The photo: {photo.name}."),
        figure(
            estimate_json.with_suffix(".png").read_bytes(),
            "What the encoder and the physics read from it.",
        ),
        table(
            ("Reading", "median over the skin"),
            ("melanin, volume fraction of the epidermis", f"{median(estimate, 'melanin'):.3f}"),
            ("blood, volume fraction of the dermis", f"{median(estimate, 'haemoglobin'):.4f}"),
            ("light", temperature(estimate["illuminant"]["cct_kelvin"])),
        ),
        "<h2>e. On a head in Blender</h2>",
        '<div class="pair">',
        figure((out / "blender" / "before.png").read_bytes(), "The skin that was read."),
        figure((out / "blender" / "after.png").read_bytes(), "Melanin x 1.5, haemoglobin x 0.5."),
        "</div>",
        f"<p>Open <code>{html.escape(str(out / 'blender' / 'head.blend'))}</code> in Blender: the "
        "gains are inputs of the BioFace Skin node.</p>",
    ]
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>BioFace demo</title>'
        f"<style>{STYLE}</style><main>{''.join(parts)}</main></html>\n"
    )
    write_text(out / "report.html", page)
    print(f"report: {(out / 'report.html').resolve()}")


def temperature(kelvin: float | None) -> str:
    return "of no temperature" if kelvin is None else f"{kelvin:.0f} K"


def median(estimate: dict, pigment: str) -> float:
    return estimate["skin"][f"{pigment}_median"]


def figure(png: bytes, caption: str) -> str:
    data = base64.b64encode(png).decode()
    return (
        f'<figure><img alt="{html.escape(caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def table(head: tuple[str, str], *rows: tuple[str, str]) -> str:
    lines = [f"<tr><th>{html.escape(head[0])}</th><th>{html.escape(head[1])}</th></tr>"]
    lines += [f"<tr><td>{html.escape(a)}</td><td>{html.escape(b)}</td></tr>" for a, b in rows]
    return f"<table>{''.join(lines)}</table>"


def thumbnail(photo: Path) -> bytes:
    image = Image.fromarray(to_bytes(read_photo(photo)))
    image.thumbnail((512, 512))
    return png_bytes(image)


def png_bytes(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def loss_curves(out: Path) -> bytes:
    figure_, axes = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
    for axis, stage in zip(axes, ("pretrain", "finetune"), strict=True):
        with open(out / stage / "log.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        steps = [int(row["step"]) for row in rows]
        for name in rows[0]:
            if name in ("step", "minutes", "learning_rate"):
                continue
            values = [float(row[name]) for row in rows]
            if name == "loss":
                axis.plot(steps, values, color="black", linewidth=2, label="total")
            elif max(values) > 0:
                axis.plot(steps, values, linewidth=1, label=name.replace("_", " "))
        axis.set(title=stage, xlabel="step", yscale="log")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7, ncols=2)
        axis.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure_.savefig(buffer, dpi=110)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
