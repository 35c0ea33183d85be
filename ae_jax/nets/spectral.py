"""Spectral normalisation of any network."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import COUNT, Array, InputError, Network, require, require_networks

#: Power iterations of a network that is initialised.
_FIRST = 20


def spectral(network: Network, iterations: int = 1) -> Network:
    """A network with each kernel divided by its largest singular value, by power iteration.

    Kernels are all parameters of two or more axes; one of more, [KH, KW, in, out], counts as the
    matrix [KH KW in, out], whose norm is at least the convolution's over sqrt(KH KW). A kernel of
    zeros is left as it is.

    A direction v [out] is kept for each kernel W, and W / |W v| is used in its place, by both
    passes. A training pass also moves v, by power iterations on the W that it saw, whatever x
    is; so all passes of a step that begin with the same parameters see the same network.
    Gradients flow through the norm, not through the directions.

    Args:
      network: with a training pass or without one.
      iterations: of a training pass.

    Returns:
      A network whose parameters are `{"params": the network's own, "spectral": directions}`.

    Raises:
      InputError: if there is no network or iteration; when initialised, if there is no kernel.

    Reference:
      Miyato et al. (2018), Spectral Normalization for Generative Adversarial Networks,
      equation 8 and algorithm 1.
    """
    require_networks(network=network)
    require(COUNT, iterations=iterations)

    def init(key: Array, x: Array) -> dict[str, Any]:
        own, direct = jax.random.split(key)
        params = network.init(own, x)
        kernels = _kernels(params)
        if not kernels:
            raise InputError("spectral normalisation needs a network with kernels, got none")
        keys = jax.random.split(direct, len(kernels))
        directions = {}
        for (name, kernel), k in zip(kernels.items(), keys, strict=True):
            matrix = _matrix(kernel)
            start = jax.random.normal(k, matrix.shape[1:], matrix.dtype)
            directions[name] = _iterated(matrix, _unit(start), _FIRST)
        return {"params": params, "spectral": directions}

    def normalised(parameters: Mapping[str, Any]) -> Any:
        directions = jax.lax.stop_gradient(parameters["spectral"])

        def divided(path: tuple, leaf: Array) -> Array:
            name = jax.tree_util.keystr(path)
            return _divided(leaf, directions[name]) if name in directions else leaf

        return jax.tree_util.tree_map_with_path(divided, parameters["params"])

    def apply(parameters: Mapping[str, Any], x: Array) -> Array:
        return network.apply(normalised(parameters), x)

    def train(key: Array, parameters: Mapping[str, Any], x: Array) -> tuple[Array, dict[str, Any]]:
        inner, changes = normalised(parameters), {}
        if network.train is None:
            output = network.apply(inner, x)
        else:
            output, moved = network.train(key, inner, x)
            changes = {"params": moved} if moved else {}
        held = jax.lax.stop_gradient(parameters)
        kernels = _kernels(held["params"])
        directions = {
            name: _iterated(_matrix(kernels[name]), direction, iterations)
            for name, direction in held["spectral"].items()
        }
        return output, {**changes, "spectral": directions}

    return Network(init, apply, train)


def _kernels(params: Any) -> dict[str, Array]:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves if jnp.ndim(leaf) > 1}


def _matrix(kernel: Array) -> Array:
    wide = kernel.astype(np.promote_types(kernel.dtype, np.float32))
    return wide.reshape(-1, kernel.shape[-1])


def _product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision="highest")


def _iterated(matrix: Array, direction: Array, iterations: int) -> Array:
    def once(_: int, v: Array) -> Array:
        # v <- W'u / |W'u|, u = W v; where that is 0, v stays
        moved = _product(matrix.T, _unit(_product(matrix, v)))
        return jnp.where(jnp.any(moved != 0), _unit(moved), v)

    return jax.lax.fori_loop(0, iterations, once, direction)


def _unit(vector: Array) -> Array:
    largest = jnp.max(jnp.abs(vector))
    vector = vector / jnp.where(largest > 0, largest, 1)  # no square underflows
    norm = jnp.linalg.norm(vector)
    return vector / jnp.where(norm > 0, norm, 1)


def _divided(kernel: Array, direction: Array) -> Array:
    matrix = _matrix(kernel)
    image = _product(matrix, direction)
    # sigma = u'W v, u = W v / |W v|
    norm = jnp.sum(jax.lax.stop_gradient(_unit(image)) * image)
    wide = matrix / jnp.where(norm > 0, norm, 1)
    return wide.reshape(kernel.shape).astype(kernel.dtype)
