# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v2: train the built-in XGBoost, deploy it, predict.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk2_xgboost.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import pathlib
import tempfile

import sagemaker
from sagemaker import image_uris
from sagemaker.deserializers import JSONDeserializer
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.serializers import CSVSerializer

data = pathlib.Path(__file__).resolve().parents[1] / "internal/demo/data/breast_cancer.csv"
rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
rows = [[label, *features] for *features, label in rows]  # XGBoost's CSV has the label first
train, validation, held_out = rows[0::2], rows[1::4], rows[3::4]

session = sagemaker.Session()
role = sagemaker.get_execution_role()
region = session.boto_region_name

inputs = {}
for channel, part in {"train": train, "validation": validation}.items():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, f"{channel}.csv")
        path.write_text("".join(",".join(row) + "\n" for row in part))
        uri = session.upload_data(str(path), key_prefix="breast-cancer/data")
    inputs[channel] = TrainingInput(uri, content_type="text/csv")

xgboost = Estimator(
    image_uris.retrieve("xgboost", region, "1.7-1"),
    role,
    instance_count=1,
    instance_type="ml.m5.xlarge",
    output_path=f"s3://{session.default_bucket()}/breast-cancer/output",
    sagemaker_session=session,
)
xgboost.set_hyperparameters(objective="binary:logistic", num_round=50, max_depth=4, eta=0.2, eval_metric="auc")
xgboost.fit(inputs)  # shows the job's log while it runs

predictor = xgboost.deploy(
    initial_instance_count=1,
    instance_type="ml.m5.large",
    serializer=CSVSerializer(),
    deserializer=JSONDeserializer(),
)
answer = predictor.predict([row[1:] for row in held_out])
right = sum((p["score"] > 0.5) == (row[0] == "1") for p, row in zip(answer["predictions"], held_out))
print(f"\n{right} of {len(held_out)} held-out rows are right")

predictor.delete_model()
predictor.delete_endpoint()
