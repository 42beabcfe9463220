// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// driven is what drive found. What counts are the requests that ended after the
// warm-up and before the end, at least one per connection however long it takes.
// Latencies are from before the request was signed until its answer had been
// read.
type driven struct {
	Requests   int     `json:"requests"`   // after the warm-up
	Sent       int     `json:"sent"`       // with it
	Errors     int     `json:"errors"`     // of all sent
	Again      int     `json:"again"`      // answers 503 after which a request was sent again
	FirstError string  `json:"firstError"` // its answer
	Seconds    float64 `json:"seconds"`    // after the warm-up
	PerSecond  float64 `json:"perSecond"`
	P50        float64 `json:"p50"` // seconds, as are the next
	P99        float64 `json:"p99"`
	Max        float64 `json:"max"`
	CPUSeconds float64 `json:"cpuSeconds"` // of this process
	Slots      []slot  `json:"slots,omitempty"`
}

// plan is what the workers of drive share.
type plan struct {
	server server
	path   string
	header http.Header
	vary   string        // header whose value has a %d; "" for none
	body   string        // may have one %d
	draw   draw          // of numbers for it
	serial *atomic.Int64 // or they are counted, when not nil
	last   int64         // number at which counting ends; 0: never

	retries int           // of a request that is answered 503, as SDKs do
	every   time.Duration // from one request of a worker to its next; 0: at once
	tally   *tally        // nil: none is asked for

	began, begin, end time.Time     // of what is sent; of what counts
	stop              chan struct{} // closed when the end is asked for
}

// draw gives numbers at random, some of them more often.
type draw struct {
	below, hot int     // all numbers; how many of them are hot
	share      float64 // of the draws, for the hot ones
}

func (d draw) number() int64 {
	switch {
	case d.hot == 0:
		return rand.Int64N(int64(d.below))
	case rand.Float64() < d.share:
		return rand.Int64N(int64(d.hot))
	}
	return int64(d.hot) + rand.Int64N(int64(d.below-d.hot))
}

// drive sends requests of one kind over several connections, each the next one
// as soon as it has been answered, or at a steady rate. SIGTERM ends it before
// its time; what was sent until then is told all the same.
func drive(args []string) (any, error) {
	f := flags("drive")
	to := reach(f)
	conns := f.Int("conns", 1, "connections")
	client := f.String("client", "lean", "lean: one bare connection each; ordinary: Go's http.Client")
	warm := f.Duration("warm", 200*time.Millisecond, "time before the measurement")
	length := f.Duration("for", 4*time.Second, "time of the measurement")
	path := f.String("path", "/", "path of the request")
	kind := f.String("content-type", "text/csv", "content type of the body")
	operation := f.String("op", "", "control plane operation, instead of path and content type")
	body := f.String("body", "", "file with the body; one %d in it becomes a number")
	var headers many
	f.Var(&headers, "header", "'Name: value' of the request; may be repeated; a %d in one of them becomes the number")
	var d draw
	f.IntVar(&d.below, "random", 0, "numbers are drawn at random below this")
	f.IntVar(&d.hot, "hot", 0, "of them, those below this are drawn more often")
	f.Float64Var(&d.share, "hot-share", 0.9, "share of the draws for those below -hot")
	retries := f.Int("retries", 0, "how often a request that is answered 503 is sent again")
	rate := f.Float64("rate", 0, "requests a second of all connections; 0: as many as are answered")
	by := f.String("tally", "", "count good answers by this header, or by their body with 'body', in slots of time")
	slots := f.Duration("slot", 100*time.Millisecond, "length of a slot")
	serial := f.Int64("serial", -1, "numbers are counted from this")
	count := f.Int64("count", 0, "with -serial: end after so many requests, without a warm-up")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	s, err := to()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(*body)
	if err != nil {
		return nil, err
	}
	p := plan{server: s, path: *path, header: http.Header{"Content-Type": {*kind}}, body: string(text), draw: d, retries: *retries, stop: make(chan struct{})}
	if *operation != "" {
		p.header = control(*operation)
	}
	for _, h := range headers {
		name, value, ok := strings.Cut(h, ": ")
		if !ok {
			return nil, fmt.Errorf("%q is not a header", h)
		}
		p.header.Set(name, value)
		if strings.Contains(value, "%d") {
			p.vary = name
		}
	}
	if d.hot < 0 || d.below > 0 && d.hot >= d.below {
		return nil, fmt.Errorf("-hot %d must be less than -random %d", d.hot, d.below)
	}
	if *rate > 0 {
		p.every = time.Duration(float64(*conns) / *rate * float64(time.Second))
	}
	if *by != "" {
		p.tally = newTally(*by, *slots)
	}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	defer signal.Stop(terminated)
	go func() {
		if _, ok := <-terminated; ok {
			close(p.stop)
		}
	}()
	defer close(terminated)
	if *serial >= 0 {
		p.serial = new(atomic.Int64)
		p.serial.Store(*serial)
	}
	p.began = time.Now()
	p.begin = p.began.Add(*warm)
	p.end = p.begin.Add(*length)
	if *count > 0 && p.serial != nil {
		p.last, p.begin, p.end = *serial+*count, time.Now(), time.Now().Add(time.Hour)
	}
	workers := make([]*worker, *conns)
	for i := range workers {
		c, err := open(*client, s)
		if err != nil {
			return nil, err
		}
		workers[i] = &worker{plan: &p, client: c, kind: *client, due: p.began.Add(p.every * time.Duration(i) / time.Duration(*conns))}
	}
	var group sync.WaitGroup
	for _, w := range workers {
		group.Go(w.run)
	}
	group.Wait()
	return sum(&p, workers)
}

func open(kind string, s server) (client, error) {
	switch kind {
	case "lean":
		return dial(s.url)
	case "ordinary":
		// Each worker has its own, so that each keeps one connection.
		return &ordinary{http.Client{Transport: &http.Transport{}}}, nil
	}
	return nil, fmt.Errorf("there is no client %q", kind)
}

// worker has one connection.
type worker struct {
	plan   *plan
	kind   string // of client
	client client
	due    time.Time // when its next request is, where there is a rate

	took         []time.Duration
	sent, failed int
	again        int
	firstError   string
	ended        time.Time
}

func (w *worker) run() {
	p := w.plan
	for w.wait() {
		begin := time.Now()
		if !begin.Before(p.end) && len(w.took)+w.failed > 0 {
			break
		}
		number := int64(0)
		switch {
		case p.serial != nil:
			number = p.serial.Add(1) - 1
		case p.draw.below > 0:
			number = p.draw.number()
		}
		if p.last > 0 && number >= p.last {
			break
		}
		header, body := p.numbered(number)
		got, err := w.send(header, body)
		now := time.Now()
		w.sent++
		if err == nil && got.status != http.StatusOK {
			err = fmt.Errorf("status %d: %s", got.status, bytes.TrimSpace(got.body))
		}
		if err != nil {
			if w.failed++; w.failed == 1 {
				w.firstError = err.Error()
			}
			if got.status == 0 { // the connection is gone
				if w.client, err = open(w.kind, p.server); err != nil {
					break
				}
			}
			continue
		}
		if p.tally != nil {
			p.tally.add(now, got)
		}
		if now.After(p.begin) && (now.Before(p.end) || len(w.took) == 0) {
			w.took = append(w.took, now.Sub(begin))
			w.ended = now
		}
	}
}

// pause is how long a request that was answered 503 waits the first time; then
// twice as long each time. It is the mean of botocore's first one.
const pause = 500 * time.Millisecond

// send sends a request, and again as often as the plan allows.
func (w *worker) send(header http.Header, body []byte) (got reply, err error) {
	for i := 0; ; i++ {
		got, err = w.client.do(w.plan.server.request(w.plan.path, header, body))
		if err != nil || got.status != http.StatusServiceUnavailable || i == w.plan.retries {
			return got, err
		}
		w.again++
		time.Sleep(pause << i)
	}
}

// wait waits until the next request is due. It answers false when none is.
func (w *worker) wait() bool {
	if every := w.plan.every; every > 0 {
		select {
		case <-w.plan.stop:
			return false
		case <-time.After(time.Until(w.due)):
		}
		w.due = w.due.Add(every)
		return true
	}
	select {
	case <-w.plan.stop:
		return false
	default:
		return true
	}
}

// numbered is header and body of a request with a number.
func (p *plan) numbered(number int64) (http.Header, []byte) {
	header := p.header
	if p.vary != "" {
		header = header.Clone()
		header.Set(p.vary, fmt.Sprintf(header.Get(p.vary), number))
	}
	if strings.Contains(p.body, "%d") {
		return header, fmt.Appendf(nil, p.body, number)
	}
	return header, []byte(p.body)
}

func sum(p *plan, workers []*worker) (driven, error) {
	var d driven
	var all []time.Duration
	ended := p.begin
	for _, w := range workers {
		all = append(all, w.took...)
		d.Sent += w.sent
		d.Errors += w.failed
		d.Again += w.again
		if d.FirstError == "" {
			d.FirstError = w.firstError
		}
		if w.ended.After(ended) {
			ended = w.ended
		}
	}
	if len(all) == 0 {
		return d, errors.New("no request was answered: " + d.FirstError)
	}
	slices.Sort(all)
	at := func(share float64) float64 { return all[min(len(all)-1, int(share*float64(len(all))))].Seconds() }
	d.Requests, d.Seconds = len(all), ended.Sub(p.begin).Seconds()
	d.PerSecond = float64(d.Requests) / d.Seconds
	d.P50, d.P99, d.Max = at(0.5), at(0.99), all[len(all)-1].Seconds()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return d, err
	}
	d.CPUSeconds = processorSeconds(&used)
	if p.tally != nil {
		d.Slots = p.tally.slots()
	}
	return d, nil
}
