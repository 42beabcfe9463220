// SPDX-License-Identifier: Apache-2.0

//go:build unix

package fusefs

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
)

// Spec tells a process of its own what to mount. It is written as JSON, for its
// owner only, as it holds a key.
type Spec struct {
	Dir         string // an empty folder, absolute
	Items       []Item
	MemoryBytes int64 // see Options

	URL, Region string // of the endpoint
	Key         auth.Key
}

// patience is how long readers wait for a server that is away.
const patience = 2 * time.Minute

// mounted is what Serve says when it has.
const mounted = "mounted"

// Save writes s for Serve.
func (s Spec) Save(path string) error {
	b, err := json.Marshal(s)
	if err == nil {
		err = os.WriteFile(path+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("write what to mount: %w", err)
	}
	return nil
}

// Serve mounts what the Spec in a file says, tells so by one line on ready, and
// serves it until someone detaches it or ctx is done.
func Serve(ctx context.Context, path string, ready io.Writer, log *slog.Logger) error {
	b, err := os.ReadFile(path)
	var s Spec
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return fmt.Errorf("read what to mount: %w", err)
	}
	transport := &http.Transport{ // past any proxy, as the endpoint is known
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		MaxIdleConnsPerHost: maxFetches, ResponseHeaderTimeout: 30 * time.Second, DisableCompression: true,
	}
	defer transport.CloseIdleConnections()
	m, err := Mount(Options{Dir: s.Dir, Items: s.Items, MemoryBytes: s.MemoryBytes, Log: log,
		Store: Remote{URL: s.URL, Region: s.Region, Key: s.Key, HTTP: &http.Client{Transport: transport}, Patience: patience}})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(ready, mounted); err != nil {
		log.Warn("nobody waits for the mount", "err", err)
	}
	select {
	case <-m.Done():
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return m.Unmount(ctx)
}

// Start has a process of its own serve the Spec in a file, and returns when the
// files are there. argv is how that process calls Serve with its standard
// output: {"/path/sagebrush", "feed", "--mount"}; the path is appended. What it
// has to say goes to the file log. A mount that is at dir already is taken away
// first, so Start may be called again after any crash.
func Start(ctx context.Context, argv []string, path, dir, log string) error {
	if err := Detach(dir); err != nil {
		return err
	}
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("mount objects at %s: %w", dir, err)
	}
	defer out.Close()
	cmd := exec.Command(argv[0], append(argv[1:len(argv):len(argv)], path)...)
	cmd.Stderr = out
	cmd.Dir = filepath.Dir(path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // what ends the server's session spares it
	said, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("mount objects at %s: %w", dir, err)
	}
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(said).ReadString('\n')
		line <- text
		_ = cmd.Wait() // ends with the mount, or never while this server lives
	}()
	select {
	case text := <-line:
		if strings.TrimSpace(text) == mounted {
			return nil
		}
		err = errors.New("the process that serves them has ended: see " + log)
	case <-ctx.Done():
		err = ctx.Err()
	}
	_ = cmd.Process.Kill()
	return errors.Join(fmt.Errorf("mount objects at %s: %w", dir, err), Detach(dir))
}
