// SPDX-License-Identifier: Apache-2.0

package processing

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/object/mem"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/resource/memstore"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/runtime/fake"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup/jobtest"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	goodRole  = "arn:aws:iam::123456789012:role/sagemaker"
	goodImage = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
	bareImage = "123456789012.dkr.ecr.us-east-1.amazonaws.com/bare:1"
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
	stop    func() // ends the service and waits
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t, store: mem.New("bucket"), tasks: fake.New(), logs: &jobtest.Logs{}}
	l.ctx = auth.WithCaller(t.Context(), auth.Caller{Account: "123456789012", Region: "us-east-1"})
	l.put("in/a.csv", "1,2\n")
	l.put("code/script.py", "print()\n")
	l.options = Options{DB: memstore.New(), Runtime: l.tasks, Images: images{}, Objects: l.store, Logs: l.logs,
		Roles: jobtest.Role(goodRole), Dir: filepath.Join(t.TempDir(), "jobs"), Log: slog.New(slog.DiscardHandler)}
	return l
}

func (l *lab) run() {
	l.t.Helper()
	s, err := New(l.options)
	if err != nil {
		l.t.Fatal(err)
	}
	l.Service, l.table = s, op.New()
	s.Install(l.table)
	l.stop = jobtest.Run(l.t.Context(), l.t, s.Run)
}

func (l *lab) put(key, data string) {
	l.t.Helper()
	if _, err := l.store.Put(l.t.Context(), object.URI{Bucket: "bucket", Key: key}, strings.NewReader(data)); err != nil {
		l.t.Fatal(err)
	}
}

// objects are the keys below a prefix and what they hold.
func (l *lab) objects(prefix string) map[string]string {
	l.t.Helper()
	out := map[string]string{}
	err := object.All(l.t.Context(), l.store, object.URI{Bucket: "bucket", Key: prefix}, func(o object.Info) error {
		r, err := l.store.Open(l.t.Context(), o.URI, 0, -1)
		if err != nil {
			return err
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		out[o.URI.Key] = string(b)
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

// request is a good request whose tasks do what env says.
func request(name string, env map[string]string) *sm.CreateProcessingJobInput {
	return &sm.CreateProcessingJobInput{
		ProcessingJobName: name, RoleArn: goodRole, Environment: env,
		AppSpecification: &sm.AppSpecification{ImageUri: goodImage, ContainerEntrypoint: []string{"python3", "/opt/ml/processing/input/code/script.py"}, ContainerArguments: []string{"--x", "1"}},
		ProcessingResources: &sm.ProcessingResources{ClusterConfig: &sm.ProcessingClusterConfig{InstanceType: "ml.m5.large",
			InstanceCount: new(int64(1)), VolumeSizeInGB: new(int64(30))}},
		ProcessingInputs: []sm.ProcessingInput{input("code", "s3://bucket/code/script.py", "/opt/ml/processing/input/code"), input("data", "s3://bucket/in", "/opt/ml/processing/input/data")},
		ProcessingOutputConfig: &sm.ProcessingOutputConfig{Outputs: []sm.ProcessingOutput{{OutputName: "out",
			S3Output: &sm.ProcessingS3Output{S3Uri: "s3://bucket/out", LocalPath: "/opt/ml/processing/output/out", S3UploadMode: "EndOfJob"}}}},
	}
}

func input(name, uri, at string) sm.ProcessingInput {
	return sm.ProcessingInput{InputName: name, S3Input: &sm.ProcessingS3Input{S3Uri: uri, LocalPath: at, S3DataType: "S3Prefix"}}
}

func call[I, O any](l *lab, o wire.Op[I, O], in *I) (*O, error) {
	return op.Call(l.ctx, l.table, o, in)
}

func (l *lab) create(in *sm.CreateProcessingJobInput) {
	l.t.Helper()
	if _, err := call(l, sm.CreateProcessingJob, in); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) describe(name string) *sm.DescribeProcessingJobOutput {
	l.t.Helper()
	out, err := call(l, sm.DescribeProcessingJob, &sm.DescribeProcessingJobInput{ProcessingJobName: name})
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

// settled lets time pass until the job has ended.
func (l *lab) settled(name string) *sm.DescribeProcessingJobOutput {
	l.t.Helper()
	for range 100_000 {
		synctest.Wait()
		if d := l.describe(name); life.Settled(d.ProcessingJobStatus) {
			return d
		}
		time.Sleep(time.Second)
	}
	l.t.Fatalf("%s does not end", name)
	return nil
}

// clean reports tasks and working folders that are left.
func (l *lab) clean() {
	l.t.Helper()
	jobtest.Clean(l.t, l.tasks, l.options.Dir)
}

// inside is the host's path of what a task sees at a path.
func inside(t *testing.T, mounts []runtime.Mount, path string) string {
	t.Helper()
	host, deepest := "", -1
	for _, m := range mounts {
		if rel, err := filepath.Rel(m.Target, path); err == nil && filepath.IsLocal(rel) && len(m.Target) > deepest {
			host, deepest = filepath.Join(m.Source, rel), len(m.Target)
		}
	}
	return host
}

type images struct{}

func (images) Image(_ context.Context, uri string, _ runtime.Needs) (runtime.Image, error) {
	switch uri {
	case goodImage:
		return runtime.Image{URI: uri, Script: true, Env: map[string]string{"IMAGE": "yes"}}, nil
	case bareImage:
		return runtime.Image{URI: uri, Entrypoint: []string{"/run"}, Command: []string{"default"}}, nil
	}
	return runtime.Image{}, fmt.Errorf("%w: known are two", runtime.ErrNoImage)
}

func (i images) Prepare(ctx context.Context, uri string, n runtime.Needs, progress io.Writer) (runtime.Image, error) {
	if strings.Contains(string(n.Requirements), "nowhere") {
		return runtime.Image{}, fmt.Errorf("%w: nowhere cannot be had", runtime.ErrUnprepared)
	}
	fmt.Fprintln(progress, "preparing")
	return i.Image(ctx, uri, n)
}

// lines are the lines of all streams, in the order of the streams' names.
func (l *lab) lines() []string {
	all := l.logs.All()
	var out []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, all[name]...)
	}
	return out
}
