// SPDX-License-Identifier: Apache-2.0

package algo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// channelConfig is one channel in inputdataconfig.json.
type channelConfig struct {
	TrainingInputMode  string
	S3DistributionType string
	RecordWrapperType  string
	ContentType        string
}

// resources is what is read of resourceconfig.json.
type resources struct {
	Host  string   `json:"current_host"`
	Hosts []string `json:"hosts"`
}

// readJSON decodes root/input/config/name into into; a file that is absent
// leaves it as it is.
func readJSON(root, name string, into any) error {
	b, err := os.ReadFile(filepath.Join(root, "input", "config", name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// readInput reads /opt/ml, which is root, and checks it against spec: first
// the hyperparameters, then the channels, as the AWS containers do.
func readInput(spec Spec, root string) (Input, error) {
	var raw map[string]json.RawMessage
	if err := readJSON(root, "hyperparameters.json", &raw); err != nil {
		return Input{}, err
	}
	params, err := ParseParams(spec, flatten(raw))
	if err != nil {
		return Input{}, err
	}
	var configs map[string]channelConfig
	if err := readJSON(root, "inputdataconfig.json", &configs); err != nil {
		return Input{}, err
	}
	if err := checkChannels(spec, configs); err != nil {
		return Input{}, err
	}
	where := resources{Host: "algo-1"}
	if err := readJSON(root, "resourceconfig.json", &where); err != nil {
		return Input{}, err
	}
	if len(where.Hosts) == 0 {
		where.Hosts = []string{where.Host}
	}
	slices.Sort(where.Hosts)
	if !spec.Distributed {
		if err := checkSharding(where.Hosts, configs); err != nil {
			return Input{}, err
		}
	}
	channels := make(map[string]*Channel, len(configs))
	for name, c := range configs {
		channels[name] = &Channel{
			Name:        name,
			Dir:         filepath.Join(root, "input", "data", name),
			ContentType: c.ContentType,
			Pipe:        c.TrainingInputMode == "Pipe",
			Wrapped:     c.RecordWrapperType == "RecordIO",
			Sharded:     c.S3DistributionType == "ShardedByS3Key",
		}
	}
	var kept struct{ LocalPath string }
	if err := readJSON(root, "checkpointconfig.json", &kept); err != nil {
		return Input{}, err
	}
	return Input{
		Params: params, Channels: channels, Host: where.Host, Hosts: where.Hosts,
		Checkpoints: below(root, kept.LocalPath), Output: filepath.Join(root, "output", "data"),
	}, nil
}

// below gives a path that a container knows, which has root as /opt/ml.
func below(root, path string) string {
	if rel, err := filepath.Rel("/opt/ml", path); path != "" && err == nil && filepath.IsLocal(rel) {
		return filepath.Join(root, rel)
	}
	return path
}

// flatten makes the values of hyperparameters.json text. The service writes
// strings; a hand-written file may hold numbers and booleans, which are taken
// as they are spelled.
func flatten(raw map[string]json.RawMessage) map[string]string {
	out := make(map[string]string, len(raw))
	for name, value := range raw {
		var s string
		if json.Unmarshal(value, &s) != nil {
			s = string(value)
		}
		out[name] = s
	}
	return out
}

// checkChannels compares the job's channels with those of spec. The wording is
// the toolkit's.
func checkChannels(spec Spec, configs map[string]channelConfig) error {
	var problems []string
	known := make(map[string]ChannelSpec, len(spec.Channels))
	for _, c := range spec.Channels {
		known[c.Name] = c
		if _, ok := configs[c.Name]; c.Required && !ok {
			problems = append(problems, "Missing required channel: "+c.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		if c, ok := known[name]; !ok {
			problems = append(problems, "Extraneous channel found: "+name)
		} else if configs[name].TrainingInputMode == "Pipe" && !c.Pipe {
			problems = append(problems, fmt.Sprintf("TrainingInputMode Pipe of the %s channel is not built for %s: use File or FastFile", name, spec.Name))
		}
	}
	if len(problems) > 0 {
		return ClientErrorf("%s", strings.Join(problems, "; "))
	}
	return nil
}

// checkSharding refuses data that is split over hosts: each host would learn
// from its own part alone, and the first one's model would pass for the whole.
func checkSharding(hosts []string, configs map[string]channelConfig) error {
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		if len(hosts) > 1 && configs[name].S3DistributionType == "ShardedByS3Key" {
			return ClientErrorf("Training over %d hosts with ShardedByS3Key on the %s channel is not built yet: "+
				"use one instance or FullyReplicated", len(hosts), name)
		}
	}
	return nil
}
