// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/gateway"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	smr "github.com/sagebrush-ml/sagebrush/internal/wire/sagemakerruntime"
)

// null is a ResponseWriter that keeps nothing.
type null struct{ header http.Header }

func (n null) Header() http.Header         { return n.header }
func (n null) Write(b []byte) (int, error) { return len(b), nil }
func (n null) WriteHeader(int)             {}

// BenchmarkInvoke is the gateway's part of an invocation.
func BenchmarkInvoke(b *testing.B) {
	table := op.New()
	op.Stream(table, smr.InvokeEndpoint, func(_ context.Context, _ *smr.InvokeEndpointInput, _ io.Reader, w http.ResponseWriter) error {
		_, err := w.Write(nil)
		return err
	})
	g := gateway.New(gateway.Options{Table: table, Services: []*wire.Service{smr.Service}, Verifier: auth.New(auth.Options{Keys: oneKey{}}),
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	text := []byte("0.9,0.9,0.1,0.1,0.1")
	body := bytes.NewReader(text)
	r := httptest.NewRequest(http.MethodPost, "/endpoints/my-endpoint/invocations", body)
	r.Body = io.NopCloser(body)
	r.Header.Set("Content-Type", "text/csv")
	auth.Sign(r, key, "eu-west-1", "sagemaker", auth.PayloadHash(text), time.Now())
	w := null{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(text)
		clear(w.header)
		g.ServeHTTP(w, r)
	}
	if w.header.Get("X-Amzn-Errortype") != "" {
		b.Fatal(w.header)
	}
}
