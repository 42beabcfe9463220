// SPDX-License-Identifier: Apache-2.0

package processing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// root is where a processing container finds its data.
const root = "/opt/ml/processing"

// defaultMaxRuntime is the service's when the request gives none, in seconds.
const defaultMaxRuntime = 86400

// maxHosts is how many hosts a job may have on one machine.
const maxHosts = 64

// The values of members that the service fills in.
const (
	fileMode   = "File"
	replicated = "FullyReplicated"
	sharded    = "ShardedByS3Key"
	continuous = "Continuous"
)

// unsupported says that a member would change what the job does in a way that
// is not built.
func unsupported(member, why string) error {
	return fault.Validation("%s is not supported by Sagebrush yet: %s", member, why)
}

// check is what the model cannot say of a CreateProcessingJob request, and the
// members that the service fills in. What only the request itself tells comes
// first, then what others must be asked.
func (s *Service) check(ctx context.Context, in *sm.CreateProcessingJobInput, j *Job) error {
	if err := checkCluster(in); err != nil {
		return err
	}
	names := map[string]bool{}
	for i, p := range in.ProcessingInputs {
		if err := checkInput(fmt.Sprintf("ProcessingInputs[%d]", i), p); err != nil {
			return err
		}
		if names[p.InputName] {
			return fault.Validation("Duplicate input name %q in ProcessingInputs: input names must be unique.", p.InputName)
		}
		names[p.InputName] = true
	}
	if err := checkOutputs(in); err != nil {
		return err
	}
	fill(j)
	if err := s.checkImage(ctx, j); err != nil {
		return err
	}
	if err := s.Roles.Assumable(ctx, in.RoleArn); err != nil {
		return fault.Validation("Could not assume role %s. Please ensure that the role exists and allows principal "+
			"'sagemaker.amazonaws.com' to assume the role.", in.RoleArn)
	}
	for _, p := range j.Doc.ProcessingInputs {
		if p.S3Input == nil || isTrue(p.AppManaged) {
			continue
		}
		if err := s.data.CheckInput(ctx, fmt.Sprintf("input %q", p.InputName), p.S3Input.S3Uri, j.Key.Region, j.Doc.RoleArn); err != nil {
			return err
		}
	}
	for _, o := range outputs(j) {
		if o.S3Output == nil || isTrue(o.AppManaged) {
			continue
		}
		if err := s.data.CheckOutput(ctx, o.S3Output.S3Uri, j.Key.Region); err != nil {
			return err
		}
	}
	return nil
}

func checkCluster(in *sm.CreateProcessingJobInput) error {
	r := in.ProcessingResources
	switch {
	case r == nil || r.ClusterConfig == nil:
		return fault.Validation("ProcessingResources.ClusterConfig is required.")
	case len(r.ClusterConfig.InstancePreferences) > 0:
		return unsupported("ProcessingResources.ClusterConfig.InstancePreferences", "give InstanceType.")
	case r.ClusterConfig.InstanceType == "" || r.ClusterConfig.InstanceCount == nil:
		return fault.Validation("ProcessingResources.ClusterConfig must have InstanceType and InstanceCount.")
	case *r.ClusterConfig.InstanceCount > maxHosts:
		return fault.New("ResourceLimitExceeded", http.StatusBadRequest,
			"The account-level service limit for the number of instances across processing jobs is %d Instances, with current utilization of 0 Instances "+
				"and a request delta of %d Instances. All hosts of a job share this one machine.", maxHosts, *r.ClusterConfig.InstanceCount)
	}
	return nil
}

func checkInput(at string, p sm.ProcessingInput) error {
	s3 := p.S3Input
	switch {
	case p.DatasetDefinition != nil && s3 != nil:
		return fault.Validation("The input %q must have either S3Input or DatasetDefinition, not both.", p.InputName)
	case p.DatasetDefinition != nil:
		return unsupported(at+".DatasetDefinition", "put the data into S3 and use S3Input.")
	case s3 == nil:
		return fault.Validation("The input %q must have either S3Input or DatasetDefinition.", p.InputName)
	case isTrue(p.AppManaged):
		return nil
	case s3.S3InputMode == "Pipe":
		return unsupported(at+".S3Input.S3InputMode Pipe", "use File.")
	case s3.S3CompressionType == "Gzip" && cmp.Or(s3.S3InputMode, fileMode) == fileMode:
		return fault.Validation("S3CompressionType Gzip of the input %q is only for S3InputMode Pipe.", p.InputName)
	}
	return checkLocal(at+".S3Input.LocalPath", s3.LocalPath)
}

func checkOutputs(in *sm.CreateProcessingJobInput) error {
	if in.ProcessingOutputConfig == nil {
		return nil
	}
	names := map[string]bool{}
	for i, o := range in.ProcessingOutputConfig.Outputs {
		at := fmt.Sprintf("ProcessingOutputConfig.Outputs[%d]", i)
		if names[o.OutputName] {
			return fault.Validation("Duplicate output name %q in ProcessingOutputConfig: output names must be unique.", o.OutputName)
		}
		names[o.OutputName] = true
		switch {
		case o.FeatureStoreOutput != nil && o.S3Output != nil:
			return fault.Validation("The output %q must have either S3Output or FeatureStoreOutput, not both.", o.OutputName)
		case o.FeatureStoreOutput != nil:
			return unsupported(at+".FeatureStoreOutput", "use S3Output.")
		case o.S3Output == nil:
			return fault.Validation("The output %q must have either S3Output or FeatureStoreOutput.", o.OutputName)
		case isTrue(o.AppManaged):
			continue
		}
		if err := checkLocal(at+".S3Output.LocalPath", o.S3Output.LocalPath); err != nil {
			return err
		}
	}
	return nil
}

// checkLocal refuses a path in the container where no data may be.
func checkLocal(member, at string) error {
	clean := path.Clean(at)
	if !path.IsAbs(at) || !strings.HasPrefix(clean, root+"/") {
		return fault.Validation("Invalid %s %q: it must be an absolute path below %s.", member, at, root)
	}
	return nil
}

// fill adds what Describe shows though the request did not say it.
func fill(j *Job) {
	d := j.Doc
	// The request's structures are not ours to change.
	if d.StoppingCondition == nil || d.StoppingCondition.MaxRuntimeInSeconds == nil {
		d.StoppingCondition = &sm.ProcessingStoppingCondition{MaxRuntimeInSeconds: new(int64(defaultMaxRuntime))}
	}
	inputs := make([]sm.ProcessingInput, len(d.ProcessingInputs))
	for i, p := range d.ProcessingInputs {
		if p.AppManaged == nil {
			p.AppManaged = new(false)
		}
		if p.S3Input != nil {
			s3 := *p.S3Input
			s3.S3InputMode = cmp.Or(s3.S3InputMode, fileMode)
			s3.S3DataDistributionType = cmp.Or(s3.S3DataDistributionType, replicated)
			s3.S3CompressionType = cmp.Or(s3.S3CompressionType, "None")
			p.S3Input = &s3
		}
		inputs[i] = p
	}
	d.ProcessingInputs = inputs
	if len(inputs) == 0 {
		d.ProcessingInputs = nil
	}
	if d.ProcessingOutputConfig == nil {
		return
	}
	config := *d.ProcessingOutputConfig
	config.Outputs = nil
	for _, o := range d.ProcessingOutputConfig.Outputs {
		if o.AppManaged == nil {
			o.AppManaged = new(false)
		}
		config.Outputs = append(config.Outputs, o)
	}
	d.ProcessingOutputConfig = &config
}

func outputs(j *Job) []sm.ProcessingOutput {
	if j.Doc.ProcessingOutputConfig == nil {
		return nil
	}
	return j.Doc.ProcessingOutputConfig.Outputs
}

// needs: a framework's image is a place for the user's code here, whatever else
// it may be.
func needs() runtime.Needs { return runtime.Needs{Script: true} }

func (s *Service) checkImage(ctx context.Context, j *Job) error {
	app := j.Doc.AppSpecification
	image, err := s.Images.Image(ctx, app.ImageUri, needs())
	switch {
	case errors.Is(err, runtime.ErrNoImage):
		return fault.Validation("Cannot find the image %s: %s", app.ImageUri, err)
	case err != nil:
		return fmt.Errorf("find image: %w", err)
	case len(image.Argv(app.ContainerEntrypoint, app.ContainerArguments)) == 0:
		return fault.Validation("The image %s has no entry point: give AppSpecification.ContainerEntrypoint.", app.ImageUri)
	}
	return nil
}
