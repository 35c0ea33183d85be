"""Encoders, decoders and their layers, as pairs of pure functions."""

from ae_jax.nets.activations import ACTIVATIONS as ACTIVATIONS
from ae_jax.nets.activations import activation as activation
from ae_jax.nets.activations import binary as binary
from ae_jax.nets.architectures import architectures as architectures
from ae_jax.nets.architectures import conv_decoder as conv_decoder
from ae_jax.nets.architectures import conv_encoder as conv_encoder
from ae_jax.nets.architectures import decoder as decoder
from ae_jax.nets.architectures import encoder as encoder
from ae_jax.nets.combine import Tie as Tie
from ae_jax.nets.combine import chain as chain
from ae_jax.nets.combine import transposed as transposed
from ae_jax.nets.convolution import conv as conv
from ae_jax.nets.convolution import conv_transpose as conv_transpose
from ae_jax.nets.layers import Conv as Conv
from ae_jax.nets.layers import ConvTranspose as ConvTranspose
from ae_jax.nets.mlp import flax_network as flax_network
from ae_jax.nets.mlp import mlp as mlp
from ae_jax.nets.pooling import MaxPool as MaxPool
from ae_jax.nets.pooling import avg_pool as avg_pool
from ae_jax.nets.pooling import max_pool as max_pool
from ae_jax.nets.pooling import upsample as upsample
from ae_jax.nets.recurrent import recurrent_decoder as recurrent_decoder
from ae_jax.nets.recurrent import recurrent_encoder as recurrent_encoder
from ae_jax.nets.residual import BatchNorm as BatchNorm
from ae_jax.nets.residual import residual_decoder as residual_decoder
from ae_jax.nets.residual import residual_encoder as residual_encoder
