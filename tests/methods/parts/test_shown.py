import operator

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import corruptions, methods, nets
from ae_jax.core import FRACTION, NOT_NEGATIVE, InputError
from ae_jax.methods import penalties, shown
from tests.methods.drawn import drawn

KEY = jax.random.key(3)
SHAPE = (6, 5, 2)


def batch(**entries):
    keys = jax.random.split(jax.random.key(0))
    image, other = (jax.random.uniform(key, (4, *SHAPE)) for key in keys)
    return {"image": image, "other": other, **entries}


def linear(**options):
    return methods.autoencoder(nets.mlp(3, ()), nets.mlp(SHAPE, ()), **options)


def of(method, *entries):
    """A step's state and figures, and an evaluation's."""
    state, hparams = drawn(method, batch()), dict(method.hparams)

    @jax.jit
    def both(state, batch):
        return *method.step(KEY, state, batch, hparams), method.evaluate(KEY, state, batch, hparams)

    return state, *both(state, batch(*entries))


def decoded(state, x):
    """What the linear autoencoder makes of x, by hand."""
    encoder, decoder = (state.params[name]["Dense_0"] for name in ("encoder", "decoder"))
    code = x.reshape(len(x), -1) @ encoder["kernel"] + encoder["bias"][None]
    return (code @ decoder["kernel"] + decoder["bias"][None]).reshape(-1, *SHAPE)


def error(outputs, target):
    return np.sum(np.square(np.asarray(outputs) - np.asarray(target)), axis=(1, 2, 3))


def test_a_corruption_is_short_for_what_is_shown():
    corruption = {"corruption": corruptions.masking, "corruption_level": 0.4}
    short = linear(**corruption)
    long = linear(shown=shown.corrupted(corruptions.masking, 0.4))
    assert short.hparams == long.hparams
    assert short.domains == long.domains
    chex.assert_trees_all_equal(of(short), of(long))


@pytest.mark.parametrize("evaluated", ["clean", "shown"])
def test_both_errors_are_reported_and_the_loss_is_of_the_one_that_was_asked_for(evaluated, x64):
    """The corruption adds 1 to the images: what it is shown is known here."""

    def raised(key, x, level):
        return x + level

    method = linear(
        shown=shown.corrupted(raised, 1.0), evaluated=evaluated, penalties=[penalties.l1(0.5)]
    )
    state, _, info, values = of(method)
    image = batch()["image"]
    errors = {name: error(decoded(state, image + rise), image) for name, rise in RISES.items()}
    other = "shown" if evaluated == "clean" else "clean"
    np.testing.assert_allclose(values["squared_error"], errors[evaluated], rtol=1e-10)
    np.testing.assert_allclose(values[f"{other}_squared_error"], errors[other], rtol=1e-10)
    np.testing.assert_allclose(values[f"{other}_reconstruction"], errors[other], rtol=1e-10)
    encoder = state.params["encoder"]["Dense_0"]
    seen = (image + RISES[evaluated]).reshape(4, -1)
    code = np.abs(seen @ encoder["kernel"] + encoder["bias"][None])
    np.testing.assert_allclose(
        values["loss"], errors[evaluated] + 0.5 * code.sum(axis=1), rtol=1e-10
    )
    np.testing.assert_allclose(info["reconstruction"], errors["shown"].mean(), rtol=1e-10)
    assert "clean_squared_error" not in linear().evaluate(KEY, state, batch(), {})


RISES = {"clean": 0.0, "shown": 1.0}


def test_input_and_target_are_entries_of_the_batch(x64):
    method = linear(
        shown=shown.entry("other"),
        target=operator.itemgetter("image"),
        optimizer=optax.identity(),
        learning_rate=1.0,
    )
    state, after, info, values = of(method)
    there = batch()

    def loss(params):
        outputs = decoded(state._replace(params=params), there["other"])
        return jnp.mean(jnp.sum((outputs - there["image"]) ** 2, axis=(1, 2, 3)))

    slope = jax.grad(loss)(state.params)
    moved = jax.tree.map(jnp.subtract, state.params, slope)
    chex.assert_trees_all_close(after.params, moved, rtol=1e-10)
    made = decoded(state, there["other"])
    np.testing.assert_allclose(values["loss"], error(made, there["image"]), rtol=1e-10)
    np.testing.assert_allclose(info["loss"], values["loss"].mean(), rtol=1e-10)
    assert values.keys() == {"loss", "reconstruction", "squared_error"}
    view = method.views.reconstruct(state, {"other": there["other"]}, method.hparams)
    np.testing.assert_allclose(view, made, rtol=1e-10)


def test_holes_are_filled_and_told():
    def rows(key, x, level):
        """The first rows of an image."""
        del key
        rows = jnp.arange(x.shape[1], dtype=x.dtype) < 6 * level
        return jnp.broadcast_to(rows[None, :, None], x.shape[:3])

    part = shown.holed(rows, 0.5, fill=0.25)
    there = batch()
    known = np.ones((4, 6, 5), np.float32)
    np.testing.assert_array_equal(
        part.apply(there, {}), np.concatenate([there["image"], known[..., None]], axis=-1)
    )
    known[:, :3] = 0
    expected = np.where(known[..., None] > 0, there["image"], np.float32(0.25))
    expected = np.concatenate([expected, known[..., None]], axis=-1)
    np.testing.assert_array_equal(part.train(KEY, there, {"hole_level": 0.5}), expected)
    # a batch that says what is known: what lies in its holes is not seen
    spoiled = np.where(known[..., None] > 0, there["image"], np.float32(np.nan))
    told = {"image": spoiled, "known": known}
    np.testing.assert_array_equal(part.apply(told, {}), expected)
    assert part.domains == {"hole_level": NOT_NEGATIVE}
    assert shown.holed(corruptions.block).domains == {"hole_level": FRACTION}
    with pytest.raises(InputError, match=r"known is \[4, 3, 5\]"):
        part.apply({**there, "known": known[:, :3]}, {})


def test_a_network_from_images_to_images_fills_holes():
    network = nets.correction(nets.unet(1, (4, 8), dropout=0.0))
    method = methods.restorer(network, shown.holed(corruptions.block, 0.5), learning_rate=0.1)
    image = {"image": jax.random.uniform(KEY, (3, 8, 12, 1))}
    state, hparams = drawn(method, image), dict(method.hparams)
    found = jax.jit(method.views.reconstruct)(state, image, hparams)
    seen = jnp.concatenate([image["image"], jnp.ones((3, 8, 12, 1))], axis=-1)
    plain = nets.unet(1, (4, 8), dropout=0.0).apply(state.params["decoder"], seen)
    np.testing.assert_allclose(found, image["image"] + plain, rtol=1e-5, atol=1e-6)
    assert hparams == {"learning_rate": 0.1, "hole_level": 0.5}
    values = jax.eval_shape(method.evaluate, KEY, state, image, hparams)
    assert values.keys() >= {"loss", "clean_reconstruction"}
    assert method.views.encode is None


@pytest.mark.full
def test_a_linear_denoiser_reaches_wieners_filter(x64):
    """Of Gaussian data of variances l, with noise s: sum_i l_i s^2 / (l_i + s^2) is left."""
    variances, noise = np.array([4.0, 1.0, 0.1]), 0.7
    method = methods.autoencoder(
        nets.mlp(3, ()),
        nets.mlp(3, ()),
        corruption=corruptions.gaussian_noise,
        corruption_level=noise,
        evaluated="shown",
        learning_rate=0.01,
    )
    z = np.random.default_rng(0).standard_normal((20_000, 3))
    z = np.linalg.qr(z - z.mean(axis=0, keepdims=True))[0] * np.sqrt(20_000)  # exact moments
    image, hparams = {"image": z * np.sqrt(variances)}, dict(method.hparams)

    @jax.jit
    def trained(state):
        def step(state, key):
            return method.step(key, state, image, hparams)[0], ()

        state = jax.lax.scan(step, state, jax.random.split(KEY, 300))[0]
        return method.evaluate(jax.random.key(9), state, image, hparams)["loss"]

    losses = trained(drawn(method, image))
    wiener = np.sum(variances * noise**2 / (variances + noise**2))
    assert abs(losses.mean() - wiener) < 4 * losses.std() / np.sqrt(len(losses))
    # what the identity leaves, and what the mean does, are far from it
    assert min(3 * noise**2, variances.sum()) > 1.5 * wiener


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"corruption": corruptions.masking, "shown": shown.entry()}, "told twice"),
        ({"shown": shown.entry}, "call it"),
        ({"shown": "image"}, "use what a function makes"),
        ({"evaluated": "noisy"}, "use clean or shown"),
    ],
)
def test_what_cannot_be_shown_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        linear(**options)


def test_what_a_batch_has_not_is_refused():
    for options in ({"shown": shown.entry("sketch")}, {"target": lambda x: x["image"][:, :3]}):
        method = linear(**options)
        with pytest.raises(InputError, match=r"no sketch|target's shape"):
            jax.eval_shape(method.init, KEY, batch(), dict(method.hparams))


def test_a_correction_needs_the_shape_of_what_it_corrects():
    network = nets.correction(nets.mlp((6, 5, 3), ()))
    with pytest.raises(InputError, match="first channels"):
        jax.eval_shape(lambda x: network.apply(network.init(KEY, x), x), batch()["image"])


def test_what_spoils_images_otherwise_than_it_should_is_refused():
    batch, key = {"image": jnp.ones((2, 4, 4, 1))}, jax.random.key(0)
    for make in (shown.corrupted, shown.holed):
        with pytest.raises(InputError, match="is 'noise': use a function, such as"):
            make("noise")
    made = shown.corrupted(lambda key, x, level: x[:, :2])
    with pytest.raises(InputError, match="keep their shape"):
        made.train(key, batch, made.hparams)
    for hole in (lambda key, x, level: x, lambda key, x, level: x > 0):
        made = shown.holed(hole)
        with pytest.raises(InputError, match=r"a hole is bool \[2, 4, 4\] here"):
            made.train(key, batch, made.hparams)
    with pytest.raises(InputError, match=r"images \[H, W, C\], got \[5\]"):
        made.apply({"image": jnp.ones((2, 5))}, made.hparams)
    for lacking in (shown.corrupted(corruptions.masking), made):
        with pytest.raises(InputError, match="a batch has no image"):
            lacking.apply({"other": batch["image"]}, lacking.hparams)
    with pytest.raises(InputError, match="fill is nan"):
        shown.holed(corruptions.block, fill=float("nan"))


def test_networks_and_targets_that_are_none():
    net, holes = nets.mlp(2), shown.holed(corruptions.block)
    for words, use in {
        "target is 'image': use a function": lambda: methods.autoencoder(net, net, target="image"),
        "shown is a NoneType": lambda: methods.restorer(net, None),
        "domains are 'image'": lambda: methods.domain_decoders(net, net, domains="image"),
        "decoder is a NoneType": lambda: methods.domain_decoders(net, None),
        "reconstruction is 'l2'": lambda: methods.domain_decoders(net, net, reconstruction="l2"),
        "discriminator is 'x'": lambda: methods.context_encoder(net, "x", holes),
        "output is 'tanh'": lambda: methods.context_encoder(net, net, holes, output="tanh"),
    }.items():
        with pytest.raises(InputError, match=words):
            use()
