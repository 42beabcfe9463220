# SPDX-License-Identifier: Apache-2.0
"""SageMaker Python SDK v3: the life of an endpoint, by the resources of sagemaker.core.

Two models share its traffic; what they are asked is captured; an answer is
streamed; the better model takes over step by step, and is taken back when an
alarm rings; at last it gets the requests of the other one as a shadow. Nothing
here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/sdk3_endpoints.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import collections
import json
import pathlib
import time

from sagemaker.core import image_uris, shapes
from sagemaker.core.common_utils import name_from_base
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.resources import Endpoint, EndpointConfig, Model, TrainingJob

data = pathlib.Path(__file__).resolve().parents[1] / "internal/demo/data/breast_cancer.csv"
rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
rows = [[label, *features] for *features, label in rows]  # XGBoost's CSV has the label first
train, held_out = rows[0::2], rows[1::2]
body = "\n".join(",".join(row[1:]) for row in held_out)

session, role = Session(), get_execution_role()
bucket, name = session.default_bucket(), name_from_base("breast-cancer")
image = image_uris.retrieve("xgboost", session.boto_region_name, "1.7-1")
uri = session.upload_string_as_file_body("".join(",".join(row) + "\n" for row in train), bucket, f"{name}/train.csv")
channel = shapes.Channel(channel_name="train", content_type="text/csv", data_source=shapes.DataSource(
    s3_data_source=shapes.S3DataSource(s3_data_type="S3Prefix", s3_uri=uri)))
jobs = {size: TrainingJob.create(
    training_job_name=f"{name}-{size}",
    role_arn=role,
    algorithm_specification=shapes.AlgorithmSpecification(training_image=image, training_input_mode="File"),
    hyper_parameters={"objective": "binary:logistic", "max_depth": "4", "eta": "0.2", "num_round": str(rounds)},
    input_data_config=[channel],
    output_data_config=shapes.OutputDataConfig(s3_output_path=f"s3://{bucket}/{name}/models"),
    resource_config=shapes.ResourceConfig(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=5),
    stopping_condition=shapes.StoppingCondition(max_runtime_in_seconds=600),
) for size, rounds in {"small": 2, "large": 50}.items()}
models = {}
for size, job in jobs.items():
    job.wait(poll=1)
    models[size] = Model.create(model_name=f"{name}-{size}", execution_role_arn=role, primary_container=shapes.ContainerDefinition(
        image=image, model_data_url=job.model_artifacts.s3_model_artifacts))


def variant(size, weight=1.0, count=1):
    return shapes.ProductionVariant(variant_name=size, model_name=models[size].model_name, instance_type="ml.m5.large",
                                    initial_instance_count=count, initial_variant_weight=weight)


def asked(**more):
    return endpoint.invoke(body=body, content_type="text/csv", accept="text/csv", **more)


def right(answer):
    scores = answer.split(",")
    return sum((float(score) > 0.5) == (row[0] == "1") for score, row in zip(scores, held_out, strict=True))


# Two variants: three requests of four go to the small model, and all are captured.
both = EndpointConfig.create(
    endpoint_config_name=f"{name}-both",
    production_variants=[variant("small", 3.0), variant("large", 1.0)],
    data_capture_config=shapes.DataCaptureConfig(
        enable_capture=True, initial_sampling_percentage=100, destination_s3_uri=f"s3://{bucket}/{name}/captured",
        capture_options=[shapes.CaptureOption(capture_mode="Input"), shapes.CaptureOption(capture_mode="Output")],
        capture_content_type_header=shapes.CaptureContentTypeHeader(csv_content_types=["text/csv"])),
)
endpoint = Endpoint.create(endpoint_name=name, endpoint_config_name=f"{name}-both")
endpoint.wait_for_status("InService", poll=1)
shares = collections.Counter(asked().invoked_production_variant for _ in range(40))
print(f"variants: {shares['small']} to small, {shares['large']} to large")
for size in models:
    print(f"{size}: {right(asked(target_variant=size, inference_id='shown').body.read().decode())} of {len(held_out)} held-out rows are right")

# An answer piece by piece is had from the session's client: the endpoint's own
# invoke_with_response_stream fails on every stream in SDK 3.27.
stream = session.sagemaker_runtime_client.invoke_endpoint_with_response_stream(
    EndpointName=name, ContentType="text/csv", Accept="text/csv", TargetVariant="large", Body=body)
parts = [event["PayloadPart"]["Bytes"] for event in stream["Body"]]
print(f"streamed: {right(b''.join(parts).decode())} of {len(held_out)} held-out rows are right")

# Weights and instances change in place.
endpoint.update_weights_and_capacities(desired_weights_and_capacities=[
    shapes.DesiredWeightAndCapacity(variant_name="large", desired_weight=9.0, desired_instance_count=2)])
endpoint.wait_for_status("InService", poll=1)
print("weights:", ", ".join(f"{v.variant_name} {v.current_weight} on {v.current_instance_count}" for v in endpoint.production_variants))

# The large model is to take over: a canary first, and an alarm that takes it back.
cloudwatch = session.boto_session.client("cloudwatch")
cloudwatch.put_metric_alarm(
    AlarmName=name, Namespace="AWS/SageMaker", MetricName="Invocation5XXErrors", Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=10,
    ComparisonOperator="GreaterThanThreshold", TreatMissingData="notBreaching",
    Dimensions=[{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "large"}])


def canary(wait):
    one = shapes.CapacitySize(type="INSTANCE_COUNT", value=1)
    return shapes.DeploymentConfig(
        blue_green_update_policy=shapes.BlueGreenUpdatePolicy(traffic_routing_configuration=shapes.TrafficRoutingConfig(
            type="CANARY", wait_interval_in_seconds=wait, canary_size=one)),
        auto_rollback_configuration=shapes.AutoRollbackConfig(alarms=[shapes.Alarm(alarm_name=name)]))


def baking():
    pending = endpoint.refresh().pending_deployment_summary
    return any(status.status == "Baking" for v in (pending.production_variants or [] if pending else []) for status in v.variant_status or [])


one = EndpointConfig.create(endpoint_config_name=f"{name}-one", production_variants=[variant("small", count=2)])
two = EndpointConfig.create(endpoint_config_name=f"{name}-two", production_variants=[variant("large", count=2)])
endpoint.endpoint_config_name = one.endpoint_config_name
endpoint.update()
endpoint.wait_for_status("InService", poll=1)
endpoint.endpoint_config_name = two.endpoint_config_name
endpoint.update(deployment_config=canary(wait=120))
while not baking():
    time.sleep(0.5)
cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="to see it go back")
endpoint.wait_for_status("InService", poll=1)
print(f"rolled back: to {endpoint.endpoint_config_name}, {endpoint.failure_reason}")
cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="it has been seen")
endpoint.endpoint_config_name = two.endpoint_config_name
endpoint.update(deployment_config=canary(wait=1))
endpoint.wait_for_status("InService", poll=1)
print(f"deployed: {Endpoint.get(name).endpoint_config_name}, answered by {asked().invoked_production_variant}")
cloudwatch.delete_alarms(AlarmNames=[name])

# The small model sees what the large one is asked; its answers go nowhere.
shadowed = EndpointConfig.create(endpoint_config_name=f"{name}-shadowed", production_variants=[variant("large")],
                                 shadow_production_variants=[variant("small")])
endpoint.endpoint_config_name = shadowed.endpoint_config_name
endpoint.update()
endpoint.wait_for_status("InService", poll=1)
answered = {asked().invoked_production_variant for _ in range(10)}
print(f"shadow: {endpoint.shadow_production_variants[0].variant_name}, answered by {', '.join(answered)}")

# What was captured is in the bucket a moment later, an event a line.
def captured():
    return [json.loads(line) for key in session.list_s3_files(bucket, f"{name}/captured/")
            for line in session.read_s3_file(bucket, key).splitlines()]


while len(events := captured()) < 42:
    time.sleep(1)
shown = [event for event in events if event["eventMetadata"].get("inferenceId") == "shown"]
print(f"captured: {len(events)} events, {len(shown)} of them shown, {shown[0]['captureData']['endpointInput']['encoding']}")

endpoint.delete()
endpoint.wait_for_delete(poll=1)
for resource in (both, one, two, shadowed, *models.values()):
    resource.delete()
