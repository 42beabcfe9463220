// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
	smr "github.com/sagebrush-ml/sagebrush/internal/wire/sagemakerruntime"
)

func TestAnInstanceFinishesWhatItHasBegun(t *testing.T) {
	for name, end := range map[string]func(w *world){
		"fewer instances": func(w *world) {
			call(w, sm.UpdateEndpointWeightsAndCapacities, &sm.UpdateEndpointWeightsAndCapacitiesInput{EndpointName: "e",
				DesiredWeightsAndCapacities: []sm.DesiredWeightAndCapacity{{VariantName: "A", DesiredInstanceCount: new(int64(1))}}})
		},
		"a new fleet": func(w *world) {
			w.config("d", "m", "A")
			call(w, sm.UpdateEndpoint, &sm.UpdateEndpointInput{EndpointName: "e", EndpointConfigName: "d"})
		},
		"its pings fail": func(w *world) { w.container.set(func(c *container) { c.ping = 500 }) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.model("m", nil)
			w.config("c", "m", "A")
			call(w, sm.CreateEndpoint, &sm.CreateEndpointInput{EndpointName: "e", EndpointConfigName: "c"})
			w.settled("e")
			call(w, sm.UpdateEndpointWeightsAndCapacities, &sm.UpdateEndpointWeightsAndCapacitiesInput{EndpointName: "e",
				DesiredWeightsAndCapacities: []sm.DesiredWeightAndCapacity{{VariantName: "A", DesiredInstanceCount: new(int64(2))}}})
			w.settled("e")
			// One request on each of the two instances.
			asked, answer := make(chan struct{}, 2), make(chan struct{})
			w.container.set(func(c *container) {
				c.answer = func(rw http.ResponseWriter, _ *http.Request) {
					asked <- struct{}{}
					<-answer
					_, _ = io.WriteString(rw, "done")
				}
			})
			done := make(chan string, 2)
			for range 2 {
				go func() {
					rec, err := w.invoke(smr.InvokeEndpointInput{EndpointName: "e"}, "x")
					if err != nil {
						t.Error(err)
					}
					done <- rec.Body.String()
				}()
			}
			<-asked
			<-asked
			before := w.started()
			end(w)
			key := asyncKey
			w.until("an instance is out of the route", func() bool {
				left := 0
				if r := w.service.routes.find(keyOf(key)); r != nil {
					for _, f := range r.fleets {
						for _, v := range f.variants {
							for _, at := range v.targets {
								left += int(at.outstanding.Load())
							}
						}
					}
				}
				return left < 2
			})
			time.Sleep(5 * unrouted)
			now := w.started()
			for id, started := range before {
				if !now[id].Equal(started) {
					t.Errorf("%s was ended with a request under way", id)
				}
			}
			w.container.set(func(c *container) { c.ping = 200 })
			close(answer)
			for range 2 {
				if got := <-done; got != "done" {
					t.Errorf("a request got %q", got)
				}
			}
			w.until("an instance ends when its request is over", func() bool {
				now, same := w.started(), 0
				for id, started := range before {
					if now[id].Equal(started) {
						same++
					}
				}
				return same < 2 || name == "its pings fail" // which may have recovered
			})
			w.settled("e")
		})
	}
}

// started are the instances that run, and since when.
func (w *world) started() map[runtime.ID]time.Time {
	out := map[runtime.ID]time.Time{}
	for _, id := range w.running() {
		if st, err := w.runtime.Inspect(w.ctx, id); err == nil {
			out[id] = st.Started
		}
	}
	return out
}

func TestAnInstanceThatNeverFinishesIsStopped(t *testing.T) {
	s := &Service{instances: map[runtime.ID]*instance{}}
	at := now
	s.Now = func() time.Time { return at }
	o := &owner{deployment: &deployment{Seed: "x"}}
	sp := spot{generation: 1}
	if wait := s.drain(o, sp); wait != 0 {
		t.Errorf("one that is not known: %v", wait)
	}
	in := &instance{}
	s.instances[o.taskID(sp)] = in
	if wait := s.drain(o, sp); wait != 0 {
		t.Errorf("one that never had a request: %v", wait)
	}
	in.target = &target{}
	in.target.outstanding.Store(1)
	second := sp
	second.container = 1 // goes with the instance
	for _, c := range []struct {
		after time.Duration
		want  time.Duration
	}{{0, unrouted}, {unrouted / 2, unrouted / 2}, {unrouted, drainPoll}, {drainLimit - 1, drainPoll}, {drainLimit, 0}} {
		at = now.Add(c.after)
		if wait := s.drain(o, second); wait != c.want {
			t.Errorf("after %v: %v, want %v", c.after, wait, c.want)
		}
	}
	in.target.outstanding.Store(0)
	at = now.Add(unrouted)
	if wait := s.drain(o, sp); wait != 0 {
		t.Errorf("one that has finished: %v", wait)
	}
}
