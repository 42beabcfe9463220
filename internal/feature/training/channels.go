// SPDX-License-Identifier: Apache-2.0

package training

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/optml"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/transfer"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// codeChannels are the channels into which the SDKs put programs. Their files
// are the container's own: SDK v3's driver makes itself executable, a remote
// function unpacks its workspace beside it.
var codeChannels = []string{"code", "sm_drivers", "sm_code", "recipe", "sagemaker_remote_function_bootstrap",
	"sagemaker_remote_function_workspace", "pre_exec_script_and_dependencies", "conf"}

// mode is how a channel's data comes: File, FastFile or Pipe.
func mode(j Job, c sm.Channel) string {
	if c.InputMode != "" {
		return c.InputMode
	}
	return j.Doc.AlgorithmSpecification.TrainingInputMode
}

const pipeMode = "Pipe"

// piped says that a host has a channel that is streamed.
func piped(j Job, m machine) bool {
	return slices.ContainsFunc(channelsOf(j, m), func(c sm.Channel) bool { return mode(j, c) == pipeMode })
}

// channelsOf are the channels that a host gets: a channel may be for some
// instance groups only.
func channelsOf(j Job, m machine) []sm.Channel {
	var out []sm.Channel
	for _, c := range j.Doc.InputDataConfig {
		if hasChannel(c, m) {
			out = append(out, c)
		}
	}
	return out
}

func hasChannel(c sm.Channel, m machine) bool {
	d := c.DataSource
	return d.S3DataSource == nil || len(d.S3DataSource.InstanceGroupNames) == 0 || slices.Contains(d.S3DataSource.InstanceGroupNames, m.Group)
}

// describeChannel is a channel in inputdataconfig.json.
func describeChannel(j Job, c sm.Channel) optml.Channel {
	out := optml.Channel{TrainingInputMode: mode(j, c), ContentType: c.ContentType, RecordWrapperType: c.RecordWrapperType,
		S3DistributionType: fullyReplicated}
	if d := c.DataSource.S3DataSource; d != nil {
		out.S3DistributionType = d.S3DataDistributionType
	}
	return out
}

const (
	fullyReplicated = "FullyReplicated"
	shardedByKey    = "ShardedByS3Key"
)

// stageChannels puts the channels' data where the hosts find it, and adds to the
// mounts. What all hosts see is there once.
func (s *Service) stageChannels(ctx context.Context, j Job, mounts map[string][]runtime.Mount) error {
	all := machines(j)
	for _, c := range j.Doc.InputDataConfig {
		var with []machine // that get the channel
		for _, m := range all {
			if hasChannel(c, m) {
				with = append(with, m)
			}
		}
		for i, m := range with {
			if mode(j, c) == pipeMode {
				continue // stageFeed
			}
			mount, err := s.stageChannel(ctx, j, c, m, i, len(with))
			if err != nil {
				return fmt.Errorf("channel %q: %w", c.ChannelName, err)
			}
			if mount == nil {
				continue
			}
			if c.DataSource.S3DataSource != nil && c.DataSource.S3DataSource.S3DataDistributionType == shardedByKey {
				mounts[m.Host] = append(mounts[m.Host], *mount)
				continue
			}
			for _, m := range with {
				mounts[m.Host] = append(mounts[m.Host], *mount)
			}
			break
		}
	}
	return s.stageFeeds(ctx, j)
}

// stageChannel stages a channel for one host, the i-th of n that get it.
func (s *Service) stageChannel(ctx context.Context, j Job, c sm.Channel, m machine, i, n int) (*runtime.Mount, error) {
	id := identity(j)
	target := path.Join(optml.DataPath, c.ChannelName)
	if f := c.DataSource.FileSystemDataSource; f != nil {
		mount, err := s.FileSystems.mount(f, target)
		return mount, err
	}
	place := transfer.Place{Target: target, Links: filepath.Join(s.work(id), channelsName, c.ChannelName),
		Copies: s.ml(id, m.Host).Channel(c.ChannelName), Own: slices.Contains(codeChannels, c.ChannelName)}
	source := sourceOf(c)
	if c.DataSource.S3DataSource.S3DataDistributionType == shardedByKey {
		source.Part, source.Parts = i, n
		place.Links = filepath.Join(s.work(id), m.Host, channelsName, c.ChannelName)
	}
	if mode(j, c) == "FastFile" && s.Stream != nil {
		if mount, ok, err := s.Stream(ctx, source, place); ok || err != nil {
			return mount, err
		}
	}
	return s.data.Stage(ctx, source, place)
}

func sourceOf(c sm.Channel) transfer.Source {
	d := c.DataSource.S3DataSource
	return transfer.Source{URI: d.S3Uri, Type: d.S3DataType, Gzip: c.CompressionType == "Gzip"}
}

// FileSystems are the folders of this machine that stand for EFS and FSx file
// systems, by their IDs. No other can be named by a request.
type FileSystems map[string]string

// mount shows a folder of a file system. The path may not lead out of it.
func (f FileSystems) mount(d *sm.FileSystemDataSource, target string) (*runtime.Mount, error) {
	dir, ok := f[d.FileSystemId]
	if !ok {
		return nil, transfer.BadData("the file system %s is not known to this server", d.FileSystemId)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, transfer.BadData("the file system %s: %w", d.FileSystemId, err)
	}
	defer root.Close()
	rel := path.Clean("/" + d.DirectoryPath)[1:]
	if rel == "" {
		rel = "."
	}
	if info, err := root.Stat(rel); err != nil || !info.IsDir() {
		return nil, transfer.BadData("the directory %q of the file system %s cannot be had: it is no folder within it", d.DirectoryPath, d.FileSystemId)
	}
	return &runtime.Mount{Source: filepath.Join(dir, filepath.FromSlash(rel)), Target: target, ReadOnly: d.FileSystemAccessMode != "rw"}, nil
}
