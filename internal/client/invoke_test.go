// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/client"
	"github.com/sagebrush-ml/sagebrush/internal/eventstream"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

func TestInvokeSaysWhatIsMeant(t *testing.T) {
	c, seen := serve(t, root, answering(200, "0.5\n"))
	var out bytes.Buffer
	in := client.Invocation{Endpoint: "e", ContentType: "text/csv", Accept: "application/json", TargetModel: "m.tar.gz", TargetVariant: "A", InferenceComponent: "c", Body: []byte("1,2")}
	if err := c.Invoke(t.Context(), in, &out); err != nil || out.String() != "0.5\n" {
		t.Errorf("%q, %v", &out, err)
	}
	h := (*seen)[0].header
	for name, want := range map[string]string{"Accept": "application/json", "X-Amzn-SageMaker-Target-Model": "m.tar.gz", "X-Amzn-SageMaker-Target-Variant": "A", "X-Amzn-SageMaker-Inference-Component": "c"} {
		if got := h.Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	if err := c.Invoke(t.Context(), client.Invocation{Endpoint: "e"}, &out); err != nil {
		t.Error(err)
	}
	if h := (*seen)[1].header; h["X-Amzn-Sagemaker-Target-Variant"] != nil || h["Content-Type"] != nil {
		t.Errorf("what was not said is sent: %v", h)
	}
}

func TestInvokeStream(t *testing.T) {
	parts := func(end func(*eventstream.Writer) error) string {
		var b bytes.Buffer
		w := eventstream.NewWriter(&b)
		for _, p := range []string{"one ", "two"} {
			if err := w.Event("PayloadPart", []byte(p)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Event("SomethingNew", []byte("ignored")); err != nil {
			t.Fatal(err)
		}
		if end != nil {
			if err := end(w); err != nil {
				t.Fatal(err)
			}
		}
		return b.String()
	}
	whole := parts(nil)
	failed := parts(func(w *eventstream.Writer) error {
		return w.Exception("ModelStreamError", []byte(`{"Message":"it went away","ErrorCode":"StreamBroken"}`))
	})
	for _, c := range []struct {
		name, answer string
		status       int
		says         string
		out          string
	}{
		{"whole", whole, 200, "", "one two"},
		{"an exception at the end", failed, 200, "ModelStreamError: StreamBroken: it went away", "one two"},
		{"cut", whole[:len(whole)-3], 200, "unexpected EOF", "one two"},
		{"something else", "<html>" + whole, 200, "malformed event stream", ""},
		{"refused", `{"__type":"ValidationError","message":"no such endpoint"}`, 400, "ValidationError: no such endpoint", ""},
	} {
		cl, seen := serve(t, root, answering(c.status, c.answer))
		var out bytes.Buffer
		err := cl.InvokeStream(t.Context(), client.Invocation{Endpoint: "e", Accept: "text/plain", Body: []byte("x")}, &out)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) || out.String() != c.out {
			t.Errorf("%s: %q, %v", c.name, &out, err)
		}
		got := (*seen)[0]
		if got.path != "/endpoints/e/invocations-response-stream" || got.header.Get("X-Amzn-SageMaker-Accept") != "text/plain" || got.body != "x" {
			t.Errorf("%s: request %+v", c.name, got)
		}
	}
	cl, _ := serve(t, root, answering(200, failed))
	if f := fault.Of(cl.InvokeStream(t.Context(), client.Invocation{Endpoint: "e"}, new(bytes.Buffer))); f == nil || f.Code != "ModelStreamError" {
		t.Errorf("%v", f)
	}
	if err := cl.InvokeStream(t.Context(), client.Invocation{Endpoint: "e", TargetModel: "m"}, new(bytes.Buffer)); err == nil {
		t.Error("a target model was streamed from")
	}
	full := errors.New("disk is full")
	if err := cl.InvokeStream(t.Context(), client.Invocation{Endpoint: "e"}, writerFunc(func([]byte) (int, error) { return 0, full })); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
