"""What a latent is good for: classifying with it, beside pixels and principal components.

    python experiments/representations.py

Sixteen latents classify digits about as well as their 64 pixels do, by k-NN and of a contractive or
sparse autoencoder. A denoising autoencoder's are further apart by Fisher's criterion than PCA's and
pixels, but give lower accuracy.

Reference: Vincent et al. (2010), Stacked Denoising Autoencoders, section 6; van der Maaten and
Hinton (2008), Visualizing Data using t-SNE.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ae_jax import cli, corruptions, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import Array, InputError, Method
from ae_jax.experiment import Count, Model, Splits, Sweep, Swept
from ae_jax.methods import penalties
from ae_jax.recipes import greedy

Kind = Literal["basic", "denoising", "contractive", "sparse", "stacked"]


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    autoencoder: Swept[Kind] = ("basic", "denoising", "contractive", "sparse", "stacked")
    """Each is a run of its own, over its own options; the stacked one is made of denoising ones."""
    corruption_level: Swept[float] = (0.3,)
    """Of denoising and stacked ones: the probability of each input to be masked."""
    contractive_weight: Swept[float] = (0.01,)
    penalty: Literal["jacobian", "hutchinson"] = "hutchinson"
    """The contractive one exactly, or an estimate, which is much cheaper."""
    sparsity_weight: Swept[float] = (0.1,)
    """Of the KL divergence of the latents' mean activations from the target."""
    sparsity_target: float = 0.2
    latent_size: Count = 16
    """Of all of them, and of PCA."""
    widths: tuple[Count, ...] = (64,)
    """Hidden layers before the latent; not swept."""
    labels: Count = 5000
    """How many training images the classifiers see with their labels, at most."""
    layer_steps: Count = 1000
    """For each layer of the stacked one, which is then fine-tuned for `steps`."""
    learning_rate: Swept[float] = (2e-3,)
    """At first; it falls to 0 as a half cosine."""
    steps: Count = 2000


PRESETS = {
    "default": Config(),
    "smoke": Config(
        autoencoder=("denoising",),
        latent_size=4,
        widths=(16,),
        labels=200,
        seeds=2,
        steps=40,
    ),
    "paper": Config(
        dataset="mnist",
        corruption_level=(0.25,),
        latent_size=30,
        widths=(1000, 500, 250),
        labels=10_000,
        layer_steps=50_000,
        steps=100_000,
        batch_size=100,
    ),
}
#: The hyperparameters of its own that each autoencoder is swept over.
OWN = {
    "basic": (),
    "denoising": ("corruption_level",),
    "contractive": ("contractive_weight",),
    "sparse": ("sparsity_weight",),
    "stacked": ("corruption_level",),
}
#: What is measured with labels; the first three are percentages of test images.
ACCURACIES = ("linear_probe", "knn", "svm")
SEPARABILITIES = ("fisher_separability", "silhouette")
#: Test images that t-SNE embeds, at most.
EMBEDDED = 1000


def representations(config: Config) -> None:
    """Trains autoencoders of one latent size and classifies with their latents."""
    splits = experiment.load_splits(config)
    if "label" not in splits.train.spec:
        raise InputError(f"representations needs labels, which {config.dataset} does not have")
    for kind in ("denoising", "contractive", "sparse"):  # what is not trained makes sense as well
        method = build(config, splits.train.spec, kind)
        values = {name: getattr(config, name) for name in OWN[kind]}
        experiment.check(method, experiment.lanes(config, values))
    train = data.head(splits.train, config.labels)
    test = data.head(splits.test, 5000)
    principal = metrics.pca(data.all_images(splits.train), config.latent_size)
    shown = {
        "pixels": test["image"],
        "PCA": metrics.pca_encode(principal, test["image"]),
    }

    def quality(train_latents: Array, test_latents: Array) -> dict[str, float]:
        return metrics.representation_quality(
            train_latents, train["label"], test_latents, test["label"]
        )

    def describe(model: Model) -> dict[str, float]:
        latents = model.encode(test)
        shown.setdefault(model.row["representation"], latents)
        return quality(model.encode(train), latents)

    seen = {"pixels": train["image"], "PCA": metrics.pca_encode(principal, train["image"])}
    given = [
        {"representation": name, "seed": 0, "status": "ok", **quality(seen[name], shown[name])}
        for name in seen
    ]
    sweeps = [
        ({"representation": kind}, sweep(config, kind, splits)) for kind in config.autoencoder
    ]
    names = dict.fromkeys(name for kind in config.autoencoder for name in OWN[kind])
    varied = experiment.varied(config, *names, "learning_rate")
    by = ("representation", *varied)
    rows = experiment.numbered([*given, *experiment.side_by_side(sweeps, describe, by)], by)
    experiment.report(
        config,
        sweeps[-1][1].out,
        f"Representations of {config.dataset}",
        rows,
        by,
        (*ACCURACIES, *SEPARABILITIES, "squared_error"),
        lambda: figures(config, rows, varied, shown, np.asarray(test["label"])),
        notes=[
            f"Classifiers learn from {len(train['label'])} training images and are tested on "
            f"{len(test['label'])}: one image is {100 / len(test['label']):.2f} percentage points. "
            f"Latents and PCA have {config.latent_size} numbers, pixels "
            f"{np.prod(splits.image_shape)}."
        ],
    )


def sweep(config: Config, kind: str, splits: Splits) -> Sweep:
    """Trains one kind of autoencoder; the stacked one layer by layer first."""
    values = {name: getattr(config, name) for name in OWN[kind]}
    options: dict[str, Any] = {"schedules": [training.warmup_cosine(config.steps)]}
    if kind == "stacked":
        layers = greedy.autoencoder_layers(
            (*config.widths, config.latent_size),
            splits.image_shape,
            activation="relu",
            code_activation="linear",
            reconstruction=methods.observations.squared_error(),
            corruption=corruptions.masking,
        )
        stack = experiment.pretrain(
            config, "representations", layers, splits, values, config.layer_steps
        )
        method = methods.autoencoder(stack.encoder, stack.decoder, corruption=corruptions.masking)
        options["start"] = stack.start
    else:
        method = build(config, splits.train.spec, kind)
    return experiment.sweep(config, "representations", method, splits, values, part=kind, **options)


def build(config: Config, spec: Mapping[str, Any], kind: str) -> Method:
    """Returns an autoencoder that is trained as a whole; the sparse one has sigmoid latents."""
    latent = "sigmoid" if kind == "sparse" else "linear"
    parts: dict[str, dict[str, Any]] = {
        "basic": {},
        "denoising": {"corruption": corruptions.masking},
        "contractive": {"penalties": [penalties.contractive(method=config.penalty)]},
        "sparse": {"penalties": [penalties.sparsity(target=config.sparsity_target)]},
    }
    return methods.autoencoder(
        nets.mlp(config.latent_size, config.widths, output_activation=latent),
        nets.mlp(spec["image"].shape, config.widths[::-1]),
        **parts[kind],
    )


def figures(
    config: Config,
    rows: Sequence[Mapping[str, Any]],
    varied: Sequence[str],
    latents: Mapping[str, Array],
    labels: np.ndarray,
) -> dict[str, Any]:
    """Draws errors of classifiers, separabilities and t-SNE embeddings."""
    own = [  # of the first value of whatever is swept, where it was described
        {**row, **{name: 100 - row[name] for name in ACCURACIES}}
        for row in rows
        if all(row[name] in (None, getattr(config, name)[0]) for name in varied)
        and ACCURACIES[0] in row
    ]

    def bars(columns: Sequence[str], ylabel: str) -> Any:
        table = plots.mean_table(own, lambda row: row["representation"], columns)
        return plots.bars(table, ylabel)

    drawn = {
        "Errors of classifiers of test images, by what they see.": bars(
            ACCURACIES, "test images classified wrongly (%)"
        ),
        "Separability of the classes of test images.": bars(SEPARABILITIES, "separability"),
    }
    if len(np.unique(labels)) <= plots.MOST_CLASSES:
        chosen = [name for name in ("pixels", "PCA", config.autoencoder[-1]) if name in latents]
        drawn["t-SNE of test images, coloured by class; it saw no label."] = plots.scatters(
            {name: (embedded(latents[name]), labels[:EMBEDDED]) for name in chosen}
        )
    return drawn


def embedded(latents: Array) -> np.ndarray:
    """Returns the t-SNE embedding of test images, [N, 2]."""
    from sklearn.manifold import TSNE

    x = np.asarray(latents, np.float64)[:EMBEDDED]
    tsne = TSNE(random_state=0, perplexity=min(30, (len(x) - 1) / 3))
    return tsne.fit_transform(x.reshape(len(x), -1))


if __name__ == "__main__":
    cli.main(representations, PRESETS)
