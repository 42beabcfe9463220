# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the server at random moments while tuning jobs run: no trial is lost, none is run twice, none has no owner."""

import random
import time

from support import tuning, work
from support.tuning import continuous, integer, ranges

MOMENTS = 12
TRIALS = 8


def test_kill_at_random_moments(other):
    server = other("crash-tuning")
    bench = work.Workbench(server)
    chance = random.Random(11)
    space = ranges([integer("max_depth", 2, 8)], [continuous("eta", 0.01, 0.5, "Logarithmic")])
    names = []

    def clients():  # for a server that has another port now
        for service in ("sagemaker", "s3"):
            setattr(bench, service, server.client(service))
    for moment in range(MOMENTS):
        if moment % 4 == 0:
            clients()
            strategy = ("Random", "Bayesian", "Hyperband")[moment // 4]
            hyperband = {"StrategyConfig": {"HyperbandStrategyConfig": {"MinResource": 20, "MaxResource": 300}}} if strategy == "Hyperband" else {}
            names.append(tuning.begin(bench, strategy=strategy, jobs=TRIALS, parallel=2, space=space, static={"num_round": "300"}, config=hyperband))
        time.sleep(chance.uniform(0, 0.5))
        server.kill()
        server.start()
    clients()
    mine = {}
    for name in names:
        job = tuning.finished(bench, name)
        assert job["HyperParameterTuningJobStatus"] == "Completed", job.get("FailureReason")
        counters = job["TrainingJobStatusCounters"]
        assert counters["Completed"] + counters["Stopped"] == TRIALS == job["ObjectiveStatusCounters"]["Succeeded"], counters
        trials = tuning.trials(bench, name)
        assert [int(t["TrainingJobName"].split("-")[-2]) for t in trials] == list(range(1, TRIALS + 1))
        mine |= {t["TrainingJobName"]: t for t in trials}
    for page in bench.sagemaker.get_paginator("list_training_jobs").paginate():
        for child in page["TrainingJobSummaries"]:
            trial = mine.pop(child["TrainingJobName"])
            job = bench.sagemaker.describe_training_job(TrainingJobName=child["TrainingJobName"])
            states = [t["Status"] for t in job["SecondaryStatusTransitions"]]
            assert states.count("Training") == 1, (child["TrainingJobName"], states)
            assert trial["TunedHyperParameters"].items() <= job["HyperParameters"].items()
            assert trial["TrainingJobStatus"] == job["TrainingJobStatus"]
            final = {m["MetricName"]: m["Value"] for m in job["FinalMetricDataList"]}
            assert final["validation:auc"] == trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
    assert not mine, "each trial has its training job"
