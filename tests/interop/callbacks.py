"""What Keras's callbacks do on made-up figures; the answers are compared in src/callbacks/testing.rs.

Needs: pip install tensorflow-cpu keras
Run from the repository: python tests/interop/callbacks.py > tests/fixtures/callbacks/keras.json
"""

import json
import os
import random
import tempfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras


class Optimizer:
    def __init__(self):
        self.learning_rate = keras.Variable(1.0, dtype="float64")


class Model:
    """A model as far as callbacks look at it: its weights are the number of the epoch."""

    def __init__(self):
        self.stop_training = False
        self.optimizer = Optimizer()
        self.weights = 0
        self.saved = []
        self.epoch = 0

    def get_weights(self):
        return self.weights

    def set_weights(self, weights):
        self.weights = weights

    def save(self, path, **_):
        self.saved.append(self.epoch)


def play(callback, values):
    model = Model()
    callback.set_model(model)
    callback.on_train_begin()
    rates = []
    for epoch, value in enumerate(values):
        model.epoch = model.weights = epoch
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {"figure": value})
        rates.append(float(model.optimizer.learning_rate))
        if model.stop_training:
            break
    callback.on_train_end()
    return model, rates


def figures(draw, n):
    """Steps of an eighth, so that sums are exact and ties occur."""
    values = [draw.randrange(0, 17) / 8 for _ in range(n)]
    if draw.random() < 0.5:
        values.sort(reverse=draw.random() < 0.7)
        for _ in range(3):
            values[draw.randrange(n)] = draw.randrange(0, 17) / 8
    return values


def main():
    draw = random.Random(7)
    cases = []
    for _ in range(150):
        values = figures(draw, 14)
        how = {
            "mode": draw.choice(["min", "max"]),
            "min_delta": draw.choice([0, 0.125, -0.25, 0.5]),
            "patience": draw.randrange(0, 5),
            "baseline": draw.choice([None, None, 0.5, 1.0]),
            "start_from_epoch": draw.choice([0, 0, 3, 20]),
            "restore_best_weights": draw.random() < 0.5,
        }
        callback = keras.callbacks.EarlyStopping(monitor="figure", **how)
        model, rates = play(callback, values)
        # Keras holds infinity where there is nothing yet, and 0 where it did not stop.
        best = None if callback.best is None or callback.best in (float("inf"), -float("inf")) else float(callback.best)
        cases.append({"class": "EarlyStopping", "how": how, "values": values, "epochs": len(rates), "best": best,
                      "stopped": int(callback.stopped_epoch), "weights": model.weights})
    for _ in range(100):
        values = figures(draw, 16)
        how = {
            "mode": draw.choice(["min", "max"]),
            "factor": draw.choice([0.5, 0.25, 0]),
            "patience": draw.randrange(0, 4),
            "min_delta": draw.choice([0, 0.125, 0.5]),
            "cooldown": draw.randrange(0, 4),
            "min_lr": draw.choice([0, 0.25, 0.0625]),
        }
        callback = keras.callbacks.ReduceLROnPlateau(monitor="figure", **how)
        _, rates = play(callback, values)
        cases.append({"class": "ReduceLROnPlateau", "how": how, "values": values, "rates": rates})
    folder = tempfile.mkdtemp()
    for _ in range(60):
        values = figures(draw, 10)
        how = {
            "mode": draw.choice(["min", "max"]),
            "save_best_only": draw.random() < 0.8,
            "initial_value_threshold": draw.choice([None, 0.5, 1.25]),
        }
        callback = keras.callbacks.ModelCheckpoint(os.path.join(folder, "m.keras"), monitor="figure", **how)
        model, _ = play(callback, values)
        cases.append({"class": "ModelCheckpoint", "how": how, "values": values, "saved": model.saved})
    print(json.dumps({"keras": keras.__version__, "cases": cases}))


main()
