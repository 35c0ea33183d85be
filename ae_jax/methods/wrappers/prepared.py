"""Methods that see a random version of their data: at every step another one."""

from collections.abc import Callable
from typing import Any

import jax

from ae_jax.core import Array, Batch, HParams, InputError, Method, State, require_kind
from ae_jax.probability._examples import widened

#: (key, batch) -> batch of the same shapes.
Preparation = Callable[[Array, Batch], Batch]


def binarized(key: Array, batch: Batch) -> Batch:
    """Draws the `image` as zeros and ones, of which the grey levels are the probabilities.

    The `other` of a pair is drawn likewise, on its own.

    Reference:
      Burda, Grosse and Salakhutdinov (2016), Importance Weighted Autoencoders.
    """
    keys = {"image": key, "other": jax.random.fold_in(key, 1)}
    shown = {name: batch[name] for name in keys if name in batch}
    drawn = {name: jax.random.bernoulli(keys[name], widened(x)) for name, x in shown.items()}
    return {**batch, **{name: drawn[name].astype(x.dtype) for name, x in shown.items()}}


def prepared(method: Method, preparation: Preparation) -> Method:
    """Returns a method that sees batches as a random function makes them.

    A step draws anew. Evaluation and the views that take a key draw by it, and so the same at every
    evaluation; the views without one see the data as they are, of binary images the probabilities.
    So the codes of one draw are those of a batch that is drawn before: `encode` of what `binarized`
    makes of it.

    Args:
      method: what learns.
      preparation: such as `binarized`: its draws of zeros and ones are what likelihoods of binary
        images are compared on.

    Raises:
      InputError: if the method is none, or the preparation no function.
    """
    require_kind(Method, "methods.vae(encoder, decoder, 2)", method=method)
    if not callable(preparation):
        raise InputError(
            f"preparation is {preparation!r}: use a function of (key, batch), such as binarized"
        )

    def seen(key: Array, batch: Batch) -> tuple[Array, Batch]:
        own, drawing = jax.random.split(key)
        return own, preparation(drawing, batch)

    def init(key: Array, batch: Batch, hparams: HParams, *start: Any) -> State:
        own, batch = seen(key, batch)
        return method.init(own, batch, hparams, *start)

    def of_state(function: Callable) -> Callable:
        def prepared_first(key: Array, state: State, batch: Batch, hparams: HParams) -> Any:
            own, batch = seen(key, batch)
            return function(own, state, batch, hparams)

        return prepared_first

    drawn = {
        name: of_state(view)
        for name in ("generate", "log_likelihood", "predict_noisy")
        if (view := getattr(method.views, name)) is not None
    }
    return method._replace(
        init=init,
        step=of_state(method.step),
        evaluate=of_state(method.evaluate),
        views=method.views._replace(**drawn),
        # of images as they are prepared
        ranges={name: method.ranges[name] for name in method.ranges.keys() - {"image"}},
    )
