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
    cell: experiment.Swept[Literal["lstm", "gru"]] = ("lstm", "gru")
    """Each value is compiled on its own, as are the next two options'."""
    teacher_forcing: experiment.Swept[bool] = (True,)
    """Whether the decoder is trained with the true previous element, or with its own."""
    latent_size: experiment.Swept[experiment.Count] = (64,)
    latent_noise: experiment.Swept[float] = (0.0,)
    """Standard deviation of the noise on latents in training."""
    hidden_size: experiment.Count = 128
    layers: experiment.Count = 1
    reverse: bool = True
    """Whether the encoder reads from the last element to the first."""
    learning_rate: experiment.Swept[float] = (5e-3,)
    seeds: experiment.Count = 2
    steps: experiment.Count = 1300
    embedding_steps: experiment.Whole = 1200
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
    study = experiment.Study(
        "recurrent_ae",
        "Recurrent autoencoders",
        build,
        table=["loss", "reconstruction", "accuracy", "exact"],
        figures=lambda outcome: figures(outcome) | near,
        options=options,
        load=load,
    )
    outcome = study.train(config)
    near = embedding(outcome)
    study.report(outcome)


def load(config: Config) -> experiment.Splits:
    """Returns words or series, or images row by row."""
    splits = experiment.load_splits(config, held_out=1000, kinds=("tokens", "sequence", "image"))
    if "image" in splits.train.spec:
        return experiment.Splits(*map(data.row_sequences, splits))
    return splits


def build(
    config: Config, spec: Mapping[str, Any], cell: str, teacher_forcing: bool, latent_size: int
) -> Method:
    """Returns the recurrent autoencoder of one cell, kind of training and latent size."""
    tokens = "tokens" in spec
    shape = (*spec["tokens"].shape, len(words.ALPHABET)) if tokens else spec["sequence"].shape
    sizes = {"hidden_size": config.hidden_size, "layers": config.layers}
    return methods.recurrent_autoencoder(
        nets.recurrent_encoder(latent_size, cell=cell, reverse=config.reverse, **sizes),
        nets.recurrent_decoder(shape, cell=cell, **sizes),
        tokens=tokens,
        teacher_forcing=teacher_forcing,
        bottlenecks=[bottlenecks.noise()],
    )


def options(config: Config) -> dict[str, Any]:
    """Returns how it is trained."""
    return {
        "evaluate_every": -(-config.steps // 10),
        "schedules": [training.warmup_cosine(config.steps, warmup_steps=config.steps / 20)],
    }


def figures(outcome: experiment.Outcome) -> dict[str, Any]:
    """Draws the learning curves, and what the first lane of each kind makes of test examples."""
    rows, test = outcome.rows, outcome.splits.test
    kind = "teacher_forcing" if len({row["cell"] for row in rows}) == 1 else "cell"
    names = {True: "teacher forcing", False: "free running"}
    models = {names.get(k, k): model for k, model in outcome.firsts(kind).items()}
    curves = {
        caption: outcome.learning_curves(kind, name)
        for name, caption in (
            ("loss", "The loss over training."),
            ("exact", "The fraction of held-out words that are spelled again without a mistake."),
        )
        if name in rows[0]
    }
    if "tokens" in test.spec:
        return curves | spelling(test, models)
    batch = data.head(test, 12 if "image" in test.spec else 6)
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


def embedding(outcome: experiment.Outcome) -> dict[str, Any]:
    """A figure of words that stand in like contexts, by a skip-gram model trained for it."""
    config = outcome.config
    if "tokens" not in outcome.splits.train.spec or not config.embedding_steps:
        return {}
    one = dataclasses.replace(config, dataset="contexts", seeds=1, out=outcome.out)
    result, _ = experiment.sweep(
        one,
        "recurrent_ae",
        methods.skip_gram(words.VOCABULARY_SIZE),
        experiment.load_splits(one, kinds=("centre",)),
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
