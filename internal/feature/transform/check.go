// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"cmp"
	"context"
	"net/http"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/feature/transform/batch"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
	"github.com/sagebrush-ml/sagebrush/internal/transfer"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// maxMachines is how many instances a job may have on one machine.
const maxMachines = 64

// The service's limits and defaults. Source: API_CreateTransformJob.
const (
	defaultPayload = 6   // MB
	maxTogether    = 100 // MB, of all mini-batches that are under way at an instance
)

// The values of members that are compared with.
const (
	singleRecord = "SingleRecord"
	multiRecord  = "MultiRecord"
	gzipped      = "Gzip"
	joinInput    = "Input"
	none         = "None"
)

// check is what the model cannot say of a CreateTransformJob request, and the
// members that the service fills in. What only the request itself tells comes
// first, then what others must be asked.
func (s *Service) check(ctx context.Context, in *sm.CreateTransformJobInput, j *Job) error {
	if err := checkRequest(in); err != nil {
		return err
	}
	fill(j)
	if _, err := processOf(*j); err != nil {
		return err
	}
	doc, err := op.Call(ctx, s.table, sm.DescribeModel, &sm.DescribeModelInput{ModelName: in.ModelName})
	if err != nil {
		return err
	}
	model, err := s.checkModel(ctx, doc)
	if err != nil {
		return err
	}
	j.Private.Model = model
	if err := s.data.CheckInput(ctx, "transform input", in.TransformInput.DataSource.S3DataSource.S3Uri, j.Key.Region, model.Role); err != nil {
		return err
	}
	if err := s.data.CheckOutput(ctx, in.TransformOutput.S3OutputPath, j.Key.Region); err != nil {
		return err
	}
	if c := in.DataCaptureConfig; c != nil {
		return s.data.CheckOutput(ctx, c.DestinationS3Uri, j.Key.Region)
	}
	return nil
}

func checkRequest(in *sm.CreateTransformJobInput) error {
	source := in.TransformInput.DataSource.S3DataSource
	switch {
	case source == nil:
		return fault.Validation("TransformInput.DataSource.S3DataSource is required.")
	case source.S3DataType != transfer.S3Prefix && source.S3DataType != transfer.ManifestFile:
		return fault.Validation("TransformInput.DataSource.S3DataSource.S3DataType %s is not supported by Sagebrush yet: use S3Prefix or ManifestFile.", source.S3DataType)
	case value(in.TransformResources.InstanceCount) > maxMachines:
		return fault.New("ResourceLimitExceeded", http.StatusBadRequest,
			"The account-level service limit for the number of instances across transform jobs is %d Instances, with current utilization of 0 Instances "+
				"and a request delta of %d Instances. All instances of a job share this one machine.", maxMachines, *in.TransformResources.InstanceCount)
	}
	payload := int64(defaultPayload)
	if in.MaxPayloadInMB != nil {
		payload = *in.MaxPayloadInMB
	}
	if payload > maxTogether { // the model names no maximum, the documentation does
		return fault.Validation("MaxPayloadInMB must not be greater than %d MB: it is %d.", maxTogether, payload)
	}
	if n := value(in.MaxConcurrentTransforms); n*payload > maxTogether {
		return fault.Validation("MaxConcurrentTransforms * MaxPayloadInMB must not exceed %d MB: %d * %d is %d.", maxTogether, n, payload, n*payload)
	}
	if payload == 0 && (in.DataProcessing != nil || stamps(in.DataCaptureConfig)) {
		return fault.Validation("DataProcessing and GenerateInferenceId need MaxPayloadInMB above 0: with 0 an object is streamed as it is.")
	}
	return nil
}

// stamps says whether each record gets the ID of its inference.
func stamps(c *sm.BatchDataCaptureConfig) bool {
	return c != nil && c.GenerateInferenceId != nil && *c.GenerateInferenceId
}

// checkModel copies a model that a transform job can use.
func (s *Service) checkModel(ctx context.Context, doc *sm.DescribeModelOutput) (serving.Model, error) {
	for _, c := range serving.ContainersOf(doc) {
		if err := serving.CheckImage(ctx, s.Images, c.Image, c.Environment); err != nil {
			return serving.Model{}, err
		}
	}
	m, err := serving.ModelOf(ctx, s.Images, doc)
	switch {
	case err != nil:
		return m, err
	case m.Direct:
		return m, fault.Validation("Batch transform does not support the model %s: its InferenceExecutionConfig.Mode is Direct.", doc.ModelName)
	}
	for _, c := range m.Containers {
		if c.Multi {
			return m, fault.Validation("Batch transform does not support the model %s: it is a multi-model container.", doc.ModelName)
		}
	}
	if err := s.Roles.Assumable(ctx, m.Role); err != nil {
		return m, fault.Validation("Could not assume role %s. Please ensure that the role exists and allows principal "+
			"'sagemaker.amazonaws.com' to assume the role.", m.Role)
	}
	return m, nil
}

// fill adds what Describe shows though the request did not say it.
func fill(j *Job) {
	d := j.Doc
	// The request's structures are not ours to change.
	in := *d.TransformInput
	in.CompressionType, in.SplitType = cmp.Or(in.CompressionType, none), cmp.Or(in.SplitType, none)
	d.TransformInput = &in
	out := *d.TransformOutput
	out.AssembleWith = cmp.Or(out.AssembleWith, none)
	d.TransformOutput = &out
	if d.DataProcessing != nil {
		p := *d.DataProcessing
		p.InputFilter, p.OutputFilter, p.JoinSource = cmp.Or(p.InputFilter, "$"), cmp.Or(p.OutputFilter, "$"), cmp.Or(p.JoinSource, none)
		d.DataProcessing = &p
	}
}

// processOf is what a job does with records besides sending them; nil for
// nothing. Errors are a ValidationException.
func processOf(j Job) (*batch.Process, error) {
	p := j.Doc.DataProcessing
	if p == nil {
		if !stamps(j.Doc.DataCaptureConfig) {
			return nil, nil
		}
		p = &sm.DataProcessing{}
	}
	out := &batch.Process{Join: p.JoinSource == joinInput}
	var err error
	if out.Input, err = batch.ParsePath(p.InputFilter); err != nil {
		return nil, fault.Validation("Invalid DataProcessing.InputFilter: %s.", err)
	}
	if out.Output, err = batch.ParsePath(p.OutputFilter); err != nil {
		return nil, fault.Validation("Invalid DataProcessing.OutputFilter: %s.", err)
	}
	if out.Input.All() && out.Output.All() && !out.Join && !stamps(j.Doc.DataCaptureConfig) {
		return nil, nil
	}
	in, answer := j.Doc.TransformInput, j.Doc.TransformOutput
	var ok bool
	if out.Format, ok = batch.FormatOf(in.ContentType); !ok {
		return nil, fault.Validation("DataProcessing is only for the content types text/csv, application/json and application/jsonlines, not for %q.", in.ContentType)
	}
	out.Answer = out.Format
	if answer.Accept != "" {
		out.Answer, ok = batch.FormatOf(answer.Accept)
	}
	reads := out.Join || !out.Output.All() || stamps(j.Doc.DataCaptureConfig)
	switch split := in.SplitType; {
	case reads && !ok:
		return nil, fault.Validation("DataProcessing cannot read answers of the type %q of TransformOutput.Accept.", answer.Accept)
	case out.Join && out.Answer != out.Format:
		return nil, fault.Validation("With DataProcessing.JoinSource Input, TransformOutput.Accept %q must be the same as TransformInput.ContentType %q.", answer.Accept, in.ContentType)
	case split != none && (split != batch.Line || out.Format == batch.JSON):
		return nil, fault.Validation("DataProcessing with the content type %s needs another SplitType than %s.", in.ContentType, split)
	}
	if err := out.Check(); err != nil {
		return nil, fault.Validation("Invalid DataProcessing: %s.", err)
	}
	return out, nil
}
