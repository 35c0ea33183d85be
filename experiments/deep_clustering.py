"""Clusters of images found together with the latents that they are found in, beside classical ones.

    python experiments/deep_clustering.py

DEC draws latents of a pre-trained autoencoder to the centres of k-means, by targets that are surer
of themselves; IDEC reconstructs all the while, and DCEC does so by convolutions. Each is trained
from images as they are, and from images that are moved and turned a little, whose targets are those
of the images as they are. Labels are looked at by the measures alone: nothing is chosen by them, no
step and no seed.

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
from ae_jax.core import FRACTION, NOT_NEGATIVE, Array, Network
from ae_jax.experiment import Count, Splits, Swept, checks, clusters
from ae_jax.methods import observations, shown
from ae_jax.recipes import clustering, greedy

DENSE, CONV = "AE", "conv AE"
OWN_LANE = ("corruption_level", "learning_rate", "seed")


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
    layer_steps: Count = 150
    """Of greedy pre-training, for each layer."""
    pretraining_steps: Count = 800
    """Of the whole autoencoder."""
    steps: Count = 700
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
    checks.same_kind(config.dataset, (splits := Splits(whole, whole, whole)), ("image",))
    count = experiment.classes(config.dataset, splits)
    given = data.head(whole, whole.size)
    x, label = np.asarray(given["image"]).reshape(whole.size, -1), np.asarray(given["label"])
    levels = {"corruption_level": (0.0, config.moved)}
    rows: list[dict[str, Any]] = []
    kept: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    results: list[training.Result] = []

    def add(way: str, of: Mapping[str, Any], z: np.ndarray, found: np.ndarray, **more: Any) -> None:
        seen = "moved images" if of.get("corruption_level") else "images"
        kept.setdefault(f"{way}, {seen}", (z, found))
        state = {name: of[name] for name in ("status", "frozen_step", "frozen_by") if name in of}
        own = {"way": way, "shown": seen, "seed": of["seed"], "status": "ok", **state}
        rows.append({**own, **metrics.clustering_quality(found, label), **more})

    for seed in range(config.seeds):
        for way, found in clusters.classical(x, count, config.latent_size, seed).items():
            add(way, {"seed": seed}, x, found)

    for network in (DENSE, CONV):
        pretrained, networks, stacked = pretrain(config, network, splits, levels)
        starts = clustering.begun(pretrained.result, whole, count)
        begun = {}
        for own in experiment.own_rows(pretrained.result):
            begun[tuple(own[name] for name in OWN_LANE)] = start = starts[own["lane"]]
            z = clustering.latents(training.model(pretrained.result, own["lane"]), whole)
            add(f"{network} + k-means", own, z, clusters.nearest(z, start["centres"]))
            add(f"{network} + GMM", own, z, clusters.mixture(z, count, own["seed"]))
        ways = {"DCEC": (1 / math.prod(splits.image_shape), config.clustering_weight)}
        if network == DENSE:
            ways = {"DEC": (0.0, 1.0), "IDEC": ways["DCEC"]}
        settings = [
            {**levels, "reconstruction_weight": error, "clustering_weight": divergence}
            for error, divergence in ways.values()
        ]
        lanes = experiment.lanes(config, settings)
        trained = experiment.sweep(
            config,
            "deep_clustering",
            methods.deep_clustering(
                *networks,
                count,
                whole,
                shown=shown.corrupted(corruptions.warped),
                refresh_every=config.refresh_every,
            ),
            splits,
            settings,
            part=f"{network.replace(' ', '-')}-clustered",
            start=[begun.get(tuple(lane[name] for name in OWN_LANE)) for lane in lanes],
        )
        for own in experiment.own_rows(trained.result):
            model = training.model(trained.result, own["lane"])
            way = "DEC" if own["reconstruction_weight"] == 0 else [*ways][-1]
            state = model.state.running
            z = clustering.latents(model, whole)
            found = clusters.nearest(z, np.asarray(model.state.params["centres"]))
            add(way, own, z, found, taken=int(state["steps"]), changed=float(state["changed"]))
        results += [*stacked, pretrained.result, trained.result]

    by = ("way", "shown", *experiment.varied(config, "learning_rate"))
    rows = experiment.numbered(rows, by)
    experiment.report(
        config,
        cli.directory(config, "deep_clustering"),
        f"Clusters of {config.dataset}",
        rows,
        by,
        ("accuracy", "nmi", "ari", "taken", "changed"),
        lambda: figures(rows, kept, label),
        results,
        notes(rows),
    )


def pretrain(
    config: Config, network: str, splits: Splits, levels: Mapping[str, Any]
) -> tuple[experiment.Sweep, tuple[Network, Network], Sequence[training.Result]]:
    """Returns autoencoders, their networks, and the results of layers trained before, if any."""
    seen, name = shown.corrupted(spoiling(config.masked)), "deep_clustering"
    shape, stack = splits.image_shape, None
    if network == DENSE:
        layers = greedy.autoencoder_layers(
            [*config.widths, config.latent_size],
            shape,
            activation="relu",
            code_activation="linear",
            reconstruction=observations.squared_error(),
            shown=seen,
        )
        lanes, out = experiment.lanes(config, levels), cli.directory(config, name) / "layers"
        options = experiment.run_options(config, splits) | {"experiment": name}
        stack = greedy.train(layers, splits.train, lanes, config.layer_steps, out, **options)
        experiment.complete(stack.results[-1])
        networks = greedy.networks(layers)
    else:
        networks = tuple(f("conv", shape, config.latent_size) for f in (nets.encoder, nets.decoder))
    trained = experiment.sweep(
        config,
        name,
        methods.autoencoder(*networks, shown=seen),
        splits,
        levels,
        part=network.replace(" ", "-"),
        steps=config.pretraining_steps,
        start=stack and stack.start,
    )
    return trained, networks, stack.results if stack else ()


def spoiling(masked: float) -> corruptions.Corruption:
    """Returns what moves images by a level, and then hides a share of their pixels."""

    def spoiled(key: Array, x: Array, level: Array | float) -> Array:
        moving, masking = jax.random.split(key)
        return corruptions.masking(masking, corruptions.warped(moving, x, level), masked)

    spoiled.levels = FRACTION
    return spoiled


def notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Says how deep ways differ from k-means of pixels and from the mixture on latents."""
    points = plots.aggregate(rows, ("way", "shown"), ["accuracy"])
    means = {(point["way"], point["shown"]): point["accuracy"].mean for point in points}
    said = ["Accuracy is of the best naming of clusters by classes; all images are clustered."]
    for (way, seen), mean in means.items():
        if way in ("DEC", "IDEC", "DCEC"):
            pixels, latents = means["k-means of pixels", "images"], means[f"{DENSE} + GMM", seen]
            said.append(
                f"Accuracy of {way} on {seen}, {mean:.3f}: {mean - pixels:+.3f} to k-means of "
                f"pixels, {mean - latents:+.3f} to a mixture on the dense latents of {seen}."
            )
    return said


def figures(
    rows: Sequence[Mapping[str, Any]],
    kept: Mapping[str, tuple[np.ndarray, np.ndarray]],
    label: np.ndarray,
) -> dict[str, Any]:
    """Draws the accuracy, latents by cluster, and which classes clusters mix up."""
    from sklearn.decomposition import PCA
    from sklearn.metrics import confusion_matrix

    table: dict[str, dict[str, Any]] = {}
    for point in plots.aggregate(rows, ("way", "shown"), ["accuracy"]):
        table.setdefault(point["way"], {})[point["shown"]] = point["accuracy"]
    chosen = [name for name in ("AE + k-means, moved images", "IDEC, moved images") if name in kept]
    some = [(name, *kept[name]) for name in chosen]
    panels = {k: (PCA(2).fit_transform(z), clusters.named(f, label)) for k, z, f in some}
    drawn = {
        "Accuracy of clusters.": plots.dots(table, "accuracy", name="trained on"),
        "Latents of seed 0 in their principal plane, by cluster.": plots.scatters(panels),
    }
    if len(chosen) < 2:
        return drawn
    found = clusters.named(kept[chosen[1]][1], label)
    shares = confusion_matrix(label, found, normalize="true")
    names = [[f"{kind} {k}" for k in range(len(shares))] for kind in ("class", "cluster")]
    drawn["Shares of each class in IDEC's clusters."] = plots.matrix(
        shares, *names, name="share of the class", limits=(0.0, 1.0)
    )
    return drawn


if __name__ == "__main__":
    cli.main(deep_clustering, PRESETS, description=__doc__)
