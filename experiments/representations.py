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
from typing import Any, Literal, NamedTuple

import numpy as np

from ae_jax import cli, corruptions, experiment, methods, metrics, nets, plots, training
from ae_jax.core import InputError, Method
from ae_jax.methods import penalties
from ae_jax.recipes import greedy

Kind = Literal["basic", "denoising", "contractive", "sparse", "stacked"]


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options that take several values are swept: their product is trained at once."""

    autoencoder: tuple[Kind, ...] = ("basic", "denoising", "contractive", "sparse", "stacked")
    """Each is a run of its own, over its own options; the stacked one is made of denoising ones."""
    corruption_level: tuple[float, ...] = (0.3,)
    """Of denoising and stacked ones: the probability of each input to be masked."""
    contractive_weight: tuple[float, ...] = (0.01,)
    penalty: Literal["jacobian", "hutchinson"] = "hutchinson"
    """The contractive one exactly, or an estimate, which is much cheaper."""
    sparsity_weight: tuple[float, ...] = (0.1,)
    """Of the KL divergence of the latents' mean activations from the target."""
    sparsity_target: float = 0.2
    latent_size: int = 16
    """Of all of them, and of PCA."""
    widths: tuple[int, ...] = (64,)
    """Hidden layers before the latent; not swept."""
    labels: int = 5000
    """How many training images the classifiers see with their labels, at most; 100 or more."""
    layer_steps: int = 1000
    """For each layer of the stacked one, which is then fine-tuned for `steps`."""
    learning_rate: tuple[float, ...] = (2e-3,)
    """At first; it falls to 0 as a half cosine."""
    steps: int = 2000


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


class Labelled(NamedTuple):
    """Representations [N, ...] of training and test images, and their labels."""

    train: Any
    train_labels: Any
    test: Any
    test_labels: Any


def representations(config: Config) -> None:
    """Trains autoencoders of one latent size and classifies with their latents."""
    check(config)
    splits = experiment.load(config)
    if "label" not in splits.train.spec:
        raise InputError(f"representations needs labels, which {config.dataset} does not have")
    train = experiment.first_batch(splits.train, config.labels)
    test = experiment.first_batch(splits.test, 5000)
    pixels = Labelled(train["image"], train["label"], test["image"], test["label"])
    principal = metrics.pca(experiment.images(splits.train), config.latent_size)
    planes = {
        "pixels": pixels,
        "PCA": pixels._replace(
            train=metrics.pca_encode(principal, pixels.train),
            test=metrics.pca_encode(principal, pixels.test),
        ),
    }
    found = [
        {"representation": name, "seed": 0, "status": "ok", **measured(latents)}
        for name, latents in planes.items()
    ]
    for kind in config.autoencoder:
        trained = sweep(config, kind, splits)

        def describe(model: experiment.Model, kind: str = kind) -> dict[str, Any]:
            latents = pixels._replace(train=model.encode(train), test=model.encode(test))
            found = measured(latents)
            planes.setdefault(kind, latents)
            return found

        rows = experiment.described(trained, describe)
        found += [{"representation": kind, **row} for row in rows]
    by = ("representation", *varied(config))
    columns = dict.fromkeys(("lane", *by, "seed"))
    rows = [{**columns, **row, "lane": lane} for lane, row in enumerate(found)]
    experiment.report(
        config,
        trained.out,
        f"Representations of {config.dataset}",
        rows,
        by,
        (*ACCURACIES, *SEPARABILITIES, "squared_error"),
        lambda: figures(config, rows, planes),
        notes=[
            f"Classifiers learn from {len(train['label'])} training images and are tested on "
            f"{len(test['label'])}: one image is {100 / len(test['label']):.2f} percentage points. "
            f"Latents and PCA have {config.latent_size} numbers, pixels "
            f"{np.prod(splits.image_shape)}."
        ],
    )


def check(config: Config) -> None:
    """Raises InputError for values that cannot be used."""
    if not config.autoencoder or len(set(config.autoencoder)) < len(config.autoencoder):
        raise InputError("autoencoder needs values, each once")
    experiment.at_least(config, 100, "labels")  # so that no class is missing
    experiment.at_least(config, 1, "latent_size", "widths", "layer_steps")
    for kind in config.autoencoder:
        experiment.grid(config, {name: getattr(config, name) for name in OWN[kind]})


def sweep(config: Config, kind: str, splits: experiment.Splits) -> experiment.Sweep:
    """Trains one kind of autoencoder."""
    values = {name: getattr(config, name) for name in OWN[kind]}
    options: dict[str, Any] = {"schedules": [training.warmup_cosine(config.steps)]}
    if kind == "stacked":
        own = layers(config, splits.image_shape)
        stack = experiment.pretrain(
            config, "representations", own, splits, values, config.layer_steps
        )
        method = methods.autoencoder(stack.encoder, stack.decoder, corruption=corruptions.masking)
        options["start"] = stack.start
    else:
        method = build(config, kind, splits.image_shape)
    return experiment.sweep(config, "representations", method, splits, values, part=kind, **options)


def build(config: Config, kind: str, shape: tuple[int, int, int]) -> Method:
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
        nets.mlp(shape, config.widths[::-1]),
        **parts[kind],
    )


def layers(config: Config, shape: tuple[int, ...]) -> list[greedy.Layer]:
    """Returns the layers of the stacked autoencoder, the same as those of the others."""
    found = []
    sizes = (*config.widths, config.latent_size)
    for depth, width in enumerate(sizes):
        top = depth == len(sizes) - 1
        encoder = nets.mlp(width, (), output_activation="linear" if top else "relu")
        decoder = nets.mlp(shape, (), output_activation="relu" if depth else "linear")
        method = methods.autoencoder(encoder, decoder, corruption=corruptions.masking)
        found.append(greedy.Layer(encoder, decoder, method, lambda state: state.params))
        shape = (width,)
    return found


def measured(latents: Labelled) -> dict[str, float]:
    """Returns the classifiers' accuracies (%) and how far the test images' classes are apart."""
    apart = (latents.test, latents.test_labels)
    return {
        "linear_probe": 100 * metrics.linear_probe(*latents),
        "knn": 100 * metrics.knn_accuracy(*latents),
        "svm": 100 * metrics.svm_accuracy(*latents),
        "fisher_separability": metrics.fisher_separability(*apart),
        "silhouette": metrics.silhouette(*apart),
    }


def varied(config: Config) -> list[str]:
    """Returns the names of what is swept."""
    names = dict.fromkeys(name for kind in config.autoencoder for name in OWN[kind])
    return experiment.swept(config, *names, "learning_rate")


def figures(
    config: Config, rows: Sequence[Mapping[str, Any]], planes: Mapping[str, Labelled]
) -> dict[str, Any]:
    """Draws errors of classifiers, separabilities and t-SNE embeddings."""
    own = [
        {**row, **{name: 100 - row[name] for name in ACCURACIES}}
        for row in first_settings(config, rows)
        if ACCURACIES[0] in row  # it was described
    ]
    points = plots.aggregate(own, ["representation"], [*ACCURACIES, *SEPARABILITIES])
    found = {point["representation"]: point for point in points}
    names = [name for name in ("pixels", "PCA", *config.autoencoder) if name in found]
    words = {
        "linear_probe": "linear probe",
        "knn": "k-NN",
        "svm": "SVM",
        "fisher_separability": "Fisher",
        "silhouette": "silhouette",
    }

    def bars(columns: Sequence[str], ylabel: str) -> Any:
        table = {name: {words[column]: found[name][column] for column in columns} for name in names}
        return plots.bars(table, ylabel)

    last = config.autoencoder[-1]
    shown = {name: planes[name] for name in ("pixels", "PCA", last) if name in planes}
    drawn = {
        "Errors of classifiers of test images, by what they see.": bars(
            ACCURACIES, "test images classified wrongly (%)"
        ),
        "Separability of the classes of test images.": bars(SEPARABILITIES, "separability"),
    }
    if len(np.unique(planes["pixels"].test_labels)) <= plots.MOST_CLASSES:
        drawn["t-SNE of test images, coloured by class; it saw no label."] = plots.scatters(
            {name: (embedded(plane), plane.test_labels) for name, plane in shown.items()}
        )
    return drawn


def first_settings(config: Config, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Returns the rows of the first value of whatever is swept."""
    return [
        row
        for row in rows
        if all(row[name] in (None, getattr(config, name)[0]) for name in varied(config))
    ]


def embedded(latents: Labelled) -> np.ndarray:
    """Returns the t-SNE embedding of test images, [N, 2]."""
    from sklearn.manifold import TSNE

    x = np.asarray(latents.test, np.float64)[:1000]
    tsne = TSNE(random_state=0, perplexity=min(30, (len(x) - 1) / 3))
    return tsne.fit_transform(x.reshape(len(x), -1))


if __name__ == "__main__":
    cli.main(representations, PRESETS)
