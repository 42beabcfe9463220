// SPDX-License-Identifier: Apache-2.0

// Container is a training and serving program in another language than Python,
// for images that hold nothing else. What it does is asked by MODE.
//
//	container train   reads /opt/ml, writes a model that counts the channel's lines
//	container serve   answers /ping and /invocations on port 8080, as serve.go tells
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	switch {
	case len(os.Args) > 1 && os.Args[1] == "serve":
		serve()
	case len(os.Args) > 1 && os.Args[1] == "sleep":
		time.Sleep(time.Hour)
	case len(os.Args) > 1 && os.Args[1] == "args":
		fmt.Println("arguments", strings.Join(os.Args[2:], "|"))
	default:
		train()
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "container:", err)
		os.Exit(1)
	}
}

func train() {
	switch mode := os.Getenv("MODE"); mode {
	case "":
	case "exit137":
		os.Exit(137)
	case "fill":
		fill()
	case "forks":
		forks()
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("stubborn")
		time.Sleep(time.Hour)
	case "binary":
		for i := range 4096 {
			must2(os.Stdout.Write([]byte{byte(i), 0xff, 0x00, '\n', 0xfe}))
		}
		fmt.Println("\nafter the noise")
	case "failure":
		must(os.MkdirAll("/opt/ml/output", 0o755))
		must(os.WriteFile("/opt/ml/output/failure", []byte("too long: "+strings.Repeat("x", 5<<20)), 0o644))
		os.Exit(3)
	case "connect":
		c, err := net.DialTimeout("tcp", os.Getenv("CONNECT"), 3*time.Second)
		if err != nil {
			fmt.Println("connect failed:", err)
			os.Exit(4)
		}
		fmt.Println("connected to", c.RemoteAddr())
	default:
		must(fmt.Errorf("no such mode %q", mode))
	}
	var hyper map[string]string
	b, err := os.ReadFile("/opt/ml/input/config/hyperparameters.json")
	must(err)
	must(json.Unmarshal(b, &hyper))
	lines := 0
	must(filepath.WalkDir("/opt/ml/input/data/train", func(p string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		lines += strings.Count(string(b), "\n")
		return err
	}))
	entries, err := os.ReadDir("/")
	must(err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	host, err := os.Hostname()
	must(err)
	fmt.Printf("host %s, pid %d, uid %d, root %s\n", host, os.Getpid(), os.Getuid(), strings.Join(names, " "))
	fmt.Printf("lines=%d times=%s\n", lines, hyper["times"])
	model, err := json.Marshal(map[string]any{"lines": lines, "times": hyper["times"]})
	must(err)
	must(os.WriteFile("/opt/ml/model/model.json", model, 0o644))
}

func must2(_ int, err error) { must(err) }

// fill writes until it is stopped.
func fill() {
	block := make([]byte, 1<<20)
	for i := 0; ; i++ {
		f, err := os.Create(fmt.Sprintf("/opt/ml/model/part-%d", i))
		must(err)
		for range 64 {
			if _, err := f.Write(block); err != nil {
				fmt.Println("write failed:", err)
				os.Exit(28)
			}
		}
		f.Close()
	}
}

// forks starts children until no more are to be had.
func forks() {
	for n := 0; ; n++ {
		cmd := exec.Command("/proc/self/exe", "sleep")
		if err := cmd.Start(); err != nil {
			fmt.Printf("no child after %d: %v\n", n, err)
			os.Exit(11)
		}
	}
}
