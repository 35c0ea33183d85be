"""Samples against a distribution function, by Kolmogorov and Smirnov's statistic."""

import numpy as np

#: Of sqrt(n) times the statistic, exceeded by 1 sample in 100.
CRITICAL = 1.6276


def distance(x, distribution):
    """The largest difference of a sample's distribution function from what it should be."""
    levels = distribution(np.sort(np.asarray(x)))
    n = len(levels)
    return max(np.max(np.arange(1, n + 1) / n - levels), np.max(levels - np.arange(n) / n))


def fits(x, distribution):
    return np.sqrt(len(x)) * distance(x, distribution) < CRITICAL
