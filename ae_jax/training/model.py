"""A trained lane, ready to be used."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import COUNT, Array, Batch, HParams, InputError, Method, State, require
from ae_jax.training.results import Result


def lane(result: Result, index: int, best: bool = False) -> tuple[Method, State, HParams]:
    """Returns one lane's method, final (or best) state and hyperparameters.

    Those have the values that schedules gave them in the last step of that state. Of a best
    state there is what `Method.inference` keeps.

    Raises:
      InputError: if this process does not have it, or no best state was kept.
    """
    for group in (*result.groups, *result.others):
        for i in np.flatnonzero(group.index == index):
            states, hparams = group.state, group.state_hparams
            if best:
                states, hparams = group.best, group.best_hparams
            if states is None:
                raise InputError("no best state was kept: give run() keep_best=True")
            state = jax.tree.map(lambda x, i=i: x[i], states)
            return group.method, state, {name: np.asarray(hparams[name][i]) for name in hparams}
    own = sorted(int(i) for group in (*result.groups, *result.others) for i in group.index)
    there = ", ".join(map(str, own[:8])) + (", ..." if len(own) > 8 else "")
    raise InputError(f"this process has no lane {index}: it has {there or 'none'}")


class Model(NamedTuple):
    """One lane, ready to be looked at: the views without their state and hyperparameters.

    They are compiled, once for all lanes of a group. Each raises InputError where the method has no
    such view, or is given arrays and no batch, or no number of samples.

    Attributes:
      row: what the run says of the lane.
      method: its method.
      state: its state.
      hparams: its hyperparameters, as schedules had them last.
    """

    row: Mapping[str, Any]
    method: Method
    state: State
    hparams: HParams

    def encode(self, batch: Batch) -> Array:
        """-> [B, Z]."""
        return self._view("encode", batch)(self.state, batch, self.hparams)

    def decode(self, latent: Array) -> Array:
        """[B, Z] -> [B, ...]."""
        return self._view("decode")(self.state, latent, self.hparams)

    def reconstruct(self, batch: Batch) -> Array:
        """-> [B, ...]."""
        return self._view("reconstruct", batch)(self.state, batch, self.hparams)

    def predict(self, batch: Batch) -> Array:
        """-> [B, ...], such as logits of classes."""
        return self._view("predict", batch)(self.state, batch, self.hparams)

    def sample(self, key: Array, count: int) -> Array:
        """-> [count, ...]."""
        sample = self._view("sample", count_at=2)
        require(COUNT, count=count)
        return sample(key, self.state, count, self.hparams)

    def generate(self, key: Array, batch: Batch) -> Array:
        """-> [B, ...], drawn for what the batch says."""
        return self._view("generate", batch)(key, self.state, batch, self.hparams)

    def log_likelihood(self, key: Array, batch: Batch) -> Array:
        """-> [B], nats."""
        return self._view("log_likelihood", batch)(key, self.state, batch, self.hparams)

    def predict_noisy(self, key: Array, batch: Batch) -> Array:
        """-> [B, ...], as `predict`, with dropout."""
        return self._view("predict_noisy", batch)(key, self.state, batch, self.hparams)

    def _view(
        self, name: str, batch: Batch | None = None, count_at: int | None = None
    ) -> Callable[..., Array]:
        views = self.method.views._asdict()
        if views[name] is None:
            known = ", ".join(view for view in views if views[view]) or "none"
            raise InputError(f"the method has no view {name}: its views are {known}")
        if batch is not None and not isinstance(batch, Mapping):
            raise InputError(f"{name} takes a batch, arrays by name: as {{'image': x}}")
        return jax.jit(views[name], static_argnums=count_at)


def model(result: Result, index: int, best: bool = False) -> Model:
    """Returns one lane of a result, with its final or its best state.

    Raises:
      InputError: as `lane`.
    """
    method, state, hparams = lane(result, index, best)
    row = next(row for row in result.rows if row["lane"] == index)
    # methods index their arrays with traced ones, which those on the host do not take
    return Model(row, method, jax.tree.map(jnp.asarray, state), hparams)
