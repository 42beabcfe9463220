// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/feature/transform/batch"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/serving"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
)

// kind is whose fault a failure is: the head of the job's FailureReason.
type kind string

const (
	clientError    kind = "ClientError"         // the data, or what the container says of it
	algorithmError kind = "AlgorithmError"      // the container
	internalError  kind = "InternalServerError" // ours
)

// result is what result.json says of an instance that has done its objects.
type result struct {
	Failure string // "" when all was good
	Objects int
	Failed  int
}

// startLimit is how long the containers may take to answer /ping. The service
// names no limit for transform jobs; this is longer than its one for endpoints.
const startLimit = 10 * time.Minute

// The defaults of ModelClientConfig.
const defaultTimeout, defaultRetries = 600, 3

// settings are how an instance asks its containers: by the request, then by
// GET /execution-parameters, then by the defaults.
type settings struct {
	concurrent int
	payload    int // bytes; 0 for no limit
	single     bool
	timeout    time.Duration
	retries    int
}

// agent works for one instance.
type agent struct {
	s       *Service
	j       Job
	dir     string
	tasks   []runtime.ID // of the containers, in the order of the pipeline
	chain   []*serving.Backend
	set     settings
	process *batch.Process
	book    *journal
	log     *dataLog

	free  chan *slot    // memory for mini-batches, which bounds what is read ahead
	under chan struct{} // requests under way
}

// errLost says that a container has ended: the loop sees to that.
var errLost = errors.New("a container has ended")

// agent does all objects of an instance and writes its result. It returns
// without one when ctx ends or a container is lost.
func (s *Service) agent(ctx context.Context, j Job, m machine, addresses []string) {
	a := &agent{s: s, j: j, dir: s.machineDir(j, m)}
	for c, addr := range addresses {
		b := serving.Dial(addr)
		defer b.Close()
		a.chain, a.tasks = append(a.chain, b), append(a.tasks, taskID(identity(j), m, c))
	}
	a.log = newDataLog(ctx, s.Logs, streamAt(j, m, "/data-log"))
	defer a.log.close()
	r, err := a.run(ctx, m)
	if err != nil && (ctx.Err() != nil || errors.Is(err, errLost)) {
		return
	}
	if err != nil {
		s.Log.ErrorContext(ctx, "instance of a transform job failed", "arn", j.ARN, "instance", m.Name, "err", err)
		r.Failure = fmt.Sprintf("%s: %s", internalError, err)
	}
	if err := taskgroup.WriteJSON(a.dir, resultName, r); err != nil {
		s.Log.ErrorContext(ctx, "result of an instance was not written", "arn", j.ARN, "instance", m.Name, "err", err)
	}
}

// run does the objects that are not done yet.
func (a *agent) run(ctx context.Context, m machine) (result, error) {
	if ok, err := a.healthy(ctx); err != nil {
		return result{}, err
	} else if !ok {
		return result{Failure: fmt.Sprintf("%s: The primary container did not pass the ping health check within %s. "+
			"Please check CloudWatch logs for this transform job", algorithmError, startLimit)}, nil
	}
	var err error
	if a.set, err = a.settle(ctx); err != nil {
		return result{}, err
	}
	if a.process, err = processOf(a.j); err != nil {
		return result{}, err
	}
	var p plans
	if _, err := taskgroup.ReadJSON(filepath.Dir(a.dir), planName, &p); err != nil {
		return result{}, err
	}
	if a.book, err = openJournal(a.dir); err != nil {
		return result{}, err
	}
	defer a.book.f.Close()
	a.log.say("", "MaxConcurrentTransforms=%d, MaxPayloadInMB=%d, BatchStrategy=%s", a.set.concurrent, a.set.payload>>20, strategyName(a.set.single))

	a.under = make(chan struct{}, a.set.concurrent)
	a.free = make(chan *slot, 2*a.set.concurrent)
	for range cap(a.free) {
		a.free <- &slot{done: make(chan struct{}, 1)}
	}
	objects := p.Machines[m.Number]
	todo := make(chan int)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for range min(a.set.concurrent, max(len(objects), 1)) {
		group.Go(func() {
			for i := range todo {
				if err := a.do(ctx, i, objects[i]); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range objects {
		if _, done := a.book.at(i); done {
			continue
		}
		select {
		case todo <- i:
		case <-ctx.Done():
		}
	}
	close(todo)
	group.Wait()
	if ctx.Err() != nil {
		return result{}, context.Cause(ctx)
	}
	r := result{Objects: len(objects)}
	for i := range objects {
		if failed, _ := a.book.at(i); failed != "" {
			r.Failed++
			if r.Failure == "" {
				r.Failure = failed.why()
			}
		}
	}
	return r, nil
}

// at tells what became of an object, if it is done.
func (l *journal) at(object int) (failed kind, done bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	failed, done = l.done[object]
	return failed, done
}

// healthy waits until all containers answer /ping.
func (a *agent) healthy(ctx context.Context) (bool, error) {
	began := time.Now()
	for _, b := range a.chain {
		for wait := 5 * time.Millisecond; !b.Ping(ctx); wait = min(wait*3/2, 250*time.Millisecond) {
			if err := a.alive(ctx); err != nil {
				return false, err
			}
			if time.Since(began) > startLimit {
				return false, nil
			}
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return false, ctx.Err()
			}
		}
	}
	return true, nil
}

// alive is errLost when a container does not run any more.
func (a *agent) alive(ctx context.Context) error {
	for _, id := range a.tasks {
		state, err := a.s.Runtime.Inspect(ctx, id)
		if err != nil {
			return err
		}
		if state.Phase != runtime.Running {
			return fmt.Errorf("%w: %s", errLost, id)
		}
	}
	return nil
}

// What SAGEMAKER_BATCH_STRATEGY and /execution-parameters call the strategies.
const (
	strategySingle = "SINGLE_RECORD"
	strategyMulti  = "MULTI_RECORD"
)

func strategyName(single bool) string {
	if single {
		return strategySingle
	}
	return strategyMulti
}

// parameters are the answer of GET /execution-parameters. Source: "Use Your Own
// Inference Code with Batch Transform".
type parameters struct {
	MaxConcurrentTransforms *float64
	BatchStrategy           string
	MaxPayloadInMB          *float64
}

// parametersTimeout is how long a container may take to tell its parameters. One
// that does not has none.
const parametersTimeout = 10 * time.Second

// settle finds out how the containers are asked. Of a pipeline the first one
// tells.
func (a *agent) settle(ctx context.Context) (settings, error) {
	var p parameters
	status, text, err := a.chain[0].Text(ctx, http.MethodGet, "/execution-parameters", "", nil, parametersTimeout, 64<<10)
	if ctx.Err() != nil {
		return settings{}, ctx.Err()
	}
	if err != nil || status != http.StatusOK || json.Unmarshal(text, &p) != nil {
		p = parameters{}
	}
	return choose(a.j, p), nil
}

// choose is what the request, the container and the defaults come to. What the
// container wants is cut down to what the service allows; a request that wants
// more was refused.
func choose(j Job, p parameters) settings {
	d := j.Doc
	out := settings{concurrent: int(value(d.MaxConcurrentTransforms)), single: d.BatchStrategy == singleRecord,
		timeout: defaultTimeout * time.Second, retries: defaultRetries}
	megabytes := defaultPayload
	switch {
	case d.MaxPayloadInMB != nil:
		megabytes = int(*d.MaxPayloadInMB)
	case p.MaxPayloadInMB != nil && *p.MaxPayloadInMB >= 0:
		megabytes = int(min(*p.MaxPayloadInMB, maxTogether))
	}
	out.payload = megabytes << 20
	if out.concurrent == 0 && p.MaxConcurrentTransforms != nil {
		out.concurrent = int(min(max(*p.MaxConcurrentTransforms, 1), maxTogether))
		if megabytes > 0 {
			out.concurrent = min(out.concurrent, maxTogether/megabytes)
		}
	}
	out.concurrent = max(out.concurrent, 1)
	if d.BatchStrategy == "" {
		out.single = p.BatchStrategy == strategySingle || p.BatchStrategy == singleRecord
	}
	if c := d.ModelClientConfig; c != nil {
		if c.InvocationsTimeoutInSeconds != nil {
			out.timeout = time.Duration(*c.InvocationsTimeoutInSeconds) * time.Second
		}
		if c.InvocationsMaxRetries != nil {
			out.retries = int(*c.InvocationsMaxRetries)
		}
	}
	return out
}

// refusal is why an object has no output.
type refusal struct {
	kind   kind
	status int // of the container's answer; 0 when there was none
	text   string
	cut    bool // the connection ended without an answer
}

func (r *refusal) Error() string {
	if r.status > 0 {
		return fmt.Sprintf("%s: %d: %s", r.kind, r.status, r.text)
	}
	return fmt.Sprintf("%s: %s", r.kind, r.text)
}

// retryPause is the wait before the first repetition of a request; each next one
// is twice as long.
const retryPause = 250 * time.Millisecond

// ask sends a mini-batch through the chain. What may pass is tried again: no
// answer, none in time, and status 429 and above 499.
func (a *agent) ask(ctx context.Context, b *slot) error {
	return a.again(ctx, func() error { return a.once(ctx, b) })
}

// again tries what may pass as often as the job says. A connection that was kept
// and turns out to be closed is no failure of the container's: the first
// repetition after no answer at all is for nothing.
func (a *agent) again(ctx context.Context, do func() error) error {
	for attempt, fresh := 0, true; ; attempt++ {
		err := do()
		no, refused := errors.AsType[*refusal](err)
		if err == nil || ctx.Err() != nil || !refused || no.kind == clientError && no.status != http.StatusTooManyRequests {
			return err
		}
		if no.status == 0 {
			if err := a.alive(ctx); err != nil {
				return err
			}
		}
		if no.cut && fresh {
			attempt, fresh = attempt-1, false
			continue
		}
		if attempt >= a.set.retries {
			return err
		}
		select {
		case <-time.After(retryPause << attempt):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// once sends a mini-batch through the chain: each container's answer is the next
// one's request.
func (a *agent) once(ctx context.Context, b *slot) error {
	text, typ := b.sent, a.j.Doc.TransformInput.ContentType
	for i, backend := range a.chain {
		into := &b.answer // the last one's, whatever came before
		if (len(a.chain)-1-i)%2 == 1 {
			into = &b.between
		}
		body := newPayload(text)
		resp, err := a.post(ctx, backend, i, typ, body, int64(len(text)))
		if err == nil {
			if *into, err = readAll(*into, resp.Body, resp.Length); err != nil {
				err = &refusal{kind: algorithmError, text: "the answer cannot be read: " + err.Error()}
			}
			resp.Body.Close()
		}
		<-body.closed
		if err != nil {
			return err
		}
		text, typ = *into, resp.Header.Get("Content-Type")
	}
	return nil
}

// payload is a request's body. Its memory may be used again when it is closed,
// and not before: an HTTP client may still read it when the answer is there.
type payload struct {
	bytes.Reader
	closed chan struct{}
	close  func()
}

func newPayload(b []byte) *payload {
	p := &payload{closed: make(chan struct{})}
	p.Reset(b)
	p.close = sync.OnceFunc(func() { close(p.closed) })
	return p
}

func (p *payload) Close() error {
	p.close()
	return nil
}

// post sends one request; an answer that is none is a *refusal.
func (a *agent) post(ctx context.Context, backend *serving.Backend, i int, contentType string, body io.Reader, length int64) (*serving.Response, error) {
	header := http.Header{}
	if contentType != "" {
		header["Content-Type"] = []string{serving.HeaderSafe(contentType)}
	}
	if accept := a.j.Doc.TransformOutput.Accept; accept != "" && i == len(a.chain)-1 {
		header["Accept"] = []string{serving.HeaderSafe(accept)}
	}
	resp, err := backend.Do(ctx, serving.Request{Header: header, Body: body, Length: length, Timeout: a.set.timeout})
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && serving.TimedOut(err):
		return nil, &refusal{kind: algorithmError, text: fmt.Sprintf("the container did not answer within %s", a.set.timeout)}
	case err != nil:
		return nil, &refusal{kind: algorithmError, text: "the container did not answer: " + err.Error(), cut: true}
	case resp.Status/100 == 2:
		return resp, nil
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	resp.Body.Close()
	no := &refusal{kind: algorithmError, status: resp.Status, text: string(text)}
	if resp.Status < 500 {
		no.kind = clientError
	}
	return nil, no
}

// readAll reads an answer into dst's memory where that suffices.
func readAll(dst []byte, r io.Reader, length int64) ([]byte, error) {
	dst = dst[:0]
	if length > int64(cap(dst)) && length < 1<<30 {
		dst = make([]byte, 0, length)
	}
	for {
		if len(dst) == cap(dst) {
			if length == int64(len(dst)) {
				return dst, nil
			}
			grown := make([]byte, len(dst), max(4<<10, 2*cap(dst)))
			copy(grown, dst)
			dst = grown
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}
