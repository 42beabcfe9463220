// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/demo"
)

type demoCmd struct {
	homeFlags
	Listen string `env:"SAGEBRUSH_LISTEN" placeholder:"ADDR" help:"Address of a server that has to be started; 127.0.0.1:8080 by default, or a free one."`
	JSON   bool   `name:"json" help:"Print the result as JSON; progress goes to standard error."`
	Stop   bool   `help:"Delete the demonstration's endpoints and stop the server that it started."`
}

// Help is the text below the usage.
func (demoCmd) Help() string {
	return `The main job on real data, in a few seconds: 569 tumours, 30 measurements each, benign or malignant (Breast Cancer Wisconsin, UCI Machine Learning Repository, CC BY 4.0). Uploads it, trains XGBoost, deploys the model, asks it for rows that it has not seen, and scores the answers.

It uses the home's running server, or starts one that goes on afterwards. It may be repeated; the endpoint of the last run stays.

Examples:

  sagebrush demo
  sagebrush demo --json | jq .accuracy
  sagebrush demo --stop`
}

// step is one line of progress.
type step struct {
	What    string  `json:"what"`
	Seconds float64 `json:"seconds"`
}

// outcome is the demonstration as JSON.
type outcome struct {
	URL     string  `json:"url"` // of the server
	Home    string  `json:"home"`
	PID     int     `json:"pid"`
	Region  string  `json:"region"`
	Started bool    `json:"startedServer"`
	Steps   []step  `json:"steps"`
	Seconds float64 `json:"seconds"`
	demo.Report
}

// Run does the demonstration.
func (c *demoCmd) Run() error {
	home, err := c.dir()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var progress io.Writer = os.Stdout
	if c.JSON {
		progress = os.Stderr
	}
	if c.Stop {
		return c.stop(ctx, home, progress)
	}
	begin := time.Now()
	out := outcome{Home: home}
	said := func(what string, took time.Duration) {
		out.Steps = append(out.Steps, step{what, took.Seconds()})
		fmt.Fprintf(progress, "%6.2f s  %s\n", took.Seconds(), what)
	}
	f, err := c.server(ctx, home, &out, said)
	if err != nil {
		return err
	}
	out.Report, err = demo.Run(ctx, demo.Options{Client: f.client, Account: f.creds.Account, Step: func(what string, took time.Duration) {
		said(what, took)
	}, Waiting: func(what, status string, since time.Duration) {
		fmt.Fprintf(progress, "          ... the %s %s (%.0f s)\n", what, status, since.Seconds())
	}})
	if err != nil {
		return c.explain(err, f)
	}
	out.Seconds = time.Since(begin).Seconds()
	if c.JSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(out)
	}
	_, err = io.WriteString(os.Stdout, epilogue(out))
	return err
}

// server finds the home's server or starts one that outlives us.
func (c *demoCmd) server(ctx context.Context, home string, out *outcome, said func(string, time.Duration)) (found, error) {
	begin := time.Now()
	f, err := locate(ctx, home)
	what := "found"
	if errors.Is(err, errNoHome) || errors.Is(err, errNotRunning) {
		if f, err = startDetached(ctx, c.homeFlags, c.Listen); err == nil {
			err = markDemoServer(home, f.pid)
		}
		what, out.Started = "started", true
	}
	if err != nil {
		return f, err
	}
	out.URL, out.PID, out.Region = f.client.URL(), f.pid, f.creds.Region
	said(fmt.Sprintf("%s the server: %s, home %s", what, f.client.URL(), home), time.Since(begin))
	return f, nil
}

// explain adds to a failed demonstration where to look.
func (c *demoCmd) explain(err error, f found) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("the demonstration failed: %w\nThe server is %s (pid %d); its log, if it was started here, is %s.\n"+
		"`sagebrush doctor%s` tells what this machine lacks", err, f.client.URL(), f.pid, filepath.Join(f.home, logName), homeOption(f.home))
}

// epilogue is what is said after the steps: the curve, the score, the next
// commands.
func epilogue(o outcome) string {
	var b strings.Builder
	b.WriteString("\nThe evaluation curve, from CloudWatch Logs:\n\n")
	for line := range strings.SplitSeq(demo.Table(o.Curve), "\n") {
		b.WriteString("  " + line + "\n")
	}
	fmt.Fprintf(&b, "\nOn %d rows that the model has not seen: accuracy %.4f, AUC %.4f. The first few:\n\n", o.HeldOut, o.Accuracy, o.AUC)
	fmt.Fprintf(&b, "  %8s  %-9s  %s\n", "score", "truth", "measurements")
	for _, p := range o.Sample {
		truth := "malignant"
		if p.Benign {
			truth = "benign"
		}
		fields := strings.SplitN(p.Features, ",", 6)
		fmt.Fprintf(&b, "  %8.5f  %-9s  %s,...\n", p.Score, truth, strings.Join(fields[:min(5, len(fields))], ","))
	}
	self := "sagebrush"
	if len(os.Args) > 0 && strings.ContainsRune(os.Args[0], os.PathSeparator) {
		self = shellQuote(os.Args[0])
	}
	at := homeOption(o.Home)
	fmt.Fprintf(&b, "\nDone in %.1f s. The server goes on at %s (pid %d), the endpoint with it. Next:\n\n", o.Seconds, o.URL, o.PID)
	fmt.Fprintf(&b, "  eval \"$(%s env%s)\"\n", self, at)
	b.WriteString("  aws sagemaker list-training-jobs\n\n")
	b.WriteString("  python3 - <<'EOF'\n")
	b.WriteString("  import boto3\n")
	b.WriteString("  answer = boto3.client(\"sagemaker-runtime\").invoke_endpoint(\n")
	fmt.Fprintf(&b, "      EndpointName=%q, ContentType=\"text/csv\",\n", o.Endpoint)
	if len(o.Sample) > 0 {
		fmt.Fprintf(&b, "      Body=%q)\n", o.Sample[0].Features)
	}
	b.WriteString("  print(answer[\"Body\"].read())\n")
	b.WriteString("  EOF\n\n")
	fmt.Fprintf(&b, "  %s demo%s --stop\n", self, at)
	return b.String()
}

// stop deletes what the demonstration left and ends the server, if it is the
// demonstration's.
func (c *demoCmd) stop(ctx context.Context, home string, progress io.Writer) error {
	f, err := locate(ctx, home)
	if errors.Is(err, errNoHome) || errors.Is(err, errNotRunning) {
		fmt.Fprintf(progress, "No server of %s runs.\n", home)
		return c.stopped(home, 0, 0)
	}
	if err != nil {
		return err
	}
	deleted, err := demo.Clean(ctx, f.client)
	if err != nil {
		return fmt.Errorf("delete the demonstration's endpoints: %w", err)
	}
	fmt.Fprintf(progress, "Deleted %d endpoint(s).\n", deleted)
	if !startedByDemo(home, f.pid) {
		return fmt.Errorf("the server at %s was not started by the demonstration, so it goes on: stop it by Ctrl-C where it runs, or by `kill %d`",
			f.client.URL(), f.pid)
	}
	if err := stopServer(ctx, f); err != nil {
		return err
	}
	os.Remove(filepath.Join(home, demoPID))
	fmt.Fprintf(progress, "Stopped the server (pid %d). Its state stays in %s.\n", f.pid, home)
	return c.stopped(home, f.pid, deleted)
}

func (c *demoCmd) stopped(home string, pid, deleted int) error {
	if !c.JSON {
		return nil
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"home": home, "stoppedPid": pid, "deletedEndpoints": deleted})
}
