# SPDX-License-Identifier: Apache-2.0
"""Bayesian tuning beside Optuna's TPE: the best of as many trials, on functions whose minimum is known and on a real search.

Seven functions of two to six dimensions, and XGBoost on a data set of scikit-learn; what is compared is the median over
some seeds. The points come from internal/tune by way of the program in tuner/.
"""

import importlib.metadata
import json
import math
import statistics
import subprocess

import numpy
import optuna
import pytest
import xgboost
from sklearn import datasets, metrics, model_selection

from lab import ROOT

LIBRARY = f"Optuna {importlib.metadata.version('optuna')} TPE"
SEEDS, TRIALS = 5, 50


def number(name, low, high, scale="Linear"):
    return {"Name": name, "Kind": 0, "Min": low, "Max": high, "Scale": scale}


def integer(name, low, high):
    return {"Name": name, "Kind": 1, "Min": low, "Max": high, "Scale": "Linear"}


def category(name, *values):
    return {"Name": name, "Kind": 2, "Values": list(values)}


def box(dimensions, low, high):
    return [number(f"x{i}", low, high) for i in range(dimensions)]


def vector(p):
    return numpy.array([p[f"x{i}"] for i in range(len(p))])


def branin(p):
    x, y = vector(p)
    return (y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6)**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


HARTMANN = {
    3: (numpy.array([[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]]),
        numpy.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]) * 1e-4),
    6: (numpy.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]),
        numpy.array([[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991],
                     [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]]) * 1e-4),
}


def hartmann(p):
    a, c = HARTMANN[len(p)]
    return -float(numpy.array([1, 1.2, 3, 3.2]) @ numpy.exp(-(a * (vector(p) - c)**2).sum(1)))


def rosenbrock(p):
    x = vector(p)
    return float((100 * (x[1:] - x[:-1]**2)**2 + (1 - x[:-1])**2).sum())


def ackley(p):
    x = vector(p)
    return float(-20 * math.exp(-0.2 * math.sqrt((x * x).mean())) - math.exp(numpy.cos(2 * math.pi * x).mean()) + 20 + math.e)


def mixed(p):
    """A learning rate over six orders of magnitude, an integer, and four kinds each with an optimum of its own."""
    level, rate, units = {"a": (0, -2.5, 12), "b": (0.5, -2, 5), "c": (1.5, -1, 9), "d": (0.2, -4, 17)}[p["kind"]]
    return level + (math.log10(p["rate"]) - rate)**2 + 0.02 * (p["units"] - units)**2 + 2 * (p["momentum"] - 0.9)**2


FUNCTIONS = {
    "Branin": (branin, [number("x0", -5, 10), number("x1", 0, 15)]),
    "Hartmann 3-D": (hartmann, box(3, 0, 1)),
    "Hartmann 6-D": (hartmann, box(6, 0, 1)),
    "Rosenbrock 2-D": (rosenbrock, box(2, -5, 10)),
    "Rosenbrock 4-D": (rosenbrock, box(4, -5, 10)),
    "Ackley 5-D": (ackley, box(5, -32.768, 32.768)),
    "rate, units, kind, momentum": (mixed, [number("rate", 1e-6, 1, "Logarithmic"), integer("units", 1, 20), category("kind", *"abcd"), number("momentum", 0, 1)]),
}


@pytest.fixture(scope="module")
def tuner(tmp_path_factory):
    at = tmp_path_factory.mktemp("tuner") / "tuner"
    subprocess.run(["go", "build", "-o", at, "./test/quality/tuner"], cwd=ROOT, check=True)
    return at


def ours(tuner, f, space, seed, trials):
    """The best value that internal/tune finds."""
    read = {s["Name"]: {0: float, 1: int, 2: str}[s["Kind"]] for s in space}
    best = math.inf
    with subprocess.Popen([tuner], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        process.stdin.write(json.dumps({"Search": {"Strategy": "Bayesian", "Spaces": [space], "Seed": seed}}) + "\n")
        for _ in range(trials):
            point = json.loads(process.stdout.readline())
            value = f({k: read[k](v) for k, v in point.items()})
            best = min(best, value)
            process.stdin.write(json.dumps({"Value": value}) + "\n")
        process.stdin.close()
    return best


def theirs(f, space, seed, trials):
    """The best value that Optuna finds."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial):
        point = {}
        for s in space:
            name = s["Name"]
            if s["Kind"] == 0:
                point[name] = trial.suggest_float(name, s["Min"], s["Max"], log=s["Scale"] == "Logarithmic")
            elif s["Kind"] == 1:
                point[name] = trial.suggest_int(name, s["Min"], s["Max"])
            else:
                point[name] = trial.suggest_categorical(name, s["Values"])
        return f(point)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(objective, n_trials=trials)
    return study.best_value


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(tuner, record, name):
    f, space = FUNCTIONS[name]
    us = statistics.median(ours(tuner, f, space, seed, TRIALS) for seed in range(SEEDS))
    them = statistics.median(theirs(f, space, seed, TRIALS) for seed in range(SEEDS))
    record("tuning", f"{name}, {TRIALS} trials", f"best value, median of {SEEDS} seeds", LIBRARY, them, us, 0, "nothing")


REAL = {"breast cancer": (datasets.load_breast_cancer, "binary:logistic", metrics.log_loss),
        "diabetes": (datasets.load_diabetes, "reg:squarederror", metrics.root_mean_squared_error)}


@pytest.mark.parametrize("name", REAL)
def test_xgboost(tuner, record, name):
    """Five hyperparameters of XGBoost, by the error on what was held out, over two ways to hold out."""
    load, learn, measure = REAL[name]
    rows, labels = load(return_X_y=True)
    splits = []
    for i in range(2):
        x, held, y, wanted = model_selection.train_test_split(rows, labels, test_size=0.3, random_state=i)
        splits.append((xgboost.DMatrix(x, y), xgboost.DMatrix(held), wanted))

    def error(p):
        hyper = {"objective": learn, "nthread": 1, "seed": 1, **p}
        return statistics.mean(measure(wanted, xgboost.train(hyper, train, 20).predict(test)) for train, test, wanted in splits)
    space = [number("eta", 0.01, 1, "Logarithmic"), integer("max_depth", 1, 9), number("lambda", 0.01, 100, "Logarithmic"), number("subsample", 0.4, 1),
             number("min_child_weight", 1, 60, "Logarithmic")]
    seeds, trials = 3, 30
    us = statistics.median(ours(tuner, error, space, seed, trials) for seed in range(seeds))
    them = statistics.median(theirs(error, space, seed, trials) for seed in range(seeds))
    record("tuning", f"XGBoost on {name}, {trials} trials", f"{measure.__name__}, median of {seeds} seeds", LIBRARY, them, us, 0.005, "the noise of a few seeds", relative=True)
