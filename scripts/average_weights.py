"""The mean of weights that were trained from the same beginning: often better than each of them.

    average_weights.py OUT FILE=SHARE FILE=SHARE...

Shares sum to 1. OUT is a folder, which gets `weights.safetensors` and `report.json`. Averaging the
weights of several fine-tunings of one network: Wortsman et al. (2022), Model soups.
"""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from bioface.atomic import write_text
from bioface.errors import BiofaceError
from bioface.learn.weights import TrainedModel, load_weights, save_weights


def main() -> None:
    if len(sys.argv) < 4:
        raise SystemExit("usage: average_weights.py OUT FILE=SHARE FILE=SHARE...")
    out = Path(sys.argv[1])
    names, shares = zip(*map(parsed, sys.argv[2:]), strict=True)
    if not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise SystemExit(f"shares {', '.join(map(str, shares))}: must sum to 1")
    try:
        models = [load_weights(name) for name in names]
    except BiofaceError as error:
        raise SystemExit(f"average_weights.py: {error}") from error
    for name, model in zip(names, models, strict=True):
        if model.config != models[0].config:
            raise SystemExit(f"{name}: another network or decoder than {names[0]}")
    members = [
        {"share": share, "weights_sha256": model.sha256}
        for share, model in zip(shares, models, strict=True)
    ]
    mean = averaged(models, shares)
    metadata = models[0].metadata | {"stage": "average", "average": members}
    out.mkdir(parents=True, exist_ok=True)
    digest = save_weights(out / "weights.safetensors", mean.encoder, mean.decoder, **metadata)
    report = {"members": members, "weights_sha256": digest}
    write_text(out / "report.json", json.dumps(report, indent=1) + "\n")


def parsed(pair: str) -> tuple[str, float]:
    """File and share of FILE=SHARE."""
    name, _, text = pair.rpartition("=")
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not name or not math.isfinite(share):
        raise SystemExit(f"{pair}: must be FILE=SHARE, such as weights.safetensors=0.5")
    return name, share


@torch.no_grad()
def averaged(models: list[TrainedModel], shares: Sequence[float]) -> TrainedModel:
    """The first model, its parameters replaced by the mean of all."""
    for module in ("encoder", "decoder"):
        states = [getattr(model, module).state_dict() for model in models]
        mean = {
            name: sum(share * state[name] for share, state in zip(shares, states, strict=True))
            for name in states[0]
        }
        getattr(models[0], module).load_state_dict(mean)
    return models[0]


if __name__ == "__main__":
    main()
