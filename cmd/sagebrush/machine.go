// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// leastDisk is the room without which a database is not begun, in bytes.
const leastDisk = 1 << 30

// checkSystem tells on what we run.
func checkSystem() check {
	c := check{Name: "system", Required: true, OK: true, For: "running at all; jobs are isolated on Linux only",
		Detail: fmt.Sprintf("%s/%s, %d processors", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		c.Detail = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:]) + ", " + c.Detail
	}
	return c
}

// checkHome tells whether the home can be written, holds extended attributes,
// in which S3 keeps metadata, and has room. A home that is not there yet is
// tried in the folder that it would be made in.
func checkHome(home string) []check {
	folder := home
	for {
		if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) || folder == filepath.Dir(folder) {
			break
		}
		folder = filepath.Dir(folder)
	}
	write := check{Name: "home", Required: true, For: "state, credentials and data", Detail: home}
	attrs := check{Name: "attributes", For: "metadata and tags of objects beside the objects",
		Detail: "extended attributes work in " + folder,
		Fix:    "put the home on ext4, xfs, btrfs, zfs or tmpfs of a recent kernel: --home"}
	if folder != home {
		write.Detail += " (not made yet)"
	}
	f, err := os.CreateTemp(folder, ".sagebrush-doctor-")
	if err != nil {
		write.Detail, write.Fix = err.Error(), "choose a folder that you may write to: --home or SAGEBRUSH_HOME"
		attrs.Detail = "not tried, as nothing can be written"
	} else {
		write.OK = true
		err := unix.Setxattr(f.Name(), "user.sagebrush", []byte("doctor"), 0)
		if attrs.OK = err == nil; err != nil {
			attrs.Detail = fmt.Sprintf("extended attributes in %s: %v", folder, err)
		} else {
			attrs.Fix = ""
		}
		f.Close()
		os.Remove(f.Name())
	}
	return []check{write, attrs, checkDisk(folder)}
}

func checkDisk(folder string) check {
	c := check{Name: "disk", Required: true, For: "data, models and the database", Fix: "make room, or choose a home on another disk: --home"}
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		c.Detail = err.Error()
		return c
	}
	free := uint64(s.Bavail) * uint64(s.Bsize) //nolint:unconvert // the types differ between systems
	c.Detail = fmt.Sprintf("%.1f GiB free at %s", float64(free)/(1<<30), folder)
	if c.OK = free >= leastDisk; c.OK {
		c.Fix = ""
	}
	return c
}

func tryListen(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return ln.Close()
}

// checkDocker asks the daemon for its version, at the socket that DOCKER_HOST
// or the system's habit names.
func checkDocker(ctx context.Context) check {
	c := check{Name: "Docker", For: "running images in a container engine (--containers docker); Sagebrush runs them without one, too",
		Fix: "install Docker, or start its daemon, and let this user use its socket"}
	socket := "/var/run/docker.sock"
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		path, ok := strings.CutPrefix(host, "unix://")
		if !ok {
			c.OK, c.Fix, c.Detail = true, "", "DOCKER_HOST is "+host+" (not asked)"
			return c
		}
		socket = path
	}
	asker := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/version", nil)
	if err != nil {
		c.Detail = err.Error()
		return c
	}
	resp, err := asker.Do(r)
	if err != nil {
		c.Detail = fmt.Sprintf("no answer at %s: %v", socket, rootOf(err))
		return c
	}
	defer resp.Body.Close()
	var v struct{ Version, Os, Arch string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&v); err != nil || resp.StatusCode != http.StatusOK {
		c.Detail = fmt.Sprintf("%s answers %s", socket, resp.Status)
		return c
	}
	c.OK, c.Fix, c.Detail = true, "", fmt.Sprintf("%s (%s/%s) at %s", v.Version, v.Os, v.Arch, socket)
	return c
}

// rootOf is the cause at the end of a chain: the system's own word.
func rootOf(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// checkPython lists the Python 3 of the search path, by asking each.
func checkPython(ctx context.Context) check {
	c := check{Name: "Python", For: "your own SageMaker code; the built-in algorithms need none", Fix: "install Python 3.9 or later"}
	var versions []string
	for _, name := range []string{"python3", "python3.9", "python3.10", "python3.11", "python3.12", "python3.13", "python3.14"} {
		v, ok := ask(ctx, name, "--version")
		if v, is3 := strings.CutPrefix(v, "Python "); ok && is3 && !slices.Contains(versions, v) {
			versions = append(versions, v)
		}
	}
	if c.OK = len(versions) > 0; c.OK {
		c.Detail, c.Fix = strings.Join(versions, ", "), ""
	} else {
		c.Detail = "no python3 in the search path"
	}
	return c
}

func checkUV(ctx context.Context) check {
	c := check{Name: "uv", For: "preparing Python environments quickly, and fetching interpreters; pip is used without it", Fix: "pip install uv"}
	if c.Detail, c.OK = ask(ctx, "uv", "--version"); c.OK {
		c.Fix = ""
	} else {
		c.Detail = "not in the search path"
	}
	return c
}

// ask runs a program for its version: the first line of its output.
func ask(ctx context.Context, name string, args ...string) (string, bool) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", false
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, args...).Output()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line, err == nil && line != ""
}

func checkFUSE() check {
	c := check{Name: "FUSE", For: "FastFile input over remote data, which Sagebrush does not do yet; data on this disk needs none",
		Fix: "load the fuse module, install fuse3, and let this user open /dev/fuse"}
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		c.Detail = err.Error()
		return c
	}
	f.Close()
	if _, err := exec.LookPath("fusermount3"); err != nil && os.Geteuid() != 0 {
		c.Detail = "/dev/fuse opens, but fusermount3 is not in the search path"
		return c
	}
	c.OK, c.Fix, c.Detail = true, "", "/dev/fuse opens"
	return c
}
