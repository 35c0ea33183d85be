"""What the likelihood of a finite set of images can be."""

import numpy as np

from ae_jax.core import Array


def best_log_likelihood(images: Array) -> float:
    """Returns the largest sum of log p over images: each is as probable as it is frequent.

    Args:
      images: [N, ...], of discrete values.

    Returns:
      Nats: minus N times the entropy of the images' own distribution.
    """
    counts = np.unique(np.reshape(images, (len(images), -1)), axis=0, return_counts=True)[1]
    return float(np.sum(counts * np.log(counts / np.sum(counts))))
