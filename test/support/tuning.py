# SPDX-License-Identifier: Apache-2.0
"""Requests of hyperparameter tuning jobs, and waiting for their end."""

from support.server import poll
from support.work import unique


def integer(name, low, high, scale="Auto"):
    return {"Name": name, "MinValue": str(low), "MaxValue": str(high), "ScalingType": scale}


continuous = integer


def categories(name, *values):
    return {"Name": name, "Values": [str(v) for v in values]}


def ranges(integers=(), continuous=(), categories=()):
    return {"IntegerParameterRanges": list(integers), "ContinuousParameterRanges": list(continuous), "CategoricalParameterRanges": list(categories)}


DEPTH_AND_ETA = ranges([integer("max_depth", 1, 6)], [continuous("eta", 0.05, 0.9)])


def definition(bench, static=(), **more):
    """A training job definition: XGBoost on the breast cancer data."""
    job = bench.request()
    hyper = {"objective": "binary:logistic", "num_round": "5", **dict(static)}
    members = ("RoleArn", "AlgorithmSpecification", "InputDataConfig", "OutputDataConfig", "ResourceConfig", "StoppingCondition")
    return {**{k: job[k] for k in members}, "StaticHyperParameters": hyper, **more}


def request(bench, name=None, strategy="Random", jobs=4, parallel=2, space=DEPTH_AND_ETA, metric="validation:auc", goal="Maximize",
            static=(), config=(), limits=(), define=(), **more):
    """The members of a CreateHyperParameterTuningJob request. Jobs None leaves their number out."""
    most = {} if jobs is None else {"MaxNumberOfTrainingJobs": jobs}
    return {"HyperParameterTuningJobName": name or unique("tune"),
            "HyperParameterTuningJobConfig": {
                "Strategy": strategy, "HyperParameterTuningJobObjective": {"Type": goal, "MetricName": metric},
                "ResourceLimits": {**most, "MaxParallelTrainingJobs": parallel, **dict(limits)}, "ParameterRanges": space, **dict(config)},
            "TrainingJobDefinition": definition(bench, static, **dict(define)), **more}


def begin(bench, *args, **kwargs):
    asked = request(bench, *args, **kwargs)
    bench.sagemaker.create_hyper_parameter_tuning_job(**asked)
    return asked["HyperParameterTuningJobName"]


def finished(bench, name, limit=120):
    """Waits until a tuning job has ended, however it did."""
    def look():
        job = bench.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        return job if job["HyperParameterTuningJobStatus"] in ("Completed", "Failed", "Stopped") else None
    return poll(look, limit, f"the tuning job {name} to end")


def trials(bench, name, **order):
    """All summaries, page by page."""
    pages = bench.sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(HyperParameterTuningJobName=name, **order)
    return [s for page in pages for s in page["TrainingJobSummaries"]]


def run(bench, *args, **kwargs):
    """Runs a tuning job to its end: (what Describe says, its trials)."""
    name = begin(bench, *args, **kwargs)
    job = finished(bench, name)
    return job, trials(bench, name)
