// SPDX-License-Identifier: Apache-2.0

// Package taskgroup is what jobs have in common whose work is one task on each
// of several hosts: how the states of the tasks are one state, and what goes on
// beside them while they run: their logs are shipped, metrics read from the
// lines, their use of the machine measured.
package taskgroup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// How long a job is waited for.
const (
	// Grace is how long a container may take to end after SIGTERM; AWS gives 120 s.
	Grace = 120 * time.Second
	// BrokenGrace is how long the other hosts of a job have to end when one has
	// failed: they have nothing to save, and many hang in a call to the lost one.
	BrokenGrace = 5 * time.Second
	// PendingPoll is how soon a task that is about to run is looked at again.
	PendingPoll = 50 * time.Millisecond
	// Patience is how long what should pass is tried again: a store that does not
	// answer, a runtime that cannot start tasks. After it the job fails.
	Patience = 15 * time.Minute
)

// Left is what is left at now of a time that began at from.
func Left(from time.Time, d time.Duration, now time.Time) time.Duration {
	return max(0, d-now.Sub(from))
}

// Identity names a job for ever: one that was deleted and made again under the
// same name is another one.
func Identity(arn string, created time.Time) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", arn, created.UnixMilli()))
	return hex.EncodeToString(sum[:10])
}

// Hosts are the names of n hosts: algo-1 to algo-n.
func Hosts(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = "algo-" + strconv.Itoa(i+1)
	}
	return out
}

// Member is one task of a job.
type Member struct {
	ID   runtime.ID
	Host string
	// Beside says that the task is no work of its own but serves the host's, such
	// as feeding its pipes. It is not waited for, but its failure is the job's.
	Beside bool
}

// Seen is how far the tasks of a job have come, all as one.
type Seen struct {
	// State is the job's: Missing when no host's task was begun, Pending until
	// all have been, Running until the last has ended, Exited when none runs or
	// is about to, with the exit code and reason of the host that failed first.
	runtime.State
	// Partial: some of the tasks are missing and others are not.
	Partial bool
	// Broken: one has failed and others still run; they cannot go on.
	Broken bool
	// Serving: the hosts' tasks have ended, and some that serve them have not.
	Serving bool
	// Failed is the member that failed first; nil when none has.
	Failed *Member
	// States are the tasks' own, by ID.
	States map[runtime.ID]runtime.State
}

// Look inspects the members. There must be at least one that is not Beside.
func Look(ctx context.Context, r runtime.Runtime, members []Member) (Seen, error) {
	states := make(map[runtime.ID]runtime.State, len(members))
	for _, m := range members {
		s, err := r.Inspect(ctx, m.ID)
		if err != nil {
			return Seen{}, fmt.Errorf("inspect task %s: %w", m.ID, err)
		}
		states[m.ID] = s
	}
	return Sum(members, states), nil
}

// Sum makes one state of many.
func Sum(members []Member, states map[runtime.ID]runtime.State) Seen {
	out := Seen{States: states}
	n := map[runtime.Phase]int{}
	hosts, missing, running := 0, 0, 0
	for i, m := range members {
		s := states[m.ID]
		switch s.Phase {
		case runtime.Missing:
			missing++
		case runtime.Exited:
			if failed(s) && (out.Failed == nil || earlier(s, states[out.Failed.ID])) {
				out.Failed = &members[i]
			}
		default:
			running++
		}
		if m.Beside {
			continue
		}
		hosts++
		n[s.Phase]++
		if !s.Started.IsZero() && (out.Started.IsZero() || s.Started.Before(out.Started)) {
			out.Started = s.Started
		}
		if s.Ended.After(out.Ended) {
			out.Ended = s.Ended
		}
		if out.Addr == "" {
			out.Addr = s.Addr
		}
	}
	switch {
	case n[runtime.Missing] == hosts:
		out.Phase = runtime.Missing
	case n[runtime.Exited]+n[runtime.Missing] == hosts:
		out.Phase = runtime.Exited
	case n[runtime.Missing]+n[runtime.Pending] > 0:
		out.Phase = runtime.Pending
	default:
		out.Phase = runtime.Running
	}
	out.Partial = missing > 0 && missing < len(members)
	out.Serving = out.Phase == runtime.Exited && running > 0
	out.Broken = out.Failed != nil && running > 0 && out.Phase != runtime.Exited
	if out.Phase != runtime.Exited {
		out.Ended = time.Time{}
		return out
	}
	if out.Failed != nil {
		s := states[out.Failed.ID]
		out.ExitCode, out.Reason = s.ExitCode, s.Reason
		if s.Started.IsZero() && hosts == 1 {
			out.Started = time.Time{}
		}
	}
	return out
}

func failed(s runtime.State) bool { return s.ExitCode != 0 || s.Reason != "" }

// earlier tells which of two failures caused the other: that which was first,
// or at the same time the one that is not the answer to SIGTERM.
func earlier(a, b runtime.State) bool {
	const terminated = 128 + 15
	if a.Ended.Equal(b.Ended) {
		return b.ExitCode == terminated && a.ExitCode != terminated
	}
	return a.Ended.Before(b.Ended)
}
