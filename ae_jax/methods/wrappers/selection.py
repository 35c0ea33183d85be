"""Methods whose lanes learn from data of their own, though all lanes get the same batches."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax.core import (
    COUNT,
    Array,
    Batch,
    Dataset,
    Domain,
    HParams,
    Info,
    InputError,
    Method,
    State,
    Views,
    check_ranges,
    require,
    require_kind,
)
from ae_jax.methods.learners.composing import joined


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
    require_kind(Method, "methods.vae(encoder, decoder, 2)", method=method)
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

    Raises:
      InputError: if the pool has no labels; when initialised, if there is no such start.
    """
    require_kind(Method, "methods.vae(encoder, decoder, 2)", method=method)

    def init(key: Array, batch: Batch, hparams: HParams, start: Mapping[str, Any]) -> FewLabels:
        start = _checked(start, "order", "encoder")
        fresh = method.init(key, batch, hparams)
        begun = method.init(key, batch, hparams, {"encoder": start["encoder"]})
        chosen = jax.tree.map(lambda x, y: jnp.where(hparams["pretrained"] > 0, x, y), begun, fresh)
        return FewLabels(start["order"], chosen)

    def step(
        key: Array, state: FewLabels, batch: Batch, hparams: HParams
    ) -> tuple[FewLabels, Info]:
        place_key, step_key = jax.random.split(key)
        own = _own_examples(place_key, state, pool, len(batch["label"]), hparams)
        learned, info = method.step(step_key, state.method, own, hparams)
        return FewLabels(state.order, learned), info

    return Method(
        **joined(
            method,
            labels=_labels(method, pool),
            pretrained=(1.0, Domain(0, 1, whole=True)),
        ),
        init=init,
        step=step,
        evaluate=lambda key, state, batch, hparams: method.evaluate(
            key, state.method, batch, hparams
        ),
        conclude=method.conclude,
        inference=lambda state: FewLabels((), method.inference(state.method)),
        ranges=method.ranges,
    )


def partly_labelled(method: Method, pool: Dataset) -> Method:
    """Returns a method that learns from all examples, and knows labels of a lane's own first ones.

    How many is traced, as for `few_labels`. A step is shown its batch, of which every label is
    hidden, -1, and as many examples with their labels.

    Args:
      method: that learns nothing from labels below 0.
      pool: what the labelled examples are of.

    Returns:
      The method, with the hyperparameter `labels`, how many labelled examples it draws from, with
      replacement, 100 or all by default. Its `init` takes `order`, int [N], places in the pool,
      and hands on whatever else there is, such as the `encoder` of a `stage`. Evaluation and views
      see labels as they are.

    Raises:
      InputError: if the pool has no labels; when initialised, if there is no such start.
    """
    require_kind(Method, "methods.vae(encoder, decoder, 2)", method=method)

    def shown(key: Array, state: FewLabels, batch: Batch, hparams: HParams) -> Batch:
        own = _own_examples(key, state, pool, len(batch["label"]), hparams)
        hidden = {**batch, "label": jnp.full_like(batch["label"], -1)}
        return {name: jnp.concatenate([own[name], x]) for name, x in hidden.items()}

    def init(key: Array, batch: Batch, hparams: HParams, start: Mapping[str, Any]) -> FewLabels:
        start = dict(_checked(start, "order"))
        order = start.pop("order")
        return FewLabels(order, method.init(key, batch, hparams, *([start] if start else [])))

    def step(
        key: Array, state: FewLabels, batch: Batch, hparams: HParams
    ) -> tuple[FewLabels, Info]:
        place_key, step_key = jax.random.split(key)
        given = shown(place_key, state, batch, hparams)
        learned, info = method.step(step_key, state.method, given, hparams)
        return FewLabels(state.order, learned), info

    def of_method(function: Callable) -> Callable:
        return lambda *args: function(
            *(arg.method if isinstance(arg, FewLabels) else arg for arg in args)
        )

    return Method(
        **joined(method, labels=_labels(method, pool)),
        init=init,
        step=step,
        evaluate=of_method(method.evaluate),
        views=Views(*(view and of_method(view) for view in method.views)),
        conclude=method.conclude,
        inference=lambda state: FewLabels((), method.inference(state.method)),
        ranges=method.ranges,
    )


_STARTS = {
    "order": "int [N], places of the lane's labelled examples in the pool",
    "encoder": "parameters",
}


def _checked(start: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    if not isinstance(start, Mapping) or not set(names) <= set(start):
        wanted = "; and ".join(f"{name}, {_STARTS[name]}" for name in names)
        raise InputError(
            "each lane begins with examples of its own: give training.run start=, of every lane "
            f"a mapping with {wanted}"
        )
    return start


def _labels(method: Method, pool: Dataset) -> tuple[float, Domain]:
    if "label" not in pool.spec:
        raise InputError("the pool has no labels: use a data set that has them")
    check_ranges(method.ranges, pool, "pool's")
    return float(min(100, pool.size)), Domain(1, pool.size, whole=True)


def _own_examples(
    key: Array, state: FewLabels, pool: Dataset, count: int, hparams: HParams
) -> Batch:
    """Some of a lane's first `labels` examples, drawn with replacement."""
    known = jnp.minimum(hparams["labels"], len(state.order))
    places = state.order[(jax.random.uniform(key, (count,)) * known).astype(int)]
    return pool.fetch(pool.arrays, places)
