// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/gateway"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wsns "github.com/sagebrush-ml/sagebrush/internal/wire/sns"
)

// TestLinks asks unsigned for what may be asked so, and for what may not.
func TestLinks(t *testing.T) {
	table := op.New()
	op.Handle(table, wsns.ConfirmSubscription, func(ctx context.Context, in *wsns.ConfirmSubscriptionInput) (*wsns.ConfirmSubscriptionOutput, error) {
		if in.Token != "good" {
			return nil, fault.New("InvalidParameter", http.StatusBadRequest, "Invalid parameter: Token")
		}
		return &wsns.ConfirmSubscriptionOutput{SubscriptionArn: in.TopicArn + ":1 of " + auth.CallerFrom(ctx).Account}, nil
	})
	op.Handle(table, wsns.DeleteTopic, func(context.Context, *wsns.DeleteTopicInput) (*wsns.DeleteTopicOutput, error) {
		t.Error("an unsigned request came through")
		return &wsns.DeleteTopicOutput{}, nil
	})
	s := httptest.NewServer(gateway.New(gateway.Options{Table: table, Services: []*wire.Service{wsns.Service},
		Verifier: auth.New(auth.Options{Keys: oneKey{}}), Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
		S3:    http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "s3") }),
		Links: []*wire.Operation{wsns.ConfirmSubscription.Operation},
		Public: map[string]func(context.Context) ([]byte, error){
			"/good.pem": func(context.Context) ([]byte, error) { return []byte("certificate"), nil },
			"/bad.pem":  func(context.Context) ([]byte, error) { return nil, errors.New("no disk") }}}))
	defer s.Close()
	const confirm = "/?Action=ConfirmSubscription&TopicArn=a&Token="
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"a link", "GET", confirm + "good", "", 200, "<SubscriptionArn>a:1 of </SubscriptionArn>"},
		{"a wrong token", "GET", confirm + "bad", "", 400, "<Code>InvalidParameter</Code>"},
		{"a link without a token", "GET", "/?Action=ConfirmSubscription&TopicArn=a", "", 400, "<Code>ValidationError</Code>"},
		{"a link with a body", "GET", confirm + "good", "Token=good", 200, "s3"},
		{"another method", "POST", confirm + "good", "", 200, "s3"},
		{"another path", "GET", "/bucket" + confirm + "good", "", 200, "s3"},
		{"another operation", "GET", "/?Action=DeleteTopic&TopicArn=a", "", 200, "s3"},
		{"no operation", "GET", "/", "", 200, "s3"},
		{"a document", "GET", "/good.pem", "", 200, "certificate"},
		{"a document that cannot be made", "GET", "/bad.pem", "", 500, "could not be made"},
		{"a document to write", "PUT", "/good.pem", "x", 200, "s3"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, s.URL+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(got.Body)
		got.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if got.StatusCode != c.status || !strings.Contains(string(text), c.want) {
			t.Errorf("%s: %d %s, want %d %s", c.name, got.StatusCode, text, c.status, c.want)
		}
	}
}
