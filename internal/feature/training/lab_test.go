// SPDX-License-Identifier: Apache-2.0

package training

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/object/mem"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/optml"
	"github.com/sagebrush-ml/sagebrush/internal/resource/memstore"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/runtime/fake"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup/jobtest"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	goodRole  = "arn:aws:iam::123456789012:role/sagemaker"
	goodImage = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
	readImage = "683313688378.dkr.ecr.us-east-1.amazonaws.com/serve-only:1"
)

// lab is a service with all that it needs; the parts outlive the service.
type lab struct {
	*Service
	t       *testing.T
	table   *op.Table
	ctx     context.Context // of a caller
	options Options
	store   *mem.Store
	tasks   *fake.Runtime
	logs    *jobtest.Logs
	metrics *metrics
	stop    func() // ends the service and waits
}

// newLab makes a lab with a bucket of data, in the test's bubble.
func newLab(t *testing.T) *lab {
	l := &lab{t: t, store: mem.New("bucket"), tasks: fake.New(), logs: &jobtest.Logs{}, metrics: &metrics{}}
	l.ctx = auth.WithCaller(t.Context(), auth.Caller{Account: "123456789012", Region: "us-east-1"})
	l.put("data/train/a.csv", "1,2\n")
	l.put("data/train/sub/b.csv", "3,4\n")
	l.options = Options{DB: memstore.New(), Runtime: l.tasks, Images: images{}, Objects: l.store, Logs: l.logs, Metrics: l.metrics,
		Roles: jobtest.Role(goodRole), Dir: filepath.Join(t.TempDir(), "jobs"), Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Env: func(_ context.Context, j Job) (map[string]string, error) {
			return map[string]string{"AWS_ENDPOINT_URL": "http://" + j.Key.Name}, nil
		}}
	return l
}

// run makes the service anew and runs it.
func (l *lab) run() {
	l.t.Helper()
	l.runUntil(l.t.Context())
}

// runUntil is run with another end.
func (l *lab) runUntil(ctx context.Context) {
	l.t.Helper()
	s, err := New(l.options)
	if err != nil {
		l.t.Fatal(err)
	}
	l.Service, l.table = s, op.New()
	s.Install(l.table)
	l.stop = jobtest.Run(ctx, l.t, s.Run)
}

func (l *lab) put(key, data string) {
	l.t.Helper()
	if _, err := l.store.Put(l.t.Context(), object.URI{Bucket: "bucket", Key: key}, strings.NewReader(data)); err != nil {
		l.t.Fatal(err)
	}
}

// keys are the keys in the bucket below a prefix.
func (l *lab) keys(prefix string) []string {
	l.t.Helper()
	var out []string
	err := object.All(l.t.Context(), l.store, object.URI{Bucket: "bucket", Key: prefix}, func(o object.Info) error {
		out = append(out, o.URI.Key)
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

// unpack gives the files in an archive of the bucket.
func (l *lab) unpack(key string) map[string]string {
	l.t.Helper()
	r, err := l.store.Open(l.t.Context(), object.URI{Bucket: "bucket", Key: key}, 0, -1)
	if err != nil {
		l.t.Fatal(err)
	}
	defer r.Close()
	dir := l.t.TempDir()
	if err := optml.Unpack(r, dir, optml.Limit{}); err != nil {
		l.t.Fatal(err)
	}
	files := map[string]string{}
	err = optml.Files(dir, func(name string, f *os.File) error {
		b, err := io.ReadAll(f)
		files[name] = string(b)
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return files
}

// request is a good request whose task does what env says.
func request(name string, env map[string]string) *sm.CreateTrainingJobInput {
	return &sm.CreateTrainingJobInput{
		TrainingJobName: name, RoleArn: goodRole, Environment: env, HyperParameters: map[string]string{"num_round": "3"},
		AlgorithmSpecification: &sm.AlgorithmSpecification{TrainingImage: goodImage, TrainingInputMode: "File"},
		OutputDataConfig:       &sm.OutputDataConfig{S3OutputPath: "s3://bucket/out/"},
		ResourceConfig:         &sm.ResourceConfig{InstanceType: "ml.m5.large", InstanceCount: new(int64(1)), VolumeSizeInGB: new(int64(30))},
		InputDataConfig:        []sm.Channel{channel("train", "s3://bucket/data/train")},
	}
}

func channel(name, uri string) sm.Channel {
	return sm.Channel{ChannelName: name, ContentType: "text/csv",
		DataSource: &sm.DataSource{S3DataSource: &sm.S3DataSource{S3DataType: "S3Prefix", S3Uri: uri}}}
}

func call[I, O any](l *lab, o wire.Op[I, O], in *I) (*O, error) {
	return op.Call(l.ctx, l.table, o, in)
}

func (l *lab) create(in *sm.CreateTrainingJobInput) {
	l.t.Helper()
	out, err := call(l, sm.CreateTrainingJob, in)
	if err != nil {
		l.t.Fatal(err)
	}
	if want := "arn:aws:sagemaker:us-east-1:123456789012:training-job/" + in.TrainingJobName; out.TrainingJobArn != want {
		l.t.Errorf("ARN is %s", out.TrainingJobArn)
	}
}

func (l *lab) describe(name string) *sm.DescribeTrainingJobOutput {
	l.t.Helper()
	out, err := call(l, sm.DescribeTrainingJob, &sm.DescribeTrainingJobInput{TrainingJobName: name})
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

// settled lets time pass until the job has ended.
func (l *lab) settled(name string) *sm.DescribeTrainingJobOutput {
	l.t.Helper()
	for range 100_000 {
		synctest.Wait()
		if d := l.describe(name); life.Settled(d.TrainingJobStatus) {
			return d
		}
		time.Sleep(time.Second)
	}
	l.t.Fatalf("%s does not end: it is %s", name, l.describe(name).SecondaryStatus)
	return nil
}

// secondaries are the secondary states that a job came through.
func secondaries(d *sm.DescribeTrainingJobOutput) string {
	var out []string
	for _, t := range d.SecondaryStatusTransitions {
		out = append(out, t.Status)
	}
	return strings.Join(out, " ")
}

// clean reports tasks and working folders that are left.
func (l *lab) clean() {
	l.t.Helper()
	jobtest.Clean(l.t, l.tasks, l.options.Dir)
}

type images struct{}

func (images) Image(_ context.Context, uri string, _ runtime.Needs) (runtime.Image, error) {
	switch uri {
	case goodImage:
		return runtime.Image{URI: uri, Train: []string{"/bin/train", "xgboost"}, Env: map[string]string{"IMAGE": "yes"},
			Metrics: []runtime.ImageMetric{{Name: "train:auc", Regex: `.*#011train-auc:(\S+)`}}}, nil
	case readImage:
		return runtime.Image{URI: uri, Serve: []string{"/bin/serve"}}, nil
	}
	return runtime.Image{}, fmt.Errorf("%w: known are xgboost", runtime.ErrNoImage)
}

// metrics is a telemetry.Metrics in memory.
type metrics struct {
	mu   sync.Mutex
	data []string
}

func (m *metrics) Put(_ context.Context, _, _, namespace string, data []telemetry.Datum) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range data {
		m.data = append(m.data, fmt.Sprintf("%s %s %v %v", namespace, d.Name, d.Dimensions, d.Value))
	}
	return nil
}

func (m *metrics) all() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.data)
}

// folder is an object.Local: a mem.Store whose objects are files as well.
type folder struct {
	*mem.Store
	root string
}

func (f folder) Path(ctx context.Context, u object.URI) (string, error) {
	if _, err := f.Stat(ctx, u); err != nil {
		return "", err
	}
	return filepath.Join(f.root, u.Bucket, filepath.FromSlash(u.Key)), nil
}

func (f folder) Put(ctx context.Context, u object.URI, r io.Reader) (object.Info, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return object.Info{}, err
	}
	path := filepath.Join(f.root, u.Bucket, filepath.FromSlash(u.Key))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return object.Info{}, err
	}
	if !strings.HasSuffix(u.Key, "/") {
		err := os.WriteFile(path+".new", b, 0o644)
		if err == nil {
			err = os.Rename(path+".new", path)
		}
		if err != nil {
			return object.Info{}, err
		}
	}
	return f.Store.Put(ctx, u, bytes.NewReader(b))
}

var _ object.Local = folder{}

func (i images) Prepare(ctx context.Context, uri string, n runtime.Needs, _ io.Writer) (runtime.Image, error) {
	return i.Image(ctx, uri, n)
}
