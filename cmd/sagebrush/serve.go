// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/server"
)

type serveCmd struct {
	homeFlags
	Listen             string        `env:"SAGEBRUSH_LISTEN" placeholder:"ADDR" help:"Address to listen on; 127.0.0.1:8080 by default, port 0 for any free one."`
	Region             string        `env:"SAGEBRUSH_REGION" placeholder:"REGION" help:"Region, taken at the first start; us-east-1 by default."`
	Account            string        `env:"SAGEBRUSH_ACCOUNT" placeholder:"N" help:"Account, 12 digits, taken at the first start; 123456789012 by default."`
	TLSCert            string        `name:"tls-cert" env:"SAGEBRUSH_TLS_CERT" placeholder:"FILE" help:"Serve HTTPS with this certificate (PEM). Clients trust it by AWS_CA_BUNDLE."`
	TLSKey             string        `name:"tls-key" env:"SAGEBRUSH_TLS_KEY" placeholder:"FILE" help:"The certificate's key (PEM)."`
	MetricsToken       string        `env:"SAGEBRUSH_METRICS_TOKEN" placeholder:"TOKEN" help:"Let other machines read /metrics with this bearer token."`
	Containers         string        `env:"SAGEBRUSH_CONTAINERS" enum:"auto,process,docker" default:"auto" help:"What runs images: ${enum}. process needs nothing else, docker an engine (DOCKER_HOST); auto takes process where this machine allows it."`
	ImageMap           string        `env:"SAGEBRUSH_IMAGE_MAP" placeholder:"FILE" help:"YAML file that tells which image or environment stands for an image URI."`
	Environments       string        `env:"SAGEBRUSH_ENVIRONMENTS" placeholder:"DIR" help:"Cache of Python environments for framework images; HOME/environments by default."`
	Wheels             string        `env:"SAGEBRUSH_WHEELS" placeholder:"DIR" help:"Folder of wheels that framework environments are made of, beside the package index."`
	Offline            bool          `env:"SAGEBRUSH_OFFLINE" help:"Make framework environments of --wheels alone and ask no package index."`
	Pythons            string        `env:"SAGEBRUSH_PYTHONS" placeholder:"PATHS" help:"Python interpreters that framework environments prefer, separated by commas."`
	FileSystems        string        `env:"SAGEBRUSH_FILE_SYSTEMS" placeholder:"ID=DIR" help:"Folders of this machine that stand for EFS and FSx file systems: fs-0123=/data,fs-4567=/more."`
	SpotInterruptEvery time.Duration `env:"SAGEBRUSH_SPOT_INTERRUPT_EVERY" placeholder:"TIME" help:"Mean time between interruptions of each job under managed spot training, such as 10m; never by default."`
	SpotPause          time.Duration `env:"SAGEBRUSH_SPOT_PAUSE" default:"1s" placeholder:"TIME" help:"How long an interrupted spot job waits for another machine."`
	ServerlessIdle     time.Duration `env:"SAGEBRUSH_SERVERLESS_IDLE" default:"5m" placeholder:"TIME" help:"How long an instance of a serverless variant stays without a request."`
	LogLevel           string        `env:"SAGEBRUSH_LOG_LEVEL" enum:"debug,info,warn,error" default:"info" help:"Least level that is logged to standard error: ${enum}."`
	LogJSON            bool          `name:"log-json" env:"SAGEBRUSH_LOG_JSON" help:"Log in JSON."`
	JSON               bool          `name:"json" env:"SAGEBRUSH_JSON" help:"Say where the server is in one line of JSON on standard output."`
}

// Help is the text below the usage.
func (serveCmd) Help() string {
	return `The server keeps everything in its home: records, objects, credentials, logs. The first start makes the home and a root access key in it, readable by you alone. It answers on this machine only, unless --listen says otherwise.

Examples:

  sagebrush serve
  sagebrush serve --home ./state --listen 127.0.0.1:9000
  sagebrush serve --tls-cert cert.pem --tls-key key.pem --listen 0.0.0.0:8443

Then, in another shell:

  eval "$(sagebrush env)"
  aws sagemaker list-training-jobs

Each flag can be a variable (SAGEBRUSH_LISTEN) or a line of HOME/sagebrush.yaml (listen: 127.0.0.1:9000). The command line wins, then the environment, then the file.

Ctrl-C stops the server, not the work: jobs and endpoints run on, and the next server of the same home takes them over.`
}

// Run serves until SIGINT or SIGTERM; a second one does not wait.
func (c *serveCmd) Run() error {
	home, err := c.dir()
	if err != nil {
		return err
	}
	if err := checkAccount(c.Account); err != nil {
		return err
	}
	systems, err := fileSystems(c.FileSystems)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	before, err := server.LoadCredentials(home)
	first := errors.Is(err, fs.ErrNotExist)
	if !first && err == nil {
		warnKept(before, c.Account, c.Region)
	}
	s, err := server.New(ctx, server.Options{
		Home: home, Listen: c.Listen, Account: c.Account, Region: c.Region,
		TLSCert: c.TLSCert, TLSKey: c.TLSKey, MetricsToken: c.MetricsToken,
		Containers: c.Containers, ImageMap: c.ImageMap, Environments: c.Environments, Wheels: c.Wheels, Offline: c.Offline,
		Pythons: commas(c.Pythons), FileSystems: systems, SpotInterruptEvery: c.SpotInterruptEvery, SpotPause: c.SpotPause,
		ServerlessIdle: c.ServerlessIdle,
		Log:            newLog(os.Stderr, c.LogLevel, c.LogJSON),
	})
	if err != nil {
		return explainStart(err, home, c.Listen)
	}
	creds, err := server.LoadCredentials(home)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-s.Ready():
	}
	if c.JSON {
		err = json.NewEncoder(os.Stdout).Encode(announced{Endpoint: s.URL(), Home: home, PID: os.Getpid(),
			Account: creds.Account, Region: creds.Region, FirstStart: first})
	} else {
		_, err = io.WriteString(os.Stdout, announce(s.URL(), home, creds, first))
	}
	if err != nil { // nobody reads; that is no reason not to serve
		slog.Debug("announcement not written", "err", err)
	}
	return <-ended
}

// commas are the parts of a list, none of an empty one.
func commas(list string) []string {
	var out []string
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// fileSystems reads ID=DIR,… . Every folder must be there: a request that names
// one would fail later and less clearly.
func fileSystems(list string) (map[string]string, error) {
	out := map[string]string{}
	for _, part := range commas(list) {
		id, dir, ok := strings.Cut(part, "=")
		if !ok || id == "" {
			return nil, fmt.Errorf("file system %q is not of the form ID=DIR", part)
		}
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		if info, err := os.Stat(abs); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("the folder %s of the file system %s is not there", abs, id)
		}
		out[id] = abs
	}
	return out, nil
}

// announced is the announcement as JSON.
type announced struct {
	Endpoint   string `json:"endpoint"`
	Home       string `json:"home"`
	PID        int    `json:"pid"`
	Account    string `json:"account"`
	Region     string `json:"region"`
	FirstStart bool   `json:"firstStart"`
}

// announce tells a person where the server is and how to use it. It never
// shows the secret key.
func announce(url, home string, creds server.Credentials, first bool) string {
	var b strings.Builder
	at := homeOption(home)
	fmt.Fprintf(&b, "Sagebrush %s is running.\n\n", version())
	fmt.Fprintf(&b, "  endpoint  %s\n", server.Reachable(url))
	fmt.Fprintf(&b, "  home      %s\n", home)
	fmt.Fprintf(&b, "  account   %s, region %s\n\n", creds.Account, creds.Region)
	if first {
		b.WriteString("This is its first start: it made the home, and a root access key in it that only you can read.\n\n")
	}
	b.WriteString("Point AWS clients at it, in another shell:\n\n")
	if strings.HasPrefix(url, "https:") {
		b.WriteString("  export AWS_CA_BUNDLE=FILE    # unless the system trusts the certificate's authority\n")
	}
	fmt.Fprintf(&b, "  eval \"$(sagebrush env%s)\"\n  aws sagemaker list-training-jobs\n\n", at)
	b.WriteString("Or run one command against it:\n\n")
	fmt.Fprintf(&b, "  sagebrush run%s -- python train.py\n\n", at)
	b.WriteString("Ctrl-C stops the server. Jobs and endpoints run on, and the next start takes them over.\n")
	return b.String()
}

// warnKept tells that what the first start laid down stays.
func warnKept(creds server.Credentials, account, region string) {
	for _, w := range []struct{ flag, asked, kept string }{{"account", account, creds.Account}, {"region", region, creds.Region}} {
		if w.asked != "" && w.asked != w.kept {
			fmt.Fprintf(os.Stderr, "sagebrush: this home has the %s %s since its first start; --%s %s is not used\n", w.flag, w.kept, w.flag, w.asked)
		}
	}
}

func checkAccount(account string) error {
	if account != "" && (len(account) != 12 || strings.Trim(account, "0123456789") != "") {
		return fmt.Errorf("--account %s: an account has 12 digits", account)
	}
	return nil
}

// explainStart adds to a failed start what to do about it.
func explainStart(err error, home, listen string) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		if listen == "" {
			listen = defaultListen
		}
		return fmt.Errorf("%s is taken by another program: choose another address, as in `sagebrush serve%s --listen 127.0.0.1:0` (%w)",
			listen, homeOption(home), err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: choose a home that you may write to, by --home or SAGEBRUSH_HOME", err)
	}
	return err
}

func newLog(w io.Writer, level string, inJSON bool) *slog.Logger {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		least = slog.LevelInfo
	}
	o := &slog.HandlerOptions{Level: least}
	if inJSON {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
