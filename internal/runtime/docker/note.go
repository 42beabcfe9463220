// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// note is what is to be remembered of one task beside what the engine knows.
type note struct {
	DiskBytes int64             // runtime.Task.DiskBytes
	Writes    map[string]int64  `json:",omitempty"` // host folders that it writes to, and what was in them before, in bytes
	Scratch   map[string]string `json:",omitempty"` // volumes with what it wrote over a Scratch mount, and where the host has them

	Deadline time.Time `json:",omitzero"` // when to kill it, if it was asked to stop
	Told     bool      // SIGTERM was sent
	Reason   string    `json:",omitempty"` // why we ended it, or why it could not begin
}

// notes is the folder of them.
type notes string

func (n notes) path(id runtime.ID) string { return filepath.Join(string(n), string(id)+".json") }

// read gives a task's note, an empty one when there is none.
func (n notes) read(id runtime.ID) (note, error) {
	var out note
	data, err := os.ReadFile(n.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		return note{}, fmt.Errorf("read the note of task %q: %w", id, err)
	}
	return out, nil
}

// write stores a task's note, whole or not at all.
func (n notes) write(id runtime.ID, v note) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(string(n), ".note-*")
	if err != nil {
		return fmt.Errorf("write the note of task %q: %w", id, err)
	}
	defer os.Remove(f.Name()) // nothing is there after the rename
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the note of task %q: %w", id, err)
	}
	return os.Rename(f.Name(), n.path(id))
}

// has says whether there is a note: without, nothing was made for the task.
func (n notes) has(id runtime.ID) bool {
	_, err := os.Lstat(n.path(id))
	return id.Check() == nil && !errors.Is(err, fs.ErrNotExist)
}

// change reads, changes and writes a task's note. The caller holds the task.
func (n notes) change(id runtime.ID, edit func(*note)) (note, error) {
	v, err := n.read(id)
	if err != nil {
		return v, err
	}
	edit(&v)
	return v, n.write(id, v)
}

func (n notes) remove(id runtime.ID) error {
	if err := os.Remove(n.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// all lists the tasks that have a note.
func (n notes) all() ([]runtime.ID, error) {
	entries, err := os.ReadDir(string(n))
	var ids []runtime.ID
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if ok && runtime.ID(id).Check() == nil {
			ids = append(ids, runtime.ID(id))
		}
	}
	return ids, err
}
