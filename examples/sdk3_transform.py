# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v3: batch transform, with each prediction beside the ID of its row.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk3_transform.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import json
import logging
import pathlib

from sagemaker.core import image_uris, shapes
from sagemaker.core.common_utils import name_from_base
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.resources import TrainingJob, TransformJob
from sagemaker.core.s3 import S3Downloader
from sagemaker.serve import ModelBuilder

logging.basicConfig(level=logging.INFO)  # the SDK shows a job's log by its logger
data = pathlib.Path(__file__).resolve().parents[1] / "internal/demo/data/breast_cancer.csv"
rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
rows = [[label, *features] for *features, label in rows]  # XGBoost's CSV has the label first
train, held_out = rows[0::2], rows[1::2]

session, role = Session(), get_execution_role()
bucket, name = session.default_bucket(), name_from_base("breast-cancer")
image = image_uris.retrieve("xgboost", session.boto_region_name, "1.7-1")


def upload(key, lines):
    return session.upload_string_as_file_body("".join(line + "\n" for line in lines), bucket, f"{name}/{key}")


job = TrainingJob.create(
    training_job_name=name,
    role_arn=role,
    algorithm_specification=shapes.AlgorithmSpecification(training_image=image, training_input_mode="File"),
    hyper_parameters={"objective": "binary:logistic", "max_depth": "4", "eta": "0.2", "num_round": "50"},
    input_data_config=[shapes.Channel(channel_name="train", content_type="text/csv", data_source=shapes.DataSource(
        s3_data_source=shapes.S3DataSource(s3_data_type="S3Prefix", s3_uri=upload("train.csv", map(",".join, train)))))],
    output_data_config=shapes.OutputDataConfig(s3_output_path=f"s3://{bucket}/{name}/model"),
    resource_config=shapes.ResourceConfig(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=5),
    stopping_condition=shapes.StoppingCondition(max_runtime_in_seconds=600),
)
job.wait(poll=1)
builder = ModelBuilder(s3_model_data_url=job.model_artifacts.s3_model_artifacts, image_uri=image, role_arn=role, sagemaker_session=session,
                       instance_type="ml.m5.large")
model = builder.build(model_name=name)

# A transformer: what is sent is the features alone; what is written, the ID and the score.
ids = [f"patient-{i}" for i in range(len(held_out))]
transformer = builder.transformer(instance_count=1, instance_type="ml.m5.large", strategy="MultiRecord", accept="text/csv", assemble_with="Line",
                                  max_payload=1)
transformer.transform(
    upload("asked.csv", (",".join([i, *row[1:]]) for i, row in zip(ids, held_out))),
    content_type="text/csv",
    split_type="Line",
    input_filter="$[1:]",
    join_source="Input",
    output_filter="$[0,-1]",
    wait=True,
    logs=True,  # shows the job's logs while it runs
)
text = S3Downloader.read_file(f"{transformer.output_path}/asked.csv.out", sagemaker_session=session)
scored = dict(line.split(",") for line in text.splitlines())
assert list(scored) == ids, "one line for each row, in their order"
print(f"\n{text.splitlines()[0]}")
right = sum((float(scored[i]) > 0.5) == (row[0] == "1") for i, row in zip(ids, held_out))
print(f"{right} of {len(held_out)} held-out rows are right")

# The resource below it: JSON Lines, in two objects, on two instances.
for part in range(2):
    where = upload(f"lines/{part}.jsonl", (json.dumps({"id": i, "data": {"features": {"values": [float(x) for x in row[1:]]}}})
                                           for i, row in list(zip(ids, held_out))[part::2]))
lines = TransformJob.create(
    transform_job_name=f"{name}-lines",
    model_name=name,
    transform_input=shapes.TransformInput(content_type="application/jsonlines", split_type="Line", data_source=shapes.TransformDataSource(
        s3_data_source=shapes.TransformS3DataSource(s3_data_type="S3Prefix", s3_uri=f"s3://{bucket}/{name}/lines/"))),
    transform_output=shapes.TransformOutput(s3_output_path=f"s3://{bucket}/{name}/scored", accept="application/jsonlines", assemble_with="Line"),
    transform_resources=shapes.TransformResources(instance_type="ml.m5.large", instance_count=2),
    data_processing=shapes.DataProcessing(input_filter="$['data']", join_source="Input", output_filter="$['id','SageMakerOutput']"),
)
lines.wait(poll=1)
for part in range(2):
    text = S3Downloader.read_file(f"s3://{bucket}/{name}/scored/{part}.jsonl.out", sagemaker_session=session)
    said = {line["id"]: line["SageMakerOutput"]["score"] for line in map(json.loads, text.splitlines())}
    assert list(said) == ids[part::2]
    assert all(abs(score - float(scored[i])) < 1e-6 for i, score in said.items())
    print(f"{part}.jsonl: {len(said)} rows, scored as before")

# What cannot be read fails the job, and its log tells why.
broken = TransformJob.create(
    transform_job_name=f"{name}-broken",
    model_name=name,
    transform_input=shapes.TransformInput(content_type="text/csv", split_type="Line", data_source=shapes.TransformDataSource(
        s3_data_source=shapes.TransformS3DataSource(s3_data_type="S3Prefix", s3_uri=upload("broken.csv", ["not,numbers"])))),
    transform_output=shapes.TransformOutput(s3_output_path=f"s3://{bucket}/{name}/none"),
    transform_resources=shapes.TransformResources(instance_type="ml.m5.large", instance_count=1),
)
try:
    broken.wait(poll=1, logs=True)
except Exception as error:
    print(f"refused: {error}")

transformer.delete_model()
