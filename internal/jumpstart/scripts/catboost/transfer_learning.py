# SPDX-License-Identifier: Apache-2.0
"""Trains CatBoost on tables: the training program of catboost-classification-model and catboost-regression-model."""

import json
import os

import catboost
import tabular


def main():
    given = tabular.hyperparameters()
    if len(json.loads(os.environ.get("SM_HOSTS", "[]"))) > 1:
        raise tabular.ClientError("CatBoost does not train on several hosts: use one instance")
    train, held = tabular.channels()
    print(f"{len(train)} rows to train on, {len(held)} to validate with, {train.features.shape[1]} features", flush=True)
    if tabular.about()["task"] == "classification":
        classes, labels, held_labels = tabular.classes_of(train, held)
    else:
        classes, labels, held_labels = None, train.labels.to_numpy(), held.labels.to_numpy()
    options = settings(given, classes)
    names = [f"feature_{i}" for i in train.categorical]
    for part in (train, held):  # a category has no missing value: it is one more category
        part.features[names] = part.features[names].fillna("")

    stop = given["early_stopping_rounds"]
    model = (catboost.CatBoostRegressor if classes is None else catboost.CatBoostClassifier)(**options)
    try:
        rows = catboost.Pool(train.features, labels, cat_features=names)
        checks = catboost.Pool(held.features, held_labels, cat_features=names)
        model.fit(rows, eval_set=checks, early_stopping_rounds=stop if stop > 0 else None, verbose=given["verbose"])
    except catboost.CatBoostError as e:
        raise tabular.ClientError(f"CatBoost: {e}") from e

    model.save_model(os.path.join(os.environ["SM_MODEL_DIR"], "model"))
    tabular.save_info(classes, train, {})


def settings(given, classes):
    """The parameters of CatBoost."""
    options = {k: v for k, v in given.items() if k not in ("early_stopping_rounds", "verbose", "sampling_frequency")}
    # The temperature is that of the Bayesian bootstrap; nothing is written beside the model.
    options.update(bootstrap_type="Bayesian", allow_writing_files=False)
    if classes is None:
        options["loss_function"], metric = "RMSE", "RMSE"
    elif len(classes) == 2:
        options["loss_function"], metric = "Logloss", "AUC"
    else:
        options["loss_function"], metric = "MultiClass", "MultiClass"
        options["classes_count"] = len(classes)
    if options["loss_function"] != "Logloss":
        if options["scale_pos_weight"] != 1:
            raise tabular.ClientError("Hyperparameter scale_pos_weight is for two classes only")
        del options["scale_pos_weight"]
    options["eval_metric"] = metric if given["eval_metric"] == "auto" else given["eval_metric"]
    if options["boosting_type"] == "Auto":
        del options["boosting_type"]
    if options["max_bin"] == "auto":
        del options["max_bin"]
    # CatBoost refuses what a way of growing does not use.
    policy = options["grow_policy"]
    if policy != "Lossguide":
        del options["max_leaves"]
        options["sampling_frequency"] = given["sampling_frequency"]
    if policy == "SymmetricTree":
        del options["min_data_in_leaf"]
    return options


if __name__ == "__main__":
    tabular.run(main)
