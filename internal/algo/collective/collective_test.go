// SPDX-License-Identifier: Apache-2.0

package collective

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// options are those of n hosts of one job on this machine.
func options(t testing.TB, n int) []Options {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	var hosts []string
	for i := range n {
		hosts = append(hosts, fmt.Sprintf("algo-%d", i+1))
	}
	all := make([]Options, n)
	for i := range all {
		all[i] = Options{
			Host: hosts[i], Hosts: hosts, Key: []byte("job"), Port: port, Wait: 20 * time.Second,
			Resolve: func(context.Context, string) (string, error) { return "127.0.0.1", nil },
		}
	}
	return all
}

// together runs do on n hosts and gives their errors.
func together(t testing.TB, all []Options, do func(g *Group) error) []error {
	t.Helper()
	var wait sync.WaitGroup
	failed := make([]error, len(all))
	for i, o := range all {
		wait.Go(func() {
			g, err := Join(t.Context(), o)
			if err != nil {
				failed[i] = fmt.Errorf("join: %w", err)
				return
			}
			if failed[i] = do(g); failed[i] != nil {
				g.Abort(failed[i], Failed)
				return
			}
			g.Close()
		})
	}
	wait.Wait()
	return failed
}

func everyoneWell(t testing.TB, failed []error) {
	t.Helper()
	for i, err := range failed {
		if err != nil {
			t.Errorf("host %d: %v", i, err)
		}
	}
}

func TestSums(t *testing.T) {
	for _, hosts := range []int{1, 2, 3, 5} {
		for _, n := range []int{0, 1, 7, smallBytes/8 + 1, 100_003} {
			t.Run(fmt.Sprintf("%d hosts add up %d numbers", hosts, n), func(t *testing.T) {
				ints, floats := make([][]int64, hosts), make([][]float64, hosts)
				wantInts, wantFloats := make([]int64, n), make([]float64, n)
				largest := slices.Repeat([]float64{math.Inf(-1)}, n)
				for h := range hosts {
					rng := rand.New(rand.NewPCG(uint64(h), uint64(n)))
					for i := range n {
						ints[h], floats[h] = append(ints[h], int64(rng.Uint64())), append(floats[h], rng.NormFloat64()*math.Exp2(float64(rng.IntN(80))))
						wantInts[i] += ints[h][i]
						if h == 0 {
							wantFloats[i] = floats[h][i]
						} else {
							wantFloats[i] += floats[h][i] // in the order of ranks
						}
						largest[i] = max(largest[i], floats[h][i])
					}
				}
				everyoneWell(t, together(t, options(t, hosts), func(g *Group) error {
					v, most := slices.Clone(floats[g.Rank()]), slices.Clone(floats[g.Rank()])
					err := errors.Join(g.SumInts(t.Context(), ints[g.Rank()]), g.SumFloats(t.Context(), v), g.MaxFloats(t.Context(), most))
					if err == nil && (!slices.Equal(ints[g.Rank()], wantInts) || !slices.Equal(v, wantFloats) || !slices.Equal(most, largest)) {
						err = errors.New("not the sum")
					}
					return err
				}))
			})
		}
	}
}

func TestSumsLongerThanASegment(t *testing.T) {
	const n = 2*segment*2 + 3
	everyoneWell(t, together(t, options(t, 2), func(g *Group) error {
		v := make([]int64, n)
		for i := range v {
			v[i] = int64(i) * int64(g.Rank()+1)
		}
		if err := g.SumInts(t.Context(), v); err != nil {
			return err
		}
		for i := range v {
			if v[i] != 3*int64(i) {
				return fmt.Errorf("value %d is %d", i, v[i])
			}
		}
		return nil
	}))
}

func TestNaNIsTheLargest(t *testing.T) {
	everyoneWell(t, together(t, options(t, 2), func(g *Group) error {
		v := []float64{1, 2}
		v[g.Rank()] = math.NaN()
		if err := g.MaxFloats(t.Context(), v); err != nil || !math.IsNaN(v[0]) || !math.IsNaN(v[1]) {
			return fmt.Errorf("%v, %v", v, err)
		}
		return nil
	}))
}

func TestScatter(t *testing.T) {
	bounds := []int{0, 5, 5, 9000}
	everyoneWell(t, together(t, options(t, 3), func(g *Group) error {
		v := make([]int64, 9000)
		for i := range v {
			v[i] = int64(i)
		}
		if err := g.ScatterInts(t.Context(), v, bounds); err != nil {
			return err
		}
		for i := bounds[g.Rank()]; i < bounds[g.Rank()+1]; i++ {
			if v[i] != 3*int64(i) {
				return fmt.Errorf("value %d is %d", i, v[i])
			}
		}
		if err := g.ScatterInts(t.Context(), v, []int{0, 5, 4, 9000}); err == nil {
			return errors.New("bounds that fall are taken")
		}
		return nil
	}))
}

func TestPlaceAndGatherFloats(t *testing.T) {
	for _, hosts := range []int{1, 3} {
		everyoneWell(t, together(t, options(t, hosts), func(g *Group) error {
			r := g.Rank()
			before, all, err := g.Place(t.Context(), r+1)
			if err != nil || before != r*(r+1)/2 || all != hosts*(hosts+1)/2 {
				return fmt.Errorf("host %d of %d is at %d of %d: %w", r, hosts, before, all, err)
			}
			parts, err := g.AllGatherFloats(t.Context(), slices.Repeat([]float32{float32(r) / 3}, r))
			if err != nil {
				return err
			}
			for rank, part := range parts {
				if !slices.Equal(part, slices.Repeat([]float32{float32(rank) / 3}, rank)) {
					return fmt.Errorf("host %d has sent %v", rank, part)
				}
			}
			return nil
		}))
	}
	var alone *Group
	if before, all, err := alone.Place(t.Context(), 4); before != 0 || all != 4 || err != nil {
		t.Errorf("alone: %d of %d, %v", before, all, err)
	}
}

func TestGatherAndBroadcast(t *testing.T) {
	long := bytes.Repeat([]byte("0123456789abcdef"), maxPayload/16*2+5)
	text := func(rank int) []byte {
		return [][]byte{nil, []byte("one"), long}[rank]
	}
	everyoneWell(t, together(t, options(t, 3), func(g *Group) error {
		for range 3 {
			all, err := g.AllGather(t.Context(), text(g.Rank()))
			if err != nil {
				return err
			}
			for rank, b := range all {
				if !bytes.Equal(b, text(rank)) {
					return fmt.Errorf("%d bytes of rank %d", len(b), rank)
				}
			}
			if all, err = g.Gather(t.Context(), text(g.Rank())); err != nil {
				return err
			}
			if g.Rank() > 0 && all != nil || g.Rank() == 0 && !bytes.Equal(all[2], long) {
				return errors.New("gathered something else")
			}
			b, err := g.Broadcast(t.Context(), append([]byte("from "), byte('0'+g.Rank())))
			if err != nil || string(b) != "from 0" {
				return fmt.Errorf("%q, %v", b, err)
			}
		}
		return nil
	}))
}

func TestOneHostOpensNothing(t *testing.T) {
	g, err := Join(t.Context(), Options{Host: "algo-1", Hosts: []string{"algo-1"}})
	if g != nil || err != nil {
		t.Fatalf("group %v, error %v", g, err)
	}
	v := []int64{3}
	b, err := g.Broadcast(t.Context(), []byte("x"))
	if err := errors.Join(err, g.SumInts(t.Context(), v), g.ScatterInts(t.Context(), v, nil)); err != nil || v[0] != 3 || string(b) != "x" {
		t.Errorf("%v, %q, %v", v, b, err)
	}
	if g.Rank() != 0 || g.Size() != 1 {
		t.Errorf("rank %d of %d", g.Rank(), g.Size())
	}
	g.Abort(errors.New("x"), Failed)
	g.Close()
}

// whoFailed checks that err names host and cause and says text.
func whoFailed(t *testing.T, err error, host string, cause Cause, text string) {
	t.Helper()
	e, ok := errors.AsType[*HostError](err)
	if !ok || e.Host != host || e.Cause != cause || !strings.Contains(e.Text, text) {
		t.Errorf("error is %#v (%v), want host %s, cause %d, %q", e, err, host, cause, text)
	}
}

func TestAHostThatDoesNotCome(t *testing.T) {
	for missing := range 3 {
		t.Run(fmt.Sprintf("algo-%d", missing+1), func(t *testing.T) {
			all := options(t, 3)
			for i := range all {
				all[i].Wait = time.Second
			}
			name := all[missing].Host
			present := slices.Delete(slices.Clone(all), missing, missing+1)
			for _, err := range together(t, present, func(*Group) error { return nil }) {
				whoFailed(t, err, name, Late, "did not come within 1s")
			}
		})
	}
}

func TestAHostThatDies(t *testing.T) {
	for victim := range 3 {
		t.Run(fmt.Sprintf("algo-%d", victim+1), func(t *testing.T) {
			start := time.Now()
			failed := together(t, options(t, 3), func(g *Group) error {
				v := []int64{1}
				for round := 0; ; round++ {
					if g.Rank() == victim && round == 5 {
						g.mu.Lock() // all at once, as the kernel does when a process ends
						for _, l := range g.links {
							if l != nil {
								_ = l.conn.Close()
							}
						}
						g.mu.Unlock()
						return errors.New("dead")
					}
					if err := g.SumInts(t.Context(), v); err != nil {
						return err
					}
				}
			})
			for rank, err := range failed {
				if rank != victim {
					whoFailed(t, err, fmt.Sprintf("algo-%d", victim+1), Lost, "")
				}
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestAHostThatGivesUpTellsWhy(t *testing.T) {
	for _, c := range []struct {
		name  string
		cause Cause
		text  string
	}{
		{"bad data is the user's", Client, "failed: line 3 is no number"},
		{"a bug is not", Failed, "failed: line 3 is no number"},
		{"a stop is a stop", Stopped, "was told to stop"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var wait sync.WaitGroup
			for i, o := range options(t, 3) {
				wait.Go(func() {
					g, err := Join(t.Context(), o)
					if i == 1 && err == nil {
						g.Abort(errors.New("line 3 is no number"), c.cause)
						return
					}
					if err == nil { // otherwise it was told while it still met the others
						err = g.SumInts(t.Context(), []int64{1})
					}
					whoFailed(t, err, "algo-2", c.cause, c.text)
					g.Abort(err, Failed) // passes on who it was
				})
			}
			wait.Wait()
		})
	}
}

func TestAHostThatFallsSilent(t *testing.T) {
	all := options(t, 2)
	all[0].Silence = 300 * time.Millisecond
	all[1].Silence = time.Hour // beats as rarely
	done := make(chan struct{})
	failed := together(t, all, func(g *Group) error {
		if g.Rank() == 1 {
			<-done
			return nil
		}
		defer close(done)
		return g.SumInts(t.Context(), []int64{1})
	})
	whoFailed(t, failed[0], "algo-2", Lost, "has not been heard of for 300ms")
}

func TestBeatsKeepAnIdleGroupAlive(t *testing.T) {
	all := options(t, 2)
	for i := range all {
		all[i].Silence = 2 * time.Second
	}
	everyoneWell(t, together(t, all, func(g *Group) error {
		if g.Rank() == 1 {
			<-time.After(3 * time.Second) // works for longer than that
		}
		return g.SumInts(t.Context(), []int64{1})
	}))
}

func TestAHostThatLeavesEarly(t *testing.T) {
	failed := together(t, options(t, 2), func(g *Group) error {
		if g.Rank() == 1 {
			return g.SumInts(t.Context(), []int64{1})
		}
		return errors.Join(g.SumInts(t.Context(), []int64{1}), g.SumInts(t.Context(), []int64{1}))
	})
	whoFailed(t, failed[0], "algo-2", Failed, "has ended its work")
	if failed[1] != nil {
		t.Errorf("the one who left: %v", failed[1])
	}
}

func TestHostsOutOfStep(t *testing.T) {
	failed := together(t, options(t, 2), func(g *Group) error {
		if g.Rank() == 1 {
			return g.SumInts(t.Context(), []int64{1, 2})
		}
		return g.SumInts(t.Context(), []int64{1})
	})
	if err := errors.Join(failed...); err == nil || !strings.Contains(err.Error(), "out of step") {
		t.Errorf("errors %v", failed)
	}
}

func TestCancelEndsEveryone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	failed := together(t, options(t, 3), func(g *Group) error {
		if g.Rank() == 1 {
			cancel()
			return g.SumInts(ctx, []int64{1})
		}
		return g.SumInts(t.Context(), []int64{1})
	})
	if !errors.Is(failed[1], context.Canceled) {
		t.Errorf("the cancelled host: %v", failed[1])
	}
	whoFailed(t, failed[0], "algo-2", Stopped, "was told to stop")
	whoFailed(t, failed[2], "algo-2", Stopped, "was told to stop")
}

func TestCancelEndsTheWaitForOthers(t *testing.T) {
	for _, rank := range []int{0, 1} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := Join(ctx, options(t, 2)[rank])
			done <- err
		}()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("rank %d: %v", rank, err)
		}
	}
}

func TestAHostOfAnotherJobIsTurnedAway(t *testing.T) {
	all := options(t, 2)
	for i := range all {
		all[i].Wait = 1500 * time.Millisecond
	}
	all[1].Key = []byte("another job")
	failed := together(t, all, func(*Group) error { return nil })
	whoFailed(t, failed[0], "algo-2", Late, "did not come")
	whoFailed(t, failed[1], "algo-1", Late, "it is not of this job")
}

// Strangers that connect, send what they like or nothing, must not keep the
// hosts apart.
func TestStrangersDoNotDisturb(t *testing.T) {
	all := options(t, 2)
	addr := fmt.Sprintf("127.0.0.1:%d", all[0].Port)
	come := make(chan struct{})
	go func() {
		defer close(come)
		for i := 0; i < 5; {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				if t.Context().Err() != nil {
					return
				}
				continue // not there yet
			}
			_, _ = conn.Write(bytes.Repeat([]byte{byte(i)}, i*100))
			_ = conn.Close()
			i++
		}
	}()
	failed := make(chan error, 2)
	first := make(chan struct{})
	go func() {
		close(first)
		failed <- together(t, all[:1], func(g *Group) error { return g.SumInts(t.Context(), []int64{1}) })[0]
	}()
	<-first
	<-come
	failed <- together(t, all[1:], func(g *Group) error { return g.SumInts(t.Context(), []int64{1}) })[0]
	if err := errors.Join(<-failed, <-failed); err != nil {
		t.Error(err)
	}
}

func TestWrongOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"a host that is not among all": {Host: "x", Hosts: []string{"a", "b"}},
		"a host twice":                 {Host: "a", Hosts: []string{"a", "a"}},
	} {
		if _, err := Join(t.Context(), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
