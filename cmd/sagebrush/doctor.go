// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime/process"
	"github.com/sagebrush-ml/sagebrush/internal/server"
)

type doctorCmd struct {
	homeFlags
	Listen string `env:"SAGEBRUSH_LISTEN" placeholder:"ADDR" help:"Address that the server would have; 127.0.0.1:8080 by default."`
	JSON   bool   `name:"json" help:"Print the checks as JSON."`
}

// Help is the text below the usage.
func (doctorCmd) Help() string {
	return `Tries out what this machine allows, changes nothing, and says for each thing that is missing what it is needed for and how to get it. Only a few are needed for the server to run at all; the exit code is 1 when one of those is missing.

Examples:

  sagebrush doctor
  sagebrush doctor --json | jq '.checks[] | select(.ok | not)'`
}

// check is one thing that a machine has or lacks.
type check struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Required bool   `json:"required"` // the server does not run without
	Detail   string `json:"detail"`
	For      string `json:"neededFor"`
	Fix      string `json:"fix,omitempty"` // when it is missing
}

// Run checks and prints.
func (c *doctorCmd) Run() error {
	home, err := c.dir()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find our own binary: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	checks := []check{checkSystem()}
	checks = append(checks, checkTasks(process.Probe([]string{self, "task"}))...)
	checks = append(checks, checkHome(home)...)
	checks = append(checks, checkServer(ctx, home, c.Listen)...)
	checks = append(checks, checkDocker(ctx), checkPython(ctx), checkUV(ctx), checkFUSE())
	missing := 0
	for _, ch := range checks {
		if ch.Required && !ch.OK {
			missing++
		}
	}
	if c.JSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		err = e.Encode(struct {
			Ready  bool    `json:"ready"` // nothing that is required is missing
			Home   string  `json:"home"`
			Checks []check `json:"checks"`
		}{missing == 0, home, checks})
	} else {
		_, err = io.WriteString(os.Stdout, diagnosis(checks, missing))
	}
	if err == nil && missing > 0 {
		return exitError(exitFailed)
	}
	return err
}

// diagnosis is the checks as text.
func diagnosis(checks []check, missing int) string {
	var b strings.Builder
	for _, c := range checks {
		word := "ok"
		if !c.OK {
			word = "missing"
		}
		fmt.Fprintf(&b, "%-8s %-18s %s\n", word, c.Name, c.Detail)
		if !c.OK {
			fmt.Fprintf(&b, "%28sneeded for: %s\n", "", c.For)
			if c.Fix != "" {
				fmt.Fprintf(&b, "%28sfix: %s\n", "", c.Fix)
			}
		}
	}
	if missing == 0 {
		b.WriteString("\nSagebrush runs here. What is missing above is wanted for what stands beside it, and for nothing else.\n")
	} else {
		fmt.Fprintf(&b, "\nSagebrush does not run here yet: %d thing(s) that it cannot do without are missing.\n", missing)
	}
	return b.String()
}

// checkTasks tells what the process runtime can give a job.
func checkTasks(caps process.Caps) []check {
	namespaces := "run as root, or allow user namespaces (sysctl user.max_user_namespaces; on Ubuntu also kernel.apparmor_restrict_unprivileged_userns=0). " +
		"Until then jobs share your file system and processes, and find their folders by SAGEBRUSH_ML_ROOT"
	groups := "delegate the cpu and memory controllers of cgroup v2 to the user (systemd: Delegate=yes), or run as root"
	if runtime.GOOS != "linux" {
		namespaces, groups = "run the server on Linux, in a virtual machine for instance", "run the server on Linux"
	}
	return []check{
		capCheck("isolation", caps.Isolation, "an /opt/ml, file system and process list of its own for each job", namespaces),
		capCheck("user namespaces", caps.UserNamespace, "isolation of jobs when the server does not run as root", namespaces),
		capCheck("mount namespaces", caps.MountNamespace, "an /opt/ml of its own for each job", namespaces),
		capCheck("PID namespaces", caps.PIDNamespace, "ending all processes of a job with it", namespaces),
		capCheck("overlay", caps.Overlay, "running images without copying them for each job", "Linux 5.11 or root, and a home on a file system that takes overlays (not itself an overlay)"),
		capCheck("network", caps.Network, "EnableNetworkIsolation, and images that listen on a fixed port", namespaces),
		capCheck("process limit", caps.ProcessLimit, "ending a fork bomb with its job", groups),
		capCheck("CPU limit", caps.CPULimit, "holding a job to the processors of its instance type", groups),
		capCheck("memory limit", caps.MemoryLimit, "holding a job to the memory of its instance type", groups),
		capCheck("resource limits", caps.Rlimits, "bounding what a job opens", ""),
	}
}

func capCheck(name string, c process.Cap, needed, fix string) check {
	out := check{Name: name, OK: c.OK, Detail: c.Reason, For: needed}
	if !c.OK {
		out.Fix = fix
	}
	return out
}

// checkServer tells whether the home's server answers, and whether its address
// is free when it does not.
func checkServer(ctx context.Context, home, listen string) []check {
	running := check{Name: "server", For: "everything: it is the endpoint of the AWS clients"}
	f, err := locate(ctx, home)
	if err == nil {
		running.OK, running.Detail = true, fmt.Sprintf("%s, pid %d", f.client.URL(), f.pid)
	} else {
		running.Detail = err.Error()
		if errors.Is(err, errNoHome) || errors.Is(err, errNotRunning) {
			running.Fix = "sagebrush serve" + homeOption(home)
		} else {
			running.Fix = "mend what it says, then ask again"
		}
	}
	if listen == "" {
		listen = defaultListen
	}
	port := check{Name: "address " + listen, OK: true, Detail: "free", For: "listening at the usual address"}
	if err := tryListen(listen); err != nil {
		if port.Detail = "taken by this home's server"; !running.OK || server.Reachable("http://"+listen) != f.client.URL() {
			port.OK, port.Detail = false, err.Error()
			port.Fix = "choose another: sagebrush serve" + homeOption(home) + " --listen 127.0.0.1:0"
		}
	}
	return []check{running, port}
}
