// SPDX-License-Identifier: Apache-2.0

//go:build unix

// Command guest is all that the suite's image holds: a static program that does
// what its arguments say, step by step. Steps are parted by "--".
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	args := os.Args[1:]
	for len(args) > 0 {
		n := slices.Index(args, "--")
		if n < 0 {
			n = len(args)
		}
		step := args[:n]
		try := step[0] == "try" // says whether the rest of the step works, and goes on
		if try {
			step = step[1:]
		}
		do, ok := steps[step[0]]
		if !ok {
			fmt.Println("no such step:", step[0])
			os.Exit(99)
		}
		switch err := do(step[1:]); {
		case try && err != nil:
			fmt.Println("refused")
		case try:
			fmt.Println("done")
		case err != nil:
			fmt.Printf("%s: %v\n", step[0], err)
			os.Exit(98)
		}
		args = args[min(n+1, len(args)):]
	}
}

// steps are what it can do. An error ends it with code 98.
var steps = map[string]func(a []string) error{
	"say":    func(a []string) error { _, err := fmt.Println(strings.Join(a, " ")); return err },
	"print":  func(a []string) error { _, err := fmt.Print(strings.Join(a, " ")); return err },
	"warn":   func(a []string) error { _, err := fmt.Fprintln(os.Stderr, strings.Join(a, " ")); return err },
	"exit":   func(a []string) error { os.Exit(number(a[0])); return nil },
	"pause":  func([]string) error { time.Sleep(time.Hour); return nil },
	"sleep":  func(a []string) error { time.Sleep(time.Duration(number(a[0])) * time.Millisecond); return nil },
	"pwd":    func([]string) error { dir, err := os.Getwd(); fmt.Println(dir); return err },
	"cat":    func(a []string) error { data, err := os.ReadFile(a[0]); fmt.Print(string(data)); return err },
	"write":  func(a []string) error { return os.WriteFile(a[0], []byte(a[1]+"\n"), 0o644) },
	"remove": func(a []string) error { return os.Remove(a[0]) },
	"env": func([]string) error {
		_, err := fmt.Println(strings.Join(os.Environ(), "\n"))
		return err
	},
	"deaf": func(a []string) error {
		signal.Ignore(syscall.SIGTERM)
		fmt.Println(a[0])
		time.Sleep(time.Hour)
		return nil
	},
	"hang-up": func([]string) error {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			return err
		}
		time.Sleep(time.Hour)
		return nil
	},
	"host": func([]string) error {
		name, err := os.Hostname()
		if err != nil {
			return err
		}
		addrs, err := net.LookupHost(name)
		if err != nil {
			return err
		}
		_, err = fmt.Printf("%s\n%s\n", name, addrs[0])
		return err
	},
	"who": func([]string) error {
		_, err := fmt.Println(os.Getuid(), os.Getgid(), os.Getenv("HOME"))
		return err
	},
	"processes": func([]string) error {
		all, err := filepath.Glob("/proc/[0-9]*")
		fmt.Println(len(all))
		return err
	},
	"count": func(a []string) error { // lines, a part of them on stderr
		out := bufio.NewWriter(os.Stdout)
		for i := range number(a[0]) {
			fmt.Fprintf(out, "line %d of a job's output\n", i)
		}
		return out.Flush()
	},
	"long": func(a []string) error { // one line of so many times "ä"
		_, err := fmt.Println(strings.Repeat("ä", number(a[0])))
		return err
	},
	"eat": func(a []string) error { // memory, in MiB
		var all [][]byte
		for range number(a[0]) {
			all = append(all, bytes.Repeat([]byte{1}, 1<<20))
		}
		fmt.Println("ate", len(all))
		return nil
	},
	"burn": func(a []string) error { // processor time, in milliseconds, and then waits
		for end := time.Now().Add(time.Duration(number(a[0])) * time.Millisecond); time.Now().Before(end); {
		}
		return nil
	},
	"fork": func(a []string) error { // so many processes, or as many as there may be
		n := 0
		for ; n < number(a[0]); n++ {
			if err := exec.Command("/proc/self/exe", "pause").Start(); err != nil {
				break
			}
		}
		fmt.Println(n)
		return nil
	},
	"fill": func(a []string) error { // a folder with files of 1 MiB, more than 1 GiB
		piece := bytes.Repeat([]byte{1}, 1<<20)
		for i := range 1100 {
			if err := os.WriteFile(filepath.Join(a[0], strconv.Itoa(i)), piece, 0o644); err != nil {
				return err
			}
			time.Sleep(5 * time.Millisecond)
		}
		return nil
	},
	"echo": func(a []string) error {
		l, err := net.Listen("tcp", a[0])
		if err != nil {
			return err
		}
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			go func() { _, _ = io.Copy(c, c); c.Close() }()
		}
	},
	// ask asks an echo, which may be about to listen.
	"ask": func(a []string) error { return ask(a[0], a[1], 20*time.Second) },
	// reach asks an echo that listens, or not.
	"reach": func(a []string) error { return ask(a[0], a[1], 0) },
	"http": func(a []string) error {
		return http.ListenAndServe(a[0], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(io.Discard, r.Body)
			fmt.Fprintf(w, "pong %d", n)
		}))
	},
	"get": func(a []string) error { // from the URL in an environment variable
		resp, err := (&http.Client{Timeout: 10 * time.Second}).Get(os.Getenv(a[0]))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		fmt.Printf("%s\n", body)
		return err
	},
}

// ask sends a line to an echo and prints the answer. It tries again for so long.
func ask(addr, line string, patience time.Duration) error {
	var failed error
	for until := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		failed = func() error {
			c, err := net.DialTimeout("tcp", addr, 3*time.Second)
			if err != nil {
				return err
			}
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
				return err
			}
			if _, err := fmt.Fprintln(c, line); err != nil {
				return err
			}
			back, err := bufio.NewReader(c).ReadString('\n')
			if err != nil {
				return err
			}
			if strings.TrimSuffix(back, "\n") != line {
				return errors.New("it answered " + back)
			}
			fmt.Print(back)
			return nil
		}()
		if failed == nil || time.Now().After(until) {
			return failed
		}
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}
