# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v2: an asynchronous endpoint of the built-in XGBoost.

Requests wait in a queue; their inputs and answers are objects in S3. Nothing
here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk2_async.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import pathlib

import sagemaker
from sagemaker import image_uris
from sagemaker.async_inference import AsyncInferenceConfig, WaiterConfig
from sagemaker.deserializers import StringDeserializer
from sagemaker.estimator import Estimator
from sagemaker.exceptions import AsyncInferenceModelError
from sagemaker.inputs import TrainingInput
from sagemaker.s3 import S3Uploader
from sagemaker.serializers import CSVSerializer

data = pathlib.Path(__file__).resolve().parents[1] / "internal/demo/data/breast_cancer.csv"
rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
rows = [[label, *features] for *features, label in rows]  # XGBoost's CSV has the label first
train, held_out = rows[0::2], rows[1::2]

session = sagemaker.Session()
bucket = session.default_bucket()
uri = S3Uploader.upload_string_as_file_body("".join(",".join(row) + "\n" for row in train), f"s3://{bucket}/async/data/train.csv", sagemaker_session=session)
xgboost = Estimator(
    image_uris.retrieve("xgboost", session.boto_region_name, "1.7-1"),
    sagemaker.get_execution_role(),
    instance_count=1,
    instance_type="ml.m5.xlarge",
    output_path=f"s3://{bucket}/async/model",
    sagemaker_session=session,
)
xgboost.set_hyperparameters(objective="binary:logistic", num_round=50, max_depth=4, eta=0.2)
xgboost.fit({"train": TrainingInput(uri, content_type="text/csv")})

predictor = xgboost.deploy(
    initial_instance_count=1,
    instance_type="ml.m5.large",
    serializer=CSVSerializer(),
    deserializer=StringDeserializer(),  # what the model says when it refuses is plain text
    async_inference_config=AsyncInferenceConfig(
        output_path=f"s3://{bucket}/async/answers", failure_path=f"s3://{bucket}/async/failures", max_concurrent_invocations_per_instance=2),
)

# Ask four times, then collect: each answer is an object that the waiter waits for.
patience, csv = WaiterConfig(max_attempts=15, delay=1), {"ContentType": "text/csv", "Accept": "text/csv"}
parts = [held_out[i::4] for i in range(4)]
asked = [predictor.predict_async([row[1:] for row in part], initial_args=csv) for part in parts]
right = 0
for part, response in zip(parts, asked):
    scores = response.get_result(patience).split(",")
    right += sum((float(score) > 0.5) == (row[0] == "1") for score, row in zip(scores, part, strict=True))
print(f"\n{right} of {len(held_out)} held-out rows are right")

# What the model refuses has its reason at the failure path.
try:
    predictor.predict([["not", "numbers"]], initial_args=csv, waiter_config=patience)
except AsyncInferenceModelError as error:
    print(f"refused: {error}")

predictor.delete_model()
predictor.delete_endpoint()
