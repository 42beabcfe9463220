# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v2: tune the built-in XGBoost, then a script of one's own, and find the best model.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk2_tuning.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import pathlib
import tempfile
import time

import sagemaker
from sagemaker import image_uris
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.sklearn import SKLearn
from sagemaker.tuner import CategoricalParameter, ContinuousParameter, HyperparameterTuner, IntegerParameter

here = pathlib.Path(__file__).resolve().parent
data = here.parent / "internal/demo/data/breast_cancer.csv"
rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
rows = [[label, *features] for *features, label in rows]  # XGBoost's CSV has the label first
train, validation = rows[0::2], rows[1::2]

session = sagemaker.Session()
role = sagemaker.get_execution_role()
inputs = {}
for channel, part in {"train": train, "validation": validation}.items():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, f"{channel}.csv")
        path.write_text("".join(",".join(row) + "\n" for row in part))
        uri = session.upload_data(str(path), key_prefix="breast-cancer/tuning")
    inputs[channel] = TrainingInput(uri, content_type="text/csv")

xgboost = Estimator(
    image_uris.retrieve("xgboost", session.boto_region_name, "1.7-1"),
    role,
    instance_count=1,
    instance_type="ml.m5.xlarge",
    output_path=f"s3://{session.default_bucket()}/breast-cancer/output",
    sagemaker_session=session,
)
xgboost.set_hyperparameters(objective="binary:logistic", num_round=30)
ranges = {
    "eta": ContinuousParameter(0.01, 0.9, scaling_type="Logarithmic"),
    "max_depth": IntegerParameter(1, 8),
    "subsample": ContinuousParameter(0.5, 1),
}
tuner = HyperparameterTuner(xgboost, "validation:logloss", ranges, objective_type="Minimize", strategy="Bayesian", max_jobs=10,
                            max_parallel_jobs=2, early_stopping_type="Auto", random_seed=1)
tuner.fit(inputs)

table = tuner.analytics().dataframe()
print(table.sort_values("FinalObjectiveValue")[["eta", "max_depth", "subsample", "FinalObjectiveValue", "TrainingJobStatus"]].to_string())
print("best:", tuner.best_training_job(), tuner.best_estimator().hyperparameters())

# In another notebook, on another day, one attaches to the job.
later = HyperparameterTuner.attach(tuner.latest_tuning_job.name, sagemaker_session=session)
print("attached:", later.best_training_job(), sorted(later.hyperparameter_ranges()), later.estimator.instance_type)

# A second search that begins with what the first has found.
again = tuner.transfer_learning_tuner()
again.max_jobs = 3
again.fit(inputs, job_name=time.strftime("again-%y%m%d-%H%M%S"))  # the SDK's own names tell minutes apart only
print("after a warm start:", again.analytics().dataframe()["FinalObjectiveValue"].min(), "before:", table["FinalObjectiveValue"].min())

# A script of one's own prints its metric; the tuner finds it by an expression.
forest = SKLearn(entry_point="train.py", source_dir=str(here / "code/sklearn"), role=role, instance_count=1, instance_type="ml.m5.large",
                 framework_version="1.2-1", sagemaker_session=session)
script = HyperparameterTuner(forest, "train:accuracy", {"criterion": CategoricalParameter(["gini", "entropy"]), "trees": CategoricalParameter([10, 40])},
                             metric_definitions=[{"Name": "train:accuracy", "Regex": r"oob_accuracy=([0-9.]+)"}], strategy="Grid", max_jobs=4, max_parallel_jobs=2)
script.fit({"train": inputs["train"]})
print("grid:", len(script.analytics().dataframe()), "jobs; best", script.best_estimator().hyperparameters()["criterion"])

# tuner.deploy(...) serves the best model, as estimator.deploy(...) would; here it is only fetched.
print("model:", tuner.best_estimator().model_data)
