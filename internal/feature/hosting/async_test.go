// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/feature/hosting/async"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

var asyncKey = resource.Key{Account: "123456789012", Region: "us-east-1", Family: "endpoint", Name: "e"}

// asyncService serves an asynchronous endpoint of these variants by hand.
func asyncService(variants ...variantRoute) (asyncInstances, async.Endpoint) {
	s := &Service{}
	ep := async.Endpoint{Account: asyncKey.Account, Region: asyncKey.Region, Name: asyncKey.Name, Seed: "s1"}
	f := fleetRoute{share: 1, variants: variants}
	for i := range f.variants {
		f.variants[i].meter = &meter{}
		if len(f.variants[i].targets) > 0 {
			f.total += f.variants[i].weight
		}
	}
	s.routes.set(asyncKey, &route{async: &asyncRoute{endpoint: ep, room: 2}, fleets: []fleetRoute{f}})
	return asyncInstances{s}, ep
}

func TestInstancesHaveRoomForSoManyRequests(t *testing.T) {
	targets := []*target{{name: "i-0"}, {name: "i-1"}, {name: "i-2"}}
	a, ep := asyncService(variantRoute{name: "a", weight: 1, targets: targets[:2]}, variantRoute{name: "b", weight: 1, targets: targets[2:]},
		variantRoute{name: "idle", weight: 0, targets: []*target{{name: "i-3"}}}, variantRoute{name: "none", weight: 1})
	if n := a.Count(ep); n != 4 {
		t.Errorf("%d instances", n)
	}
	if got := a.Endpoints(); len(got) != 1 || got[0] != ep {
		t.Errorf("endpoints %v", got)
	}
	var held []async.Slot
	for range 6 {
		slot, ok := a.Acquire(ep)
		if !ok {
			t.Fatalf("no room after %d", len(held))
		}
		held = append(held, slot)
	}
	if slot, ok := a.Acquire(ep); ok {
		t.Errorf("room beyond: %s of %s", slot.Instance, slot.Variant)
	}
	for _, x := range targets {
		if n := x.outstanding.Load(); n != 2 {
			t.Errorf("%s has %d", x.name, n)
		}
	}
	held[3].Release()
	if slot, ok := a.Acquire(ep); !ok || slot.Instance != held[3].Instance || slot.Variant != held[3].Variant {
		t.Errorf("%v, %s of %s", ok, slot.Instance, slot.Variant)
	}
	other := ep
	other.Seed = "s0" // an earlier endpoint of the name
	if _, ok := a.Acquire(other); ok || a.Count(other) != 0 {
		t.Error("an endpoint that was deleted has instances")
	}
}

func TestAnAsynchronousRequestGoesThroughAllContainers(t *testing.T) {
	container := func(name string) *serving.Backend {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			in, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			if strings.HasPrefix(string(in), "bad "+name) {
				http.Error(w, "refused by "+name, http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "text/"+name)
			fmt.Fprintf(w, "%s(%s %s %s %d %s)", name, r.Header.Get("Content-Type"), r.Header.Get("X-Amzn-SageMaker-Inference-Id"), r.Header.Get("Accept"), r.ContentLength, in)
		}))
		t.Cleanup(srv.Close)
		return serving.Dial("tcp://" + srv.Listener.Addr().String())
	}
	tg := &target{name: "i-0", containers: []*serving.Backend{container("one"), container("two")}}
	a, ep := asyncService(variantRoute{name: "v", weight: 1, targets: []*target{tg}, hosts: []string{"one", "two"}})
	ask := func(text string) (int, string) {
		t.Helper()
		slot, ok := a.Acquire(ep)
		if !ok {
			t.Fatal("no room")
		}
		defer slot.Release()
		q := &async.Request{ContentType: "text/csv", Accept: "text/plain", InferenceID: "me", Timeout: time.Minute}
		resp, err := slot.Invoke(t.Context(), q, strings.NewReader(text), int64(len(text)))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		out, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.Status, string(out)
	}
	first := "one(text/csv me text/plain 3 1,2)"
	if status, got := ask("1,2"); status != 200 || got != fmt.Sprintf("two(text/one me text/plain %d %s)", len(first), first) {
		t.Errorf("%d %q", status, got)
	}
	if status, got := ask("bad one"); status != 400 || got != "refused by one\n" {
		t.Errorf("%d %q", status, got)
	}
	v := &a.route(ep).fleets[0].variants[0]
	data := dataOfSamples(meterKey{routeKey: keyOf(asyncKey), variant: "v"}.dimensions(""), v.meter.samples, time.Now())
	seen := map[string]int{}
	for _, d := range data {
		seen[d.Name] += len(d.Values)
	}
	if seen["ModelLatency"] != 2 || seen["Invocation4XXErrors"] != 2 || seen["ContainerLatency"] != 3 || seen["Invocations"]+seen["InvocationsPerInstance"]+seen["OverheadLatency"] != 0 {
		t.Errorf("metrics %v", seen)
	}
}

// TestAnInstanceThatIsNotReachedHasNotTakenTheRequest tells the two losses
// apart, of which one is not counted.
func TestAnInstanceThatIsNotReachedHasNotTakenTheRequest(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := l.Addr().String()
	l.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer srv.Close()
	for _, c := range []struct {
		addr     string
		notTaken bool
	}{{gone, true}, {srv.Listener.Addr().String(), false}} {
		a, ep := asyncService(variantRoute{name: "v", weight: 1, targets: []*target{{containers: []*serving.Backend{serving.Dial("tcp://" + c.addr)}}}})
		slot, _ := a.Acquire(ep)
		_, err := slot.Invoke(context.WithoutCancel(t.Context()), &async.Request{Timeout: time.Minute}, strings.NewReader("x"), 1)
		if err == nil || errors.Is(err, async.ErrNotTaken) != c.notTaken {
			t.Errorf("%s answers %v", c.addr, err)
		}
	}
}

func TestAsyncConfigs(t *testing.T) {
	s := &Service{Options: Options{Async: &async.Queue{}}}
	const topic = "arn:aws:sns:us-east-1:123456789012:t"
	for _, c := range []struct {
		name   string
		out    sm.AsyncInferenceOutputConfig
		shadow bool
		want   string
	}{
		{name: "plain", out: sm.AsyncInferenceOutputConfig{S3OutputPath: "s3://b/out/", S3FailurePath: "s3://b"}},
		{name: "topics alone", out: sm.AsyncInferenceOutputConfig{NotificationConfig: &sm.AsyncInferenceNotificationConfig{SuccessTopic: topic, IncludeInferenceResponseIn: []string{includeSuccess}}}},
		{name: "a way out", out: sm.AsyncInferenceOutputConfig{S3OutputPath: "s3://b/../c"}, want: `Invalid S3OutputPath "s3://b/../c": it must not have "." or ".." as a part.`},
		{name: "no URI", out: sm.AsyncInferenceOutputConfig{S3OutputPath: "s3://b", S3FailurePath: "https://b/c"}, want: `Invalid S3FailurePath "https://b/c": it must be an s3:// URI that names a bucket.`},
		{name: "failures alone", out: sm.AsyncInferenceOutputConfig{S3FailurePath: "s3://b"}},
		{name: "no such topic", out: sm.AsyncInferenceOutputConfig{NotificationConfig: &sm.AsyncInferenceNotificationConfig{SuccessTopic: topic, IncludeInferenceResponseIn: []string{includeError}}},
			want: "IncludeInferenceResponseIn names ERROR_NOTIFICATION_TOPIC, but there is no such topic."},
		{name: "a shadow", shadow: true, want: "ShadowProductionVariants cannot be specified with AsyncInferenceConfig."},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := &sm.CreateEndpointConfigInput{AsyncInferenceConfig: &sm.AsyncInferenceConfig{OutputConfig: &c.out}}
			if c.shadow {
				in.ShadowProductionVariants = make([]sm.ProductionVariant, 1)
			}
			err := s.checkAsync(in)
			if c.want == "" && err != nil {
				t.Fatal(err)
			}
			if f := fault.Of(err); c.want != "" && (f == nil || f.Message != c.want) {
				t.Errorf("answers %v", err)
			}
		})
	}
	multi := &sm.DescribeModelOutput{ModelName: "m", PrimaryContainer: &sm.ContainerDefinition{Mode: "MultiModel"}}
	direct := &sm.DescribeModelOutput{ModelName: "m", InferenceExecutionConfig: &sm.InferenceExecutionConfig{Mode: "Direct"}}
	in := &sm.CreateEndpointConfigInput{AsyncInferenceConfig: &sm.AsyncInferenceConfig{}}
	if checkAsyncModel(in, multi) == nil || checkAsyncModel(in, direct) == nil || checkAsyncModel(in, &sm.DescribeModelOutput{}) != nil {
		t.Error("models are not told apart")
	}
}
