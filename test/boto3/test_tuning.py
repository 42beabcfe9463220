# SPDX-License-Identifier: Apache-2.0
"""Hyperparameter tuning jobs, with real trials of the built-in XGBoost."""

import itertools
import re

import pytest

from support import tuning
from support.refusal import refused
from support.server import poll
from support.tuning import DEPTH_AND_ETA, categories, continuous, integer, ranges
from support.work import channel

COUNTERS = {"Completed": 0, "InProgress": 0, "RetryableError": 0, "NonRetryableError": 0, "Stopped": 0}
LONG = {"num_round": "1000000", "max_depth": "8"}  # of a trial that trains until it is stopped


def value(trial):
    return trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]


def completed(job):
    assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
    return job


def describe(bench, name):
    return bench.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)


@pytest.fixture(scope="module")
def searched(bench):
    """A random search that has ended: (what Describe says, its trials)."""
    return tuning.run(bench, jobs=6, parallel=2, config={"RandomSeed": 5}, Tags=[{"Key": "team", "Value": "a"}])


def test_random_search(bench, searched):
    job, trials = searched
    name = completed(job)["HyperParameterTuningJobName"]
    assert job["TrainingJobStatusCounters"] == {**COUNTERS, "Completed": 6}
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 6, "Pending": 0, "Failed": 0}
    assert job["ConsumedResources"]["RuntimeInSeconds"] >= 0 and job["HyperParameterTuningEndTime"] >= job["CreationTime"]
    for i, t in enumerate(trials, 1):
        assert re.fullmatch(rf"{name}-{i:03d}-[0-9a-f]{{8}}", t["TrainingJobName"])
        tuned = t["TunedHyperParameters"]
        assert 1 <= int(tuned["max_depth"]) <= 6 and 0.05 <= float(tuned["eta"]) <= 0.9
        child = bench.sagemaker.describe_training_job(TrainingJobName=t["TrainingJobName"])
        assert child["TuningJobArn"] == job["HyperParameterTuningJobArn"] and child["TrainingJobArn"] == t["TrainingJobArn"]
        assert child["HyperParameters"] == {**job["TrainingJobDefinition"]["StaticHyperParameters"], **tuned, "_tuning_objective_metric": "validation:auc"}
        assert (child["TrainingStartTime"], child["TrainingEndTime"]) == (t["TrainingStartTime"], t["TrainingEndTime"])
        defined = {m["Name"]: m["Regex"] for m in child["AlgorithmSpecification"]["MetricDefinitions"]}
        assert defined["ObjectiveMetric"] == defined["validation:auc"]
        assert bench.sagemaker.list_tags(ResourceArn=t["TrainingJobArn"])["Tags"] == [{"Key": "team", "Value": "a"}]
        final = {m["MetricName"]: m["Value"] for m in child["FinalMetricDataList"]}
        assert final["validation:auc"] == final["ObjectiveMetric"] == value(t)
    best = max(trials, key=value)
    assert value(job["BestTrainingJob"]) == value(best)
    assert "OverallBestTrainingJob" not in job


def test_the_same_seed_tries_the_same(bench, searched):
    _, again = tuning.run(bench, jobs=6, parallel=1, config={"RandomSeed": 5})
    _, other = tuning.run(bench, jobs=2, parallel=1, config={"RandomSeed": 6})
    tried = [t["TunedHyperParameters"] for t in searched[1]]
    assert [t["TunedHyperParameters"] for t in again] == tried and [t["TunedHyperParameters"] for t in other] != tried[:2]


def test_grid(bench):
    space = ranges(categories=[categories("max_depth", 2, 4), categories("eta", 0.1, 0.3, 0.5)])
    job, trials = tuning.run(bench, strategy="Grid", jobs=None, space=space)
    assert completed(job)["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxNumberOfTrainingJobs"] == 6
    tried = {(t["TunedHyperParameters"]["max_depth"], t["TunedHyperParameters"]["eta"]) for t in trials}
    assert tried == set(itertools.product("24", ["0.1", "0.3", "0.5"]))


def test_bayesian_finds_what_is_good(bench):
    """The best eta is far from the middle of its range: few rounds need a large one."""
    space = ranges(continuous=[continuous("eta", 1e-4, 1, "Logarithmic"), continuous("lambda", 0.1, 100, "Logarithmic")])
    job, trials = tuning.run(bench, strategy="Bayesian", jobs=15, parallel=2, space=space, metric="validation:logloss", goal="Minimize",
                             config={"RandomSeed": 1})
    assert completed(job)["TrainingJobStatusCounters"]["Completed"] == 15
    assert value(job["BestTrainingJob"]) == min(map(value, trials)) < 0.2
    late = sorted(map(value, trials[8:]))
    assert late[len(late) // 2] < sorted(map(value, trials[:4]))[1], "later trials are better than the first"


def test_no_time_is_lost_between_trials(bench):
    """A trial's end begins the next one at once: two at a time, the job lasts little longer than half of its trials together."""
    job, trials = tuning.run(bench, strategy="Bayesian", jobs=40, parallel=2, static={"num_round": "40"}, config={"RandomSeed": 3})
    last = max(t["TrainingEndTime"] for t in trials)
    own = sum((t["TrainingEndTime"] - t["CreationTime"]).total_seconds() for t in trials) / 2
    took = (last - completed(job)["CreationTime"]).total_seconds()
    assert took < 1.2 * own + 0.5, f"{took} s for trials of {own} s"


def test_hyperband_gives_up_what_is_worse(bench):
    space = ranges(continuous=[continuous("eta", 1e-4, 0.5, "Logarithmic")])
    job, trials = tuning.run(bench, strategy="Hyperband", jobs=9, parallel=3, space=space, static={"num_round": "3000", "max_depth": "3"},
                             metric="validation:logloss", goal="Minimize",
                             config={"StrategyConfig": {"HyperbandStrategyConfig": {"MinResource": 30, "MaxResource": 3000}}, "RandomSeed": 2})
    counters = completed(job)["TrainingJobStatusCounters"]
    assert counters["Stopped"] >= 1 and counters["Completed"] + counters["Stopped"] == 9, counters
    assert job["ObjectiveStatusCounters"]["Succeeded"] == 9, "what was stopped has an objective too"
    assert max(trials, key=value)["TrainingJobStatus"] == "Stopped", "the worst of all was not run to its end"


def test_early_stopping(bench):
    """The median rule stops slow learners once a few trials have ended."""
    space = ranges(categories=[categories("eta", *[0.3 + i / 100 for i in range(5)], *[0.0001 + i / 1e5 for i in range(5)])])
    job, trials = tuning.run(bench, jobs=10, parallel=1, space=space, static={"num_round": "2000", "max_depth": "3"}, metric="validation:logloss",
                             goal="Minimize", config={"TrainingJobEarlyStoppingType": "Auto", "RandomSeed": 4})
    completed(job)
    slow = [t for t in trials[5:] if float(t["TunedHyperParameters"]["eta"]) < 0.01]
    assert slow and all(t["TrainingJobStatus"] == "Stopped" for t in slow), [(t["TunedHyperParameters"], t["TrainingJobStatus"]) for t in trials]
    assert float(job["BestTrainingJob"]["TunedHyperParameters"]["eta"]) > 0.1


def test_several_definitions(bench):
    def one(name, **space):
        return tuning.definition(bench, {"num_round": "5"}, DefinitionName=name, TuningObjective={"Type": "Maximize", "MetricName": "validation:auc"},
                                 HyperParameterRanges=ranges(**space))
    asked = tuning.request(bench, strategy="Bayesian", jobs=8)
    config = asked["HyperParameterTuningJobConfig"]
    del asked["TrainingJobDefinition"], config["HyperParameterTuningJobObjective"], config["ParameterRanges"]
    asked["TrainingJobDefinitions"] = [one("deep", integers=[integer("max_depth", 4, 9)]), one("slow", continuous=[continuous("eta", 0.001, 0.1)])]
    bench.sagemaker.create_hyper_parameter_tuning_job(**asked)
    name = asked["HyperParameterTuningJobName"]
    job = completed(tuning.finished(bench, name))
    trials = tuning.trials(bench, name)
    assert {t["TrainingJobDefinitionName"] for t in trials} == {"deep", "slow"} and job["BestTrainingJob"]["TrainingJobDefinitionName"] in ("deep", "slow")
    for t in trials:
        assert list(t["TunedHyperParameters"]) == [{"deep": "max_depth", "slow": "eta"}[t["TrainingJobDefinitionName"]]]


def test_target_ends_the_search(bench):
    job, trials = tuning.run(bench, jobs=50, parallel=1, config={"TuningJobCompletionCriteria": {"TargetObjectiveMetricValue": 0.6}})
    assert len(trials) == 1 and value(completed(job)["BestTrainingJob"]) >= 0.6


def test_no_improvement_ends_the_search(bench):
    space = ranges(continuous=[continuous("lambda", 1, 1.0001)])
    job, trials = tuning.run(bench, jobs=50, parallel=1, space=space,
                             config={"TuningJobCompletionCriteria": {"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}}})
    assert 4 <= len(trials) < 20
    assert completed(job)["TuningJobCompletionDetails"]["NumberOfTrainingJobsObjectiveNotImproving"] == 3


def test_convergence_ends_the_search(bench):
    space = ranges(continuous=[continuous("lambda", 1, 1.0001)])
    job, trials = tuning.run(bench, strategy="Bayesian", jobs=60, parallel=1, space=space, config={"RandomSeed": 1,
                             "TuningJobCompletionCriteria": {"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}}})
    assert 10 <= len(trials) < 60 and completed(job)["TuningJobCompletionDetails"]["ConvergenceDetectedTime"] >= job["CreationTime"]


def warm(parent, kind):
    return {"WarmStartConfig": {"ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": parent}], "WarmStartType": kind}}


def test_warm_start(bench, searched):
    parent, theirs = searched
    name = parent["HyperParameterTuningJobName"]
    job, trials = tuning.run(bench, strategy="Bayesian", jobs=2, parallel=1, **warm(name, "IdenticalDataAndAlgorithm"))
    overall = completed(job)["OverallBestTrainingJob"]
    assert value(overall) == max(map(value, trials + theirs))
    assert overall["TuningJobName"] in (name, job["HyperParameterTuningJobName"])
    job, trials = tuning.run(bench, strategy="Bayesian", jobs=2, parallel=1, **warm(parent["HyperParameterTuningJobArn"].rpartition("/")[2], "TransferLearning"))
    assert "OverallBestTrainingJob" not in completed(job)
    assert trials[0]["TunedHyperParameters"] == max(theirs, key=value)["TunedHyperParameters"], "it begins with what was best"


def test_autotune(bench):
    asked = tuning.request(bench, strategy="Bayesian", jobs=3, static={"max_depth": "3"}, Autotune={"Mode": "Enabled"})
    del asked["HyperParameterTuningJobConfig"]["ParameterRanges"]
    bench.sagemaker.create_hyper_parameter_tuning_job(**asked)
    job = completed(tuning.finished(bench, asked["HyperParameterTuningJobName"]))
    config = job["HyperParameterTuningJobConfig"]
    chosen = {r["Name"]: (r["MinValue"], r["MaxValue"]) for r in config["ParameterRanges"]["ContinuousParameterRanges"]}
    assert chosen["eta"] == ("0.1", "0.5") and "max_depth" not in str(config["ParameterRanges"])
    assert config["TrainingJobEarlyStoppingType"] == "Auto" and job["Autotune"] == {"Mode": "Enabled"}
    hints = {"AutoParameters": [{"Name": "eta", "ValueHint": "0.2"}, {"Name": "max_depth", "ValueHint": "4"}]}
    job, trials = tuning.run(bench, jobs=3, space=hints, Autotune={"Mode": "Enabled"})
    assert completed(job) and all(0.02 <= float(t["TunedHyperParameters"]["eta"]) <= 1 and int(t["TunedHyperParameters"]["max_depth"]) >= 1 for t in trials)


def test_what_a_trial_gets(bench):
    """Spot, checkpoints of its own, environment, retries, network, and of several instances the first."""
    define = {"EnableManagedSpotTraining": True, "StoppingCondition": {"MaxRuntimeInSeconds": 100, "MaxWaitTimeInSeconds": 200},
              "CheckpointConfig": {"S3Uri": f"s3://{bench.bucket}/checkpoints/"}, "Environment": {"COLOUR": "blue"},
              "RetryStrategy": {"MaximumRetryAttempts": 2}, "EnableNetworkIsolation": True, "EnableInterContainerTrafficEncryption": True,
              "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
              "HyperParameterTuningResourceConfig": {"AllocationStrategy": "Prioritized", "InstanceConfigs": [
                  {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 7}, {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 7}]}}
    asked = tuning.request(bench, jobs=1, parallel=1, define=define)
    del asked["TrainingJobDefinition"]["ResourceConfig"]
    bench.sagemaker.create_hyper_parameter_tuning_job(**asked)
    name = asked["HyperParameterTuningJobName"]
    completed(tuning.finished(bench, name))
    (trial,) = tuning.trials(bench, name)
    child = bench.sagemaker.describe_training_job(TrainingJobName=trial["TrainingJobName"])
    for member in define.keys() & child.keys() - {"CheckpointConfig"}:
        assert child[member] == define[member]
    assert child["CheckpointConfig"]["S3Uri"] == f"s3://{bench.bucket}/checkpoints/{trial['TrainingJobName']}"
    assert child["ResourceConfig"] == {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 7}


    told = describe(bench, name)["TrainingJobDefinition"]
    assert told["ResourceConfig"] == child["ResourceConfig"] and told["HyperParameterTuningResourceConfig"] == define["HyperParameterTuningResourceConfig"]


def test_what_describe_adds(bench, searched):
    """As on AWS: the hyperparameter and the metrics of the service, all kinds of ranges, instances as ResourceConfig. HyperparameterTuner.attach of SDK v2 wants all of it."""
    asked = tuning.request(bench, jobs=1, space={"IntegerParameterRanges": [integer("max_depth", 1, 6)]})
    machines = asked["TrainingJobDefinition"].pop("ResourceConfig")
    asked["TrainingJobDefinition"]["HyperParameterTuningResourceConfig"] = machines
    asked["TrainingJobDefinition"]["AlgorithmSpecification"]["MetricDefinitions"] = searched[0]["TrainingJobDefinition"]["AlgorithmSpecification"]["MetricDefinitions"]
    bench.sagemaker.create_hyper_parameter_tuning_job(**asked)
    job = completed(tuning.finished(bench, asked["HyperParameterTuningJobName"]))
    told = job["TrainingJobDefinition"]
    assert told["StaticHyperParameters"] == {**asked["TrainingJobDefinition"]["StaticHyperParameters"], "_tuning_objective_metric": "validation:auc"}
    defined = told["AlgorithmSpecification"]["MetricDefinitions"]
    by_name = {m["Name"]: m["Regex"] for m in defined}
    assert by_name["ObjectiveMetric"] == by_name["validation:auc"] and len(by_name) == len(defined) <= 40 and defined == asked["TrainingJobDefinition"]["AlgorithmSpecification"]["MetricDefinitions"]
    assert told["ResourceConfig"] == machines and "HyperParameterTuningResourceConfig" not in told
    space = job["HyperParameterTuningJobConfig"]["ParameterRanges"]
    assert space["ContinuousParameterRanges"] == space["CategoricalParameterRanges"] == [] and len(space["IntegerParameterRanges"]) == 1
    (trial,) = tuning.trials(bench, job["HyperParameterTuningJobName"])
    final = bench.sagemaker.describe_training_job(TrainingJobName=trial["TrainingJobName"])["FinalMetricDataList"]
    assert len({m["MetricName"] for m in final}) == len(final), "no metric is defined twice"


def test_a_list_of_one_definition(bench):
    """One algorithm may be stopped early, and be the parent of another search."""
    asked = tuning.request(bench, strategy="Bayesian", jobs=2, config={"TrainingJobEarlyStoppingType": "Auto"})
    asked["TrainingJobDefinitions"] = several(asked, ["only"])
    bench.sagemaker.create_hyper_parameter_tuning_job(**asked)
    parent = asked["HyperParameterTuningJobName"]
    completed(tuning.finished(bench, parent))
    child = {**asked, "HyperParameterTuningJobName": f"{parent}-2", **warm(parent, "IdenticalDataAndAlgorithm")}
    bench.sagemaker.create_hyper_parameter_tuning_job(**child)
    job = completed(tuning.finished(bench, child["HyperParameterTuningJobName"]))
    assert job["OverallBestTrainingJob"]["TrainingJobDefinitionName"] == "only"
    assert job["TrainingJobDefinitions"][0]["StaticHyperParameters"]["_tuning_objective_metric"] == "validation:auc"


def test_trials_that_fail(bench):
    job, trials = tuning.run(bench, jobs=8, parallel=1, static={"objective": "nonsense"})
    assert job["HyperParameterTuningJobStatus"] == "Failed" and job["FailureReason"].startswith("All training jobs failed."), job
    assert len(trials) == 5, "it gives up after five"
    assert job["TrainingJobStatusCounters"] == {**COUNTERS, "NonRetryableError": 5} and job["ObjectiveStatusCounters"]["Failed"] == 5
    assert all(t["TrainingJobStatus"] == "Failed" and "nonsense" in t["FailureReason"] and t["ObjectiveStatus"] == "Failed" for t in trials)
    assert "BestTrainingJob" not in job
    job, trials = tuning.run(bench, jobs=2, define={"OutputDataConfig": {"S3OutputPath": "s3://no-such-bucket-at-all/x"}})
    assert job["HyperParameterTuningJobStatus"] == "Failed" and "no-such-bucket-at-all" in trials[0]["FailureReason"]


def test_stop(bench):
    name = tuning.begin(bench, jobs=20, parallel=2, space=ranges(continuous=[continuous("eta", 0.1, 0.5)]), static=LONG)
    running = poll(lambda: [t for t in tuning.trials(bench, name, StatusEquals="InProgress") if "TrainingStartTime" in t], 30, "two trials to run")
    job = describe(bench, name)
    assert job["HyperParameterTuningJobStatus"] == "InProgress" and job["ObjectiveStatusCounters"]["Pending"] == 2 >= len(running)
    with refused("ValidationException", "status InProgress, which is not in a terminal state"):
        bench.sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    with refused("ValidationException", "InProgress. Parent tuning jobs must be in a terminal state"):
        tuning.begin(bench, strategy="Bayesian", **warm(name, "TransferLearning"))
    bench.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    job = tuning.finished(bench, name)
    assert job["HyperParameterTuningJobStatus"] == "Stopped" and job["TrainingJobStatusCounters"] == {**COUNTERS, "Stopped": 2}
    for t in tuning.trials(bench, name):
        assert bench.sagemaker.describe_training_job(TrainingJobName=t["TrainingJobName"])["TrainingJobStatus"] == "Stopped" == t["TrainingJobStatus"]
    with refused("ValidationException", "already in status Stopped"):
        bench.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)


def test_a_trial_that_its_user_stops(bench):
    name = tuning.begin(bench, jobs=1, parallel=1, space=ranges(continuous=[continuous("eta", 0.1, 0.5)]), static=LONG)
    (t,) = poll(lambda: tuning.trials(bench, name), 30, "the trial")
    bench.reached(t["TrainingJobName"], "Training")
    bench.sagemaker.stop_training_job(TrainingJobName=t["TrainingJobName"])
    assert tuning.finished(bench, name)["TrainingJobStatusCounters"]["Stopped"] == 1


def test_delete(bench):
    job, trials = tuning.run(bench, jobs=1)
    name = job["HyperParameterTuningJobName"]
    bench.sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    for gone in ("describe_hyper_parameter_tuning_job", "stop_hyper_parameter_tuning_job", "delete_hyper_parameter_tuning_job",
                 "list_training_jobs_for_hyper_parameter_tuning_job"):
        with refused("ResourceNotFound", f"Amazon SageMaker can't find a tuning job called {name}. Type another name."):
            getattr(bench.sagemaker, gone)(HyperParameterTuningJobName=name)
    assert bench.sagemaker.describe_training_job(TrainingJobName=trials[0]["TrainingJobName"])["TrainingJobStatus"] == "Completed"
    again, _ = tuning.run(bench, name, jobs=1)
    assert completed(again)["TrainingJobStatusCounters"]["Completed"] == 1, "the name is free again"


def test_lists(bench, searched):
    job, trials = searched
    name = job["HyperParameterTuningJobName"]

    def names(**order):
        return [t["TrainingJobName"] for t in tuning.trials(bench, name, PaginationConfig={"PageSize": 2}, **order)]
    by_name = sorted(t["TrainingJobName"] for t in trials)
    assert names() == names(SortBy="Name") == names(SortBy="CreationTime") == names(StatusEquals="Completed") == by_name
    assert names(SortOrder="Descending") == by_name[::-1] and sorted(names(SortBy="Status")) == by_name
    for order, reverse in (("Ascending", False), ("Descending", True)):
        got = [t for t in tuning.trials(bench, name, SortBy="FinalObjectiveMetricValue", SortOrder=order, PaginationConfig={"PageSize": 4})]
        assert [value(t) for t in got] == sorted(map(value, trials), reverse=reverse)
    assert names(StatusEquals="Failed") == []
    one = bench.sagemaker.list_hyper_parameter_tuning_jobs(NameContains=name, StatusEquals="Completed")["HyperParameterTuningJobSummaries"]
    mine = next(s for s in one if s["HyperParameterTuningJobName"] == name)
    assert mine["Strategy"] == "Random" and mine["ResourceLimits"] == job["HyperParameterTuningJobConfig"]["ResourceLimits"]
    assert mine["TrainingJobStatusCounters"]["Completed"] == 6
    all_names = [s["HyperParameterTuningJobName"] for page in bench.sagemaker.get_paginator("list_hyper_parameter_tuning_jobs").paginate() for s in page["HyperParameterTuningJobSummaries"]]
    assert all_names == sorted(all_names) and name in all_names
    assert bench.sagemaker.list_tags(ResourceArn=job["HyperParameterTuningJobArn"])["Tags"] == [{"Key": "team", "Value": "a"}]
    for order in ({}, {"SortBy": "FinalObjectiveMetricValue"}):
        with refused("ValidationException", "Invalid pagination token"):
            bench.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName=name, NextToken="x", **order)
    with refused("ValidationException"):
        bench.sagemaker.list_hyper_parameter_tuning_jobs(StatusEquals="Sleeping")


CUSTOM = {"metric": "loss", "goal": "Minimize"}

REFUSED = {
    "no range": (dict(space={}), "At least one hyperparameter range"),
    "lower above upper": (dict(space=ranges([integer("max_depth", 5, 2)])), r"MinValue \[5\].*less than or equal to its MaxValue \[2\]"),
    "no integer": (dict(space=ranges([integer("max_depth", 1.5, 2)])), "must be integer numbers"),
    "no number": (dict(space=ranges(continuous=[continuous("eta", "a", "b")])), "must be continuous numbers"),
    "logarithm of nought": (dict(space=ranges(continuous=[continuous("eta", 0, 1, "Logarithmic")])), "greater than 0"),
    "reverse logarithm of one": (dict(space=ranges(continuous=[continuous("eta", 0, 1, "ReverseLogarithmic")])), r"within 0 <= x < 1.0"),
    "reverse logarithm of integers": (dict(space=ranges([integer("max_depth", 1, 5, "ReverseLogarithmic")])), "only for continuous"),
    "two ranges of one": (dict(space=ranges([integer("max_depth", 1, 5)], [continuous("max_depth", 1, 5)])), "more than one range"),
    "static and tuned": (dict(static={"eta": "1"}), "both in StaticHyperParameters and in ParameterRanges"),
    "reserved": (dict(static={"_tuning_objective_metric": "x"}), "reserved"),
    "a value twice": (dict(space=ranges(categories=[categories("max_depth", 1, 1)])), "more than once"),
    "not tunable": (dict(space=ranges([integer("seed", 1, 5)])), r"\[seed\] can't be tuned"),
    "beyond the algorithm's bounds": (dict(space=ranges(continuous=[continuous("eta", 0.1, 2)])), r"\[eta\] isn't valid for the \[xgboost\] algorithm.*2 is not in \[0, 1\]"),
    "fractions of an integer": (dict(space=ranges(continuous=[continuous("max_depth", 1, 2)])), "is an integer"),
    "too few combinations": (dict(space=ranges([integer("max_depth", 1, 3)]), jobs=10),
                             r"You don't have enough combinations of hyperparameter ranges. .* provided ranges \[3.0\] .* MaxNumberOfJobs, \[10\]"),
    "another metric": (dict(metric="validation:beauty"), r"\[validation:beauty\], isn't valid for the \[xgboost\] algorithm. Choose a valid objective metric"),
    "the wrong way": (dict(goal="Minimize"), r"type, \[Minimize\], that you specified for objective metric, \[validation:auc\], isn't valid"),
    "definitions for a built-in": (dict(define={"AlgorithmSpecification": {"TrainingImage": "@", "TrainingInputMode": "File", "MetricDefinitions": [{"Name": "a", "Regex": "b"}]}}),
                                   "You can't override the metric definitions"),
    "no metric": (dict(**CUSTOM, static={"sagemaker_program": "train.py"}), "A metric is required for this hyperparameter tuning job objective. Provide a metric"),
    "a bad expression": (dict(**CUSTOM, static={"sagemaker_program": "train.py"}, define={"AlgorithmSpecification": {
        "TrainingImage": "@", "TrainingInputMode": "File", "MetricDefinitions": [{"Name": "loss", "Regex": "("}]}}), "regular expression"),
    "no number of jobs": (dict(jobs=None), "MaxNumberOfTrainingJobs is required"),
    "grid of numbers": (dict(strategy="Grid", jobs=None), "supports only CategoricalParameterRanges"),
    "grid of another size": (dict(strategy="Grid", jobs=5, space=ranges(categories=[categories("max_depth", 1, 2)])), r"\[5\] must be left out .* \[2\]"),
    "hyperband that stops early": (dict(strategy="Hyperband", config={"TrainingJobEarlyStoppingType": "Auto"}), "must be Off for the strategy Hyperband"),
    "hyperband without epochs": (dict(strategy="Hyperband"), "MaxResource parameter is not provided and could not be inferred"),
    "hyperband upside down": (dict(strategy="Hyperband", config={"StrategyConfig": {"HyperbandStrategyConfig": {"MinResource": 9, "MaxResource": 3}}}), r"MinResource \[9\] must be less"),
    "epochs for random": (dict(config={"StrategyConfig": {"HyperbandStrategyConfig": {"MaxResource": 3}}}), "only for the strategy Hyperband"),
    "no such image": (dict(define={"AlgorithmSpecification": {"TrainingImage": "nowhere.example.com/x:1", "TrainingInputMode": "File"}}), "Cannot find the training image"),
    "an algorithm by name": (dict(define={"AlgorithmSpecification": {"AlgorithmName": "mine", "TrainingInputMode": "File"}}), "AlgorithmName is not supported"),
    "no such role": (dict(define={"RoleArn": "arn:aws:iam::123456789012:role/nobody"}), "Could not assume role"),
    "no parent": (dict(strategy="Bayesian", **warm("nobody", "TransferLearning")), "can't find the parent tuning job nobody"),
    "warm start of a grid": (dict(strategy="Grid", jobs=None, space=ranges(categories=[categories("max_depth", 1, 2)]), **warm("@", "TransferLearning")), "not supported for the strategy Grid"),
    "another objective than the parent's": (dict(metric="validation:error", goal="Minimize", **warm("@", "TransferLearning")), "must be the same as that of the tuning job"),
    "fewer hyperparameters than the parent": (dict(space=ranges([integer("max_depth", 1, 6)]), **warm("@", "TransferLearning")), "The set of tunable plus static HyperParameter names is not the same"),
    "another hyperparameter than the parent's": (dict(space=ranges([integer("max_depth", 1, 6)], [continuous("lambda", 0.1, 1)]), **warm("@", "TransferLearning")),
                                                 "The set of tunable plus static HyperParameter names is not the same"),
    "another environment than the parent's": (dict(define={"Environment": {"A": "b"}}, **warm("@", "TransferLearning")),
                                              "Only the following fields in TrainingJobDefinition are allowed to change"),
    "other data than the parent's": (dict(define={"InputDataConfig": "@"}, **warm("@", "IdenticalDataAndAlgorithm")), "input data of the parent"),
    "hyperband without end": (dict(strategy="Hyperband", config={"StrategyConfig": {"HyperbandStrategyConfig": {"MaxResource": 20001}}}), r"MaxResource \[20001\].* equal to \[20000\]"),
    "hints without autotune": (dict(space={**DEPTH_AND_ETA, "AutoParameters": [{"Name": "alpha", "ValueHint": "1"}]}), "AutoParameters are only for tuning jobs whose Autotune"),
    "hints that are no values": (dict(space={"AutoParameters": [{"Name": "eta", "ValueHint": "high"}]}, Autotune={"Mode": "Enabled"}), "must be a number, true or false"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(bench, searched, what):
    members, message = REFUSED[what]
    asked = tuning.request(bench, **members)
    spec = asked["TrainingJobDefinition"]["AlgorithmSpecification"]
    if spec.get("TrainingImage") == "@":
        spec["TrainingImage"] = bench.image
    if asked["TrainingJobDefinition"]["InputDataConfig"] == "@":
        asked["TrainingJobDefinition"]["InputDataConfig"] = [channel("train", bench.train_uri)]
    for parent in asked.get("WarmStartConfig", {}).get("ParentHyperParameterTuningJobs", []):
        if parent["HyperParameterTuningJobName"] == "@":
            parent["HyperParameterTuningJobName"] = searched[0]["HyperParameterTuningJobName"]
    with refused("ValidationException", message):
        bench.sagemaker.create_hyper_parameter_tuning_job(**asked)


def several(asked, names=("a", "b"), **more):
    """Makes a request's definition several, with objective and ranges of their own."""
    config, one = asked["HyperParameterTuningJobConfig"], asked.pop("TrainingJobDefinition")
    one |= {"TuningObjective": config.pop("HyperParameterTuningJobObjective"), "HyperParameterRanges": config.pop("ParameterRanges"), **more}
    return [{**one, "DefinitionName": name} for name in names]


@pytest.mark.parametrize("change, message", [
    (lambda r: r.pop("TrainingJobDefinition"), "exactly one of TrainingJobDefinition and TrainingJobDefinitions"),
    (lambda r: r.update(TrainingJobDefinitions=[r["TrainingJobDefinition"]]), "exactly one of"),
    (lambda r: r.update(TrainingJobDefinitions=[r.pop("TrainingJobDefinition")]), "only for a single TrainingJobDefinition"),
    (lambda r: r["HyperParameterTuningJobConfig"].pop("HyperParameterTuningJobObjective"), "HyperParameterTuningJobObjective is required"),
    (lambda r: r["HyperParameterTuningJobConfig"].pop("ParameterRanges"), "ParameterRanges is required"),
    (lambda r: r["TrainingJobDefinition"].pop("ResourceConfig"), "exactly one of ResourceConfig and HyperParameterTuningResourceConfig"),
    (lambda r: r["TrainingJobDefinition"].update(HyperParameterTuningResourceConfig={"VolumeSizeInGB": 5, "InstanceConfigs": [r["TrainingJobDefinition"].pop("ResourceConfig")]}),
     "must not have VolumeSizeInGB"),
    (lambda r: r.update(TrainingJobDefinitions=several(r, Environment={f"V{i}": "1" for i in range(25)})), r"environment variables of all TrainingJobDefinitions, \[50\]"),
    (lambda r: (r.update(TrainingJobDefinitions=several(r)), r["HyperParameterTuningJobConfig"].update(TrainingJobEarlyStoppingType="Auto")), "only when you're tuning a single algorithm"),
    (lambda r: r.update(HyperParameterTuningJobName="x" * 33), "less than or equal to 32"),
    (lambda r: r.update(HyperParameterTuningJobName="a_b"), "regular expression pattern"),
])
def test_members_that_need_each_other(bench, change, message):
    asked = tuning.request(bench)
    change(asked)
    with refused("ValidationException", message):
        bench.sagemaker.create_hyper_parameter_tuning_job(**asked)


def test_limits(bench, searched):
    with refused("ResourceInUse", "A hyperparameter tuning job with the name, .*, already exists. Choose a different name."):
        tuning.begin(bench, searched[0]["HyperParameterTuningJobName"])
    for members in (dict(strategy="Bayesian", jobs=751), dict(jobs=10001), dict(jobs=500, parallel=101)):
        with refused("ResourceLimitExceeded", "account-level service limit"):
            tuning.begin(bench, **members)
    many = ranges([integer(f"i{i}", 0, 1) for i in range(16)], [continuous(f"c{i}", 0, 1) for i in range(15)])
    with refused("ResourceLimitExceeded", "hyperparameters that can be searched"):
        tuning.begin(bench, space=many)
