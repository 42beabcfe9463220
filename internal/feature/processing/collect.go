// SPDX-License-Identifier: Apache-2.0

package processing

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
	"github.com/sagebrush-ml/sagebrush/internal/transfer"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
)

// The work beside a job.
const (
	shipWork   = "log"
	mirrorWork = "outputs"
)

// accompany sees to what goes on beside the job's tasks, and tells whether their
// whole log is shipped.
func (s *Service) accompany(ctx context.Context, j Job, look seen) bool {
	id := identity(j)
	s.along.Go(ctx, id, shipWork, func(ctx context.Context) {
		shipment := taskgroup.Shipment{Runtime: s.Runtime, Logs: s.Logs, Log: s.Log, Job: j.ARN, At: streamOf(j, "")}
		for _, host := range hosts(j) {
			shipment.Streams = append(shipment.Streams, taskgroup.Stream{Task: taskID(id, host), Name: streamOf(j, host).Name})
		}
		shipment.Ship(ctx, &taskgroup.Reading{})
	}, func() { s.loop.Wake(j.Key) })
	if look.Phase == runtime.Running {
		var tasks []runtime.Task
		for _, host := range hosts(j) {
			t := runtime.Task{ID: taskID(id, host), Host: host, DiskBytes: value(cluster(j).VolumeSizeInGB) << 30}
			tasks = append(tasks, taskgroup.Limit(t, cluster(j).InstanceType))
		}
		s.along.Measure(ctx, id, j.Key.Name, streamOf(j, ""), s.Runtime, s.Metrics, tasks)
		if mirrors := s.mirrors(j); len(mirrors) > 0 {
			s.along.Go(ctx, id, mirrorWork, func(ctx context.Context) { s.mirror(ctx, j, mirrors) }, nil)
		}
	}
	return s.along.Ended(id, shipWork)
}

// mirrors are the outputs that are uploaded as they appear. Of several hosts
// each has its own files only, so nothing is ever deleted.
func (s *Service) mirrors(j Job) []*transfer.Mirror {
	var out []*transfer.Mirror
	for _, o := range outputs(&j) {
		if o.S3Output == nil || isTrue(o.AppManaged) || o.S3Output.S3UploadMode != continuous {
			continue
		}
		u, err := object.ParseURI(o.S3Output.S3Uri)
		if err != nil { // CreateProcessingJob has checked it
			continue
		}
		for _, host := range hosts(j) {
			out = append(out, s.data.NewMirror(s.inside(identity(j), host, o.S3Output.LocalPath), u, true))
		}
	}
	return out
}

// mirrorEvery is how often outputs are looked at.
const mirrorEvery = time.Second

func (s *Service) mirror(ctx context.Context, j Job, all []*transfer.Mirror) {
	transfer.Keep(ctx, all, mirrorEvery, func(err error) {
		s.Log.WarnContext(ctx, "outputs were not uploaded", "arn", j.ARN, "err", err)
	})
}

// collect uploads the outputs. What is uploaded as it appears is completed
// whatever became of the job; what is uploaded at its end, when it was good.
func (s *Service) collect(ctx context.Context, j Job, good bool) error {
	s.along.End(identity(j), mirrorWork)
	for _, m := range s.mirrors(j) {
		if err := m.Pass(ctx, true); err != nil {
			return err
		}
	}
	if !good {
		return nil
	}
	for _, o := range outputs(&j) {
		if o.S3Output == nil || isTrue(o.AppManaged) || o.S3Output.S3UploadMode == continuous {
			continue
		}
		u, err := object.ParseURI(o.S3Output.S3Uri)
		if err != nil {
			return transfer.BadData("%w", err)
		}
		for _, host := range hosts(j) {
			if err := s.data.PutFiles(ctx, s.inside(identity(j), host, o.S3Output.LocalPath), u); err != nil {
				return fmt.Errorf("output %q: %w", o.OutputName, err)
			}
		}
	}
	return nil
}

// maxMessage is how much of a host's message is kept, in bytes.
const maxMessage = 1024

// message is what the containers left in /opt/ml/output/message, one host's
// after another's.
func (s *Service) message(j Job) (text string, valid bool) {
	var parts []string
	valid = true
	for _, host := range hosts(j) {
		root, err := os.OpenRoot(s.ml(identity(j), host))
		if err != nil {
			continue
		}
		// The container may have put a link or a pipe there.
		name := filepath.Join("output", "message")
		if info, err := root.Lstat(name); err == nil && info.Mode().IsRegular() {
			if f, err := root.Open(name); err == nil {
				b, _ := io.ReadAll(io.LimitReader(f, maxMessage))
				f.Close()
				for len(b) == maxMessage && len(b) > 0 && !utf8.Valid(b) && !utf8.RuneStart(b[len(b)-1]) { // cut within a character
					b = b[:len(b)-1]
				}
				valid = valid && (utf8.Valid(b) || len(b) > 0 && utf8.Valid(b[:len(b)-1]))
				parts = append(parts, strings.ToValidUTF8(string(b), ""))
			}
		}
		root.Close()
	}
	return strings.TrimSpace(strings.Join(parts, "\n")), valid
}

// conclude keeps what the job has left and settles it.
func (s *Service) conclude(ctx context.Context, j Job, look seen) error {
	v := judge(j, look)
	text := ""
	if look.Phase == runtime.Exited {
		var valid bool
		text, valid = s.message(j)
		if !valid && v.status == Completed {
			v = verdict{Failed, "ClientError: /opt/ml/output/message is not valid UTF-8"}
		}
		if err := s.collect(ctx, j, v.status == Completed); err != nil {
			if v.status != Failed {
				return s.orFail(ctx, j, "ClientError: Output upload failed: ", err)
			}
			// What a failed job has left is not worth hiding why it failed.
			s.Log.WarnContext(ctx, "output of a failed processing job was not kept", "arn", j.ARN, "err", err)
		}
	}
	return s.settle(ctx, j, v, text)
}

// settle is the last write of a job; after it the tasks and the folder go.
func (s *Service) settle(ctx context.Context, j Job, v verdict, message string) error {
	j, err := s.jobs.Revise(ctx, j, func(j *Job) {
		j.Status = v.status
		if v.status == Failed {
			j.Doc.FailureReason = taskgroup.Cut(v.reason)
		}
		j.Doc.ExitMessage = taskgroup.Cut(message)
		j.Doc.ProcessingEndTime = wire.At(time.Now())
	})
	if err != nil {
		return err
	}
	s.Log.InfoContext(ctx, "processing job ended", "arn", j.ARN, "status", v.status, "reason", v.reason)
	id := identity(j)
	s.along.Forget(id)
	s.owners.Forget(members(j))
	s.folders.CleanUp(ctx, id)
	return nil
}
