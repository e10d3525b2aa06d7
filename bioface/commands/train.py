"""`bioface train`: pretrain an encoder on rendered faces, fine-tune it on photos."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Any

from bioface.atomic import check_target
from bioface.cores import usable_cores
from bioface.errors import InputError, MissingDependencyError, install_advice
from bioface.memory import keep_freed_memory

_BUDGET = {"pretrain": 30.0, "finetune": 10.0}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the two stages and their arguments."""
    stages = parser.add_subparsers(dest="stage", required=True, metavar="pretrain|finetune|crop")
    pretrain = stages.add_parser(
        "pretrain",
        help="supervised, on a packed dataset",
        description="Train an encoder on rendered faces; colour is drawn anew for every batch.",
    )
    pretrain.add_argument(
        "--data", type=Path, required=True, metavar="PACK", help="file of bioface-synth pack"
    )
    pretrain.add_argument(
        "--config", default="default", choices=("default", "paper"),
        help="network and losses: ours, or as published, for comparison",
    )  # fmt: skip
    pretrain.add_argument(
        "--weights", type=Path,
        help="go on from the encoder of these, at another size say; what fine-tuning taught their "
        "decoder is dropped",
    )  # fmt: skip
    pretrain.add_argument("--size", type=int, default=128, help="side of the crops (default 128)")
    pretrain.add_argument("--early-size", type=int, help="a smaller side to begin with")
    pretrain.add_argument(
        "--early-share", type=float, default=0.7,
        help="share of the budget at the smaller side (default 0.7)",
    )  # fmt: skip
    pretrain.add_argument("--skin", default="calibrated", help="skin model (default calibrated)")
    pretrain.add_argument(
        "--cameras", default="training", choices=("training", "all"),
        help="camera model; training leaves out those that accuracy is measured on (default)",
    )  # fmt: skip
    pretrain.add_argument(
        "--method", default="fitted", choices=("fitted", "pseudo_inverse"),
        help="how the trained decoder goes from raw to XYZ (default fitted)",
    )  # fmt: skip
    pretrain.add_argument(
        "--score-minutes", type=float, default=10.0,
        help="how often 64 held-out photos are measured; 0: never (default 10)",
    )  # fmt: skip
    pretrain.add_argument("--batch", type=int, default=16, help="photos a step (default 16)")
    pretrain.add_argument("--learning-rate", type=float, help="default 2e-3; paper: 1e-2")
    finetune = stages.add_parser(
        "finetune",
        help="self-supervised, on photos",
        description="Move an encoder and the decoder's global constants towards real photos.",
    )
    finetune.add_argument(
        "--photos", type=Path, nargs="*", default=[], metavar="PHOTO|DIR|NPZ",
        help="photos or folders of photos, or what bioface train crop wrote (default: "
        "scikit-image's portrait of an astronaut)",
    )  # fmt: skip
    finetune.add_argument("--weights", type=Path, help="to start from (default: the shipped ones)")
    finetune.add_argument(
        "--data", type=Path, metavar="PACK", help="rendered faces to replay against forgetting"
    )
    finetune.add_argument(
        "--replay-batch", type=int, help="rendered faces a step (default: as many as photos)"
    )
    finetune.add_argument(
        "--without", nargs="+", default=[], metavar="NAME",
        help="ingredients to leave out, to see what each does (see docs/training.md)",
    )  # fmt: skip
    finetune.add_argument("--batch", type=int, default=8, help="photos a step (default 8)")
    finetune.add_argument("--learning-rate", type=float, default=5e-4, help="default 5e-4")
    crop = stages.add_parser(
        "crop",
        help="cut the faces out of photos, to fine-tune where neither photos nor MediaPipe are",
        description="Write crops of faces, with masks and shading proxies, for finetune.",
    )
    crop.add_argument("--photos", type=Path, nargs="+", required=True, metavar="PHOTO|DIR")
    crop.add_argument("--size", type=int, required=True, help="what the weights are trained at")
    crop.add_argument("--out", type=Path, required=True, metavar="NPZ")
    crop.add_argument("--overwrite", action="store_true", help="replace the file")
    for stage, name in ((pretrain, "pretrain"), (finetune, "finetune")):
        stage.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the results")
        stage.add_argument("--steps", type=int, help="stop after so many steps")
        stage.add_argument(
            "--minutes", type=float,
            help=f"stop after so many minutes (default {_BUDGET[name]:g} without --steps)",
        )  # fmt: skip
        stage.add_argument(
            "--camera-database", type=Path, metavar="NPZ",
            help="measured cameras (rawtoaces52.npz) that take half of the rendered faces' photos, "
            "held-out ones those that are reported",
        )  # fmt: skip
        stage.add_argument(
            "--larger-data", type=Path, metavar="PACK",
            help="people rendered two or more times as large as the crops: photos of that size, "
            "averaged down as bioface estimate does",
        )  # fmt: skip
        stage.add_argument(
            "--larger-share", type=float,
            help="share of the batches of rendered faces that shows them (default 0.5)",
        )  # fmt: skip
        stage.add_argument("--seed", type=int, default=0, help="default 0")
        stage.add_argument(
            "--precision", default="32", choices=("32", "bf16"),
            help="of the network; bf16 is for processors that have it (default 32)",
        )  # fmt: skip
        stage.add_argument(
            "--devices", type=int, default=1,
            help="processes, one a GPU, that share each batch (default 1)",
        )  # fmt: skip
        stage.add_argument(
            "--workers", type=int,
            help="processes that draw batches, 0: none (default: 1, none on a single core; beside "
            "GPUs all cores but two)",
        )  # fmt: skip
        stage.add_argument("--threads", type=int, help="CPU threads (default: all, at most 8)")
        stage.add_argument("--resume", action="store_true", help="continue an interrupted run")
        stage.add_argument("--overwrite", action="store_true", help="replace an earlier run")


def run(options: argparse.Namespace) -> int:
    """Train; prints where the weights are and what they reach."""
    return _crop(options) if options.stage == "crop" else _train(options)


def _crop(options: argparse.Namespace) -> int:
    try:
        from bioface.learn.faces import CROPS_SUFFIX, load_faces
        from bioface.photo.crop import SIZES
    except ImportError as error:
        raise MissingDependencyError(
            f"cropping faces needs {error.name}; run: {install_advice('train')}"
        ) from error
    if options.out.suffix != CROPS_SUFFIX:
        raise InputError(f"{options.out}: let --out end in {CROPS_SUFFIX}")
    check_target(options.out, overwrite=options.overwrite)
    if not SIZES[0] <= options.size <= SIZES[1]:
        raise InputError(f"--size {options.size}: must be {SIZES[0]} to {SIZES[1]}")
    faces = load_faces(options.photos, options.size)
    faces.save(options.out)
    print(f"{options.out}: {len(faces.names)} faces")
    return 0


def _train(options: argparse.Namespace) -> int:
    if options.threads is not None and options.threads < 1:
        raise InputError(f"--threads {options.threads}: must be at least 1")
    # Threads of libgomp and OpenBLAS spin while they wait by default, which triples the CPU time of
    # a step on a machine that does anything else. Both are read at the first import.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    keep_freed_memory()
    try:
        import torch

        from bioface.learn.finetune import FinetuneOptions, finetune
        from bioface.learn.pretrain import PretrainOptions, pretrain
    except ImportError as error:
        raise MissingDependencyError(
            f"training needs {error.name}; run: {install_advice('train')}"
        ) from error
    threads = options.threads or min(usable_cores(), 8)
    torch.set_num_threads(max(threads // max(options.devices, 1), 1))
    if options.workers is None:
        options.workers = int(threads > 1)
        if torch.cuda.is_available():
            options.workers = min(max(usable_cores() - 2, 0) // max(options.devices, 1), 64)
    if options.steps is None and options.minutes is None:
        options.minutes = _BUDGET[options.stage]
    if options.stage == "pretrain":
        report = pretrain(_options(PretrainOptions, options))
        full = report["full"]
        print(
            f"{report['steps']} steps; held-out RMSE in u: melanin {full['melanin']['rmse']:.3f}, "
            f"haemoglobin {full['haemoglobin']['rmse']:.3f}"
        )
    else:
        report = finetune(_options(FinetuneOptions, options))
        before, after = (report["reconstruction"][key] for key in ("before", "after"))
        print(
            f"{report['steps']} steps on {len(report['photos'])} photos; reconstruction RMSE "
            f"{before['rmse']:.4f} -> {after['rmse']:.4f} ({after['relative']:.1%} of the skin)"
        )
    print(options.out / "weights.safetensors")
    return 0


def _options(kind: Any, options: argparse.Namespace) -> Any:
    names = {field.name for field in dataclasses.fields(kind)}
    values = {name: value for name, value in vars(options).items() if name in names}
    if "without" in values:
        values["without"] = tuple(values["without"])
    return kind(**values)
