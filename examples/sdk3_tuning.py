# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v3: tune the built-in XGBoost, then a script of one's own.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk3_tuning.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import pathlib
import tempfile

from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter
from sagemaker.core.shapes import HyperbandStrategyConfig, HyperParameterTuningJobStrategyConfig
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, SourceCode
from sagemaker.train.tuner import HyperparameterTuner

here = pathlib.Path(__file__).resolve().parent
data = here.parent / "internal/demo/data/breast_cancer.csv"
rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
rows = [[label, *features] for *features, label in rows]  # XGBoost's CSV has the label first
train, validation = rows[0::2], rows[1::2]

session = Session()
role = get_execution_role()
channels = []
for channel, part in {"train": train, "validation": validation}.items():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, f"{channel}.csv")
        path.write_text("".join(",".join(row) + "\n" for row in part))
        uri = session.upload_data(str(path), key_prefix="breast-cancer/tuning")
    channels.append(InputData(channel_name=channel, data_source=uri, content_type="text/csv"))

trainer = ModelTrainer(
    training_image=image_uris.retrieve("xgboost", session.boto_region_name, "1.7-1"),
    role=role,
    sagemaker_session=session,
    base_job_name="breast-cancer",
    compute=Compute(instance_type="ml.m5.xlarge", instance_count=1),
    hyperparameters={"objective": "binary:logistic", "num_round": 200},
)
ranges = {"eta": ContinuousParameter(0.001, 0.9, scaling_type="Logarithmic"), "max_depth": IntegerParameter(1, 8)}
tuner = HyperparameterTuner(trainer, "validation:logloss", ranges, objective_type="Minimize", strategy="Hyperband", max_jobs=9, max_parallel_jobs=3,
                            strategy_config=HyperParameterTuningJobStrategyConfig(
                                hyperband_strategy_config=HyperbandStrategyConfig(min_resource=20, max_resource=200)))
tuner.tune(channels)
table = tuner.analytics().dataframe()
print(table.sort_values("FinalObjectiveValue")[["eta", "max_depth", "FinalObjectiveValue", "TrainingJobStatus"]].to_string())
print("best:", tuner.best_training_job())

# A script of one's own prints its metric; the tuner finds it by an expression.
forest = ModelTrainer(
    training_image=image_uris.retrieve("sklearn", session.boto_region_name, "1.2-1", py_version="py3", instance_type="ml.m5.large"),
    role=role,
    sagemaker_session=session,
    base_job_name="forest",
    source_code=SourceCode(source_dir=str(here / "code/sklearn"), entry_script="train.py"),
    compute=Compute(instance_type="ml.m5.large", instance_count=1),
    hyperparameters={"trees": 40},
)
script = HyperparameterTuner(forest, "train:accuracy", {"criterion": CategoricalParameter(["gini", "entropy"])}, strategy="Grid", max_parallel_jobs=2,
                             metric_definitions=[{"Name": "train:accuracy", "Regex": r"oob_accuracy=([0-9.]+)"}])
script.tune(channels[:1])
print("grid:", len(script.analytics().dataframe()), "jobs; best", script.best_training_job())
