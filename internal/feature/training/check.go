// SPDX-License-Identifier: Apache-2.0

package training

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/optml"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	"github.com/sagebrush-ml/sagebrush/internal/transfer"
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
	if owner := op.Owner(ctx); owner != "" { // a trial of a tuning job
		j.Owner, j.Doc.TuningJobArn = owner, owner
	}
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
	case r != nil && len(r.InstancePreferences) > 0:
		return unsupported("ResourceConfig.InstancePreferences", "give InstanceType.")
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
	case d == nil:
		return nil
	case d.DatasetSource != nil:
		return unsupported(at+".DataSource.DatasetSource", "use S3DataSource.")
	case d.S3DataSource == nil:
		return nil
	case !slices.Contains([]string{transfer.S3Prefix, transfer.ManifestFile, augmentedManifest}, d.S3DataSource.S3DataType):
		return unsupported(at+".DataSource.S3DataSource.S3DataType "+d.S3DataSource.S3DataType, "use S3Prefix, ManifestFile or AugmentedManifestFile.")
	case d.S3DataSource.HubAccessConfig != nil:
		return unsupported(at+".DataSource.S3DataSource.HubAccessConfig", "there are no hubs.")
	}
	return nil
}

// augmentedManifest is the S3DataType of JSON lines that hold data and names of
// objects.
const augmentedManifest = "AugmentedManifestFile"

// checkShape is about members that need or exclude each other.
func checkShape(in *sm.CreateTrainingJobInput) error {
	a, r := in.AlgorithmSpecification, in.ResourceConfig
	switch {
	case a == nil:
		return fault.Validation("AlgorithmSpecification is required for a training job without ServerlessJobConfig.")
	case (a.TrainingImage == "") == (a.AlgorithmName == ""):
		return fault.Validation("You must specify exactly one of AlgorithmName and TrainingImage in AlgorithmSpecification.")
	case r == nil || len(r.InstanceGroups) == 0 && (r.InstanceType == "" || r.InstanceCount == nil):
		return fault.Validation("ResourceConfig with InstanceType and InstanceCount is required for a training job without ServerlessJobConfig.")
	}
	if err := checkGroups(r); err != nil {
		return err
	}
	if _, err := telemetry.NewScraper(definitions(a.MetricDefinitions)); err != nil {
		return fault.Validation("The regular expression in AlgorithmSpecification.MetricDefinitions of %s cannot be used.", err)
	}
	return nil
}

// maxHosts is how many hosts a job may have on one machine.
const maxHosts = 64

func checkGroups(r *sm.ResourceConfig) error {
	if len(r.InstanceGroups) > 0 && (r.InstanceType != "" || r.InstanceCount != nil) {
		return fault.Validation("ResourceConfig must have either InstanceGroups, or InstanceType and InstanceCount, not both.")
	}
	names, hosts := map[string]bool{}, value(r.InstanceCount)
	for _, g := range r.InstanceGroups {
		if names[g.InstanceGroupName] {
			return fault.Validation("Duplicate instance group name %q in ResourceConfig.InstanceGroups: names must be unique.", g.InstanceGroupName)
		}
		names[g.InstanceGroupName] = true
		hosts += value(g.InstanceCount)
	}
	if hosts > maxHosts {
		return fault.New("ResourceLimitExceeded", http.StatusBadRequest,
			"The account-level service limit for the number of instances across training jobs is %d Instances, with current utilization of 0 Instances "+
				"and a request delta of %d Instances. All hosts of a job share this one machine.", maxHosts, hosts)
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
		case c.DataSource == nil || c.DataSource.S3DataSource == nil && c.DataSource.FileSystemDataSource == nil:
			return fault.Validation("The channel %q has no data source.", c.ChannelName)
		}
		if err := checkMode(in, c); err != nil {
			return err
		}
		seen[c.ChannelName] = true
	}
	return nil
}

// checkMode is about members that go with some input modes only.
func checkMode(in *sm.CreateTrainingJobInput, c sm.Channel) error {
	how := cmp.Or(c.InputMode, in.AlgorithmSpecification.TrainingInputMode)
	s3 := c.DataSource.S3DataSource
	switch {
	case s3 == nil && how == pipeMode:
		return fault.Validation("The channel %q has a file system data source, which must be used with input mode File.", c.ChannelName)
	case c.RecordWrapperType == "RecordIO" && how != pipeMode:
		return fault.Validation("RecordWrapperType RecordIO of the channel %q is only for input mode Pipe.", c.ChannelName)
	case s3 != nil && s3.S3DataType == augmentedManifest && how != pipeMode:
		return fault.Validation("S3DataType AugmentedManifestFile of the channel %q is only for input mode Pipe.", c.ChannelName)
	case s3 != nil && s3.S3DataType == augmentedManifest && len(s3.AttributeNames) == 0:
		return fault.Validation("AttributeNames of the channel %q must be given with S3DataType AugmentedManifestFile.", c.ChannelName)
	case s3 != nil && s3.S3DataType != augmentedManifest && len(s3.AttributeNames) > 0:
		return fault.Validation("AttributeNames of the channel %q are only for S3DataType AugmentedManifestFile.", c.ChannelName)
	}
	if s3 == nil {
		return nil
	}
	groups := map[string]bool{}
	for _, g := range in.ResourceConfig.InstanceGroups {
		groups[g.InstanceGroupName] = true
	}
	for _, name := range s3.InstanceGroupNames {
		if !groups[name] {
			return fault.Validation("The channel %q names the instance group %q, which ResourceConfig.InstanceGroups does not have.", c.ChannelName, name)
		}
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
		if c.DataSource.S3DataSource != nil {
			source := *c.DataSource.S3DataSource
			if source.S3DataDistributionType == "" {
				source.S3DataDistributionType = fullyReplicated
			}
			c.DataSource = &sm.DataSource{S3DataSource: &source}
		}
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
	image, err := s.Images.Image(ctx, spec.TrainingImage, needs(*j))
	switch {
	case errors.Is(err, runtime.ErrNoImage):
		return fault.Validation("Cannot find the training image %s: %s", spec.TrainingImage, err)
	case err != nil:
		return fmt.Errorf("find training image: %w", err)
	case len(image.TrainArgv(spec.ContainerEntrypoint, spec.ContainerArguments)) == 0:
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
		if f := c.DataSource.FileSystemDataSource; f != nil {
			if _, err := s.FileSystems.mount(f, ""); err != nil {
				return fault.Validation("Invalid FileSystemDataSource of the channel %q: %s.", c.ChannelName, err)
			}
			continue
		}
		what := fmt.Sprintf("channel %q", c.ChannelName)
		if err := s.data.CheckInput(ctx, what, c.DataSource.S3DataSource.S3Uri, j.Key.Region, j.Doc.RoleArn); err != nil {
			return err
		}
	}
	outputs := []string{j.Doc.OutputDataConfig.S3OutputPath}
	if c := j.Doc.CheckpointConfig; c != nil {
		outputs = append(outputs, c.S3Uri)
	}
	if c := j.Doc.TensorBoardOutputConfig; c != nil {
		outputs = append(outputs, c.S3OutputPath)
	}
	for _, uri := range outputs {
		if err := s.data.CheckOutput(ctx, uri, j.Key.Region); err != nil {
			return err
		}
	}
	return nil
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
