// SPDX-License-Identifier: Apache-2.0

package training

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/feed"
	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/transfer"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// Channels in Pipe mode are streamed by a task beside each host's, our own
// binary: so a stream goes on while the server is down. Its folder is
// <host>/feed, with the specification, the lists of what to send, and in the
// end why it failed. What it sends are links to the objects, as they were when
// the job was staged.
const (
	feedName    = "feed"
	specName    = "spec.json"
	failureName = "failure"
	objectsName = "objects"
)

func (s *Service) feedDir(id, host string) string { return filepath.Join(s.work(id), host, feedName) }

// stageFeeds makes what the feeders of all hosts need, and their first FIFOs.
func (s *Service) stageFeeds(ctx context.Context, j Job) error {
	id, all := identity(j), machines(j)
	for _, m := range all {
		if !piped(j, m) {
			continue
		}
		dir := s.feedDir(id, m.Host)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make folder of feeder: %w", err)
		}
		spec := feed.Spec{Failure: filepath.Join(dir, failureName)}
		for _, c := range channelsOf(j, m) {
			if mode(j, c) != pipeMode {
				continue
			}
			with := slices.DeleteFunc(slices.Clone(all), func(o machine) bool { return !hasChannel(c, o) })
			list := filepath.Join(dir, c.ChannelName+".list")
			if err := s.list(ctx, id, c, m, slices.Index(with, m), len(with), list); err != nil {
				return fmt.Errorf("channel %q: %w", c.ChannelName, err)
			}
			out := feed.Channel{Name: c.ChannelName, Dir: s.ml(id, m.Host).Channel(""), List: list,
				Wrap: feed.Wrap(c.RecordWrapperType), Gzip: c.CompressionType == "Gzip"}
			if c.ShuffleConfig != nil {
				out.ShuffleSeed = c.ShuffleConfig.Seed
			}
			spec.Channels = append(spec.Channels, out)
		}
		path := filepath.Join(dir, specName)
		if err := spec.Save(path); err != nil {
			return err
		}
		spec, err := feed.Load(path)
		if err != nil {
			return err
		}
		if err := feed.Prepare(spec); err != nil {
			return err
		}
	}
	return nil
}

// list writes down what a channel sends to a host, the i-th of n.
func (s *Service) list(ctx context.Context, id string, c sm.Channel, m machine, i, n int, path string) error {
	source := sourceOf(c)
	share := c.DataSource.S3DataSource.S3DataDistributionType == shardedByKey
	at := filepath.Join(s.work(id), m.Host, feedName, objectsName, c.ChannelName)
	if source.Type == augmentedManifest {
		return s.listAugmented(ctx, c, at, share, i, n, path)
	}
	if share {
		source.Part, source.Parts = i, n
	}
	items, err := s.data.Items(ctx, source)
	if err != nil {
		return err
	}
	if err := s.data.Place(ctx, items, at); err != nil {
		return err
	}
	files := feed.Files(func(yield func(string) bool) {
		for _, it := range items {
			if !yield(filepath.Join(at, filepath.FromSlash(it.Name))) {
				return
			}
		}
	})
	return feed.WriteList(path, files)
}

// listAugmented is list for an augmented manifest: each line is a sample, and
// each attribute whose name ends in -ref names an object.
func (s *Service) listAugmented(ctx context.Context, c sm.Channel, at string, share bool, i, n int, path string) error {
	d := c.DataSource.S3DataSource
	u, err := object.ParseURI(d.S3Uri)
	if err != nil {
		return transfer.BadData("%w", err)
	}
	r, err := s.Objects.Open(ctx, u, 0, -1)
	if err != nil {
		return fmt.Errorf("manifest %s: %w", u, err)
	}
	defer r.Close()
	placed := map[object.URI]string{}
	var broken error // of the store, not of the manifest
	samples := feed.Augmented(r, d.AttributeNames, func(u object.URI) (string, error) {
		if p, ok := placed[u]; ok {
			return p, nil
		}
		name := fmt.Sprint(len(placed))
		if err := s.data.Place(ctx, []transfer.Item{{URI: u, Name: name, Size: -1}}, at); err != nil {
			if !errors.Is(err, object.ErrNotFound) {
				broken = err
			}
			return "", err
		}
		placed[u] = filepath.Join(at, name)
		return placed[u], nil
	})
	if share {
		samples = feed.Share(samples, i, n)
	}
	switch err := feed.WriteList(path, samples); {
	case broken != nil:
		return broken
	case err != nil && ctx.Err() == nil:
		return transfer.BadData("manifest %s: %w", u, err)
	default:
		return err
	}
}

// startFeed starts the feeder of a host.
func (s *Service) startFeed(ctx context.Context, j Job, m machine) error {
	id := identity(j)
	dir, data := s.feedDir(id, m.Host), s.ml(id, m.Host).Channel("")
	t := runtime.Task{ID: feedID(id, j.Private.Attempt, m.Host), Command: append(slices.Clone(s.Feed), filepath.Join(dir, specName)),
		Network: runtime.None, Mounts: []runtime.Mount{{Source: dir, Target: dir}, {Source: data, Target: data}}}
	if err := s.Runtime.Start(ctx, t); err != nil {
		return fmt.Errorf("start feeder: %w", err)
	}
	return nil
}

// feedFailure is why the feeder of a host failed, as FailureReason tells it; ""
// when it left no word.
func (s *Service) feedFailure(id, host string) string {
	f, ok, err := feed.ReadFailure(filepath.Join(s.feedDir(id, host), failureName))
	if err != nil || !ok {
		return ""
	}
	head := "InternalServerError: The input of " + host + " was cut off: "
	if f.Data {
		head = "ClientError: Data download failed: "
	}
	return head + f.Message
}
