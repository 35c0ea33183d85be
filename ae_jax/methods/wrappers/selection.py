"""Methods whose lanes learn from data of their own, though all lanes get the same batches."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax.core import COUNT, Array, Batch, Dataset, Domain, HParams, Info, Method, State
from ae_jax.methods.learners.composing import joined, require


class FewLabels(NamedTuple):
    """Places of a lane's labelled examples in the pool, int [N], and the method's state."""

    order: Array
    method: State


def one_of_several(method: Method, count: int) -> Method:
    """Returns a method that sees the images of one of the data sets in `data.side_by_side`.

    Which one is the traced hyperparameter `condition`: all of them are one program. Views are the
    method's own: they take one image for each example.

    Args:
      method: what learns.
      count: how many data sets stand side by side.

    Raises:
      InputError: if there is none.
    """
    require(COUNT, count=count)

    def seen(batch: Batch, hparams: HParams) -> Batch:
        place = jnp.asarray(hparams["condition"]).astype(int)
        return {**batch, "image": jnp.take(batch["image"], place, axis=1)}

    return method._replace(
        **joined(method, condition=(0.0, Domain(0, count - 1, whole=True))),
        init=lambda key, batch, hparams, *start: method.init(
            key, seen(batch, hparams), hparams, *start
        ),
        step=lambda key, state, batch, hparams: method.step(
            key, state, seen(batch, hparams), hparams
        ),
        evaluate=lambda key, state, batch, hparams: method.evaluate(
            key, state, seen(batch, hparams), hparams
        ),
    )


def few_labels(method: Method, pool: Dataset) -> Method:
    """Returns a method that trains on a lane's own first examples, however many it may have.

    How many is traced: all numbers of labels, with the examples of every seed, are one program.

    Args:
      method: whose `init` takes parameters to start from.
      pool: what the examples are of.

    Returns:
      The method, with the hyperparameters `labels`, how many examples it draws its batches from,
      with replacement, 100 or all by default; and `pretrained`, 1 to start from parameters and 0
      for random ones. Its `init` takes `order`, int [N], places in the pool, and `encoder`,
      parameters.
    """

    def init(key: Array, batch: Batch, hparams: HParams, start: Mapping[str, Any]) -> FewLabels:
        fresh = method.init(key, batch, hparams)
        begun = method.init(key, batch, hparams, {"encoder": start["encoder"]})
        chosen = jax.tree.map(lambda x, y: jnp.where(hparams["pretrained"] > 0, x, y), begun, fresh)
        return FewLabels(start["order"], chosen)

    def step(
        key: Array, state: FewLabels, batch: Batch, hparams: HParams
    ) -> tuple[FewLabels, Info]:
        place_key, step_key = jax.random.split(key)
        uniform = jax.random.uniform(place_key, batch["label"].shape)
        count = jnp.minimum(hparams["labels"], len(state.order))
        places = state.order[(uniform * count).astype(int)]
        own = pool.fetch(pool.arrays, places)
        learned, info = method.step(step_key, state.method, own, hparams)
        return FewLabels(state.order, learned), info

    return Method(
        **joined(
            method,
            labels=(float(min(100, pool.size)), Domain(1, pool.size, whole=True)),
            pretrained=(1.0, Domain(0, 1, whole=True)),
        ),
        init=init,
        step=step,
        evaluate=lambda key, state, batch, hparams: method.evaluate(
            key, state.method, batch, hparams
        ),
        conclude=method.conclude,
        inference=lambda state: FewLabels((), method.inference(state.method)),
    )
