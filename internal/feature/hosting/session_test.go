// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
	smr "github.com/sagebrush-ml/sagebrush/internal/wire/sagemakerruntime"
)

func TestSessionsAreNoted(t *testing.T) {
	k := routeKey{"1", "r", "e"}
	a, b := &target{}, &target{}
	for _, c := range []struct {
		name, opened, closed string
		after                time.Duration
		id                   string
		want                 *target
	}{
		{"one that was opened", "s1; Expires=2026-11-20T13:00:00Z", "", 0, "s1", a},
		{"until it expires", "s1; Expires=2026-11-20T13:00:00Z", "", time.Hour + time.Second, "s1", nil},
		{"in any spacing", " s1 ;Expires= 2026-11-20T13:00:00Z ", "", 0, "s1", a},
		{"without an end it has an hour", "s1", "", time.Hour - time.Second, "s1", a},
		{"and no more", "s1", "", time.Hour + time.Second, "s1", nil},
		{"an end that cannot be read is none", "s1; Expires=tomorrow", "", time.Hour - time.Second, "s1", a},
		{"another's", "s1", "", 0, "s2", nil},
		{"one that was closed", "", " s0 ", 0, "s0", nil},
		{"closing what is not there", "s1", "s9", 0, "s1", a},
		{"closing one leaves the other", "", "s1", 0, "s0", b},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s sessions
			s.note(k, "s0", "", b, now)
			s.note(k, c.opened, c.closed, a, now)
			if got := s.find(sessionKey{k, c.id}, now.Add(c.after)); got != c.want {
				t.Errorf("%p, want %p", got, c.want)
			}
			if s.find(sessionKey{routeKey{"1", "r", "other"}, c.id}, now) != nil {
				t.Error("another endpoint has it too")
			}
		})
	}
}

func TestSessionsAreBounded(t *testing.T) {
	var s sessions
	k := routeKey{"1", "r", "e"}
	at := &target{}
	for i := range maxSessions {
		s.note(k, fmt.Sprintf("old%d; Expires=2026-11-20T12:00:01Z", i), "", at, now)
	}
	s.note(k, "new", "", at, now.Add(time.Minute))
	if len(s.all) != 1 {
		t.Errorf("%d sessions are kept, of which one is open", len(s.all))
	}
	for i := range maxSessions + 10 {
		s.note(k, fmt.Sprint(i), "", at, now)
	}
	if len(s.all) > maxSessions || s.find(sessionKey{k, fmt.Sprint(maxSessions + 9)}, now) != at {
		t.Errorf("%d sessions, and the newest is %v", len(s.all), s.find(sessionKey{k, fmt.Sprint(maxSessions + 9)}, now))
	}
}

// stateful is an instance that opens sessions under its name and closes them.
func stateful(t *testing.T, name string) *target {
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch id := r.Header.Get("X-Amzn-Sagemaker-Session-Id"); {
		case id == newSession:
			n++
			w.Header().Set("X-Amzn-Sagemaker-New-Session-Id", fmt.Sprintf("%s-%d; Expires=2026-11-20T13:00:00Z", name, n))
		case string(body) == "close":
			w.Header().Set("X-Amzn-Sagemaker-Closed-Session-Id", id)
		}
		_, _ = io.WriteString(w, name)
	}))
	t.Cleanup(s.Close)
	return &target{containers: []*serving.Backend{serving.Dial("tcp://" + s.Listener.Addr().String())}}
}

func TestASessionGoesWhereItWasOpened(t *testing.T) {
	s := &Service{}
	s.Now = func() time.Time { return now }
	one := func(name string, targets ...*target) variantRoute {
		return variantRoute{name: name, header: []string{name}, weight: 1, targets: targets, meter: &meter{}}
	}
	key := resource.Key{Account: "1", Region: "r", Name: "e"}
	a1, a2, b, c := stateful(t, "a1"), stateful(t, "a2"), stateful(t, "b"), stateful(t, "c")
	// Two fleets, of which the first has two variants.
	r := &route{fleets: []fleetRoute{{share: 0.5, variants: []variantRoute{one("A", a1, a2), one("B", b)}, total: 2}, {share: 0.5, variants: []variantRoute{one("A", c)}, total: 1}}}
	s.routes.set(key, r)
	ctx := auth.WithCaller(t.Context(), auth.Caller{Account: "1", Region: "r"})
	invoke := func(in smr.InvokeEndpointInput, body string) (*httptest.ResponseRecorder, error) {
		in.EndpointName = "e"
		w := httptest.NewRecorder()
		return w, s.invoke(ctx, &in, strings.NewReader(body), w)
	}
	gone := func(id, variant string) {
		t.Helper()
		_, err := invoke(smr.InvokeEndpointInput{SessionId: id, TargetVariant: variant}, "x")
		if f := fault.Of(err); f == nil || f.Code != "ValidationError" || !strings.HasPrefix(f.Message, "Session "+id+" of endpoint e was not found") {
			t.Errorf("session %s: %v", id, err)
		}
	}
	held := map[string]string{}
	for range 60 {
		w, err := invoke(smr.InvokeEndpointInput{SessionId: newSession}, "x")
		if err != nil {
			t.Fatal(err)
		}
		id, _, _ := strings.Cut(w.Header().Get("X-Amzn-Sagemaker-New-Session-Id"), ";")
		held[id] = w.Body.String()
	}
	seen := map[string]bool{}
	for id, name := range held {
		seen[name] = true
		for range 3 {
			if w, err := invoke(smr.InvokeEndpointInput{SessionId: id}, "x"); err != nil || w.Body.String() != name {
				t.Errorf("session %s went to %q: %v", id, w.Body, err)
			}
		}
	}
	if len(seen) != 4 {
		t.Fatalf("sessions are of %v", seen)
	}
	if w, err := invoke(smr.InvokeEndpointInput{SessionId: "b-1", TargetVariant: "B"}, "x"); err != nil || w.Body.String() != "b" {
		t.Errorf("with its variant: %v", err)
	}
	gone("b-1", "A")
	if w, err := invoke(smr.InvokeEndpointInput{SessionId: "b-1"}, "close"); err != nil || w.Header().Get("X-Amzn-Sagemaker-Closed-Session-Id") != "b-1" {
		t.Errorf("closing: %v", err)
	}
	gone("b-1", "")
	c.outstanding.Store(maxOutstanding)
	if _, err := invoke(smr.InvokeEndpointInput{SessionId: "c-1"}, "x"); fault.Of(err) == nil || fault.Of(err).Code != "ServiceUnavailable" {
		t.Errorf("an instance with all that it can take: %v", err)
	}
	s.routes.set(key, &route{fleets: r.fleets[:1]})
	gone("c-1", "")
}
