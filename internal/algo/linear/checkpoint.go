// SPDX-License-Identifier: Apache-2.0

package linear

import (
	"bytes"
	"crypto/sha256"
	endian "encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// checkpointName is the file of a job's checkpoint: the state after an epoch. It
// is a line of JSON, progress, and then little-endian numbers: as float64 the value
// of early stopping and the least loss of each model, as float32 the weights, the
// two moments of their gradients, the best weights and the means.
//
// Source for there being any: "Linear Learner Algorithm" in the SageMaker developer
// guide; the files of the service are not published.
const checkpointName = "linear-learner-checkpoint"

// progress is how far a job has come.
type progress struct {
	Job    string `json:"job"` // whose checkpoint it is: hyperparameters and shape of the data
	Epochs int    `json:"epochs"`
	Waited int    `json:"waited"` // epochs without a gain

	criterion float64 // the best value so far of what early stopping watches
}

// name tells jobs apart by what makes a checkpoint useless to another one.
func (w *work) name() (string, error) {
	b, err := json.Marshal(map[string]any{"hyperparameters": w.in.Params.Values(), "rows": w.tables["train"].total, "features": w.cols})
	if err != nil {
		return "", fmt.Errorf("name the checkpoint: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// numbers are the arrays of a checkpoint behind its float64s.
func (l *learner) numbers() [][]float32 {
	return [][]float32{l.weights, l.moment, l.square, l.best, l.mean}
}

// resume takes the state of an earlier attempt from the first host's checkpoint,
// where there is one, and tells how far that had come.
func (w *work) resume() (progress, error) {
	at := progress{criterion: math.Inf(1)}
	if w.in.Checkpoints == "" {
		return at, nil
	}
	var err error
	if at.Job, err = w.name(); err != nil {
		return at, err
	}
	var b []byte
	if w.first() {
		b, err = os.ReadFile(filepath.Join(w.in.Checkpoints, checkpointName))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return at, fmt.Errorf("read checkpoint: %w", err)
		}
	}
	if w.in.Peers.Size() > 1 {
		if b, err = w.in.Peers.Broadcast(w.all, b); err != nil {
			return at, err
		}
	}
	if len(b) == 0 {
		return at, nil
	}
	read, ok := w.take(b, at.Job)
	switch {
	case !ok && w.first():
		w.report.Warn("The checkpoint is of another job, or broken. Training begins anew.")
	case ok && w.first():
		w.report.Info("Checkpoint loaded. Resuming after %d epochs.", read.Epochs)
	}
	if !ok {
		return at, nil
	}
	return read, nil
}

// take sets the state from the bytes of a checkpoint. ok is false, and nothing is
// set, where they are not those of one of this job.
func (w *work) take(b []byte, job string) (at progress, ok bool) {
	line, rest, found := bytes.Cut(b, []byte("\n"))
	size := 8 * (1 + len(w.bestLoss))
	for _, list := range w.numbers() {
		size += 4 * len(list)
	}
	if !found || json.Unmarshal(line, &at) != nil || at.Job != job || at.Epochs < 0 || at.Waited < 0 || len(rest) != size {
		return progress{}, false
	}
	double := func() float64 {
		v := math.Float64frombits(endian.LittleEndian.Uint64(rest))
		rest = rest[8:]
		return v
	}
	at.criterion = double()
	for i := range w.bestLoss {
		w.bestLoss[i] = double()
	}
	for _, list := range w.numbers() {
		for i := range list {
			list[i] = math.Float32frombits(endian.LittleEndian.Uint32(rest[4*i:]))
		}
		rest = rest[4*len(list):]
	}
	return at, true
}

// keep writes the checkpoint of the state, where the job has them and the last one
// is old enough. The first host does.
func (w *work) keep(at progress) error {
	if w.in.Checkpoints == "" || !w.first() || !w.kept.IsZero() && time.Since(w.kept) < algo.CheckpointLasts && at.Epochs < w.epochs {
		return nil
	}
	if err := algo.KeepCheckpoint(w.in.Checkpoints, checkpointName, func(out io.Writer) error { return w.write(out, at) }); err != nil {
		return err
	}
	w.kept = time.Now()
	w.report.Info("Saved checkpoint to %q", filepath.Join(w.in.Checkpoints, checkpointName))
	return nil
}

func (w *work) write(out io.Writer, at progress) error {
	b, err := json.Marshal(at)
	if err != nil {
		return err
	}
	b = append(b, '\n')
	for _, v := range append([]float64{at.criterion}, w.bestLoss...) {
		b = endian.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	for _, list := range w.numbers() {
		for _, v := range list {
			if b = endian.LittleEndian.AppendUint32(b, math.Float32bits(v)); len(b) >= 1<<16 {
				if _, err := out.Write(b); err != nil {
					return err
				}
				b = b[:0]
			}
		}
	}
	_, err = out.Write(b)
	return err
}
