# SPDX-License-Identifier: Apache-2.0
"""boto3: a deployment with guardrails: a bad model gets a tenth of the traffic, an alarm sees its errors, and the endpoint goes back.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/boto3_guardrails.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import collections
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


good = model("good", train, 50)
bad = model("bad", [row[:10] for row in train], 50)  # of nine columns: it refuses rows of thirty
for m in (good, bad):
    sagemaker.create_endpoint_config(EndpointConfigName=m, ProductionVariants=[
        {"VariantName": "AllTraffic", "ModelName": m, "InstanceType": "ml.m5.large", "InitialInstanceCount": 2}])
sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=good)
sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 1})

cloudwatch.put_metric_alarm(
    AlarmName=name, Namespace="AWS/SageMaker", MetricName="InvocationModelErrors", Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=5,
    ComparisonOperator="GreaterThanThreshold", TreatMissingData="notBreaching",
    Dimensions=[{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": "AllTraffic"}])
sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=bad, DeploymentConfig={
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {"Type": "CANARY", "WaitIntervalInSeconds": 600, "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10}},
        "MaximumExecutionTimeoutInSeconds": 3600},
    "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name}]}})


def ask(row):
    """Whether the endpoint is right; an error's code where it answers none."""
    try:
        answer = runtime.invoke_endpoint(EndpointName=name, ContentType="text/csv", Accept="text/csv", Body=",".join(row[1:]))
    except runtime.exceptions.ModelError as e:
        return f"ModelError {e.response['OriginalStatusCode']}"
    return "right" if (float(answer["Body"].read()) > 0.5) == (row[0] == "1") else "wrong"


seen = collections.Counter()
while (endpoint := sagemaker.describe_endpoint(EndpointName=name))["EndpointStatus"] == "Updating":
    seen.update(map(ask, held_out[:20]))
    time.sleep(0.2)
print("while it was tried:", dict(seen))
print(f"{endpoint['EndpointStatus']} with {endpoint['EndpointConfigName'].removeprefix(name + '-')}: {endpoint['FailureReason']}")
after = collections.Counter(map(ask, held_out))
print(f"{after['right']} of {len(held_out)} held-out rows are right")

sagemaker.delete_endpoint(EndpointName=name)
cloudwatch.delete_alarms(AlarmNames=[name])
for m in (good, bad):
    sagemaker.delete_endpoint_config(EndpointConfigName=m)
    sagemaker.delete_model(ModelName=m)
