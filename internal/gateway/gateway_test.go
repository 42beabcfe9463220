// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/door"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/gateway"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wiam "github.com/sagebrush-ml/sagebrush/internal/wire/iam"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
	smr "github.com/sagebrush-ml/sagebrush/internal/wire/sagemakerruntime"
	wsts "github.com/sagebrush-ml/sagebrush/internal/wire/sts"
)

var key = auth.Key{ID: "AKIAEXAMPLEEXAMPLE01", Secret: "secret", Account: "123456789012", Principal: "arn:aws:iam::123456789012:root"}

type oneKey struct{}

func (oneKey) Lookup(_ context.Context, id string) (auth.Key, bool, error) {
	return key, id == key.ID, nil
}

// server is a gateway over a few handlers that are easy to tell apart.
func server(t *testing.T) *httptest.Server {
	table := op.New()
	op.Handle(table, sm.DescribeModel, func(ctx context.Context, in *sm.DescribeModelInput) (*sm.DescribeModelOutput, error) {
		switch in.ModelName {
		case "broken":
			return nil, errors.New("the disk is on fire")
		case "panics":
			panic("oh no")
		case "missing":
			return nil, fault.Validation("Could not find model.")
		}
		c := auth.CallerFrom(ctx)
		return &sm.DescribeModelOutput{ModelName: in.ModelName, ModelArn: c.Account + "/" + c.Region}, nil
	})
	op.Handle(table, wsts.GetCallerIdentity, func(ctx context.Context, _ *wsts.GetCallerIdentityInput) (*wsts.GetCallerIdentityOutput, error) {
		return &wsts.GetCallerIdentityOutput{Account: auth.CallerFrom(ctx).Account}, nil
	})
	op.Stream(table, smr.InvokeEndpoint, func(_ context.Context, in *smr.InvokeEndpointInput, body io.Reader, w http.ResponseWriter) error {
		if in.EndpointName == "none" {
			return fault.New("ValidationError", 400, "Endpoint none of account 1 not found.")
		}
		text, _ := io.ReadAll(body)
		_, err := io.WriteString(w, in.EndpointName+" "+in.ContentType+" "+string(text))
		return err
	})
	g := gateway.New(gateway.Options{Table: table, Services: []*wire.Service{sm.Service, smr.Service, wsts.Service, wiam.Service},
		Verifier: auth.New(auth.Options{Keys: oneKey{}}), Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
		S3:       http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "s3") }),
		Registry: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "registry") }),
		Own: map[string]func(context.Context, []byte) (any, error){"Echo": func(ctx context.Context, body []byte) (any, error) {
			if string(body) == "{}" {
				return nil, fault.Validation("Say something.")
			}
			return map[string]string{"account": auth.CallerFrom(ctx).Account, "said": string(body)}, nil
		}},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "sagebrush_up 1")
		})})
	s := httptest.NewUnstartedServer(g)
	d := door.New(s.Listener, door.Options{Log: slog.New(slog.DiscardHandler), Open: door.Handler(g, gateway.Plain), Idle: time.Minute})
	s.Listener = d
	s.Start()
	t.Cleanup(func() { d.Cut(); s.Close() })
	return s
}

func TestPlain(t *testing.T) {
	const path = "/endpoints/e1/invocations"
	sagemaker := map[string]string{"Authorization": "AWS4-HMAC-SHA256 Credential=a/20261120/eu-west-1/sagemaker/aws4_request, SignedHeaders=host, Signature=0"}
	s3 := map[string]string{"Authorization": "AWS4-HMAC-SHA256 Credential=a/20261120/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=0"}
	for _, c := range []struct {
		name, method, path string
		header             map[string]string
		want               bool
	}{
		{"an invocation", "POST", path, sagemaker, true},
		{"another method", "GET", path, sagemaker, false},
		{"a stream", "POST", "/endpoints/e1/invocations-response-stream", sagemaker, false},
		{"a queued one", "POST", "/endpoints/e1/async-invocations", sagemaker, false},
		{"a longer path", "POST", "/endpoints/e1/e2/invocations", sagemaker, false},
		{"S3's", "POST", path, s3, false},
		{"unsigned", "POST", path, nil, false},
		{"a target", "POST", path, map[string]string{"X-Amz-Target": "SageMaker.CreateModel", "Authorization": sagemaker["Authorization"]}, false},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		for k, v := range c.header {
			r.Header.Set(k, v)
		}
		if got := gateway.Plain(r); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

type request struct {
	method, path, body string
	header             map[string]string
	service            string // signs for it; "" leaves unsigned
	secret             string // another than the right one
	at                 time.Time
}

func (q request) send(t *testing.T, base string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(q.method, base+q.path, strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range q.header {
		r.Header.Set(k, v)
	}
	if q.service != "" {
		k := key
		if q.secret != "" {
			k.Secret = q.secret
		}
		if q.at.IsZero() {
			q.at = time.Now()
		}
		auth.Sign(r, k, "eu-west-1", q.service, auth.PayloadHash([]byte(q.body)), q.at)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

func target(op string) map[string]string {
	return map[string]string{"X-Amz-Target": "SageMaker." + op, "Content-Type": "application/x-amz-json-1.1"}
}

func TestAnswersAndRefusals(t *testing.T) {
	s := server(t)
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
	for _, c := range []struct {
		name   string
		req    request
		status int
		code   string // of a JSON error
		has    string // in the body
	}{
		{"a JSON call is answered", request{"POST", "/", `{"ModelName":"m"}`, target("DescribeModel"), "sagemaker", "", time.Time{}}, 200, "", `"ModelArn":"123456789012/eu-west-1"`},
		{"a query call is answered in XML", request{"POST", "/", "Action=GetCallerIdentity&Version=2011-06-15", form, "sts", "", time.Time{}}, 200, "", "<Account>123456789012</Account>"},
		{"an invocation passes its body", request{"POST", "/endpoints/e1/invocations", "1,2", map[string]string{"Content-Type": "text/csv"}, "sagemaker", "", time.Time{}}, 200, "", "e1 text/csv 1,2"},
		{"what is signed for s3 is s3's", request{"GET", "/bucket/key", "", nil, "s3", "", time.Time{}}, 200, "", "s3"},
		{"an unsigned call", request{"POST", "/", `{"ModelName":"m"}`, target("DescribeModel"), "", "", time.Time{}}, 400, "MissingAuthenticationTokenException", "Missing Authentication Token"},
		{"an unsigned invocation", request{"POST", "/endpoints/e1/invocations", "1", nil, "", "", time.Time{}}, 403, "MissingAuthenticationTokenException", ""},
		{"a wrong signature", request{"POST", "/", `{"ModelName":"m"}`, target("DescribeModel"), "sagemaker", "wrong", time.Time{}}, 400, "InvalidSignatureException", "does not match"},
		{"a wrong signature of a query call", request{"POST", "/", "Action=GetCallerIdentity&Version=2011-06-15", form, "sts", "wrong", time.Time{}}, 403, "", "<Code>SignatureDoesNotMatch</Code>"},
		{"an old signature", request{"POST", "/", `{"ModelName":"m"}`, target("DescribeModel"), "sagemaker", "", time.Now().Add(-16 * time.Minute)}, 400, "InvalidSignatureException", "Signature expired"},
		{"an operation that is not built", request{"POST", "/", `{}`, target("CreateDomain"), "sagemaker", "", time.Time{}}, 501, "NotImplementedException", "sagemaker CreateDomain"},
		{"an IAM operation known by name only", request{"POST", "/", "Action=CreateGroup&Version=2010-05-08", form, "iam", "", time.Time{}}, 501, "", "<Code>NotImplementedException</Code>"},
		{"an operation that AWS lacks", request{"POST", "/", `{}`, target("MakeCoffee"), "sagemaker", "", time.Time{}}, 404, "UnknownOperationException", "MakeCoffee"},
		{"a service that is unknown", request{"POST", "/", `{}`, map[string]string{"X-Amz-Target": "TrentService.Encrypt"}, "kms", "", time.Time{}}, 404, "UnknownOperationException", ""},
		{"a query service that is unknown answers in XML", request{"POST", "/", "Action=DescribeInstances&Version=2016-11-15", form, "ec2", "", time.Time{}}, 404, "", "<Code>UnknownOperationException</Code>"},
		{"malformed JSON", request{"POST", "/", `{"ModelName":`, target("DescribeModel"), "sagemaker", "", time.Time{}}, 400, "SerializationException", "not valid JSON"},
		{"a body over the limit", request{"POST", "/", strings.Repeat("x", 10<<20), target("DescribeModel"), "sagemaker", "", time.Time{}}, 413, "RequestEntityTooLargeException", "larger than the limit"},
		{"an invocation over the limit", request{"POST", "/endpoints/e1/invocations", strings.Repeat("x", 6<<20+1), nil, "sagemaker", "", time.Time{}}, 413, "RequestEntityTooLargeException", ""},
		{"a fault in the service's words", request{"POST", "/", `{"ModelName":"missing"}`, target("DescribeModel"), "sagemaker", "", time.Time{}}, 400, "ValidationException", "Could not find model."},
		{"a data plane fault", request{"POST", "/endpoints/none/invocations", "", nil, "sagemaker", "", time.Time{}}, 400, "ValidationError", "not found"},
		{"an error of ours keeps its cause to the log", request{"POST", "/", `{"ModelName":"broken"}`, target("DescribeModel"), "sagemaker", "", time.Time{}}, 500, "InternalFailure", "request id"},
		{"a panic is an error of ours", request{"POST", "/", `{"ModelName":"panics"}`, target("DescribeModel"), "sagemaker", "", time.Time{}}, 500, "InternalFailure", "request id"},
		{"health needs no signature", request{"GET", "/healthz", "", nil, "", "", time.Time{}}, 200, "", "ok"},
		{"metrics are for this machine", request{"GET", "/metrics", "", nil, "", "", time.Time{}}, 200, "", "sagebrush_up"},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, text := c.req.send(t, s.URL)
			if resp.StatusCode != c.status || !strings.Contains(text, c.has) {
				t.Fatalf("%d %s", resp.StatusCode, text)
			}
			if strings.Contains(text, "on fire") {
				t.Error("the cause of an internal error reached the caller")
			}
			if c.code == "" {
				return
			}
			var e struct {
				Type string `json:"__type"`
			}
			if err := json.Unmarshal([]byte(text), &e); err != nil || e.Type != c.code || resp.Header.Get("X-Amzn-ErrorType") != c.code {
				t.Errorf("code %q (%v), header %q, want %s", e.Type, err, resp.Header.Get("X-Amzn-ErrorType"), c.code)
			}
			if resp.Header.Get("X-Amzn-RequestId") == "" {
				t.Error("no request id")
			}
		})
	}
}

func TestOwnOperationsAndTheRegistry(t *testing.T) {
	s := server(t)
	echo := map[string]string{"X-Amz-Target": "Sagebrush.Echo", "Content-Type": "application/x-amz-json-1.1"}
	for _, c := range []struct {
		name   string
		req    request
		status int
		has    string
	}{
		{"an operation of our own is answered", request{"POST", "/", `"hi"`, echo, "sagemaker", "", time.Time{}}, 200, `"account":"123456789012"`},
		{"refused in the same form", request{"POST", "/", `{}`, echo, "sagemaker", "", time.Time{}}, 400, "Say something."},
		{"and not without a signature", request{"POST", "/", `"hi"`, echo, "", "", time.Time{}}, 400, "MissingAuthenticationToken"},
		{"one that is not there is unknown", request{"POST", "/", `{}`, map[string]string{"X-Amz-Target": "Sagebrush.None"}, "sagemaker", "", time.Time{}}, 404, "UnknownOperationException"},
		{"the registry has its paths", request{"GET", "/v2/", "", nil, "", "", time.Time{}}, 200, "registry"},
		{"and all below", request{"GET", "/v2/mine/manifests/1", "", nil, "", "", time.Time{}}, 200, "registry"},
		{"a bucket of like name is S3's", request{"GET", "/v2x/key", "", nil, "s3", "", time.Time{}}, 200, "s3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, body := c.req.send(t, s.URL)
			if resp.StatusCode != c.status || !strings.Contains(body, c.has) {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
		})
	}
}
