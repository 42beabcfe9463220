// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/collective"
)

// checkpointName is what the files of checkpoints are called, the round behind a
// point: xgboost-checkpoint.7 is the model after the eighth round.
const checkpointName = "xgboost-checkpoint"

const (
	keptCheckpoints  = 5
	triedCheckpoints = 5 // that may be unreadable before training begins anew
)

// checkpoint is one file.
type checkpoint struct {
	name  string
	round int
}

// checkpointsIn lists the checkpoints in dir, the newest first.
func checkpointsIn(dir string) ([]checkpoint, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	var all []checkpoint
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), checkpointName+".")
		if round, err := strconv.Atoi(number); ok && err == nil && round >= 0 && strconv.Itoa(round) == number {
			all = append(all, checkpoint{e.Name(), round})
		}
	}
	slices.SortFunc(all, func(a, b checkpoint) int { return cmp.Compare(b.round, a.round) })
	return all, nil
}

// lastCheckpoint gives the model of the newest checkpoint in dir that can be
// read, its path, and how many rounds have gone into it; nil where there is none.
func lastCheckpoint(dir string) (m *Model, path string, rounds int, err error) {
	all, err := checkpointsIn(dir)
	if err != nil {
		return nil, "", 0, err
	}
	for _, c := range all[:min(len(all), triedCheckpoints)] {
		path := filepath.Join(dir, c.name)
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, "", 0, fmt.Errorf("read checkpoint: %w", err)
		}
		if m, err := ReadModel(b); err == nil {
			return m, path, c.round + 1, nil
		}
	}
	return nil, "", 0, nil
}

// keepCheckpoint writes m, the model after the given round, into dir, whole or
// not at all, and removes what is outdated.
func keepCheckpoint(dir string, m *Model, round int, hold time.Duration) error {
	if err := algo.KeepCheckpoint(dir, fmt.Sprintf("%s.%d", checkpointName, round), m.WriteUBJ); err != nil {
		return err
	}
	all, err := checkpointsIn(dir)
	if err != nil {
		return err
	}
	for _, c := range outdated(dir, all, hold) {
		path := filepath.Join(dir, c.name)
		if c.round < round && !uploading(path) {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("remove an old checkpoint: %w", err)
			}
		}
	}
	return nil
}

// outdated gives those of all, the newest first, that may go. Beside the newest
// five the oldest stays until the next one is as old as hold, and that one stays
// too: so there is always one that lasts, and one that follows it.
func outdated(dir string, all []checkpoint, hold time.Duration) []checkpoint {
	old := all[min(keptCheckpoints, len(all)):]
	if hold <= 0 || len(old) == 0 {
		return old
	}
	end := len(all)
	for end > keptCheckpoints {
		next, err := os.Stat(filepath.Join(dir, all[end-2].name))
		if err != nil || time.Since(next.ModTime()) < hold {
			break
		}
		end--
	}
	return slices.Concat(all[keptCheckpoints:max(keptCheckpoints, end-2)], all[end:])
}

// uploading tells whether the platform has marked the file as being uploaded.
func uploading(path string) bool {
	_, begun := os.Stat(path + ".sagemaker-uploading")
	_, done := os.Stat(path + ".sagemaker-uploaded")
	return begun == nil && done != nil
}

// resume gives the model of the newest checkpoint of the first host to all hosts,
// and how many rounds have gone into it; nil where there is none.
func resume(ctx context.Context, in algo.Input, dir string) (*Model, int, error) {
	if dir == "" {
		return nil, 0, nil
	}
	var m *Model
	var path string
	var rounds int
	var err error
	if in.Peers.Rank() == 0 {
		if m, path, rounds, err = lastCheckpoint(dir); err != nil {
			return nil, 0, err
		}
	}
	if m, rounds, err = share(ctx, in.Peers, m, rounds); err != nil || m == nil {
		return nil, 0, err
	}
	if in.Peers.Rank() == 0 {
		in.Log.Info("Checkpoint loaded from " + path)
		in.Log.Info(fmt.Sprintf("Resuming from iteration %d", rounds))
	}
	return m, rounds, nil
}

// share gives all hosts what the first one has.
func share(ctx context.Context, peers *collective.Group, m *Model, rounds int) (*Model, int, error) {
	if peers.Size() == 1 {
		return m, rounds, nil
	}
	var b bytes.Buffer
	if m != nil && peers.Rank() == 0 {
		b.WriteString(strconv.Itoa(rounds) + "\n")
		if err := m.WriteUBJ(&b); err != nil {
			return nil, 0, err
		}
	}
	all, err := peers.Broadcast(ctx, b.Bytes())
	if err != nil || len(all) == 0 {
		return nil, 0, err
	}
	number, rest, _ := bytes.Cut(all, []byte("\n"))
	if rounds, err = strconv.Atoi(string(number)); err != nil {
		return nil, 0, errPeer
	}
	m, err = ReadModel(rest)
	return m, rounds, err
}
