// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"gopkg.in/yaml.v3"

	"github.com/sagebrush-ml/sagebrush/internal/server"
)

// homeFlags say which server is meant. A command that embeds them also reads
// the configuration file.
type homeFlags struct {
	Home   string `env:"SAGEBRUSH_HOME" placeholder:"DIR" help:"Folder of state, credentials and data; ~/.sagebrush by default."`
	Config string `env:"SAGEBRUSH_CONFIG" placeholder:"FILE" help:"YAML file with the flags of serve, without their dashes; HOME/sagebrush.yaml by default."`
}

// dir is the home as an absolute path.
func (f homeFlags) dir() (string, error) {
	home := f.Home
	if home == "" {
		home = server.DefaultHome()
	}
	abs, err := filepath.Abs(home)
	if err != nil {
		return "", fmt.Errorf("find the home %s: %w", home, err)
	}
	return abs, nil
}

// args are the flags that make another sagebrush mean the same home. Both
// paths are absolute: the other may have another working directory.
func (f homeFlags) args() ([]string, error) {
	home, err := f.dir()
	if err != nil {
		return nil, err
	}
	out := []string{"--home", home}
	if f.Config != "" {
		file, err := filepath.Abs(f.Config)
		if err != nil {
			return nil, err
		}
		out = append(out, "--config", file)
	}
	return out, nil
}

// option is the --home that a person has to add to a command so that it means
// this home: "" for the default one.
func homeOption(home string) string {
	if def, err := filepath.Abs(server.DefaultHome()); err == nil && def == home {
		return ""
	}
	return " --home " + shellQuote(home)
}

const configName = "sagebrush.yaml"

// configFile gives flags the values of a YAML file: below the command line and
// the environment, above the defaults. It reads at its first use, when the
// command line has told where the home is.
type configFile struct {
	read   bool
	values map[string]any
}

var _ kong.Resolver = (*configFile)(nil)

// Validate implements kong.Resolver; the file is checked when it is read.
func (*configFile) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver.
func (c *configFile) Resolve(ctx *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	if parent.Command == nil || len(flag.Envs) == 0 || flag.Name == "config" {
		return nil, nil
	}
	file, home := flagOf(parent.Command, "config"), flagOf(parent.Command, "home")
	if file == nil || home == nil { // a command that is about no home
		return nil, nil
	}
	if slices.ContainsFunc(flag.Envs, func(name string) bool { _, set := os.LookupEnv(name); return set }) {
		return nil, nil
	}
	if !c.read {
		c.read = true
		var f homeFlags
		f.Config, _ = ctx.FlagValue(file).(string)
		f.Home, _ = ctx.FlagValue(home).(string)
		if err := c.load(f, settings(ctx.Model)); err != nil {
			return nil, err
		}
	}
	return c.values[flag.Name], nil
}

// load reads the file that f means. None in the home is as good as an empty one.
func (c *configFile) load(f homeFlags, known []string) error {
	path := f.Config
	if path == "" {
		home, err := f.dir()
		if err != nil {
			return err
		}
		path = filepath.Join(home, configName)
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && f.Config == "" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if c.values, err = parseConfig(text, known); err != nil {
		return fmt.Errorf("read configuration %s: %w", path, err)
	}
	return nil
}

// parseConfig reads YAML of plain values under the known names; an underscore
// is as good as a dash.
func parseConfig(text []byte, known []string) (map[string]any, error) {
	var raw map[string]any
	if err := yaml.Unmarshal(text, &raw); err != nil {
		return nil, err
	}
	values := make(map[string]any, len(raw))
	for key, value := range raw {
		name := strings.ReplaceAll(key, "_", "-")
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("there is no setting %q; there are %s", key, strings.Join(known, ", "))
		}
		switch v := value.(type) {
		case nil: // named and left empty: the default
		case string, bool:
			values[name] = v
		case int, int64, uint64, float64:
			// Account numbers are written without quotes, and some begin with 0.
			return nil, fmt.Errorf("%s: put quotes around %v", key, v)
		default:
			return nil, fmt.Errorf("%s: a plain value is wanted, not %T", key, v)
		}
	}
	return values, nil
}

// settings are the names that the file may have: the flags of serve.
func settings(app *kong.Application) []string {
	var names []string
	for _, node := range app.Children {
		if node.Name != "serve" {
			continue
		}
		for _, flag := range node.Flags {
			if len(flag.Envs) > 0 && flag.Name != "config" {
				names = append(names, flag.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}

func flagOf(node *kong.Node, name string) *kong.Flag {
	for _, flag := range node.Flags {
		if flag.Name == name {
			return flag
		}
	}
	return nil
}
