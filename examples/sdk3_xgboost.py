# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v3: train the built-in XGBoost, deploy it, predict.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk3_xgboost.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import json
import pathlib
import tempfile

from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.serve import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData

data = pathlib.Path(__file__).resolve().parents[1] / "internal/demo/data/breast_cancer.csv"
rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
rows = [[label, *features] for *features, label in rows]  # XGBoost's CSV has the label first
train, validation, held_out = rows[0::2], rows[1::4], rows[3::4]

session = Session()
role = get_execution_role()
image = image_uris.retrieve("xgboost", session.boto_region_name, "1.7-1")

channels = []
for channel, part in {"train": train, "validation": validation}.items():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, f"{channel}.csv")
        path.write_text("".join(",".join(row) + "\n" for row in part))
        uri = session.upload_data(str(path), key_prefix="breast-cancer/data")
    channels.append(InputData(channel_name=channel, data_source=uri, content_type="text/csv"))

trainer = ModelTrainer(
    training_image=image,
    role=role,
    sagemaker_session=session,
    base_job_name="breast-cancer",
    compute=Compute(instance_type="ml.m5.xlarge", instance_count=1),
    hyperparameters={"objective": "binary:logistic", "num_round": 50, "max_depth": 4, "eta": 0.2, "eval_metric": "auc"},
)
trainer.train(input_data_config=channels, wait=True, logs=True)  # shows the job's log while it runs

builder = ModelBuilder(
    model=trainer,
    image_uri=image,
    role_arn=role,
    sagemaker_session=session,
    instance_type="ml.m5.large",
)
model = builder.build()
endpoint = builder.deploy(initial_instance_count=1, instance_type="ml.m5.large")

answer = endpoint.invoke(
    body="\n".join(",".join(row[1:]) for row in held_out),
    content_type="text/csv",
    accept="application/json",
)
predictions = json.loads(answer.body.read())["predictions"]
right = sum((p["score"] > 0.5) == (row[0] == "1") for p, row in zip(predictions, held_out))
print(f"\n{right} of {len(held_out)} held-out rows are right")

endpoint.delete()
model.delete()
