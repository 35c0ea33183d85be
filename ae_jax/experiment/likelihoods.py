"""How likely images are, by importance samples, and what so few of them leave open."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax import metrics
from ae_jax.core import Array, Batch, HParams
from ae_jax.training import Model


def importance_likelihood(
    view: Callable[[Array, Any, Batch, HParams], Array],
    model: Model,
    key: Array,
    batch: Batch,
    samples: int,
) -> dict[str, float]:
    """Returns the mean log-likelihood of a batch, nats, two errors and its gap.

    Args:
      view: a `log_likelihood` of one importance sample. Lanes for which it is the same function
        share one program.
      model: the lane.
      key: of the samples.
      batch: images, with their noise if they are to have some.
      samples: how many.

    Returns:
      `log_likelihood`; `importance_error`, the standard error that so few samples leave to the mean
      over these images; `standard_error`, that of another such draw of images; `gap`, what the
      mean of the log-weights is below it: the divergence of the posterior from the exact one.
    """
    weights = _log_weights(view, samples, key, model.state, batch, model.hparams)
    found = metrics.importance_log_likelihood(weights)
    count = len(found.log_likelihood)
    return {
        "log_likelihood": float(jnp.mean(found.log_likelihood)),
        "importance_error": float(jnp.linalg.norm(found.error)) / count,
        "standard_error": float(jnp.std(found.log_likelihood)) / count**0.5,
        "gap": float(jnp.mean(found.log_likelihood) - jnp.mean(weights)),
    }


@functools.partial(jax.jit, static_argnums=(0, 1))
def _log_weights(
    view: Any, samples: int, key: Array, state: Any, batch: Batch, hparams: HParams
) -> Array:
    """Returns log p(x, z) - log q(z | x) of draws of z, [K, B]."""
    keys = jax.random.split(key, samples)
    return jax.lax.map(lambda key: view(key, state, batch, hparams), keys)
