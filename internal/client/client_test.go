// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/client"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

var root = auth.Key{ID: "AKIAIOSFODNN7EXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", Account: "123456789012"}

type oneKey struct{ k auth.Key }

func (o oneKey) Lookup(_ context.Context, id string) (auth.Key, bool, error) {
	return o.k, id == o.k.ID, nil
}

// request is what a server saw, after it had verified the signature.
type request struct {
	method, path, target, contentType, body string
	header                                  http.Header
	scope                                   auth.Scope
}

// serve starts a server that verifies as the real one does, and answers with
// what answer gives. The requests come out in order.
func serve(t *testing.T, key auth.Key, answer func(request) (int, string)) (*client.Client, *[]request) {
	t.Helper()
	var seen []request
	verifier := auth.New(auth.Options{Keys: oneKey{key}})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, scope, err := verifier.Verify(r, body)
		if err != nil {
			t.Errorf("%s %s is refused: %v", r.Method, r.URL, err)
		}
		got := request{r.Method, r.URL.EscapedPath(), r.Header.Get("X-Amz-Target"), r.Header.Get("Content-Type"), string(body), r.Header, scope}
		seen = append(seen, got)
		status, text := answer(got)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(s.Close)
	return client.New(client.Options{URL: s.URL + "/", Key: key, Region: "eu-west-1"}), &seen
}

func answering(status int, text string) func(request) (int, string) {
	return func(request) (int, string) { return status, text }
}

func TestCall(t *testing.T) {
	c, seen := serve(t, root, answering(200, `{"TrainingJobStatus":"Completed"}`))
	var out struct{ TrainingJobStatus string }
	if err := c.Call(t.Context(), client.SageMaker, "DescribeTrainingJob", map[string]string{"TrainingJobName": "a"}, &out); err != nil {
		t.Fatal(err)
	}
	got := (*seen)[0]
	if out.TrainingJobStatus != "Completed" || got.target != "SageMaker.DescribeTrainingJob" || got.body != `{"TrainingJobName":"a"}` ||
		got.contentType != "application/x-amz-json-1.1" || got.scope.Service != "sagemaker" || got.scope.Region != "eu-west-1" {
		t.Errorf("answer %+v, request %+v", out, got)
	}
}

func TestObjectsWithOddNames(t *testing.T) {
	c, seen := serve(t, root, answering(200, "text"))
	for _, key := range []string{"plain/a.csv", "a b+c=d/ü%?.csv", "(1)*'!~"} {
		if err := c.PutObject(t.Context(), "bucket", key, "text/csv", []byte("1,2\n")); err != nil {
			t.Errorf("put %q: %v", key, err)
		}
		if text, err := c.GetObject(t.Context(), "bucket", key); err != nil || string(text) != "text" {
			t.Errorf("get %q: %q, %v", key, text, err)
		}
	}
	if got := (*seen)[2].path; got != "/bucket/a%20b%2Bc%3Dd/%C3%BC%25%3F.csv" {
		t.Errorf("path %s", got)
	}
	if got := (*seen)[0].scope.Service; got != "s3" {
		t.Errorf("signed for %s", got)
	}
}

func TestMakeBucket(t *testing.T) {
	c, seen := serve(t, root, answering(409, `<Error><Code>BucketAlreadyOwnedByYou</Code><Message>yours</Message></Error>`))
	if err := c.MakeBucket(t.Context(), "mine"); err != nil {
		t.Errorf("a bucket of one's own: %v", err)
	}
	if got := (*seen)[0]; !strings.Contains(got.body, "<LocationConstraint>eu-west-1</LocationConstraint>") || got.path != "/mine" {
		t.Errorf("request %+v", got)
	}
	c, _ = serve(t, root, answering(409, `<Error><Code>BucketAlreadyExists</Code><Message>another's</Message></Error>`))
	if f := fault.Of(c.MakeBucket(t.Context(), "theirs")); f == nil || f.Code != "BucketAlreadyExists" || f.Status != 409 {
		t.Errorf("another's bucket: %v", f)
	}
}

func TestInvokeEndpoint(t *testing.T) {
	session := root
	session.ID, session.SessionToken = "ASIAIOSFODNN7EXAMPLE", "token"
	c, seen := serve(t, session, answering(200, "0.5\n"))
	out, err := c.InvokeEndpoint(t.Context(), "churn", "text/csv", "text/csv", []byte("1,2"))
	if err != nil || string(out) != "0.5\n" {
		t.Errorf("%q, %v", out, err)
	}
	if got := (*seen)[0]; got.path != "/endpoints/churn/invocations" || got.scope.Service != "sagemaker" {
		t.Errorf("request %+v", got)
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name, body    string
		status        int
		code, message string
	}{
		{"JSON with a namespace", `{"__type":"com.amazonaws#ResourceInUse","message":"taken"}`, 400, "ResourceInUse", "taken"},
		{"JSON with a capital", `{"__type":"ValidationException","Message":"bad"}`, 400, "ValidationException", "bad"},
		{"XML of a query service", `<ErrorResponse xmlns="x"><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>none</Message></Error></ErrorResponse>`, 404, "NoSuchEntity", "none"},
		{"XML of S3", `<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>gone</Message><Key>a</Key></Error>`, 404, "NoSuchKey", "gone"},
		{"no body", "", 503, "Service Unavailable", "503 Service Unavailable"},
		{"a page of something else", "<html>no</html>", 502, "Bad Gateway", "502 Bad Gateway"},
		{"broken JSON", `{"__type":`, 500, "Internal Server Error", "500 Internal Server Error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl, _ := serve(t, root, answering(c.status, c.body))
			err := cl.Call(t.Context(), client.SageMaker, "CreateModel", struct{}{}, nil)
			f := fault.Of(err)
			if f == nil || f.Code != c.code || f.Message != c.message || f.Status != c.status {
				t.Errorf("got %v", err)
			}
			if !strings.HasPrefix(err.Error(), "CreateModel: ") {
				t.Errorf("%q does not say what was being done", err)
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	c := client.New(client.Options{URL: s.URL, Key: root, Region: "us-east-1"})
	err := c.Health(t.Context())
	if err == nil || fault.Of(err) != nil || !strings.Contains(err.Error(), s.URL) {
		t.Errorf("got %v", err)
	}
}

func TestExecutionRole(t *testing.T) {
	const arn = "arn:aws:iam::123456789012:role/service-role/AmazonSageMaker-ExecutionRole"
	c, seen := serve(t, root, answering(200, `<GetRoleResponse><GetRoleResult><Role><Arn>`+arn+`</Arn></Role></GetRoleResult></GetRoleResponse>`))
	got, err := c.ExecutionRoleARN(t.Context())
	if err != nil || got != arn {
		t.Errorf("%q, %v", got, err)
	}
	if r := (*seen)[0]; !strings.Contains(r.body, "Action=GetRole&") || r.scope.Region != "us-east-1" || r.scope.Service != "iam" {
		t.Errorf("request is %+v", r)
	}
	c, _ = serve(t, root, answering(404, `<ErrorResponse><Error><Code>NoSuchEntity</Code><Message>none</Message></Error></ErrorResponse>`))
	if _, err := c.ExecutionRoleARN(t.Context()); err == nil || !strings.Contains(err.Error(), "restart the server") {
		t.Errorf("a deleted role: %v", err)
	}
}

func TestAssumeRole(t *testing.T) {
	c, _ := serve(t, root, answering(200, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
		<Credentials><AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>s/1+</SecretAccessKey><SessionToken>tok==</SessionToken>
		<Expiration>2026-01-02T03:04:05Z</Expiration></Credentials>
		<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn><AssumedRoleId>AROA:s</AssumedRoleId></AssumedRoleUser>
		</AssumeRoleResult></AssumeRoleResponse>`))
	key, err := c.AssumeRole(t.Context(), "arn:aws:iam::1:role/r", "s", time.Hour)
	want := auth.Key{ID: "ASIA1", Secret: "s/1+", SessionToken: "tok==", Expires: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Principal: "arn:aws:sts::1:assumed-role/r/s", UserID: "AROA:s"}
	if err != nil || key != want {
		t.Errorf("%+v, %v", key, err)
	}
}

func TestCancelled(t *testing.T) {
	c, _ := serve(t, root, answering(200, "{}"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Health(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
