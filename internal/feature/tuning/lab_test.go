// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/resource/memstore"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup/jobtest"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	goodRole = "arn:aws:iam::123456789012:role/sagemaker"
	mine     = "registry.example.com/mine:1"
)

// images knows one image, of the user's own.
type images struct{ runtime.Images }

func (images) Image(_ context.Context, uri string, _ runtime.Needs) (runtime.Image, error) {
	if uri != mine {
		return runtime.Image{}, runtime.ErrNoImage
	}
	return runtime.Image{URI: uri, Train: []string{"train"}}, nil
}

// trainer stands for the feature of training jobs: its jobs are rows of the
// store, and end after some time with what objective says of their
// hyperparameters.
type trainer struct {
	db        resource.DB
	lasts     time.Duration
	objective func(hyper map[string]string) (status string, value *float64)
	group     *sync.WaitGroup

	mu      sync.Mutex
	created map[string]int // how often each job was made
	stops   []string
}

func (tr *trainer) key(ctx context.Context, name string) resource.Key {
	c := auth.CallerFrom(ctx)
	return resource.Key{Account: c.Account, Region: c.Region, Family: trainingFamily, Name: name}
}

func (tr *trainer) get(ctx context.Context, k resource.Key) (*sm.DescribeTrainingJobOutput, resource.Row, error) {
	row, err := tr.db.Get(ctx, k)
	if errors.Is(err, resource.ErrNotFound) {
		return nil, row, fault.Validation("Requested resource not found.")
	}
	if err != nil {
		return nil, row, err
	}
	out := new(sm.DescribeTrainingJobOutput)
	return out, row, json.Unmarshal(row.Doc, out)
}

func (tr *trainer) put(ctx context.Context, row resource.Row, d *sm.DescribeTrainingJobOutput) error {
	var err error
	if row.Doc, err = json.Marshal(d); err != nil {
		return err
	}
	row.Status = d.TrainingJobStatus
	row.Settled = d.TrainingJobStatus == Completed || d.TrainingJobStatus == Failed || d.TrainingJobStatus == Stopped
	return tr.db.Write(ctx, func(tx resource.Tx) error {
		if row.Version == 0 {
			return tx.Insert(ctx, row)
		}
		return tx.Update(ctx, row)
	})
}

// end ends a job, if it has not ended yet.
func (tr *trainer) end(ctx context.Context, k resource.Key, status string, value *float64) error {
	d, row, err := tr.get(ctx, k)
	if err != nil || row.Settled {
		return err
	}
	d.TrainingJobStatus, d.TrainingEndTime = status, wire.At(time.Now())
	if value != nil {
		d.FinalMetricDataList = []sm.MetricData{{MetricName: d.HyperParameters[objectiveParameter], Value: value}}
	}
	return tr.put(ctx, row, d)
}

func (tr *trainer) install(t *op.Table) {
	op.Handle(t, sm.CreateTrainingJob, func(ctx context.Context, in *sm.CreateTrainingJobInput) (*sm.CreateTrainingJobOutput, error) {
		k := tr.key(ctx, in.TrainingJobName)
		if _, _, err := tr.get(ctx, k); err == nil {
			return nil, fault.InUse("A training job with this name already exists.")
		}
		d := &sm.DescribeTrainingJobOutput{TrainingJobStatus: InProgress, TuningJobArn: op.Owner(ctx), CreationTime: wire.At(time.Now())}
		wire.Project(d, in, nil)
		d.TrainingJobArn = arn.SageMaker(k.Region, k.Account, trainingFamily, k.Name)
		row := resource.Row{Key: k, ARN: d.TrainingJobArn, Owner: op.Owner(ctx), Created: time.Now()}
		if err := tr.put(ctx, row, d); err != nil {
			return nil, err
		}
		tr.mu.Lock()
		tr.created[k.Name]++
		tr.mu.Unlock()
		tr.group.Go(func() {
			time.Sleep(tr.lasts)
			status, value := tr.objective(in.HyperParameters)
			_ = tr.end(context.WithoutCancel(ctx), k, status, value)
		})
		return &sm.CreateTrainingJobOutput{TrainingJobArn: d.TrainingJobArn}, nil
	})
	op.Handle(t, sm.DescribeTrainingJob, func(ctx context.Context, in *sm.DescribeTrainingJobInput) (*sm.DescribeTrainingJobOutput, error) {
		d, _, err := tr.get(ctx, tr.key(ctx, in.TrainingJobName))
		return d, err
	})
	op.Handle(t, sm.StopTrainingJob, func(ctx context.Context, in *sm.StopTrainingJobInput) (*sm.StopTrainingJobOutput, error) {
		tr.mu.Lock()
		tr.stops = append(tr.stops, in.TrainingJobName)
		tr.mu.Unlock()
		return &sm.StopTrainingJobOutput{}, tr.end(ctx, tr.key(ctx, in.TrainingJobName), Stopped, nil)
	})
}

// lab is a service with all that it needs; trainer and store outlive the service.
type lab struct {
	*Service
	t       *testing.T
	ctx     context.Context
	table   *op.Table
	options Options
	trainer *trainer
	stop    func()
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t, ctx: auth.WithCaller(t.Context(), auth.Caller{Account: "123456789012", Region: "us-east-1", Principal: "arn:aws:iam::123456789012:root"})}
	db := memstore.New()
	l.options = Options{DB: db, Images: images{}, Roles: jobtest.Role(goodRole), Log: slog.New(slog.DiscardHandler)}
	l.trainer = &trainer{db: db, lasts: time.Minute, created: map[string]int{}, group: &sync.WaitGroup{},
		objective: func(hyper map[string]string) (string, *float64) {
			x, err := strconv.ParseFloat(hyper["x"], 64)
			if err != nil {
				return Failed, nil
			}
			v := (x - 0.3) * (x - 0.3)
			return Completed, &v
		}}
	return l
}

// run makes the service anew and runs it until the lab's stop.
func (l *lab) run(ctx context.Context) {
	l.t.Helper()
	l.table = op.New()
	o := l.options
	o.Table = l.table
	l.Service = New(o)
	l.Install(l.table)
	l.trainer.install(l.table)
	l.stop = jobtest.Run(ctx, l.t, l.Run)
}

// request is a good request: so many trials of one number.
func request(name string, trials int64, change ...func(*sm.CreateHyperParameterTuningJobInput)) *sm.CreateHyperParameterTuningJobInput {
	in := &sm.CreateHyperParameterTuningJobInput{HyperParameterTuningJobName: name,
		HyperParameterTuningJobConfig: &sm.HyperParameterTuningJobConfig{Strategy: "Bayesian", RandomSeed: new(int64(1)),
			HyperParameterTuningJobObjective: &sm.HyperParameterTuningJobObjective{Type: "Minimize", MetricName: "loss"},
			ResourceLimits:                   &sm.ResourceLimits{MaxNumberOfTrainingJobs: &trials, MaxParallelTrainingJobs: new(int64(2))},
			ParameterRanges:                  &sm.ParameterRanges{ContinuousParameterRanges: []sm.ContinuousParameterRange{{Name: "x", MinValue: "0", MaxValue: "1"}}}},
		TrainingJobDefinition: &sm.HyperParameterTrainingJobDefinition{RoleArn: goodRole,
			AlgorithmSpecification: &sm.HyperParameterAlgorithmSpecification{TrainingImage: mine, TrainingInputMode: "File",
				MetricDefinitions: []sm.MetricDefinition{{Name: "loss", Regex: "loss=(.*)"}}},
			OutputDataConfig:  &sm.OutputDataConfig{S3OutputPath: "s3://bucket/out"},
			ResourceConfig:    &sm.ResourceConfig{InstanceType: "ml.m5.large", InstanceCount: new(int64(1)), VolumeSizeInGB: new(int64(1))},
			StoppingCondition: &sm.StoppingCondition{MaxRuntimeInSeconds: new(int64(600))}}}
	for _, c := range change {
		c(in)
	}
	return in
}

func (l *lab) create(in *sm.CreateHyperParameterTuningJobInput) error {
	_, err := op.Call(l.ctx, l.table, sm.CreateHyperParameterTuningJob, in)
	return err
}

func (l *lab) describe(name string) *sm.DescribeHyperParameterTuningJobOutput {
	l.t.Helper()
	d, err := op.Call(l.ctx, l.table, sm.DescribeHyperParameterTuningJob, &sm.DescribeHyperParameterTuningJobInput{HyperParameterTuningJobName: name})
	if err != nil {
		l.t.Fatal(err)
	}
	return d
}

// summaries are all trials of a job, by name.
func (l *lab) summaries(name string) []sm.HyperParameterTrainingJobSummary {
	l.t.Helper()
	out, err := op.Call(l.ctx, l.table, sm.ListTrainingJobsForHyperParameterTuningJob,
		&sm.ListTrainingJobsForHyperParameterTuningJobInput{HyperParameterTuningJobName: name, MaxResults: new(int64(100))})
	if err != nil {
		l.t.Fatal(err)
	}
	return out.TrainingJobSummaries
}

// children are the names of all training jobs that were made, each as often as it was.
func (tr *trainer) children() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	var out []string
	for name, n := range tr.created {
		for range n {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// resume lets the training jobs that run go on after a crash: each ends with its
// own result.
func (tr *trainer) resume(ctx context.Context) {
	keys, err := tr.db.Unsettled(ctx, trainingFamily)
	if err != nil {
		panic(err)
	}
	for _, k := range keys {
		d, _, err := tr.get(ctx, k)
		if err != nil {
			panic(err)
		}
		tr.group.Go(func() {
			time.Sleep(tr.lasts)
			status, value := tr.objective(d.HyperParameters)
			_ = tr.end(context.WithoutCancel(ctx), k, status, value)
		})
	}
}
