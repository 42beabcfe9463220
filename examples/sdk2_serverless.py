# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v2: the built-in XGBoost behind a serverless endpoint, which starts on demand.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk2_serverless.py

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
from sagemaker.serverless import ServerlessInferenceConfig

data = pathlib.Path(__file__).resolve().parents[1] / "internal/demo/data/breast_cancer.csv"
rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
rows = [[label, *features] for *features, label in rows]  # XGBoost's CSV has the label first
train, held_out = rows[0::2], rows[1::2]

session = sagemaker.Session()
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, "train.csv")
    path.write_text("".join(",".join(row) + "\n" for row in train))
    uri = session.upload_data(str(path), key_prefix="breast-cancer/serverless")

xgboost = Estimator(
    image_uris.retrieve("xgboost", session.boto_region_name, "1.7-1"),
    sagemaker.get_execution_role(),
    instance_count=1,
    instance_type="ml.m5.large",
    output_path=f"s3://{session.default_bucket()}/breast-cancer/output",
    sagemaker_session=session,
)
xgboost.set_hyperparameters(objective="binary:logistic", num_round=50, max_depth=4, eta=0.2)
xgboost.fit({"train": TrainingInput(uri, content_type="text/csv")})

predictor = xgboost.deploy(
    serverless_inference_config=ServerlessInferenceConfig(memory_size_in_mb=2048, max_concurrency=4),
    serializer=CSVSerializer(),
    deserializer=JSONDeserializer(),
)
(variant,) = session.sagemaker_client.describe_endpoint(EndpointName=predictor.endpoint_name)["ProductionVariants"]
print("\nserverless:", variant["CurrentServerlessConfig"])
answer = predictor.predict([row[1:] for row in held_out])
right = sum((p["score"] > 0.5) == (row[0] == "1") for p, row in zip(answer["predictions"], held_out, strict=True))
print(f"{right} of {len(held_out)} held-out rows are right")

predictor.delete_model()
predictor.delete_endpoint()
