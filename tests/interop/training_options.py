"""Writes tests/fixtures/options/*.json: what Keras makes of the training options, in float64.

    KERAS_BACKEND=tensorflow python tests/interop/training_options.py

Written with Keras 3.15.1 on TensorFlow 2.21. All numbers are deterministic; initial weights and data are sines.
Keras rounds the factors of penalties, and momenta, to single precision, so those here are sums of few powers of two.
"""

import json
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import constraints, layers, losses, optimizers, regularizers

keras.config.set_floatx("float64")

OUT = Path(__file__).parent.parent / "fixtures" / "options"


def wave(shape, phase, scale=1.0):
    return scale * np.sin(np.arange(int(np.prod(shape)), dtype="float64") * 0.73 + phase).reshape(shape)


def orthogonal(factor, mode):
    """Keras keeps the factor in single precision, which float64 refuses."""
    regularizer = regularizers.OrthogonalRegularizer(factor, mode)
    regularizer.factor = factor
    return regularizer


class AtUpdates(constraints.Constraint):
    """Keras applies constraints after every batch, ours after every update: each time costs 1e-7 through epsilon."""

    def __init__(self, optimizer, inner):
        self.optimizer, self.inner = optimizer, inner

    def __call__(self, w):
        due = (self.optimizer._iterations + 1) % self.optimizer.gradient_accumulation_steps == 0
        return keras.ops.cond(due, lambda: self.inner(w), lambda: keras.ops.convert_to_tensor(w))


def run(name, model, optimizer, loss, classes, steps, rows):
    """Trains on one batch after the other; keeps what a reader needs to repeat it."""
    initial = [wave(w.shape, 0.4 + i, 0.8) for i, w in enumerate(model.weights)]
    model.set_weights(initial)
    model.compile(optimizer, loss)
    x = wave((steps * rows, 4), 0.1)
    if classes:
        y = np.eye(classes)[(np.arange(len(x)) * 5 // 3) % classes]
    else:
        y = wave((len(x), model.output_shape[-1]), 2.0)
    values = []
    for i in range(steps):
        part = slice(i * rows, (i + 1) * rows)
        model.reset_metrics()
        values.append(float(model.train_on_batch(x[part], y[part])))
    model.reset_metrics()
    case = {
        "rows": rows,
        "x": x.tolist(),
        "y": y.tolist(),
        "initial": [w.ravel().tolist() for w in initial],
        "losses": values,
        "final": [w.ravel().tolist() for w in model.get_weights()],
        "evaluate": float(model.evaluate(x, y, batch_size=4, verbose=0)),
    }
    (OUT / f"{name}.json").write_text(json.dumps(case) + "\n")


def bounded():
    """Penalties and bounds on weights, three batches an update, momentum."""
    optimizer = optimizers.SGD(0.1, momentum=0.875, gradient_accumulation_steps=3)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(
                5,
                "tanh",
                kernel_regularizer=regularizers.L1L2(0.015625, 0.03125),
                bias_regularizer=regularizers.L1(0.015625),
                kernel_constraint=AtUpdates(optimizer, constraints.MaxNorm(1.1)),
                bias_constraint=AtUpdates(optimizer, constraints.NonNeg()),
            ),
            layers.PReLU(alpha_regularizer=regularizers.L2(0.0625), alpha_constraint=AtUpdates(optimizer, constraints.MinMaxNorm(0.2, 0.9))),
            layers.Dense(
                3,
                "softmax",
                kernel_regularizer=orthogonal(0.1, "columns"),
                kernel_constraint=AtUpdates(optimizer, constraints.UnitNorm(axis=1)),
            ),
        ]
    )
    run("bounded", model, optimizer, losses.CategoricalCrossentropy(), 3, 15, 5)


def partly_bounded():
    """A bound that is gone towards step by step, orthogonal rows, Adam with clipping."""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(
                3,
                kernel_regularizer=orthogonal(0.2, "rows"),
                kernel_constraint=constraints.MinMaxNorm(0.1, 0.6, rate=0.3),
            ),
            layers.Dense(2),
        ]
    )
    run("partly_bounded", model, optimizers.Adam(0.02, global_clipnorm=0.5), losses.MeanSquaredError(), 0, 12, 3)


def activity():
    """Penalties on outputs: inside, at the end (where softmax would meet the loss), and as a layer."""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, "sigmoid", activity_regularizer=regularizers.L2(0.125)),
            layers.ActivityRegularization(l1=0.0625, l2=0.015625),
            layers.Dense(3, "softmax", activity_regularizer=regularizers.L1L2(0.03125, 0.25)),
        ]
    )
    run("activity", model, optimizers.SGD(0.3), losses.CategoricalCrossentropy(), 3, 8, 6)


def frozen():
    """A frozen layer in the middle: its penalty does not count; momentum, decay, averaging."""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, "tanh"),
            layers.Dense(4, "tanh", kernel_regularizer=regularizers.L2(0.5), kernel_constraint=constraints.NonNeg()),
            layers.Dense(2, kernel_regularizer=regularizers.L2(0.015625)),
        ]
    )
    model.layers[1].trainable = False
    optimizer = optimizers.SGD(
        0.05,
        momentum=0.5,
        weight_decay=0.1,
        use_ema=True,
        ema_momentum=0.8,
        ema_overwrite_frequency=2,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    run("frozen", model, optimizer, losses.MeanSquaredError(), 0, 10, 4)


OUT.mkdir(parents=True, exist_ok=True)
for case in (bounded, partly_bounded, activity, frozen):
    case()
