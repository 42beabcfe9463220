// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/sagebrush-ml/sagebrush/internal/server"
)

func TestServe(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	s := startServer(t, home, "--region", "eu-west-1", "--account", "000000000042")
	if !s.FirstStart || s.Account != "000000000042" || s.Region != "eu-west-1" || s.PID != s.cmd.Process.Pid || s.Home != home {
		t.Errorf("announced %+v", s.announced)
	}
	resp, err := http.Get(s.Endpoint + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("health: %s", resp.Status)
	}
	for file, mode := range map[string]os.FileMode{".": 0o700, "credentials.json": 0o600} {
		if info, err := os.Stat(filepath.Join(home, file)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v; want %v", file, info.Mode(), err, mode)
		}
	}
	if got := sagebrush(t, nil, "serve", "--home", home, "--listen", "127.0.0.1:0"); got.code != 1 || !strings.Contains(got.stderr, s.Endpoint) {
		t.Errorf("a second server of the home: exit code %d, %s", got.code, got.stderr)
	}
	addr := strings.TrimPrefix(s.Endpoint, "http://")
	if got := sagebrush(t, nil, "serve", "--home", t.TempDir(), "--listen", addr); got.code != 1 || !strings.Contains(got.stderr, "taken by another program") {
		t.Errorf("a taken address: exit code %d, %s", got.code, got.stderr)
	}
	if code := s.end(t); code != 0 {
		t.Errorf("ended with %d: %s", code, s.stderr)
	}
	if _, err := os.Stat(filepath.Join(home, "server.json")); err == nil {
		t.Error("server.json is left behind")
	}

	again := startServer(t, home, "--region", "us-west-2")
	if again.FirstStart || again.Region != "eu-west-1" {
		t.Errorf("second start announced %+v", again.announced)
	}
	again.end(t)
	if !strings.Contains(again.stderr.String(), "--region us-west-2 is not used") {
		t.Errorf("nothing is said of the region: %s", again.stderr)
	}
}

func TestAnnouncementKeepsTheSecret(t *testing.T) {
	creds := server.Credentials{Account: "123456789012", Region: "us-east-1", AccessKey: "AKIAX", SecretKey: "s3cr3t"}
	text := announce("http://[::]:8080", "/srv/it's here", creds, true)
	if strings.Contains(text, creds.SecretKey) {
		t.Errorf("it shows the secret:\n%s", text)
	}
	for _, want := range []string{"http://127.0.0.1:8080\n", "/srv/it's here\n", `eval "$(sagebrush env --home '/srv/it'\''s here')"`, "first start", "Ctrl-C"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not said:\n%s", want, text)
		}
	}
	if strings.Contains(announce("http://127.0.0.1:8080", "/srv", creds, false), "first start") {
		t.Error("a later start is announced as the first")
	}
}

// parse reads a command line in this process.
func parse(t *testing.T, args ...string) (cli, error) {
	t.Helper()
	var c cli
	p, err := kong.New(&c, options()...)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Parse(args)
	return c, err
}

func TestConfiguration(t *testing.T) {
	home := t.TempDir()
	t.Setenv("SAGEBRUSH_HOME", home)
	t.Setenv("SAGEBRUSH_REGION", "eu-central-1")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(home, configName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("listen: 127.0.0.1:9001\nregion: us-west-2\naccount: \"000000000007\"\nlog_json: true\nlog-level: warn\ntls-cert:\n")
	c, err := parse(t, "serve", "--account", "000000000008")
	if err != nil {
		t.Fatal(err)
	}
	if c.Serve.Listen != "127.0.0.1:9001" || !c.Serve.LogJSON || c.Serve.LogLevel != "warn" {
		t.Errorf("the file is not heard: %+v", c.Serve)
	}
	if c.Serve.Region != "eu-central-1" {
		t.Errorf("the file beats the environment: %s", c.Serve.Region)
	}
	if c.Serve.Account != "000000000008" {
		t.Errorf("the file beats the command line: %s", c.Serve.Account)
	}
	if c, err := parse(t, "env"); err != nil || c.Env.Listen != "127.0.0.1:9001" {
		t.Errorf("env does not hear it: %+v, %v", c.Env, err)
	}
	if c, err := parse(t, "algo", "serve", "xgboost"); err != nil || c.Algo.Serve.Listen != "" {
		t.Errorf("a task hears the server's file: %+v, %v", c.Algo.Serve, err)
	}

	other := filepath.Join(t.TempDir(), "other.yaml")
	if err := os.WriteFile(other, []byte("listen: 127.0.0.1:9002\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := parse(t, "serve", "--config", other); err != nil || c.Serve.Listen != "127.0.0.1:9002" {
		t.Errorf("--config: %+v, %v", c.Serve, err)
	}
	if _, err := parse(t, "serve", "--config", other+".not"); err == nil {
		t.Error("a file that was asked for may be missing")
	}
	for name, text := range map[string]string{
		`there is no setting "port"`: "port: 9000\n",
		"put quotes around":          "account: 123456789012\n",
		"a plain value is wanted":    "listen: [a, b]\n",
		"yaml":                       "a: b: c\n",
		"bool value must be":         "log-json: often\n",
		"must be one of":             "log-level: loud\n",
	} {
		write(text)
		if _, err := parse(t, "serve"); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: got %v, want %q", text, err, name)
		}
	}
}

func FuzzConfig(f *testing.F) {
	for _, s := range []string{"listen: a\n", "a: 1\n", "? [1]\n: 2\n", "&a [*a]", "region: |\n  x\n", "log-json: true"} {
		f.Add(s)
	}
	known := []string{"listen", "region", "log-json"}
	f.Fuzz(func(t *testing.T, text string) {
		values, err := parseConfig([]byte(text), known)
		if err != nil {
			return
		}
		for name, v := range values {
			switch v.(type) {
			case string, bool:
			default:
				t.Errorf("%s is a %T", name, v)
			}
		}
	})
}

func TestEnvOfARunningServer(t *testing.T) {
	home := t.TempDir()
	s := startServer(t, home)
	creds, err := server.LoadCredentials(home)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"AWS_ENDPOINT_URL": s.Endpoint, "AWS_ACCESS_KEY_ID": creds.AccessKey, "AWS_SECRET_ACCESS_KEY": creds.SecretKey,
		"AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
	}
	got := sagebrush(t, nil, "env", "--home", home, "--json")
	var vars map[string]string
	if err := json.Unmarshal([]byte(got.stdout), &vars); err != nil || got.stderr != "" {
		t.Fatalf("%s: %v, %s", got.stdout, err, got.stderr)
	}
	for name, value := range want {
		if vars[name] != value {
			t.Errorf("%s is %q, want %q", name, vars[name], value)
		}
	}
	if len(vars) != len(want) {
		t.Errorf("variables %v", vars)
	}

	// What a shell makes of it, with the leftovers of another session around.
	sh := exec.Command("sh", "-c", `eval "$("$0" env --home "$1")"; env`, binary, home)
	sh.Env = environment(t, "AWS_SESSION_TOKEN=old", "AWS_ENDPOINT_URL_S3=http://elsewhere", "AWS_PROFILE=work")
	out, err := sh.Output()
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range want {
		if !strings.Contains("\n"+string(out), "\n"+name+"="+value+"\n") {
			t.Errorf("%s=%s is not in the shell's environment", name, value)
		}
	}
	if n := strings.Count(string(out), "AWS_"); n != len(want) {
		t.Errorf("the shell has %d of AWS's variables:\n%s", n, out)
	}

	s.end(t)
	got = sagebrush(t, nil, "env", "--home", home, "--listen", "0.0.0.0:9000")
	if got.code != 0 || !strings.Contains(got.stdout, "AWS_ENDPOINT_URL=http://127.0.0.1:9000\n") || !strings.Contains(got.stderr, "sagebrush serve --home "+home) {
		t.Errorf("with the server stopped: %+v", got)
	}
}

func TestAnotherHomesServerIsNotOurs(t *testing.T) {
	mine, other := t.TempDir(), t.TempDir()
	s := startServer(t, mine)
	s.end(t)
	// The address of the first goes to another home, as after a crash.
	o := startServer(t, other)
	text, err := json.Marshal(server.Running{PID: o.PID, URL: o.Endpoint})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(mine, "server.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := sagebrush(t, nil, "env", "--home", mine); !strings.Contains(got.stderr, "no server of "+mine+" runs") {
		t.Errorf("got %+v", got)
	}
	if got := sagebrush(t, nil, "demo", "--stop", "--home", mine); got.code != 0 || !strings.Contains(got.stdout, "No server of "+mine) {
		t.Errorf("got %+v", got)
	}
	if got := sagebrush(t, nil, "env", "--home", other); got.code != 0 || got.stderr != "" {
		t.Errorf("the other is gone: %+v", got)
	}
}
