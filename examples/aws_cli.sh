#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The AWS CLI: train the built-in XGBoost, deploy it, predict.
#
# Nothing here knows of any place but Amazon SageMaker. To run it elsewhere:
#
#     sagebrush run -- sh examples/aws_cli.sh
#
# Data: Breast Cancer Wisconsin (Diagnostic), see internal/demo/data/README.md.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

account=$(aws sts get-caller-identity --query Account --output text)
region=${AWS_DEFAULT_REGION:-us-east-1}
role=arn:aws:iam::$account:role/service-role/AmazonSageMaker-ExecutionRole
image=683313688378.dkr.ecr.$region.amazonaws.com/sagemaker-xgboost:1.7-1
bucket=sagemaker-$region-$account
name=breast-cancer-cli-$(date +%s)

# The label is last in the file; XGBoost wants it first.
tail -n +2 "$here/../internal/demo/data/breast_cancer.csv" |
	awk -F, -v OFS=, '{ label = $NF; NF--; print label, $0 }' >"$work/all.csv"
head -n 469 "$work/all.csv" >"$work/train.csv"
tail -n 100 "$work/all.csv" | cut -d, -f2- >"$work/ask.csv"
tail -n 100 "$work/all.csv" | cut -d, -f1 >"$work/truth"

aws s3 ls "s3://$bucket" >/dev/null 2>&1 || aws s3 mb "s3://$bucket"
aws s3 cp "$work/train.csv" "s3://$bucket/$name/train/train.csv"

aws sagemaker create-training-job --training-job-name "$name" --role-arn "$role" \
	--algorithm-specification "TrainingImage=$image,TrainingInputMode=File" \
	--hyper-parameters objective=binary:logistic,num_round=50,eval_metric=auc \
	--input-data-config "ChannelName=train,ContentType=text/csv,DataSource={S3DataSource={S3DataType=S3Prefix,S3Uri=s3://$bucket/$name/train/}}" \
	--output-data-config "S3OutputPath=s3://$bucket/$name/output" \
	--resource-config InstanceType=ml.m5.large,InstanceCount=1,VolumeSizeInGB=10 \
	--stopping-condition MaxRuntimeInSeconds=600

status=InProgress
while [ "$status" = InProgress ]; do
	sleep 1
	status=$(aws sagemaker describe-training-job --training-job-name "$name" --query TrainingJobStatus --output text)
done
aws sagemaker describe-training-job --training-job-name "$name" \
	--query '{Status: TrainingJobStatus, Metrics: FinalMetricDataList[].[MetricName, Value]}'
model=$(aws sagemaker describe-training-job --training-job-name "$name" --query ModelArtifacts.S3ModelArtifacts --output text)

aws sagemaker create-model --model-name "$name" --execution-role-arn "$role" \
	--primary-container "Image=$image,ModelDataUrl=$model"
aws sagemaker create-endpoint-config --endpoint-config-name "$name" --production-variants \
	"VariantName=AllTraffic,ModelName=$name,InstanceType=ml.m5.large,InitialInstanceCount=1"
aws sagemaker create-endpoint --endpoint-name "$name" --endpoint-config-name "$name"
aws sagemaker wait endpoint-in-service --endpoint-name "$name"

aws sagemaker-runtime invoke-endpoint --endpoint-name "$name" --content-type text/csv --accept text/csv \
	--body "fileb://$work/ask.csv" "$work/scores"
tr ',' '\n' <"$work/scores" | paste -d' ' - "$work/truth" |
	awk '{ right += ($1 > 0.5) == $2 } END { print right " of " NR " held-out rows are right" }'

aws sagemaker delete-endpoint --endpoint-name "$name"
aws sagemaker delete-endpoint-config --endpoint-config-name "$name"
aws sagemaker delete-model --model-name "$name"
