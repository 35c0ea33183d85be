"""Recurrent autoencoders: words spelled again from a vector, time series, images row by row.

    python experiments/recurrent_ae.py

Of words that they have not seen, GRUs and LSTMs spell nearly all letters and most words right;
neighbours in the latent space are spelled alike (iterator: iterators, iteration, iterated), those
of embeddings learned from contexts mean something alike (float: fraction, complex, numbers).
`--preset tones` is for time series.

Reference: Sutskever, Vinyals and Le (2014); Cho et al. (2014); Mikolov et al. (2013) for the
embeddings of words.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ae_jax import cli, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import Array, Dataset, Method
from ae_jax.data.sources import words
from ae_jax.methods import bottlenecks

#: Words whose neighbours are shown, where this Python's text has them.
SPELLED = ("assignment", "called", "defined", "exception", "iterator", "string", "subclass")
EMBEDDED = ("class", "exception", "float", "import", "list", "loop", "method", "string", "true")


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    dataset: str = "words"
    """words, tones, or images, which are read row by row."""
    cell: tuple[Literal["lstm", "gru"], ...] = ("lstm", "gru")
    """Each value is compiled on its own, as are the next two options'."""
    teacher_forcing: tuple[bool, ...] = (True,)
    """Whether the decoder is trained with the true previous element, or with its own."""
    latent_size: tuple[int, ...] = (64,)
    latent_noise: tuple[float, ...] = (0.0,)
    """Standard deviation of the noise on latents in training."""
    hidden_size: int = 128
    layers: int = 1
    reverse: bool = True
    """Whether the encoder reads from the last element to the first."""
    learning_rate: tuple[float, ...] = (5e-3,)
    seeds: int = 2
    steps: int = 1300
    embedding_steps: int = 1200
    """For the words' embeddings, learned from their contexts; 0 leaves them out."""


PRESETS = {
    "default": Config(),
    "smoke": Config(
        cell=("gru",), hidden_size=16, latent_size=(8,), seeds=1, steps=20, embedding_steps=20
    ),
    "tones": Config(
        dataset="tones",
        cell=("lstm",),
        teacher_forcing=(True, False),
        latent_size=(16,),
        hidden_size=64,
        steps=1500,
    ),
    # The layer of Cho et al. (2014), section 4.1.
    "paper": Config(cell=("gru",), hidden_size=1000, latent_size=(1000,), steps=100_000),
}


def recurrent_ae(config: Config) -> None:
    """Sweeps recurrent autoencoders and shows what they make of sequences they have not seen."""
    experiment.at_least(config, 0, "embedding_steps")
    splits = experiment.load(config, held_out=1000, kinds=("tokens", "sequence", "image"))
    if "image" in splits.train.spec:
        splits = experiment.Splits(*map(data.rows, splits))
    tokens = "tokens" in splits.train.spec
    if tokens:
        shape = (*splits.train.spec["tokens"].shape, len(words.ALPHABET))
    else:
        shape = splits.train.spec["sequence"].shape
    sizes = {"hidden_size": config.hidden_size, "layers": config.layers}

    def build(cell: str, teacher_forcing: bool, latent_size: int) -> Method:
        return methods.recurrent_autoencoder(
            nets.recurrent_encoder(latent_size, cell=cell, reverse=config.reverse, **sizes),
            nets.recurrent_decoder(shape, cell=cell, **sizes),
            tokens=tokens,
            teacher_forcing=teacher_forcing,
            bottlenecks=[bottlenecks.noise()],
        )

    by = ("cell", "teacher_forcing", "latent_size", "latent_noise")
    result, out = experiment.sweep(
        config,
        "recurrent_ae",
        build,
        splits,
        {name: getattr(config, name) for name in by},
        evaluate_every=-(-config.steps // 10),
        schedules=[training.warmup_cosine(config.steps, warmup_steps=config.steps / 20)],
    )
    near = embedding(config, out) if tokens and config.embedding_steps else {}
    experiment.report(
        config,
        out,
        f"Recurrent autoencoders on {config.dataset}",
        result.rows,
        (*by, "learning_rate"),
        ("loss", "reconstruction", "accuracy", "exact"),
        lambda: figures(result, out, splits.test) | near,
        result,
    )


def figures(result: training.Result, out: Path, test: Dataset) -> dict[str, Any]:
    """Draws the learning curves, and what the first lane of each kind makes of test examples."""
    rows = result.rows
    kind = "teacher_forcing" if len({row["cell"] for row in rows}) == 1 else "cell"
    names = {True: "teacher forcing", False: "free running"}
    models = {names.get(k, k): model for k, model in experiment.firsts(result, kind).items()}
    curves = {
        caption: plots.learning_curves(experiment.records(out), name, rows, kind)
        for name, caption in (
            ("loss", "The loss over training."),
            ("exact", "The fraction of held-out words that are spelled again without a mistake."),
        )
        if name in rows[0]
    }
    if "tokens" in test.spec:
        return curves | spelling(test, models)
    batch = experiment.first_batch(test, 12 if "image" in test.spec else 6)
    return curves | drawn(batch, {name: model.reconstruct(batch) for name, model in models.items()})


def drawn(batch: Mapping[str, Array], outputs: Mapping[str, Array]) -> dict[str, Any]:
    """Figures of time series or images and their reconstructions."""
    if "image" in batch:
        shape = batch["image"].shape
        images = {name: output.reshape(shape) for name, output in outputs.items()}
        figure = plots.reconstructions(batch["image"], images)
        return {"Test images (top), read and drawn again row by row.": figure}
    lines = {name: output[..., 0] for name, output in outputs.items()}
    tones = [f"{label + 1} tone{'s' * (label > 0)}" for label in batch["label"].tolist()]
    figure = plots.time_series(batch["sequence"][..., 0], lines, tones)
    return {"Test series, and what the decoder makes of their latents running free.": figure}


def spelling(test: Dataset, models: Mapping[str, experiment.Model]) -> dict[str, Any]:
    """Figures of words: spelled again, and their neighbours in the first model's latent space."""
    batch = test.fetch(test.arrays, np.linspace(0, test.size - 1, 16).astype(int))
    said = {name: words.decode(model.reconstruct(batch)) for name, model in models.items()}
    figures = {
        "Words that were held out, spelled again from their latents.": plots.spelled(
            words.decode(batch["tokens"]), said, "held-out word"
        )
    }
    everything = data.load("words", "all")
    batch = everything.fetch(everything.arrays, np.arange(everything.size))
    names = words.decode(batch["tokens"])
    for name, model in list(models.items())[:1]:
        found = nearest(model.encode(batch), names, SPELLED)
        figures["The words whose latents are nearest: they are spelled alike."] = plots.neighbours(
            found, f"nearest in the latent space ({name})", "neighbours_by_spelling"
        )
    return figures


def embedding(config: Config, out: Path) -> dict[str, Any]:
    """A figure of words that stand in like contexts, by a skip-gram model trained for it."""
    one = dataclasses.replace(config, dataset="contexts", seeds=1, out=out)
    method = methods.skip_gram(words.VOCABULARY_SIZE)
    result, _ = experiment.sweep(
        one,
        "recurrent_ae",
        method,
        experiment.load(one, kinds=("centre",)),
        {"learning_rate": 0.01},
        part="embedding",
        steps=config.embedding_steps,
        batch_size=1024,
        evaluate_every=config.embedding_steps,
        schedules=[training.warmup_cosine(config.embedding_steps)],
    )
    if not result.groups:  # another process has its lane
        return {}
    names = words.vocabulary()
    latents = experiment.model(result, 0).encode({"centre": np.arange(len(names))})
    return {
        "The words whose embeddings are nearest: they mean or do alike.": plots.neighbours(
            nearest(latents, names, EMBEDDED),
            "nearest by the words around them",
            "neighbours_by_context",
        )
    }


def nearest(latents: Array, names: Sequence[str], chosen: Sequence[str]) -> dict[str, list[str]]:
    """The six nearest neighbours of some words."""
    chosen = [word for word in chosen if word in names] or list(names[:5])
    queries = latents[np.array([names.index(word) for word in chosen])]
    places, _ = metrics.nearest_neighbours(queries, latents, 7)
    return {
        word: [names[place] for place in row if names[place] != word][:6]
        for word, row in zip(chosen, places.tolist(), strict=True)
    }


if __name__ == "__main__":
    cli.main(recurrent_ae, PRESETS)
