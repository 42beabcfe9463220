// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Version is that of Spec. A feeder refuses others: it may be of another
// release than the server that wrote the Spec.
const Version = 1

// Spec tells a feeder all that it does. It is written as JSON.
type Spec struct {
	Version  int
	Failure  string // file for what went wrong; see ReadFailure
	Channels []Channel
}

// Channel is one channel in Pipe mode.
type Channel struct {
	Name string
	Dir  string // host folder in which the FIFOs <Name>_<epoch> appear
	List string // file of WriteList: what to send

	Wrap Wrap
	Gzip bool // each file is gzip and is sent decompressed

	// ShuffleSeed has the list in another order each epoch, which the seed and
	// the number of the epoch decide. Without one the list's own order stays.
	ShuffleSeed *int64 `json:",omitempty"`

	// UID and GID own the FIFOs, where the process may give them away; nil for
	// the process's own. Mode is their permissions, 0 for 0666: the folder around
	// them is what keeps others out.
	UID, GID *int        `json:",omitempty"`
	Mode     fs.FileMode `json:",omitempty"`
}

// Wrap says whether what is sent is put into records: RecordWrapperType of
// API_Channel.
type Wrap string

// The wraps. RecordIO makes one record of each file and each text, but leaves a
// file alone that is RecordIO already.
const (
	Plain    Wrap = "None"
	RecordIO Wrap = "RecordIO"
)

// Load reads a Spec from a file.
func Load(path string) (Spec, error) {
	var s Spec
	b, err := os.ReadFile(path)
	if err != nil {
		return s, fmt.Errorf("read the feeder's specification: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("read the feeder's specification %s: %w", path, err)
	}
	return s, s.check()
}

// Save writes s for Load, whole or not at all.
func (s Spec) Save(path string) error {
	s.Version = Version
	if err := s.check(); err != nil {
		return err
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := replace(path, b); err != nil {
		return fmt.Errorf("write the feeder's specification: %w", err)
	}
	return nil
}

func (s Spec) check() error {
	if s.Version != Version {
		return fmt.Errorf("the feeder's specification has version %d, this program reads %d", s.Version, Version)
	}
	if !filepath.IsAbs(s.Failure) {
		return fmt.Errorf("the feeder's specification: Failure is no absolute path: %q", s.Failure)
	}
	seen := map[string]bool{}
	for _, c := range s.Channels {
		if err := c.check(); err != nil {
			return fmt.Errorf("the feeder's specification: channel %q: %w", c.Name, err)
		}
		at := filepath.Join(c.Dir, c.Name)
		if seen[at] {
			return fmt.Errorf("the feeder's specification: channel %q is there twice", c.Name)
		}
		seen[at] = true
	}
	return nil
}

func (c Channel) check() error {
	switch {
	case c.Name == "" || c.Name == "." || c.Name == ".." || strings.ContainsAny(c.Name, "/\x00"):
		return errors.New("that is no name")
	case !filepath.IsAbs(c.Dir) || !filepath.IsAbs(c.List):
		return errors.New("Dir and List are not absolute paths")
	case c.Wrap != "" && c.Wrap != Plain && c.Wrap != RecordIO:
		return fmt.Errorf("there is no wrap %q", c.Wrap)
	}
	return nil
}

// replace writes a file by renaming a new one over it.
func replace(path string, b []byte) error {
	if err := os.WriteFile(path+".new", b, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Failure is why a feeder failed.
type Failure struct {
	Message string
	Data    bool // the data is at fault, not this machine
}

// ReadFailure reads what a feeder has left in Spec.Failure. ok is false when it
// has left nothing: it did not fail, or was killed.
func ReadFailure(path string) (f Failure, ok bool, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err != nil {
		return f, false, fmt.Errorf("read the feeder's failure: %w", err)
	}
	return f, true, nil
}

// dataError is a fault in what is to be sent.
type dataError struct{ err error }

func (e dataError) Error() string { return e.err.Error() }
func (e dataError) Unwrap() error { return e.err }

// writeFailure leaves err for ReadFailure.
func writeFailure(path string, err error) error {
	_, data := errors.AsType[dataError](err)
	b, jsonErr := json.Marshal(Failure{Message: err.Error(), Data: data || errors.Is(err, fs.ErrNotExist)})
	if jsonErr != nil {
		return jsonErr
	}
	return replace(path, b)
}
