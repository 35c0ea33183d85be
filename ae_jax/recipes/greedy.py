"""Greedy layer-wise training: each layer is a run of its own, on the latents of those below."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp

from ae_jax import methods, nets, training
from ae_jax.core import WHOLE, Dataset, InputError, Method, Network, State, require
from ae_jax.methods import boltzmann
from ae_jax.methods.parts.observations import Observation
from ae_jax.methods.parts.shown import Shown, entry
from ae_jax.methods.wrappers.stage import stage


class Layer(NamedTuple):
    """One layer of a stack.

    Attributes:
      encoder: [B, ...] -> [B, H].
      decoder: [B, H] -> [B, ...], onto the values that the layer below passes on.
      method: trains the layer, on batches whose `image` is what the layer below passes on.
      parts: the method's state -> the parameters of `encoder` and `decoder` by these names.
      shown: what training shows the layers below, of whose latent the method's batches then have
        the entry `shown`; None where that is what is there.
    """

    encoder: Network
    decoder: Network
    method: Method
    parts: Callable[[State], Mapping[str, Any]]
    shown: Shown | None = None


class Stack(NamedTuple):
    """Layers trained one after the other, put together.

    Attributes:
      encoder: all layers upwards.
      decoder: all layers downwards.
      start: for each lane, the parameters of `encoder` and `decoder` by these names: what
        to give `training.run` as `start`, to fine-tune the whole. None for lanes of processes
        that died.
      results: of each layer's run.
    """

    encoder: Network
    decoder: Network
    start: list[dict[str, Any] | None]
    results: list[training.Result]


def rbm_layer(hidden_size: int, shape: Sequence[int], **options: Any) -> Layer:
    """Returns a restricted Boltzmann machine as a layer: E[h | v] upwards, E[v | h] downwards.

    Args:
      hidden_size: H.
      shape: of what the layer sees: (H, W, C) of images, where the decoder gives log-odds, or
        (V,) of a layer below, where it gives probabilities. Of Gaussian visible units it gives
        the mean, and the encoder's weights are W / sigma^2.
      options: of `methods.rbm`.

    Raises:
      InputError: if there are classes: a layer sees no label; or as `methods.rbm`.

    Reference:
      Hinton and Salakhutdinov (2006), Reducing the Dimensionality of Data with Neural Networks:
      unrolling.
    """
    if options.get("classes"):
        raise InputError("a layer of a stack sees no label: leave out classes")
    method = methods.rbm(hidden_size, **options)
    visible = options.get("visible") or boltzmann.bernoulli()
    hidden = options.get("hidden") or boltzmann.bernoulli_hidden()
    encoder = nets.mlp(
        hidden_size, (), output_activation="sigmoid" if hidden.enumerable else "linear"
    )
    binary = visible.enumerable and len(shape) == 1
    decoder = nets.mlp(shape, (), output_activation="sigmoid" if binary else "linear")

    def parts(state: State) -> dict[str, Any]:
        params = state.params
        seen = visible.signal(params, jnp.ones_like(params.visible_bias)[None, :])[0]
        kernel = params.weights * seen[:, None]  # s(v) W = v (s(1) W)
        return {
            "encoder": nets.mlp_params(nets.Affine(kernel, params.hidden_bias)),
            "decoder": nets.mlp_params(nets.Affine(params.weights.T, params.visible_bias)),
        }

    return Layer(encoder, decoder, method, parts)


def rbm_layers(
    widths: Sequence[int], shape: Sequence[int], code: int = 0, **options: Any
) -> list[Layer]:
    """Returns restricted Boltzmann machines, each on what the one below makes of an image.

    Args:
      widths: hidden units of each, upwards.
      shape: (H, W, C) of images.
      code: if not 0, one more machine, of so many Gaussian hidden units of variance 1.
      options: of `methods.rbm`, for all; but for `visible`, which is of the first alone: those
        above see zeros and ones.

    Raises:
      InputError: if there is the option `hidden`, which `code` decides, or code is below 0; or as
        `rbm_layer`.
    """
    if "hidden" in options:
        raise InputError(
            "hidden units are zeros and ones but for those of a code: leave out hidden"
        )
    require(WHOLE, code=code)
    kinds = [(width, boltzmann.bernoulli_hidden()) for width in widths]
    if code:
        kinds.append((code, boltzmann.gaussian_hidden()))
    layers = []
    for size, hidden in kinds:
        layers.append(rbm_layer(size, shape, hidden=hidden, **options))
        shape = (size,)
        options.pop("visible", None)
    return layers


def autoencoder_layers(
    widths: Sequence[int],
    shape: Sequence[int],
    *,
    activation: str = "sigmoid",
    code_activation: str | None = None,
    reconstruction: Observation | None = None,
    tied: bool = False,
    shown: Shown | None = None,
    **options: Any,
) -> list[Layer]:
    """Returns autoencoders without hidden layers, each on what the one below makes of an image.

    Args:
      widths: units of each, upwards.
      shape: (H, W, C) of images.
      activation: of every layer's units.
      code_activation: of the last layer's, where they have another.
      reconstruction: how every layer's outputs are compared with what it sees. None is the
        cross-entropy of log-odds where that is in [0, 1], images and sigmoid units, and the
        squared error elsewhere; the stack's decoder gives log-odds of images then.
      tied: whether a decoder has its encoder's kernel, transposed, while it is trained.
      shown: what training shows the stack, from `methods.shown`: every layer then makes the latent
        of what is there from that of what is shown. A corruption among the options is of each
        layer's own input instead.
      options: of `methods.autoencoder`, for all: a corruption, penalties.

    Reference:
      Vincent et al. (2010), Stacked Denoising Autoencoders, section 3; Xie, Xu and Chen (2012),
      Image Denoising and Inpainting with Deep Neural Networks, section 2.3, for what is shown.
    """
    if not widths:
        return []
    activations = [*[activation] * (len(widths) - 1), code_activation or activation]
    outputs = ["linear", *activations[:-1]]
    seen = [tuple(shape), *((width,) for width in widths[:-1])]

    def parts(state: State) -> dict[str, Any]:
        encoder, decoder = state.params["encoder"], state.params["decoder"]
        return {
            "encoder": encoder,
            "decoder": nets.transposed.join(encoder, decoder) if tied else decoder,
        }

    layers = []
    for width, own, below, output in zip(widths, activations, seen, outputs, strict=True):
        encoder = nets.mlp(width, (), output_activation=own)
        decoder = trained = nets.mlp(below, (), output_activation=output)
        compared = reconstruction
        if reconstruction is None and (output == "sigmoid" or not layers):
            trained = nets.mlp(below, (), output_activation="linear")
            compared = methods.observations.bernoulli()
        tie = nets.transposed if tied else None
        if shown is not None:
            options["shown"] = entry("shown") if layers else shown
        method = methods.autoencoder(encoder, trained, reconstruction=compared, tie=tie, **options)
        layers.append(Layer(encoder, decoder, method, parts, shown))
    return layers


def networks(layers: Sequence[Layer]) -> tuple[Network, Network]:
    """Returns all layers' encoders upwards, and all their decoders downwards."""
    up = nets.chain(*(layer.encoder for layer in layers))
    return up, nets.chain(*(layer.decoder for layer in layers[::-1]))


def train(
    layers: Sequence[Layer],
    dataset: Dataset,
    lanes: Sequence[Mapping[str, Any]],
    steps: int,
    directory: str | Path | None = None,
    **options: Any,
) -> Stack:
    """Trains layers greedily; every layer trains all lanes of the sweep at once.

    A lane's layer learns from the latents of the same lane's layers below. Where a layer
    froze, what is above learns on the frozen one's last good parameters.

    Args:
      layers: from the data upwards.
      dataset: what is trained on.
      lanes: from `training.grid`; values of hyperparameters that all layers have.
      steps: for each lane and layer.
      directory: a run directory per layer is made below it; None writes nothing.
      options: further ones for `training.run`.

    Raises:
      InputError: if there is no layer, or as `training.run`.

    Reference:
      Bengio et al. (2007), Greedy Layer-Wise Training of Deep Networks; Vincent et al.
      (2010), Stacked Denoising Autoencoders, section 3.
    """
    if not layers:
        raise InputError("a stack needs at least one layer")
    found: list[list[Mapping[str, Any]]] = [[] for _ in lanes]
    results = []
    for depth, layer in enumerate(layers):
        method, start = layer.method, None
        if depth:
            below = nets.chain(*(lower.encoder for lower in layers[:depth]))
            method = stage(below, layer.method, shown=layer.shown)
            start = [{"encoder": _numbered(parts, "encoder")} if parts else None for parts in found]
        result = training.run(
            method,
            dataset,
            lanes,
            steps,
            None if directory is None else Path(directory) / f"layer-{depth + 1}",
            start=start,
            everywhere=True,
            **options,
        )
        results.append(result)
        for index in training.known_lanes(result):
            state = training.lane(result, index)[1]
            found[index].append(layer.parts(state.method if depth else state))
    return Stack(
        *networks(layers),
        [
            {"encoder": _numbered(parts, "encoder"), "decoder": _numbered(parts[::-1], "decoder")}
            if parts
            else None
            for parts in found
        ],
        results,
    )


def _numbered(parts: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    return {str(i): part[name] for i, part in enumerate(parts)}
