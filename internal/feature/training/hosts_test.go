// SPDX-License-Identifier: Apache-2.0

package training

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

func TestHostsOfAJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		for i := range 5 {
			l.put(fmt.Sprintf("parts/%d", i), fmt.Sprint(i))
		}
		l.run()
		in := request("churn", map[string]string{"FAKE_RUN_FOR": "1m", "FAKE_LOG": "hello\n\ttrain-auc:0.5\n", "FAKE_FILES": files("/opt/ml/model/m", "tree")})
		in.ResourceConfig.InstanceCount = new(int64(3))
		sharded := channel("parts", "s3://bucket/parts")
		sharded.DataSource.S3DataSource.S3DataDistributionType = "ShardedByS3Key"
		in.InputDataConfig = append(in.InputDataConfig, sharded)
		l.create(in)
		synctest.Wait()
		tasks := l.tasks.Tasks()
		if len(tasks) != 3 {
			t.Fatalf("%d tasks", len(tasks))
		}
		var parts []string
		for i, task := range tasks {
			host := fmt.Sprint("algo-", i+1)
			if task.Host != host || !slices.Equal(task.Hosts, []string{"algo-1", "algo-2", "algo-3"}) || task.Group != tasks[0].Group {
				t.Errorf("task %d is %s of %v in %s", i, task.Host, task.Hosts, task.Group)
			}
			var config struct {
				Host   string   `json:"current_host"`
				Hosts  []string `json:"hosts"`
				Group  string   `json:"current_group_name"`
				Groups []any    `json:"instance_groups"`
			}
			text := seenInside(t, task.Mounts, "/opt/ml/input/config/resourceconfig.json")
			if err := json.Unmarshal([]byte(text), &config); err != nil || config.Host != host || len(config.Hosts) != 3 || len(config.Groups) != 1 || config.Group != "homogeneousCluster" {
				t.Errorf("resourceconfig.json of %s is %s", host, text)
			}
			if got := seenInside(t, task.Mounts, "/opt/ml/input/data/train/a.csv"); got != "1,2\n" {
				t.Errorf("%s has %q", host, got)
			}
			for n := range 5 {
				if entry := fmt.Sprint("/opt/ml/input/data/parts/", n); exists(t, task.Mounts, entry) {
					parts = append(parts, seenInside(t, task.Mounts, entry))
				}
			}
		}
		slices.Sort(parts)
		if strings.Join(parts, "") != "01234" {
			t.Errorf("the shards together are %v", parts)
		}
		if d := l.settled("churn"); d.TrainingJobStatus != Completed {
			t.Errorf("%s: %s", d.TrainingJobStatus, d.FailureReason)
		}
		if n := len(l.logs.All()); n != 3 {
			t.Errorf("%d streams", n)
		}
		if got := l.unpack("out/churn/output/model.tar.gz"); !maps.Equal(got, map[string]string{"m": "tree"}) {
			t.Errorf("the model is %v", got)
		}
		l.clean()
	})
}

func TestInstanceGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		in := request("churn", map[string]string{"FAKE_RUN_FOR": "1m"})
		in.ResourceConfig = &sm.ResourceConfig{VolumeSizeInGB: new(int64(1)), InstanceGroups: []sm.InstanceGroup{
			{InstanceGroupName: "data", InstanceType: "ml.m5.xlarge", InstanceCount: new(int64(1))},
			{InstanceGroupName: "train", InstanceType: "ml.m5.large", InstanceCount: new(int64(2))},
		}}
		in.InputDataConfig[0].DataSource.S3DataSource.InstanceGroupNames = []string{"train"}
		l.create(in)
		synctest.Wait()
		for i, task := range l.tasks.Tasks() {
			want := []int64{4000, 2000, 2000}[i]
			if task.MilliCPU != want {
				t.Errorf("%s has %d millicpu", task.Host, task.MilliCPU)
			}
			if got, want := exists(t, task.Mounts, "/opt/ml/input/data/train/a.csv"), i > 0; got != want {
				t.Errorf("%s has the channel: %v", task.Host, got)
			}
			text := seenInside(t, task.Mounts, "/opt/ml/input/config/resourceconfig.json")
			if want := `"instance_groups":[{"instance_group_name":"data","instance_type":"ml.m5.xlarge","hosts":["algo-1"]},` +
				`{"instance_group_name":"train","instance_type":"ml.m5.large","hosts":["algo-2","algo-3"]}]`; !strings.Contains(text, want) {
				t.Errorf("resourceconfig.json is %s", text)
			}
		}
		if d := l.settled("churn"); d.TrainingJobStatus != Completed {
			t.Errorf("%s: %s", d.TrainingJobStatus, d.FailureReason)
		}
		l.clean()
	})
}

// One host that fails takes the others with it.
func TestOneHostFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		in := request("churn", map[string]string{"FAKE_RUN_FOR": "forever"})
		in.ResourceConfig.InstanceCount = new(int64(2))
		l.create(in)
		time.Sleep(time.Minute)
		l.tasks.Kill(l.tasks.Tasks()[1].ID, 7, "")
		before := time.Now()
		d := l.settled("churn")
		if d.TrainingJobStatus != Failed || d.FailureReason != "AlgorithmError: , exit code: 7" || time.Since(before) > 10*time.Second {
			t.Errorf("%s after %v: %s", d.TrainingJobStatus, time.Since(before), d.FailureReason)
		}
		l.clean()
	})
}

// An interrupted job goes on from its checkpoints, in the same log stream, and
// its times add up.
func TestInterruptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.options.Spot.Pause = 30 * time.Second
		l.run()
		in := request("churn", map[string]string{"FAKE_RUN_FOR": "10m", "FAKE_LOG": "begin\n\ttrain-auc:0.5\n", "FAKE_FILES": files("/opt/ml/model/m", "tree")})
		in.EnableManagedSpotTraining = new(true)
		in.StoppingCondition = &sm.StoppingCondition{MaxRuntimeInSeconds: new(int64(3600)), MaxWaitTimeInSeconds: new(int64(7200))}
		in.CheckpointConfig = &sm.CheckpointConfig{S3Uri: "s3://bucket/ckpt"}
		l.create(in)
		for i := range 2 {
			time.Sleep(2 * time.Minute)
			task := l.tasks.Tasks()[0]
			if got := exists(t, task.Mounts, "/opt/ml/checkpoints/step"); got != (i > 0) {
				t.Errorf("attempt %d begins with a checkpoint: %v", i, got)
			}
			write(t, task.Mounts, "/opt/ml/checkpoints/step", fmt.Sprint(i))
			if err := l.Interrupt(l.ctx, "churn"); err != nil {
				t.Fatal(err)
			}
			if err := l.Interrupt(l.ctx, "churn"); err == nil {
				t.Error("interrupted twice")
			}
			time.Sleep(10 * time.Second)
			if d := l.describe("churn"); d.SecondaryStatus != interrupted || d.TrainingJobStatus != InProgress {
				t.Errorf("it is %s", d.SecondaryStatus)
			}
		}
		d := l.settled("churn")
		if got := secondaries(d); d.TrainingJobStatus != Completed || got != "Starting Downloading Training Interrupted Starting Downloading Training "+
			"Interrupted Starting Downloading Training Uploading Completed" {
			t.Errorf("%s, it came through %s", d.TrainingJobStatus, got)
		}
		if got := l.keys("ckpt"); !slices.Equal(got, []string{"ckpt/step"}) {
			t.Errorf("checkpoints are %v", got)
		}
		// Twice not quite 2 minutes (from the pause on), and 10 minutes; the pauses do not count.
		trained, billed := *d.TrainingTimeInSeconds, *d.BillableTimeInSeconds
		if trained < 810 || trained > 840 || billed < trained*29/100 || billed > trained*31/100+1 {
			t.Errorf("trained for %d s, billed %d s", trained, billed)
		}
		all := l.logs.All()
		if len(all) != 1 {
			t.Errorf("%d streams", len(all))
		}
		for name, lines := range all {
			if strings.Join(lines, " ") != "begin #011train-auc:0.5 begin #011train-auc:0.5 begin #011train-auc:0.5" {
				t.Errorf("stream %s has %q", name, lines)
			}
		}
		l.clean()
	})
}

func TestMarketInterrupts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.options.Spot.Every = time.Hour
		l.run()
		in := request("churn", map[string]string{"FAKE_RUN_FOR": "6h"})
		in.EnableManagedSpotTraining = new(true)
		in.StoppingCondition = &sm.StoppingCondition{MaxRuntimeInSeconds: new(int64(86400)), MaxWaitTimeInSeconds: new(int64(86400))}
		l.create(in)
		d := l.settled("churn")
		n := strings.Count(secondaries(d), interrupted)
		if d.TrainingJobStatus != Stopped || d.SecondaryStatus != maxWaitExceeded && d.SecondaryStatus != maxRuntimeExceeded || n < 5 {
			t.Errorf("%s, %s after %d interruptions", d.TrainingJobStatus, d.SecondaryStatus, n)
		}
		l.clean()
	})
}

func TestRetryStrategy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		in := request("churn", map[string]string{"FAKE_RUN_FOR": "1h"})
		in.RetryStrategy = &sm.RetryStrategy{MaximumRetryAttempts: new(int64(1))}
		l.create(in)
		for range 2 {
			time.Sleep(time.Minute)
			l.tasks.Kill(l.tasks.Tasks()[0].ID, 137, "lost")
		}
		d := l.settled("churn")
		if got := secondaries(d); d.TrainingJobStatus != Failed || got != "Starting Downloading Training Restarting Starting Downloading Training Uploading Failed" ||
			d.FailureReason != "InternalServerError: The training container was lost: lost" {
			t.Errorf("%s: %s, it came through %s", d.TrainingJobStatus, d.FailureReason, got)
		}
		l.clean()
	})
}

// A container that someone removed while it ran is no failure of the job's own.
func TestRetryOfARemovedTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		in := request("churn", map[string]string{"FAKE_RUN_FOR": "10m"})
		in.RetryStrategy = &sm.RetryStrategy{MaximumRetryAttempts: new(int64(1))}
		l.create(in)
		time.Sleep(time.Minute)
		id := l.tasks.Tasks()[0].ID
		l.tasks.Kill(id, 137, "removed")
		if err := l.tasks.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		d := l.settled("churn")
		if got := secondaries(d); d.TrainingJobStatus != Completed || got != "Starting Downloading Training Restarting Starting Downloading Training Uploading Completed" {
			t.Errorf("%s: %s, it came through %s", d.TrainingJobStatus, d.FailureReason, got)
		}
		if n := *d.TrainingTimeInSeconds; n < 660 || n > 665 {
			t.Errorf("it trained for %d s", n)
		}
		l.clean()
	})
}

// The cache of a warm pool is the next job's, and goes when nobody comes.
func TestWarmPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		warm := func(name string) *sm.CreateTrainingJobInput {
			in := request(name, map[string]string{"FAKE_RUN_FOR": "1m"})
			in.ResourceConfig.KeepAlivePeriodInSeconds = new(int64(600))
			return in
		}
		l.create(warm("one"))
		time.Sleep(10 * time.Second)
		if d := l.describe("one"); d.WarmPoolStatus == nil || d.WarmPoolStatus.Status != poolInUse {
			t.Errorf("the pool of a running job is %+v", d.WarmPoolStatus)
		}
		task := l.tasks.Tasks()[0]
		if task.Env["SAGEMAKER_MANAGED_WARMPOOL_CACHE_DIRECTORY"] != poolPath {
			t.Error("the container is not told of its cache")
		}
		write(t, task.Mounts, poolPath+"/wheel", "cached")
		if d := l.settled("one"); d.WarmPoolStatus.Status != poolAvailable {
			t.Errorf("after the job it is %+v", d.WarmPoolStatus)
		}
		if _, err := call(l, sm.DeleteTrainingJob, &sm.DeleteTrainingJobInput{TrainingJobName: "one"}); err == nil {
			t.Error("a job with a warm pool was deleted")
		}
		l.stop() // the pool outlives the server
		l.run()
		time.Sleep(5 * time.Minute)
		other := warm("other")
		other.ResourceConfig.InstanceType = "ml.m5.xlarge"
		l.create(other)
		l.create(warm("two"))
		time.Sleep(10 * time.Second)
		for _, task := range l.tasks.Tasks() {
			if got, want := exists(t, task.Mounts, poolPath+"/wheel"), task.Env["TRAINING_JOB_NAME"] == "two"; got != want {
				t.Errorf("%s finds the cache: %v", task.Env["TRAINING_JOB_NAME"], got)
			}
		}
		one := l.describe("one").WarmPoolStatus
		if one.Status != poolReused || one.ReusedByJob != "two" || *one.ResourceRetainedBillableTimeInSeconds < 290 || *one.ResourceRetainedBillableTimeInSeconds > 310 {
			t.Errorf("the first job's pool is %+v", one)
		}
		l.settled("two")
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		if d := l.describe("two"); d.WarmPoolStatus.Status != poolTerminated || *d.WarmPoolStatus.ResourceRetainedBillableTimeInSeconds != 600 {
			t.Errorf("in the end it is %+v", d.WarmPoolStatus)
		}
	})
}

func TestNetworkIsolation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		in := request("churn", nil)
		in.EnableNetworkIsolation = new(true)
		in.AlgorithmSpecification.ContainerEntrypoint, in.AlgorithmSpecification.ContainerArguments = []string{"/bin/sh", "-c"}, []string{"true"}
		in.Environment = map[string]string{"FAKE_RUN_FOR": "1m"}
		l.create(in)
		synctest.Wait()
		task := l.tasks.Tasks()[0]
		if task.Network != runtime.None || !slices.Equal(task.Command, []string{"/bin/sh", "-c", "true"}) || task.DiskBytes != 30<<30 {
			t.Errorf("the task is %+v", task)
		}
		l.settled("churn")
		l.clean()
	})
}
