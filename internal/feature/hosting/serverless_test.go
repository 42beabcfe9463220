// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
	smr "github.com/sagebrush-ml/sagebrush/internal/wire/sagemakerruntime"
)

func newGate(limit, provisioned int) *gate {
	return &gate{idle: time.Minute, wake: func() {}, limit: limit, provisioned: provisioned, busy: map[*target]bool{}, used: map[*target]time.Time{}}
}

// instances are targets at the indices from 0 on.
func instances(n int) []*target {
	out := make([]*target, n)
	for i := range out {
		out[i] = &target{at: spot{index: i}}
	}
	return out
}

func TestHowManyInstancesAreWanted(t *testing.T) {
	take := func(t *testing.T, g *gate) *target {
		t.Helper()
		at, _, err := g.acquire(t.Context(), "e")
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for _, c := range []struct {
		name               string
		limit, provisioned int
		there              int
		do                 func(t *testing.T, g *gate)
		after              time.Duration
		first              bool
		want               int
		again              time.Duration
	}{
		{"nobody asks", 4, 0, 0, nil, 0, false, 0, time.Hour},
		{"a new fleet shows that it can serve", 4, 0, 0, nil, 0, true, 1, time.Hour},
		{"some are provisioned", 4, 2, 0, nil, 0, false, 2, time.Hour},
		{"one that has just come stays for its idle time", 4, 0, 1, nil, 0, false, 1, time.Minute},
		{"one with a request stays", 4, 0, 1, func(t *testing.T, g *gate) { take(t, g) }, time.Hour, false, 1, time.Hour},
		{"one that had a request stays for its idle time", 4, 0, 1, func(t *testing.T, g *gate) { g.release(take(t, g), now) }, 20 * time.Second, false, 1, 40 * time.Second},
		{"and then goes", 4, 0, 1, func(t *testing.T, g *gate) { g.release(take(t, g), now) }, time.Minute, false, 0, time.Hour},
		{"but not below the provisioned", 4, 1, 1, func(t *testing.T, g *gate) { g.release(take(t, g), now) }, time.Hour, false, 1, time.Hour},
		{"one above an idle one keeps it", 4, 0, 2, func(t *testing.T, g *gate) {
			a, _ := take(t, g), take(t, g)
			g.release(a, now)
		}, time.Hour, false, 2, time.Hour},
		{"the higher one goes first", 4, 0, 2, func(t *testing.T, g *gate) {
			_, b := take(t, g), take(t, g)
			g.release(b, now)
		}, time.Hour, false, 1, time.Hour},
		{"more than MaxConcurrency is never wanted", 1, 0, 3, nil, 0, false, 1, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGate(c.limit, c.provisioned)
			g.offer(instances(c.there))
			g.wanted(now, false)
			if c.do != nil {
				c.do(t, g)
			}
			n, again := g.wanted(now.Add(c.after), c.first)
			if n != c.want || again != c.again {
				t.Errorf("%d wanted, again after %v; want %d, %v", n, again, c.want, c.again)
			}
		})
	}
}

func TestAGateLetsThroughWhatItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2, 0)
		var woken atomic.Int64
		g.wake = func() { woken.Add(1) }
		type got struct {
			t    *target
			cold bool
			err  error
		}
		come := make(chan got, 3)
		ask := func(patience time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			at, cold, err := g.acquire(ctx, "e")
			come <- got{at, cold, err}
		}
		go ask(time.Minute)
		go ask(10 * time.Second)
		synctest.Wait()
		if n, _ := g.wanted(time.Now(), false); woken.Load() != 2 || n != 2 {
			t.Errorf("two wait: the loop was woken %d times, %d instances are wanted", woken.Load(), n)
		}
		if _, _, err := g.acquire(t.Context(), "e"); fault.Of(err) == nil || fault.Of(err).Code != "ThrottlingException" || fault.Of(err).Status != 429 {
			t.Errorf("the third of two: %v", err)
		}
		time.Sleep(11 * time.Second)
		if x := <-come; fault.Of(x.err) == nil || fault.Of(x.err).Code != "ModelNotReadyException" || !x.cold {
			t.Errorf("one that had no more patience: %+v", x)
		}
		all := instances(1)
		g.offer(all)
		if x := <-come; x.err != nil || x.t != all[0] || !x.cold {
			t.Errorf("one that waited: %+v", x)
		}
		go ask(time.Minute)
		synctest.Wait()
		g.release(all[0], time.Now())
		if x := <-come; x.err != nil || x.t != all[0] {
			t.Errorf("it is handed on: %+v", x)
		}
		// It is gone; the next gets its successor.
		g.lose(all[0], time.Now())
		g.release(all[0], time.Now()) // may come from elsewhere
		if g.using != 0 || len(g.busy) != 0 {
			t.Errorf("%d requests, %v busy", g.using, g.busy)
		}
		go ask(time.Minute)
		synctest.Wait()
		successor := instances(1)
		g.offer(successor)
		if x := <-come; x.t != successor[0] {
			t.Errorf("the successor: %+v", x)
		}
	})
}

func TestAGateDoesNotTouchTheRoute(t *testing.T) {
	g, all := newGate(4, 0), instances(3)
	g.offer(all)
	g.lose(all[0], now)
	v := variantRoute{targets: all, gate: g, meter: &meter{}}
	if slices.Contains(all, nil) {
		t.Errorf("an instance was taken out of the route's own: %v", all)
	}
	if n := v.concurrency(); n != 0 {
		t.Errorf("%v requests for each instance", n)
	}
}

// TestAGateUnderLoad has many callers, some without patience, and instances
// that come and go: none has two requests, none gets lost, no more than the
// limit is let in.
func TestAGateUnderLoad(t *testing.T) {
	const limit, callers, rounds = 6, 24, 400
	g := newGate(limit, 0)
	poke := make(chan struct{}, 1)
	g.wake = func() {
		select {
		case poke <- struct{}{}:
		default:
		}
	}
	stop := make(chan struct{})
	var loop sync.WaitGroup
	loop.Go(func() { // as reconcile does
		var there []*target
		for {
			select {
			case <-stop:
				return
			case <-poke:
			case <-time.After(time.Millisecond):
			}
			n, _ := g.wanted(time.Now(), false)
			for i := range there {
				if rand.IntN(20) == 0 { // a crash, and its successor
					there[i] = &target{at: spot{index: i}}
				}
			}
			for len(there) < n {
				there = append(there, &target{at: spot{index: len(there)}})
			}
			g.offer(slices.Clone(there[:min(len(there), max(n, 1))]))
		}
	})
	var inside, served, refused, late atomic.Int64
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range rounds {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(3000))*time.Microsecond)
				at, _, err := g.acquire(ctx, "e")
				cancel()
				if f := fault.Of(err); err != nil {
					if f.Code == "ThrottlingException" {
						refused.Add(1)
					} else {
						late.Add(1)
					}
					continue
				}
				if n := inside.Add(1); n > limit {
					t.Errorf("%d requests at once", n)
				}
				if n := at.outstanding.Add(1); n != 1 {
					t.Errorf("an instance has %d requests", n)
				}
				served.Add(1)
				time.Sleep(time.Duration(rand.IntN(50)) * time.Microsecond)
				at.outstanding.Add(-1)
				inside.Add(-1)
				if rand.IntN(10) == 0 {
					g.lose(at, time.Now())
				} else {
					g.release(at, time.Now())
				}
			}
		})
	}
	all.Wait()
	close(stop)
	loop.Wait()
	if g.using != 0 || len(g.busy) != 0 || len(g.waiting) != 0 {
		t.Errorf("at the end %d are counted, %d are busy, %d wait", g.using, len(g.busy), len(g.waiting))
	}
	if served.Load() == 0 || refused.Load() == 0 || served.Load()+refused.Load()+late.Load() != callers*rounds {
		t.Errorf("%d served, %d refused, %d late", served.Load(), refused.Load(), late.Load())
	}
}

// serverless makes the world's endpoint e one of a serverless variant.
func (w *world) serverless(limit, provisioned int64) {
	w.t.Helper()
	w.model("m", nil)
	c := &sm.ProductionVariantServerlessConfig{MemorySizeInMB: new(int64(1024)), MaxConcurrency: &limit}
	if provisioned > 0 {
		c.ProvisionedConcurrency = &provisioned
	}
	call(w, sm.CreateEndpointConfig, &sm.CreateEndpointConfigInput{EndpointConfigName: "c", ProductionVariants: []sm.ProductionVariant{
		{VariantName: "A", ModelName: "m", ServerlessConfig: c}}})
	call(w, sm.CreateEndpoint, &sm.CreateEndpointInput{EndpointName: "e", EndpointConfigName: "c"})
	if d := w.settled("e"); d.EndpointStatus != "InService" {
		w.t.Fatalf("%+v", d)
	}
}

func TestAServerlessVariantGoesAndComes(t *testing.T) {
	w := newWorldWith(t, func(o *Options) { o.ServerlessIdle = 100 * time.Millisecond })
	w.serverless(2, 0)
	ask := func() error {
		_, err := w.invoke(smr.InvokeEndpointInput{EndpointName: "e"}, "x")
		return err
	}
	gone := func(when string) {
		t.Helper()
		w.until("no instance is left "+when, func() bool { return len(w.running()) == 0 })
	}
	gone("at first")
	for range 2 {
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		gone("after a request")
	}
	if d := w.settled("e"); d.EndpointStatus != "InService" {
		t.Errorf("without instances it is %s", d.EndpointStatus)
	}
	t.Run("throttled", func(t *testing.T) {
		asked, answer := make(chan struct{}, 2), make(chan struct{})
		w.container.set(func(c *container) {
			c.answer = func(http.ResponseWriter, *http.Request) { asked <- struct{}{}; <-answer }
		})
		done := make(chan error, 2)
		for range 2 {
			go func() { done <- ask() }()
		}
		<-asked
		<-asked
		if n := len(w.running()); n != 2 {
			t.Errorf("%d instances for two requests", n)
		}
		if err := ask(); fault.Of(err) == nil || fault.Of(err).Code != "ThrottlingException" {
			t.Errorf("the third: %v", err)
		}
		close(answer)
		if err := errors.Join(<-done, <-done); err != nil {
			t.Error(err)
		}
	})
	gone("after many")
	t.Run("killed in the middle", func(t *testing.T) {
		asked := make(chan struct{})
		w.container.set(func(c *container) {
			c.answer = func(http.ResponseWriter, *http.Request) {
				close(asked)
				w.runtime.Kill(w.running()[0], 137, "")
				panic(http.ErrAbortHandler)
			}
		})
		if err := ask(); fault.Of(err) == nil || fault.Of(err).Code != "ServiceUnavailable" {
			t.Errorf("the request that it had: %v", err)
		}
		<-asked
		w.container.set(func(c *container) { c.answer = func(http.ResponseWriter, *http.Request) {} })
		if err := ask(); err != nil {
			t.Errorf("the next: %v", err)
		}
	})
	read := readings{}
	w.service.read(read)
	w.service.publishGauges(w.ctx, read)
	call(w, sm.DeleteEndpoint, &sm.DeleteEndpointInput{EndpointName: "e"})
	w.until("the record is gone", func() bool {
		_, err := op.Call(w.ctx, w.table, sm.DescribeEndpoint, &sm.DescribeEndpointInput{EndpointName: "e"})
		return err != nil && strings.Contains(err.Error(), "Could not find")
	})
	if len(w.service.gates.all) != 0 {
		t.Errorf("gates are left: %v", w.service.gates.all)
	}
}

func TestProvisionedInstancesStay(t *testing.T) {
	w := newWorldWith(t, func(o *Options) { o.ServerlessIdle = 20 * time.Millisecond })
	w.serverless(3, 2)
	w.until("the provisioned ones are there", func() bool { return len(w.running()) == 2 })
	time.Sleep(100 * time.Millisecond)
	if n := len(w.running()); n != 2 {
		t.Errorf("%d run after the idle time", n)
	}
	g := newGate(4, 2)
	g.using = 3
	if all, provisioned, has := g.utilization(); all != 0.75 || provisioned != 1 || !has {
		t.Errorf("%v, %v, %v", all, provisioned, has)
	}
}

func TestWhoWaitsForAFleetThatGoesLooksForAnother(t *testing.T) {
	gs := &gates{idle: time.Minute, wake: func(resource.Key) {}}
	o := &owner{deployment: &deployment{Seed: "s"}, key: resource.Key{Name: "e"}}
	g := gs.of(o, 1, 0, &serverless{MaxConcurrency: 2})
	told := make(chan error, 1)
	go func() {
		_, _, err := g.acquire(t.Context(), "e")
		told <- err
	}()
	for {
		g.mu.Lock()
		n := len(g.waiting)
		g.mu.Unlock()
		if n > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	gs.retire(o.key, []fleetRoute{{generation: 1}})
	select {
	case err := <-told:
		t.Fatalf("a fleet that stays: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	gs.retire(o.key, []fleetRoute{{generation: 2}})
	if err := <-told; !errors.Is(err, errRetired) || g.using != 0 {
		t.Errorf("%v, %d in use", err, g.using)
	}
}
