// SPDX-License-Identifier: Apache-2.0

package optml

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Config is what the files in /opt/ml/input/config tell a container.
type Config struct {
	HyperParameters map[string]string
	Channels        map[string]Channel
	Resources       Resources
	Checkpoints     *Checkpoints // nil where the job keeps none
}

// Checkpoints is checkpointconfig.json: where a container keeps what it needs to
// go on after an interruption.
type Checkpoints struct {
	S3URI     string `json:"S3Uri"`
	LocalPath string `json:"LocalPath"` // inside the container
}

// Channel is one channel in inputdataconfig.json.
type Channel struct {
	TrainingInputMode  string `json:"TrainingInputMode"`  // File, FastFile
	S3DistributionType string `json:"S3DistributionType"` // FullyReplicated, ShardedByS3Key
	RecordWrapperType  string `json:"RecordWrapperType"`  // None, RecordIO
	ContentType        string `json:"ContentType,omitempty"`
}

// Resources tell a host of its job's hosts.
type Resources struct {
	Host             string // "algo-1"
	InstanceType     string
	Group            string // of Host; Homogeneous when the caller named none
	Hosts            []string
	Groups           []Group // all; nil for one that holds all Hosts
	NetworkInterface string  // by which hosts reach each other; eth0 when empty
}

// Group is an instance group.
type Group struct {
	Name  string   `json:"instance_group_name"`
	Type  string   `json:"instance_type"`
	Hosts []string `json:"hosts"`
}

// Homogeneous is the group that the service names when the caller named none.
const Homogeneous = "homogeneousCluster"

// resourceConfig is resourceconfig.json.
type resourceConfig struct {
	CurrentHost      string   `json:"current_host"`
	CurrentType      string   `json:"current_instance_type"`
	CurrentGroup     string   `json:"current_group_name"`
	Hosts            []string `json:"hosts"`
	Groups           []Group  `json:"instance_groups"`
	NetworkInterface string   `json:"network_interface_name"`
}

// MarshalJSON gives what resourceconfig.json holds.
func (r Resources) MarshalJSON() ([]byte, error) { return json.Marshal(r.config()) }

func (r Resources) config() resourceConfig {
	out := resourceConfig{CurrentHost: r.Host, CurrentType: r.InstanceType, CurrentGroup: r.Group,
		Hosts: slices.Sorted(slices.Values(r.Hosts)), Groups: r.Groups, NetworkInterface: r.NetworkInterface}
	if out.CurrentGroup == "" {
		out.CurrentGroup = Homogeneous
	}
	if out.Groups == nil {
		out.Groups = []Group{{Name: out.CurrentGroup, Type: r.InstanceType, Hosts: out.Hosts}}
	}
	if out.NetworkInterface == "" {
		out.NetworkInterface = "eth0"
	}
	return out
}

// WriteConfig writes the files of /opt/ml/input/config.
func (d Dir) WriteConfig(c Config) error {
	files := map[string]any{
		// A container reads an empty object where null would surprise it.
		"hyperparameters.json": orEmpty(c.HyperParameters),
		"inputdataconfig.json": orEmpty(c.Channels),
		"resourceconfig.json":  c.Resources,
	}
	if c.Checkpoints != nil {
		files["checkpointconfig.json"] = c.Checkpoints
	}
	for name, v := range files {
		b, err := json.Marshal(v)
		if err == nil {
			err = os.WriteFile(filepath.Join(d.config(), name), b, 0o644)
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

func orEmpty[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}
