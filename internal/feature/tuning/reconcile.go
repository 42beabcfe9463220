// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/reconcile"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
	"github.com/sagebrush-ml/sagebrush/internal/tune"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// memory is what is kept of an unsettled job between two looks, so that a look
// need not read all trials again. The loop never looks at one job twice at once,
// and nobody else writes trials.
type memory struct {
	key     resource.Key
	created time.Time
	trials  []trial // by number
	search  tune.Search
	priors  []tune.Trial                          // of parents
	bests   []sm.HyperParameterTrainingJobSummary // of parents
	defs    []definition
	regexes []string        // of each definition's objective
	tags    []sm.Tag        // which the training jobs get too
	made    map[string]bool // training jobs that are known to be there
	none    bool            // there is no other point
	// Whether the search had converged when so many trials had ended.
	converged   bool
	convergedAt int
}

func (s *Service) reconcile(ctx context.Context, key resource.Key) (reconcile.Result, error) {
	return taskgroup.Drive(ctx, s.jobs, key, s.step)
}

// step looks at a job and does what is next.
func (s *Service) step(ctx context.Context, j Job) (after reconcile.Result, rest bool, err error) {
	ctx = auth.WithCaller(ctx, auth.Caller{Account: j.Key.Account, Region: j.Key.Region, Principal: j.Private.Principal})
	ctx = op.WithOwner(ctx, j.ARN)
	m, err := s.remember(ctx, j)
	if err != nil {
		return reconcile.Retry, false, err
	}
	look, err := s.look(ctx, j, m)
	if err != nil {
		return reconcile.Retry, false, err
	}
	now := s.Now()
	st := decide(j, look, now)
	for _, i := range st.stop {
		if err := s.stop(ctx, m, i); err != nil {
			return reconcile.Retry, false, err
		}
	}
	began := 0
	for began < st.begin && s.begin(ctx, j, m, &err) {
		began++
	}
	if err != nil {
		return reconcile.Retry, false, err
	}
	if st.settle != "" {
		return reconcile.Done, true, s.settle(ctx, j, m, st)
	}
	if err := s.write(ctx, j, m, st, look); err != nil {
		return reconcile.Retry, false, err
	}
	// Nobody tells of a trial that was refused, nor that there was no point left.
	refused := slices.ContainsFunc(m.trials[len(m.trials)-began:], ended)
	return reconcile.Result{After: st.again}, began == st.begin && !refused, nil
}

// remember gives what is kept of a job, and reads it when it is new.
func (s *Service) remember(ctx context.Context, j Job) (*memory, error) {
	s.mu.Lock()
	m := s.known[j.ARN]
	s.mu.Unlock()
	if m != nil && m.created.Equal(j.Created) {
		return m, nil
	}
	trials, err := s.trialsOf(ctx, j)
	if err != nil {
		return nil, err
	}
	m = &memory{key: j.Key, created: j.Created, trials: trials, search: searchOf(j), defs: definitionsOf(j.Doc), made: map[string]bool{}}
	if d := j.Doc.TuningJobCompletionDetails; d != nil {
		m.converged = !d.ConvergenceDetectedTime.IsZero()
	}
	for _, d := range m.defs {
		regex, err := s.objectiveRegex(ctx, d)
		if err != nil {
			return nil, err
		}
		m.regexes = append(m.regexes, regex)
	}
	tags, err := s.DB.Tags(ctx, j.ARN)
	if err != nil {
		return nil, fmt.Errorf("read tags: %w", err)
	}
	for _, t := range tags {
		m.tags = append(m.tags, sm.Tag{Key: t.Key, Value: t.Value})
	}
	if m.priors, err = s.priorsOf(ctx, j, m.defs[0]); err != nil {
		return nil, err
	}
	if m.bests, err = s.bestsOf(ctx, j); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.known[j.ARN] = m
	s.mu.Unlock()
	return m, nil
}

// trialsOf reads a job's trials, by number.
func (s *Service) trialsOf(ctx context.Context, j Job) ([]trial, error) {
	var out []trial
	f := resource.Filter{Account: j.Key.Account, Region: j.Key.Region, Family: trialFamily, Owner: j.ARN, Sort: resource.SortName, Limit: 1000}
	for {
		page, err := s.DB.List(ctx, f)
		if err != nil {
			return nil, fmt.Errorf("list trials: %w", err)
		}
		for _, row := range page.Rows {
			t, err := trialOf(row)
			if err != nil {
				return nil, err
			}
			out = append(out, t)
		}
		if f.After = page.Next; f.After == "" {
			break
		}
	}
	slices.SortFunc(out, func(a, b trial) int { return a.Doc.Seq - b.Doc.Seq })
	return out, nil
}

// look sees what has become of the running trials, and notes those that ended.
func (s *Service) look(ctx context.Context, j Job, m *memory) (seen, error) {
	for i := range m.trials {
		if ended(m.trials[i]) {
			continue
		}
		if err := s.follow(ctx, j, m, i); err != nil {
			return seen{}, err
		}
	}
	out := seen{trials: m.trials, exhausted: m.none, watching: watches(j)}
	var err error
	if out.watching {
		if out.stop, err = s.worthless(ctx, m); err != nil {
			return out, err
		}
	}
	out.converged = m.hasConverged(wantsConvergence(j))
	return out, nil
}

// watches tells whether trials may be stopped early.
func watches(j Job) bool {
	c := j.Doc.HyperParameterTuningJobConfig
	return c.Strategy == tune.Hyperband || c.TrainingJobEarlyStoppingType == "Auto"
}

func wantsConvergence(j Job) bool {
	c := j.Doc.HyperParameterTuningJobConfig.TuningJobCompletionCriteria
	return c != nil && c.ConvergenceDetected != nil && c.ConvergenceDetected.CompleteOnConvergence == "Enabled"
}

// hasConverged asks the search after each trial that has ended, and after a few
// where it ends nothing and is only told.
func (m *memory) hasConverged(wanted bool) bool {
	every := 5
	if wanted {
		every = 1
	}
	ends := 0
	for _, t := range m.trials {
		ends = max(ends, t.Doc.Order)
	}
	if ends >= m.convergedAt+every && !m.converged {
		m.converged, m.convergedAt = m.search.Converged(m.history()), ends
	}
	return m.converged
}

// worthless are the indexes of running trials that the search gives up.
func (s *Service) worthless(ctx context.Context, m *memory) ([]int, error) {
	h := m.history()
	own := h[len(m.priors):]
	told := false
	for i, t := range m.trials {
		if ended(t) || t.Status == Stopping {
			continue
		}
		curve, err := s.curve(ctx, t.Key)
		if err != nil {
			return nil, err
		}
		own[i].Curve = curve
		told = told || len(curve) > 0
	}
	if !told {
		return nil, nil
	}
	return m.search.Stop(own), nil
}

// begin plans the next trial, stores it and makes its training job. It answers
// false when there is no other point, or on an error.
func (s *Service) begin(ctx context.Context, j Job, m *memory, failed *error) bool {
	point, ok := m.search.Next(m.history(), len(m.trials))
	if !ok {
		m.none = true
		return false
	}
	seq := len(m.trials) + 1
	t := trial{Key: resource.Key{Account: j.Key.Account, Region: j.Key.Region, Family: trialFamily, Name: trialName(j, seq)}, Owner: j.ARN,
		Doc: &trialDoc{Seq: seq, Definition: point.Space, Values: point.Values}}
	if err := s.trials.Insert(ctx, &t, nil); err != nil {
		// A copy of the trial that this one lacks: it is read anew.
		s.forget(j.ARN)
		*failed = fmt.Errorf("store trial: %w", err)
		return false
	}
	m.trials = append(m.trials, t)
	if err := s.make(ctx, m, len(m.trials)-1); err != nil {
		*failed = err
		return false
	}
	return true
}

// history is what the search knows.
func (m *memory) history() []tune.Trial {
	out := slices.Clone(m.priors)
	for _, t := range m.trials {
		h := tune.Trial{Point: tune.Point{Space: t.Doc.Definition, Values: t.Doc.Values}, Curve: t.Doc.Curve, Order: t.Doc.Order}
		switch {
		case counts(t):
			h.State, h.Value = tune.Ended, *t.Doc.Objective
		case ended(t):
			h.State = tune.Failed
		}
		out = append(out, h)
	}
	return out
}

// write brings the record up to date.
func (s *Service) write(ctx context.Context, j Job, m *memory, st step, look seen) error {
	was := *j.Doc
	after := was
	s.report(&after, j, m, look)
	if reflect.DeepEqual(was, after) && st.ending == j.Private.Ending {
		return nil
	}
	_, err := s.jobs.Revise(ctx, j, func(j *Job) {
		s.report(j.Doc, *j, m, look)
		j.Private.Ending = st.ending
	})
	return err
}

// settle is the last write of a job.
func (s *Service) settle(ctx context.Context, j Job, m *memory, st step) error {
	_, err := s.jobs.Revise(ctx, j, func(j *Job) {
		now := s.Now()
		s.report(j.Doc, *j, m, seen{trials: m.trials, converged: m.converged})
		j.Status, j.Doc.FailureReason, j.Private.Ending = st.settle, st.reason, st.ending
		j.Doc.HyperParameterTuningEndTime = wire.At(now)
		j.Doc.ConsumedResources = consumed(*j, now)
	})
	if err != nil {
		return err
	}
	s.Log.InfoContext(ctx, "tuning job ended", "arn", j.ARN, "status", st.settle, "why", st.ending, "reason", st.reason)
	s.forget(j.ARN)
	return nil
}

func consumed(j Job, now time.Time) *sm.HyperParameterTuningJobConsumedResources {
	seconds := int64(max(0, now.Sub(j.Created)).Round(time.Second) / time.Second)
	return &sm.HyperParameterTuningJobConsumedResources{RuntimeInSeconds: &seconds}
}

func (s *Service) forget(arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, arn)
}

// report fills what Describe tells of the trials.
func (s *Service) report(d *sm.DescribeHyperParameterTuningJobOutput, j Job, m *memory, look seen) {
	status, objective := sm.TrainingJobStatusCounters{}, sm.ObjectiveStatusCounters{}
	tally(m.trials, &status, &objective)
	d.TrainingJobStatusCounters, d.ObjectiveStatusCounters = &status, &objective
	best, since := progress(j, m.trials)
	if best == nil {
		d.OverallBestTrainingJob = s.overall(j, m, nil)
		return
	}
	sum := summary(*best, m.defs)
	d.BestTrainingJob = &sum
	d.OverallBestTrainingJob = s.overall(j, m, &sum)
	details := sm.HyperParameterTuningJobCompletionDetails{NumberOfTrainingJobsObjectiveNotImproving: new(int64(since))}
	if old := d.TuningJobCompletionDetails; old != nil {
		details.ConvergenceDetectedTime = old.ConvergenceDetectedTime
	}
	if look.converged && details.ConvergenceDetectedTime.IsZero() {
		details.ConvergenceDetectedTime = wire.At(s.Now())
	}
	d.TuningJobCompletionDetails = &details
}
