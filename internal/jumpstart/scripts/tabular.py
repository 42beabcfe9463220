# SPDX-License-Identifier: Apache-2.0
"""What the programs of tabular models have in common: hyperparameters, data, requests and answers.

Source of the rules: the pages of LightGBM and CatBoost in the SageMaker developer guide.
"""

import io
import json
import os
import sys

import numpy
import pandas

HERE = os.path.dirname(os.path.abspath(__file__))
CATEGORICAL = "categorical_index.json"
LABELS = "class_label.json"
CSV = "text/csv"
JSON, VERBOSE = "application/json", "application/json;verbose"

# What is read as a missing value.
MISSING = ["", "nan", "NaN", "NA", "N/A", "n/a", "null", "NULL", "None"]


class ClientError(Exception):
    """A mistake in what a job or a request was given."""


def about():
    """model.json: which model this is, and its hyperparameters."""
    with open(os.path.join(HERE, "model.json"), encoding="utf-8") as f:
        return json.load(f)


def run(train):
    """Runs a training program; what the caller did wrong becomes the failure reason of the job."""
    try:
        train()
    except ClientError as e:
        path = os.path.join(os.environ.get("SM_OUTPUT_DIR", "/opt/ml/output"), "failure")
        with open(path, "w", encoding="utf-8") as f:
            f.write(f"ClientError: {e}")
        print(f"ClientError: {e}", file=sys.stderr)
        sys.exit(1)


# Hyperparameters


def hyperparameters():
    """{name: value} of all hyperparameters, checked, with defaults for those that were not given."""
    given = json.loads(os.environ.get("SM_HPS", "{}"))
    values, problems = {}, []
    for p in about()["hyperparameters"]:
        value = given.pop(p["name"], p["default"])
        try:
            values[p["name"]] = _value(p, str(value).strip())
        except ValueError:
            problems.append(f"Hyperparameter {p['name']}: {value} is not in {p['range']}")
    # Tuning jobs tell their jobs what they look for; estimators say what they run.
    problems += [f"Extraneous hyperparameter found: {name}" for name in sorted(given) if not name.startswith(("_tuning_", "sagemaker_"))]
    if problems:
        raise ClientError("; ".join(problems))
    return values


def _value(p, text):
    if p.get("auto") and text.lower() == "auto":
        return "auto"
    if p["kind"] == "text":
        return text
    if p["kind"] == "choice":
        if text.lower() in ("true", "false"):  # JSON has its own spelling
            text = text.capitalize()
        if text not in p["values"]:
            raise ValueError
        return text
    number = float(text)
    if p["kind"] == "int":
        if not number.is_integer():  # also of infinity; of nan it is False too
            raise ValueError
        number = int(number)
    low, high = p.get("min"), p.get("max")
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError
    if low is not None and (number < low or p.get("open_min") and number == low):
        raise ValueError
    if high is not None and (number > high or p.get("open_max") and number == high):
        raise ValueError
    return number


# Training data


class Table:
    """Rows of one part of the data: labels as text or numbers, features as columns feature_0, feature_1, ..."""

    def __init__(self, labels, features, categorical):
        self.labels, self.features, self.categorical = labels, features, categorical

    @classmethod
    def of(cls, labels, features, like):
        """A Table of lists, whose columns are what those of like are."""
        words = {f"feature_{i}" for i in like.categorical}
        frame = pandas.DataFrame({n: pandas.Series(v, dtype="object" if n in words else "float64") for n, v in features.items()})
        return cls(pandas.Series(labels, dtype=like.labels.dtype), frame, like.categorical)

    def __len__(self):
        return len(self.features)

    def pick(self, at):
        return Table(self.labels.iloc[at].reset_index(drop=True), self.features.iloc[at].reset_index(drop=True), self.categorical)


def alone(value):
    """What all hosts say of what this one says, where it is the only one."""
    return [value]


def channels(share=alone):
    """(training, validation): what the channels hold, by these rules:

    the channel train or training; with folders train (or training) and validation in it these are the two parts; else
    the channel validation is the second; else a random fifth of the rows is.
    """
    folders = {name: os.environ[f"SM_CHANNEL_{name.upper()}"] for name in json.loads(os.environ.get("SM_CHANNELS", "[]"))}
    name = next((n for n in ("training", "train") if n in folders), None)
    if name is None:
        raise ClientError(f"No training data: a channel train or training is needed, and the job has {sorted(folders) or 'none'}")
    root = folders[name]
    inner = next((d for d in ("train", "training") if os.path.isdir(os.path.join(root, d))), None)
    train = (f"{name}/{inner}", os.path.join(root, inner)) if inner else (name, root)
    validation = None
    if inner and os.path.isdir(os.path.join(root, "validation")):
        validation = (f"{name}/validation", os.path.join(root, "validation"))
    elif "validation" in folders:
        validation = ("validation", folders["validation"])
    # Where hosts have divided the files only one has that with the categories.
    categorical = sorted({i for part in share(_categorical([train[1], root])) for i in part})
    text = about()["task"] == "classification"
    rows = read(*train, categorical, text)
    if validation:
        held = read(*validation, categorical, text)
        if held.features.shape[1] != rows.features.shape[1]:
            raise ClientError(f"Channel {validation[0]} has {held.features.shape[1]} features, and channel {train[0]} has {rows.features.shape[1]}")
        return rows, held
    return split(rows)


def split(rows, share=0.2, seed=0):
    """Rows, less a random share of them, and that share. A single row is both."""
    count = len(rows)
    if count < 2:
        return rows, rows
    at = numpy.random.RandomState(seed).permutation(count)
    held = max(1, int(round(share * count)))
    print(f"No validation data: {held} of {count} rows, chosen at random, are it")
    return rows.pick(numpy.sort(at[held:])), rows.pick(numpy.sort(at[:held]))


def _categorical(folders):
    """The columns, of 1 and above, that categorical_index.json says are categorical."""
    for folder in folders:
        path = os.path.join(folder, CATEGORICAL)
        if not os.path.isfile(path):
            continue
        try:
            with open(path, encoding="utf-8") as f:
                found = json.load(f)["cat_index_list"]
            good = isinstance(found, list) and all(type(i) is int and i > 0 for i in found)
        except (ValueError, KeyError, TypeError):
            good = False
        if not good:
            raise ClientError(f'{CATEGORICAL} must be {{"cat_index_list": [1, 3]}}: indexes of columns, where 0 is the label')
        return sorted(set(found))
    return []


def _files(folder):
    found = []
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(d for d in folders if not d.startswith((".", "_")))
        found += [os.path.join(at, n) for n in names if n != CATEGORICAL and not n.startswith((".", "_"))]
    return sorted(found)


def read(channel, folder, categorical, text):
    """The Table of all files of a folder. text tells that labels are classes, which may be words."""
    parts, width = [], None
    for path in _files(folder):
        if os.path.getsize(path) == 0:
            continue
        where = f"channel {channel}, file {os.path.relpath(path, folder)}"
        part, columns = _read_file(where, path, width, categorical, text)
        width = columns
        parts.append(part)
    if not parts:
        raise ClientError(f"Channel {channel} holds no rows: CSV is expected, the label first, without a header")
    labels = pandas.concat([p.labels for p in parts], ignore_index=True)
    features = pandas.concat([p.features for p in parts], ignore_index=True)
    return Table(labels, features, [i - 1 for i in categorical])


def _read_file(where, path, width, categorical, text):
    width = _check_lines(where, path, width)
    if width < 2:
        raise ClientError(f"In {where}, a row has {width} column: the label and at least one feature are expected")
    for i in categorical:
        if i >= width:
            raise ClientError(f"{CATEGORICAL} names column {i}, and in {where}, columns are 0 to {width - 1}")
    words = {i: str for i in categorical}
    try:
        frame = _parse(path, {**words, 0: str} if text else words)
    except (ValueError, UnicodeDecodeError) as e:
        raise ClientError(f"In {where}: {str(e).strip()}") from None
    frame = frame[~frame.isna().all(axis=1)]
    if len(frame) == 0:
        raise ClientError(f"In {where}, there are no rows")
    for i in _words(frame, {*categorical, 0} if text else set(categorical)):
        frame[i] = _numbers(where, frame[i], i)
    labels = frame[0].str.strip() if text else frame[0].astype("float64")
    bad = labels.isna() if text else ~numpy.isfinite(labels)
    if bad.any():
        raise ClientError(f"In {where}, line {_line(bad)}: the label is {frame[0][bad.idxmax()]}, and a {'class' if text else 'number'} is expected")
    features = frame.drop(columns=0)
    features.columns = [f"feature_{i}" for i in range(width - 1)]
    return Table(labels, features, categorical), width


def _parse(source, dtypes):
    return pandas.read_csv(source, header=None, dtype=dtypes, keep_default_na=False, na_values=MISSING, skip_blank_lines=False, low_memory=False)


def _words(frame, but):
    """The columns that were not read as numbers."""
    return [i for i, kind in enumerate(frame.dtypes) if i not in but and kind.kind not in "iuf"]


def _line(bad):
    """The line of the first row that is bad: rows keep the index of the line that they were read from."""
    return int(bad.idxmax()) + 1


def _numbers(where, column, at):
    numbers = pandas.to_numeric(column.astype("object").where(column.notna(), None), errors="coerce")
    bad = numbers.isna() & column.notna()
    if bad.any():
        line = _line(bad)
        hint = " (is it a header? there must be none)" if line == 1 else ""
        raise ClientError(f"In {where}, line {line}: column {at} is {str(column[bad.idxmax()])!r}, and a number is expected{hint}")
    return numbers


def _check_lines(where, path, width):
    """The number of columns, which all lines must have. The parser fills short rows up, and says nothing."""
    with open(path, "rb") as f:
        for number, line in enumerate(f, 1):
            if not line.strip() or b'"' in line:
                if width is None and b'"' in line:
                    width = len(pandas.read_csv(io.BytesIO(line), header=None).columns)
                continue
            columns = line.count(b",") + 1
            if width is None:
                width = columns
            elif columns != width:
                raise ClientError(f"In {where}, line {number}: {columns} columns, and {width} are expected")
    if width is None:
        raise ClientError(f"In {where}, there are no rows")
    return width


def classes_of(train, held, share=alone):
    """The classes of both parts in order, numbers where all are, and the labels of each part as their places."""
    texts = {text for part in share(sorted(set(train.labels) | set(held.labels))) for text in part}
    try:
        read = {text: _number(text) for text in texts}
    except ValueError:
        read = {text: text for text in texts}
    classes = sorted(set(read.values()))
    if len(classes) < 2:
        raise ClientError(f"All labels are {classes[0]}: at least two classes are expected")
    place = {text: classes.index(value) for text, value in read.items()}
    return classes, train.labels.map(place).to_numpy(), held.labels.map(place).to_numpy()


def _number(text):
    value = float(text)
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError
    return int(value) if value.is_integer() else value


def encode(column, words):
    """A categorical column, read as text, as numbers: those that it holds, or the places of its values among words.

    What is not among them is missing.
    """
    if words is None:
        return pandas.to_numeric(column, errors="coerce")
    return column.map({w: i for i, w in enumerate(words)}).astype("float64")


# What is beside the model


def save_info(classes, table, words):
    """Writes what serving must know: the classes, None for regression, and the categorical features."""
    info = {"classes": classes, "features": table.features.shape[1], "categorical": table.categorical, "categories": words}
    with open(os.path.join(os.environ["SM_MODEL_DIR"], LABELS), "w", encoding="utf-8") as f:
        json.dump(info, f)


def load_info(folder):
    path = os.path.join(folder, LABELS)
    if not os.path.exists(path):
        raise RuntimeError(f"{folder} holds no trained model ({LABELS} is missing): these models have to be trained before they are deployed")
    with open(path, encoding="utf-8") as f:
        return json.load(f)


# Serving


def rows_of(data, content_type, info):
    """The features of a request."""
    if content_type.split(";")[0].strip() != CSV:
        refuse(415, f"Content type {content_type} is not supported: {CSV} is expected")
    if isinstance(data, (bytes, bytearray)):
        data = data.decode("utf-8")
    words = {i: str for i in info["categorical"]}
    try:
        frame = _parse(io.StringIO(data), words)
    except (ValueError, pandas.errors.EmptyDataError) as e:
        refuse(400, f"The request is no CSV: {str(e).strip()}")
    frame = frame[~frame.isna().all(axis=1)] if frame.shape[1] > 1 else frame
    if frame.shape[1] != info["features"]:
        refuse(400, f"A row has {frame.shape[1]} columns, and the model has {info['features']} features: rows without a label are expected")
    for i in _words(frame, words):
        try:
            frame[i] = _numbers("the request", frame[i], i)
        except ClientError as e:
            refuse(400, str(e))
    frame.columns = [f"feature_{i}" for i in range(frame.shape[1])]
    return frame


def answer(scores, accept, info):
    """The body for scores: a number for each row, or for each row and class."""
    kinds = [a.split(";q=")[0].replace(" ", "") for a in (accept or "*/*").split(",")]
    verbose = VERBOSE in kinds
    if not verbose and not {JSON, "*/*", "application/*"} & set(kinds):
        refuse(406, f"Accept {accept} is not supported: {JSON} or {VERBOSE} is expected")
    if info["classes"] is None:
        return json.dumps({"prediction": numpy.asarray(scores).tolist()}), JSON
    body = {"probabilities": numpy.asarray(scores).tolist()}
    if verbose:
        body["labels"] = info["classes"]
        body["predicted_label"] = [info["classes"][i] for i in numpy.argmax(scores, axis=1)]
    return json.dumps(body), JSON


def refuse(status, message):
    from sagemaker_inference.errors import GenericInferenceToolkitError
    raise GenericInferenceToolkitError(status, message)
