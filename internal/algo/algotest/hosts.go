// SPDX-License-Identifier: Apache-2.0

package algotest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/collective"
)

// Together runs do on n hosts of one job, in this process, and gives their
// errors by rank. A host that fails tells the others, and what is the user's to
// mend on one host is so on all, as algo.RunTrain has it: which host is the
// first to fail is a matter of luck. do may also end the group itself.
func Together(t testing.TB, n int, do func(peers *collective.Group) error) []error {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	hosts := hostNames(n)
	failed := make([]error, n)
	var wait sync.WaitGroup
	for rank, host := range hosts {
		wait.Go(func() {
			peers, err := collective.Join(t.Context(), collective.Options{
				Host: host, Hosts: hosts, Port: port, Wait: time.Minute,
				Resolve: func(context.Context, string) (string, error) { return "127.0.0.1", nil },
			})
			if err != nil {
				failed[rank] = fromPeer(fmt.Errorf("join: %w", err))
				return
			}
			err = fromPeer(do(peers))
			if failed[rank] = err; err != nil {
				cause := collective.Failed
				if algo.IsClientError(err) {
					cause = collective.Client
				}
				peers.Abort(err, cause)
			}
			peers.Close()
		})
	}
	wait.Wait()
	return failed
}

// fromPeer makes a client error of another host one of this host.
func fromPeer(err error) error {
	if host, ok := errors.AsType[*collective.HostError](err); ok && host.Cause == collective.Client && !algo.IsClientError(err) {
		return algo.ClientErrorf("%w", err)
	}
	return err
}

func hostNames(n int) []string {
	var hosts []string
	for i := range n {
		hosts = append(hosts, fmt.Sprintf("algo-%d", i+1))
	}
	return hosts
}

// shard is the lines, or records, of c that host rank of n gets: a stretch of each file.
func shard(c Channel, rank, n int) Channel {
	part := Channel{c.ContentType, map[string]string{}, c.Distribution}
	for name, text := range c.Files {
		lines := pieces(c.ContentType, text)
		part.Files[name] = strings.Join(lines[rank*len(lines)/n:(rank+1)*len(lines)/n], "")
	}
	return part
}

// trainOn trains on n hosts, each with its part of the data, or all of it on
// the last one alone, and gives all hosts' models.
func trainOn(t *testing.T, a algo.Algorithm, c Case, n int, lastHasAll bool) []algo.Model {
	t.Helper()
	inputs := make([]algo.Input, n)
	for rank := range inputs {
		channels := map[string]Channel{}
		for name, ch := range c.Channels {
			switch {
			case ch.Distribution == Replicated:
				channels[name] = ch
			case !lastHasAll:
				channels[name] = shard(ch, rank, n)
			case rank == n-1:
				channels[name] = ch
			default:
				channels[name] = Channel{ContentType: ch.ContentType, Distribution: ch.Distribution}
			}
		}
		inputs[rank] = input(t, a, c.Params, channels, 2)
		inputs[rank].Hosts = hostNames(n)
		inputs[rank].Host = inputs[rank].Hosts[rank]
		for name, ch := range inputs[rank].Channels {
			ch.Sharded = c.Channels[name].Distribution != Replicated
		}
	}
	models := make([]algo.Model, n)
	for rank, err := range Together(t, n, func(peers *collective.Group) (err error) {
		in := inputs[peers.Rank()]
		in.Peers = peers
		models[peers.Rank()], err = a.Train(t.Context(), in)
		return err
	}) {
		if err != nil {
			t.Fatalf("host %d of %d: %v", rank+1, n, err)
		}
	}
	return models
}

// alike is how far predictions of the same rows may be apart.
const alike = 1e-5

// severalHosts trains over hosts: each gets the model that one host with all of
// the data gets, and the same bytes each time.
func severalHosts(t *testing.T, a algo.Algorithm, c Case) {
	want := predict(t, train(t, a, c, 2), c)
	for _, way := range []struct {
		hosts      int
		lastHasAll bool
		times      int
		quick      bool // enough for the race detector, which makes all slow
	}{{2, false, 2, true}, {3, true, 1, true}, {2, true, 1, false}, {3, false, 2, false}} {
		if raced && !way.quick {
			continue
		}
		var first map[string]string
		for range way.times {
			for rank, model := range trainOn(t, a, c, way.hosts, way.lastHasAll) {
				files := contents(t, save(t, model))
				if first == nil {
					first = files
				} else if !maps.Equal(first, files) {
					t.Errorf("%d hosts: another model on host %d", way.hosts, rank+1)
				}
				if c.Apart {
					continue
				}
				for i, v := range predict(t, model, c).Values {
					if d := math.Abs(float64(v - want.Values[i])); !(d <= alike*max(1, math.Abs(float64(v)))) {
						t.Fatalf("%d hosts predict %v for value %d, one host %v", way.hosts, v, i, want.Values[i])
					}
				}
			}
		}
	}
}

// garbageOnOneHost gives one of two hosts data that is none: both must end, and
// the one with good data must name the other.
func garbageOnOneHost(t *testing.T, a algo.Algorithm, c Case) {
	inputs := []algo.Input{input(t, a, c.Params, c.Channels, 1), {}}
	bad := map[string]Channel{}
	for name, ch := range c.Channels {
		bad[name] = Channel{ch.ContentType, map[string]string{"x": "1,apple,2\n"}, ch.Distribution}
	}
	inputs[1] = input(t, a, c.Params, bad, 1)
	failed := Together(t, 2, func(peers *collective.Group) error {
		in := inputs[peers.Rank()]
		in.Hosts, in.Peers = hostNames(2), peers
		in.Host = in.Hosts[peers.Rank()]
		_, err := a.Train(t.Context(), in)
		return err
	})
	if !algo.IsClientError(failed[1]) {
		t.Errorf("the host with garbage: %v", failed[1])
	}
	if failed[0] == nil || !strings.Contains(failed[0].Error(), "host algo-2 failed: ") {
		t.Errorf("the other host: %v", failed[0])
	}
}
