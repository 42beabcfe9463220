// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
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
	FirstError string  `json:"firstError"` // its answer
	Seconds    float64 `json:"seconds"`    // after the warm-up
	PerSecond  float64 `json:"perSecond"`
	P50        float64 `json:"p50"` // seconds, as are the next
	P99        float64 `json:"p99"`
	Max        float64 `json:"max"`
	CPUSeconds float64 `json:"cpuSeconds"` // of this process
}

// plan is what the workers of drive share.
type plan struct {
	server server
	path   string
	header http.Header
	body   string        // may have one %d
	random int           // numbers for it are drawn below this
	serial *atomic.Int64 // or counted, when not nil
	last   int64         // number at which counting ends; 0: never

	begin, end time.Time // of what counts
}

// drive sends requests of one kind over several connections, each the next one
// as soon as it has been answered.
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
	random := f.Int("random", 0, "numbers are drawn at random below this")
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
	p := plan{server: s, path: *path, header: http.Header{"Content-Type": {*kind}}, body: string(text), random: *random}
	if *operation != "" {
		p.header = control(*operation)
	}
	if *serial >= 0 {
		p.serial = new(atomic.Int64)
		p.serial.Store(*serial)
	}
	p.begin = time.Now().Add(*warm)
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
		workers[i] = &worker{plan: &p, client: c}
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
	client client

	took         []time.Duration
	sent, failed int
	firstError   string
	ended        time.Time
}

func (w *worker) run() {
	p := w.plan
	for {
		begin := time.Now()
		if !begin.Before(p.end) && len(w.took)+w.failed > 0 {
			break
		}
		number := int64(0)
		switch {
		case p.serial != nil:
			number = p.serial.Add(1) - 1
		case p.random > 0:
			number = rand.Int64N(int64(p.random))
		}
		if p.last > 0 && number >= p.last {
			break
		}
		body := []byte(p.body)
		if p.serial != nil || p.random > 0 {
			body = fmt.Appendf(nil, p.body, number)
		}
		status, answer, err := w.client.do(p.server.request(p.path, p.header, body))
		now := time.Now()
		w.sent++
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d: %s", status, bytes.TrimSpace(answer))
		}
		if err != nil {
			if w.failed++; w.failed == 1 {
				w.firstError = err.Error()
			}
			if status == 0 { // the connection is gone
				break
			}
			continue
		}
		if now.After(p.begin) && (now.Before(p.end) || len(w.took) == 0) {
			w.took = append(w.took, now.Sub(begin))
			w.ended = now
		}
	}
}

func sum(p *plan, workers []*worker) (driven, error) {
	var d driven
	var all []time.Duration
	ended := p.begin
	for _, w := range workers {
		all = append(all, w.took...)
		d.Sent += w.sent
		d.Errors += w.failed
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
	return d, nil
}
