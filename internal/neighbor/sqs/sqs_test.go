// SPDX-License-Identifier: Apache-2.0

package sqs

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wsqs "github.com/sagebrush-ml/sagebrush/internal/wire/sqs"
)

const (
	account = "123456789012"
	region  = "us-east-1"
)

var caller = auth.WithCaller(context.Background(), auth.Caller{Account: account, Region: region, UserID: account})

// bench is a service with its table and a clock that tests turn.
type bench struct {
	*Service
	t     testing.TB
	table *op.Table
	clock time.Time
}

func fresh(t testing.TB) *bench {
	b := &bench{t: t, table: op.New(), clock: time.Date(2026, 11, 20, 21, 0, 0, 0, time.UTC)}
	s, err := New(Options{Path: filepath.Join(t.TempDir(), "sqs.db"), URL: func() string { return "http://127.0.0.1:8080" }, Now: func() time.Time { return b.clock }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.Install(b.table)
	b.Service = s
	return b
}

func call[I, O any](b *bench, o wire.Op[I, O], in I) *O {
	b.t.Helper()
	out, err := op.Call(caller, b.table, o, &in)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// code is what an operation is refused with; "" when it is not.
func code[I, O any](b *bench, o wire.Op[I, O], in I) string {
	_, err := op.Call(caller, b.table, o, &in)
	if f := fault.Of(err); f != nil {
		return f.Code
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return ""
}

func (b *bench) queue(name string, attributes ...string) string {
	b.t.Helper()
	in := wsqs.CreateQueueInput{QueueName: name, Attributes: map[string]string{}}
	if strings.HasSuffix(name, ".fifo") {
		in.Attributes["FifoQueue"] = "true"
	}
	for i := 0; i < len(attributes); i += 2 {
		in.Attributes[attributes[i]] = attributes[i+1]
	}
	return call(b, wsqs.CreateQueue, in).QueueUrl
}

func (b *bench) send(url, body, group, dedup string) *wsqs.SendMessageOutput {
	b.t.Helper()
	return call(b, wsqs.SendMessage, wsqs.SendMessageInput{QueueUrl: url, MessageBody: body, MessageGroupId: group, MessageDeduplicationId: dedup})
}

func (b *bench) receive(url string) []wsqs.Message {
	b.t.Helper()
	return call(b, wsqs.ReceiveMessage, wsqs.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: new(int64(10)), MessageSystemAttributeNames: []string{"All"}}).Messages
}

func bodies(messages []wsqs.Message) string {
	var out []string
	for _, m := range messages {
		out = append(out, m.Body)
	}
	return strings.Join(out, " ")
}

func (b *bench) expect(url, want string) []wsqs.Message {
	b.t.Helper()
	got := b.receive(url)
	if bodies(got) != want {
		b.t.Fatalf("received %q, want %q", bodies(got), want)
	}
	return got
}

func arnOf(name string) string { return "arn:aws:sqs:" + region + ":" + account + ":" + name }

func TestVisibility(t *testing.T) {
	b := fresh(t)
	url := b.queue("q", "VisibilityTimeout", "30")
	b.send(url, "a", "", "")
	first := b.expect(url, "a")[0]
	b.clock = b.clock.Add(29 * time.Second)
	b.expect(url, "")
	b.clock = b.clock.Add(time.Second)
	second := b.expect(url, "a")[0]
	if second.Attributes["ApproximateReceiveCount"] != "2" || second.Attributes["ApproximateFirstReceiveTimestamp"] != first.Attributes["ApproximateFirstReceiveTimestamp"] {
		t.Errorf("second receive: %v", second.Attributes)
	}
	// A handle of before deletes nothing in a standard queue.
	call(b, wsqs.DeleteMessage, wsqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: first.ReceiptHandle})
	call(b, wsqs.ChangeMessageVisibility, wsqs.ChangeMessageVisibilityInput{QueueUrl: url, ReceiptHandle: second.ReceiptHandle, VisibilityTimeout: new(int64(100))})
	b.clock = b.clock.Add(99 * time.Second)
	b.expect(url, "")
	b.clock = b.clock.Add(time.Second)
	third := b.expect(url, "a")[0]
	// The last handle is good although its time is over.
	b.clock = b.clock.Add(time.Hour)
	call(b, wsqs.DeleteMessage, wsqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: third.ReceiptHandle})
	b.expect(url, "")
	in := wsqs.ChangeMessageVisibilityInput{QueueUrl: url, ReceiptHandle: third.ReceiptHandle, VisibilityTimeout: new(int64(1))}
	if c := code(b, wsqs.ChangeMessageVisibility, in); c != "InvalidParameterValue" {
		t.Errorf("changing a deleted message: %q", c)
	}
}

func TestHandlesOfOtherQueuesAreInvalid(t *testing.T) {
	b := fresh(t)
	one, two := b.queue("one"), b.queue("two")
	b.send(one, "a", "", "")
	m := b.expect(one, "a")[0]
	if c := code(b, wsqs.DeleteMessage, wsqs.DeleteMessageInput{QueueUrl: two, ReceiptHandle: m.ReceiptHandle}); c != "ReceiptHandleIsInvalid" {
		t.Errorf("code %q", c)
	}
}

func TestDelay(t *testing.T) {
	b := fresh(t)
	url := b.queue("q", "DelaySeconds", "10")
	b.send(url, "late", "", "")
	call(b, wsqs.SendMessage, wsqs.SendMessageInput{QueueUrl: url, MessageBody: "now", DelaySeconds: new(int64(0))})
	b.expect(url, "now")
	b.clock = b.clock.Add(10 * time.Second)
	b.expect(url, "late")
}

func TestRetention(t *testing.T) {
	b := fresh(t)
	url := b.queue("q", "MessageRetentionPeriod", "60")
	b.send(url, "a", "", "")
	b.clock = b.clock.Add(time.Minute)
	b.expect(url, "")
	if err := b.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	call(b, wsqs.SetQueueAttributes, wsqs.SetQueueAttributesInput{QueueUrl: url, Attributes: map[string]string{"MessageRetentionPeriod": "3600"}})
	b.expect(url, "")
}

func TestOrderOfGroups(t *testing.T) {
	b := fresh(t)
	url := b.queue("q.fifo", "ContentBasedDeduplication", "true", "VisibilityTimeout", "30")
	for _, m := range []string{"a1", "b1", "a2"} {
		b.send(url, m, m[:1], "")
	}
	first := call(b, wsqs.ReceiveMessage, wsqs.ReceiveMessageInput{QueueUrl: url}).Messages[0]
	b.send(url, "a3", "a", "")
	b.expect(url, "b1")
	call(b, wsqs.ChangeMessageVisibility, wsqs.ChangeMessageVisibilityInput{QueueUrl: url, ReceiptHandle: first.ReceiptHandle, VisibilityTimeout: new(int64(0))})
	all := b.expect(url, "a1 a2 a3")
	// a1 comes back while a2 is worked on: the group stays closed.
	call(b, wsqs.ChangeMessageVisibility, wsqs.ChangeMessageVisibilityInput{QueueUrl: url, ReceiptHandle: all[0].ReceiptHandle, VisibilityTimeout: new(int64(0))})
	b.expect(url, "")
	b.clock = b.clock.Add(31 * time.Second)
	if c := code(b, wsqs.DeleteMessage, wsqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: all[1].ReceiptHandle}); c != "InvalidParameterValue" {
		t.Errorf("a handle that is over: %q", c)
	}
	b.expect(url, "a1 b1 a2 a3")
}

func TestDeduplication(t *testing.T) {
	b := fresh(t)
	url := b.queue("q.fifo")
	one := b.send(url, "a", "g", "id")
	b.clock = b.clock.Add(recently - time.Second)
	if two := b.send(url, "b", "h", "id"); *two != (wsqs.SendMessageOutput{MessageId: one.MessageId, SequenceNumber: one.SequenceNumber, MD5OfMessageBody: md5Of("b")}) {
		t.Errorf("sent twice: %+v, first %+v", two, one)
	}
	b.clock = b.clock.Add(time.Second)
	b.send(url, "c", "h", "id")
	b.expect(url, "a c")
	if c := code(b, wsqs.SendMessage, wsqs.SendMessageInput{QueueUrl: url, MessageBody: "x", MessageGroupId: "g"}); c != "InvalidParameterValue" {
		t.Errorf("without an ID: %q", c)
	}
	scoped := b.queue("s.fifo", "DeduplicationScope", "messageGroup")
	b.send(scoped, "a", "g", "id")
	b.send(scoped, "b", "h", "id")
	b.send(scoped, "c", "h", "id")
	b.expect(scoped, "a b")
}

func TestDeadLetters(t *testing.T) {
	b := fresh(t)
	b.queue("last")
	dead := b.queue("dead", "RedrivePolicy", `{"deadLetterTargetArn":"`+arnOf("last")+`","maxReceiveCount":"1"}`)
	url := b.queue("q", "VisibilityTimeout", "1", "RedrivePolicy", `{"deadLetterTargetArn":"`+arnOf("dead")+`","maxReceiveCount":2}`)
	b.send(url, "a", "", "")
	for range 2 {
		b.expect(url, "a")
		b.clock = b.clock.Add(time.Second)
	}
	b.expect(url, "")
	m := b.expect(dead, "a")[0] // though it was received twice before it came here
	if m.Attributes["DeadLetterQueueSourceArn"] != arnOf("q") || m.Attributes["ApproximateReceiveCount"] != "3" {
		t.Errorf("attributes %v", m.Attributes)
	}
	for policy, want := range map[string]string{
		`{}`: "InvalidParameterValue", `{"deadLetterTargetArn":"` + arnOf("dead") + `"}`: "InvalidParameterValue",
		`{"deadLetterTargetArn":"` + arnOf("dead") + `","maxReceiveCount":0}`: "InvalidParameterValue",
		`{"deadLetterTargetArn":"` + arnOf("none") + `","maxReceiveCount":1}`: "InvalidParameterValue", "": "",
	} {
		if c := code(b, wsqs.SetQueueAttributes, wsqs.SetQueueAttributesInput{QueueUrl: url, Attributes: map[string]string{"RedrivePolicy": policy}}); c != want {
			t.Errorf("policy %s: %q, want %q", policy, c, want)
		}
	}
	call(b, wsqs.SetQueueAttributes, wsqs.SetQueueAttributesInput{QueueUrl: dead, Attributes: map[string]string{"RedriveAllowPolicy": `{"redrivePermission":"denyAll"}`}})
	set := map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"` + arnOf("dead") + `","maxReceiveCount":2}`}
	if c := code(b, wsqs.SetQueueAttributes, wsqs.SetQueueAttributesInput{QueueUrl: url, Attributes: set}); c != "InvalidParameterValue" {
		t.Errorf("a target that denies all: %q", c)
	}
}

func TestDeliverIsOnceUnderAName(t *testing.T) {
	b := fresh(t)
	url := b.queue("q")
	for range 2 {
		if err := b.Deliver(t.Context(), arnOf("q"), "name", "sns.amazonaws.com", &wsqs.SendMessageInput{MessageBody: "a"}); err != nil {
			t.Fatal(err)
		}
	}
	if m := b.expect(url, "a")[0]; m.Attributes["SenderId"] != "sns.amazonaws.com" {
		t.Errorf("sender %q", m.Attributes["SenderId"])
	}
	err := b.Deliver(t.Context(), arnOf("none"), "name", "s", &wsqs.SendMessageInput{MessageBody: "a"})
	if f := fault.Of(err); f == nil || f.Code != "QueueDoesNotExist" {
		t.Errorf("a queue that is not there: %v", err)
	}
}

// TestPoll runs in a bubble, in which minutes take no time.
func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Options{Path: filepath.Join(t.TempDir(), "sqs.db"), URL: func() string { return "http://x" }})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		b := &bench{t: t, Service: s, table: op.New()}
		s.Install(b.table)
		url := b.queue("q")
		poll := func() (string, time.Duration) {
			began := time.Now()
			out := call(b, wsqs.ReceiveMessage, wsqs.ReceiveMessageInput{QueueUrl: url, WaitTimeSeconds: new(int64(20)), VisibilityTimeout: new(int64(5))})
			return bodies(out.Messages), time.Since(began)
		}
		if got, took := poll(); got != "" || took != 20*time.Second {
			t.Errorf("an empty queue: %q after %v", got, took)
		}
		time.AfterFunc(3*time.Second, func() { b.send(url, "a", "", "") })
		if got, took := poll(); got != "a" || took != 3*time.Second {
			t.Errorf("a message that comes: %q after %v", got, took)
		}
		if got, took := poll(); got != "a" || took != 5*time.Second {
			t.Errorf("a message that comes back: %q after %v", got, took)
		}
		time.AfterFunc(2*time.Second, s.Drain)
		if got, took := poll(); got != "" || took != 2*time.Second {
			t.Errorf("a server that stops: %q after %v", got, took)
		}
	})
}

// TestMD5 holds the body's digest against the one in API_SendMessage's example,
// and that of attributes against one computed in Python from the guide's words.
func TestMD5(t *testing.T) {
	if got := md5Of("This is a test message"); got != "fafb00f5732ab283681e124bf8747ed1" {
		t.Errorf("body: %s", got)
	}
	got := md5OfAttributes(map[string]value{"b": {DataType: "Binary", BinaryValue: []byte{1, 2}}, "a": {DataType: "String", StringValue: "x"}})
	if got != "3e9b4c785db2deb306cf4009ae214dab" {
		t.Errorf("attributes: %s", got)
	}
	if md5OfAttributes(nil) != "" {
		t.Error("no attributes have a digest")
	}
}

func TestChosen(t *testing.T) {
	all := map[string]value{"foo": {}, "foo.bar": {}, "food": {}, "x": {}}
	for names, want := range map[string]string{"": "", "All": "foo foo.bar food x", ".*": "foo foo.bar food x", "foo": "foo", "foo.*": "foo foo.bar", "x,food": "food x", "X": ""} {
		if got := strings.Join(sortedKeys(chosen(all, slices.DeleteFunc(strings.Split(names, ","), func(s string) bool { return s == "" }))), " "); got != want {
			t.Errorf("%q chooses %q, want %q", names, got, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for text, want := range map[string]bool{"1": true, "-1.5e3": true, ".5": true, "1e125": true, "1e127": false, "0x1": false, "inf": false, "": false, "1 ": false} {
		if isNumber(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

func FuzzHandle(f *testing.F) {
	f.Add(handle{1, 2, 3, "id"}.String())
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if h, ok := parseHandle(text); ok {
			if again, ok := parseHandle(h.String()); !ok || again != h {
				t.Errorf("%q reads as %+v, and that as %+v", text, h, again)
			}
		}
	})
}

func FuzzRedrive(f *testing.F) {
	f.Add(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:123456789012:q","maxReceiveCount":"3"}`)
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := parseRedrive(text); err == nil && (p.Target == "" || p.Max < 1 || p.Max > 1000) {
			t.Errorf("%q gives %+v", text, p)
		}
	})
}

// TestSurvivesReopen holds that what was answered is there after the file was
// opened anew; that it is after kill -9 as well is test_sns_sqs.py's.
func TestSurvivesReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sqs.db")
	for i := range 3 {
		s, err := New(Options{Path: path, URL: func() string { return "http://x" }})
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{t: t, Service: s, table: op.New()}
		s.Install(b.table)
		url := b.queue("q", "VisibilityTimeout", "0")
		b.send(url, fmt.Sprint(i), "", "")
		if got := len(b.receive(url)); got != i+1 {
			t.Errorf("%d messages after %d", got, i+1)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
