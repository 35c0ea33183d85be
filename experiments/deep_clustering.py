"""Clusters of images found together with the latents that they are found in, beside classical ones.

    python experiments/deep_clustering.py

DEC draws latents of a pre-trained autoencoder to the centres of k-means, by targets that are surer
of themselves; IDEC reconstructs all the while, and DCEC does so by convolutions. Each is trained
from images as they are, and from images that are moved and turned a little, whose targets are those
of the images as they are. Labels are looked at by the measures alone: numbers are those of the
papers, and no step or seed is chosen.

Reference: Xie, Girshick and Farhadi (2016), Unsupervised Deep Embedding for Clustering Analysis;
Guo et al. (2017), Improved Deep Embedded Clustering with Local Structure Preservation, and Deep
Clustering with Convolutional Autoencoders; Guo et al. (2018), Deep Embedded Clustering with Data
Augmentation.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import jax
import numpy as np

from ae_jax import cli, corruptions, data, experiment, methods, metrics, nets, plots, training
from ae_jax.core import FRACTION, NOT_NEGATIVE, Array
from ae_jax.experiment import Count, Splits, Swept
from ae_jax.methods import observations
from ae_jax.methods import shown as shown_parts
from ae_jax.recipes import clustering, greedy

QUALITY = ("accuracy", "nmi", "ari")
DENSE, CONV = "AE", "conv AE"


@dataclasses.dataclass(frozen=True)
class Config(experiment.Config):
    """Options; those that take several values are swept."""

    latent_size: Count = 10
    """Numbers of a latent, and components of PCA."""
    widths: tuple[Count, ...] = (256, 128)
    """Hidden layers of the dense encoder, reversed in the decoder; not swept."""
    masked: Annotated[float, FRACTION] = 0.2
    """The share of pixels that pre-training hides."""
    moved: Annotated[float, FRACTION] = 0.2
    """By how much images are moved, turned and stretched: of half their side, at most."""
    clustering_weight: Annotated[float, NOT_NEGATIVE] = 0.1
    """Of IDEC and DCEC, beside the squared error's mean over pixels."""
    refresh_every: Count = 70
    """Steps between new targets."""
    learning_rate: Swept[float] = (1e-3,)
    layer_steps: Count = 300
    """Of greedy pre-training, for each layer."""
    pretraining_steps: Count = 1500
    """Of the whole autoencoder."""
    steps: Count = 1400
    """Of clustering, at most: it stops when few images change their cluster."""
    batch_size: Count = 256
    seeds: Count = 5


PRESETS = {
    "default": Config(),
    "smoke": Config(
        widths=(8,), seeds=1, layer_steps=5, pretraining_steps=20, steps=20, refresh_every=5
    ),
    "paper": Config(
        dataset="mnist",
        widths=(500, 500, 2000),
        refresh_every=140,
        layer_steps=50_000,
        pretraining_steps=100_000,
        steps=20_000,
        seeds=10,
    ),
}


def deep_clustering(config: Config) -> None:
    """Clusters a data set in every way, and compares clusters with its classes."""
    whole = data.load(config.dataset, "all", value_range=config.value_range)
    splits = Splits(whole, whole, whole)
    clusters = experiment.classes(config.dataset, splits)
    given = data.head(whole, whole.size)
    x, label = np.asarray(given["image"]).reshape(whole.size, -1), np.asarray(given["label"])
    pixels = math.prod(splits.image_shape)
    name, levels = "deep_clustering", (0.0, config.moved)
    rows: list[dict[str, Any]] = []
    kept: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    results: list[training.Result] = []

    def row(way: str, moved: bool, seed: int, latent: np.ndarray, found: np.ndarray, **more: Any):
        shown = "moved images" if moved else "images"
        if seed == 0:
            kept.setdefault(f"{way}, {shown}", (latent, found))
        quality = metrics.clustering_quality(found, label)
        rows.append({"way": way, "shown": shown, "seed": seed, "status": "ok", **quality, **more})

    for seed in range(config.seeds):
        for way, found in classical(x, clusters, config.latent_size, seed).items():
            row(way, False, seed, x, found)

    for network in (DENSE, CONV):
        stack = None
        spoiled = shown_parts.corrupted(spoiling(config.masked))
        if network == DENSE:
            layers = greedy.autoencoder_layers(
                [*config.widths, config.latent_size],
                splits.image_shape,
                activation="relu",
                code_activation="linear",
                reconstruction=observations.squared_error(),
                shown=spoiled,
            )
            stack = experiment.pretrain(
                config, name, layers, splits, {"corruption_level": levels}, config.layer_steps
            )
            encoder, decoder = greedy.networks(layers)
        else:
            shape = splits.image_shape
            encoder = nets.encoder("conv", shape, config.latent_size)
            decoder = nets.decoder("conv", shape, config.latent_size)
        part = network.replace(" ", "-").lower()
        pretrained = experiment.sweep(
            config,
            name,
            methods.autoencoder(encoder, decoder, shown=spoiled),
            splits,
            {"corruption_level": levels},
            part=f"{part}-pretrained",
            steps=config.pretraining_steps,
            start=stack and stack.start,
        )
        starts = clustering.begun(pretrained.result, whole, clusters)
        begun = {}
        for own in experiment.own_rows(pretrained.result):
            begun[tuple(own[k] for k in KEY)] = starts[own["lane"]]
            latent = clustering.latents(training.model(pretrained.result, own["lane"]), whole)
            centres = starts[own["lane"]]["centres"]
            nearest = np.argmin(((latent[:, None] - centres) ** 2).sum(axis=2), axis=1)
            about = own["corruption_level"] > 0, own["seed"], latent
            row(f"{network} + k-means", *about, nearest)
            row(f"{network} + GMM", *about, mixture(latent, clusters, own["seed"]))
        weights = {"DCEC": (1 / pixels, config.clustering_weight)}
        if network == DENSE:
            weights = {"DEC": (0.0, 1.0), "IDEC": weights["DCEC"]}
        named = dict(zip(weights.values(), weights, strict=True))
        settings = [
            {"corruption_level": level, "reconstruction_weight": error, "clustering_weight": own}
            for error, own in weights.values()
            for level in levels
        ]
        trained = experiment.sweep(
            config,
            name,
            methods.deep_clustering(
                encoder,
                decoder,
                clusters,
                whole,
                shown=shown_parts.corrupted(corruptions.warped),
                refresh_every=config.refresh_every,
            ),
            splits,
            settings,
            part=part,
            start=[
                begun[tuple(lane[k] for k in KEY)] for lane in experiment.lanes(config, settings)
            ],
        )
        for own in experiment.own_rows(trained.result):
            model = training.model(trained.result, own["lane"])
            latent = clustering.latents(model, whole)
            log_q = jax.jit(model.predict)({"image": given["image"]})
            row(
                named[own["reconstruction_weight"], own["clustering_weight"]],
                own["corruption_level"] > 0,
                own["seed"],
                latent,
                np.argmax(np.asarray(log_q), axis=1),
                steps=int(model.state.running["steps"]),
                changed=float(model.state.running["changed"]),
            )
        results += [*(stack.results if stack else ()), pretrained.result, trained.result]

    by = ("way", "shown")
    rows = experiment.numbered(rows, by)
    experiment.report(
        config,
        trained.out,
        f"Clusters of {config.dataset}",
        rows,
        by,
        (*QUALITY, "steps", "changed"),
        lambda: figures(rows, kept, label),
        results,
        notes(rows),
    )


#: What tells a pre-trained lane from the others.
KEY = ("corruption_level", "learning_rate", "seed")


def spoiling(masked: float) -> corruptions.Corruption:
    """Returns what moves images by a level, and then hides a share of their pixels."""

    def spoiled(key: Array, x: Array, level: Array | float) -> Array:
        moving, masking = jax.random.split(key)
        return corruptions.masking(masking, corruptions.warped(moving, x, level), masked)

    spoiled.levels = FRACTION
    return spoiled


def mixture(x: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """Clusters of a Gaussian mixture with full covariances."""
    from sklearn.mixture import GaussianMixture

    fitted = GaussianMixture(clusters, n_init=3, reg_covar=1e-4, random_state=seed)
    return fitted.fit_predict(x.astype(np.float64))


def classical(x: np.ndarray, clusters: int, size: int, seed: int) -> dict[str, np.ndarray]:
    """Clusters of what nobody trained: of pixels, and of principal components."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    principal = PCA(size, random_state=seed).fit_transform(x)
    means = KMeans(clusters, n_init=20, random_state=seed)
    return {
        "k-means of pixels": means.fit_predict(x),
        "k-means of PCA": means.fit_predict(principal),
        "GMM of PCA": mixture(principal, clusters, seed),
    }


def notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Says how the best way differs from k-means of pixels and from the mixture on latents."""
    means = {
        (point["way"], point["shown"]): point["accuracy"].mean
        for point in plots.aggregate(rows, ("way", "shown"), ["accuracy"])
    }
    said = ["Accuracy is of the best naming of clusters by classes; all images are clustered."]
    for (way, shown), mean in means.items():
        if way in ("DEC", "IDEC", "DCEC"):
            less = ", ".join(
                f"{mean - means[other]:+.3f} ({', '.join(other)})"
                for other in (("k-means of pixels", "images"), (f"{DENSE} + GMM", "images"))
            )
            said.append(f"Accuracy of {way} on {shown}, {mean:.3f}, less others': {less}.")
    return said


def figures(
    rows: Sequence[Mapping[str, Any]],
    kept: Mapping[str, tuple[np.ndarray, np.ndarray]],
    label: np.ndarray,
) -> dict[str, Any]:
    """Draws the accuracy, latents by cluster, and which classes clusters mix up."""
    from sklearn.decomposition import PCA
    from sklearn.metrics.cluster import contingency_matrix

    table: dict[str, dict[str, Any]] = {}
    for point in plots.aggregate(rows, ("way", "shown"), ["accuracy"]):
        table.setdefault(point["way"], {})[point["shown"]] = point["accuracy"]
    chosen = [name for name in ("AE + k-means, moved images", "IDEC, moved images") if name in kept]
    panels = {
        name: (PCA(2).fit_transform(kept[name][0]), matched(kept[name][1], label))
        for name in chosen
    }
    drawn = {"Accuracy of clusters.": plots.dots(table, "accuracy", name="trained on")}
    drawn["Latents of seed 0 in their principal plane, by cluster."] = plots.scatters(panels)
    if len(chosen) < 2:
        return drawn
    counts = contingency_matrix(label, matched(kept["IDEC, moved images"][1], label))
    names = [str(k) for k in range(len(counts))]
    drawn["Shares of each class in IDEC's clusters."] = plots.matrix(
        counts / counts.sum(axis=1, keepdims=True),
        [f"class {k}" for k in names],
        [f"cluster {k}" for k in range(counts.shape[1])],
        name="share of the class",
        limits=(0.0, 1.0),
    )
    return drawn


def matched(found: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Clusters, numbered as the classes that they are best named by."""
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((max(found.max(), label.max()) + 1,) * 2)
    np.add.at(counts, (found, label), 1)
    return linear_sum_assignment(counts, maximize=True)[1][found]


if __name__ == "__main__":
    cli.main(deep_clustering, PRESETS, description=__doc__)
