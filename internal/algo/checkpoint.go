// SPDX-License-Identifier: Apache-2.0

package algo

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// CheckpointLasts is how long a checkpoint must stay as it is, now and then, to
// reach S3 while the job runs: the platform uploads files that it has found
// unchanged two seconds later.
const CheckpointLasts = 5 * time.Second

// KeepCheckpoint makes what write writes the file of a name in dir, whole or not
// at all. dir is made if it is not there.
func KeepCheckpoint(dir, name string, write func(io.Writer) error) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("keep checkpoint: %w", err)
	}
	// The end of the name keeps the platform from uploading it.
	f, err := os.CreateTemp(dir, "*.sagemaker-ignore")
	if err != nil {
		return fmt.Errorf("keep checkpoint: %w", err)
	}
	if err = errors.Join(write(f), f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("keep checkpoint: %w", err)
	}
	return nil
}
