"""Convolutions as matrix products equal XLA's own, forward and backward."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_jax.core import InputError
from ae_jax.nets import conv, conv_transpose

FUNCTIONS = {"conv": conv, "conv_transpose": conv_transpose}
# (height, width), channels, outputs, kernel, strides, padding
CASES = [
    ((8, 8), 3, 5, (4, 4), (2, 2), "SAME"),
    ((8, 8), 5, 3, (4, 4), (2, 2), "SAME"),
    ((7, 7), 2, 4, (3, 3), (1, 1), "SAME"),
    ((7, 7), 4, 1, (3, 3), (1, 1), "SAME"),
    ((6, 6), 1, 4, (3, 3), (1, 1), "VALID"),
    ((7, 9), 4, 4, (3, 3), (1, 1), "SAME"),  # by rows
    ((9, 8), 3, 6, (5, 4), (2, 2), ((2, 1), (0, 3))),  # by rows
    ((7, 9), 2, 3, (3, 3), (2, 2), "SAME"),
    ((7, 9), 3, 2, (5, 4), (2, 3), "VALID"),
    ((5, 6), 2, 2, (2, 2), (2, 2), "VALID"),
    ((5, 5), 2, 3, (1, 1), (1, 1), "SAME"),
    ((6, 5), 2, 3, (1, 1), (2, 2), "SAME"),
    ((6, 6), 3, 2, (2, 3), (3, 4), "SAME"),
    ((5, 6), 2, 3, (3, 2), (1, 2), ((2, 0), (1, 3))),
    ((4, 4), 3, 2, (4, 4), (2, 2), ((3, 3), (3, 3))),
    ((4, 4), 1, 1, (3, 3), (1, 1), ((5, 4), (0, 6))),
    ((5, 4), 4, 1, (5, 3), (2, 3), "SAME"),
    ((5, 6), 1, 3, (3, 5), (2, 1), "VALID"),
    ((3, 3), 2, 2, (3, 3), (1, 1), "VALID"),  # one pixel
    ((1, 1), 2, 2, (1, 1), (1, 1), "VALID"),  # likewise, transposed
]


def random_case(size, channels, outputs, kernel, batch=2, seed=0):
    random, dtype = np.random.RandomState(seed), jnp.result_type(float)
    x = jnp.asarray(random.standard_normal((batch, *size, channels)), dtype)
    return x, jnp.asarray(random.standard_normal((*kernel, channels, outputs)), dtype)


def check_against_lax(function, x, w, strides, padding, tolerance):
    """Compares the value, both gradients and both tangents."""

    @partial(jax.jit, static_argnames="impl")
    def results(x, w, impl):
        def f(x, w):
            return function(x, w, strides, padding, impl)

        y, pull = jax.vjp(f, x, w)
        _, tangent = jax.jvp(f, (x, w), (jnp.cos(x), jnp.cos(w)))
        return y, tangent, *pull(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))

    for ours, theirs in zip(results(x, w, "matmul"), results(x, w, "lax"), strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        scale = float(np.max(np.abs(theirs))) + 1.0
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_lax(name, case):
    size, channels, outputs, kernel, strides, padding = case
    x, w = random_case(size, channels, outputs, kernel)
    check_against_lax(FUNCTIONS[name], x, w, strides, padding, 1e-5)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_named_padding_is_that_of_lax(padding):
    pairs = [((4, 3), (2, 2)), ((2, 3), (3, 1)), ((1, 5), (2, 2)), ((3, 2), (3, 2))]
    cases = [(*random_case((6, 5), 2, 3, kernel), strides) for kernel, strides in pairs]
    options = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}

    @jax.jit
    def both():
        ours, theirs = [], []
        for x, w, strides in cases:
            ours += [f(x, w, strides, padding) for f in FUNCTIONS.values()]
            theirs.append(jax.lax.conv_general_dilated(x, w, strides, padding, **options))
            theirs.append(jax.lax.conv_transpose(x, w, strides, padding, **options))
        return ours, theirs

    for ours, theirs in zip(*both(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_default_is_a_stride_of_1_that_keeps_the_size(name):
    x, w = random_case((4, 5), 2, 3, (3, 3))
    np.testing.assert_array_equal(FUNCTIONS[name](x, w), FUNCTIONS[name](x, w, (1, 1), "SAME"))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("case", CASES[:2], ids=str)
def test_equals_lax_in_float64(name, case):
    size, channels, outputs, kernel, strides, padding = case
    with jax.enable_x64(True):
        x, w = random_case(size, channels, outputs, kernel)
        assert x.dtype == jnp.float64
        check_against_lax(FUNCTIONS[name], x, w, strides, padding, 1e-12)


@given(data=st.data())
@settings(max_examples=8)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_equals_lax_for_any_shape(name, data):
    pair = st.tuples(st.integers(1, 4), st.integers(1, 4))
    kernel, strides = data.draw(pair), data.draw(pair)
    size = data.draw(st.tuples(st.integers(4, 7), st.integers(4, 7)))
    channels, outputs = data.draw(pair)
    pads = st.tuples(st.integers(0, 3), st.integers(0, 3))
    padding = data.draw(st.one_of(st.sampled_from(["SAME", "VALID"]), st.tuples(pads, pads)))
    x, w = random_case(size, channels, outputs, kernel)
    check_against_lax(FUNCTIONS[name], x, w, strides, padding, 1e-5)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_vmap_over_kernels_equals_one_by_one(name):
    x, _ = random_case((8, 8), 3, 4, (4, 4))
    w = jax.random.normal(jax.random.key(1), (3, 4, 4, 3, 4), x.dtype)

    def loss(w, x):
        return jnp.sum(jnp.sin(FUNCTIONS[name](x, w, (2, 2), "SAME", "matmul")))

    solo = jax.jit(jax.value_and_grad(loss))
    for images, axis in ((x, None), (jnp.stack([x, x + 1, x + 2]), 0)):
        values, gradients = jax.jit(jax.vmap(solo, in_axes=(0, axis)))(w, images)
        for lane in range(3):
            lane_x = images if axis is None else images[lane]
            value, gradient = solo(w[lane], lane_x)
            np.testing.assert_allclose(values[lane], value, rtol=1e-4)
            np.testing.assert_allclose(gradients[lane], gradient, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_implementation_is_its_own(name):
    x, w = random_case((5, 5), 2, 3, (3, 3))
    programs = {
        impl: str(jax.make_jaxpr(partial(FUNCTIONS[name], impl=impl))(x, w))
        for impl in ("lax", "matmul", None)
    }
    found = {impl for impl, program in programs.items() if "conv_general_dilated" in program}
    assert found == {"lax"}


@pytest.mark.parametrize(("kernel", "strides", "pad"), [(4, 2, 1), (3, 1, 1), (3, 1, 0), (5, 2, 2)])
def test_transpose_is_the_adjoint(kernel, strides, pad):
    # <y, conv(x)> = <conv_transpose(y), x>, on sizes where the strides leave no remainder.
    x, w = random_case((9 if kernel % 2 else 8,) * 2, 3, 2, (kernel, kernel))
    strides, pads = (strides, strides), ((pad, pad), (pad, pad))
    conv, conv_transpose = (jax.jit(f, static_argnums=(2, 3, 4)) for f in FUNCTIONS.values())
    cx = conv(x, w, strides, pads, "matmul")
    y = np.random.RandomState(3).standard_normal(cx.shape).astype(cx.dtype)
    w = np.asarray(w)
    flipped = w[::-1, ::-1].transpose(0, 1, 3, 2)
    adjoint_pads = ((kernel - 1 - pad,) * 2,) * 2
    ty = conv_transpose(y, flipped, strides, adjoint_pads, "matmul")
    np.testing.assert_allclose(np.vdot(y, cx), np.vdot(ty, x), rtol=1e-4)
    # Without the reversal it is another map.
    wrong = conv_transpose(y, w.transpose(0, 1, 3, 2), strides, adjoint_pads, "matmul")
    assert abs(np.vdot(y, cx) - np.vdot(wrong, x)) > 1e-2


def test_second_derivatives():
    x, w = random_case((4, 4), 2, 2, (3, 3), batch=1)

    @partial(jax.jit, static_argnums=1)
    def hessian_product(w, impl):
        def loss(w):
            return jnp.sum(jnp.sin(conv(x, w, (1, 1), "SAME", impl)))

        return jax.jvp(jax.grad(loss), (w,), (jnp.cos(w),))[1]

    ours, theirs = hessian_product(w, "matmul"), hessian_product(w, "lax")
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"padding": "FULL"}, "unknown padding 'FULL'"),
        ({"padding": ((1, 1),)}, "padding is SAME, VALID or"),
        ({"padding": ((-1, 1), (0, 0))}, "may not be negative"),
        ({"strides": (0, 1)}, "two positive integers"),
        ({"impl": "fft"}, "unknown impl 'fft'"),
    ],
)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_refuses_what_is_no_convolution(name, arguments, message):
    x, w = random_case((5, 5), 2, 3, (3, 3))
    with pytest.raises(InputError, match=message):
        FUNCTIONS[name](x, w, **arguments)


def test_refuses_shapes_that_do_not_fit():
    x, w = random_case((2, 2), 2, 3, (3, 3))
    tall = np.zeros((1, 2, 4, 2), x.dtype)
    with pytest.raises(InputError, match=r"a 3x2 kernel does not fit images of 2x4 with .* VALID"):
        conv(tall, w[:, :2], padding="VALID")
    with pytest.raises(InputError, match=r"a 3x2 transposed .* nothing of images of 2x4 with"):
        conv_transpose(tall, w[:, :2], padding=((0, 0), (0, 0)))
    for side in (2, 3):
        with pytest.raises(InputError, match="leaves nothing"):
            conv_transpose(x[:, :1, :1], w[:side, :side], padding=((0, 0), (0, 0)))
    with pytest.raises(InputError, match=r"needs images \[B, H, W, C\]"):
        conv(x[..., :1], w)
