"""Trains pythae's models and ours: the same networks, starts, data, optimizer and steps.

    pip install 'ae-jax[bench]'
    python scripts/models_beside_pythae.py --json figures.json

Those of its models whose objective is ours as well; docs/pythae.md says what differs in the others.
Dense networks D-400-20 and back on the capital letters of `glyphs`, batches of 100, Adam of 1e-3,
float32. Both begin at the same parameters, but for pseudo-inputs. Losses are of
all images after training, by our `evaluate` for both: networks of pythae's are read back, since
what it reports of importance-weighted bounds is no bound. Of models with further parameters each
reports its own.

Times are per step: pythae's of its own trainer, over all epochs, with the two progress bars off;
ours without compilation, of one lane alone and of one of 16 that are trained side by side. Measure
on an otherwise idle machine.
"""

import argparse  # not tyro, as benchmark.py
import json
import math
import multiprocessing
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

DATASET = "glyphs"
BATCH_SIZE = 100
HIDDEN, LATENTS = 400, 20
#: That are trained side by side.
LANES = 16


class Model(NamedTuple):
    """A model that both have.

    Attributes:
      theirs: pythae's class.
      numbers: of its configuration.
      outputs: of the encoder.
      own: whether it has parameters beside encoder and decoder.
    """

    theirs: str
    numbers: Mapping[str, Any] = {}
    outputs: int = 2 * LATENTS
    own: bool = False


MODELS = {
    "AE": Model("AE", outputs=LATENTS),
    "RAE": Model("RAE_L2", {"embedding_weight": 0.1}, outputs=LATENTS),
    "WAE-MMD": Model("WAE_MMD", {"reg_weight": 10.0}, outputs=LATENTS),
    "VAE": Model("VAE"),
    "beta-VAE": Model("BetaVAE", {"beta": 4.0}),
    "beta-TCVAE": Model("BetaTCVAE", {"beta": 4.0, "use_mss": False}),
    "InfoVAE": Model("INFOVAE_MMD", {"alpha": 0.0, "lbd": 11.0}),
    "IWAE": Model("IWAE", {"number_samples": 5}),
    "CIWAE": Model("CIWAE", {"number_samples": 5, "beta": 0.5}),
    # the two numbers are exchanged there
    "MIWAE": Model("MIWAE", {"number_gradient_estimates": 3, "number_samples": 3}),
    "VampPrior": Model("VAMP", {"number_components": 50}, own=True),
}


def method_of(name: str, side: int, examples: int) -> Any:
    """Returns our method of a name, for images of so many pixels a side."""
    from ae_jax import methods, nets

    model, image = MODELS[name], (side, side, 1)
    encoder = nets.mlp(model.outputs, (HIDDEN,))
    if model.outputs == LATENTS:
        decoder = nets.mlp(image, (HIDDEN,), output_activation="sigmoid")
        given = {
            "AE": (),
            "RAE": [methods.penalties.latent_norm(model.numbers.get("embedding_weight", 0))],
            "WAE-MMD": [methods.penalties.matching(model.numbers.get("reg_weight", 0))],
        }
        return methods.autoencoder(encoder, decoder, penalties=given[name])
    regularisers, bounds = methods.latent_regularisers, methods.bounds
    options = {
        "VAE": {},
        "beta-VAE": {"beta": 4.0},
        "beta-TCVAE": {
            "regularisers": [regularisers.total_correlation(3.0, data_size=examples, weights="mws")]
        },
        "InfoVAE": {"regularisers": [regularisers.matching(10.0)]},
        "IWAE": {"bound": bounds.iwae(5)},
        "CIWAE": {"bound": bounds.combined(5, 0.5)},
        "MIWAE": {"bound": bounds.multiply_importance_weighted(3, 3)},
        "VampPrior": {"prior": methods.priors.vamp(encoder, 50)},
    }
    return methods.vae(encoder, nets.mlp(image, (HIDDEN,)), LATENTS, **options[name])


def train_ours(
    name: str, images: np.ndarray, steps: int, lanes: int, start: Any = None
) -> dict[str, Any]:
    """Trains lanes of one model; says what a step of one took, and gives the first's parameters."""
    import jax

    from ae_jax import data, training

    dataset = data.stored(images)
    method = method_of(name, *images.shape[1::-1])
    grid = training.grid(seed=range(lanes))
    starts = None if start is None else [start] * lanes
    result = training.run(method, dataset, grid, steps, batch_size=BATCH_SIZE, start=starts)
    if any(row["status"] != "ok" for row in result.rows):
        raise FloatingPointError(f"{name}: a lane broke, and would be timed without training")
    group = result.groups[0]
    params = jax.tree.map(lambda leaf: np.asarray(leaf[0]), group.state.params)
    return {
        "milliseconds": 1000 / result.lane_steps_per_second,
        "params": {part: params[part] for part in ("encoder", "decoder")},
        "loss": result.rows[0]["loss"],
    }


def first_parameters(name: str, images: np.ndarray) -> Any:
    """Returns encoder and decoder to start from, as ours draws them."""
    import jax

    method = method_of(name, *images.shape[1::-1])
    batch = {"image": images[:BATCH_SIZE]}
    params = method.init(jax.random.key(0), batch, method.hparams).params
    return jax.tree.map(np.asarray, {part: params[part] for part in ("encoder", "decoder")})


def judge(name: str, images: np.ndarray, params: Any) -> float:
    """Returns our loss of all images, by given networks."""
    from ae_jax import data, training

    dataset, method = data.stored(images), method_of(name, *images.shape[1::-1])
    # a rate too small to move anything: what is left is the evaluation
    lanes = training.grid(learning_rate=[1e-30], seed=[0])
    result = training.run(method, dataset, lanes, 1, batch_size=BATCH_SIZE, start=[params])
    return float(result.rows[0]["loss"])


def all_images() -> np.ndarray:
    """Returns what both train on, float32 [N, H, W, 1] in [0, 1]."""
    from ae_jax import data

    dataset = data.load(DATASET)
    return np.asarray(dataset.fetch(dataset.arrays, np.arange(dataset.size))["image"], np.float32)


def linear_layers(networks: Any) -> list[tuple[str, str, Any]]:
    """Returns where each of PyTorch's linear layers stands in our parameters."""
    from torch import nn

    return [
        (part, f"Dense_{i}", layer)
        for part, network in zip(("encoder", "decoder"), networks, strict=True)
        for i, layer in enumerate(own for own in network.modules() if isinstance(own, nn.Linear))
    ]


def train_pythae(name: str, images: np.ndarray, start: Any, steps: int) -> dict[str, Any]:
    """Trains pythae's model; says what a step took, and gives its networks' parameters."""
    silence()
    import torch

    torch.set_num_threads(cores())
    torch.manual_seed(0)
    model = MODELS[name]
    side, epoch_steps = images.shape[1], len(images) // BATCH_SIZE
    epochs = max(1, round(steps / epoch_steps))
    networks = vae_networks(Layers((1, side, side), (HIDDEN, LATENTS)), model.outputs)
    places = linear_layers(networks)
    with torch.no_grad():
        for part, layer, own in places:
            own.weight.copy_(torch.tensor(start[part][layer]["kernel"].T))
            own.bias.copy_(torch.tensor(start[part][layer]["bias"]))
    with tempfile.TemporaryDirectory() as directory:
        trainer = trainer_of(
            model.theirs,
            model.numbers,
            networks,
            images,
            BATCH_SIZE,
            directory=directory,
            epochs=epochs,
        )
        began = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - began
        trainer.model.eval()
        with torch.no_grad():
            batches = trainer.train_dataset.data.split(1000)
            own = [float(trainer.model({"data": batch}).loss) for batch in batches]
    params: dict[str, Any] = {"encoder": {}, "decoder": {}}
    for part, layer, found in places:
        kernel, bias = found.weight.detach().numpy().T, found.bias.detach().numpy()
        params[part][layer] = {"kernel": kernel.copy(), "bias": bias.copy()}
    return {
        "milliseconds": 1000 * seconds / (epochs * epoch_steps),
        "loss": math.fsum(own) / len(own),
        "params": params,
    }


def compare(pool: Any, name: str, images: np.ndarray, steps: int) -> dict[str, Any]:
    """Trains a model by both."""
    start = pool(first_parameters, name, images)
    theirs = pool(train_pythae, name, images, start, steps)
    epoch_steps = len(images) // BATCH_SIZE
    ours = pool(
        train_ours, name, images, max(1, round(steps / epoch_steps)) * epoch_steps, 1, start
    )
    many = pool(train_ours, name, images, max(100, steps // 4), LANES, None)
    found = theirs["loss"] if MODELS[name].own else pool(judge, name, images, theirs["params"])
    reached = ours["loss"] if MODELS[name].own else pool(judge, name, images, ours["params"])
    return {
        "model": name,
        "pythae_loss": found,
        "loss": reached,
        "difference": reached / found - 1,
        "pythae_ms": theirs["milliseconds"],
        "ms": ours["milliseconds"],
        "lane_ms": many["milliseconds"],
    }


def line(row: Mapping[str, Any]) -> str:
    """Returns a row of the table."""
    return (
        f"{row['model']:12}{row['pythae_loss']:10.3f}{row['loss']:10.3f}"
        f"{100 * row['difference']:+8.2f}%{row['pythae_ms']:9.2f}{row['ms']:8.2f}"
        f"{row['pythae_ms'] / row['ms']:7.2f}x{row['lane_ms']:9.2f}"
        f"{row['pythae_ms'] / row['lane_ms']:7.2f}x"
    )


HEADER = (
    f"{'':12}{'loss':>10}{'':>10}{'':>9}{'ms/step':>9}{'':>8}{'':>8}{'of 16':>9}\n"
    f"{'model':12}{'pythae':>10}{'ours':>10}{'':>9}{'pythae':>9}{'ours':>8}{'':>8}{'ours':>9}"
)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; what is wrong with it ends the program with status 2."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), metavar="NAME")
    parser.add_argument("--steps", type=int, default=1600, help="of every model")
    parser.add_argument("--json", type=Path, help="file to write")
    options = parser.parse_args(arguments)
    if options.steps < 1:
        parser.error("steps must be 1 or more")
    if options.json and not options.json.absolute().parent.is_dir():
        parser.error(f"there is no directory {options.json.parent}")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains all and prints the table."""
    options = parse(arguments)
    context = multiprocessing.get_context("spawn")

    def pool(function: Any, *given: Any) -> Any:  # a process each: JAX and PyTorch stay apart
        with context.Pool(1) as own:
            return own.apply(function, given)

    machine = pool(hardware)
    described = {**machine, **versions()}
    print(", ".join(f"{key} {value}" for key, value in described.items()), flush=True)
    if machine["load"] > 0.5:
        print("warning: other programs are running, which pythae suffers from unequally")
    images, rows = pool(all_images), []
    print(HEADER, flush=True)
    for name in options.models:
        try:
            rows.append(compare(pool, name, images, options.steps))
        except ImportError as error:
            sys.exit(f"error: {error}: pip install 'ae-jax[bench]'")
        print(line(rows[-1]), flush=True)
    if options.json:
        told = {"hardware": machine, "versions": versions(), "options": vars(options)}
        told |= {"rows": rows}
        options.json.write_text(json.dumps(told, indent=2, default=str) + "\n")


if __name__ == "__main__":
    main()
