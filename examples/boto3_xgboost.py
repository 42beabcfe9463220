# SPDX-License-Identifier: Apache-2.0
"""boto3: train the built-in XGBoost, deploy it, predict.

Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:

    sagebrush run -- python examples/boto3_xgboost.py

Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
"""

import json
import pathlib
import time

import boto3

data = pathlib.Path(__file__).resolve().parents[1] / "internal/demo/data/breast_cancer.csv"
rows = [line.split(",") for line in data.read_text().splitlines()[1:]]
rows = [",".join([label, *features]) for *features, label in rows]  # XGBoost's CSV has the label first
train, held_out = rows[:-100], rows[-100:]

sagemaker, s3 = boto3.client("sagemaker"), boto3.client("s3")
account = boto3.client("sts").get_caller_identity()["Account"]
region = sagemaker.meta.region_name
role = f"arn:aws:iam::{account}:role/service-role/AmazonSageMaker-ExecutionRole"
image = f"683313688378.dkr.ecr.{region}.amazonaws.com/sagemaker-xgboost:1.7-1"
bucket = f"sagemaker-{region}-{account}"
name = f"breast-cancer-{int(time.time())}"

if bucket not in {b["Name"] for b in s3.list_buckets()["Buckets"]}:
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=bucket, **place)
s3.put_object(Bucket=bucket, Key=f"{name}/train/data.csv", Body="\n".join(train))

sagemaker.create_training_job(
    TrainingJobName=name, RoleArn=role,
    AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
    HyperParameters={"objective": "binary:logistic", "num_round": "50", "eval_metric": "auc"},
    InputDataConfig=[{"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": {
        "S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/{name}/train/"}}}],
    OutputDataConfig={"S3OutputPath": f"s3://{bucket}/{name}/output"},
    ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
    StoppingCondition={"MaxRuntimeInSeconds": 600})
sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName=name, WaiterConfig={"Delay": 1})
job = sagemaker.describe_training_job(TrainingJobName=name)
print(job["TrainingJobStatus"], {m["MetricName"]: round(m["Value"], 4) for m in job["FinalMetricDataList"]})

sagemaker.create_model(ModelName=name, ExecutionRoleArn=role, PrimaryContainer={
    "Image": image, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]})
sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[{
    "VariantName": "AllTraffic", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}])
sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 1})

answer = boto3.client("sagemaker-runtime").invoke_endpoint(
    EndpointName=name, ContentType="text/csv", Accept="application/json",
    Body="\n".join(row.partition(",")[2] for row in held_out))
scores = [p["score"] for p in json.loads(answer["Body"].read())["predictions"]]
right = sum((score > 0.5) == row.startswith("1") for score, row in zip(scores, held_out))
print(f"{right} of {len(held_out)} held-out rows are right")

sagemaker.delete_endpoint(EndpointName=name)
sagemaker.delete_endpoint_config(EndpointConfigName=name)
sagemaker.delete_model(ModelName=name)
