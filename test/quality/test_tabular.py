# SPDX-License-Identifier: Apache-2.0
"""The programs of JumpStart's tabular models, as the catalogue delivers them: LightGBM held against itself, and the rules of the data."""

import importlib
import io
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request

import joblib
import lightgbm
import numpy
import pandas
import pytest
from sklearn import datasets, metrics, model_selection

from lab import BINARY, ROOT, csv

BUCKET = "jumpstart-cache-prod-us-east-1"


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """programs(library, task): the folders with the training and the serving program, from a running server."""
    home = tmp_path_factory.mktemp("catalogue") / "home"
    server = subprocess.Popen([BINARY, "serve", "--home", home, "--listen", "127.0.0.1:0"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    told, end = home / "server.json", time.monotonic() + 30
    while not told.exists():
        assert server.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    url = json.loads(told.read_text())["url"]

    def get(library, task):
        folders = []
        for part in "transfer_learning", "inference":
            folder = home.parent / f"{library}-{task}-{part}"
            if not folder.exists():
                with urllib.request.urlopen(f"{url}/{BUCKET}/source-directory-tarballs/{library}/{part}/{task}/v1.0.0/sourcedir.tar.gz", timeout=30) as r:
                    tarfile.open(fileobj=io.BytesIO(r.read())).extractall(folder, filter="data")
            folders.append(folder)
        return folders

    yield get
    server.terminate()
    assert server.wait(30) == 0


class Job:
    """What a container has: channels are {name: {path: bytes}}. The programs run in this process, as importing LightGBM takes long."""

    def __init__(self, programs, monkeypatch, capsys, folder):
        self.programs, self.patch, self.capsys, self.root = programs, monkeypatch, capsys, folder
        for path in "internal/toolkit/python/shims", "internal/toolkit/python":
            monkeypatch.syspath_prepend(ROOT / path)

    def give(self, library, task, channels, hyper=(), hosts=("algo-1",)):
        self.training, self.serving = self.programs(library, task)
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.root))
        self.model, self.output = folder / "model", folder / "output"
        values = {"SM_CHANNELS": json.dumps(sorted(channels)), "SM_HPS": json.dumps({"num_threads": 1, **dict(hyper)}), "SM_HOSTS": json.dumps(hosts),
                  "SM_MODEL_DIR": str(self.model), "SM_OUTPUT_DIR": str(self.output)}
        for d in self.model, self.output:
            d.mkdir()
        for name, files in channels.items():
            values[f"SM_CHANNEL_{name.upper()}"] = str(folder / name)
            (folder / name).mkdir()
            for path, content in files.items():
                (folder / name / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / name / path).write_bytes(content)
        for name, value in values.items():
            self.patch.setenv(name, value)
        return self

    def load(self, folder, name):
        for module in "hosts", "tabular", "transfer_learning", "inference":
            sys.modules.pop(module, None)
        with self.patch.context() as here:
            here.syspath_prepend(folder)
            return importlib.import_module(name)

    def train(self):
        """The log, or the failure reason."""
        program, failure = self.load(self.training, "transfer_learning"), self.output / "failure"
        self.capsys.readouterr()
        try:
            program.tabular.run(program.main)
        except SystemExit as e:
            assert e.code == 1 and failure.exists()
        return failure.read_text() if failure.exists() else self.capsys.readouterr().out

    def ask(self, *requests):
        """The answers to (body, content type, accept), or the statuses of those that are refused."""
        program, answers = self.load(self.serving, "inference"), []
        model = program.model_fn(self.model)
        for request in requests:
            try:
                body, kind = program.transform_fn(model, *request)
                assert kind == "application/json"
                answers.append(json.loads(body))
            except Exception as e:
                answers.append(e.status_code)
        return answers


@pytest.fixture
def job(programs, monkeypatch, capsys, tmp_path):
    return Job(programs, monkeypatch, capsys, tmp_path)


def named(x):
    return pandas.DataFrame(x, columns=[f"feature_{i}" for i in range(x.shape[1])])


# The defaults of the documentation, in LightGBM's own words.
DEFAULTS = {"learning_rate": 0.1, "num_leaves": 64, "feature_fraction": 0.9, "bagging_fraction": 0.9, "bagging_freq": 1, "max_depth": 6,
            "min_data_in_leaf": 3, "max_bin": 255, "seed": 0, "deterministic": True, "verbosity": -1, "num_threads": 1}


def test_two_classes_as_the_library_called_directly(job, record):
    x, y = datasets.load_breast_cancer(return_X_y=True)
    tx, vx, ty, vy = model_selection.train_test_split(x, y, test_size=0.3, random_state=7, stratify=y)
    body = {"a/part-0.csv": csv(ty[:200], tx[:200]), "a/part-1.csv": csv(ty[200:], tx[200:])}
    log = job.give("lightgbm", "classification", {"training": body, "validation": {"data.csv": csv(vy, vx)}}, {"num_boost_round": "60"}).train()

    rounded = [numpy.array([[float(f"{v:.9g}") for v in row] for row in t]) for t in (tx, vx)]
    data = lightgbm.Dataset(named(rounded[0]), ty, params=DEFAULTS)
    theirs = lightgbm.train({**DEFAULTS, "objective": "binary", "metric": "binary_logloss"}, data, 60,
                            valid_sets=[data.create_valid(named(rounded[1]), vy)], callbacks=[lightgbm.early_stopping(10, verbose=False)])
    expected = theirs.predict(named(rounded[1]))
    answer, verbose, *statuses = job.ask((csv(vx).decode(), "text/csv", "application/json"), (csv(vx[:2]).decode(), "text/csv", "application/json;verbose"),
                                         (csv(vy, vx).decode(), "text/csv", ""), ("[1]", "application/json", ""), (csv(vx).decode(), "text/csv", "text/csv"), ("", "text/csv", ""))
    ours = numpy.array(answer["probabilities"])
    assert numpy.array_equal(ours[:, 1], expected) and numpy.allclose(ours.sum(axis=1), 1)
    assert verbose["labels"] == [0, 1] and verbose["predicted_label"] == [int(p > 0.5) for p in expected[:2]]
    assert statuses == [400, 415, 406, 400]
    record("lightgbm", "breast cancer, 30 % held out", "log loss", "LightGBM", metrics.log_loss(vy, expected), metrics.log_loss(vy, ours), 0, "the same library")

    best = theirs.best_score["valid_0"]["binary_logloss"]
    assert f"valid_0's binary_logloss: {best:.8f}" in log.splitlines()[-1], "the last value is that of the model"
    # The artifact, as AWS's documentation reads it.
    assert numpy.array_equal(joblib.load(job.model / "model.pkl").predict(named(rounded[1])), expected)


def test_regression_on_folders_with_words(job):
    rng = numpy.random.default_rng(3)
    colors, x = rng.choice(["red", "green", "blue, dark"], 400), rng.normal(size=400)
    y = x + 3 * (colors == "red")
    text = "".join(f'{a},{b},"{c}"\n' for a, b, c in zip(y, x, colors)).encode()
    files = {"train/data.csv": text, "validation/data.csv": text, "categorical_index.json": b'{"cat_index_list": [2]}'}
    log = job.give("lightgbm", "regression", {"train": files}, {"metric": "l1", "num_boost_round": 80, "_tuning_objective_metric": "l1"}).train()
    assert "400 rows to train on, 400 to validate with" in log and "valid_0's l1: " in log
    red, green, unseen = job.ask(("0,red\n1,red", "text/csv", ""), ("0,green", "text/csv", "*/*"), ("0,pink\n", "text/csv", "application/json"))
    assert numpy.allclose(red["prediction"], [3, 4], atol=0.5) and numpy.allclose(green["prediction"], [0], atol=0.5)
    assert len(unseen["prediction"]) == 1
    # More than two classes, words as labels, the fifth of the rows.
    text = "".join(f"{c.split(',')[0]},{b}\n" for c, b in zip(colors, y)).encode()
    log = job.give("lightgbm", "classification", {"training": {"data.csv": text}}, {"num_boost_round": 20}).train()
    assert "80 of 400 rows, chosen at random" in log
    answer, = job.ask(("3.5", "text/csv", "application/json;verbose"))
    assert answer["labels"] == ["blue", "green", "red"] and answer["predicted_label"] == ["red"] and len(answer["probabilities"][0]) == 3


def run_hosts(job, task, parts, hyper, distribution):
    """Trains on a host for each of parts, {channel: files}: (log, files of the model) of each, or the failure reasons."""
    block = f"127.{random.randint(1, 250)}.{random.randint(1, 250)}"
    names, running = [f"{block}.{i + 1}" for i in range(len(parts))], []
    for name, part in zip(names, parts):
        job.give("lightgbm", task, part, {"use_dask": "True", **hyper}, names)
        channels = {c: {"S3DistributionType": distribution} for c in part}
        env = {**os.environ, "SM_CURRENT_HOST": name, "SM_INPUT_DATA_CONFIG": json.dumps(channels)}
        running.append((job.model, job.output / "failure", subprocess.Popen([sys.executable, job.training / "transfer_learning.py"], env=env, text=True,
                                                                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)))
    ended = []
    for model, failure, process in running:
        log, _ = process.communicate(timeout=120)
        assert (process.returncode == 0) != failure.exists(), log
        ended.append(failure.read_text() if failure.exists() else (log, sorted(p.name for p in model.iterdir())))
    job.model = running[0][0]
    return ended


def test_hosts_divide_what_all_have(job):
    x, y = datasets.load_breast_cancer(return_X_y=True)
    part = {"train": {"a.csv": csv(y[::2], x[::2])}, "validation": {"a.csv": csv(y[1::2], x[1::2])}}
    first, second = run_hosts(job, "classification", [part, part], {"num_boost_round": 40}, "FullyReplicated")
    assert first[1] == ["class_label.json", "model.pkl"] and second[1] == [], (first, second)
    assert "[1]\tvalid_0's binary_logloss: " in first[0] and "[1]\t" not in second[0]
    assert [int(re.search(r"(\d+) rows to train on, 284 to validate with", log)[1]) for log, _ in (first, second)] == [143, 142]
    answer, = job.ask((csv(x[1::2]).decode(), "text/csv", ""))
    loss = metrics.log_loss(y[1::2], numpy.array(answer["probabilities"]))
    assert f"valid_0's binary_logloss: {loss:.6f}" in first[0], "the first host tells of the model that it saves"
    alone = re.search(r"Best of .*: ([0-9.]+)", job.give("lightgbm", "classification", part, {"num_boost_round": 40}).train())
    assert abs(loss - float(alone[1])) < 0.05


def test_hosts_have_parts_of_their_own(job):
    """One host alone has the file of categories, another alone a class and a word."""
    first = "".join(f"{'ab'[i % 2]},{i % 7},{('red', 'green')[i % 2]}\n" for i in range(200)).encode()
    second = "".join(f"{'bc'[i % 2]},{i % 7},{('green', 'blue')[i % 2]}\n" for i in range(150)).encode()
    parts = [{"train": {"x.csv": first, "categorical_index.json": b'{"cat_index_list": [2]}'}}, {"train": {"y.csv": second}}]
    ended = run_hosts(job, "classification", parts, {"tree_learner": "voting", "num_boost_round": 30}, "ShardedByS3Key")
    assert "160 rows to train on, 70 to validate with" in ended[0][0] and "120 rows to train on, 70 to validate with" in ended[1][0]
    answer, = job.ask(("1,red\n2,green\n3,blue", "text/csv", "application/json;verbose"))
    assert answer["labels"] == ["a", "b", "c"] and answer["predicted_label"] == ["a", "b", "c"]


def test_several_hosts_are_asked_for(job):
    part = {"training": {"data.csv": b"0,1\n1,2\n0,2\n1,1\n"}}
    assert "needs the hyperparameter use_dask" in job.give("lightgbm", "classification", part, hosts=["algo-1", "algo-2"]).train()
    assert "Best of" in job.give("lightgbm", "classification", part, {"use_dask": "True"}).train()
    assert "use data or voting" in job.give("lightgbm", "classification", part, {"use_dask": "True", "tree_learner": "feature"}).train()


ROWS = b"0,1,2\n1,2,3\n0,3,4\n"


@pytest.mark.parametrize("task, channels, hyper, reason", [
    ("regression", {}, {}, "No training data: a channel train or training is needed"),
    ("regression", {"train": {}}, {}, "Channel train holds no rows"),
    ("regression", {"train": {"a.csv": b""}}, {}, "Channel train holds no rows"),
    ("regression", {"train": {"a.csv": b"\n\n"}}, {}, "channel train, file a.csv, there are no rows"),
    ("regression", {"train": {"a.csv": b"1\n2\n"}}, {}, "channel train, file a.csv, a row has 1 column"),
    ("regression", {"train": {"a.csv": b"y,x\n1,2\n"}}, {}, "line 1: column 0 is 'y', and a number is expected (is it a header"),
    ("regression", {"train": {"a.csv": b"1,2\n1,x\n"}}, {}, "file a.csv, line 2: column 1 is 'x', and a number is expected"),
    ("regression", {"train": {"a.csv": b"1,2\n\n,3\n"}}, {}, "line 3: the label is nan"),
    ("regression", {"train": {"a.csv": b"1,2\ninf,3\n"}}, {}, "line 2: the label is inf"),
    ("regression", {"train": {"a.csv": b"1,2\n1,2,3\n"}}, {}, "line 2: 3 columns, and 2 are expected"),
    ("regression", {"train": {"a.csv": b"1,2,3\n1,2\n"}}, {}, "line 2: 2 columns, and 3 are expected"),
    ("regression", {"train": {"a.csv": b"1,2\n", "b.csv": b"1,2,3\n"}}, {}, "file b.csv, line 1: 3 columns, and 2 are expected"),
    ("regression", {"train": {"a.csv": b"1,\xff\n"}}, {}, "channel train, file a.csv"),
    ("regression", {"train": {"train/a.csv": ROWS, "validation/a.csv": b"1,2\n"}}, {}, "Channel train/validation has 1 features, and channel train/train has 2"),
    ("regression", {"train": {"a.csv": ROWS, "categorical_index.json": b'{"cat_index_list": [0]}'}}, {}, "categorical_index.json must be"),
    ("regression", {"train": {"a.csv": ROWS, "categorical_index.json": b"[1]"}}, {}, "categorical_index.json must be"),
    ("regression", {"train": {"a.csv": ROWS, "categorical_index.json": b'{"cat_index_list": [3]}'}}, {}, "names column 3, and in channel train, file a.csv, columns are 0 to 2"),
    ("classification", {"train": {"a.csv": b"1,2\n1,3\n"}}, {}, "All labels are 1: at least two classes"),
    ("classification", {"train": {"a.csv": b"1,2\n,3\n"}}, {}, "line 2: the label is nan, and a class is expected"),
    ("regression", {"train": {"a.csv": ROWS}}, {"num_leaves": 1}, "Hyperparameter num_leaves: 1 is not in (1, 131072)"),
    ("regression", {"train": {"a.csv": ROWS}}, {"num_leaves": "9.5", "learning_rate": "nan", "boosting": "x"}, "num_leaves: 9.5 is not in"),
    ("regression", {"train": {"a.csv": ROWS}}, {"depth": 3}, "Extraneous hyperparameter found: depth"),
])
def test_what_is_wrong_is_told(job, task, channels, hyper, reason):
    told = job.give("lightgbm", task, channels, hyper).train()
    assert told.startswith("ClientError: ") and reason in told


def test_one_row_of_many_columns(job):
    wide = ",".join(["1"] * 2_001).encode() + b"\n"
    log = job.give("lightgbm", "regression", {"train": {"a.csv": wide}}, {"num_boost_round": 2}).train()
    assert "1 rows to train on, 1 to validate with, 2000 features" in log and "valid_0's rmse: 0.0" in log


@pytest.mark.parametrize("hyper", [{"boosting": b} for b in ("rf", "dart", "goss")] + [{"is_unbalance": "true"}, {"scale_pos_weight": 2, "verbosity": -1},
                                   {"metric": "auc", "tree_learner": "voting", "early_stopping_rounds": 0}])
def test_hyperparameters_that_need_care(job, hyper):
    x, y = datasets.load_breast_cancer(return_X_y=True)
    log = job.give("lightgbm", "classification", {"train": {"a.csv": csv(y, x)}}, {"num_boost_round": 5, **hyper}).train()
    assert re.search(r"^Best of \d rounds:\tvalid_0's \w+: [0-9.]+$", log, re.M), log
