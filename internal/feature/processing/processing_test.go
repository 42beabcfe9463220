// SPDX-License-Identifier: Apache-2.0

package processing

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
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
		l.create(request("clean", map[string]string{"FAKE_RUN_FOR": "1m", "FAKE_LOG": "hello\n",
			"FAKE_FILES": files("/opt/ml/processing/output/out/part.csv", "2", "/opt/ml/output/message", "well done")}))
		synctest.Wait()
		d := l.describe("clean")
		if d.ProcessingJobStatus != InProgress || d.ProcessingStartTime.IsZero() || !d.ProcessingEndTime.IsZero() || *d.StoppingCondition.MaxRuntimeInSeconds != 86400 {
			t.Errorf("a running job is %+v", d)
		}
		task := l.tasks.Tasks()[0]
		if want := []string{"python3", "/opt/ml/processing/input/code/script.py", "--x", "1"}; !slices.Equal(task.Command, want) {
			t.Errorf("it runs %q", task.Command)
		}
		for k, v := range map[string]string{"IMAGE": "yes", "AWS_REGION": "us-east-1", "PROCESSING_JOB_NAME": "clean", "PROCESSING_JOB_ARN": d.ProcessingJobArn} {
			if task.Env[k] != v {
				t.Errorf("%s is %q in the container", k, task.Env[k])
			}
		}
		for path, want := range map[string]string{"/opt/ml/processing/input/code/script.py": "print()\n", "/opt/ml/processing/input/data/a.csv": "1,2\n",
			"/opt/ml/config/resourceconfig.json": `"current_host":"algo-1"`, "/opt/ml/config/processingjobconfig.json": `"ProcessingJobName":"clean"`} {
			if b, err := os.ReadFile(inside(t, task.Mounts, path)); err != nil || !strings.Contains(string(b), want) {
				t.Errorf("%s holds %q, %v", path, b, err)
			}
		}
		d = l.settled("clean")
		if d.ProcessingJobStatus != Completed || d.ExitMessage != "well done" || d.FailureReason != "" || d.ProcessingEndTime.Sub(d.ProcessingStartTime.Time) < 59*time.Second {
			t.Errorf("%s: %s%s", d.ProcessingJobStatus, d.FailureReason, d.ExitMessage)
		}
		if got := l.objects("out"); !maps.Equal(got, map[string]string{"out/part.csv": "2"}) {
			t.Errorf("the output is %v", got)
		}
		if got := l.lines(); !slices.Equal(got, []string{"preparing", "hello"}) {
			t.Errorf("the log is %q", got)
		}
		l.clean()
	})
}

func TestHostsShareTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		for i := range 4 {
			l.put(fmt.Sprint("many/", i), fmt.Sprint(i))
		}
		l.run()
		in := request("clean", map[string]string{"FAKE_RUN_FOR": "1m"})
		in.ProcessingResources.ClusterConfig.InstanceCount = new(int64(2))
		many := input("many", "s3://bucket/many", "/opt/ml/processing/input/many")
		many.S3Input.S3DataDistributionType = "ShardedByS3Key"
		in.ProcessingInputs = append(in.ProcessingInputs, many)
		l.create(in)
		synctest.Wait()
		var got []string
		for _, task := range l.tasks.Tasks() {
			entries, err := os.ReadDir(inside(t, task.Mounts, "/opt/ml/processing/input/many"))
			if err != nil || len(entries) != 2 {
				t.Errorf("%s has %v, %v", task.Host, entries, err)
			}
			for _, e := range entries {
				got = append(got, e.Name())
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, []string{"0", "1", "2", "3"}) {
			t.Errorf("the shards together are %v", got)
		}
		l.tasks.Kill(l.tasks.Tasks()[1].ID, 3, "")
		if d := l.settled("clean"); d.ProcessingJobStatus != Failed || d.FailureReason != "AlgorithmError: , exit code: 3" {
			t.Errorf("%s: %s", d.ProcessingJobStatus, d.FailureReason)
		}
		if got := l.objects("out"); len(got) != 0 {
			t.Errorf("a failed job has the output %v", got)
		}
		l.clean()
	})
}

func TestACommandThatCannotBeStartedFailsTheJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		l.create(request("clean", map[string]string{"FAKE_START_AFTER": "1h"}))
		synctest.Wait()
		l.tasks.Kill(l.tasks.Tasks()[0].ID, 127, "exec: no such file") // it never ran: State.Started is zero
		d := l.settled("clean")
		if want := "AlgorithmError: The processing container could not be started: exec: no such file, exit code: 127"; d.FailureReason != want {
			t.Errorf("%s: %s", d.ProcessingJobStatus, d.FailureReason)
		}
		if d.ProcessingStartTime.IsZero() || d.ProcessingEndTime.IsZero() {
			t.Errorf("it began at %v and ended at %v", d.ProcessingStartTime, d.ProcessingEndTime)
		}
		l.clean()
	})
}

func TestContinuousOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		in := request("clean", map[string]string{"FAKE_RUN_FOR": "1m", "FAKE_EXIT": "1"})
		in.ProcessingOutputConfig.Outputs[0].S3Output.S3UploadMode = "Continuous"
		l.create(in)
		time.Sleep(10 * time.Second)
		dir := inside(t, l.tasks.Tasks()[0].Mounts, "/opt/ml/processing/output/out")
		if err := os.WriteFile(dir+"/first", []byte("1"), 0o644); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if got := l.objects("out"); got["out/first"] != "1" {
			t.Errorf("while it runs there is %v", got)
		}
		if err := os.WriteFile(dir+"/last", []byte("2"), 0o644); err != nil {
			t.Fatal(err)
		}
		l.settled("clean")
		if got := l.objects("out"); got["out/last"] != "2" {
			t.Errorf("in the end there is %v", got)
		}
		l.clean()
	})
}

func TestStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		stop := func(name string) error {
			_, err := call(l, sm.StopProcessingJob, &sm.StopProcessingJobInput{ProcessingJobName: name})
			return err
		}
		l.create(request("clean", map[string]string{"FAKE_RUN_FOR": "forever", "FAKE_IGNORE_TERM": "1"}))
		time.Sleep(time.Minute)
		if err := stop("clean"); err != nil {
			t.Fatal(err)
		}
		if d := l.settled("clean"); d.ProcessingJobStatus != Stopped || d.FailureReason != "" {
			t.Errorf("%s: %s", d.ProcessingJobStatus, d.FailureReason)
		}
		jobtest.Refusal(t, stop("clean"), "ValidationException", "processing job is in status Stopped")
		jobtest.Refusal(t, stop("none"), "ValidationException", "Could not find requested job with name: none")

		late := request("late", map[string]string{"FAKE_RUN_FOR": "1h"})
		late.StoppingCondition = &sm.ProcessingStoppingCondition{MaxRuntimeInSeconds: new(int64(60))}
		l.create(late)
		if d := l.settled("late"); d.ProcessingJobStatus != Failed || !strings.Contains(d.FailureReason, "MaxRuntimeInSeconds") {
			t.Errorf("%s: %s", d.ProcessingJobStatus, d.FailureReason)
		}
		if _, err := call(l, sm.DeleteProcessingJob, &sm.DeleteProcessingJobInput{ProcessingJobName: "late"}); err != nil {
			t.Error(err)
		}
		l.clean()
	})
}

// Stopping the service is not stopping its jobs.
func TestTasksOutliveTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		l.create(request("clean", map[string]string{"FAKE_RUN_FOR": "1h", "FAKE_LOG": "a\n"}))
		time.Sleep(time.Minute)
		l.stop()
		time.Sleep(time.Minute)
		l.run()
		if d := l.settled("clean"); d.ProcessingJobStatus != Completed {
			t.Errorf("%s: %s", d.ProcessingJobStatus, d.FailureReason)
		}
		if got := l.lines(); !slices.Equal(got, []string{"preparing", "a"}) {
			t.Errorf("the log is %q", got)
		}
		l.clean()
	})
}

func TestRequirementsThatCannotBeHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.put("src/requirements.txt", "nowhere==1\n")
		l.run()
		in := request("clean", nil)
		in.ProcessingInputs[0].S3Input.S3Uri = "s3://bucket/src"
		l.create(in)
		d := l.settled("clean")
		if d.ProcessingJobStatus != Failed || !strings.HasPrefix(d.FailureReason, "ClientError: ") || !strings.Contains(d.FailureReason, "nowhere cannot be had") {
			t.Errorf("%s: %s", d.ProcessingJobStatus, d.FailureReason)
		}
		l.clean()
	})
}

func TestCreateRefuses(t *testing.T) {
	type in = sm.CreateProcessingJobInput
	tests := []struct {
		name   string
		change func(*in)
		code   string
		text   string
	}{
		{"an unknown image", func(i *in) { i.AppSpecification.ImageUri = "nobody/nothing:1" }, "ValidationException", "Cannot find the image nobody/nothing:1"},
		{"nothing to run", func(i *in) {
			i.AppSpecification.ContainerEntrypoint, i.AppSpecification.ContainerArguments = nil, nil
		}, "ValidationException", "has no entry point"},
		{"a dead role", func(i *in) { i.RoleArn = "arn:aws:iam::123456789012:role/dead" }, "ValidationException", "Could not assume role"},
		{"an input twice", func(i *in) { i.ProcessingInputs[1].InputName = "code" }, "ValidationException", `Duplicate input name "code"`},
		{"an input without a source", func(i *in) { i.ProcessingInputs[0].S3Input = nil }, "ValidationException", "either S3Input or DatasetDefinition"},
		{"an input out of place", func(i *in) { i.ProcessingInputs[0].S3Input.LocalPath = "/opt/ml/processing/../model" }, "ValidationException", "below /opt/ml/processing"},
		{"no data", func(i *in) { i.ProcessingInputs[0].S3Input.S3Uri = "s3://bucket/none" }, "ValidationException", "No S3 objects found"},
		{"SQL", func(i *in) {
			i.ProcessingInputs[0].S3Input, i.ProcessingInputs[0].DatasetDefinition = nil, &sm.DatasetDefinition{}
		}, "ValidationException", "DatasetDefinition is not supported by Sagebrush yet"},
		{"a pipe", func(i *in) { i.ProcessingInputs[0].S3Input.S3InputMode = "Pipe" }, "ValidationException", "Pipe is not supported by Sagebrush yet"},
		{"gzip of files", func(i *in) { i.ProcessingInputs[0].S3Input.S3CompressionType = "Gzip" }, "ValidationException", "only for S3InputMode Pipe"},
		{"an output twice", func(i *in) {
			i.ProcessingOutputConfig.Outputs = append(i.ProcessingOutputConfig.Outputs, i.ProcessingOutputConfig.Outputs[0])
		}, "ValidationException", `Duplicate output name "out"`},
		{"no output bucket", func(i *in) { i.ProcessingOutputConfig.Outputs[0].S3Output.S3Uri = "s3://nowhere/x" }, "ValidationException", "does not exist"},
		{"a feature group", func(i *in) {
			o := &i.ProcessingOutputConfig.Outputs[0]
			o.S3Output, o.FeatureStoreOutput, o.AppManaged = nil, &sm.ProcessingFeatureStoreOutput{FeatureGroupName: "g"}, new(true)
		}, "ValidationException", "FeatureStoreOutput is not supported by Sagebrush yet"},
		{"a hundred hosts", func(i *in) { i.ProcessingResources.ClusterConfig.InstanceCount = new(int64(100)) }, "ResourceLimitExceeded", "service limit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.run()
				in := request("clean", nil)
				tt.change(in)
				_, err := call(l, sm.CreateProcessingJob, in)
				jobtest.Refusal(t, err, tt.code, tt.text)
				l.clean()
			})
		})
	}
}

func TestEntryPoints(t *testing.T) {
	tests := []struct {
		name            string
		entry, argument []string
		want            []string
	}{
		{"the image's own", nil, nil, []string{"/run", "default"}},
		{"arguments only", nil, []string{"a"}, []string{"/run", "a"}},
		{"an entry point only", []string{"/other"}, nil, []string{"/other"}},
		{"both", []string{"/other"}, []string{"a"}, []string{"/other", "a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.run()
				in := request("clean", map[string]string{"FAKE_RUN_FOR": "1m"})
				in.AppSpecification = &sm.AppSpecification{ImageUri: bareImage, ContainerEntrypoint: tt.entry, ContainerArguments: tt.argument}
				in.NetworkConfig = &sm.NetworkConfig{EnableNetworkIsolation: new(true)}
				l.create(in)
				synctest.Wait()
				if task := l.tasks.Tasks()[0]; !slices.Equal(task.Command, tt.want) || task.Network != runtime.None {
					t.Errorf("it runs %q in network %q", task.Command, task.Network)
				}
				l.settled("clean")
				l.clean()
			})
		})
	}
}
