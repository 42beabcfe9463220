# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v3: many models on few instances.

Inference components share an endpoint's instances, a multi-model endpoint loads
models when they are asked for, and a pipeline hands what one model says to the
next. Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk3_components.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import pathlib

from botocore.exceptions import ClientError
from sagemaker.core import image_uris, shapes
from sagemaker.core.common_utils import name_from_base
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.inference_config import ResourceRequirements
from sagemaker.core.resources import Endpoint, EndpointConfig, InferenceComponent, Model, TrainingJob
from sagemaker.core.s3 import parse_s3_url
from sagemaker.serve import ModelBuilder

data = pathlib.Path(__file__).resolve().parents[1] / "internal/demo/data/breast_cancer.csv"
rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
rows = [[label, *features] for *features, label in rows]  # XGBoost's CSV has the label first
train, held_out = rows[0::2], rows[1::2]

session, role = Session(), get_execution_role()
bucket, name = session.default_bucket(), name_from_base("breast-cancer")
image = image_uris.retrieve("xgboost", session.boto_region_name, "1.7-1")


def fit(what, table, rounds):
    """Begins a training job on rows of label and features."""
    uri = session.upload_string_as_file_body("".join(",".join(row) + "\n" for row in table), bucket, f"{name}/{what}.csv")
    return TrainingJob.create(
        training_job_name=f"{name}-{what}",
        role_arn=role,
        algorithm_specification=shapes.AlgorithmSpecification(training_image=image, training_input_mode="File"),
        hyper_parameters={"objective": "binary:logistic", "max_depth": "4", "eta": "0.2", "num_round": str(rounds)},
        input_data_config=[shapes.Channel(channel_name="train", content_type="text/csv", data_source=shapes.DataSource(
            s3_data_source=shapes.S3DataSource(s3_data_type="S3Prefix", s3_uri=uri)))],
        output_data_config=shapes.OutputDataConfig(s3_output_path=f"s3://{bucket}/{name}/trained"),
        resource_config=shapes.ResourceConfig(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=5),
        stopping_condition=shapes.StoppingCondition(max_runtime_in_seconds=600),
    )


def artifact(job):
    job.wait(poll=1)
    return job.model_artifacts.s3_model_artifacts


def container(uri, **more):
    return shapes.ContainerDefinition(image=image, model_data_url=uri, **more)


def serve(what):
    EndpointConfig.create(endpoint_config_name=f"{name}-{what}", production_variants=[shapes.ProductionVariant(
        variant_name="AllTraffic", model_name=f"{name}-{what}", instance_type="ml.m5.large", initial_instance_count=1)])
    endpoint = Endpoint.create(endpoint_name=f"{name}-{what}", endpoint_config_name=f"{name}-{what}")
    endpoint.wait_for_status("InService", poll=1)
    return endpoint


def ask(endpoint, table, **more):
    body = "\n".join(",".join(row[1:]) for row in table)
    return endpoint.invoke(body=body, content_type="text/csv", accept="text/csv", **more).body.read().decode().split(",")


def right(scores, table=held_out):
    return sum((float(score) > 0.5) == (row[0] == "1") for score, row in zip(scores, table, strict=True))


jobs = {"small": fit("small", train, 2), "large": fit("large", train, 50)}
artifacts = {size: artifact(job) for size, job in jobs.items()}
models = []

# Inference components share what an endpoint without a model has; one is the
# builder's, the other is made by its resource.
EndpointConfig.create(endpoint_config_name=f"{name}-shared", execution_role_arn=role, production_variants=[shapes.ProductionVariant(
    variant_name="AllTraffic", instance_type="ml.m5.large", initial_instance_count=1)])
shared = Endpoint.create(endpoint_name=f"{name}-shared", endpoint_config_name=f"{name}-shared")
shared.wait_for_status("InService", poll=1)
builder = ModelBuilder(s3_model_data_url=artifacts["large"], image_uri=image, role_arn=role, sagemaker_session=session, instance_type="ml.m5.large")
models.append(builder.build(model_name=f"{name}-large"))
builder.deploy(endpoint_name=f"{name}-shared", inference_component_name=f"{name}-large", wait=False,
               inference_config=ResourceRequirements(requests={"num_cpus": 0.5, "memory": 512, "copies": 1}))
small = InferenceComponent.create(
    inference_component_name=f"{name}-small", endpoint_name=f"{name}-shared", variant_name="AllTraffic",
    specification=shapes.InferenceComponentSpecification(
        container=shapes.InferenceComponentContainerSpecification(image=image, artifact_url=artifacts["small"]),
        compute_resource_requirements=shapes.InferenceComponentComputeResourceRequirements(
            min_memory_required_in_mb=512, number_of_cpu_cores_required=0.5)),
    runtime_config=shapes.InferenceComponentRuntimeConfig(copy_count=1))
components = [small, InferenceComponent.get(f"{name}-large")]
for component in components:
    component.wait_for_status("InService", poll=1)
    scores = ask(shared, held_out, inference_component_name=component.inference_component_name)
    print(f"component {component.inference_component_name.rpartition('-')[2]}: {right(scores)} of {len(held_out)} held-out rows are right")
small.update_runtime_configs(desired_runtime_config=shapes.InferenceComponentRuntimeConfig(copy_count=2))
small.wait_for_status("InService", poll=1)
print(f"component small: {small.runtime_config.current_copy_count} copies")
try:
    ask(shared, held_out)
except ClientError as error:
    print(f"refused: {error.response['Error']['Message']}")
for component in components:
    component.delete()
    component.wait_for_delete(poll=1)

# A multi-model endpoint: a folder of archives; another one needs no deployment.
s3 = session.boto_session.client("s3")


def add(size):
    where, key = parse_s3_url(artifacts[size])
    s3.copy_object(Bucket=bucket, Key=f"{name}/models/{size}.tar.gz", CopySource={"Bucket": where, "Key": key})


add("small")
models.append(Model.create(model_name=f"{name}-multi", execution_role_arn=role, primary_container=container(
    f"s3://{bucket}/{name}/models/", mode="MultiModel", multi_model_config=shapes.MultiModelConfig(model_cache_setting="Enabled"))))
multi = serve("multi")
print(f"multi-model small: {right(ask(multi, held_out, target_model='small.tar.gz'))} of {len(held_out)} held-out rows are right")
try:
    ask(multi, held_out, target_model="large.tar.gz")
except ClientError as error:
    print(f"refused: {error.response['Error']['Message']}")
add("large")
print(f"multi-model large: {right(ask(multi, held_out, target_model='large.tar.gz'))} of {len(held_out)} held-out rows are right")

# A pipeline: the second model has learned from what the first one says of the
# training rows, and sees nothing else. Rows go one by one, since the first
# model's answer, all scores in one line, is one row to the second.
said = ask(multi, train, target_model="small.tar.gz")
second = artifact(fit("second", [[row[0], score] for row, score in zip(train, said, strict=True)], 20))
stages = [Model.create(model_name=f"{name}-{what}", execution_role_arn=role, primary_container=c) for what, c in {
    "first": container(artifacts["small"], environment={"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv"}), "second": container(second)}.items()]
builder = ModelBuilder(model=stages, role_arn=role, sagemaker_session=session, instance_type="ml.m5.large")
both = builder.build(model_name=f"{name}-pipeline")
models += [both, *stages]
pipeline = builder.deploy(endpoint_name=f"{name}-pipeline", initial_instance_count=1, wait=False)
pipeline.wait_for_status("InService", poll=1)
part = held_out[:100]
print(f"pipeline of {len(both.containers)}: {right([ask(pipeline, [row])[0] for row in part], part)} of {len(part)} held-out rows are right")

for endpoint in (shared, multi, pipeline):
    config = EndpointConfig.get(endpoint.endpoint_config_name)
    endpoint.delete()
    endpoint.wait_for_delete(poll=1)
    config.delete()
for model in models:
    model.delete()
