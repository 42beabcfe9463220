// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/resource/sqlstore"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// trainingJobs is the family of training jobs in the store and in ARNs.
const trainingJobs = "training-job"

// perWrite is how many records are stored in one transaction.
const perWrite = 1000

// states are the copies' states, in turn.
var states = []string{"Completed", "Failed", "Completed", "Completed", "Stopped", "Completed", "Completed", "Failed", "Completed",
	"Completed"}

// filled is what fill did.
type filled struct {
	Count    int     `json:"count"`
	Seconds  float64 `json:"seconds"`
	DocBytes int     `json:"docBytes"` // of one record
}

// fill copies a training job that has completed under the names bench-000000
// and up, in the store of a home whose server does not run. The copies are
// what the service would have written, but for names, times and states: one
// job a minute into the past, of ten seven Completed, two Failed, one Stopped.
func fill(args []string) (any, error) {
	f := flags("fill")
	home := f.String("home", "", "home of a server that does not run")
	like := f.String("like", "", "ARN of the training job to copy")
	count := f.Int("count", 1000, "number of copies")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	ctx := context.Background()
	db, err := sqlstore.Open(ctx, filepath.Join(*home, "state.db"), sqlstore.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }() // again, when it was closed below
	first, err := db.ByARN(ctx, *like)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	for from := 0; from < *count; from += perWrite {
		err := db.Write(ctx, func(tx resource.Tx) error {
			for i := from; i < min(from+perWrite, *count); i++ {
				row, err := copied(first, i, *count)
				if err != nil {
					return err
				}
				if err := tx.Insert(ctx, row); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return filled{Count: *count, Seconds: time.Since(begin).Seconds(), DocBytes: len(first.Doc)}, nil
}

// copied is copy i of n of a row, i = 0 the oldest.
func copied(row resource.Row, i, n int) (resource.Row, error) {
	var doc sm.DescribeTrainingJobOutput
	if err := json.Unmarshal(row.Doc, &doc); err != nil {
		return row, fmt.Errorf("read %s: %w", row.Name, err)
	}
	row.Name = fmt.Sprintf("bench-%06d", i)
	row.ARN = arn.SageMaker(row.Region, row.Account, row.Family, row.Name)
	row.Created = row.Created.Add(-time.Duration(n-i) * time.Minute)
	row.Modified = row.Created.Add(time.Duration(i%977) * time.Second)
	row.Status = states[i%len(states)]
	doc.TrainingJobName, doc.TrainingJobArn = row.Name, row.ARN
	doc.TrainingJobStatus, doc.SecondaryStatus = row.Status, row.Status
	doc.CreationTime, doc.LastModifiedTime = wire.At(row.Created), wire.At(row.Modified)
	var err error
	row.Doc, err = json.Marshal(&doc)
	return row, err
}
