// SPDX-License-Identifier: Apache-2.0

package training

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/sagebrush-ml/sagebrush/internal/taskgroup/jobtest"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

func TestRefusals(t *testing.T) {
	type in = sm.CreateTrainingJobInput
	s3 := func(i *in) *sm.S3DataSource { return i.InputDataConfig[0].DataSource.S3DataSource }
	one := new(int64(1))
	tests := []struct {
		name   string
		change func(*in)
		text   string
	}{
		{"an unknown image", func(i *in) { i.AlgorithmSpecification.TrainingImage = "nobody/nothing:1" },
			"Cannot find the training image nobody/nothing:1: image not found: known are xgboost"},
		{"an image that only serves", func(i *in) { i.AlgorithmSpecification.TrainingImage = readImage }, "cannot train"},
		{"neither image nor algorithm", func(i *in) { i.AlgorithmSpecification.TrainingImage = "" }, "exactly one of AlgorithmName and TrainingImage"},
		{"both image and algorithm", func(i *in) { i.AlgorithmSpecification.AlgorithmName = "mine" }, "exactly one of AlgorithmName and TrainingImage"},
		{"no algorithm specification", func(i *in) { i.AlgorithmSpecification = nil }, "AlgorithmSpecification is required"},
		{"no resources", func(i *in) { i.ResourceConfig = nil }, "ResourceConfig with InstanceType and InstanceCount is required"},
		{"a regular expression that is none", func(i *in) {
			i.AlgorithmSpecification.MetricDefinitions = []sm.MetricDefinition{{Name: "loss", Regex: "("}}
		}, `MetricDefinitions of metric "loss"`},
		{"a dead role", func(i *in) { i.RoleArn = "arn:aws:iam::123456789012:role/dead" },
			"Could not assume role arn:aws:iam::123456789012:role/dead. Please ensure that the role exists and allows principal 'sagemaker.amazonaws.com' to assume the role."},
		{"an empty channel", func(i *in) { s3(i).S3Uri = "s3://bucket/none" },
			`No S3 objects found under S3 URL "s3://bucket/none" given in input data source. Please ensure that the bucket exists in the selected region (us-east-1), ` +
				`that objects exist under that S3 prefix, and that the role "` + goodRole + `" has "s3:ListBucket" permissions on bucket "bucket".`},
		{"a channel of a folder marker", func(i *in) { s3(i).S3Uri = "s3://bucket/marked/" }, "No S3 objects found under S3 URL"},
		{"a missing bucket", func(i *in) { s3(i).S3Uri = "s3://nowhere/data" }, "Error message from S3: The specified bucket does not exist"},
		{"a missing manifest", func(i *in) { s3(i).S3Uri, s3(i).S3DataType = "s3://bucket/none.manifest", "ManifestFile" }, "No S3 objects found under S3 URL"},
		{"data by https", func(i *in) { s3(i).S3Uri = "https://bucket/data" }, "not an s3:// URI"},
		{"a missing output bucket", func(i *in) { i.OutputDataConfig.S3OutputPath = "s3://nowhere/out" }, `the bucket "nowhere" does not exist`},
		{"an output by https", func(i *in) { i.OutputDataConfig.S3OutputPath = "https://bucket/out" }, "Invalid S3 output location"},
		{"a missing checkpoint bucket", func(i *in) { i.CheckpointConfig = &sm.CheckpointConfig{S3Uri: "s3://nowhere/c"} }, `the bucket "nowhere" does not exist`},
		{"checkpoints over /opt/ml", func(i *in) {
			i.CheckpointConfig = &sm.CheckpointConfig{S3Uri: "s3://bucket/c", LocalPath: "/opt/ml/../ml/model"}
		}, "Invalid CheckpointConfig.LocalPath"},
		{"checkpoints around /opt/ml", func(i *in) { i.CheckpointConfig = &sm.CheckpointConfig{S3Uri: "s3://bucket/c", LocalPath: "/opt"} }, "Invalid CheckpointConfig.LocalPath"},
		{"a channel twice", func(i *in) { i.InputDataConfig = append(i.InputDataConfig, i.InputDataConfig[0]) }, `Duplicate channel name "train"`},
		{"a channel that leads out", func(i *in) { i.InputDataConfig[0].ChannelName = ".." }, "cannot be the name of a folder"},
		{"a channel without data", func(i *in) { i.InputDataConfig[0].DataSource = &sm.DataSource{} }, `channel "train" has no data source`},
		{"spot without MaxWait", func(i *in) { i.EnableManagedSpotTraining = new(true) }, "Invalid MaxWaitTimeInSeconds. It must be present"},
		{"spot with less MaxWait than MaxRuntime", func(i *in) {
			i.EnableManagedSpotTraining = new(true)
			i.StoppingCondition = &sm.StoppingCondition{MaxRuntimeInSeconds: new(int64(100)), MaxWaitTimeInSeconds: new(int64(99))}
		}, "It must be equal to or greater than MaxRuntimeInSeconds"},
		{"MaxWait without spot", func(i *in) { i.StoppingCondition = &sm.StoppingCondition{MaxWaitTimeInSeconds: one} }, "It must not be present"},

		{"an algorithm resource", func(i *in) {
			i.AlgorithmSpecification.TrainingImage, i.AlgorithmSpecification.AlgorithmName = "", "mine"
		}, "AlgorithmSpecification.AlgorithmName is not supported by Sagebrush yet"},
		{"instance groups and a count", func(i *in) {
			i.ResourceConfig.InstanceGroups = []sm.InstanceGroup{{InstanceType: "ml.m5.large", InstanceCount: one, InstanceGroupName: "g"}}
		}, "not both"},
		{"an instance group twice", func(i *in) {
			g := sm.InstanceGroup{InstanceType: "ml.m5.large", InstanceCount: one, InstanceGroupName: "g"}
			i.ResourceConfig = &sm.ResourceConfig{InstanceGroups: []sm.InstanceGroup{g, g}, VolumeSizeInGB: one}
		}, `Duplicate instance group name "g"`},
		{"a channel for a group that is none", func(i *in) { s3(i).InstanceGroupNames = []string{"g"} }, `names the instance group "g"`},
		{"RecordIO wrapping of files", func(i *in) { i.InputDataConfig[0].RecordWrapperType = "RecordIO" }, "only for input mode Pipe"},
		{"an augmented manifest as a file", func(i *in) { s3(i).S3DataType, s3(i).AttributeNames = "AugmentedManifestFile", []string{"source-ref"} }, "only for input mode Pipe"},
		{"an augmented manifest without attributes", func(i *in) {
			s3(i).S3DataType, i.InputDataConfig[0].InputMode = "AugmentedManifestFile", "Pipe"
		}, "AttributeNames of the channel"},
		{"a file system that is not known", func(i *in) {
			i.InputDataConfig[0].DataSource = &sm.DataSource{FileSystemDataSource: &sm.FileSystemDataSource{FileSystemId: "fs-12345678901", FileSystemAccessMode: "ro", FileSystemType: "EFS", DirectoryPath: "/"}}
		}, "the file system fs-12345678901 is not known"},
		{"debugger rules", func(i *in) {
			i.DebugRuleConfigurations = []sm.DebugRuleConfiguration{{RuleConfigurationName: "r", RuleEvaluatorImage: "i"}}
		}, "DebugRuleConfigurations is not supported by Sagebrush yet"},
		{"remote debugging", func(i *in) { i.RemoteDebugConfig = &sm.RemoteDebugConfig{EnableRemoteDebug: new(true)} }, "EnableRemoteDebug is not supported by Sagebrush yet"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.put("marked/", "")
				l.run()
				in := request("churn", nil)
				tt.change(in)
				_, err := call(l, sm.CreateTrainingJob, in)
				jobtest.Refusal(t, err, "ValidationException", tt.text)
				synctest.Wait()
				if out, err := call(l, sm.ListTrainingJobs, &sm.ListTrainingJobsInput{}); err != nil || len(out.TrainingJobSummaries) != 0 {
					t.Errorf("a refused request left %v, %v", out, err)
				}
				l.clean()
			})
		})
	}
}

// What is accepted without effect on the run is told by Describe, and the job
// runs.
func TestAcceptedWithoutEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.run()
		in := request("churn", nil)
		in.EnableManagedSpotTraining = new(true)
		in.StoppingCondition = &sm.StoppingCondition{MaxRuntimeInSeconds: new(int64(100)), MaxWaitTimeInSeconds: new(int64(100))}
		in.AlgorithmSpecification.TrainingInputMode = "FastFile"
		in.InputDataConfig[0].ShuffleConfig = &sm.ShuffleConfig{Seed: new(int64(7))}
		in.InputDataConfig[0].DataSource.S3DataSource.S3DataDistributionType = "ShardedByS3Key"
		in.VpcConfig = &sm.VpcConfig{SecurityGroupIds: []string{"sg-1"}, Subnets: []string{"subnet-1"}}
		in.OutputDataConfig.KmsKeyId = "key"
		in.ProfilerConfig = &sm.ProfilerConfig{S3OutputPath: "s3://bucket/", DisableProfiler: new(false)}
		in.DebugHookConfig = &sm.DebugHookConfig{S3OutputPath: "s3://bucket/"}
		in.ExperimentConfig = &sm.ExperimentConfig{ExperimentName: "e"}
		l.create(in)
		d := l.settled("churn")
		if d.TrainingJobStatus != Completed || d.VpcConfig == nil || d.OutputDataConfig.KmsKeyId != "key" || d.ProfilerConfig == nil ||
			d.ProfilingStatus != "Disabled" || d.DebugHookConfig == nil || d.ExperimentConfig == nil || d.InputDataConfig[0].ShuffleConfig == nil {
			t.Errorf("%+v", d)
		}
	})
}

// A member of CreateTrainingJob that Describe does not have must be here, so
// that none is lost unseen.
func TestProjectionLeavesNothing(t *testing.T) {
	left := wire.Project(&sm.DescribeTrainingJobOutput{}, &sm.CreateTrainingJobInput{}, nil)
	// Tags are kept beside the record; chaining is refused when it is asked for.
	if want := []string{"Tags", "SessionChainingConfig"}; !slices.Equal(left, want) {
		t.Errorf("not in Describe: %v, want %v", left, want)
	}
	// The list fills the plan from ResourceConfig.
	left = wire.Project(&sm.DescribeTrainingJobOutput{}, &sm.TrainingJobSummary{}, nil)
	if want := []string{"TrainingPlanArn"}; !slices.Equal(left, want) {
		t.Errorf("summaries have more than Describe: %v, want %v", left, want)
	}
}
