# SPDX-License-Identifier: Apache-2.0
"""PyTorch on two hosts: a gloo all-reduce, with Debian's python3-torch where it is installed."""

import json
import subprocess

import pytest

from support import work

PYTHON = "/usr/bin/python3"
HAS_TORCH = subprocess.run([PYTHON, "-c", "import torch.distributed"], capture_output=True).returncode == 0

SCRIPT = b"""
import json, os
import torch, torch.distributed as dist

config = json.load(open("/opt/ml/input/config/resourceconfig.json"))
hosts, me = config["hosts"], config["current_host"]
os.environ.update(MASTER_ADDR=hosts[0], MASTER_PORT="7777", GLOO_SOCKET_IFNAME=config["network_interface_name"])
dist.init_process_group("gloo", rank=hosts.index(me), world_size=len(hosts))
value = torch.full((1000,), float(10 ** hosts.index(me)))
dist.all_reduce(value)
print(me, "sum is", value[0].item())
if hosts.index(me) == 0:
    json.dump(value.tolist(), open("/opt/ml/model/sum.json", "w"))
dist.barrier()
"""


@pytest.mark.skipif(not HAS_TORCH, reason="no PyTorch: apt-get install python3-torch")
@pytest.mark.parametrize("isolated", [False, True])
def test_two_hosts_sum_a_tensor(bench, isolated):
    uri = bench.put("gloo/code/run.py", SCRIPT, up=1)
    job = bench.train(
        work.unique("gloo"), HyperParameters={}, InputDataConfig=[work.channel("code", uri)], EnableNetworkIsolation=isolated,
        AlgorithmSpecification={"TrainingImage": f"683313688378.dkr.ecr.{bench.region}.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
                                "TrainingInputMode": "File", "ContainerEntrypoint": [PYTHON, "/opt/ml/input/data/code/run.py"]},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 5})
    lines = [line for some in bench.log_lines("/aws/sagemaker/TrainingJobs", job["TrainingJobName"] + "/").values() for line in some]
    assert job["TrainingJobStatus"] == "Completed", (job.get("FailureReason"), lines)
    assert {"algo-1 sum is 11.0", "algo-2 sum is 11.0"} <= set(lines)
    model = json.loads(work.members(bench.get(job["ModelArtifacts"]["S3ModelArtifacts"]))["sum.json"])
    assert model == [11.0] * 1000
