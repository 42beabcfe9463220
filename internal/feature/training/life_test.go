// SPDX-License-Identifier: Apache-2.0

package training

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup/jobtest"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// files is what FAKE_FILES takes.
func files(pairs ...string) string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	b, _ := json.Marshal(m)
	return string(b)
}

func TestJobCompletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		l.create(request("churn", map[string]string{"FAKE_RUN_FOR": "90s", "MINE": "1", "TRAINING_JOB_NAME": "other",
			"FAKE_LOG":   "start\n[0]\ttrain-auc:0.5\n[1]\ttrain-auc:0.75\n",
			"FAKE_FILES": files("/opt/ml/model/xgboost-model", "tree", "/opt/ml/output/data/roc.txt", "curve")}))
		synctest.Wait()
		d := l.describe("churn")
		if d.TrainingJobStatus != InProgress || d.SecondaryStatus != training || d.TrainingStartTime.IsZero() || !d.TrainingEndTime.IsZero() {
			t.Errorf("a running job is %s, %s", d.TrainingJobStatus, d.SecondaryStatus)
		}
		task := l.tasks.Tasks()[0]
		want := map[string]string{"IMAGE": "yes", "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "MINE": "1",
			"AWS_ENDPOINT_URL": "http://churn", "TRAINING_JOB_NAME": "churn", "TRAINING_JOB_ARN": d.TrainingJobArn}
		for k, v := range want {
			if task.Env[k] != v {
				t.Errorf("%s is %q in the container", k, task.Env[k])
			}
		}
		if task.Host != "algo-1" || task.MilliCPU != 2000 || task.MemoryBytes != 8<<30 || !slices.Equal(task.Command, []string{"/bin/train", "xgboost"}) {
			t.Errorf("the task is %+v", task)
		}
		began := time.Now()

		d = l.settled("churn")
		if d.TrainingJobStatus != Completed || d.SecondaryStatus != Completed || d.FailureReason != "" {
			t.Errorf("%s: %s", d.TrainingJobStatus, d.FailureReason)
		}
		if got := secondaries(d); got != "Starting Downloading Training Uploading Completed" {
			t.Errorf("it came through %s", got)
		}
		for i, tr := range d.SecondaryStatusTransitions {
			last := i == len(d.SecondaryStatusTransitions)-1
			if tr.StatusMessage == "" || tr.StartTime.IsZero() || tr.EndTime.IsZero() || (!last && !tr.EndTime.Equal(d.SecondaryStatusTransitions[i+1].StartTime.Time)) {
				t.Errorf("transition %d is %+v", i, tr)
			}
		}
		if d.ModelArtifacts == nil || d.ModelArtifacts.S3ModelArtifacts != "s3://bucket/out/churn/output/model.tar.gz" {
			t.Errorf("model at %+v", d.ModelArtifacts)
		}
		if got := l.unpack("out/churn/output/model.tar.gz"); !maps.Equal(got, map[string]string{"xgboost-model": "tree"}) {
			t.Errorf("the model is %v", got)
		}
		if got := l.unpack("out/churn/output/output.tar.gz"); !maps.Equal(got, map[string]string{"roc.txt": "curve"}) {
			t.Errorf("the output is %v", got)
		}
		if *d.TrainingTimeInSeconds < 90 || *d.TrainingTimeInSeconds > 92 || *d.BillableTimeInSeconds != *d.TrainingTimeInSeconds {
			t.Errorf("it took %d s, billed %d s", *d.TrainingTimeInSeconds, *d.BillableTimeInSeconds)
		}
		if end := d.TrainingEndTime.Sub(began); end < 89*time.Second || end > 91*time.Second || d.LastModifiedTime.Before(d.TrainingEndTime.Time) {
			t.Errorf("it ended after %v", end)
		}
		if m := d.FinalMetricDataList; len(m) != 1 || m[0].MetricName != "train:auc" || *m[0].Value != 0.75 || m[0].Timestamp.IsZero() {
			t.Errorf("metrics are %+v", m)
		}
		dimension := "/aws/sagemaker/TrainingJobs train:auc [{TrainingJobName churn}] "
		if got := l.metrics.all(); !slices.Equal(got, []string{dimension + "0.5", dimension + "0.75"}) {
			t.Errorf("published were %v", got)
		}
		for name, lines := range l.logs.All() {
			if !strings.HasPrefix(name, "/aws/sagemaker/TrainingJobs churn/algo-1-9") || !slices.Equal(lines, []string{"start", "[0]#011train-auc:0.5", "[1]#011train-auc:0.75"}) {
				t.Errorf("stream %s has %q", name, lines)
			}
		}
		if n := len(l.logs.All()); n != 1 {
			t.Errorf("%d streams", n)
		}
		l.clean()
	})
}

// What Describe shows though the request did not say it.
func TestDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		in := request("churn", nil)
		in.AlgorithmSpecification.MetricDefinitions = []sm.MetricDefinition{{Name: "mine", Regex: `x=(\d)`}}
		in.CheckpointConfig = &sm.CheckpointConfig{S3Uri: "s3://bucket/ckpt"}
		l.create(in)
		d := l.describe("churn")
		if *d.StoppingCondition.MaxRuntimeInSeconds != 86400 || *d.EnableNetworkIsolation || *d.EnableManagedSpotTraining ||
			*d.EnableInterContainerTrafficEncryption || d.OutputDataConfig.CompressionType != "GZIP" || d.CheckpointConfig.LocalPath != "/opt/ml/checkpoints" {
			t.Errorf("%+v", d)
		}
		c := d.InputDataConfig[0]
		if c.CompressionType != "None" || c.RecordWrapperType != "None" || c.DataSource.S3DataSource.S3DataDistributionType != "FullyReplicated" {
			t.Errorf("channel %+v", c)
		}
		a := d.AlgorithmSpecification
		if len(a.MetricDefinitions) != 2 || a.MetricDefinitions[0].Name != "mine" || a.MetricDefinitions[1].Name != "train:auc" || !*a.EnableSageMakerMetricsTimeSeries {
			t.Errorf("algorithm %+v", a)
		}
		if in.StoppingCondition != nil || in.InputDataConfig[0].CompressionType != "" || len(in.AlgorithmSpecification.MetricDefinitions) != 1 {
			t.Error("the request was changed")
		}
		l.settled("churn")
	})
}

func TestJobEnds(t *testing.T) {
	oom := map[string]string{"FAKE_EXIT": "137", "FAKE_REASON": "OOMKilled"}
	tests := []struct {
		name       string
		env        map[string]string
		limit      int64         // MaxRuntimeInSeconds
		stopAfter  time.Duration // 0 for never
		status     string
		secondary  string
		reason     string
		transition string
		model      bool          // ModelArtifacts is told
		took       time.Duration // of training, to the second
	}{
		{name: "a failure tells its reason", env: map[string]string{"FAKE_EXIT": "1", "FAKE_FILES": files("/opt/ml/output/failure", "ClientError: NaN label")},
			status: Failed, secondary: Failed, reason: "ClientError: NaN label, exit code: 1", transition: "Starting Downloading Training Uploading Failed"},
		{name: "too much memory", env: oom, status: Failed, secondary: Failed, reason: "AlgorithmError: Please use an instance type with more memory",
			transition: "Starting Downloading Training Uploading Failed"},
		{name: "a stop", env: map[string]string{"FAKE_RUN_FOR": "forever"}, stopAfter: 10 * time.Second,
			status: Stopped, secondary: Stopped, transition: "Starting Downloading Training Stopping Stopped", model: true, took: 10 * time.Second},
		{name: "a stop that the container ignores", env: map[string]string{"FAKE_RUN_FOR": "forever", "FAKE_IGNORE_TERM": "1"}, stopAfter: 10 * time.Second,
			status: Stopped, secondary: Stopped, transition: "Starting Downloading Training Stopping Stopped", model: true, took: 130 * time.Second},
		{name: "a stop while the task is pending", env: map[string]string{"FAKE_START_AFTER": "1h"}, stopAfter: 10 * time.Second,
			status: Stopped, secondary: Stopped, transition: "Starting Downloading Stopping Stopped", model: true, took: 10 * time.Second},
		{name: "the time limit", env: map[string]string{"FAKE_RUN_FOR": "forever"}, limit: 60,
			status: Stopped, secondary: maxRuntimeExceeded, transition: "Starting Downloading Training Stopping MaxRuntimeExceeded", model: true, took: time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.run()
				in := request("churn", tt.env)
				if tt.limit > 0 {
					in.StoppingCondition = &sm.StoppingCondition{MaxRuntimeInSeconds: &tt.limit}
				}
				l.create(in)
				if tt.stopAfter > 0 {
					time.Sleep(tt.stopAfter)
					if _, err := call(l, sm.StopTrainingJob, &sm.StopTrainingJobInput{TrainingJobName: "churn"}); err != nil {
						t.Fatal(err)
					}
					lasts := tt.env["FAKE_IGNORE_TERM"] != "" // else the task may have ended before it is asked about
					if d := l.describe("churn"); d.TrainingJobStatus != d.SecondaryStatus || d.TrainingJobStatus != Stopping && (lasts || d.TrainingJobStatus != Stopped) {
						t.Errorf("it is %s, %s", d.TrainingJobStatus, d.SecondaryStatus)
					}
				}
				d := l.settled("churn")
				if d.TrainingJobStatus != tt.status || d.SecondaryStatus != tt.secondary || !strings.HasPrefix(d.FailureReason, tt.reason) || (tt.reason == "") != (d.FailureReason == "") {
					t.Errorf("it is %s, %s: %s", d.TrainingJobStatus, d.SecondaryStatus, d.FailureReason)
				}
				if got := secondaries(d); got != tt.transition {
					t.Errorf("it came through %s", got)
				}
				if (d.ModelArtifacts != nil) != tt.model {
					t.Errorf("model %+v", d.ModelArtifacts)
				}
				took := time.Duration(*d.TrainingTimeInSeconds) * time.Second
				if took < max(tt.took, time.Second) || took > max(tt.took, time.Second)+2*time.Second {
					t.Errorf("it took %v", took)
				}
				l.clean()
			})
		})
	}
}

func TestOutputOfAFailureIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		l.create(request("bad", map[string]string{"FAKE_EXIT": "1", "FAKE_FILES": files("/opt/ml/output/data/trace", "x")}))
		l.create(request("worse", map[string]string{"FAKE_EXIT": "1", "FAKE_FILES": files("/opt/ml/model/half", "x")}))
		l.settled("bad")
		l.settled("worse")
		want := []string{"out/bad/output/output.tar.gz", "out/worse/output/model.tar.gz"}
		if got := l.keys("out/"); !slices.Equal(got, want) {
			t.Errorf("kept were %v", got)
		}
	})
}

func TestUncompressedOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		in := request("churn", map[string]string{"FAKE_FILES": files("/opt/ml/model/a", "1", "/opt/ml/model/b/c", "2", "/opt/ml/output/data/d", "3")})
		in.OutputDataConfig.CompressionType = "NONE"
		l.create(in)
		d := l.settled("churn")
		if d.ModelArtifacts.S3ModelArtifacts != "s3://bucket/out/churn/output/model/" {
			t.Errorf("model at %s", d.ModelArtifacts.S3ModelArtifacts)
		}
		want := []string{"out/churn/output/data/d", "out/churn/output/model/a", "out/churn/output/model/b/c"}
		if got := l.keys("out/"); !slices.Equal(got, want) {
			t.Errorf("kept were %v", got)
		}
	})
}

func TestCheckpoints(t *testing.T) {
	for _, at := range []string{"", "/ckpt/here"} {
		t.Run("at "+at, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.put("ckpt/epoch-1", "one")
				l.run()
				inside := at
				if inside == "" {
					inside = "/opt/ml/checkpoints"
				}
				in := request("churn", map[string]string{"FAKE_RUN_FOR": "1m", "FAKE_FILES": files(inside+"/epoch-2", "two", "/opt/ml/output/tensorboard/events", "e")})
				in.CheckpointConfig = &sm.CheckpointConfig{S3Uri: "s3://bucket/ckpt", LocalPath: at}
				in.TensorBoardOutputConfig = &sm.TensorBoardOutputConfig{S3OutputPath: "s3://bucket/tb"}
				l.create(in)
				synctest.Wait()
				if got := seenInside(t, l.tasks.Tasks()[0].Mounts, inside+"/epoch-1"); got != "one" {
					t.Errorf("the container sees %q", got)
				}
				l.settled("churn")
				if got := l.keys("ckpt/"); !slices.Equal(got, []string{"ckpt/epoch-1", "ckpt/epoch-2"}) {
					t.Errorf("checkpoints are %v", got)
				}
				if got := l.keys("tb/"); !slices.Equal(got, []string{"tb/churn/tensorboard-output/events"}) {
					t.Errorf("TensorBoard has %v", got)
				}
				l.clean()
			})
		})
	}
}

func TestDataThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		l.stop() // so that the data can go before the job looks for it
		l.create(request("churn", nil))
		for _, key := range l.keys("data/") {
			if err := l.store.Delete(t.Context(), object.URI{Bucket: "bucket", Key: key}); err != nil {
				t.Fatal(err)
			}
		}
		l.run()
		d := l.settled("churn")
		if d.TrainingJobStatus != Failed || !strings.HasPrefix(d.FailureReason, `ClientError: Data download failed: channel "train": no S3 objects`) {
			t.Errorf("%s: %s", d.TrainingJobStatus, d.FailureReason)
		}
		if got := secondaries(d); got != "Starting Downloading Failed" {
			t.Errorf("it came through %s", got)
		}
		l.clean()
	})
}

// A link out of the model folder would carry a file of the machine into the
// caller's bucket.
func TestModelWithALinkOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		l.create(request("churn", map[string]string{"FAKE_RUN_FOR": "1m"}))
		synctest.Wait()
		link(t, l.tasks.Tasks()[0].Mounts, "/opt/ml/model/m", "/etc/passwd")
		d := l.settled("churn")
		if d.TrainingJobStatus != Failed || !strings.HasPrefix(d.FailureReason, "ClientError: Artifact upload failed: ") {
			t.Errorf("%s: %s", d.TrainingJobStatus, d.FailureReason)
		}
		if got := l.keys("out/"); len(got) != 0 {
			t.Errorf("kept were %v", got)
		}
	})
}

func TestNameIsFreeAfterDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		for _, model := range []string{"first", "second"} {
			l.create(request("churn", map[string]string{"FAKE_LOG": model, "FAKE_FILES": files("/opt/ml/model/m", model)}))
			l.settled("churn")
			if got := l.unpack("out/churn/output/model.tar.gz")["m"]; got != model {
				t.Errorf("the model is %q", got)
			}
			if _, err := call(l, sm.DeleteTrainingJob, &sm.DeleteTrainingJobInput{TrainingJobName: "churn"}); err != nil {
				t.Fatal(err)
			}
			_, err := call(l, sm.DescribeTrainingJob, &sm.DescribeTrainingJobInput{TrainingJobName: "churn"})
			jobtest.Refusal(t, err, "ValidationException", "Requested resource not found.")
			time.Sleep(2 * time.Second)
		}
		if n := len(l.logs.All()); n != 2 {
			t.Errorf("%d streams", n)
		}
		l.clean()
	})
}
