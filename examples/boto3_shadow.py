# SPDX-License-Identifier: Apache-2.0
"""boto3: a new model is tried on copies of an endpoint's requests, as its shadow variant.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/boto3_shadow.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import datetime
import pathlib
import time

import boto3

data = pathlib.Path(__file__).resolve().parents[1] / "internal/demo/data/breast_cancer.csv"
rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
rows = [[label, *features] for *features, label in rows]  # XGBoost's CSV has the label first
train, held_out = rows[0::2], rows[1::2]

sagemaker, runtime, s3, cloudwatch = map(boto3.client, ("sagemaker", "sagemaker-runtime", "s3", "cloudwatch"))
account = boto3.client("sts").get_caller_identity()["Account"]
region = sagemaker.meta.region_name
role = f"arn:aws:iam::{account}:role/service-role/AmazonSageMaker-ExecutionRole"
image = f"683313688378.dkr.ecr.{region}.amazonaws.com/sagemaker-xgboost:1.7-1"
bucket = f"sagemaker-{region}-{account}"
name = f"breast-cancer-{int(time.time())}"

if bucket not in {b["Name"] for b in s3.list_buckets()["Buckets"]}:
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=bucket, **place)


def model(suffix, rows, rounds):
    """Trains a model and makes it known; its name."""
    job = f"{name}-{suffix}"
    s3.put_object(Bucket=bucket, Key=f"{job}/train/data.csv", Body="\n".join(",".join(row) for row in rows))
    sagemaker.create_training_job(
        TrainingJobName=job, RoleArn=role,
        AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
        HyperParameters={"objective": "binary:logistic", "num_round": str(rounds)},
        InputDataConfig=[{"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": {
            "S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/{job}/train/"}}}],
        OutputDataConfig={"S3OutputPath": f"s3://{bucket}/{name}/output"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        StoppingCondition={"MaxRuntimeInSeconds": 600})
    sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName=job, WaiterConfig={"Delay": 1})
    artifact = sagemaker.describe_training_job(TrainingJobName=job)["ModelArtifacts"]["S3ModelArtifacts"]
    sagemaker.create_model(ModelName=job, ExecutionRoleArn=role, PrimaryContainer={"Image": image, "ModelDataUrl": artifact})
    return job


old, new = model("old", train, 10), model("new", train, 50)
variant = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1, "InitialVariantWeight": 1}
sagemaker.create_endpoint_config(
    EndpointConfigName=name,
    ProductionVariants=[{"VariantName": "production", "ModelName": old, **variant}],
    ShadowProductionVariants=[{"VariantName": "shadow", "ModelName": new, **variant}])  # the same weight: it gets every request
sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 1})

right = 0
for row in held_out:
    answer = runtime.invoke_endpoint(EndpointName=name, ContentType="text/csv", Accept="text/csv", Body=",".join(row[1:]))
    assert answer["InvokedProductionVariant"] == "production"  # nobody sees what the shadow answers
    right += (float(answer["Body"].read()) > 0.5) == (row[0] == "1")


def metric(variant, metric, statistic):
    now = datetime.datetime.now(datetime.timezone.utc)
    points = cloudwatch.get_metric_statistics(
        Namespace="AWS/SageMaker", MetricName=metric, Dimensions=[{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": variant}],
        StartTime=now - datetime.timedelta(minutes=10), EndTime=now + datetime.timedelta(minutes=1), Period=3600, Statistics=[statistic])["Datapoints"]
    return sum(p[statistic] for p in points)


end = time.monotonic() + 300
while metric("shadow", "Invocations", "Sum") < len(held_out) and time.monotonic() < end:
    time.sleep(1)
for v in ("production", "shadow"):
    print(f"{v}: {metric(v, 'Invocations', 'Sum'):.0f} requests, {metric(v, 'InvocationModelErrors', 'Sum'):.0f} errors, "
          f"{metric(v, 'ModelLatency', 'Average'):.0f} µs")
print(f"{right} of {len(held_out)} held-out rows are right")

sagemaker.delete_endpoint(EndpointName=name)
sagemaker.delete_endpoint_config(EndpointConfigName=name)
for m in (old, new):
    sagemaker.delete_model(ModelName=m)
