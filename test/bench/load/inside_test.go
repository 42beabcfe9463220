// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestReadCountsTheBytesOfFilesAndFolders(t *testing.T) {
	dir := t.TempDir()
	for name, size := range map[string]int{"a": 0, "b": 300_000, "c": 5} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for limit, want := range map[string]int64{"-1": 300_005, "1": 1, "300001": 300_001, "1000000": 300_005} {
		got, err := read([]string{"-limit", limit, dir})
		r, ok := got.(reading)
		if err != nil || !ok || r.Bytes != want || r.First < r.Began || r.Ended < r.First {
			t.Errorf("limit %s: %+v, %v, want %d bytes", limit, got, err, want)
		}
	}
	if _, err := read([]string{filepath.Join(dir, "none")}); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestLinesAreNumberedTimedAndAsLongAsTold(t *testing.T) {
	var out bytes.Buffer
	begin := time.Now()
	got, err := writeLines(&out, 500, 10_000)
	if err != nil || got.Lines != 500 {
		t.Fatalf("%+v, %v", got, err)
	}
	if took := time.Since(begin); took < 45*time.Millisecond {
		t.Errorf("500 lines at 10,000 a second took %s", took)
	}
	seen := strings.SplitAfter(out.String(), "\n")
	if len(seen) != 501 {
		t.Fatalf("%d lines", len(seen)-1)
	}
	var last int64
	for i, line := range seen[:500] {
		var number int
		var at int64
		if _, err := fmt.Sscanf(line, "%d %d", &number, &at); err != nil || number != i || at < last || len(line) != lineBytes {
			t.Fatalf("line %d is %q: %v", i, line, err)
		}
		last = at
	}
}
