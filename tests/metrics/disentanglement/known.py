"""Codes by formula, whose scores independent programs computed, and codes that are ideal."""

import numpy as np

#: Of the factors of `known`.
SIZES = (3, 4, 5)


def codes(factors, noise):
    """Latents [..., 4] of factors [..., 3] and a noise index [...]."""
    f, t = np.asarray(factors, float), np.asarray(noise, float)
    columns = [
        f[..., 0] + 0.45 * np.sin(t + 2.5),
        f[..., 1] + 0.8 * np.sin(2.1 * t + 5),
        0.6 * f[..., 2] + 0.4 * f[..., 0] + 0.5 * np.sin(3.3 * t + 7.5),
        1.1 * np.sin(0.7 * t * t + 2.5),
    ]
    return np.stack(columns, axis=-1)


def known(start=0, count=600):
    """Latents [N, 4] and factors [N, 3]: all 60 combinations of factors, again and again."""
    i = np.arange(start, start + count)
    factors = np.stack([i % 3, (i // 3) % 4, (i // 12) % 5], axis=-1)
    return codes(factors, i), factors


def ideal(count, factors=10, values=10, seed=0):
    """Independent factors, uniform from 1, and latents that are the factors."""
    drawn = np.random.default_rng(seed).integers(1, values + 1, (count, factors))
    return drawn.astype(float), drawn


def twice(latents):
    return np.concatenate([latents, latents], axis=1)


def rows_permuted(latents, seed=1):
    return np.random.default_rng(seed).permuted(latents, axis=1)
