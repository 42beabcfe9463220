# SPDX-License-Identifier: Apache-2.0
"""Hyperparameter tuning jobs, with real trials of the built-in XGBoost."""

import re

from support import tuning


def test_random_search(bench):
    job, trials = tuning.run(bench, jobs=4, parallel=2)
    name = job["HyperParameterTuningJobName"]
    assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
    assert job["TrainingJobStatusCounters"] == {"Completed": 4, "InProgress": 0, "RetryableError": 0, "NonRetryableError": 0, "Stopped": 0}
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 4, "Pending": 0, "Failed": 0}
    assert len(trials) == 4
    for i, t in enumerate(trials, 1):
        assert re.fullmatch(rf"{name}-{i:03d}-[0-9a-f]{{8}}", t["TrainingJobName"])
        tuned = t["TunedHyperParameters"]
        assert 1 <= int(tuned["max_depth"]) <= 6 and 0.05 <= float(tuned["eta"]) <= 0.9
        child = bench.sagemaker.describe_training_job(TrainingJobName=t["TrainingJobName"])
        assert child["TuningJobArn"] == job["HyperParameterTuningJobArn"] and child["TrainingJobArn"] == t["TrainingJobArn"]
        assert child["HyperParameters"] == {**job["TrainingJobDefinition"]["StaticHyperParameters"], **tuned, "_tuning_objective_metric": "validation:auc"}
        final = {m["MetricName"]: m["Value"] for m in child["FinalMetricDataList"]}
        assert final["validation:auc"] == t["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
    best = max(trials, key=lambda t: t["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])
    assert job["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
