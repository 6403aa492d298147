"""Models of Keras whose inputs leave sizes open (None), and what it computes for batches of two sizes each, in float64.

Needs: pip install tensorflow-cpu keras safetensors
From the repository:
    python tests/interop/keras_free_sizes.py             writes tests/fixtures/keras_free_sizes
"""

import os
import pathlib

os.environ.update(KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3")
import keras
import numpy as np
from keras import layers as L
from safetensors.numpy import save_file

FOLDER = pathlib.Path(__file__).parent.parent / "fixtures" / "keras_free_sizes"


def sequence():
    model = keras.Sequential([
        L.Input((None, 3)), L.Conv1D(6, 3, padding="same", activation="relu"), L.MaxPooling1D(2),
        L.Conv1D(4, 2, activation="tanh"), L.GlobalMaxPooling1D(), L.Dense(2),
    ])
    model.compile("adam", "mse", metrics=["mae"])
    return model, [[(7, 3)], [(12, 3)]]


def image():
    model = keras.Sequential([
        L.Input((None, None, 3)), L.Conv2D(4, 3, activation="relu"), L.MaxPooling2D(2),
        L.Conv2D(5, (2, 3), strides=(1, 2), padding="same"), L.BatchNormalization(), L.GlobalAveragePooling2D(),
        L.Dense(3, activation="softmax"),
    ])
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model, [[(8, 9, 3)], [(13, 6, 3)]]


def concatenated():
    a, b = L.Input((None, 3), name="a"), L.Input((None, 3), name="b")
    shared = L.Dense(4, activation="tanh", name="shared")
    time = L.Concatenate(axis=1)([shared(a), shared(b)])
    pooled = L.GlobalAveragePooling1D()(L.Conv1D(3, 2)(time))
    return keras.Model([a, b], L.Dense(2, name="y")(pooled)), [[(5, 3), (2, 3)], [(3, 3), (8, 3)]]


def summed():
    """Its output is free too."""
    a, b = L.Input((None, 3), name="a"), L.Input((None, 4), name="b")
    total = L.Add()([L.Conv1D(4, 3, padding="causal")(a), b])
    return keras.Model([a, b], L.Dense(2, name="y")(total * 0.5)), [[(5, 3), (5, 4)], [(9, 3), (9, 4)]]


def words():
    ids = L.Input((None,), dtype="int32", name="ids")
    bag = L.GlobalAveragePooling1D()(L.Embedding(11, 4, mask_zero=True)(ids))
    return keras.Model(ids, L.Dense(2, activation="softmax", name="y")(bag)), [[(6,)], [(3,)]]


def nested():
    """Free models inside: one that is called twice, one that knows its sizes and one that never had an Input."""
    inner = keras.Sequential([L.Input((None, 4)), L.Conv1D(4, 3, padding="same"), L.LayerNormalization()], name="inner")
    x = L.Input((None, 4), name="x")
    u = L.Input((None, 4), name="u")
    part = keras.Model(u, L.GlobalMaxPooling1D()(L.Dense(3, activation="gelu")(u)), name="part")
    late = keras.Sequential([L.Dense(5), L.TimeDistributed(L.Dense(4))], name="late")
    h = inner(inner(x))
    h = L.Cropping1D((1, 0))(late(h))
    return keras.Model(x, {"pooled": part(h), "steps": L.Softmax()(h)}), [[(4, 4)], [(7, 4)]]


def attention():
    q, k = L.Input((None, 3), name="q"), L.Input((None, 5), name="k")
    keys = L.Dense(3)(k)
    weights = L.Softmax()(L.Dot(axes=(2, 2))([q, keys]))
    return keras.Model([q, k], L.Dot(axes=(2, 1))([weights, k])), [[(4, 3), (6, 5)], [(2, 3), (1, 5)]]


def shapes():
    """Vectors of any length."""
    x = L.Input((None,), name="x")
    steps = L.Dense(3, activation="tanh")(L.Permute((2, 1))(L.RepeatVector(2)(x)))
    pairs = L.Dense(3)(L.Reshape((-1, 2))(x))
    both = L.Concatenate(axis=1)([steps, pairs])
    return keras.Model(x, L.Flatten()(both) / 2.0), [[(6,)], [(10,)]]


NORMAL = {"beta_initializer": "random_normal", "gamma_initializer": "random_normal"}


def sequences():
    """All other layers over sequences."""
    stack = [
        L.Normalization(mean=[0.1, 0.2, 0.3, 0.4], variance=[1.0, 2.0, 3.0, 4.0]), L.Rescaling(0.5, offset=0.25), L.Masking(0.0),
        L.ZeroPadding1D((1, 2)), L.SpatialDropout1D(0.2), L.Conv1DTranspose(4, 3, strides=2), L.Cropping1D((1, 0)), L.UpSampling1D(2),
        L.DepthwiseConv1D(3, padding="same"), L.PReLU(shared_axes=[1], alpha_initializer="random_normal"), L.SeparableConv1D(4, 2),
        L.AveragePooling1D(3, strides=2, padding="same"), L.BatchNormalization(**NORMAL), L.LayerNormalization(**NORMAL),
        L.GroupNormalization(2, **NORMAL), L.RMSNormalization(), L.UnitNormalization(), L.Reshape((-1, 2, 2)), L.Permute((1, 3, 2)),
        L.Reshape((-1, 4)), L.TimeDistributed(L.Dense(3, activation="elu")), L.LeakyReLU(0.25), L.ELU(), L.Dropout(0.3), L.Identity(),
        L.GaussianNoise(0.1), L.ActivityRegularization(l2=0.1), L.Activation("softsign"), L.GlobalAveragePooling1D(keepdims=True),
    ]
    return keras.Sequential([L.Input((None, 4)), *stack]), [[(6, 4)], [(11, 4)]]


def images():
    """All other layers over images, one axis known and then none."""
    stack = [
        L.ZeroPadding2D(((1, 0), (2, 1))), L.DepthwiseConv2D(3, depth_multiplier=2), L.SeparableConv2D(4, 3, padding="same"),
        L.Conv2DTranspose(3, 3, strides=2, padding="same"), L.UpSampling2D((1, 2)),
        L.Cropping2D(((1, 0), (0, 2))), L.AveragePooling2D(2, strides=1, padding="same"), L.SpatialDropout2D(0.3),
        L.Permute((2, 1, 3)), L.GroupNormalization(3), L.PReLU(shared_axes=[1, 2], alpha_initializer="random_normal"),
        L.GlobalMaxPooling2D(keepdims=True), L.Reshape((3,)),
    ]
    return keras.Sequential([L.Input((6, None, 2)), *stack]), [[(6, 5, 2)], [(6, 9, 2)]]


def make():
    keras.config.set_floatx("float64")
    draw = np.random.default_rng(4)
    for build in (sequence, image, concatenated, summed, words, nested, attention, shapes, sequences, images):
        keras.utils.set_random_seed(6)
        model, batches = build()
        folder = FOLDER / build.__name__
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {}
        for b, sizes in enumerate(batches):
            x = [draw.normal(0.0, 1.5, (3, *size)) for size in sizes]
            if build is words:
                x = [draw.integers(0, 11, (3, *size)).astype("float64") for size in sizes]
                # The last sample has one word alone.
                x[0][2, 1:] = 0.0
            # Not predict, whose compiled TimeDistributed cuts sequences of an open length.
            y = model(x if len(x) > 1 else x[0], training=False)
            y = [np.asarray(y[key]) for key in sorted(y)] if isinstance(y, dict) else [np.asarray(y)]
            for i, array in enumerate(x):
                arrays[f"{b}.input.{i}"] = np.ascontiguousarray(array)
            for i, array in enumerate(y):
                assert array.dtype == np.float64
                arrays[f"{b}.output.{i}"] = np.ascontiguousarray(array)
        model.save(folder / "model.keras")
        save_file(arrays, folder / "reference.safetensors", {"source": f"Keras {keras.__version__} on TensorFlow, float64"})
        print(build.__name__, model.output_shape)


make()
