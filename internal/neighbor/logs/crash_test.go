// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
)

// crashFile names the file that a child of the test fills until it is killed.
const crashFile = "SAGEBRUSH_TEST_CRASH_FILE"

// TestNoLineIsLostOrRepeatedByAKill kills a process that ships lines, several
// times over the same file, and holds that the lines on disk are those up to
// the offset that stands beside them, each once.
func TestNoLineIsLostOrRepeatedByAKill(t *testing.T) {
	if path := os.Getenv(crashFile); path != "" {
		ship(t, path)
		return
	}
	path := filepath.Join(t.TempDir(), "logs.db")
	for round := range 3 {
		child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		child.Env = append(os.Environ(), crashFile+"="+path)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		// What the child has said is stored, it had the answer for.
		var told int64
		lines := bufio.NewScanner(out)
		for range 40 + 17*round {
			if !lines.Scan() {
				t.Fatal("the child ended by itself")
			}
			if _, err := fmt.Sscanf(lines.Text(), "stored %d", &told); err != nil {
				t.Fatalf("the child says %q", lines.Text())
			}
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // it was killed
		b := open(t, path)
		offset, err := b.Offset(caller, at("g", "s"))
		if err != nil || offset < told {
			t.Fatalf("offset is %d, %v; the child was told %d", offset, err, told)
		}
		got := readAll(t, b, "g", "s")
		if int64(len(got)) != offset {
			t.Fatalf("%d lines up to offset %d", len(got), offset)
		}
		for i, m := range got {
			if m != fmt.Sprintf("line %d", i) {
				t.Fatalf("line %d is %q", i, m)
			}
		}
		checkChunks(t, b)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// ship appends lines, a "byte" each, from where the stream stands, and tells.
func ship(t *testing.T, path string) {
	b := open(t, path)
	offset, err := b.Offset(caller, at("g", "s"))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		n := 1 + offset%9
		var events []telemetry.Event
		for i := range n {
			events = append(events, telemetry.Event{Time: start.Add(time.Duration(offset+i) * time.Second), Message: fmt.Sprintf("line %d", offset+i)})
		}
		if err := b.Append(caller, at("g", "s"), offset, offset+n, events); err != nil {
			t.Fatal(err)
		}
		offset += n
		fmt.Printf("stored %d\n", offset)
	}
}
