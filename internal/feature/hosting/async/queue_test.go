// SPDX-License-Identifier: Apache-2.0

package async

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// TestEnds takes one request of each kind to its end, and looks at all that is
// to be seen of it.
func TestEnds(t *testing.T) {
	const noModel = "The instance that processed the request stopped before it answered."
	for _, c := range []struct {
		name, input     string
		prepare         func(*bench)
		request         func(*Request)
		output, failure string
		reason          string
		counts          []string // metrics of which there is one
		after           time.Duration
	}{
		{name: "a good one", input: "1,2", output: `"1,2"`, counts: []string{"InvocationsProcesssed", "RequestDownloadLatency", "ResponseUploadLatency", "TimeInBacklog", "TotalProcessingTime"}},
		{name: "a body", input: "unused", request: func(r *Request) { r.InputLocation, r.Body = "", []byte("inline") }, output: `"inline"`},
		{name: "the model refuses", input: "400 bad row", failure: "bad row",
			reason: "ClientError: Received client error (400) from model. See the SageMaker Endpoint logs in your account for more information.",
			counts: []string{"InvocationsProcesssed", "InvocationFailures", "ResponseUploadLatency"}},
		{name: "the model fails", input: "500 boom", failure: "boom",
			reason: "ClientError: Received server error (500) from model. See the SageMaker Endpoint logs in your account for more information."},
		{name: "no object", input: "x", request: func(r *Request) { r.InputLocation = "s3://data/nothing" },
			reason: "ClientError: Failed to download the input s3://data/nothing: The specified key does not exist.",
			counts: []string{"RequestDownloadFailures", "InvocationFailures"}},
		{name: "no bucket", input: "x", request: func(r *Request) { r.InputLocation = "s3://nothing/x" },
			reason: "ClientError: Failed to download the input s3://nothing/x: The specified bucket does not exist."},
		{name: "too large", input: "x", prepare: func(b *bench) { b.objects.sizes = MaxInput + 1 },
			reason: "ClientError: The input s3://data/in/x has 1073741825 bytes, more than the limit of 1073741824 bytes."},
		{name: "too slow", input: "sleep 1h", request: func(r *Request) { r.Timeout = time.Minute }, after: time.Minute,
			reason: "ClientError: The model did not answer within 60 seconds."},
		{name: "no bucket for the output", input: "x", request: func(r *Request) { r.Output = "s3://nothing/x" },
			reason: "ClientError: Failed to upload the response to s3://nothing/x: The specified bucket does not exist.",
			counts: []string{"ResponseUploadFailures", "InvocationFailures"}},
		{name: "an instance is lost once", input: "x", prepare: func(b *bench) { b.fleet.lose = 1 }, output: `"x"`, after: time.Second},
		{name: "each instance is lost", input: "x", prepare: func(b *bench) { b.fleet.lose = 3 }, after: 3 * time.Second, reason: "InternalServerError: " + noModel},
		{name: "each answer is cut", input: "cut", after: 3 * time.Second, reason: "InternalServerError: " + noModel},
		{name: "instances are not reached for long", input: "x", prepare: func(b *bench) { b.fleet.miss = 9 }, after: 9 * time.Second, output: `"x"`},
		{name: "the input breaks off", input: "xyz", prepare: func(b *bench) { b.objects.reading = errors.New("disk") }, after: 3 * time.Second,
			reason: "InternalServerError: Failed to download the input s3://data/in/xyz.", counts: []string{"RequestDownloadFailures"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := begin(t, 1)
				defer b.end()
				if c.prepare != nil {
					c.prepare(b)
				}
				var change []func(*Request)
				if c.request != nil {
					change = append(change, c.request)
				}
				r := b.ask(c.input, change...)
				wait(c.after)
				if c.after > 0 { // the look that comes at the second, and what it leads to
					wait(lookEvery)
				}
				if c.reason != "" && c.failure == "" {
					c.failure = c.reason
				}
				if got := b.read(r.Failure); got != or(c.failure, "none") {
					t.Errorf("failure object is %q", got)
				}
				if got := b.read("s3://data/out/" + r.Output[strings.LastIndex(r.Output, "/")+1:]); got != or(c.output, "none") {
					t.Errorf("output object is %q", got)
				}
				sent := b.post.messages()
				if len(sent) != 1 {
					t.Fatalf("told %q", sent)
				}
				var n notification
				topic, text, _ := strings.Cut(sent[0], " ")
				if err := json.Unmarshal([]byte(text), &n); err != nil {
					t.Fatal(err)
				}
				if n.FailureReason != c.reason || (n.InvocationStatus == completed) != (c.reason == "") || (topic == "good") != (c.reason == "") {
					t.Errorf("told %s", sent[0])
				}
				for _, name := range c.counts {
					if d, n := b.metrics.last(name); n != 1 || len(d.Dimensions) != 2 || d.Dimensions[1].Value != "main" {
						t.Errorf("metric %s: %d, %+v", name, n, d)
					}
				}
				if l, err := b.Backlog(t.Context(), churn); err != nil || l.Size() != 0 || !l.Oldest.IsZero() {
					t.Errorf("backlog %+v, %v", l, err)
				}
				if len(b.logs.text) != 1 || !strings.HasPrefix(b.logs.text[0], "/aws/sagemaker/Endpoints/churn main/i-1/data-log 20") || !strings.Contains(b.logs.text[0], r.InferenceID) {
					t.Errorf("log %q", b.logs.text)
				}
			})
		})
	}
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func TestNotifications(t *testing.T) {
	include := func(r *Request) {
		r.IncludeSuccess, r.IncludeErr, r.InferenceID, r.Accept, r.CustomAttributes = true, true, "me", "application/json", "c=1"
		r.Output, r.Failure = "s3://data/o", "s3://data/f"
	}
	plain := func(r *Request) { include(r); r.IncludeSuccess, r.IncludeErr = false, false }
	const head = `{"awsRegion":"us-east-1","eventTime":"2000-01-01T00:00:00.000Z","receivedTime":"2000-01-01T00:00:00.000Z","invocationStatus":`
	asked := func(in string) string {
		return `"requestParameters":{"accept":"application/json","contentType":"text/csv","customAttributes":"c=1","endpointName":"churn","inputLocation":"s3://data/in/` + in + `"},`
	}
	const tail = `"inferenceId":"me","eventVersion":"1.0","eventSource":"aws:sagemaker","eventName":"InferenceResult"}`
	const hint = `"message":"Check S3 path location(if configured) or Cloudwatch for additional details.","encoding":"BASE64"},`
	for _, c := range []struct {
		name, input string
		change      func(*Request)
		want        string
	}{
		{"completed", "x", plain, `good ` + head + `"Completed",` + asked("x") + `"responseParameters":{"contentType":"application/json","outputLocation":"s3://data/o"},` + tail},
		{"completed, with its response", "x", include, `good ` + head + `"Completed",` + asked("x") + `"responseParameters":{"contentType":"application/json","outputLocation":"s3://data/o"},"responseBody":{"content":"Ingi",` + hint + tail},
		{"completed, its response too long", "long", include, `good ` + head + `"Completed",` + asked("long") + `"responseParameters":{"contentType":"application/json","outputLocation":"s3://data/o"},` + tail},
		{"failed", "500 no", include, `bad ` + head + `"Failed","failureReason":"ClientError: Received server error (500) from model. See the SageMaker Endpoint logs in your account for more information.",` +
			asked("500 no") + `"responseParameters":{"contentType":"application/json","failureLocation":"s3://data/f"},"responseBody":{"content":"bm8=",` + hint + tail},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := begin(t, 1)
				defer b.end()
				b.ask(c.input, c.change)
				synctest.Wait()
				if got := b.post.messages(); len(got) != 1 || got[0] != c.want {
					t.Errorf("told\n%q, not\n%q", got, c.want)
				}
			})
		})
	}
}

func TestRequestsRunInOrderWithinTheRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, 0)
		defer b.end()
		b.fleet.room = 2
		var want []string
		for i := range 10 {
			in := fmt.Sprintf("sleep 15.%ds", i)
			want = append(want, in)
			b.ask(in)
		}
		wait(30 * time.Second)
		l, err := b.Backlog(t.Context(), churn)
		if err != nil || l.Waiting != 10 || l.Running != 0 || time.Since(l.Oldest) != 30*time.Second {
			t.Fatalf("backlog %+v, %v", l, err)
		}
		for name, want := range map[string]float64{"ApproximateBacklogSize": 10, "ApproximateBacklogSizePerInstance": 10, "HasBacklogWithoutCapacity": 1, "ApproximateAgeOfOldestRequest": 30} {
			if d, _ := b.metrics.last(name); d.Value != want || len(d.Dimensions) != 1 || d.Dimensions[0].Value != "churn" {
				t.Errorf("%s is %+v", name, d)
			}
		}
		b.fleet.set(2)
		b.Wake(churn)
		wait(5 * time.Second)
		if l, err := b.Backlog(t.Context(), churn); err != nil || l.Waiting != 6 || l.Running != 4 {
			t.Errorf("backlog %+v, %v", l, err)
		}
		wait(5 * time.Second)
		if d, _ := b.metrics.last("ApproximateBacklogSizePerInstance"); d.Value != 5 {
			t.Errorf("backlog per instance is %v", d.Value)
		}
		if d, _ := b.metrics.last("HasBacklogWithoutCapacity"); d.Value != 0 {
			t.Errorf("without capacity is %v", d.Value)
		}
		wait(time.Minute)
		slices.Sort(b.fleet.seen[:4]) // the four of a turn come in any order
		if !slices.Equal(b.fleet.seen, want) || b.fleet.most != 4 {
			t.Errorf("ran %q, %d at once", b.fleet.seen, b.fleet.most)
		}
		if d, n := b.metrics.last("ApproximateBacklogSize"); d.Value != 0 || n < 5 {
			t.Errorf("backlog is %v after %d measures", d.Value, n)
		}
	})
}

func TestExpiredRequestsAreNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, 0)
		defer b.end()
		late := b.ask("late", func(r *Request) { r.TTL = time.Minute })
		b.ask("patient")
		wait(59 * time.Second)
		if got := b.post.messages(); len(got) > 0 {
			t.Errorf("told %q", got)
		}
		wait(2 * time.Second)
		b.fleet.set(1)
		wait(2 * time.Second)
		if !slices.Equal(b.fleet.seen, []string{"patient"}) {
			t.Errorf("ran %q", b.fleet.seen)
		}
		got := b.post.messages()
		if len(got) != 2 || !strings.HasPrefix(got[0], "bad ") || !strings.Contains(got[0], `"invocationStatus":"Expired"`) || !strings.Contains(got[0], late.InferenceID) {
			t.Errorf("told %q", got)
		}
		if d, n := b.metrics.last("ExpiredRequests"); n != 1 || d.Value != 1 || d.Dimensions[1].Value != "main" {
			t.Errorf("metric %+v, %d", d, n)
		}
	})
}

func TestDeletedEndpointsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, 1)
		defer b.end()
		done := b.ask("done")
		synctest.Wait()
		b.ask("sleep 1m")
		b.ask("waiting")
		wait(time.Second)
		for range 2 { // it may be cut off and said again
			if err := b.Drop(t.Context(), churn); err != nil {
				t.Fatal(err)
			}
		}
		wait(2 * time.Minute)
		if got := b.post.messages(); len(got) != 1 || !strings.Contains(got[0], done.InferenceID) {
			t.Errorf("told %q", got)
		}
		if b.fleet.busy != 0 || !slices.Equal(b.fleet.seen, []string{"done", "sleep 1m"}) {
			t.Errorf("%d busy, ran %q", b.fleet.busy, b.fleet.seen)
		}
		if l, err := b.Backlog(t.Context(), churn); err != nil || l.Size() != 0 {
			t.Errorf("backlog %+v, %v", l, err)
		}
		r := &Request{InputLocation: "s3://data/x", Received: time.Now()}
		if err := b.Enqueue(t.Context(), churn, r); !errors.Is(err, ErrGone) {
			t.Errorf("Enqueue answers %v", err)
		}
		again := churn
		again.Seed = "a2"
		if err := b.Enqueue(t.Context(), again, r); err != nil {
			t.Errorf("Enqueue answers %v for the next endpoint of the name", err)
		}
	})
}

func TestTopicsThatCannotBeReachedAreToldLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, 1)
		defer b.end()
		b.post.errs = []error{errors.New("down"), errors.New("down"), fault.New("InternalError", 500, "down")}
		b.ask("x")
		wait(10 * time.Second)
		if got := b.post.messages(); len(got) != 1 {
			t.Errorf("told %q", got)
		}
		b.post.errs = []error{fault.New("NotFound", 404, "Topic does not exist")}
		b.ask("y")
		wait(time.Hour)
		if got := b.post.messages(); len(got) != 1 {
			t.Errorf("told %q", got)
		}
		if _, n := b.metrics.last("NotificationFailures"); n != 2 {
			t.Errorf("%d failures counted", n)
		}
	})
}

// TestARestartRunsAgainWhatWasUnderWay also holds that only one result is to be
// seen when the second run ends otherwise than the first had begun to.
func TestARestartRunsAgainWhatWasUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, 1)
		defer b.end()
		r := b.ask("sleep 1m")
		b.ask("next")
		wait(time.Second)
		b.stop()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		// The first run came as far as its output, and the model has changed its mind.
		u, _ := object.ParseURI(r.Output)
		if _, err := b.objects.Put(t.Context(), u, strings.NewReader("left over")); err != nil {
			t.Fatal(err)
		}
		if _, err := b.objects.Put(t.Context(), object.URI{Bucket: "data", Key: "in/sleep 1m"}, strings.NewReader("500 no")); err != nil {
			t.Fatal(err)
		}
		q, err := Open(t.Context(), b.Options)
		if err != nil {
			t.Fatal(err)
		}
		b.Queue = q
		if l, err := b.Backlog(t.Context(), churn); err != nil || l.Waiting != 2 {
			t.Fatalf("backlog %+v, %v", l, err)
		}
		b.run()
		wait(time.Second)
		if got := b.post.messages(); len(got) != 2 || !strings.Contains(got[0], `"Failed"`) || !strings.Contains(got[1], `"Completed"`) {
			t.Errorf("told %q", got)
		}
		if got := b.read(r.Output); got != "none" {
			t.Errorf("output is %q", got)
		}
		if got := b.read(r.Failure); got != "no" {
			t.Errorf("failure is %q", got)
		}
	})
}

func TestTheOutputHasTheTypeOfTheResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, 1)
		defer b.end()
		r := b.ask("x")
		synctest.Wait()
		if got := b.objects.types[r.Output]; got != "application/json" {
			t.Errorf("type is %q", got)
		}
	})
}
