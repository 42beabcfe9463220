// SPDX-License-Identifier: Apache-2.0

package runtimetest

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// imageCases are those that only tasks with an image can show.
var imageCases = []struct {
	name  string
	needs []Ability
	do    func(*suite)
}{
	{"the command runs as the image's user", []Ability{Users}, users},
	{"what a task writes to its root is its own", nil, ownRoot},
	{"a scratch mount takes what is written and its source stays as it is", nil, scratchMount},
	{"of 50,000 lines none is lost", nil, manyLines},
	{"a long line of letters is one line", nil, longLine},
	{"a last line without an end is kept", nil, unendedLine},
	{"stdout and stderr are one log", nil, bothStreams},
	{"a task finds its server", nil, reach},
	{"an open network reaches the machine, and none does not", []Ability{Isolation}, isolation},
	{"the hosts of a group find each other", []Ability{Groups}, func(s *suite) { group(s, runtime.Open) }},
	{"the hosts of a group without network find each other, and nothing else", []Ability{IsolatedGroups}, func(s *suite) { group(s, runtime.None) }},
	{"a task serves on its port", []Ability{Serving}, func(s *suite) { serving(s, runtime.Open) }},
	{"a task without network serves on its port", []Ability{Serving, Isolation}, func(s *suite) { serving(s, runtime.None) }},
	{"a task that takes too much memory is killed", []Ability{Memory}, memoryLimit},
	{"a task cannot have more processes than it may", []Ability{Processes}, processLimit},
	{"a task that writes too much is killed", []Ability{Disk}, diskLimit},
	{"a running task is measured", []Ability{Metering}, metering},
	{"a task goes on under another server", nil, adoption},
	{"another server keeps the deadline of a stop", nil, adoptedStop},
}

func users(s *suite) {
	for user, want := range map[string]string{
		"":             "0 0 /root\n",
		"tester":       "1234 5678 /home/tester\n",
		"1234:0":       "1234 0 /home/tester\n",
		"77":           "77 0 /\n",
		"root:5678":    "0 5678 /root\n",
		"4242:testers": "4242 5678 /\n",
	} {
		t := s.scripted("rt-user-"+strings.ReplaceAll(user, ":", "."), "", "who")
		t.User = user
		s.equal(fmt.Sprintf("user %q", user), s.output(t), want)
	}
}

func ownRoot(s *suite) {
	const steps = "cat /data/there -- try write /data/there mine -- try write /data/new new -- try remove /etc/group -- cat /data/there"
	for _, id := range []string{"rt-root-1", "rt-root-2"} {
		s.equal("what it saw", s.output(s.scripted(id, "", steps)), "of the image\ndone\ndone\ndone\nmine\n")
	}
}

func scratchMount(s *suite) {
	dir := s.TempDir()
	file := filepath.Join(dir, "lib", "kept")
	if err := os.Mkdir(filepath.Dir(file), 0o755); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("before\n"), 0o644); err != nil {
		s.Fatal(err)
	}
	for _, id := range []string{"rt-scratch-1", "rt-scratch-2"} {
		t := s.scripted(id, "", "cat /env/lib/kept -- write /env/lib/kept after -- write /env/new x -- cat /env/lib/kept")
		t.Mounts = []runtime.Mount{{Source: dir, Target: "/env", Scratch: true}}
		s.equal("what it saw", s.output(t), "before\nafter\n")
	}
	if got, err := os.ReadFile(file); string(got) != "before\n" || err != nil {
		s.Errorf("the source now holds %q, %v", got, err)
	}
	if entries, err := os.ReadDir(dir); len(entries) != 1 || err != nil {
		s.Errorf("the source now has %v, %v", entries, err)
	}
}

func manyLines(s *suite) {
	const n = 50_000
	s.start(s.scripted("rt-lines", "", fmt.Sprintf("count %d", n)))
	// One reader follows, another comes back again and again with its offset.
	followed := make(chan string)
	go func() { followed <- s.log("rt-lines", 0) }()
	var b strings.Builder
	for b.Len() < 300_000 { // some of the lines, in three parts or more
		ctx, cancel := context.WithTimeout(s.ctx, patience)
		l, err := s.rt.Logs(ctx, "rt-lines", int64(b.Len()))
		if err != nil {
			cancel()
			s.Fatal(err)
		}
		_, err = io.CopyN(&b, l, 100_001)
		l.Close()
		cancel()
		if err != nil {
			s.Fatal(err)
		}
	}
	all := <-followed
	s.equal("what was read in parts", strings.HasPrefix(all, b.String()), true)
	s.equal("what is read again", s.log("rt-lines", 0) == all, true)
	i := 0
	for line := range strings.Lines(s.text(all)) {
		if want := fmt.Sprintf("line %d of a job's output\n", i); line != want {
			s.Fatalf("line %d is %q", i, line)
		}
		i++
	}
	s.equal("lines", i, n)
}

func longLine(s *suite) {
	const n = 100_000 // letters of two bytes: some are cut in two where engines part a line
	all := s.output(s.scripted("rt-long", "", fmt.Sprintf("print x -- long %d -- say end", n)))
	s.equal("the line is whole", all == "x"+strings.Repeat("ä", n)+"\nend\n", true)
}

func unendedLine(s *suite) {
	s.equal("log", s.output(s.scripted("rt-unended", "", `say one -- print "two and"`)), "one\ntwo and\n")
}

func bothStreams(s *suite) {
	out := s.output(s.scripted("rt-streams", "", "say out -- warn err -- say out -- warn err"))
	s.equal("lines on stdout", strings.Count(out, "out\n"), 2)
	s.equal("lines on stderr", strings.Count(out, "err\n"), 2)
}

func memoryLimit(s *suite) {
	t := s.scripted("rt-memory", "", "eat 400")
	t.MemoryBytes = 64 << 20
	s.start(t)
	st := s.until(t.ID, runtime.Exited)
	s.equal("reason", st.Reason, runtime.ReasonOOM)
	s.equal("exit code", st.ExitCode, 137)
}

func processLimit(s *suite) {
	t := s.scripted("rt-processes", "", "fork 1000")
	t.MaxProcesses = 60
	var n int
	if _, err := fmt.Sscan(s.output(t), &n); err != nil || n == 0 || n > 60 {
		s.Errorf("it had %d processes: %v", n, err)
	}
}

func diskLimit(s *suite) {
	dir := s.TempDir()
	for id, where := range map[string]string{"rt-disk-root": "/data", "rt-disk-mount": "/opt/ml"} {
		t := s.scripted(id, "", "fill "+where)
		t.DiskBytes = 20 << 20
		t.Mounts = []runtime.Mount{{Source: dir, Target: "/opt/ml"}}
		s.start(t)
		st := s.until(t.ID, runtime.Exited)
		s.equal("reason of "+id, st.Reason, runtime.ReasonDisk)
		s.equal("exit code of "+id, st.ExitCode, 137)
	}
}

func metering(s *suite) {
	meter, ok := s.rt.(runtime.Meter)
	if !ok {
		s.Fatal("it is no Meter")
	}
	if _, ok, err := meter.Usage(s.ctx, "rt-none"); ok || err != nil {
		s.Errorf("a missing task is measured: %v, %v", ok, err)
	}
	t := s.scripted("rt-meter", "", "burn 300 -- say burnt -- pause")
	s.start(t)
	s.firstLine(t.ID)
	u, ok, err := meter.Usage(s.ctx, t.ID)
	if !ok || err != nil || u.CPU < 20*time.Millisecond || u.CPU > patience || u.MemoryBytes < 100_000 || u.MemoryBytes > 1<<30 || time.Since(u.At).Abs() > time.Minute {
		s.Errorf("it has used %+v, %v, %v", u, ok, err)
	}
	if err := s.rt.Stop(s.ctx, t.ID, 0); err != nil {
		s.Fatal(err)
	}
	s.until(t.ID, runtime.Exited)
	if _, ok, err := meter.Usage(s.ctx, t.ID); ok || err != nil {
		s.Errorf("an ended task is measured: %v, %v", ok, err)
	}
}

// reopened is the suite with another runtime on the state of this one's.
func (s *suite) reopened() *suite {
	s.Helper()
	if s.traits.Reopen == nil {
		s.Skip("the runtime cannot be opened again")
	}
	return &suite{s.T, s.traits.Reopen(s.T, s.rt), s.ctx, s.traits}
}

func adoption(s *suite) {
	t := s.scripted("rt-adopted", "", "say ready -- sleep 500 -- say end -- exit 9")
	s.start(t)
	s.firstLine(t.ID)
	before := s.until(t.ID, runtime.Running)
	other := s.reopened()
	s.equal("state", other.inspect(t.ID), before)
	if err := other.rt.Start(s.ctx, t); err != nil {
		s.Fatal(err)
	}
	s.equal("log", other.text(other.log(t.ID, 0)), "ready\nend\n")
	s.equal("exit code", other.until(t.ID, runtime.Exited).ExitCode, 9)
}

func adoptedStop(s *suite) {
	t := s.scripted("rt-deadline", "", "deaf ready")
	s.start(t)
	s.firstLine(t.ID)
	if err := s.rt.Stop(s.ctx, t.ID, 2*time.Second); err != nil {
		s.Fatal(err)
	}
	other := s.reopened()
	s.equal("phase", other.inspect(t.ID).Phase, runtime.Running)
	s.equal("exit code", other.until(t.ID, runtime.Exited).ExitCode, 137)
}
