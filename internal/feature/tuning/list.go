// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// listing sorts by name, ascending, when the caller asks for no order. Source:
// API_ListHyperParameterTuningJobs.
var listing = resource.Listing[sm.ListHyperParameterTuningJobsInput, sm.DescribeHyperParameterTuningJobOutput, private, sm.HyperParameterTuningJobSummary]{
	Filter: func(in *sm.ListHyperParameterTuningJobsInput, f *resource.Filter) {
		if in.SortBy == "" {
			f.Sort = resource.SortName
		}
		f.Desc = in.SortOrder == "Descending"
	},
	Summary: func(j Job, sum *sm.HyperParameterTuningJobSummary) {
		c := j.Doc.HyperParameterTuningJobConfig
		sum.Strategy, sum.ResourceLimits = c.Strategy, c.ResourceLimits
	},
}

// byObjective is an order of trials that the store does not have.
const byObjective = "FinalObjectiveMetricValue"

// defaultPage is the page size of a list that names none.
const defaultPage = 10

// listTrials answers ListTrainingJobsForHyperParameterTuningJob. In the order of
// FinalObjectiveMetricValue trials without a value are left out.
func (s *Service) listTrials(ctx context.Context, in *sm.ListTrainingJobsForHyperParameterTuningJobInput) (*sm.ListTrainingJobsForHyperParameterTuningJobOutput, error) {
	j, err := s.jobs.Find(ctx, in.HyperParameterTuningJobName)
	if err != nil {
		return nil, err
	}
	f := resource.Filter{Account: j.Key.Account, Region: j.Key.Region, Family: trialFamily, Owner: j.ARN, Sort: resource.SortName,
		Desc: in.SortOrder == "Descending", After: in.NextToken, Limit: defaultPage}
	if in.MaxResults != nil {
		f.Limit = int(*in.MaxResults)
	}
	if in.StatusEquals != "" {
		f.Status = []string{in.StatusEquals}
	}
	switch in.SortBy {
	case "CreationTime":
		f.Sort = resource.SortCreated
	case "Status":
		f.Sort = resource.SortStatus
	case byObjective:
		return s.listByObjective(ctx, j, f)
	}
	page, err := s.DB.List(ctx, f)
	if errors.Is(err, resource.ErrBadToken) {
		return nil, badToken(f.After)
	}
	if err != nil {
		return nil, err
	}
	var all []trial
	for _, row := range page.Rows {
		t, err := trialOf(row)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return s.page(ctx, j, all, page.Next)
}

func badToken(token string) error {
	return fault.Validation("Invalid pagination token because %q is not one that this list has given.", token)
}

// listByObjective sorts all trials at once. Its tokens are the trial with which
// the page before ended and its value, so that trials which end meanwhile move
// nothing.
func (s *Service) listByObjective(ctx context.Context, j Job, f resource.Filter) (*sm.ListTrainingJobsForHyperParameterTuningJobOutput, error) {
	all, err := s.trialsOf(ctx, j)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(t trial) bool {
		return t.Doc.Objective == nil || len(f.Status) > 0 && t.Status != f.Status[0]
	})
	order := func(value float64, name string, t trial) int {
		n := cmp.Or(cmp.Compare(value, *t.Doc.Objective), strings.Compare(name, t.Key.Name))
		if f.Desc {
			return -n
		}
		return n
	}
	slices.SortFunc(all, func(a, b trial) int { return order(*a.Doc.Objective, a.Key.Name, b) })
	if f.After != "" {
		text, name, ok := strings.Cut(f.After, "~")
		value, err := strconv.ParseFloat(text, 64)
		if !ok || err != nil {
			return nil, badToken(f.After)
		}
		all = slices.DeleteFunc(all, func(t trial) bool { return order(value, name, t) >= 0 })
	}
	next := ""
	if len(all) > f.Limit {
		all = all[:f.Limit]
		last := all[f.Limit-1]
		next = strconv.FormatFloat(*last.Doc.Objective, 'g', -1, 64) + "~" + last.Key.Name
	}
	return s.page(ctx, j, all, next)
}

// page tells of trials. What is not stored of those that run their training jobs
// are asked for.
func (s *Service) page(ctx context.Context, j Job, all []trial, next string) (*sm.ListTrainingJobsForHyperParameterTuningJobOutput, error) {
	out := &sm.ListTrainingJobsForHyperParameterTuningJobOutput{NextToken: next, TrainingJobSummaries: []sm.HyperParameterTrainingJobSummary{}}
	defs := definitionsOf(j.Doc)
	for _, t := range all {
		sum := summary(t, defs)
		if !ended(t) {
			job, err := s.describe(ctx, t.Key.Name)
			if err != nil {
				return nil, err
			}
			if job != nil && job.TuningJobArn == j.ARN {
				sum.CreationTime, sum.TrainingStartTime = job.CreationTime, job.TrainingStartTime
			}
		}
		out.TrainingJobSummaries = append(out.TrainingJobSummaries, sum)
	}
	return out, nil
}

func trialOf(row resource.Row) (trial, error) {
	t := trial{Key: row.Key, ARN: row.ARN, Owner: row.Owner, Status: row.Status, Created: row.Created, Modified: row.Modified, Version: row.Version, Doc: new(trialDoc)}
	if err := json.Unmarshal(row.Doc, t.Doc); err != nil {
		return t, fmt.Errorf("read trial %s: %w", row.Name, err)
	}
	return t, nil
}

func trainingARN(trial resource.Key) string {
	return arn.SageMaker(trial.Region, trial.Account, trainingFamily, trial.Name)
}

// delete answers DeleteHyperParameterTuningJob: the tuning job goes, and what it
// remembers of its trials; their training jobs stay. Source:
// API_DeleteHyperParameterTuningJob.
func (s *Service) delete(ctx context.Context, in *sm.DeleteHyperParameterTuningJobInput) (*sm.DeleteHyperParameterTuningJobOutput, error) {
	j, err := s.jobs.Find(ctx, in.HyperParameterTuningJobName)
	if err != nil {
		return nil, err
	}
	if !life.Settled(j.Status) {
		return nil, fault.Validation("The request was rejected because the hyperparameter tuning job %s is in status %s, which is not in a terminal state.",
			j.Key.Name, j.Status)
	}
	trials, err := s.trialsOf(ctx, j)
	if err != nil {
		return nil, err
	}
	err = s.DB.Write(ctx, func(tx resource.Tx) error {
		for _, t := range trials {
			if err := tx.Delete(ctx, t.Key); err != nil && !errors.Is(err, resource.ErrNotFound) {
				return err
			}
		}
		return tx.Delete(ctx, j.Key)
	})
	if errors.Is(err, resource.ErrNotFound) {
		err = s.jobs.Family.NotFound(j.ARN)
	}
	return &sm.DeleteHyperParameterTuningJobOutput{}, err
}
