"""Put trained weights and what is known of their training where the package ships them.

    install_weights.py OUT TARGET

OUT holds `release.onnx` of scripts/train_release and folders of stages: `pretrain`, `finetune`, and
those of the others that there were. TARGET gets `release.safetensors`, `release.onnx`,
`release.json` (settings and reports) and the logs of the stages, and loses other weights. None may
tell a path or the name of a photo: the photos show other people's faces, so the report says how
many there were.
"""

import json
import sys
from pathlib import Path
from typing import Any

from one_line import run

from bioface.atomic import replacing
from bioface.errors import InputError
from bioface.learn.weights import load_weights

NAME = "release"
STAGES = (
    *("pretrain", "continued", "finetune", "refined", "mean"),
    *("enlarged", "adapted", "blended"),
    *("broadened", "settled", "together", "joined"),
    *("sharpened", "honed", "evened", "crisp"),
)
FINE_TUNING = ("finetune", "refined", "adapted", "settled", "honed")
MEANS = ("mean", "blended", "together", "joined", "evened", "crisp")
"""Stages without a log: means of two others."""


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    out, target = map(Path, sys.argv[1:])
    stages = [s for s in STAGES if (out / s).exists()]
    if not stages:
        raise InputError(f"{out}: holds none of the stages of scripts/train_release")
    weights = out / stages[-1] / "weights.safetensors"
    model = load_weights(weights)
    report = {stage: json.loads((out / stage / "report.json").read_text()) for stage in stages}
    if model.sha256 != report[stages[-1]]["weights_sha256"]:
        raise InputError(f"{weights}: not the weights that its report.json describes")
    onnx = out / f"{NAME}.onnx"
    # The file's metadata tell the hash of the weights that it was made from.
    if model.sha256.encode() not in onnx.read_bytes():
        raise InputError(f"{onnx}: made from other weights than {weights}; export it again")
    photos: set[str] = set()
    for stage in set(stages) & set(FINE_TUNING):
        about = report[stage]
        photos |= {Path(name).name for name in (*about["photos"], *about["held_out"])}
        for name in ("photos", "held_out"):
            about[name] = len(about[name])
        for name in ("photos", "data"):
            about["settings"].pop(name, None)
    for text in strings([report, model.metadata, model.config]):
        if "/" in text or "\\" in text or text in photos:
            raise InputError(f"{text}: a path or the name of a photo, which must not be installed")
    target.mkdir(parents=True, exist_ok=True)
    sources = {f"{NAME}.safetensors": weights, onnx.name: onnx}
    sources |= {f"{NAME}.{s}.csv": out / s / "log.csv" for s in stages if s not in MEANS}
    content = {name: source.read_bytes() for name, source in sources.items()}
    content[f"{NAME}.json"] = f"{json.dumps(report, indent=1)}\n".encode()
    older = {path for old in target.glob("*.safetensors") for path in target.glob(f"{old.stem}.*")}
    for name, data in content.items():
        with replacing(target / name) as temporary:
            temporary.write_bytes(data)
    for path in older - {target / name for name in content}:
        path.unlink()


def strings(value: Any) -> list[str]:
    """Every string in nested JSON, keys too."""
    if isinstance(value, dict):
        return [text for item in value.items() for text in strings(list(item))]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


if __name__ == "__main__":
    run(main)
