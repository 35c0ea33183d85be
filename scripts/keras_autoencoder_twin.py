"""Trains the autoencoders of the Keras tutorial, by us and by PyTorch, and compares them.

    pip install 'ae-jax[bench]'
    python scripts/keras_autoencoder_twin.py FILE.npz --results results.json

FILE.npz holds the images of MNIST as `x_train` and `x_test`, uint8 [N, 28, 28]. The networks
are the tutorial's; its loss is the cross-entropy per pixel, of sigmoid outputs. Both trainers
take Adam (1e-3), the same steps and batch size, epochs without replacement, and the same draws:
of the initial parameters (LeCun normal kernels, zero biases) and of the batches. Without the
latter two the draws would be compared, not the trainers: two seeds of one trainer differ by
some percent.

What is in the results file is not trained again, so that the work can be done in pieces
(`--networks`, `--seeds`). All of it took 13 minutes on two CPU cores with 10,000 training
images.

Reference: Chollet 2016, "Building Autoencoders in Keras", which trains on 60,000 images for 50
epochs and reports 0.09 (shallow and deep) and 0.094 (convolutional). Here, with 10,000, means of
three seeds: 0.110 and 0.110 (50 epochs), and 0.114 (25 epochs), PyTorch's within 0.8%.
"""

import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np
import tyro
from benchmark_torch import twin_networks
from benchmark_workloads import cores

from ae_jax import methods, nets, training
from ae_jax.core import Batch, Dataset, InputError, Method
from ae_jax.data.stored import stored
from ae_jax.training.population import Window, batch_indices

SHAPE = (28, 28, 1)
PIXELS = 28 * 28
LEARNING_RATE = 1e-3


class Setting(NamedTuple):
    """One of the tutorial's autoencoders.

    Attributes:
      epochs: over the training images.
      batch_size: examples per step.
      widths: of the encoder's hidden layers; None for the convolutional one.
    """

    epochs: int
    batch_size: int
    widths: tuple[int, ...] | None = None


# The tutorial trains the convolutional one for 50 epochs as well, and the deep one for 100.
SETTINGS = {
    "shallow": Setting(50, 256, ()),
    "deep": Setting(50, 256, (128, 64)),
    "convolutional": Setting(25, 128),
}


def our_method(setting: Setting) -> Method:
    """The autoencoder as our method."""
    if setting.widths is None:
        encoder, decoder = (
            nets.conv_encoder(SHAPE, 128, "keras"),
            nets.conv_decoder(SHAPE, 128, "keras"),
        )
    else:
        encoder = nets.mlp(32, setting.widths, output_activation="relu")
        decoder = nets.mlp(SHAPE, setting.widths[::-1])
    return methods.autoencoder(
        encoder,
        decoder,
        reconstruction=methods.observations.bernoulli(),
        learning_rate=LEARNING_RATE,
    )


def torch_network(setting: Setting, params: Mapping[str, Any]) -> Any:
    """The same network in PyTorch, with our parameters."""
    import torch
    from torch.nn import Conv2d, Flatten, Linear, ReLU, Sequential, Unflatten

    if setting.widths is None:
        network = Sequential(*twin_networks("keras_autoencoder"))
    else:
        sizes = (PIXELS, *setting.widths, 32, *setting.widths[::-1], PIXELS)
        pairs = [(Linear(i, o), ReLU()) for i, o in itertools.pairwise(sizes)]
        layers = [layer for pair in pairs for layer in pair][:-1]
        network = Sequential(Flatten(), *layers, Unflatten(1, (1, 28, 28)))
    modules = [m for m in network.modules() if isinstance(m, Linear | Conv2d)]
    ours = [layer for part in ("encoder", "decoder") for _, layer in sorted(params[part].items())]
    with torch.no_grad():
        for module, layer in zip(modules, ours, strict=True):
            kernel = np.asarray(layer["kernel"])  # [I, O] or [KH, KW, I, O]
            axes = (3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)
            module.weight.copy_(torch.tensor(kernel.transpose(axes)))
            module.bias.copy_(torch.tensor(np.asarray(layer["bias"])))
    return network


def initial(method: Method, data: Dataset, seed: int) -> Any:
    """The state that both trainers begin with."""
    return jax.jit(method.init)(jax.random.key(seed), _first(data), method.hparams)


def batches(setting: Setting, steps: int, size: int, seed: int) -> np.ndarray:
    """Indices of the examples that the engine trains a lane of that seed on: [steps, B]."""
    start = Window(*np.zeros(4, np.int32))

    def indices(i: jax.Array) -> jax.Array:
        return batch_indices(seed, start, i, setting.batch_size, size)

    return np.asarray(jax.jit(jax.vmap(indices))(np.arange(steps)))


def train_ours(setting: Setting, steps: int, train: Dataset, test: Dataset, seed: int) -> float:
    """Returns the cross-entropy per pixel of the test images."""
    method = our_method(setting)
    result = training.run(
        method,
        train,
        training.grid(seed=seed),
        steps,
        batch_size=setting.batch_size,
        test=test,
        start=[initial(method, test, seed).params],
    )
    return result.rows[0]["reconstruction"] / PIXELS


def train_torch(setting: Setting, steps: int, train: Dataset, test: Dataset, seed: int) -> float:
    """Returns the cross-entropy per pixel of the test images.

    Raises:
      AssertionError: PyTorch's network is not ours.
    """
    import torch

    torch.set_num_threads(cores())
    images, test_images = (_torch_images(data) for data in (train, test))
    method, batch = our_method(setting), _first(test)
    state = initial(method, test, seed)
    network = torch_network(setting, state.params)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)

    def error(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.binary_cross_entropy_with_logits(
            network(x), x, reduction="sum"
        ) / len(x)

    with torch.no_grad():
        untrained = error(test_images[:100]).item()
    expected = method.evaluate(jax.random.key(0), state, batch, method.hparams)["reconstruction"]
    np.testing.assert_allclose(untrained, np.mean(expected), rtol=1e-5)

    for chosen in torch.tensor(batches(setting, steps, len(images), seed)):
        optimizer.zero_grad()
        error(images[chosen]).backward()
        optimizer.step()
    with torch.no_grad():
        parts = test_images.split(1000)
        total = sum(error(part).item() * len(part) for part in parts)
    return total / len(test_images) / PIXELS


TRAINERS: dict[str, Callable[..., float]] = {"ours": train_ours, "torch": train_torch}


def _first(data: Dataset, count: int = 100) -> Batch:
    return data.fetch(data.arrays, np.arange(count))


def _torch_images(data: Dataset) -> Any:
    import torch

    images = np.asarray(_first(data, data.size)["image"])
    return torch.tensor(images.transpose(0, 3, 1, 2))


def table(results: Mapping[str, Mapping[str, float]], networks: tuple[str, ...]) -> str:
    """Per network: cross-entropies, mean and standard deviation over seeds, and how they differ."""
    lines = [f"{'network':15}{'seeds':>6}{'ours':>20}{'torch':>20}{'difference':>12}"]
    for name in networks:
        own = {
            trainer: [
                value[trainer] for key, value in results.items() if key.startswith(f"{name}/")
            ]
            for trainer in TRAINERS
        }
        means = {trainer: statistics.fmean(values) for trainer, values in own.items()}
        cells = [
            f"{means[trainer]:.5f} ± {statistics.stdev(own[trainer]):.5f}"
            if len(own[trainer]) > 1
            else f"{means[trainer]:.5f}"
            for trainer in TRAINERS
        ]
        difference = means["ours"] / means["torch"] - 1
        lines.append(
            f"{name:15}{len(own['ours']):6}{cells[0]:>20}{cells[1]:>20}{difference:>+12.2%}"
        )
    return "\n".join(lines)


def main(
    file: Annotated[Path, tyro.conf.Positional],
    /,
    networks: tuple[str, ...] = tuple(SETTINGS),
    seeds: tuple[int, ...] = (0, 1, 2),
    results: Path | None = None,
) -> None:
    """Trains and prints the table.

    Args:
      file: an .npz archive with x_train and x_test, uint8 [N, 28, 28].
      networks: shallow, deep, convolutional.
      seeds: of the trainings.
      results: a JSON file that keeps what is done.
    """
    try:
        if unknown := sorted(set(networks) - set(SETTINGS)):
            raise InputError(f"unknown network {unknown[0]!r}; choose from {', '.join(SETTINGS)}")
        if not file.is_file():
            raise InputError(f"there is no file {file}")
        with np.load(file) as arrays:
            data = [
                stored(arrays[name], origin=f"{file}: {name}") for name in ("x_train", "x_test")
            ]
    except (InputError, KeyError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    done = json.loads(results.read_text()) if results and results.is_file() else {}
    for name in networks:
        setting = SETTINGS[name]
        steps = setting.epochs * data[0].size // setting.batch_size
        for seed in seeds:
            own = done.setdefault(f"{name}/{seed}", {})
            for trainer, train in TRAINERS.items():
                if trainer in own:
                    continue
                start = time.perf_counter()
                own[trainer] = train(setting, steps, *data, seed)
                seconds = time.perf_counter() - start
                print(f"{name} seed {seed} {trainer}: {own[trainer]:.5f}, {seconds:.0f} s")
                if results:
                    results.write_text(json.dumps(done, indent=2) + "\n")
    print(table(done, networks))


if __name__ == "__main__":
    tyro.cli(main)
