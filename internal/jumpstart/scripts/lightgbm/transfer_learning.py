# SPDX-License-Identifier: Apache-2.0
"""Trains LightGBM on tables: the training program of lightgbm-classification-model and lightgbm-regression-model."""

import json
import os
import re

import hosts
import joblib
import lightgbm
import tabular

# Hyperparameters that are not LightGBM's own.
OURS = ("num_boost_round", "early_stopping_rounds", "metric", "use_dask")


def main():
    given = tabular.hyperparameters()
    if given["use_dask"] != "True" and len(json.loads(os.environ.get("SM_HOSTS", "[]"))) > 1:
        raise tabular.ClientError("Training on several hosts needs the hyperparameter use_dask to be True")
    if given["use_dask"] == "True" and given["tree_learner"] == "feature":
        raise tabular.ClientError("Hyperparameter tree_learner: LightGBM's library does not divide features over hosts; use data or voting")
    group = hosts.Hosts()
    train, held = data(group, given)
    print(f"{len(train)} rows to train on, {len(held)} to validate with, {train.features.shape[1]} features")
    if tabular.about()["task"] == "classification":
        classes, labels, held_labels = tabular.classes_of(train, held, group.share)
    else:
        classes, labels, held_labels = None, train.labels.to_numpy(), held.labels.to_numpy()
    words = numbered(train, held, group)

    options = {**settings(given, classes), **spread(group, given)}
    if min(group.share(len(train))) * given["bagging_fraction"] < 1:  # LightGBM fails with no row at all
        options["bagging_freq"] = 0
    names = [f"feature_{i}" for i in train.categorical]
    rows = lightgbm.Dataset(train.features, labels, categorical_feature=names, params=options, free_raw_data=True)
    checks = lightgbm.Dataset(held.features, held_labels, reference=rows, params=options)
    calls = [lambda env: group.agree(env.evaluation_result_list)]
    if group.rank == 0:
        calls.append(report)
    if given["early_stopping_rounds"] > 0 and given["boosting"] != "dart":  # DART changes trees that it has
        calls.append(lightgbm.early_stopping(given["early_stopping_rounds"]))
    try:
        model = lightgbm.train(options, rows, given["num_boost_round"], valid_sets=[checks], valid_names=["valid_0"], callbacks=calls)
    except lightgbm.basic.LightGBMError as e:
        raise tabular.ClientError(f"LightGBM: {e}") from e
    if group.rank > 0:
        return  # the first host saves what all have
    rounds = model.best_iteration or model.current_iteration()
    for name, value in (model.best_score or {}).get("valid_0", {}).items():
        print(f"Best of {rounds} rounds:\tvalid_0's {name}: {value:.8f}", flush=True)

    joblib.dump(model, os.path.join(os.environ["SM_MODEL_DIR"], "model.pkl"))
    tabular.save_info(classes, train, words)


def data(group, given):
    """(training, validation): this host's rows to train on, and all rows to validate with."""
    train, held = tabular.channels(group.share)
    if len(group) == 1:
        return train, held
    if not group.divided():
        if len(train) < len(group):
            raise tabular.ClientError(f"There are {len(train)} rows to train on, and {len(group)} hosts to divide them")
        return train.pick(range(group.rank, len(train), len(group))), held
    # A validation channel that is FullyReplicated comes out as often as there are hosts, which changes no mean.
    return train, group.together(held)


def spread(group, given):
    """What LightGBM must know of several hosts."""
    if len(group) == 1:
        return {}
    learner = "data" if given["tree_learner"] == "serial" else given["tree_learner"]
    return {**group.network(), "tree_learner": learner, "pre_partition": True}


def settings(given, classes):
    """The parameters of LightGBM."""
    options = {k: v for k, v in given.items() if k not in OURS}
    options["is_unbalance"] = given["is_unbalance"] == "True"
    # The same data and hyperparameters give the same model, on any number of threads.
    options.update(seed=0, deterministic=True)
    if classes is None:
        options["objective"], metric = "regression", "rmse"
    elif len(classes) == 2:
        options["objective"], metric = "binary", "binary_logloss"
    else:
        options["objective"], metric = "multiclass", "multi_logloss"
        options["num_class"] = len(classes)
    if options["objective"] != "binary":
        if options["is_unbalance"] or options["scale_pos_weight"] != 1:
            raise tabular.ClientError("Hyperparameters is_unbalance and scale_pos_weight are for two classes only")
        del options["is_unbalance"], options["scale_pos_weight"]
    elif options["is_unbalance"] and options["scale_pos_weight"] != 1:
        raise tabular.ClientError("Hyperparameters is_unbalance and scale_pos_weight cannot be given together")
    options["metric"] = metric if given["metric"] == "auto" else given["metric"]
    if options["boosting"] == "goss":  # it draws rows itself
        del options["bagging_fraction"], options["bagging_freq"]
    return options


def numbered(train, held, group):
    """Puts numbers in place of the values of categorical features that are words: {feature: words in order}.

    Categories that are whole numbers stay, as LightGBM takes them. What is not among the words is missing.
    """
    words = {}
    for i in train.categorical:
        name = f"feature_{i}"
        found = sorted({w for part in group.share(sorted(train.features[name].dropna().unique())) for w in part})
        if not all(re.fullmatch("[0-9]{1,9}", w) for w in found):
            words[name] = found
        for part in (train, held):
            part.features[name] = tabular.encode(part.features[name], words.get(name))
    return words


def report(env):
    """Logs the metric of a round in the form that the metrics' regular expressions find."""
    shown = "\t".join(f"{data}'s {metric}: {value:.8f}" for data, metric, value, _ in env.evaluation_result_list)
    print(f"[{env.iteration + 1}]\t{shown}", flush=True)


if __name__ == "__main__":
    tabular.run(main)
