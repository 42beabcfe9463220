// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/object/mem"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/resource/memstore"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/runtime/fake"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
	smr "github.com/sagebrush-ml/sagebrush/internal/wire/sagemakerruntime"
)

const (
	goodRole  = "arn:aws:iam::123456789012:role/r"
	goodImage = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
)

// world is hosting on a store, a runtime and a container of the test's.
type world struct {
	t         *testing.T
	ctx       context.Context
	table     *op.Table
	service   *Service
	runtime   *fake.Runtime
	db        *memstore.Store
	objects   *mem.Store
	container *container
	dir       string
	options   func(*Options) // changes those of a start
	stop      func()         // ends the first service
}

// container answers for every instance that the fake runtime starts.
type container struct {
	*httptest.Server
	mu     sync.Mutex
	ping   int
	answer http.HandlerFunc
}

func (c *container) set(f func(*container)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c)
}

func newContainer(t *testing.T) *container {
	c := &container{ping: 200, answer: func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "text/csv")
		_, _ = io.WriteString(w, strings.ToUpper(string(text)))
	}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		ping, answer := c.ping, c.answer
		c.mu.Unlock()
		if r.URL.Path == "/ping" {
			w.WriteHeader(ping)
			return
		}
		answer(w, r)
	}))
	t.Cleanup(c.Close)
	return c
}

type noLogs struct{}

func (noLogs) Offset(context.Context, telemetry.Stream) (int64, error) { return 0, nil }
func (noLogs) Append(context.Context, telemetry.Stream, int64, int64, []telemetry.Event) error {
	return nil
}

// metrics keeps what hosting publishes.
type metrics struct {
	mu   sync.Mutex
	seen map[string]float64
}

func (m *metrics) Put(_ context.Context, _, _, ns string, data []telemetry.Datum) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range data {
		for i, v := range d.Values {
			m.seen[ns+" "+d.Name] += v * d.Counts[i]
		}
	}
	return nil
}

type oneRole struct{}

func (oneRole) Assumable(_ context.Context, arn string) error {
	if arn != goodRole {
		return fault.Validation("Could not assume role %s.", arn)
	}
	return nil
}

// imagesOf starts every known image as a fake task that answers at addr.
type imagesOf struct{ addr string }

func (i imagesOf) Image(_ context.Context, uri string, _ runtime.Needs) (runtime.Image, error) {
	if uri != goodImage {
		return runtime.Image{}, errors.Join(runtime.ErrNoImage)
	}
	return runtime.Image{URI: uri, Resolved: uri + "@sha256:0", Serve: []string{"/serve"}, Env: map[string]string{"FAKE_ADDR": i.addr}}, nil
}

func newWorld(t *testing.T) *world { return newWorldWith(t, func(*Options) {}) }

func newWorldWith(t *testing.T, options func(*Options)) *world {
	w := &world{t: t, options: options, table: op.New(), runtime: fake.New(), db: memstore.New(), objects: mem.New("bucket"), container: newContainer(t), dir: t.TempDir()}
	w.ctx = auth.WithCaller(t.Context(), auth.Caller{Account: "123456789012", Region: "us-east-1"})
	w.put("model.tar.gz", archive(t))
	w.stop = w.start(w.table)
	return w
}

// start runs a service on the world's store, as a server does.
func (w *world) start(table *op.Table) (stop func()) {
	o := Options{DB: w.db, Runtime: w.runtime, Images: imagesOf{"tcp://" + w.container.Listener.Addr().String()}, Objects: w.objects,
		Logs: noLogs{}, Metrics: &metrics{seen: map[string]float64{}}, Roles: oneRole{}, Table: table, Dir: w.dir,
		Log: slog.New(slog.DiscardHandler), PingEvery: 10 * time.Millisecond}
	w.options(&o)
	s := New(o)
	s.Install(table)
	w.service = s
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(stop)
	return stop
}

func (w *world) put(key string, text []byte) {
	if _, err := w.objects.Put(w.t.Context(), object.URI{Bucket: "bucket", Key: key}, bytes.NewReader(text)); err != nil {
		w.t.Fatal(err)
	}
}

func archive(t *testing.T) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	tw := tar.NewWriter(z)
	if err := errors.Join(tw.WriteHeader(&tar.Header{Name: "xgboost-model", Size: 1, Mode: 0o644}), second(tw.Write([]byte("m"))), tw.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func second(_ int, err error) error { return err }

func call[I, O any](w *world, o wire.Op[I, O], in *I) *O {
	w.t.Helper()
	out, err := op.Call(w.ctx, w.table, o, in)
	if err != nil {
		w.t.Fatalf("%s: %v", o, err)
	}
	return out
}

func (w *world) model(name string, env map[string]string) {
	w.t.Helper()
	call(w, sm.CreateModel, &sm.CreateModelInput{ModelName: name, ExecutionRoleArn: goodRole,
		PrimaryContainer: &sm.ContainerDefinition{Image: goodImage, ModelDataUrl: "s3://bucket/model.tar.gz", Environment: env}})
}

func (w *world) config(name, model string, variants ...string) {
	w.t.Helper()
	in := &sm.CreateEndpointConfigInput{EndpointConfigName: name}
	for _, v := range variants {
		in.ProductionVariants = append(in.ProductionVariants, sm.ProductionVariant{VariantName: v, ModelName: model, InstanceType: "ml.m5.large", InitialInstanceCount: new(int64(1))})
	}
	call(w, sm.CreateEndpointConfig, in)
}

// settled waits until the endpoint has left the states in which it changes.
func (w *world) settled(name string) *sm.DescribeEndpointOutput {
	w.t.Helper()
	var out *sm.DescribeEndpointOutput
	w.until("endpoint "+name+" settles", func() bool {
		out = call(w, sm.DescribeEndpoint, &sm.DescribeEndpointInput{EndpointName: name})
		return out.EndpointStatus != "Creating" && out.EndpointStatus != "Updating"
	})
	return out
}

func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func (w *world) invoke(in smr.InvokeEndpointInput, body string) (*httptest.ResponseRecorder, error) {
	rec := httptest.NewRecorder()
	h, _ := w.table.StreamHandler(smr.InvokeEndpoint.Operation)
	return rec, h(w.ctx, &in, bytes.NewReader([]byte(body)), rec)
}

func TestAnEndpointFromCreateToGone(t *testing.T) {
	w := newWorld(t)
	w.model("m", nil)
	w.config("c", "m", "A", "B")
	call(w, sm.CreateEndpoint, &sm.CreateEndpointInput{EndpointName: "e", EndpointConfigName: "c"})
	d := w.settled("e")
	if d.EndpointStatus != "InService" || len(d.ProductionVariants) != 2 || *d.ProductionVariants[0].CurrentInstanceCount != 1 {
		t.Fatalf("%+v", d)
	}
	rec, err := w.invoke(smr.InvokeEndpointInput{EndpointName: "e", ContentType: "text/csv", TargetVariant: "B"}, "abc")
	if err != nil || rec.Body.String() != "ABC" || rec.Header().Get("X-Amzn-Invoked-Production-Variant") != "B" || rec.Header().Get("Content-Type") != "text/csv" {
		t.Fatalf("%v %q %v", err, rec.Body, rec.Header())
	}

	t.Run("the config and the model may go, it still serves", func(t *testing.T) {
		call(w, sm.DeleteEndpointConfig, &sm.DeleteEndpointConfigInput{EndpointConfigName: "c"})
		call(w, sm.DeleteModel, &sm.DeleteModelInput{ModelName: "m"})
		if _, err := w.invoke(smr.InvokeEndpointInput{EndpointName: "e"}, "x"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("weights and counts change in place", func(t *testing.T) {
		call(w, sm.UpdateEndpointWeightsAndCapacities, &sm.UpdateEndpointWeightsAndCapacitiesInput{EndpointName: "e",
			DesiredWeightsAndCapacities: []sm.DesiredWeightAndCapacity{{VariantName: "A", DesiredInstanceCount: new(int64(3)), DesiredWeight: new(0.0)}}})
		d := w.settled("e")
		if *d.ProductionVariants[0].CurrentInstanceCount != 3 || *d.ProductionVariants[0].CurrentWeight != 0 {
			t.Fatalf("%+v", d.ProductionVariants[0])
		}
		for range 20 {
			if rec, err := w.invoke(smr.InvokeEndpointInput{EndpointName: "e"}, "x"); err != nil || rec.Header().Get("X-Amzn-Invoked-Production-Variant") != "B" {
				t.Fatalf("%v, variant %s with weight 0 was chosen", err, rec.Header().Get("X-Amzn-Invoked-Production-Variant"))
			}
		}
	})
	t.Run("an instance that dies is replaced", func(t *testing.T) {
		ids := w.running()
		if !w.runtime.Kill(ids[0], 137, "") {
			t.Fatal("nothing to kill")
		}
		w.until("the instance is back", func() bool { return len(w.running()) == len(ids) })
	})
	t.Run("it is gone after delete, with its tasks", func(t *testing.T) {
		call(w, sm.DeleteEndpoint, &sm.DeleteEndpointInput{EndpointName: "e"})
		w.until("the record is gone", func() bool {
			_, err := op.Call(w.ctx, w.table, sm.DescribeEndpoint, &sm.DescribeEndpointInput{EndpointName: "e"})
			f := fault.Of(err)
			return f != nil && f.Code == "ValidationException" && strings.HasPrefix(f.Message, "Could not find endpoint")
		})
		if ids := w.running(); len(ids) != 0 {
			t.Errorf("tasks are left: %v", ids)
		}
		_, err := w.invoke(smr.InvokeEndpointInput{EndpointName: "e"}, "x")
		if f := fault.Of(err); f == nil || f.Message != "Endpoint e of account 123456789012 not found." {
			t.Errorf("invoke: %v", err)
		}
	})
}

func (w *world) running() []runtime.ID {
	var out []runtime.ID
	for _, task := range w.runtime.Tasks() {
		if st, err := w.runtime.Inspect(w.ctx, task.ID); err == nil && st.Phase == runtime.Running {
			out = append(out, task.ID)
		}
	}
	slices.Sort(out)
	return out
}

func TestAContainerThatEndsFailsTheEndpoint(t *testing.T) {
	w := newWorld(t)
	w.model("m", map[string]string{"FAKE_RUN_FOR": "1ms", "FAKE_EXIT": "1"})
	w.container.set(func(c *container) { c.ping = 500 })
	w.config("c", "m", "A")
	call(w, sm.CreateEndpoint, &sm.CreateEndpointInput{EndpointName: "e", EndpointConfigName: "c"})
	d := w.settled("e")
	if d.EndpointStatus != "Failed" || !strings.Contains(d.FailureReason, "The primary container for production variant A did not pass the ping health check") {
		t.Fatalf("%s %q", d.EndpointStatus, d.FailureReason)
	}
	if ids := w.running(); len(ids) != 0 {
		t.Errorf("tasks are left: %v", ids)
	}
	call(w, sm.DeleteEndpoint, &sm.DeleteEndpointInput{EndpointName: "e"})
}

func TestAnUpdateThatFailsKeepsTheOldFleet(t *testing.T) {
	w := newWorld(t)
	w.model("good", nil)
	w.config("c1", "good", "A")
	call(w, sm.CreateEndpoint, &sm.CreateEndpointInput{EndpointName: "e", EndpointConfigName: "c1"})
	w.settled("e")

	w.model("bad", map[string]string{"FAKE_RUN_FOR": "1ms", "FAKE_EXIT": "1", "FAKE_ADDR": "tcp://127.0.0.1:1"})
	w.config("c2", "bad", "A")
	call(w, sm.UpdateEndpoint, &sm.UpdateEndpointInput{EndpointName: "e", EndpointConfigName: "c2"})
	_, err := op.Call(w.ctx, w.table, sm.UpdateEndpoint, &sm.UpdateEndpointInput{EndpointName: "e", EndpointConfigName: "c2"})
	if f := fault.Of(err); f == nil || !strings.HasPrefix(f.Message, "Cannot update in-progress endpoint") {
		t.Errorf("a second update: %v", err)
	}
	d := w.settled("e")
	if d.EndpointStatus != "InService" || d.EndpointConfigName != "c1" || d.FailureReason == "" {
		t.Fatalf("%s %s %q", d.EndpointStatus, d.EndpointConfigName, d.FailureReason)
	}
	if _, err := w.invoke(smr.InvokeEndpointInput{EndpointName: "e"}, "x"); err != nil {
		t.Error(err)
	}

	w.config("c3", "good", "Z")
	call(w, sm.UpdateEndpoint, &sm.UpdateEndpointInput{EndpointName: "e", EndpointConfigName: "c3"})
	d = w.settled("e")
	if d.EndpointStatus != "InService" || d.EndpointConfigName != "c3" || d.FailureReason != "" || d.ProductionVariants[0].VariantName != "Z" {
		t.Fatalf("%+v", d)
	}
	w.until("the old fleet is gone", func() bool { return len(w.running()) == 1 })
}

func TestARestartOfTheServerAdoptsTheInstances(t *testing.T) {
	w := newWorld(t)
	w.model("m", nil)
	w.config("c", "m", "A")
	call(w, sm.CreateEndpoint, &sm.CreateEndpointInput{EndpointName: "e", EndpointConfigName: "c"})
	w.settled("e")
	before := w.running()

	w.table = op.New()
	w.start(w.table) // a second service on the same store, as after a crash
	w.until("the endpoint answers again", func() bool {
		_, err := w.invoke(smr.InvokeEndpointInput{EndpointName: "e"}, "x")
		return err == nil
	})
	if after := w.running(); !slices.Equal(before, after) {
		t.Errorf("tasks before %v, after %v", before, after)
	}
}

func TestModelErrors(t *testing.T) {
	w := newWorld(t)
	w.model("m", nil)
	w.config("c", "m", "A")
	call(w, sm.CreateEndpoint, &sm.CreateEndpointInput{EndpointName: "e", EndpointConfigName: "c"})
	w.settled("e")
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		status int
		has    string
	}{
		{"the container's own refusal", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "bad row", 415) }, 415, `Received client error (415) from primary with message "bad row`},
		{"the container's failure", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "boom", 500) }, 500, `Received server error (500) from primary`},
		{"a container that hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, "Received server error (0) from primary"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.container.set(func(co *container) { co.answer = c.answer })
			_, err := w.invoke(smr.InvokeEndpointInput{EndpointName: "e"}, "x")
			f := fault.Of(err)
			if f == nil || f.Code != "ModelError" || f.Status != 424 || f.Extra["OriginalStatusCode"] != c.status || !strings.Contains(f.Message, c.has) {
				t.Errorf("%v", err)
			}
		})
	}
	_, err := w.invoke(smr.InvokeEndpointInput{EndpointName: "e", TargetVariant: "nope"}, "x")
	if f := fault.Of(err); f == nil || f.Code != "ValidationError" {
		t.Errorf("unknown variant: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	w.model("m", nil)
	w.config("c", "m", "A")
	container := func(image, data string) *sm.ContainerDefinition {
		return &sm.ContainerDefinition{Image: image, ModelDataUrl: data}
	}
	variant := func(name, model string) sm.ProductionVariant {
		return sm.ProductionVariant{VariantName: name, ModelName: model, InstanceType: "ml.m5.large", InitialInstanceCount: new(int64(1))}
	}
	check := func(name, want string, err error) {
		t.Helper()
		if f := fault.Of(err); f == nil || f.Code != "ValidationException" || !strings.Contains(f.Message, want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	model := func(c *sm.ContainerDefinition, role string) error {
		_, err := op.Call(w.ctx, w.table, sm.CreateModel, &sm.CreateModelInput{ModelName: "x", ExecutionRoleArn: role, PrimaryContainer: c})
		return err
	}
	config := func(v ...sm.ProductionVariant) error {
		_, err := op.Call(w.ctx, w.table, sm.CreateEndpointConfig, &sm.CreateEndpointConfigInput{EndpointConfigName: "x", ProductionVariants: v})
		return err
	}
	check("an unknown image", "Requested image nope not found", model(container("nope", ""), goodRole))
	check("a dead role", "Could not assume role", model(container(goodImage, ""), "arn:aws:iam::123456789012:role/dead"))
	check("missing model data", "Could not find model data at s3://bucket/none", model(container(goodImage, "s3://bucket/none"), goodRole))
	check("no container", "Either PrimaryContainer or Containers", model(nil, goodRole))
	check("a model that is not there", "Could not find model", config(variant("A", "none")))
	check("a variant twice", `The variant name "A" was non-unique`, config(variant("A", "m"), variant("A", "m")))
	check("a variant without a type", "InstanceType must be specified", config(sm.ProductionVariant{VariantName: "A", ModelName: "m", InitialInstanceCount: new(int64(1))}))
	_, err := op.Call(w.ctx, w.table, sm.CreateEndpoint, &sm.CreateEndpointInput{EndpointName: "e", EndpointConfigName: "none"})
	check("a config that is not there", "Could not find endpoint configuration", err)
	_, err = op.Call(w.ctx, w.table, sm.CreateModel, &sm.CreateModelInput{ModelName: "m", ExecutionRoleArn: goodRole, PrimaryContainer: container(goodImage, "")})
	check("a model twice", "Cannot create already existing model", err)
	for _, family := range []string{"model", "endpoint-config", "endpoint"} {
		for _, name := range []string{"x", "e"} {
			if _, err := w.db.Get(w.ctx, resource.Key{Account: "123456789012", Region: "us-east-1", Family: family, Name: name}); err == nil {
				t.Errorf("a refused request left %s %s", family, name)
			}
		}
	}
}

func (i imagesOf) Prepare(ctx context.Context, uri string, n runtime.Needs, _ io.Writer) (runtime.Image, error) {
	return i.Image(ctx, uri, n)
}
