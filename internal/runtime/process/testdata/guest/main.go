// SPDX-License-Identifier: Apache-2.0

// Command guest is what the test images hold: a static program that does what
// its arguments say, step by step. Steps are parted by "--".
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	args := os.Args[1:]
	for len(args) > 0 {
		n := 0
		for n < len(args) && args[n] != "--" {
			n++
		}
		if err := step(args[0], args[1:n]); err != nil {
			fmt.Printf("%s: %v\n", args[0], err)
		}
		args = args[min(n+1, len(args)):]
	}
}

func step(verb string, a []string) error {
	switch verb {
	case "whoami":
		groups, _ := os.Getgroups()
		host, _ := os.Hostname()
		dir, _ := os.Getwd()
		fmt.Println(os.Getuid(), os.Getgid(), groups, os.Getenv("HOME"), dir, host)
	case "env":
		for _, kv := range os.Environ() {
			fmt.Println(kv)
		}
	case "ls":
		entries, err := os.ReadDir(a[0])
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		fmt.Println(strings.Join(names, " "))
		return err
	case "cat":
		data, err := os.ReadFile(a[0])
		fmt.Print(string(data))
		return err
	case "write":
		return os.WriteFile(a[0], []byte(a[1]+"\n"), 0o644)
	case "append":
		f, err := os.OpenFile(a[0], os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteString(a[1] + "\n")
		return err
	case "remove":
		return os.RemoveAll(a[0])
	case "stat":
		info, err := os.Stat(a[0])
		if err == nil {
			fmt.Println(info.Mode())
		}
		return err
	case "size": // of a file system, in bytes
		var st syscall.Statfs_t
		err := syscall.Statfs(a[0], &st)
		fmt.Println(int64(st.Blocks) * st.Bsize)
		return err
	case "interfaces":
		all, err := net.Interfaces()
		for _, i := range all {
			fmt.Print(i.Name, " ")
		}
		fmt.Println()
		return err
	case "say":
		fmt.Println(strings.Join(a, " "))
	case "pause":
		time.Sleep(time.Hour)
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("deaf")
		for {
			time.Sleep(time.Second)
		}
	case "echo": // serves on an address until it is killed; says so in a file
		l, err := net.Listen("tcp", a[0])
		if err != nil {
			return err
		}
		if len(a) > 1 {
			if err := os.WriteFile(a[1], nil, 0o644); err != nil {
				return err
			}
		}
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			go func() { _, _ = io.Copy(c, c); c.Close() }()
		}
	case "ask": // an echo
		c, err := net.DialTimeout("tcp", a[0], 5*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		fmt.Fprintln(c, a[1])
		line, err := bufio.NewReader(c).ReadString('\n')
		fmt.Print(line)
		return err
	case "await":
		for range 5000 {
			if _, err := os.Stat(a[0]); err == nil {
				return nil
			}
			time.Sleep(2 * time.Millisecond)
		}
		return fmt.Errorf("%s does not come", a[0])
	case "http": // on an address, or on the socket that it was given
		l, err := net.Listen("tcp", a[0])
		if a[0] == "socket" {
			l, err = net.Listen("unix", strings.TrimPrefix(os.Getenv("SAGEBRUSH_LISTEN"), "unix://"))
		}
		if err != nil {
			return err
		}
		return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(io.Discard, r.Body)
			fmt.Fprintf(w, "pong %d", n)
		}))
	case "get":
		resp, err := (&http.Client{Timeout: 10 * time.Second}).Get(a[0])
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		fmt.Printf("%d %s\n", resp.StatusCode, body)
		return err
	case "fill": // writes files of 1 MiB each into a folder until that fails
		piece := make([]byte, 1<<20)
		for i := 0; ; i++ {
			if err := os.WriteFile(a[0]+"/"+strconv.Itoa(i), piece, 0o644); err != nil {
				fmt.Println("fill:", err)
				os.Exit(1)
			}
		}
	case "hog": // files without a name, 16 MiB each
		piece := make([]byte, 16<<20)
		for {
			f, err := os.Create(a[0])
			if err == nil {
				held = append(held, f)
				_ = os.Remove(a[0])
				_, err = f.Write(piece)
			}
			if err != nil {
				fmt.Println("hog:", err)
				os.Exit(1)
			}
		}
	case "bytes":
		n, _ := strconv.Atoi(a[1])
		return os.WriteFile(a[0], make([]byte, n), 0o644)
	case "bomb":
		for {
			_ = exec.Command("/proc/self/exe", "bomb").Start()
		}
	case "burn": // processor time, in milliseconds
		ms, _ := strconv.ParseInt(a[0], 10, 64)
		for {
			var u syscall.Rusage
			if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil || (u.Utime.Nano()+u.Stime.Nano())/1e6 >= ms {
				return err
			}
		}
	case "keep": // memory, in MiB
		mib, _ := strconv.Atoi(a[0])
		kept = make([]byte, mib<<20)
		for i := 0; i < len(kept); i += 4096 {
			kept[i] = 1
		}
	case "unshare":
		n, _ := strconv.ParseInt(a[0], 0, 64)
		return syscall.Unshare(int(n))
	case "call":
		n, _ := strconv.ParseInt(a[0], 0, 64)
		_, _, errno := syscall.RawSyscall(uintptr(n), 0, 0, 0)
		return errno
	case "socket":
		n, _ := strconv.ParseInt(a[0], 0, 64)
		fd, err := syscall.Socket(int(n), syscall.SOCK_STREAM, 0)
		_ = syscall.Close(fd)
		return err
	case "exit":
		n, _ := strconv.Atoi(a[0])
		os.Exit(n)
	default:
		return fmt.Errorf("no such step")
	}
	return nil
}

var (
	kept []byte
	held []*os.File
)
