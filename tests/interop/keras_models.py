"""Models that Keras saves, and the outputs it computes; tests/keras_files.rs loads them.

Needs: pip install tensorflow-cpu keras safetensors
From the repository:
    python tests/interop/keras_models.py                 writes tests/fixtures/keras_files
    cargo run --release --example export DIR
    python tests/interop/keras_models.py check DIR       compares a model of gradus, read with safetensors alone
"""

import json
import os
import pathlib
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
from keras import layers as L


def models():
    """Every layer that is read, with settings that are not the defaults."""
    keras.utils.set_random_seed(5)
    names = ["linear", "relu", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "mish", "sigmoid",
             "log_sigmoid", "tanh", "tanh_shrink", "hard_tanh", "hard_sigmoid", "hard_silu", "softplus", "softsign",
             "squareplus", "exponential", "softmax", "log_softmax"]
    normalization = L.Normalization(name="adapted")
    normalization.adapt(np.random.default_rng(1).normal(3.0, [1.0, 2.0, 0.5, 4.0], (50, 4)).astype("float32"))
    inner = keras.Sequential([L.Input((6,)), L.Dense(5, "tanh"), L.Dense(6, name="inner_last")], name="block")
    yield "dense", (4,), [
        L.Dense(7, activation="relu", name="first", kernel_regularizer="l2", kernel_constraint="max_norm",
                kernel_initializer=keras.initializers.RandomNormal(stddev=0.7)),
        L.Dropout(0.4), L.Dense(5, use_bias=False), L.Dense(5, activation="leaky_relu"),
        L.Dense(3, activation="softmax", bias_initializer="ones", name="head"),
    ]
    yield "activations", (6,), [L.Dense(6, activation=name, kernel_initializer="he_normal", bias_initializer="random_normal")
                                if name not in ("exponential", "softmax", "log_softmax") else L.Activation(name)
                                for name in names]
    yield "layers_of_activations", (3, 4), [
        L.PReLU(alpha_initializer=keras.initializers.RandomUniform(0.1, 0.9)), L.Dense(4),
        L.PReLU(shared_axes=[1], alpha_initializer="random_normal"), L.LeakyReLU(negative_slope=0.2), L.Dense(4),
        L.ELU(0.7), L.ReLU(), L.Dense(4), L.ReLU(max_value=6.0), L.Dense(4), L.ReLU(negative_slope=0.1), L.Softmax(),
    ]
    yield "shapes", (2, 6), [
        L.Reshape((3, 4)), L.Permute((2, 1)), L.Dense(5), L.Flatten(), L.Dense(4), L.RepeatVector(3), L.Reshape((-1, 2)),
        L.Identity(), L.Dense(2),
    ]
    yield "noise", (5,), [
        L.GaussianNoise(0.5), L.AlphaDropout(0.2), L.GaussianDropout(0.3), L.ActivityRegularization(l1=0.1, l2=0.2),
        L.UnitNormalization(), L.Dense(2),
    ]
    yield "preprocessing", (4,), [normalization, L.Rescaling(0.5, offset=0.25), L.Dense(3, activation="sigmoid")]
    yield "given_statistics", (2,), [L.Normalization(mean=[1.0, -2.0], variance=[4.0, 0.25]), L.Dense(1)]
    yield "nested", (6,), [L.Dense(6), inner, L.Dense(2), L.Dense(2)]
    yield "images", (9, 8, 3), [
        L.Conv2D(6, (3, 2), strides=(2, 1), padding="same", activation="relu", bias_initializer="random_normal"),
        L.BatchNormalization(momentum=0.9, epsilon=1e-4, gamma_initializer="random_normal", beta_initializer="random_normal",
                             moving_mean_initializer="random_normal", moving_variance_initializer="ones"),
        L.DepthwiseConv2D(3, depth_multiplier=2, padding="same", use_bias=False), L.GroupNormalization(4, epsilon=1e-5),
        L.SeparableConv2D(8, 3, padding="same", activation="tanh"), L.LayerNormalization(scale=False), L.SpatialDropout2D(0.2),
        L.Conv2D(8, 3, groups=2, dilation_rate=2, padding="same"), L.MaxPooling2D(2, strides=1, padding="same"),
        L.Conv2DTranspose(4, 3, strides=2, padding="same"), L.RMSNormalization(), L.UpSampling2D((1, 2), interpolation="bilinear"),
        L.ZeroPadding2D(((1, 2), (0, 3))), L.Cropping2D(((0, 1), (2, 1))), L.AveragePooling2D((3, 2)),
        L.BatchNormalization(center=False, scale=False), L.GlobalAveragePooling2D(keepdims=True), L.GlobalMaxPooling2D(),
        L.Dense(3, activation="softmax"),
    ]
    yield "sequences", (12, 4), [
        L.Conv1D(6, 3, padding="causal", dilation_rate=2, activation="gelu"), L.ZeroPadding1D(1), L.Cropping1D((1, 0)),
        L.Conv1DTranspose(5, 3, strides=2), L.UpSampling1D(2), L.DepthwiseConv1D(3), L.SeparableConv1D(6, 2), L.SpatialDropout1D(0.3),
        L.AveragePooling1D(2), L.MaxPooling1D(3), L.GlobalMaxPooling1D(), L.Dense(2),
    ]


def make(folder):
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(3)
    for name, shape, stack in models():
        model = keras.Sequential([L.Input(shape), *stack], name=name)
        x = draw.normal(0.0, 1.5, (5, *shape)).astype("float32")
        if name == "dense":
            # As users save them: trained, with an optimizer and its moments in the file.
            model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
            model.fit(x, np.eye(3, dtype="float32")[[0, 1, 2, 0, 1]], epochs=2, verbose=0)
        model.save(folder / f"{name}.keras")
        np.save(folder / f"{name}.x.npy", x)
        np.save(folder / f"{name}.y.npy", model.predict(x, verbose=0))
    unsupported = keras.Sequential([L.Input((4, 4, 4, 1)), L.Conv3D(2, 3), L.Flatten(), L.Dense(2)], name="unsupported")
    unsupported.save(folder / "unsupported.keras")
    arrays = {"a": draw.normal(size=(3, 4)), "b": np.asfortranarray(draw.normal(size=(2, 3, 2)).astype("float32")),
              "c": np.arange(5, dtype="int64")}
    np.savez(folder / "plain.npz", **arrays)
    np.savez_compressed(folder / "compressed.npz", **arrays)


def check(folder):
    """Rebuilds a stack of Dense layers from our file, which is opened with safetensors alone."""
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", framework="numpy") as file:
        about = json.loads(file.metadata()["gradus"])
        weights = {name: file.get_tensor(name) for name in file.keys()}
    model = keras.Sequential([L.Input(about["input"])])
    used = {}
    for layer in about["layers"]:
        config = layer["config"]
        assert layer["class"] == "Dense", layer
        activation = config["activation"]
        model.add(L.Dense(config["units"], activation=activation if isinstance(activation, str) else "linear"))
        n = used.setdefault("dense", 0)
        used["dense"] += 1
        name = layer.get("name") or ("dense" if n == 0 else f"dense_{n}")
        model.layers[-1].set_weights([weights[f"{name}/kernel"], weights[f"{name}/bias"]])
    x, y = np.load(folder / "x.npy"), np.load(folder / "y.npy")
    error = np.abs(model.predict(x, verbose=0) - y).max()
    print(f"{len(weights)} arrays, {len(about['layers'])} layers, {len(x)} samples: largest difference {error:.2e}")
    assert error < 1e-5


if len(sys.argv) == 3 and sys.argv[1] == "check":
    check(pathlib.Path(sys.argv[2]))
else:
    make(pathlib.Path(__file__).parent.parent / "fixtures" / "keras_files")
