// SPDX-License-Identifier: Apache-2.0

package shadowtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/reconcile"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// endpointPoll is how soon an endpoint that is being updated is looked at again.
const endpointPoll = 200 * time.Millisecond

// endpoint is what is seen of the experiment's.
type endpoint struct {
	gone   bool
	status string
	config string
	reason string
}

// step is what to do next.
type step struct {
	status string // "" stays
	reason string
	make   bool // choose the endpoint's next config
	ask    bool // tell the endpoint to take it
	undo   bool // give the experiment up: the endpoint goes back to what it was
	again  time.Duration
}

// decide is the whole policy of an experiment: it touches nothing.
func decide(r *record, e endpoint, now time.Time) step {
	p := &r.Private
	switch r.Status {
	case sm.InferenceExperimentStatusCreating:
		return step{status: sm.InferenceExperimentStatusCreated}
	case sm.InferenceExperimentStatusCreated:
		if wait := r.Doc.Schedule.StartTime.Sub(now); wait > 0 && !p.Started {
			return step{again: wait}
		}
		return step{status: sm.InferenceExperimentStatusStarting}
	case sm.InferenceExperimentStatusRunning:
		if e.gone {
			return step{status: sm.InferenceExperimentStatusStopping, undo: true, reason: "The endpoint was deleted."}
		}
		if wait := r.Doc.Schedule.EndTime.Sub(now); wait > 0 {
			return step{again: min(wait, time.Minute)}
		}
		return step{status: sm.InferenceExperimentStatusStopping, undo: true, reason: "The experiment has reached its scheduled end."}
	}
	// Starting, Updating, Stopping: the endpoint takes a config.
	done := map[string]string{sm.InferenceExperimentStatusStarting: sm.InferenceExperimentStatusRunning,
		sm.InferenceExperimentStatusUpdating: sm.InferenceExperimentStatusRunning, sm.InferenceExperimentStatusStopping: p.Ends}[r.Status]
	switch {
	case e.gone && r.Status == sm.InferenceExperimentStatusStopping:
		return step{status: done}
	case e.gone:
		return step{status: sm.InferenceExperimentStatusStopping, undo: true, reason: "The endpoint was deleted."}
	case p.Config == "":
		return step{make: true}
	case e.status == sm.EndpointStatusInService && e.config == p.Config:
		return step{status: done}
	case e.status == sm.EndpointStatusInService && !p.Asked:
		return step{ask: true}
	case e.status == sm.EndpointStatusInService && r.Status == sm.InferenceExperimentStatusStopping:
		return step{status: done, reason: "The endpoint could not be updated: " + e.reason}
	case e.status == sm.EndpointStatusInService:
		return step{status: sm.InferenceExperimentStatusStopping, undo: true, reason: "The endpoint could not be updated: " + e.reason}
	}
	return step{again: endpointPoll}
}

func (s *Service) reconcile(ctx context.Context, key resource.Key) (reconcile.Result, error) {
	r, err := s.experiments.Get(ctx, key)
	if errors.Is(err, resource.ErrNotFound) || err == nil && life.Settled(r.Status) {
		return reconcile.Done, nil
	}
	if err != nil {
		return reconcile.Retry, err
	}
	ctx = auth.WithCaller(ctx, auth.Caller{Account: key.Account, Region: key.Region, Principal: r.Private.Principal})
	e, err := s.look(ctx, &r)
	if err != nil {
		return reconcile.Retry, err
	}
	st := decide(&r, e, s.Now())
	if st.ask {
		_, err := op.Call(ctx, s.Table, sm.UpdateEndpoint, &sm.UpdateEndpointInput{EndpointName: r.Doc.EndpointMetadata.EndpointName, EndpointConfigName: r.Private.Config})
		if err != nil && fault.Of(err) == nil {
			return reconcile.Retry, err
		}
		if f := fault.Of(err); f != nil {
			s.Log.Warn("endpoint of an inference experiment not updated", "name", key.Name, "err", err)
		}
	}
	name := ""
	if st.make {
		if name, err = s.config(ctx, &r); err != nil {
			f := fault.Of(err)
			if f == nil {
				return reconcile.Retry, err
			}
			st = step{status: sm.InferenceExperimentStatusStopping, undo: true, reason: f.Message}
			if r.Status == sm.InferenceExperimentStatusStopping {
				st = step{status: r.Private.Ends, reason: f.Message}
			}
		}
	}
	if st == (step{again: st.again}) {
		return reconcile.Result{After: st.again}, nil
	}
	_, err = s.experiments.Revise(ctx, r, func(now *record) { st.apply(now, name, s.Now()) })
	if err != nil && !errors.Is(err, resource.ErrStale) && !errors.Is(err, resource.ErrNotFound) {
		return reconcile.Retry, err
	}
	s.loop.Wake(key)
	return reconcile.Result{After: endpointPoll}, nil
}

// apply writes a step into the record.
func (st *step) apply(r *record, config string, now time.Time) {
	p := &r.Private
	if st.make && config != "" {
		p.Serial++
		p.Config, p.Asked = config, false
	}
	p.Asked = p.Asked || st.ask
	if st.reason != "" {
		r.Doc.StatusReason = st.reason
	}
	if st.status == "" {
		return
	}
	if st.undo { // as it was before
		ends := sm.InferenceExperimentStatusCancelled
		if r.Status == sm.InferenceExperimentStatusRunning && !now.Before(r.Doc.Schedule.EndTime.Time) {
			ends = sm.InferenceExperimentStatusCompleted
		}
		p.stop(map[string]string{r.Doc.ShadowModeConfig.SourceModelVariantName: "Retain"}, nil, ends)
	}
	r.Status = st.status
	switch st.status {
	case sm.InferenceExperimentStatusRunning:
		r.Doc.ModelVariants = summaries(configs(r.Doc.ModelVariants), "InService")
	case sm.InferenceExperimentStatusCompleted, sm.InferenceExperimentStatusCancelled:
		r.Doc.CompletionTime = wire.At(now.UTC())
		for i := range r.Doc.ModelVariants {
			v := &r.Doc.ModelVariants[i]
			v.Status = "Deleted"
			if a := p.Actions[v.VariantName]; a == "Retain" || a == "Promote" {
				v.Status = "InService"
			}
		}
	}
}

func (s *Service) look(ctx context.Context, r *record) (endpoint, error) {
	e, err := op.Call(ctx, s.Table, sm.DescribeEndpoint, &sm.DescribeEndpointInput{EndpointName: r.Doc.EndpointMetadata.EndpointName})
	if fault.Of(err) != nil {
		return endpoint{gone: true}, nil
	}
	if err != nil {
		return endpoint{}, err
	}
	return endpoint{status: e.EndpointStatus, config: e.EndpointConfigName, reason: e.FailureReason}, nil
}

// config makes the config that the endpoint takes next, and gives its name,
// which follows from the experiment, so that it is made once.
func (s *Service) config(ctx context.Context, r *record) (string, error) {
	all := configs(r.Doc.ModelVariants)
	source, shadow, err := variantsOf(all, r.Doc.ShadowModeConfig)
	if err != nil {
		return "", err
	}
	was, err := op.Call(ctx, s.Table, sm.DescribeEndpointConfig, &sm.DescribeEndpointConfigInput{EndpointConfigName: r.Private.Original})
	if fault.Of(err) != nil {
		was = &sm.DescribeEndpointConfigOutput{} // it was deleted meanwhile
	} else if err != nil {
		return "", err
	}
	in := &sm.CreateEndpointConfigInput{EndpointConfigName: fmt.Sprintf("%.40s-%d-%x", r.Key.Name, r.Private.Serial+1, r.Created.UnixMilli()&0xffffffffff),
		KmsKeyId: was.KmsKeyId, VpcConfig: was.VpcConfig, ExecutionRoleArn: was.ExecutionRoleArn, EnableNetworkIsolation: was.EnableNetworkIsolation, DataCaptureConfig: was.DataCaptureConfig}
	if r.Status == sm.InferenceExperimentStatusStopping {
		keep, others := s.kept(r, source, shadow)
		if keep.VariantName == source.VariantName && len(others) == 0 && r.Private.Desired == nil && was.EndpointConfigName != "" {
			return r.Private.Original, nil
		}
		in.ProductionVariants = []sm.ProductionVariant{production(keep, 1)}
		for _, o := range others {
			in.ShadowProductionVariants = append(in.ShadowProductionVariants, production(o, s.share(r)))
		}
	} else {
		in.ProductionVariants = []sm.ProductionVariant{production(source, 1)}
		in.ShadowProductionVariants = []sm.ProductionVariant{production(shadow, s.share(r))}
		if d := r.Doc.DataStorageConfig; d != nil {
			in.DataCaptureConfig = &sm.DataCaptureConfig{EnableCapture: new(true), InitialSamplingPercentage: new(int64(100)), DestinationS3Uri: d.Destination,
				KmsKeyId: d.KmsKey, CaptureContentTypeHeader: d.ContentType, CaptureOptions: []sm.CaptureOption{{CaptureMode: "InputAndOutput"}}}
		}
	}
	_, err = op.Call(ctx, s.Table, sm.CreateEndpointConfig, in)
	if f := fault.Of(err); f != nil {
		if _, there := op.Call(ctx, s.Table, sm.DescribeEndpointConfig, &sm.DescribeEndpointConfigInput{EndpointConfigName: in.EndpointConfigName}); there == nil {
			return in.EndpointConfigName, nil // made before the server ended
		}
	}
	return in.EndpointConfigName, err
}

// kept is the production variant after the end, and what stays as its shadow.
func (s *Service) kept(r *record, source, shadow *sm.ModelVariantConfig) (keep *sm.ModelVariantConfig, others []*sm.ModelVariantConfig) {
	act := r.Private.Actions
	keep = source
	if act[shadow.VariantName] == "Promote" || act[source.VariantName] == "Remove" {
		keep = shadow
	} else if act[shadow.VariantName] == "Retain" {
		others = append(others, desired(r, shadow))
	}
	return desired(r, keep), others
}

// desired is a variant as DesiredModelVariants wants it.
func desired(r *record, v *sm.ModelVariantConfig) *sm.ModelVariantConfig {
	for i := range r.Private.Desired {
		if d := &r.Private.Desired[i]; d.VariantName == v.VariantName {
			return d
		}
	}
	return v
}

// share is the part of the requests that the shadow variant gets copies of.
func (s *Service) share(r *record) float64 {
	return float64(*r.Doc.ShadowModeConfig.ShadowModelVariants[0].SamplingPercentage) / 100
}

func production(v *sm.ModelVariantConfig, weight float64) sm.ProductionVariant {
	c := v.InfrastructureConfig.RealTimeInferenceConfig
	return sm.ProductionVariant{VariantName: v.VariantName, ModelName: v.ModelName, InstanceType: c.InstanceType,
		InitialInstanceCount: c.InstanceCount, InitialVariantWeight: &weight}
}
