import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import data, greedy, methods, nets, training
from ae_jax.core import InputError


def layer(size, outputs, output_activation):
    encoder = nets.mlp(size, (), output_activation="sigmoid")
    decoder = nets.mlp(outputs, (), output_activation=output_activation)
    method = methods.autoencoder(encoder, decoder, tie=nets.transposed)
    return greedy.Layer(encoder, decoder, method, lambda state: parts(state.params))


def parts(params):
    return {**params, "decoder": nets.transposed.join(params["encoder"], params["decoder"])}


def test_layers_are_trained_on_what_the_layers_below_pass_on_and_put_together(tmp_path):
    digits = data.subset(data.load("digits"), np.arange(64))
    layers = [layer(6, (8, 8, 1), "linear"), layer(3, 6, "sigmoid")]
    lanes = training.grid(learning_rate=[1e-3, 1e-2], seed=0)
    stack = greedy.train(layers, digits, lanes, 4, tmp_path, batch_size=16)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["layer-1", "layer-2"]
    batch = digits.fetch(digits.arrays, jnp.arange(5))
    for index in range(2):
        _, first, hparams = training.lane(stack.results[0], index)
        method, second, _ = training.lane(stack.results[1], index)
        start = stack.start[index]
        # the second layer was trained above this very first layer, and left it as it was
        chex.assert_trees_all_equal(second.frozen["encoder"]["0"], first.params["encoder"])
        chex.assert_trees_all_equal(start["encoder"]["1"], second.method.params["encoder"])
        latent = stack.encoder.apply(start["encoder"], batch["image"])
        chex.assert_trees_all_close(latent, method.views.encode(second, batch, hparams), rtol=1e-6)
        # decoders are the transposed encoders, from the top down
        chex.assert_trees_all_equal(
            start["decoder"]["0"]["Dense_0"]["kernel"], start["encoder"]["1"]["Dense_0"]["kernel"].T
        )
        assert stack.decoder.apply(start["decoder"], latent).shape == (5, 8, 8, 1)

    whole = methods.autoencoder(stack.encoder, stack.decoder)
    tuned = training.run(whole, digits, lanes, 1, batch_size=16, start=stack.start)
    _, state, hparams = training.lane(tuned, 1)
    moved = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b)), state.params, stack.start[1])
    assert 0 < max(jax.tree.leaves(moved)) <= 1.001e-2  # one step of Adam


def test_a_stack_needs_a_layer():
    with pytest.raises(InputError, match="at least one layer"):
        greedy.train([], data.load("digits"), training.grid(seed=0), 1)
