#!/usr/bin/env python3
"""Trains gradient-boosted trees on synthetic data and prints a digest of the predictions.

usage: train.py [ROUNDS [ROWS]]

Two threads, several thousand rounds, nothing that knows of checkpoints. The same arguments give the
same digest, to the last bit of every prediction, however often the training was moved.
"""
import hashlib
import sys

import numpy
import xgboost


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    random = numpy.random.default_rng(20)
    features = random.normal(size=(rows, 12)).astype(numpy.float32)
    target = (features[:, 0] * features[:, 1] + numpy.sin(3 * features[:, 2])
              + 0.1 * random.normal(size=rows)).astype(numpy.float32)
    data = xgboost.DMatrix(features, label=target)
    parameters = {"objective": "reg:squarederror", "max_depth": 6, "eta": 0.02,
                  "nthread": 2, "tree_method": "hist", "seed": 20}

    class Progress(xgboost.callback.TrainingCallback):
        def after_iteration(self, model, epoch, evals_log):
            if (epoch + 1) % max(1, rounds // 20) == 0:
                print(f"round {epoch + 1} of {rounds}", flush=True)
            return False

    model = xgboost.train(parameters, data, num_boost_round=rounds, callbacks=[Progress()])
    predictions = model.predict(data)
    print("digest", hashlib.sha256(predictions.tobytes()).hexdigest())


if __name__ == "__main__":
    main()
