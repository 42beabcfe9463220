// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/tune"
)

// Why no more trials are begun.
const (
	allBegun     = "all training jobs were begun"
	exhausted    = "there is nothing left to try"
	outOfTime    = "MaxRuntimeInSeconds is over"
	reached      = "the objective reached its target"
	notImproving = "the best objective did not improve"
	converged    = "the search has converged"
	hopeless     = "no training job has an objective"
)

// patience is after how many trials without an objective a job is given up. The
// service's message names the number five.
const patience = 5

// childPoll is how often a job looks at trials whose end it has asked for, and
// curvePoll at those that may have to be stopped early. Ends wake it by
// themselves.
const (
	childPoll = 10 * time.Second
	curvePoll = 200 * time.Millisecond
)

// seen is what there is of a tuning job outside its record.
type seen struct {
	trials    []trial // by number
	stop      []int   // indexes of running trials that are not worth going on with
	exhausted bool    // there is no other point
	converged bool    // there is little left to gain
	watching  bool    // running trials may have to be stopped early
}

// step is what is to be done next.
type step struct {
	settle, reason string
	ending         string // no more trials are begun, and why
	stop           []int  // indexes of trials whose training jobs are told to stop
	begin          int    // so many trials
	again          time.Duration
}

// decide is the whole policy of a tuning job: it touches nothing.
func decide(j Job, s seen, now time.Time) step {
	var running []int
	for i, t := range s.trials {
		if !ended(t) {
			running = append(running, i)
		}
	}
	if j.Status == Stopping {
		if len(running) == 0 {
			return step{settle: Stopped}
		}
		return step{stop: running, again: childPoll}
	}
	limits := j.Doc.HyperParameterTuningJobConfig.ResourceLimits
	ending := cmp.Or(j.Private.Ending, end(j, s, now))
	if ending != "" {
		if len(running) == 0 {
			status, reason := verdict(s.trials)
			return step{ending: ending, settle: status, reason: reason}
		}
		st := step{ending: ending, again: childPoll}
		switch {
		case ending != allBegun && ending != exhausted:
			st.stop = running
		case s.watching:
			st.stop, st.again = s.stop, curvePoll
		}
		if rest, ok := left(j, now); ok && len(st.stop) == 0 {
			if rest <= 0 {
				st.stop = running
			} else {
				st.again = min(st.again, rest)
			}
		}
		return st
	}
	st := step{stop: s.stop, again: childPoll}
	st.begin = max(0, min(int(value(limits.MaxParallelTrainingJobs))-len(running), most(j)-len(s.trials)))
	if s.watching && len(running)+st.begin > 0 {
		st.again = curvePoll
	}
	if rest, ok := left(j, now); ok {
		st.again = min(st.again, rest)
	}
	return st
}

// most is how many trials a job may have.
func most(j Job) int {
	c := j.Doc.HyperParameterTuningJobConfig
	if n := c.ResourceLimits.MaxNumberOfTrainingJobs; n != nil {
		return int(*n)
	}
	return maxTrials
}

// left is how long a job may still run, if there is a limit.
func left(j Job, now time.Time) (time.Duration, bool) {
	n := j.Doc.HyperParameterTuningJobConfig.ResourceLimits.MaxRuntimeInSeconds
	if n == nil {
		return 0, false
	}
	return j.Created.Add(time.Duration(*n) * time.Second).Sub(now), true
}

// end says why no more trials are begun, "" if there may be more.
func end(j Job, s seen, now time.Time) string {
	c := j.Doc.HyperParameterTuningJobConfig
	criteria := c.TuningJobCompletionCriteria
	best, since := progress(j, s.trials)
	if rest, ok := left(j, now); ok && rest <= 0 {
		return outOfTime
	}
	if criteria != nil && best != nil {
		maximize := definitionsOf(j.Doc)[0].objective.Type == "Maximize"
		if t := criteria.TargetObjectiveMetricValue; t != nil && (*best.Doc.Objective == *t || better(maximize, *best.Doc.Objective, *t)) {
			return reached
		}
		if b := criteria.BestObjectiveNotImproving; b != nil && b.MaxNumberOfTrainingJobsNotImproving != nil &&
			since >= int(*b.MaxNumberOfTrainingJobsNotImproving) {
			return notImproving
		}
		if d := criteria.ConvergenceDetected; d != nil && d.CompleteOnConvergence == "Enabled" && s.converged {
			return converged
		}
	}
	without, with := 0, 0
	for _, t := range s.trials {
		switch {
		case !ended(t):
		case t.Doc.Objective != nil:
			with++
		default:
			without++
		}
	}
	switch {
	case with == 0 && without >= patience:
		return hopeless
	case s.exhausted:
		return exhausted
	case len(s.trials) >= most(j):
		return allBegun
	}
	return ""
}

// verdict is how a job ends whose trials have all ended.
func verdict(trials []trial) (status, reason string) {
	failed := 0
	for _, t := range trials {
		if t.Doc.Objective != nil && t.Status != Failed {
			return Completed, ""
		}
		if t.Status == Failed {
			failed++
		}
	}
	switch {
	case len(trials) == 0:
		return Completed, ""
	case failed == len(trials):
		return Failed, "All training jobs failed. Please take a look at the training jobs failures to get more details."
	}
	return Failed, fmt.Sprintf("No objective metrics found after running %d training jobs. Please ensure that the custom algorithm is emitting "+
		"the objective metric as defined by the regular expression provided.", len(trials))
}

// better tells whether a is better than b.
func better(maximize bool, a, b float64) bool { return tune.Search{Maximize: maximize}.Better(a, b) }

// counts tells whether a trial's objective is one of the search. Jobs that were
// stopped early count with what they had reached.
func counts(t trial) bool { return ended(t) && t.Status != Failed && t.Doc.Objective != nil }

// leastGain is by which share of the best objective a trial must be better to
// count as an improvement. Source: API_BestObjectiveNotImproving and
// API_HyperParameterTuningJobCompletionDetails.
const leastGain = 0.01

// progress is the best trial, nil when none has an objective, and how many have
// ended since the last that was better than the best before it by more than
// leastGain. Of equal objectives the one that was there first is the best.
func progress(j Job, trials []trial) (best *trial, since int) {
	maximize := definitionsOf(j.Doc)[0].objective.Type == "Maximize"
	ends := make([]*trial, len(trials)+1) // by order
	for i := range trials {
		if n := trials[i].Doc.Order; n > 0 {
			ends[n] = &trials[i]
		}
	}
	for _, t := range ends {
		if t == nil {
			continue
		}
		since++
		switch {
		case !counts(*t):
		case best == nil:
			best, since = t, 0
		case better(maximize, *t.Doc.Objective, *best.Doc.Objective):
			if old := *best.Doc.Objective; math.Abs(*t.Doc.Objective-old) > leastGain*math.Abs(old) {
				since = 0
			}
			best = t
		}
	}
	if best == nil {
		return nil, 0
	}
	return best, since
}
