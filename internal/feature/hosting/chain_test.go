// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/eventstream"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
	"github.com/sagebrush-ml/sagebrush/internal/serving/servingtest"
	smr "github.com/sagebrush-ml/sagebrush/internal/wire/sagemakerruntime"
)

// containerOf is a container that answers as h does.
func containerOf(t *testing.T, h http.HandlerFunc) *serving.Backend {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return serving.Dial("tcp://" + s.Listener.Addr().String())
}

// endpointOf is a service whose only endpoint, e, has one fleet.
func endpointOf(f fleetRoute) (*Service, context.Context) {
	s := &Service{}
	s.Now = time.Now
	s.routes.set(resource.Key{Account: "1", Region: "r", Name: "e"}, &route{fleets: []fleetRoute{f}})
	return s, auth.WithCaller(context.Background(), auth.Caller{Account: "1", Region: "r"})
}

func TestAChainOfContainers(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	link := func(name string) *serving.Backend {
		return containerOf(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			mu.Lock()
			seen = append(seen, name+" "+r.Header.Get("Content-Type")+" "+r.Header.Get("Accept"))
			mu.Unlock()
			switch text := string(body); {
			case strings.HasSuffix(text, "bad@"+name):
				http.Error(w, name+" refuses", http.StatusBadRequest)
				return
			case strings.HasSuffix(text, "hangup@"+name):
				panic(http.ErrAbortHandler)
			case strings.HasSuffix(text, "cut@"+name):
				w.Header().Set("Content-Length", "100")
				_, _ = io.WriteString(w, "half")
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
			if name != "plain" {
				w.Header().Set("Content-Type", "text/"+name)
			} else {
				w.Header()["Content-Type"] = nil
			}
			w.Header().Set("X-Amzn-SageMaker-Custom-Attributes", "of "+name)
			fmt.Fprintf(w, "%s>%s", name, body)
		})
	}
	m := &meter{}
	at := &target{containers: []*serving.Backend{link("one"), link("plain"), link("three")}}
	s, ctx := endpointOf(fleetRoute{share: 1, total: 1, variants: []variantRoute{{name: "A", header: []string{"A"}, weight: 1, targets: []*target{at},
		hosts: []string{"one", "plain", "three"}, meter: m}}})
	took := func() (out []string) {
		mu.Lock()
		defer mu.Unlock()
		out, seen = seen, nil
		return out
	}
	ask := func(body string) (*httptest.ResponseRecorder, *fault.Fault) {
		w := httptest.NewRecorder()
		err := s.invoke(ctx, &smr.InvokeEndpointInput{EndpointName: "e", ContentType: "text/in", Accept: "text/out"}, strings.NewReader(body), w)
		return w, fault.Of(err)
	}
	w, f := ask("x")
	if f != nil || w.Body.String() != "three>plain>one>x" || w.Header().Get("Content-Type") != "text/three" || w.Header().Get("X-Amzn-Sagemaker-Custom-Attributes") != "of three" {
		t.Errorf("%v %q %v", f, w.Body, w.Header())
	}
	// The type is that of the answer before, the caller's where that has none.
	got := took()
	if want := []string{"one text/in text/out", "plain text/one text/out", "three text/in text/out"}; !slices.Equal(got, want) {
		t.Errorf("they saw %q, want %q", got, want)
	}
	if got := m.samples[0]; got.status != 200 || len(got.hops) != 3 || !slices.Equal(got.hosts, []string{"one", "plain", "three"}) {
		t.Errorf("%+v", got)
	}
	long := strings.Repeat("long", 500_000)
	if w, f := ask(long); f != nil || w.Body.String() != "three>plain>one>"+long {
		t.Errorf("%v %d bytes", f, w.Body.Len())
	}
	for _, c := range []struct {
		body, has string
		status    int
		asked     int
	}{
		{"bad@one", `client error (400) from one with message "one refuses`, 400, 1},
		{"bad@plain", `client error (400) from plain with message "plain refuses`, 400, 2},
		{"bad@three", `client error (400) from three with message "three refuses`, 400, 3},
		{"hangup@plain", `server error (0) from plain with message "The container closed the connection before it answered."`, 0, 2},
		{"cut@one", `server error (0) from one with message "The container broke off its answer."`, 0, 1},
		{"cut@three", `server error (0) from three with message "The container broke off its answer."`, 0, 3},
	} {
		took()
		_, f := ask(c.body)
		seen := took()
		if f == nil || f.Code != "ModelError" || !strings.Contains(f.Message, c.has) || f.Extra["OriginalStatusCode"] != c.status || len(seen) != c.asked {
			t.Errorf("%s: %v, %q were asked", c.body, f, seen)
		}
	}
	if n := at.outstanding.Load(); n != 0 || len(m.samples) != 8 {
		t.Errorf("%d requests at the end, %d counted", n, len(m.samples))
	}
}

func TestCopiesForTheShadowVariant(t *testing.T) {
	got := make(chan string, 1000)
	answer := "of the shadow"
	shadowed := containerOf(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r.Header.Get("X-Amzn-Sagemaker-Custom-Attributes") + " " + r.Header.Get("X-Amzn-Sagemaker-Session-Id") + " " + string(body)
		if answer == "" {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("X-Amzn-Sagemaker-New-Session-Id", "of-the-shadow")
		_, _ = io.WriteString(w, answer)
	})
	main := containerOf(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	m, sm := &meter{}, &meter{}
	f := fleetRoute{share: 1, total: 1, variants: []variantRoute{{name: "A", header: []string{"A"}, weight: 2, targets: []*target{{containers: []*serving.Backend{main}}}, meter: m}},
		shadow: &variantRoute{name: "S", weight: 1, targets: []*target{{containers: []*serving.Backend{shadowed}}}, meter: sm}}
	s, ctx := endpointOf(f)
	s.background.start(ctx)
	ask := func() {
		t.Helper()
		w := httptest.NewRecorder()
		err := s.invoke(ctx, &smr.InvokeEndpointInput{EndpointName: "e", CustomAttributes: "c", SessionId: newSession}, strings.NewReader("x"), w)
		if err != nil || w.Body.String() != "x" {
			t.Errorf("%v %q", err, w.Body)
		}
	}
	const n = 400
	for range n {
		ask()
		for s.shadows.Load() > maxShadows/2 {
			time.Sleep(time.Millisecond)
		}
	}
	s.background.wait()
	if len(m.samples) != n || len(sm.samples) < n/4 || len(sm.samples) > 3*n/4 || len(got) != len(sm.samples) {
		t.Errorf("%d requests, %d copies, %d came", len(m.samples), len(sm.samples), len(got))
	}
	if text := <-got; text != "c NEW_SESSION x" {
		t.Errorf("the copy is %q", text)
	}
	if len(s.sessions.all) != 0 {
		t.Errorf("the shadow's sessions are known: %v", s.sessions.all)
	}
	f.shadow.weight = 2
	answer = ""
	for range 10 {
		ask() // nobody hears that the copy fails
	}
	s.background.wait()
	if last := sm.samples[len(sm.samples)-1]; last.status != 500 {
		t.Errorf("%+v", last)
	}
	f.shadow.weight = 0
	before := len(sm.samples)
	for range 10 {
		ask()
	}
	s.background.wait()
	f.shadow.weight = 2
	s.shadows.Store(maxShadows) // as many as may be are under way
	ask()
	s.background.wait()
	if len(sm.samples) != before || s.shadows.Load() != maxShadows {
		t.Errorf("%d copies more, %d are under way", len(sm.samples)-before, s.shadows.Load())
	}
}

// events reads a streamed answer: its parts, and the exception at its end.
func events(t *testing.T, text []byte) (parts []string, exception string) {
	t.Helper()
	r := eventstream.NewReader(bytes.NewReader(text))
	for {
		m, err := r.Next()
		if errors.Is(err, io.EOF) {
			return parts, exception
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.Get(":message-type") == "exception" {
			exception = m.Get(":exception-type") + " " + string(m.Payload)
			continue
		}
		if typ := m.Get(":event-type"); typ != "PayloadPart" || len(m.Payload) == 0 {
			t.Errorf("event %s of %d bytes", typ, len(m.Payload))
		}
		parts = append(parts, string(m.Payload))
	}
}

func TestStreamsThatBreak(t *testing.T) {
	flushed := func(w http.ResponseWriter, text string) {
		_, _ = io.WriteString(w, text)
		_ = http.NewResponseController(w).Flush()
	}
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		parts  string
		has    string // of the exception; "" for none
		broken bool
	}{
		{"a good one", func(w http.ResponseWriter, _ *http.Request) { flushed(w, "one"); flushed(w, "two") }, "onetwo", "", false},
		{"an empty one", func(http.ResponseWriter, *http.Request) {}, "", "", false},
		{"one with a length", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "3")
			flushed(w, "one")
		}, "one", "", false},
		{"chunks that end", func(w http.ResponseWriter, _ *http.Request) { flushed(w, "one"); panic(http.ErrAbortHandler) }, "one",
			`ModelStreamError {"ErrorCode":"StreamBroken","Message":"The container broke off its answer."}`, true},
		{"less than its length", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "30")
			flushed(w, "one")
			panic(http.ErrAbortHandler)
		}, "one", `ModelStreamError {"ErrorCode":"StreamBroken","Message":"The container broke off its answer."}`, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &meter{}
			at := &target{containers: []*serving.Backend{containerOf(t, c.answer)}}
			s, ctx := endpointOf(fleetRoute{share: 1, total: 1, variants: []variantRoute{{name: "A", header: []string{"A"}, weight: 1, targets: []*target{at}, meter: m}}})
			w := httptest.NewRecorder()
			if err := s.invokeStream(ctx, &smr.InvokeEndpointWithResponseStreamInput{EndpointName: "e"}, strings.NewReader("x"), w); err != nil {
				t.Fatal(err)
			}
			parts, exception := events(t, w.Body.Bytes())
			if strings.Join(parts, "") != c.parts || exception != c.has {
				t.Errorf("%q %q", parts, exception)
			}
			if got := m.samples[0]; len(m.samples) != 1 || got.broken != c.broken || got.status >= 500 != c.broken || got.first > 0 != (c.parts != "") || at.outstanding.Load() != 0 {
				t.Errorf("%+v", m.samples)
			}
		})
	}
}

// TestAnAnswerThatDoesNotCome takes no time: its minutes pass in a bubble, and
// the container is a pipe that says nothing more.
func TestAnAnswerThatDoesNotCome(t *testing.T) {
	for _, c := range []struct {
		name, sent string
		stream     bool
		after      time.Duration
		has        string
	}{
		{"no head", "", false, serving.InvokeTimeout, "timed out while waiting for a response from container primary"},
		{"a part of the head", "HTTP/1.1 200", false, serving.InvokeTimeout, "timed out while waiting"},
		{"a part of the body", servingtest.Fine + "o", false, serving.InvokeTimeout, "timed out while waiting"},
		{"no head of a stream", "", true, streamTimeout, "timed out while waiting"},
		{"a part of a stream", servingtest.Fine + "o", true, streamTimeout, `"ErrorCode":"ModelInvocationTimeExceeded"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := net.Pipe()
				backend := serving.Over(func(context.Context) (net.Conn, error) { return here, nil })
				gone := make(chan struct{})
				go func() {
					defer close(gone)
					_, _ = there.Read(make([]byte, 1<<16)) // the request
					_, _ = io.WriteString(there, c.sent)
					_, _ = io.Copy(io.Discard, there)
				}()
				m := &meter{}
				s, ctx := endpointOf(fleetRoute{share: 1, total: 1, variants: []variantRoute{{name: "A", header: []string{"A"}, weight: 1,
					targets: []*target{{containers: []*serving.Backend{backend}}}, meter: m}}})
				start := time.Now()
				w := httptest.NewRecorder()
				var err error
				if c.stream {
					err = s.invokeStream(ctx, &smr.InvokeEndpointWithResponseStreamInput{EndpointName: "e"}, strings.NewReader("x"), w)
				} else {
					err = s.invoke(ctx, &smr.InvokeEndpointInput{EndpointName: "e"}, strings.NewReader("x"), w)
				}
				told := ""
				if f := fault.Of(err); f != nil {
					told = f.Message
				} else if c.stream {
					_, told = events(t, w.Body.Bytes())
				}
				if took := time.Since(start); !strings.Contains(told, c.has) || took < c.after || took > c.after+2*time.Second {
					t.Errorf("after %v: %v %q", took, err, told)
				}
				if len(m.samples) != 1 || m.samples[0].status != 500 {
					t.Errorf("%+v", m.samples)
				}
				<-gone // the connection was closed
			})
		})
	}
}
