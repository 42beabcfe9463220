# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v2: what an endpoint is asked and answers, captured in S3.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk2_capture.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import json
import pathlib
import tempfile
import time

import sagemaker
from sagemaker import image_uris
from sagemaker.deserializers import CSVDeserializer
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.model_monitor import DataCaptureConfig
from sagemaker.s3 import S3Downloader
from sagemaker.serializers import CSVSerializer

data = pathlib.Path(__file__).resolve().parents[1] / "internal/demo/data/breast_cancer.csv"
rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
rows = [[label, *features] for *features, label in rows]  # XGBoost's CSV has the label first
train, held_out = rows[0::2], rows[1::2]

session = sagemaker.Session()
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, "train.csv")
    path.write_text("".join(",".join(row) + "\n" for row in train))
    uri = session.upload_data(str(path), key_prefix="breast-cancer/capture")

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

captured = f"s3://{session.default_bucket()}/breast-cancer/captured"
predictor = xgboost.deploy(
    initial_instance_count=1,
    instance_type="ml.m5.large",
    serializer=CSVSerializer(),
    deserializer=CSVDeserializer(),
    data_capture_config=DataCaptureConfig(enable_capture=True, sampling_percentage=100, destination_s3_uri=captured),
)
answers = {}
for row in held_out[:20]:
    asked = ",".join(row[1:])
    answers[asked] = predictor.predict(asked)[0][0]

# Files come within minutes.
lines, end = [], time.monotonic() + 600
while len(lines) < len(answers) and time.monotonic() < end:
    time.sleep(2)
    files = S3Downloader.list(f"{captured}/{predictor.endpoint_name}/AllTraffic", sagemaker_session=session)
    lines = [json.loads(line) for f in files for line in S3Downloader.read_file(f, sagemaker_session=session).splitlines()]
seen = {line["captureData"]["endpointInput"]["data"].strip(): line["captureData"]["endpointOutput"]["data"].strip() for line in lines}
print(f"\n{sum(seen.get(asked) == answer for asked, answer in answers.items())} of {len(answers)} requests were captured with their answers")
for side, part in lines[0]["captureData"].items():
    print(f"{side}: {part['observedContentType']} as {part['encoding']}: {part['data'][:40]!r}")

predictor.delete_model()
predictor.delete_endpoint()
