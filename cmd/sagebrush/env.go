// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/sagebrush-ml/sagebrush/internal/server"
)

type envCmd struct {
	homeFlags
	Listen string `env:"SAGEBRUSH_LISTEN" placeholder:"ADDR" help:"Address to name when no server runs; 127.0.0.1:8080 by default."`
	Shell  string `enum:"sh,fish,powershell" default:"sh" help:"Whose syntax: ${enum}. sh is good for bash and zsh."`
	JSON   bool   `name:"json" help:"Print the variables as one JSON object."`
}

// Help is the text below the usage.
func (envCmd) Help() string {
	return `Prints the endpoint, the root key and the region of a home as export lines. Variables that would lead AWS clients elsewhere (a session token, a profile, endpoints of single services) are unset.

Examples:

  eval "$(sagebrush env)"
  sagebrush env --shell fish | source
  sagebrush env --shell powershell | Out-String | Invoke-Expression
  sagebrush env --json

The output has the secret key: do not show it around.

The SageMaker SDK asks a few of AWS's hosts by name, STS for one, whatever the variables say. For code that does, use sagebrush run.`
}

// Run prints the lines. A server that does not run is told on standard error
// and is no failure: it may be started later.
func (c *envCmd) Run() error {
	home, err := c.dir()
	if err != nil {
		return err
	}
	at := homeOption(home)
	f, err := locate(context.Background(), home)
	endpoint := ""
	switch {
	case err == nil:
		endpoint = f.client.URL()
	case errors.Is(err, errNoHome):
		return fmt.Errorf("there is no home at %s yet: `sagebrush serve%s` makes it at its first start", home, at)
	case errors.Is(err, errNotRunning):
		listen := c.Listen
		if listen == "" {
			listen = defaultListen
		}
		endpoint = server.Reachable("http://" + listen)
		fmt.Fprintf(os.Stderr, "sagebrush: no server of %s runs now; start it by `sagebrush serve%s`. The address is the one it would have: %s\n", home, at, endpoint)
	default:
		return err
	}
	vars := endpointVariables(endpoint, f.creds.Region, f.creds.Key())
	if c.JSON {
		object := make(map[string]string, len(vars))
		for _, v := range vars {
			object[v.name] = v.value
		}
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(object)
	}
	_, err = os.Stdout.WriteString(exports(c.Shell, vars, obstacles(os.Environ())))
	return err
}
