// SPDX-License-Identifier: Apache-2.0

package training

import (
	"context"
	"errors"
	"hash/fnv"
	"math"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
)

// Spot are the rules of this server's spot market, which exists so that code
// that must survive interruptions can be tried. The zero value interrupts
// nothing by itself.
type Spot struct {
	// Every is the mean time between two interruptions of a job that runs under
	// managed spot training; 0 for none. When they come follows from the job's
	// identity, so that a restart of the server does not move them.
	Every time.Duration
	// Pause is how long an interrupted job waits for another machine.
	Pause time.Duration
}

// spotDiscount is the part of a spot job's time that is billed. AWS's price
// moves; its pages speak of up to 90 % off, and 70 % is what many see.
const spotDiscount = 0.3

// due is when the job's present attempt, which began to run at started, is
// interrupted by the market.
func (r Spot) due(j Job, started time.Time) (time.Time, bool) {
	if r.Every <= 0 || !isTrue(j.Doc.EnableManagedSpotTraining) || started.IsZero() {
		return time.Time{}, false
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(identity(j)))
	_, _ = h.Write([]byte{byte(j.Private.Attempt), byte(j.Private.Attempt >> 8)})
	// FNV spreads badly over its high bits for short texts: mix (MurmurHash3's finaliser).
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	u := (float64(x>>11) + 0.5) / (1 << 53)
	// Interruptions without memory: exponential waits.
	return started.Add(time.Duration(-math.Log(u) * float64(r.Every))), true
}

// pause is how long the job must still wait before it begins again.
func (r Spot) pause(j Job, now time.Time) time.Duration {
	all := j.Doc.SecondaryStatusTransitions
	if len(all) == 0 || j.Doc.SecondaryStatus != interrupted {
		return 0
	}
	return taskgroup.Left(all[len(all)-1].StartTime.Time, r.Pause, now)
}

// Interrupt takes the spot capacity of a job away: its containers get SIGTERM
// and, after 120 seconds, SIGKILL; then the job begins again from its
// checkpoints. Only a job under managed spot training that runs can be
// interrupted; else the error is a ValidationException.
func (s *Service) Interrupt(ctx context.Context, name string) error {
	_, err := s.jobs.Edit(ctx, s.jobs.Key(ctx, name), func(j *Job) error {
		switch {
		case !isTrue(j.Doc.EnableManagedSpotTraining):
			return fault.Validation("The training job %s does not use managed spot training: EnableManagedSpotTraining is false.", name)
		case j.Status != InProgress:
			return refused(j.Status)
		case j.Doc.SecondaryStatus != training || !j.Private.Interrupted.IsZero():
			return fault.Validation("The training job %s has no spot capacity to lose: it is %s.", name, j.Doc.SecondaryStatus)
		}
		j.Private.Interrupted = time.Now().UTC()
		return nil
	})
	if errors.Is(err, resource.ErrNotFound) {
		return fault.Validation("Requested resource not found.")
	}
	return err
}

// times are the job's training and billable seconds if it ends now.
func times(j Job, now time.Time) (trained, billed int64) {
	begun := entered(j, downloading)
	if j.Doc.TrainingStartTime.IsZero() {
		return 0, 0
	}
	ran := j.Private.Ran
	if !begun.IsZero() {
		ran += now.Sub(begun)
	}
	trained = max(1, int64((ran+time.Second-1)/time.Second)) // a second begun is a second
	billed = trained
	if isTrue(j.Doc.EnableManagedSpotTraining) {
		billed = max(1, int64(math.Ceil(float64(trained)*spotDiscount)))
	}
	return trained, billed
}
