"""Methods whose samples are compared with data while they learn."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from ae_jax.core import (
    COUNT,
    Array,
    Batch,
    HParams,
    InputError,
    Method,
    State,
    require,
    require_kind,
)

#: Data and samples, [N, ...] both -> scalars by name.
Measure = Callable[[Array, Array], Mapping[str, Array]]


def measured(method: Method, measure: Measure, count: int) -> Method:
    """Returns a method that evaluation also compares with data, as one sample with another.

    So figures such as distances and numbers of modes are recorded over training, of all lanes,
    by the program that trains them.

    Args:
      method: with the view `sample`, of whatever is the batch's `image`.
      measure: compares; what it returns stands beside the evaluation's other figures.
      count: N, of the first examples that are evaluated and of as many samples. The figures are
        NaN where there are fewer.

    Raises:
      InputError: if it cannot be sampled from, or nothing would be compared.
    """
    require_kind(Method, "methods.vae(encoder, decoder, 2)", method=method)
    require(COUNT, count=count)
    if method.views.sample is None:
        raise InputError("samples are measured, but the method has no view sample: use another")

    def evaluate(key: Array, state: State, batch: Batch, hparams: HParams) -> Mapping[str, Array]:
        own, drawing = jax.random.split(key)
        x = batch["image"]
        samples = method.views.sample(drawing, state, len(x), hparams)
        values = method.evaluate(own, state, batch, hparams)
        return {**values, "measured_data": x, "measured_samples": samples}

    def conclude(values: Mapping[str, Array], present: Array, hparams: HParams) -> dict[str, Array]:
        values = dict(values)
        both = values.pop("measured_data"), values.pop("measured_samples")
        first = jnp.flatnonzero(present, size=count)
        enough = jnp.sum(present) >= count
        found = measure(*(x[first] for x in both))
        own = method.conclude(values, present, hparams) if method.conclude else {}
        return {**own, **jax.tree.map(lambda x: jnp.where(enough, x, jnp.nan), dict(found))}

    return method._replace(evaluate=evaluate, conclude=conclude)
