// SPDX-License-Identifier: Apache-2.0

package training

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/optml"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// defaultMaxRuntime is the service's when the request gives none.
const defaultMaxRuntime = 86400 * time.Second

// check is what the model cannot say of a CreateTrainingJob request, and the
// members that the service fills in. What only the request itself tells comes
// first, then what others must be asked.
func (s *Service) check(ctx context.Context, in *sm.CreateTrainingJobInput, j *Job) error {
	for _, check := range []func(*sm.CreateTrainingJobInput) error{notBuilt, checkShape, checkStopping, checkChannels, checkFolders} {
		if err := check(in); err != nil {
			return err
		}
	}
	fill(j)
	if err := s.checkImage(ctx, j); err != nil {
		return err
	}
	if err := s.Roles.Assumable(ctx, in.RoleArn); err != nil {
		return fault.Validation("Could not assume role %s. Please ensure that the role exists and allows principal "+
			"'sagemaker.amazonaws.com' to assume the role.", in.RoleArn)
	}
	if err := s.checkObjects(ctx, j); err != nil {
		return err
	}
	enter(j, time.Now(), starting, messages[starting])
	return nil
}

// unsupported says that a member would change what the job does in a way that
// is not built.
func unsupported(member, why string) error {
	return fault.Validation("%s is not supported by Sagebrush yet: %s", member, why)
}

// notBuilt refuses what would silently be left undone.
func notBuilt(in *sm.CreateTrainingJobInput) error {
	a, r := in.AlgorithmSpecification, in.ResourceConfig
	switch {
	case in.ServerlessJobConfig != nil:
		return unsupported("ServerlessJobConfig", "give AlgorithmSpecification and ResourceConfig.")
	case a != nil && a.AlgorithmName != "" && a.TrainingImage == "":
		return unsupported("AlgorithmSpecification.AlgorithmName", "give TrainingImage.")
	case a != nil && len(a.ContainerEntrypoint) > 0:
		return unsupported("AlgorithmSpecification.ContainerEntrypoint", "images run their own entry point.")
	case a != nil && len(a.ContainerArguments) > 0:
		return unsupported("AlgorithmSpecification.ContainerArguments", "images run their own entry point.")
	case a != nil && a.TrainingInputMode == "Pipe":
		return unsupported("AlgorithmSpecification.TrainingInputMode Pipe", "use File or FastFile.")
	case r != nil && len(r.InstanceGroups) > 0:
		return unsupported("ResourceConfig.InstanceGroups", "give InstanceType and InstanceCount 1.")
	case r != nil && len(r.InstancePreferences) > 0:
		return unsupported("ResourceConfig.InstancePreferences", "give InstanceType.")
	case r != nil && value(r.InstanceCount) > 1:
		return unsupported("ResourceConfig.InstanceCount above 1", "training on several instances is not built.")
	case r != nil && value(r.KeepAlivePeriodInSeconds) > 0:
		return unsupported("ResourceConfig.KeepAlivePeriodInSeconds", "there are no warm pools; jobs start at once without them.")
	case in.RetryStrategy != nil:
		return unsupported("RetryStrategy", "a job is tried once.")
	case len(in.DebugRuleConfigurations) > 0:
		return unsupported("DebugRuleConfigurations", "debugger rules are not built.")
	case len(in.ProfilerRuleConfigurations) > 0:
		return unsupported("ProfilerRuleConfigurations", "profiler rules are not built.")
	case in.RemoteDebugConfig != nil && isTrue(in.RemoteDebugConfig.EnableRemoteDebug):
		return unsupported("RemoteDebugConfig.EnableRemoteDebug", "there is no session into the container.")
	case in.SessionChainingConfig != nil && isTrue(in.SessionChainingConfig.EnableSessionTagChaining):
		return unsupported("SessionChainingConfig.EnableSessionTagChaining", "session tags are not passed on.")
	case in.MlflowConfig != nil:
		return unsupported("MlflowConfig", "there are no MLflow servers.")
	case in.ModelPackageConfig != nil:
		return unsupported("ModelPackageConfig", "register the model after training.")
	}
	for i, c := range in.InputDataConfig {
		if err := channelNotBuilt(fmt.Sprintf("InputDataConfig[%d]", i), c); err != nil {
			return err
		}
	}
	return nil
}

func channelNotBuilt(at string, c sm.Channel) error {
	switch d := c.DataSource; {
	case c.InputMode == "Pipe":
		return unsupported(at+".InputMode Pipe", "use File or FastFile.")
	case c.RecordWrapperType == "RecordIO":
		return unsupported(at+".RecordWrapperType RecordIO", "it is for Pipe mode.")
	case d == nil:
		return nil
	case d.FileSystemDataSource != nil:
		return unsupported(at+".DataSource.FileSystemDataSource", "use S3DataSource.")
	case d.DatasetSource != nil:
		return unsupported(at+".DataSource.DatasetSource", "use S3DataSource.")
	case d.S3DataSource == nil:
		return nil
	case d.S3DataSource.S3DataType != "S3Prefix" && d.S3DataSource.S3DataType != "ManifestFile":
		return unsupported(at+".DataSource.S3DataSource.S3DataType "+d.S3DataSource.S3DataType, "use S3Prefix or ManifestFile.")
	case d.S3DataSource.HubAccessConfig != nil:
		return unsupported(at+".DataSource.S3DataSource.HubAccessConfig", "there are no hubs.")
	}
	return nil
}

// checkShape is about members that need or exclude each other.
func checkShape(in *sm.CreateTrainingJobInput) error {
	a, r := in.AlgorithmSpecification, in.ResourceConfig
	switch {
	case a == nil:
		return fault.Validation("AlgorithmSpecification is required for a training job without ServerlessJobConfig.")
	case (a.TrainingImage == "") == (a.AlgorithmName == ""):
		return fault.Validation("You must specify exactly one of AlgorithmName and TrainingImage in AlgorithmSpecification.")
	case r == nil || r.InstanceType == "" || r.InstanceCount == nil:
		return fault.Validation("ResourceConfig with InstanceType and InstanceCount is required for a training job without ServerlessJobConfig.")
	}
	if _, err := telemetry.NewScraper(definitions(a.MetricDefinitions)); err != nil {
		return fault.Validation("The regular expression in AlgorithmSpecification.MetricDefinitions of %s cannot be used.", err)
	}
	return nil
}

func checkStopping(in *sm.CreateTrainingJobInput) error {
	c := in.StoppingCondition
	spot := isTrue(in.EnableManagedSpotTraining)
	maxRuntime := int64(defaultMaxRuntime / time.Second)
	if c != nil && c.MaxRuntimeInSeconds != nil {
		maxRuntime = *c.MaxRuntimeInSeconds
	}
	switch {
	case spot && (c == nil || c.MaxWaitTimeInSeconds == nil):
		return fault.Validation("Invalid MaxWaitTimeInSeconds. It must be present when EnableManagedSpotTraining is true.")
	case !spot && c != nil && c.MaxWaitTimeInSeconds != nil:
		return fault.Validation("Invalid MaxWaitTimeInSeconds. It must not be present when EnableManagedSpotTraining is false.")
	case spot && *c.MaxWaitTimeInSeconds < maxRuntime:
		return fault.Validation("Invalid MaxWaitTimeInSeconds. It must be equal to or greater than MaxRuntimeInSeconds.")
	}
	return nil
}

func checkChannels(in *sm.CreateTrainingJobInput) error {
	seen := map[string]bool{}
	for _, c := range in.InputDataConfig {
		switch {
		case seen[c.ChannelName]:
			return fault.Validation("Duplicate channel name %q in InputDataConfig: channel names must be unique.", c.ChannelName)
		case c.ChannelName == "." || c.ChannelName == "..":
			return fault.Validation("The channel name %q cannot be the name of a folder.", c.ChannelName)
		case c.DataSource == nil || c.DataSource.S3DataSource == nil:
			return fault.Validation("The channel %q has no data source.", c.ChannelName)
		}
		seen[c.ChannelName] = true
	}
	return nil
}

// checkFolders is about the container's folders that the request names.
func checkFolders(in *sm.CreateTrainingJobInput) error {
	if c := in.CheckpointConfig; c != nil {
		if err := checkLocal("CheckpointConfig.LocalPath", c.LocalPath, optml.CheckpointsPath); err != nil {
			return err
		}
	}
	if c := in.TensorBoardOutputConfig; c != nil {
		return checkLocal("TensorBoardOutputConfig.LocalPath", c.LocalPath, optml.TensorBoardPath)
	}
	return nil
}

// checkLocal refuses a path inside the container that is taken. Below /opt/ml
// only the default is free.
func checkLocal(member, at, def string) error {
	if at == "" || at == def {
		return nil
	}
	clean := path.Clean(at)
	if !path.IsAbs(at) || clean == "/" || clean == optml.Root || strings.HasPrefix(clean, optml.Root+"/") || strings.HasPrefix(optml.Root, clean+"/") {
		return fault.Validation("Invalid %s %q: it must be %s or an absolute path outside of /opt/ml.", member, at, def)
	}
	return nil
}

// fill adds what Describe shows though the request did not say it.
func fill(j *Job) {
	d := j.Doc
	for _, b := range []**bool{&d.EnableNetworkIsolation, &d.EnableInterContainerTrafficEncryption, &d.EnableManagedSpotTraining} {
		if *b == nil {
			*b = new(false)
		}
	}
	// The request's structures are not ours to change.
	stopping := sm.StoppingCondition{}
	if d.StoppingCondition != nil {
		stopping = *d.StoppingCondition
	}
	if stopping.MaxRuntimeInSeconds == nil {
		stopping.MaxRuntimeInSeconds = new(int64(defaultMaxRuntime / time.Second))
	}
	d.StoppingCondition = &stopping
	if d.OutputDataConfig != nil {
		output := *d.OutputDataConfig
		if output.CompressionType == "" {
			output.CompressionType = "GZIP"
		}
		d.OutputDataConfig = &output
	}
	channels := make([]sm.Channel, len(d.InputDataConfig))
	for i, c := range d.InputDataConfig {
		if c.CompressionType == "" {
			c.CompressionType = "None"
		}
		if c.RecordWrapperType == "" {
			c.RecordWrapperType = "None"
		}
		source := *c.DataSource.S3DataSource
		if source.S3DataDistributionType == "" {
			source.S3DataDistributionType = "FullyReplicated"
		}
		c.DataSource = &sm.DataSource{S3DataSource: &source}
		channels[i] = c
	}
	d.InputDataConfig = channels
	if len(channels) == 0 {
		d.InputDataConfig = nil
	}
	if d.CheckpointConfig != nil && d.CheckpointConfig.LocalPath == "" {
		d.CheckpointConfig = &sm.CheckpointConfig{S3Uri: d.CheckpointConfig.S3Uri, LocalPath: optml.CheckpointsPath}
	}
	if d.TensorBoardOutputConfig != nil && d.TensorBoardOutputConfig.LocalPath == "" {
		d.TensorBoardOutputConfig = &sm.TensorBoardOutputConfig{S3OutputPath: d.TensorBoardOutputConfig.S3OutputPath, LocalPath: optml.TensorBoardPath}
	}
	if d.ProfilerConfig != nil {
		d.ProfilingStatus = "Disabled" // nothing profiles here
	}
}

// checkImage finds the image and adds the metrics that a built-in algorithm
// reports, as the service does. A definition of the caller's goes before one
// of the same name.
func (s *Service) checkImage(ctx context.Context, j *Job) error {
	spec := *j.Doc.AlgorithmSpecification
	image, err := s.Images.Image(ctx, spec.TrainingImage, runtime.Needs{})
	switch {
	case errors.Is(err, runtime.ErrNoImage):
		return fault.Validation("Cannot find the training image %s: %s", spec.TrainingImage, err)
	case err != nil:
		return fmt.Errorf("find training image: %w", err)
	case len(image.Train) == 0:
		return fault.Validation("The image %s cannot train: it has no train entry point.", spec.TrainingImage)
	}
	if spec.EnableSageMakerMetricsTimeSeries == nil {
		spec.EnableSageMakerMetricsTimeSeries = new(len(image.Metrics) > 0)
	}
	j.Doc.AlgorithmSpecification = &spec
	return nil
}

// checkObjects asks whether there is something to read and somewhere to write.
func (s *Service) checkObjects(ctx context.Context, j *Job) error {
	for _, c := range j.Doc.InputDataConfig {
		source := c.DataSource.S3DataSource
		u, err := object.ParseURI(source.S3Uri)
		if err != nil {
			return fault.Validation("Invalid S3Uri of the channel %q: %s.", c.ChannelName, err)
		}
		found, err := s.anyObject(ctx, u)
		if err != nil && !errors.Is(err, object.ErrNotFound) {
			return fmt.Errorf("look for the data of channel %q: %w", c.ChannelName, err)
		}
		if !found {
			text := ""
			if errors.Is(err, object.ErrNoBucket) {
				text = " Error message from S3: The specified bucket does not exist"
			}
			return fault.Validation("No S3 objects found under S3 URL %q given in input data source. Please ensure that the bucket exists "+
				"in the selected region (%s), that objects exist under that S3 prefix, and that the role %q has \"s3:ListBucket\" "+
				"permissions on bucket %q.%s", source.S3Uri, j.Key.Region, j.Doc.RoleArn, u.Bucket, text)
		}
	}
	outputs := []string{j.Doc.OutputDataConfig.S3OutputPath}
	if c := j.Doc.CheckpointConfig; c != nil {
		outputs = append(outputs, c.S3Uri)
	}
	if c := j.Doc.TensorBoardOutputConfig; c != nil {
		outputs = append(outputs, c.S3OutputPath)
	}
	for _, path := range outputs {
		u, err := object.ParseURI(path)
		if err != nil {
			return fault.Validation("Invalid S3 output location: %s.", err)
		}
		ok, err := s.Objects.HasBucket(ctx, u.Bucket)
		if err != nil {
			return fmt.Errorf("look for the output bucket: %w", err)
		}
		if !ok {
			return fault.Validation("Invalid S3 output location %q: the bucket %q does not exist in the selected region (%s).", path, u.Bucket, j.Key.Region)
		}
	}
	return nil
}

// anyObject reports whether an object's key begins with u's. Folder markers,
// whose keys end with a slash, hold no data and do not count.
func (s *Service) anyObject(ctx context.Context, u object.URI) (bool, error) {
	if ok, err := s.Objects.HasBucket(ctx, u.Bucket); err != nil || !ok {
		return false, errors.Join(err, object.ErrNoBucket)
	}
	after := ""
	for {
		page, more, err := s.Objects.List(ctx, u, after, 10)
		if err != nil {
			return false, err
		}
		for _, o := range page {
			if !strings.HasSuffix(o.URI.Key, "/") {
				return true, nil
			}
			after = o.URI.Key
		}
		if !more || len(page) == 0 {
			return false, nil
		}
	}
}

// definitions are the metric definitions for the scraper.
func definitions(all []sm.MetricDefinition) []telemetry.Definition {
	out := make([]telemetry.Definition, len(all))
	for i, d := range all {
		out[i] = telemetry.Definition{Name: d.Name, Regex: d.Regex}
	}
	return out
}

func isTrue(b *bool) bool { return b != nil && *b }

// value is *n, or 0 for a missing number.
func value(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}
