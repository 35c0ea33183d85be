"""Photographs restored from noise by a stacked sparse denoising autoencoder, beside filters.

    python experiments/stacked_denoising.py

Each layer makes the latent of a clean patch from that of the noisy one, with few units active; then
the whole is fine-tuned. A photograph that nothing was trained or tuned on is restored in
overlapping patches, which are averaged: better than patches side by side. In little noise non-local
means, which are not trained, stay ahead by a little; in much noise it is ahead of all filters.
Units are rectified, and patches scaled to deviations of about 1: sigmoids of patches as they are,
with deviations of a tenth, learn less in as many steps. Of colours, restore each channel.

Reference: Xie, Xu and Chen (2012), Image Denoising and Inpainting with Deep Neural Networks.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import jax
import numpy as np

from ae_jax import cli, corruptions, data, experiment, metrics, plots, tiling
from ae_jax.core import Array, Domain
from ae_jax.experiment import Model, Swept
from ae_jax.methods import shown


@dataclasses.dataclass(frozen=True)
class Config(experiment.StackConfig):
    """Options that take several values are swept: their product is trained at once."""

    sigma: Swept[Annotated[float, Domain(0, 1000, low_open=True)]] = (25.0, 50.0, 100.0)
    """Standard deviation of the noise, of 255."""


PRESETS = {
    "default": Config(),
    "smoke": Config(
        sigma=(50.0,), patch_size=6, side=32, widths=(8, 8), seeds=2, layer_steps=10, steps=10
    ),
    # Xie, Xu and Chen (2012): units five times the inputs
    "paper": Config(
        dataset="photos11",
        stride=1,
        side=640,
        widths=(720, 720),
        activation="sigmoid",
        layer_learning_rate=1e-3,
        learning_rate=(1e-3,),
        layer_steps=100_000,
        steps=400_000,
        batch_size=128,
    ),
}
OURS = WHOLE, APART, GREEDY = "stacked autoencoder", "side by side", "not fine-tuned"
NOTHING = "nothing"
#: What needs a library that may not be there.
MORE = "total variation", "non-local means", "wavelets"
#: Lines of a figure that has no more colours; the table has the others.
DRAWN = WHOLE, *MORE, "linear map", "median"
Rows = Sequence[Mapping[str, Any]]


def noisy(picture: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    """A photograph with a seed's noise, not clipped."""
    key = jax.random.key(seed)
    return np.asarray(corruptions.gaussian_noise(key, picture[None], sigma / 255)[0])


def stacked_denoising(config: Config) -> None:
    """Trains at each noise, and restores photographs beside the baselines."""
    size, side, scale = config.patch_size, config.side, config.scale
    tiling.starts(side, size, config.stride)
    splits = experiment.grey_patches(size, config.more, scale)
    tests = experiment.grey_photographs("test", side, config.more)
    spoiled = shown.corrupted(corruptions.gaussian_noise)
    levels = {"corruption_level": [sigma / 255 / scale for sigma in config.sigma]}
    stack, trained = experiment.fine_tuned(config, "stacked_denoising", spoiled, splits, levels)
    kept: dict[tuple[str, float], np.ndarray] = {}

    def row(method: str, restore: Callable, sigma: float, seed: int) -> dict[str, Any]:
        made = [np.clip(restore(noisy(x, sigma, seed)), 0, 1) for x in tests.values()]
        kept.setdefault((method, sigma), made[0])
        pairs = list(zip(made, tests.values(), strict=True))
        return {
            "method": method,
            "sigma": sigma,
            "psnr": float(np.mean([experiment.clipped_psnr(x, y) for x, y in pairs])),
            "ssim": float(np.mean([metrics.ssim(x[None], y[None])[0] for x, y in pairs])),
        }

    rows: list[Mapping[str, Any]] = []
    tuned = {sigma: chosen(config, sigma) for sigma in config.sigma}
    for sigma in config.sigma:
        best = experiment.linear_map(data.all_images(splits.train), sigma / 255 / scale)
        linear = experiment.patchwise(best, size, config.stride, scale)
        simple = {**tuned[sigma], "linear map": linear}
        rows += [
            {**row(name, restore, sigma, seed), "seed": seed, "status": "ok"}
            for seed in range(config.seeds)
            for name, restore in simple.items()
        ]

    def describe(method: str, model: Model) -> dict[str, Any]:
        start = stack.start[model.row["lane"]]

        def apply(x: Array) -> Array:
            if method != GREEDY:
                return model.reconstruct({"image": x})
            return stack.decoder.apply(start["decoder"], stack.encoder.apply(start["encoder"], x))

        stride = size if method == APART else config.stride
        restore = experiment.patchwise(apply, size, stride, scale)
        return row(method, restore, sigma_of(model.row), model.row["seed"])

    def sigma_of(row: Mapping[str, Any]) -> float:
        return min(
            config.sigma, key=lambda sigma: abs(sigma / 255 / scale - row["corruption_level"])
        )

    for method in OURS:
        found = experiment.described(trained, functools.partial(describe, method))
        rows += [
            {**row, "method": method, "sigma": sigma_of(row)}
            for row in found
            if method == WHOLE or row["status"] == "ok"
        ]
    by = ("sigma", "method", *experiment.varied(config, "learning_rate"))
    rows = experiment.numbered(rows, by)
    experiment.report(
        config,
        trained.out,
        f"Photographs restored from noise on {config.dataset}",
        rows,
        by,
        ("psnr", "ssim"),
        lambda: figures(rows, kept, next(iter(tests.values()))),
        [*stack.results, trained.result],
        notes(rows, tuned, f"{', '.join(tests)} in grey, the middle {side} pixels"),
    )


def chosen(config: Config, sigma: float) -> dict[str, Callable]:
    """Filters, each with its best setting on the photographs that the network learns from."""
    clean = experiment.grey_photographs("train", config.side, config.more).values()
    spoiled = [noisy(picture, sigma, seed=0) for picture in clean]
    return experiment.tuned(experiment.filters(), spoiled, [*clean], sigma / 255)


def best_baselines(rows: Rows) -> dict[float, str]:
    """The baseline with the highest PSNR at each noise."""
    simple = [row for row in rows if row["method"] not in OURS]
    points = plots.aggregate(simple, ["sigma", "method"], ["psnr"])
    points.sort(key=lambda point: (point["sigma"], point["psnr"].mean))
    return {point["sigma"]: point["method"] for point in points}


def gains(rows: Rows, over: Mapping[float, str]) -> str:
    """Says how much nearer the network comes than another method at each noise."""
    some = [row for row in rows if row["method"] in (WHOLE, over[row["sigma"]]) and "psnr" in row]
    by = ["sigma", "seed", *(["learning_rate"] if set(over.values()) <= set(OURS) else [])]
    found = plots.gains(some, "psnr", by, lambda row: row["method"] != WHOLE)
    points = [(p["sigma"], p["gain"]) for p in plots.aggregate(found, ["sigma"], ["gain"])]
    return ", ".join(
        f"{'+' * (gain.mean > 0)}{gain:.2f} dB at sigma {at:g} ({over[at]})" for at, gain in points
    )


def notes(rows: Rows, tuned: Mapping[float, Mapping[str, Any]], pictures: str) -> list[str]:
    """Says what was compared, and by how much the network is better, or worse."""
    settings = "; ".join(
        f"{sigma:g}: "
        + ", ".join(f"{name} {own[name].keywords['setting']}" for name in own if name != NOTHING)
        for sigma, own in tuned.items()
    )
    said = [
        f"psnr and ssim are of {pictures}; estimates are clipped to [0, 1], whatever made them, "
        "and the noise is not. Each seed draws its own.",
        f"Settings that are best on the training photographs, by sigma: {settings}.",
    ]
    if missing := [name for name in MORE if any(name not in own for own in tuned.values())]:
        said.append(f"Not installed, and not compared: {', '.join(missing)}.")
    best = best_baselines(rows)
    for what, over in {
        "Gain over the best baseline": best,
        "Gain by averaging overlapping patches": dict.fromkeys(best, APART),
        "Gain by fine-tuning": dict.fromkeys(best, GREEDY),
    }.items():
        if found := gains(rows, over):
            said.append(f"{what}: {found}.")
    return said


def figures(
    rows: Rows, kept: Mapping[tuple[str, float], np.ndarray], picture: np.ndarray
) -> dict[str, Any]:
    """Draws the PSNR at each noise, and the first photograph as it was restored."""
    compared = [row for row in rows if row["method"] in DRAWN]
    curves = plots.mean_curves(compared, "sigma", "psnr", lambda row: row["method"])
    drawn = {
        "PSNR of test photographs by the noise's standard deviation.": plots.lines(
            curves, "noise's standard deviation, of 255", "PSNR (dB)", log_x=True
        )
    }
    best = {at: name for at, name in best_baselines(rows).items() if (WHOLE, at) in kept}
    if best:
        table = {
            "noisy": [kept[NOTHING, at] for at in best],
            "best baseline": [kept[name, at] for at, name in best.items()],
            WHOLE: [kept[WHOLE, at] for at in best],
            "photograph": [picture for _ in best],
        }
        heading = f"sigma {', '.join(f'{at:g}' for at in best)}"
        drawn["A test photograph at each noise, and restored."] = plots.image_rows(
            {name: np.stack(images) for name, images in table.items()}, heading
        )
    return drawn


if __name__ == "__main__":
    cli.main(stacked_denoising, PRESETS)
