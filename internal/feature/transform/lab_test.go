// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
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
	goodImage = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
)

// lab is a service with all that it needs; the parts outlive the service.
type lab struct {
	*Service
	t         *testing.T
	table     *op.Table
	ctx       context.Context // of a caller
	options   Options
	store     *mem.Store
	tasks     *fake.Runtime
	logs      *jobtest.Logs
	stop      func() // ends the service and waits
	container *container
	models    map[string]*sm.DescribeModelOutput
}

// container answers for every task that the fake runtime starts.
type container struct {
	*httptest.Server
	mu      sync.Mutex
	answer  http.HandlerFunc
	params  string // of /execution-parameters
	bodies  []string
	headers []http.Header
	now     int // requests under way
	most    int
}

func newContainer(t *testing.T) *container {
	c := &container{answer: upper}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

// upper answers with what was sent, in capitals.
func upper(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "text/x-upper")
	_, _ = w.Write(bytes.ToUpper(text))
}

func (c *container) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	params, answer := c.params, c.answer
	c.mu.Unlock()
	switch {
	case r.URL.Path == "/ping":
	case r.URL.Path == "/execution-parameters" && params != "":
		_, _ = io.WriteString(w, params)
	case r.URL.Path == "/invocations":
		text, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(text))
		c.mu.Lock()
		c.bodies, c.headers = append(c.bodies, string(text)), append(c.headers, r.Header.Clone())
		c.now++
		c.most = max(c.most, c.now)
		c.mu.Unlock()
		answer(w, r)
		c.mu.Lock()
		c.now--
		c.mu.Unlock()
	default:
		http.NotFound(w, r)
	}
}

func (c *container) set(f func(*container)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c)
}

// asked are the bodies of the requests so far.
func (c *container) asked() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.bodies...)
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t, store: mem.New("bucket"), tasks: fake.New(), logs: &jobtest.Logs{}, container: newContainer(t), models: map[string]*sm.DescribeModelOutput{
		"model": {ModelName: "model", ExecutionRoleArn: goodRole, PrimaryContainer: &sm.ContainerDefinition{Image: goodImage, Environment: map[string]string{"OWN": "1", "BOTH": "1"}}},
	}}
	l.ctx = auth.WithCaller(t.Context(), auth.Caller{Account: "123456789012", Region: "us-east-1"})
	l.options = Options{DB: memstore.New(), Runtime: l.tasks, Images: images{}, Objects: l.store, Logs: l.logs,
		Roles: jobtest.Role(goodRole), Dir: filepath.Join(t.TempDir(), "jobs"), Log: slog.New(slog.DiscardHandler)}
	l.run()
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
	op.Handle(l.table, sm.DescribeModel, func(_ context.Context, in *sm.DescribeModelInput) (*sm.DescribeModelOutput, error) {
		if m := l.models[in.ModelName]; m != nil {
			return m, nil
		}
		return nil, fault.Validation("Could not find model %q.", in.ModelName)
	})
	l.stop = jobtest.Run(l.t.Context(), l.t, s.Run)
}

func (l *lab) put(key, data string) {
	l.t.Helper()
	if _, err := l.store.Put(l.t.Context(), object.URI{Bucket: "bucket", Key: key}, strings.NewReader(data)); err != nil {
		l.t.Fatal(err)
	}
}

// outputs are the objects below s3://bucket/out/.
func (l *lab) outputs() string { return l.objects("out/") }

func (l *lab) objects(prefix string) string {
	l.t.Helper()
	var out []string
	err := object.All(l.t.Context(), l.store, object.URI{Bucket: "bucket", Key: prefix}, func(o object.Info) error {
		r, err := l.store.Open(l.t.Context(), o.URI, 0, -1)
		if err != nil {
			return err
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		out = append(out, fmt.Sprintf("%s=%q", strings.TrimPrefix(o.URI.Key, prefix), b))
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return strings.Join(out, " ")
}

// request is a good request.
func (l *lab) request(name string, change ...func(*sm.CreateTransformJobInput)) *sm.CreateTransformJobInput {
	in := &sm.CreateTransformJobInput{TransformJobName: name, ModelName: "model", Environment: map[string]string{"FAKE_ADDR": "tcp://" + l.container.Listener.Addr().String(), "BOTH": "2"},
		TransformInput: &sm.TransformInput{ContentType: "text/csv", SplitType: "Line",
			DataSource: &sm.TransformDataSource{S3DataSource: &sm.TransformS3DataSource{S3DataType: "S3Prefix", S3Uri: "s3://bucket/in"}}},
		TransformOutput:    &sm.TransformOutput{S3OutputPath: "s3://bucket/out", AssembleWith: "Line"},
		TransformResources: &sm.TransformResources{InstanceType: "ml.m5.large", InstanceCount: new(int64(1))}}
	for _, c := range change {
		c(in)
	}
	return in
}

func call[I, O any](l *lab, o wire.Op[I, O], in *I) (*O, error) {
	return op.Call(l.ctx, l.table, o, in)
}

func (l *lab) create(in *sm.CreateTransformJobInput) {
	l.t.Helper()
	if _, err := call(l, sm.CreateTransformJob, in); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) describe(name string) *sm.DescribeTransformJobOutput {
	l.t.Helper()
	out, err := call(l, sm.DescribeTransformJob, &sm.DescribeTransformJobInput{TransformJobName: name})
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

// until waits for what comes soon.
func (l *lab) until(what string, ok func() bool) {
	l.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("%s does not come", what)
		}
	}
}

// settled waits until the job has ended and nothing of it is left.
func (l *lab) settled(name string) *sm.DescribeTransformJobOutput {
	l.t.Helper()
	l.until("the end of "+name, func() bool { return life.Settled(l.describe(name).TransformJobStatus) })
	l.until("the clean-up", func() bool {
		left, _ := os.ReadDir(l.options.Dir)
		return len(left) == 0 && len(l.tasks.Tasks()) == 0
	})
	return l.describe(name)
}

// completed runs a job, which must complete, and gives its outputs.
func (l *lab) completed(change ...func(*sm.CreateTransformJobInput)) string {
	l.t.Helper()
	l.create(l.request("job", change...))
	if d := l.settled("job"); d.TransformJobStatus != Completed {
		l.t.Fatalf("the job is %s: %s\n%v", d.TransformJobStatus, d.FailureReason, l.logs.All())
	}
	return l.outputs()
}

// failed runs a job, which must fail, and gives the reason.
func (l *lab) failed(change ...func(*sm.CreateTransformJobInput)) string {
	l.t.Helper()
	l.create(l.request("job", change...))
	d := l.settled("job")
	if d.TransformJobStatus != Failed {
		l.t.Fatalf("the job is %s", d.TransformJobStatus)
	}
	return d.FailureReason
}

// stream is the lines of the one stream whose name ends so.
func (l *lab) stream(suffix string) string {
	for name, lines := range l.logs.All() {
		if strings.HasSuffix(name, suffix) {
			return strings.Join(lines, "\n")
		}
	}
	return ""
}

type images struct{}

func (images) Image(_ context.Context, uri string, _ runtime.Needs) (runtime.Image, error) {
	if uri == goodImage {
		return runtime.Image{URI: uri, Serve: []string{"/serve"}, Env: map[string]string{"IMAGE": "yes"}}, nil
	}
	return runtime.Image{}, fmt.Errorf("%w: known is one", runtime.ErrNoImage)
}

func (i images) Prepare(ctx context.Context, uri string, n runtime.Needs, _ io.Writer) (runtime.Image, error) {
	return i.Image(ctx, uri, n)
}
