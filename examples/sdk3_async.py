# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v3: endpoints for requests that are few, or slow: asynchronous and serverless.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk3_async.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import pathlib

from sagemaker.core import image_uris, shapes
from sagemaker.core.common_utils import name_from_base
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.inference_config import AsyncInferenceConfig, ServerlessInferenceConfig
from sagemaker.core.resources import EndpointConfig, TrainingJob
from sagemaker.core.s3 import S3Downloader, parse_s3_url
from sagemaker.serve import ModelBuilder

data = pathlib.Path(__file__).resolve().parents[1] / "internal/demo/data/breast_cancer.csv"
rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
rows = [[label, *features] for *features, label in rows]  # XGBoost's CSV has the label first
train, held_out = rows[0::2], rows[1::2]

session, role = Session(), get_execution_role()
bucket, name = session.default_bucket(), name_from_base("breast-cancer")
image = image_uris.retrieve("xgboost", session.boto_region_name, "1.7-1")
uri = session.upload_string_as_file_body("".join(",".join(row) + "\n" for row in train), bucket, f"{name}/train.csv")
job = TrainingJob.create(
    training_job_name=name,
    role_arn=role,
    algorithm_specification=shapes.AlgorithmSpecification(training_image=image, training_input_mode="File"),
    hyper_parameters={"objective": "binary:logistic", "max_depth": "4", "eta": "0.2", "num_round": "50"},
    input_data_config=[shapes.Channel(channel_name="train", content_type="text/csv", data_source=shapes.DataSource(
        s3_data_source=shapes.S3DataSource(s3_data_type="S3Prefix", s3_uri=uri)))],
    output_data_config=shapes.OutputDataConfig(s3_output_path=f"s3://{bucket}/{name}/model"),
    resource_config=shapes.ResourceConfig(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=5),
    stopping_condition=shapes.StoppingCondition(max_runtime_in_seconds=600),
)
job.wait(poll=1)


def deploy(kind, **how):
    builder = ModelBuilder(s3_model_data_url=job.model_artifacts.s3_model_artifacts, image_uri=image, role_arn=role, sagemaker_session=session,
                           instance_type="ml.m5.large")
    model = builder.build(model_name=f"{name}-{kind}")
    endpoint = builder.deploy(endpoint_name=f"{name}-{kind}", wait=False, **how)  # its own wait looks twice a minute
    endpoint.wait_for_status("InService", poll=1)
    return model, endpoint


def right(text, part):
    return sum((float(score) > 0.5) == (row[0] == "1") for score, row in zip(text.split(","), part, strict=True))


def text(part):
    return "\n".join(",".join(row[1:]) for row in part)


# Requests wait in a queue; their inputs and answers are objects in S3.
slow_model, slow = deploy("async", initial_instance_count=1, inference_config=AsyncInferenceConfig(
    output_path=f"s3://{bucket}/{name}/answers", failure_path=f"s3://{bucket}/{name}/failures", max_concurrent_invocations_per_instance=2))
arrives = session.boto_session.client("s3").get_waiter("object_exists")


def ask(key, content):
    where = session.upload_string_as_file_body(content, bucket, f"{name}/asked/{key}.csv")
    return slow.invoke_async(input_location=where, content_type="text/csv", accept="text/csv", inference_id=key)


def read(uri):
    where, key = parse_s3_url(uri)
    arrives.wait(Bucket=where, Key=key, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    return S3Downloader.read_file(uri, sagemaker_session=session)


# Ask four times, then collect.
parts = [held_out[i::4] for i in range(4)]
answers = [ask(f"part-{i}", text(part)) for i, part in enumerate(parts)]
good = sum(right(read(answer.output_location), part) for answer, part in zip(answers, parts))
print(f"async: {good} of {len(held_out)} held-out rows are right")
print("refused:", read(ask("words", "not,numbers\n").failure_location))

# A serverless endpoint has no instances; it takes so many requests at a time.
quick_model, quick = deploy("serverless", inference_config=ServerlessInferenceConfig(memory_size_in_mb=2048, max_concurrency=2))
answer = quick.invoke(body=text(held_out), content_type="text/csv", accept="text/csv").body.read().decode()
print(f"serverless: {right(answer, held_out)} of {len(held_out)} held-out rows are right")
(variant,) = quick.production_variants
print(f"serverless: {variant.current_serverless_config.memory_size_in_mb} MB, {variant.current_serverless_config.max_concurrency} at a time")

for endpoint, model in ((slow, slow_model), (quick, quick_model)):
    config = EndpointConfig.get(endpoint.endpoint_config_name)
    endpoint.delete()
    endpoint.wait_for_delete(poll=1)
    config.delete()
    model.delete()
