// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
	"github.com/sagebrush-ml/sagebrush/internal/transfer"
)

// plans are what plan.json says: the objects of each instance.
type plans struct{ Machines [][]transfer.Item }

// plan shares the objects out among the instances and makes the working folder.
// An object is never shared.
func (s *Service) plan(ctx context.Context, j Job) error {
	id := identity(j)
	if err := s.folders.Begin(ctx, id, members(j)); err != nil {
		return err
	}
	source := j.Doc.TransformInput.DataSource.S3DataSource
	all, err := s.data.Items(ctx, transfer.Source{URI: source.S3Uri, Type: source.S3DataType})
	if err != nil {
		return err
	}
	p := plans{Machines: make([][]transfer.Item, len(machines(j)))}
	for i, item := range all {
		n := i % len(p.Machines)
		p.Machines[n] = append(p.Machines[n], item)
	}
	for _, m := range machines(j) {
		if err := os.MkdirAll(filepath.Join(s.machineDir(j, m), outName), 0o755); err != nil {
			return fmt.Errorf("make working folder: %w", err)
		}
	}
	return taskgroup.WriteJSON(s.folders.Path(id), planName, p)
}

// outputOf is where the answers for an object go: below S3OutputPath, with the
// path that it has below the prefix of the input.
func outputOf(j Job, item transfer.Item) (object.URI, error) {
	u, err := object.ParseURI(j.Doc.TransformOutput.S3OutputPath)
	return u.Join(item.Name + ".out"), err
}

// entry is one line of a journal: an object that is done.
type entry struct {
	Object int  // its index in the plan of the instance
	Failed kind `json:",omitempty"`
}

// journal remembers which objects of an instance are done. A line that was not
// written to its end is none: the object is done again.
type journal struct {
	mu   sync.Mutex
	f    *os.File
	done map[int]kind
}

func openJournal(dir string) (*journal, error) {
	done, err := readJournal(dir)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, journalName), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if _, err := f.WriteString("\n"); err != nil { // behind a line that was cut off
		f.Close()
		return nil, fmt.Errorf("write journal: %w", err)
	}
	return &journal{f: f, done: done}, nil
}

// readJournal is what became of the objects that are done, "" for good.
func readJournal(dir string) (map[int]kind, error) {
	done := map[int]kind{}
	f, err := os.Open(filepath.Join(dir, journalName))
	if errors.Is(err, fs.ErrNotExist) {
		return done, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		e := entry{Object: -1}
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Object >= 0 {
			done[e.Object] = e.Failed
		}
	}
	return done, lines.Err()
}

// note writes down that an object is done.
func (l *journal) note(object int, failed kind) error {
	b, err := json.Marshal(entry{object, failed})
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.f.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	l.done[object] = failed
	return nil
}

// capture writes what BatchDataCaptureConfig asks for: manifests of the objects
// that were transformed and of those that hold the answers,
// {destination}/input/{yyyy}/{mm}/{dd}/{HH}/{id}.json and /output/…, both with
// the same ID. The hour is that of the job's begin, so that a manifest that is
// written again is the same.
func (s *Service) capture(ctx context.Context, j Job) error {
	c := j.Doc.DataCaptureConfig
	if c == nil {
		return nil
	}
	to, err := object.ParseURI(c.DestinationS3Uri)
	if err != nil {
		return transfer.BadData("%w", err)
	}
	var p plans
	if ok, err := taskgroup.ReadJSON(s.folders.Path(identity(j)), planName, &p); err != nil || !ok {
		return err
	}
	var inputs, outputs []string
	for _, m := range machines(j) {
		done, err := readJournal(s.machineDir(j, m))
		if err != nil {
			return err
		}
		for i, item := range p.Machines[m.Number] {
			if failed, ok := done[i]; ok && failed == "" {
				out, err := outputOf(j, item)
				if err != nil {
					return err
				}
				inputs, outputs = append(inputs, item.URI.String()), append(outputs, out.String())
			}
		}
	}
	if len(inputs) == 0 {
		return nil
	}
	name := fmt.Sprintf("%s/%s.json", j.Private.Begun.UTC().Format("2006/01/02/15"), uuid(identity(j)))
	for side, uris := range map[string][]string{"input": inputs, "output": outputs} {
		if _, err := s.Objects.Put(ctx, to.Join(side, name), strings.NewReader(manifest(uris))); err != nil {
			return fmt.Errorf("write the manifest of the %s: %w", side, err)
		}
	}
	return nil
}

// manifest is one of S3 objects, all of the same bucket.
func manifest(uris []string) string {
	u, _ := object.ParseURI(uris[0])
	prefix := "s3://" + u.Bucket + "/"
	out := []any{map[string]string{"prefix": prefix}}
	for _, uri := range uris {
		out = append(out, strings.TrimPrefix(uri, prefix))
	}
	b, _ := json.Marshal(out)
	return string(b)
}

// uuid is an ID that follows from what it names.
func uuid(parts ...any) string {
	sum := sha256.Sum256(fmt.Append(nil, parts...))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // version 8: custom
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// stamp is the time of an inference.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
