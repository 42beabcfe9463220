// SPDX-License-Identifier: Apache-2.0

package sns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wsns "github.com/sagebrush-ml/sagebrush/internal/wire/sns"
	wsqs "github.com/sagebrush-ml/sagebrush/internal/wire/sqs"
)

const (
	account = "123456789012"
	region  = "us-east-1"
	queue   = "arn:aws:sqs:" + region + ":" + account + ":q"
)

var caller = auth.WithCaller(context.Background(), auth.Caller{Account: account, Region: region, Principal: "arn:aws:iam::" + account + ":root"})

// shelf is queues that keep what they are given, once under a name, and fail
// when they are told to.
type shelf struct {
	mu    sync.Mutex
	names map[string]bool
	got   []string // "queue: body"
	fail  []error
	when  []time.Time
}

func (q *shelf) Deliver(_ context.Context, queueARN, name, _ string, m *wsqs.SendMessageInput) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.when = append(q.when, time.Now())
	if len(q.fail) > 0 {
		err := q.fail[0]
		q.fail = q.fail[1:]
		return err
	}
	if q.names == nil {
		q.names = map[string]bool{}
	}
	if !q.names[queueARN+name] {
		q.names[queueARN+name] = true
		q.got = append(q.got, queueARN[strings.LastIndexByte(queueARN, ':')+1:]+": "+m.MessageBody)
	}
	return nil
}

func (q *shelf) all() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return strings.Join(q.got, ", ")
}

type bench struct {
	*Service
	t     testing.TB
	table *op.Table
	shelf *shelf
}

func open(t testing.TB, path string, own func(netip.AddrPort) bool) *bench {
	t.Helper()
	b := &bench{t: t, table: op.New(), shelf: &shelf{}}
	s, err := New(Options{Path: path, URL: func() string { return "http://127.0.0.1:8080" }, Queues: b.shelf, Own: own})
	if err != nil {
		t.Fatal(err)
	}
	s.Install(b.table)
	b.Service = s
	return b
}

func (b *bench) shut() {
	if err := b.Close(); err != nil {
		b.t.Error(err)
	}
}

func call[I, O any](ctx context.Context, b *bench, o wire.Op[I, O], in I) *O {
	b.t.Helper()
	out, err := op.Call(ctx, b.table, o, &in)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

func code(err error) string {
	if f := fault.Of(err); f != nil {
		return f.Code
	}
	return fmt.Sprint(err)
}

// topic makes a topic with a raw subscription of the queue.
func (b *bench) topic(attributes map[string]string) (topic, subscription string) {
	b.t.Helper()
	topic = call(caller, b, wsns.CreateTopic, wsns.CreateTopicInput{Name: "t"}).TopicArn
	a := map[string]string{"RawMessageDelivery": "true"}
	for k, v := range attributes {
		a[k] = v
	}
	return topic, call(caller, b, wsns.Subscribe, wsns.SubscribeInput{TopicArn: topic, Protocol: "sqs", Endpoint: queue, Attributes: a}).SubscriptionArn
}

// run runs the service until the returned function is called.
func (b *bench) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	}
}

func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sns.db")
	synctest.Test(t, func(t *testing.T) {
		b := open(t, path, nil)
		topic, _ := b.topic(nil)
		if err := b.Notify(t.Context(), account, region, topic, "subject", []byte("a")); err != nil {
			t.Fatal(err)
		}
		for arn, want := range map[string]string{topic + "x": "NotFound", "x": "InvalidParameter", strings.Replace(topic, account, "210987654321", 1): "NotFound"} {
			if err := b.Notify(t.Context(), account, region, arn, "", []byte("a")); code(err) != want {
				t.Errorf("%s: %v", arn, err)
			}
		}
		if err := b.Notify(t.Context(), account, "eu-west-1", topic, "", []byte("a")); code(err) != "InvalidParameter" {
			t.Errorf("another region: %v", err)
		}
		b.shut() // before anything was delivered

		b = open(t, path, nil)
		defer b.shut()
		stop := b.run()
		synctest.Wait()
		stop()
		if got := b.shelf.all(); got != "q: a" {
			t.Errorf("delivered %q", got)
		}
	})
}

func TestQueuesAreTriedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sns.db")
	synctest.Test(t, func(t *testing.T) {
		b := open(t, path, nil)
		defer b.shut()
		topic, _ := b.topic(map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"` + queue + `-dead"}`})
		stop := b.run()
		defer stop()
		passing := errors.New("the file is locked")
		b.shelf.fail = []error{passing, passing, passing, passing, passing}
		began := time.Now()
		if err := b.Notify(t.Context(), account, region, topic, "", []byte("a")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := b.shelf.all(); got != "q: a" {
			t.Errorf("delivered %q", got)
		}
		if took := b.shelf.when[5].Sub(began); took < 2*time.Second || took > 3*time.Second { // three at once, two after a second
			t.Errorf("the sixth try came after %v", took)
		}
		b.shelf.fail = []error{fault.New("QueueDoesNotExist", 400, "gone")} // for ever
		if err := b.Notify(t.Context(), account, region, topic, "", []byte("b")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := b.shelf.all(); got != "q: a, q-dead: b" {
			t.Errorf("delivered %q", got)
		}
	})
}

func TestLinks(t *testing.T) {
	b := open(t, filepath.Join(t.TempDir(), "sns.db"), nil)
	defer b.shut()
	hook := newHook(t)
	topic := call(caller, b, wsns.CreateTopic, wsns.CreateTopicInput{Name: "t"}).TopicArn
	call(caller, b, wsns.Subscribe, wsns.SubscribeInput{TopicArn: topic, Protocol: "http", Endpoint: hook.URL})
	defer b.run()()
	link, err := url.Parse(hook.next().SubscribeURL)
	if err != nil {
		t.Fatal(err)
	}
	nobody := context.Background() // a link comes without a caller
	token := link.Query().Get("Token")
	for _, in := range []wsns.ConfirmSubscriptionInput{{TopicArn: topic, Token: token + "0"}, {TopicArn: topic, Token: ""}} {
		if _, err := op.Call(nobody, b.table, wsns.ConfirmSubscription, &in); code(err) != "InvalidParameter" {
			t.Errorf("token %q: %v", in.Token, err)
		}
	}
	in := wsns.ConfirmSubscriptionInput{TopicArn: topic, Token: token, AuthenticateOnUnsubscribe: "true"}
	if _, err := op.Call(nobody, b.table, wsns.ConfirmSubscription, &in); code(err) != "AuthorizationError" {
		t.Errorf("locked by a link: %v", err)
	}
	arn := call(caller, b, wsns.ConfirmSubscription, in).SubscriptionArn
	if again := call(nobody, b, wsns.ConfirmSubscription, wsns.ConfirmSubscriptionInput{TopicArn: topic, Token: token}).SubscriptionArn; again != arn {
		t.Errorf("confirmed again: %s", again)
	}
	leave := wsns.UnsubscribeInput{SubscriptionArn: arn}
	if _, err := op.Call(nobody, b.table, wsns.Unsubscribe, &leave); code(err) != "AuthorizationError" {
		t.Errorf("unsubscribed by a link though it is locked: %v", err)
	}
	_, sub := b.topic(nil)
	if _, err := op.Call(nobody, b.table, wsns.Unsubscribe, &wsns.UnsubscribeInput{SubscriptionArn: sub}); code(err) != "AuthorizationError" {
		t.Errorf("a queue unsubscribed by a link: %v", err)
	}
	call(caller, b, wsns.Unsubscribe, leave)
	call(caller, b, wsns.Unsubscribe, leave)
}

// hook is an endpoint that keeps what it is sent.
type hook struct {
	*httptest.Server
	t   testing.TB
	got chan envelope
}

func newHook(t testing.TB) *hook {
	h := &hook{t: t, got: make(chan envelope, 100)}
	h.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var e envelope
		b, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(b, &e); err != nil {
			t.Errorf("body %q: %v", b, err)
		}
		h.got <- e
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) next() envelope {
	h.t.Helper()
	select {
	case e := <-h.got:
		return e
	case <-time.After(10 * time.Second):
		h.t.Fatal("nothing came")
		panic("unreachable")
	}
}

func TestPendingSubscriptionsLapse(t *testing.T) {
	b := open(t, filepath.Join(t.TempDir(), "sns.db"), nil)
	defer b.shut()
	topic := call(caller, b, wsns.CreateTopic, wsns.CreateTopicInput{Name: "t"}).TopicArn
	call(caller, b, wsns.Subscribe, wsns.SubscribeInput{TopicArn: topic, Protocol: "https", Endpoint: "https://a.example/"})
	for after, want := range map[time.Duration]int{0: 1, tokenLasts - time.Minute: 1} {
		b.now = func() time.Time { return time.Now().Add(after) }
		if err := b.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(call(caller, b, wsns.ListSubscriptions, wsns.ListSubscriptionsInput{}).Subscriptions); got != want {
			t.Errorf("after %v: %d subscriptions", after, got)
		}
	}
	b.now = func() time.Time { return time.Now().Add(tokenLasts + time.Minute) }
	if err := b.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := call(caller, b, wsns.ListSubscriptions, wsns.ListSubscriptionsInput{}).Subscriptions; len(got) != 0 {
		t.Errorf("not lapsed: %v", got)
	}
}

// TestBarredAddresses holds that a name which leads to a barred address is found
// out where the connection is made, and that redirects are not followed.
func TestBarredAddresses(t *testing.T) {
	reached := make(chan string, 10)
	secret := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached <- "secret" }))
	defer secret.Close()
	open := httptest.NewServer(http.RedirectHandler(secret.URL, http.StatusTemporaryRedirect))
	defer open.Close()
	own := netip.MustParseAddrPort(secret.Listener.Addr().String())
	c := newClient(func(to netip.AddrPort) bool { return to.Port() == own.Port() })
	post := func(url string) outcome {
		return answered(c.Post(url, "text/plain", strings.NewReader("x"))) //nolint:bodyclose,noctx // answered closes it
	}
	if o := post(fmt.Sprintf("http://localhost:%d/", own.Port())); !errors.Is(o.err, errBarred) || !o.final {
		t.Errorf("own address by name: %+v", o)
	}
	if o := post("http://169.254.169.254/"); !errors.Is(o.err, errBarred) || !o.final {
		t.Errorf("metadata address: %+v", o)
	}
	if o := post("http://[::ffff:169.254.169.254]/"); !errors.Is(o.err, errBarred) || !o.final {
		t.Errorf("metadata address in IPv6: %+v", o)
	}
	if o := post(open.URL); o.err == nil || !o.final {
		t.Errorf("a redirect: %+v", o)
	}
	select {
	case r := <-reached:
		t.Errorf("reached %s", r)
	default:
	}
}

func TestAnswers(t *testing.T) {
	for status, want := range map[int]string{200: "delivered", 204: "delivered", 302: "given up", 400: "given up", 404: "given up", 429: "again", 500: "again", 503: "again"} {
		o := answered(&http.Response{StatusCode: status, Body: http.NoBody}, nil)
		got := "again"
		if o.err == nil {
			got = "delivered"
		} else if o.final {
			got = "given up"
		}
		if got != want {
			t.Errorf("%d: %s, want %s", status, got, want)
		}
	}
	if o := answered(nil, errors.New("refused")); o.err == nil || o.final {
		t.Errorf("no connection: %+v", o)
	}
}

// TestASlowEndpointKeepsNobodyWaiting has an endpoint that never answers beside
// a queue.
func TestASlowEndpointKeepsNobodyWaiting(t *testing.T) {
	b := open(t, filepath.Join(t.TempDir(), "sns.db"), nil)
	defer b.shut()
	topic, _ := b.topic(nil)
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer slow.Close()
	defer close(release)
	call(caller, b, wsns.Subscribe, wsns.SubscribeInput{TopicArn: topic, Protocol: "http", Endpoint: slow.URL})
	defer b.run()()
	for i := range 5 {
		if err := b.Notify(t.Context(), account, region, topic, "", []byte(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(5 * time.Second); b.shelf.all() != "q: 0, q: 1, q: 2, q: 3, q: 4"; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("delivered %q", b.shelf.all())
		}
	}
}
