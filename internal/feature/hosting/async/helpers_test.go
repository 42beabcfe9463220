// SPDX-License-Identifier: Apache-2.0

package async

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/object/mem"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
)

var churn = Endpoint{Account: "123456789012", Region: "us-east-1", Name: "churn", Seed: "a1"}

var results = Config{OutputPath: "s3://data/out", FailurePath: "s3://data/failed",
	SuccessTopic: "arn:aws:sns:us-east-1:123456789012:good", ErrorTopic: "arn:aws:sns:us-east-1:123456789012:bad"}

// bench is a queue with all that stands around it.
type bench struct {
	*Queue
	t       *testing.T
	objects *store
	fleet   *fleet
	post    *post
	metrics *metrics
	logs    *lines
	stop    func() // ends Run; Close is the test's end
}

// begin opens a queue and runs it, with an endpoint of n instances.
func begin(t *testing.T, n int) *bench {
	b := &bench{t: t, objects: &store{Store: mem.New("data"), types: map[string]string{}}, post: &post{}, metrics: &metrics{}, logs: &lines{},
		fleet: &fleet{instances: n, room: 1}}
	q, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "async.db"), Objects: b.objects, Notifier: b.post,
		Metrics: b.metrics, Logs: b.logs, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	b.Queue = q
	b.run()
	return b
}

func (b *bench) run() {
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx, b.fleet) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			b.t.Errorf("Run answers %v", err)
		}
	})
}

// end stops all, as a bubble asks for.
func (b *bench) end() {
	b.stop()
	if err := b.Close(); err != nil {
		b.t.Error(err)
	}
}

// ask puts an input and enqueues a request for it.
func (b *bench) ask(input string, change ...func(*Request)) *Request {
	b.t.Helper()
	r := &Request{InputLocation: "s3://data/in/" + input, ContentType: "text/csv", Variant: "main", Received: time.Now()}
	if _, err := b.objects.Put(b.t.Context(), object.URI{Bucket: "data", Key: "in/" + input}, strings.NewReader(input)); err != nil {
		b.t.Fatal(err)
	}
	for _, c := range change {
		c(r)
	}
	if err := r.Prepare(results, "", ""); err != nil {
		b.t.Fatal(err)
	}
	for _, c := range change { // what Prepare has set may be changed as well
		c(r)
	}
	if err := b.Enqueue(b.t.Context(), churn, r); err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *bench) read(uri string) string {
	b.t.Helper()
	u, err := object.ParseURI(uri)
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := b.objects.Open(b.t.Context(), u, 0, -1)
	if err != nil {
		return "none"
	}
	text, err := io.ReadAll(r)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// wait lets the bubble rest after d of its time.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// store adds to mem what is to be seen and to fail.
type store struct {
	*mem.Store
	mu      sync.Mutex
	types   map[string]string
	refuse  error // of each Put of a result
	sizes   int64 // what Stat tells, when not 0
	reading error // of each Read of an input
}

func (s *store) PutTyped(ctx context.Context, u object.URI, contentType string, r io.Reader) (object.Info, error) {
	s.mu.Lock()
	err := s.refuse
	s.types[u.String()] = contentType
	s.mu.Unlock()
	if err != nil {
		return object.Info{}, err
	}
	return s.Put(ctx, u, r)
}

func (s *store) Stat(ctx context.Context, u object.URI) (object.Info, error) {
	info, err := s.Store.Stat(ctx, u)
	if s.sizes != 0 {
		info.Size = s.sizes
	}
	return info, err
}

func (s *store) Open(ctx context.Context, u object.URI, offset, size int64) (io.ReadCloser, error) {
	r, err := s.Store.Open(ctx, u, offset, size)
	if s.reading != nil && strings.HasPrefix(u.Key, "in/") {
		return io.NopCloser(io.MultiReader(io.LimitReader(r, 1), broken{s.reading})), err
	}
	return r, err
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// fleet are the instances of churn. What a request does is in its input: see
// answer.
type fleet struct {
	mu        sync.Mutex
	instances int
	room      int // of each
	busy      int
	most      int      // that were ever busy at once
	seen      []string // inputs, in the order of their coming
	lose      int      // so many requests are lost with their instance
	miss      int      // so many are not taken
}

func (f *fleet) Endpoints() []Endpoint { return []Endpoint{churn} }

func (f *fleet) Count(Endpoint) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.instances
}

func (f *fleet) set(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.instances = n
}

func (f *fleet) Acquire(ep Endpoint) (Slot, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ep != churn || f.busy >= f.instances*f.room {
		return Slot{}, false
	}
	f.busy++
	f.most = max(f.most, f.busy)
	return Slot{Variant: "main", Instance: "i-1", Invoke: f.answer, Release: func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.busy--
	}}, true
}

// answer is the model: "500 text" answers that status, "sleep 2s" takes that
// long, "long" has more than a notification takes.
func (f *fleet) answer(ctx context.Context, _ *Request, body io.Reader, size int64) (*Response, error) {
	in, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.seen = append(f.seen, string(in))
	lose, miss := f.lose > 0, f.miss > 0
	f.lose, f.miss = max(f.lose-1, 0), max(f.miss-1, 0)
	f.mu.Unlock()
	switch {
	case miss:
		return nil, ErrNotTaken
	case lose:
		return nil, io.ErrUnexpectedEOF
	case int64(len(in)) != size:
		return nil, errors.New("size is wrong")
	}
	r := &Response{Status: 200, Header: http.Header{"Content-Type": {"application/json"}}}
	word, rest, _ := strings.Cut(string(in), " ")
	text := `"` + string(in) + `"`
	switch word {
	case "sleep":
		d, err := time.ParseDuration(rest)
		if err != nil {
			return nil, err
		}
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	case "400", "500":
		r.Status = map[string]int{"400": 400, "500": 500}[word]
		text = rest
	case "long":
		text = strings.Repeat("x", maxIncluded+1)
	case "cut":
		r.Body = io.NopCloser(io.MultiReader(strings.NewReader("ha"), broken{io.ErrUnexpectedEOF}))
		return r, nil
	}
	r.Body = io.NopCloser(bytes.NewReader([]byte(text)))
	return r, nil
}

// post are the topics.
type post struct {
	mu   sync.Mutex
	sent []letter
	errs []error // of the next calls
}

func (p *post) Notify(_ context.Context, account, region, topic, _ string, message []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.errs) > 0 {
		err := p.errs[0]
		p.errs = p.errs[1:]
		if err != nil {
			return err
		}
	}
	p.sent = append(p.sent, letter{account: account, region: region, topic: topic, message: slices.Clone(message)})
	return nil
}

func (p *post) messages() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, l := range p.sent {
		out = append(out, l.topic[strings.LastIndex(l.topic, ":")+1:]+" "+string(l.message))
	}
	return out
}

// metrics sums values by name.
type metrics struct {
	mu   sync.Mutex
	data map[string][]telemetry.Datum
}

func (m *metrics) Put(_ context.Context, _, _, namespace string, data []telemetry.Datum) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.data == nil {
		m.data = map[string][]telemetry.Datum{}
	}
	for _, d := range data {
		if namespace != "AWS/SageMaker" {
			return errors.New("wrong namespace")
		}
		m.data[d.Name] = append(m.data[d.Name], d)
	}
	return nil
}

func (m *metrics) last(name string) (telemetry.Datum, int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.data[name]
	if len(d) == 0 {
		return telemetry.Datum{}, 0
	}
	return d[len(d)-1], len(d)
}

// lines keeps log lines by stream.
type lines struct {
	mu   sync.Mutex
	text []string
}

func (l *lines) Offset(context.Context, telemetry.Stream) (int64, error) { return 0, nil }

func (l *lines) Append(_ context.Context, at telemetry.Stream, _, _ int64, events []telemetry.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		l.text = append(l.text, at.Group+" "+at.Name+" "+e.Message)
	}
	return nil
}
