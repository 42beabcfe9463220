// SPDX-License-Identifier: Apache-2.0

package training

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/taskgroup/jobtest"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

func TestVerbsRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		stop := func(name string) error {
			_, err := call(l, sm.StopTrainingJob, &sm.StopTrainingJobInput{TrainingJobName: name})
			return err
		}
		remove := func(name string) error {
			_, err := call(l, sm.DeleteTrainingJob, &sm.DeleteTrainingJobInput{TrainingJobName: name})
			return err
		}
		update := func(in *sm.UpdateTrainingJobInput) error {
			_, err := call(l, sm.UpdateTrainingJob, in)
			return err
		}
		_, err := call(l, sm.DescribeTrainingJob, &sm.DescribeTrainingJobInput{TrainingJobName: "nobody"})
		jobtest.Refusal(t, err, "ValidationException", "Requested resource not found.")
		jobtest.Refusal(t, stop("nobody"), "ValidationException", "Requested resource not found.")
		jobtest.Refusal(t, remove("nobody"), "ValidationException", "Requested resource not found.")
		jobtest.Refusal(t, update(&sm.UpdateTrainingJobInput{TrainingJobName: "nobody"}), "ValidationException", "Requested resource not found.")

		l.create(request("churn", map[string]string{"FAKE_RUN_FOR": "forever", "FAKE_IGNORE_TERM": "1"}))
		_, err = call(l, sm.CreateTrainingJob, request("churn", nil))
		jobtest.Refusal(t, err, "ResourceInUse", "Training job names must be unique within an AWS account and region, and a training job with this name "+
			"already exists (arn:aws:sagemaker:us-east-1:123456789012:training-job/churn)")
		jobtest.Refusal(t, remove("churn"), "ResourceInUse", "The request was rejected because the training job is in status InProgress.")

		for name, in := range map[string]*sm.UpdateTrainingJobInput{
			"ProfilerRuleConfigurations":          {ProfilerRuleConfigurations: []sm.ProfilerRuleConfiguration{{RuleConfigurationName: "r", RuleEvaluatorImage: "i"}}},
			"RemoteDebugConfig.EnableRemoteDebug": {RemoteDebugConfig: &sm.RemoteDebugConfigForUpdate{EnableRemoteDebug: new(true)}},
		} {
			in.TrainingJobName = "churn"
			jobtest.Refusal(t, update(in), "ValidationException", name+" is not supported by Sagebrush yet")
		}
		if err := update(&sm.UpdateTrainingJobInput{TrainingJobName: "churn", ProfilerConfig: &sm.ProfilerConfigForUpdate{S3OutputPath: "s3://bucket/p"}}); err != nil {
			t.Error(err)
		}
		if err := update(&sm.UpdateTrainingJobInput{TrainingJobName: "churn", ProfilerConfig: &sm.ProfilerConfigForUpdate{DisableProfiler: new(true)}}); err != nil {
			t.Error(err)
		}
		if p := l.describe("churn").ProfilerConfig; p == nil || p.S3OutputPath != "s3://bucket/p" || !*p.DisableProfiler {
			t.Errorf("profiler %+v", p)
		}

		time.Sleep(time.Second) // a job whose container was not begun would end at once
		if err := stop("churn"); err != nil {
			t.Error(err)
		}
		jobtest.Refusal(t, remove("churn"), "ResourceInUse", "The request was rejected because the training job is in status Stopping.")
		jobtest.Refusal(t, update(&sm.UpdateTrainingJobInput{TrainingJobName: "churn"}), "ValidationException", "The request was rejected because the training job is in status Stopping.")
		l.settled("churn")
		jobtest.Refusal(t, stop("churn"), "ValidationException", "The request was rejected because the training job is in status Stopped.")
		if err := remove("churn"); err != nil {
			t.Error(err)
		}
	})
}

func TestList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		begin := time.Now()
		for i := range 5 {
			time.Sleep(time.Minute)
			in := request(fmt.Sprintf("job-%d", i), map[string]string{"FAKE_EXIT": fmt.Sprint(i % 2)})
			if i == 3 {
				in.ResourceConfig.TrainingPlanArn = "arn:aws:sagemaker:us-east-1:123456789012:training-plan/p1"
				in.Environment["FAKE_RUN_FOR"] = "forever"
			}
			l.create(in)
			synctest.Wait()
		}
		at := func(minutes float64) wire.Time {
			return wire.At(begin.Add(time.Duration(minutes * float64(time.Minute))))
		}
		tests := []struct {
			name string
			in   sm.ListTrainingJobsInput
			want []string
		}{
			{"newest first", sm.ListTrainingJobsInput{}, []string{"job-4", "job-3", "job-2", "job-1", "job-0"}},
			{"by name", sm.ListTrainingJobsInput{SortBy: "Name", SortOrder: "Ascending"}, []string{"job-0", "job-1", "job-2", "job-3", "job-4"}},
			{"by status", sm.ListTrainingJobsInput{SortBy: "Status", SortOrder: "Ascending"}, []string{"job-0", "job-2", "job-4", "job-1", "job-3"}},
			{"of a name", sm.ListTrainingJobsInput{NameContains: "B-2"}, []string{"job-2"}},
			{"of a status", sm.ListTrainingJobsInput{StatusEquals: "Failed"}, []string{"job-1"}},
			{"after a time", sm.ListTrainingJobsInput{CreationTimeAfter: at(3.5)}, []string{"job-4", "job-3"}},
			{"before a time", sm.ListTrainingJobsInput{CreationTimeBefore: at(1.5)}, []string{"job-0"}},
			{"changed after", sm.ListTrainingJobsInput{LastModifiedTimeAfter: at(4.5)}, []string{"job-4"}},
			{"changed before", sm.ListTrainingJobsInput{LastModifiedTimeBefore: at(1.5)}, []string{"job-0"}},
			{"of a training plan", sm.ListTrainingJobsInput{TrainingPlanArnEquals: "arn:aws:sagemaker:us-east-1:123456789012:training-plan/p1"}, []string{"job-3"}},
			{"of a warm pool: there are none", sm.ListTrainingJobsInput{WarmPoolStatusEquals: "Available"}, nil},
			{"of two filters", sm.ListTrainingJobsInput{StatusEquals: "Completed", NameContains: "4"}, []string{"job-4"}},
		}
		for _, tt := range tests {
			for _, size := range []int64{0, 1, 2} { // 0: one page
				in, got := tt.in, []string(nil)
				if size > 0 {
					in.MaxResults = &size
				}
				for {
					out, err := call(l, sm.ListTrainingJobs, &in)
					if err != nil {
						t.Fatal(err)
					}
					if size > 0 && len(out.TrainingJobSummaries) > int(size) {
						t.Errorf("%s: a page of %d", tt.name, len(out.TrainingJobSummaries))
					}
					for _, s := range out.TrainingJobSummaries {
						got = append(got, s.TrainingJobName)
						if s.TrainingJobArn == "" || s.CreationTime.IsZero() || s.LastModifiedTime.IsZero() || s.SecondaryStatus == "" ||
							(s.TrainingJobStatus == InProgress) != s.TrainingEndTime.IsZero() || (s.TrainingPlanArn != "") != (s.TrainingJobName == "job-3") {
							t.Errorf("summary %+v", s)
						}
					}
					if in.NextToken = out.NextToken; in.NextToken == "" {
						break
					}
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("%s, pages of %d: %v, want %v", tt.name, size, got, tt.want)
				}
			}
		}
		if _, err := call(l, sm.StopTrainingJob, &sm.StopTrainingJobInput{TrainingJobName: "job-3"}); err != nil {
			t.Error(err)
		}
		l.settled("job-3")
	})
}
