// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/sagebrush-ml/sagebrush/model"
)

// buildVersion is set by the release's -ldflags "-X main.buildVersion=v1.2.3".
var buildVersion string

type versionCmd struct {
	JSON bool `name:"json" help:"Print it as JSON."`
}

// version is the release, or what the Go toolchain knows of the build.
func version() string {
	if buildVersion != "" {
		return buildVersion
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v += "+" + s.Value[:min(12, len(s.Value))]
			}
		}
	}
	return v
}

// Run prints the version.
func (c *versionCmd) Run() error {
	v := struct {
		Version  string `json:"version"`
		Go       string `json:"go"`
		OS       string `json:"os"`
		Arch     string `json:"arch"`
		Botocore string `json:"botocore"` // whose service models the wire is made from
	}{version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, model.BotocoreVersion()}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(v)
	}
	_, err := fmt.Printf("sagebrush %s (%s, %s/%s, service models of botocore %s)\n", v.Version, v.Go, v.OS, v.Arch, v.Botocore)
	return err
}
