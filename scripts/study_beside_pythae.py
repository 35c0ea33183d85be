"""Times a study of disentanglement: ours as populations, and pythae's models one by one.

    pip install 'ae-jax[bench]'
    python scripts/study_beside_pythae.py --json figures.json

Settings are those of `experiments/disentanglement.py` that pythae has; images, networks, batches,
optimizers and steps are the same for both. All Gaussian settings are lanes of one program of ours
with every seed, FactorVAE's of another; their time is that of `training.run`, with compilation and
the evaluation at the end. pythae's is that of its own trainer, a model after the other, in one
process with all cores, without the imports. Measure on an otherwise idle machine.

What pythae does differently costs it nothing: it holds each example's divergence at the capacity
instead of their mean, and shows FactorVAE's decoder one half of a batch only.
"""

import argparse  # not tyro, as benchmark.py
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from benchmark import hardware, versions
from benchmark_pythae import silence, trainer_of
from benchmark_torch_vaes import Layers, vae_networks
from benchmark_workloads import cores

DATASET = "sprites16"
BATCH_SIZE = 64
LAYERS = {
    "gaussian": Layers((1, 16, 16), (128, 128, 6)),
    "factor": Layers((1, 16, 16), (128, 128, 6), discriminator=(128, 128)),
}


class Setting(NamedTuple):
    """One model of the study.

    Attributes:
      name: of the method, and its strength.
      kind: of our program, in LAYERS.
      ours: hyperparameters.
      model: pythae's class.
      theirs: numbers of its configuration.
    """

    name: str
    kind: str
    ours: Mapping[str, float]
    model: str
    theirs: Mapping[str, float]


def settings() -> list[Setting]:
    """Returns the settings that both have."""
    off = {"beta": 1.0, **dict.fromkeys(("capacity_weight", "tc_weight", "matching_weight"), 0.0)}

    def gaussian(name: str, model: str, theirs: Mapping[str, float], **own: float) -> Setting:
        return Setting(name, "gaussian", {**off, "capacity": 0.0, **own}, model, theirs)

    return [
        gaussian("VAE", "VAE", {}),
        *(gaussian(f"beta-VAE {x:g}", "BetaVAE", {"beta": x}, beta=x) for x in (2.0, 4.0)),
        *(
            gaussian(
                f"AnnealedVAE {x:g}",
                "DisentangledBetaVAE",
                {"beta": 100.0, "C": x, "warmup_epoch": 0},
                **{"beta": 0.0, "capacity": x, "capacity_weight": 100.0},
            )
            for x in (5.0, 7.0)
        ),
        *(
            gaussian(f"beta-TCVAE {x:g}", "BetaTCVAE", {"beta": 1 + x}, tc_weight=x)
            for x in (1.0, 3.0)
        ),
        # weights 1 - alpha of the divergence and alpha + lambda - 1 of the discrepancy
        gaussian("InfoVAE 100", "INFOVAE_MMD", {"alpha": 0.0, "lbd": 101.0}, matching_weight=100.0),
        *(
            Setting(f"FactorVAE {x:g}", "factor", {"tc_weight": x}, "FactorVAE", {"gamma": x})
            for x in (10.0, 35.0)
        ),
    ]


def method_of(kind: str, data_size: int) -> Any:
    """Returns our method for all settings of a kind."""
    from ae_jax import methods, nets

    (channels, *side), widths, _, discriminator = LAYERS[kind]
    *inner, latents = widths
    encoder = nets.mlp(2 * latents, inner)
    decoder = nets.mlp((*side, channels), inner[::-1])
    if discriminator:
        judge = nets.mlp(1, discriminator, "leaky_relu_0.2")
        return methods.factor_vae(
            encoder, decoder, judge, latents, discriminator_learning_rate=1e-3
        )
    parts = methods.latent_regularisers
    regularisers = [
        parts.capacity(),
        parts.total_correlation(data_size=data_size),
        parts.matching(),
    ]
    return methods.vae(encoder, decoder, latents, regularisers=regularisers)


def train_ours(kind: str, steps: int, seeds: int) -> dict[str, Any]:
    """Trains all settings of a kind with every seed and says what it took."""
    import jax

    from ae_jax import data, training

    jax.config.update("jax_enable_compilation_cache", False)  # its time is measured
    training.use_devices()  # a lane on every core, as experiments have it
    dataset = data.load(DATASET)
    chosen = [setting for setting in settings() if setting.kind == kind]
    lanes = [lane for s in chosen for lane in training.grid(**s.ours, seed=range(seeds))]
    start = time.perf_counter()
    result = training.run(method_of(kind, dataset.size), dataset, lanes, steps, batch_size=64)
    seconds = time.perf_counter() - start
    frozen = sum(row["status"] != "ok" for row in result.rows)
    if frozen:
        raise FloatingPointError(f"{frozen} lanes broke: they would be timed without training")
    errors = [row["reconstruction"] for row in result.rows]
    return {
        "kind": kind,
        "models": len(lanes),
        "seconds": seconds,
        "compile_seconds": result.compile_seconds,
        "compilations": result.compilations,
        "reconstruction": {
            s.name: statistics.fmean(errors[i * seeds : (i + 1) * seeds])
            for i, s in enumerate(chosen)
        },
    }


def all_images() -> np.ndarray:
    """Returns what both train on, float32 [N, H, W, C] in [0, 1]."""
    from ae_jax import data

    dataset = data.load(DATASET)
    return np.asarray(dataset.fetch(dataset.arrays, np.arange(dataset.size))["image"], np.float32)


def train_pythae(images: np.ndarray, setting: Setting, steps: int, share: float) -> dict[str, Any]:
    """Trains one model for a share of the steps, in whole epochs, and scales what these took."""
    silence()
    import torch

    torch.set_num_threads(cores())
    epoch_steps = -(-len(images) // BATCH_SIZE)
    epochs = max(1, round(steps * share / epoch_steps))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as directory:
        trainer = trainer_of(
            setting.model,
            setting.theirs,
            vae_networks(LAYERS[setting.kind]),
            images,
            BATCH_SIZE,
            directory=directory,
            epochs=epochs,
            discriminator_learning_rate=1e-3,
        )
        ready = time.perf_counter()
        trainer.train()
        trained = time.perf_counter() - ready
        batch = {"data": trainer.train_dataset.data}
        with torch.no_grad():
            error = float(trainer.model(batch)["recon_loss"])
    scaled = trained * steps / (epochs * epoch_steps)
    return {
        "setting": setting.name,
        "seconds": ready - start + scaled,
        "steps_trained": epochs * epoch_steps,
        "reconstruction": error,
    }


def report(ours: Sequence[Mapping], theirs: Sequence[Mapping]) -> tuple[str, dict[str, float]]:
    """Returns the table, and seconds per model and their ratio."""
    lines = [f"{'ours':14}{'models':>7}{'seconds':>9}{'compile':>9}{'per model':>11}"]
    lines += [
        f"{row['kind']:14}{row['models']:7}{row['seconds']:8.1f}s{row['compile_seconds']:8.1f}s"
        f"{row['seconds'] / row['models']:10.2f}s"
        for row in ours
    ]
    lines.append(f"{'':14}{'pythae':>10}{'ours':>8}{'ratio':>8}   reconstruction, nats")
    per_model = {
        name: (row["seconds"] / row["models"], row["compile_seconds"] / row["models"], error)
        for row in ours
        for name, error in row["reconstruction"].items()
    }
    for row in theirs:
        own, _, error = per_model[row["setting"]]
        lines.append(
            f"{row['setting']:14}{row['seconds']:9.1f}s{own:7.2f}s{row['seconds'] / own:7.1f}x"
            f"   {row['reconstruction']:.1f}, ours {error:.1f}"
        )
    # every setting counts once, whatever the number of seeds
    own = statistics.fmean(seconds for seconds, *_ in per_model.values())
    compiling = statistics.fmean(seconds for _, seconds, _ in per_model.values())
    peer = statistics.fmean(row["seconds"] for row in theirs)
    summary = {
        "ours_seconds_per_model": own,
        "pythae_seconds_per_model": peer,
        "ratio": peer / own,
        "ratio_without_compilation": peer / (own - compiling),
    }
    lines.append(f"{'mean':14}{peer:9.1f}s{own:7.2f}s{peer / own:7.1f}x")
    lines.append(f"without our compilation{summary['ratio_without_compilation']:16.1f}x")
    return "\n".join(lines), summary


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; what is wrong with it ends the program with status 2."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=2000, help="of every model")
    parser.add_argument("--seeds", type=int, default=3, help="of every setting of ours")
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the steps that pythae trains; it is scaled"
    )
    parser.add_argument("--json", type=Path, help="file to write")
    options = parser.parse_args(arguments)
    if min(options.steps, options.seeds) < 1:
        parser.error("steps and seeds must be 1 or more")
    if not 0 < options.share <= 1:
        parser.error(f"share must be above 0 and at most 1, not {options.share:g}")
    if options.json and not options.json.absolute().parent.is_dir():
        parser.error(f"there is no directory {options.json.parent}")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains both and prints the table."""
    options = parse(arguments)
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        machine = pool.apply(hardware)
        images = pool.apply(all_images)
    described = {**machine, **versions()}
    print(", ".join(f"{key} {value}" for key, value in described.items()), flush=True)
    if machine["load"] > 0.5:
        print("warning: other programs are running, which pythae suffers from unequally")
    ours, theirs = [], []
    for kind in LAYERS:
        with context.Pool(1) as pool:  # a process each: nothing is traced before
            ours.append(pool.apply(train_ours, (kind, options.steps, options.seeds)))
    with context.Pool(1) as pool:
        for setting in settings():
            given = images, setting, options.steps, options.share
            try:
                theirs.append(pool.apply(train_pythae, given))
            except ImportError as error:
                sys.exit(f"error: {error}: pip install 'ae-jax[bench]'")
    table, summary = report(ours, theirs)
    print(table)
    if options.json:
        told = {"hardware": machine, "versions": versions(), "options": vars(options)}
        told |= {"ours": ours, "pythae": theirs, **summary}
        options.json.write_text(json.dumps(told, indent=2, default=str) + "\n")


if __name__ == "__main__":
    main()
