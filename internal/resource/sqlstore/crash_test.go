// SPDX-License-Identifier: Apache-2.0

package sqlstore_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/resource/sqlstore"
)

// writerEnv makes the test binary a writer into the file it names.
const writerEnv = "SAGEBRUSH_TEST_SQLSTORE_WRITER"

// writeUntilKilled inserts pairs of rows from several goroutines without end
// and prints the name of each pair once it was acknowledged.
func writeUntilKilled(path string) {
	ctx := context.Background()
	s, err := sqlstore.Open(ctx, path, sqlstore.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var group sync.WaitGroup
	for writer := range 4 {
		group.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%d-%d-%d", os.Getpid(), writer, i)
				if err := insert(ctx, s, row(name), row(name+"-twin")); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				_, _ = os.Stdout.WriteString(name + "\n") // one system call, so never half a line
			}
		})
	}
	group.Wait()
}

func TestKilledWriterLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.db")
	acknowledged := map[string]bool{}
	for range 4 { // each round goes on with the file the last one left
		for _, name := range killedWriter(t, path) {
			acknowledged[name] = true
		}
		checkAfterKill(t, path, acknowledged)
	}
}

// killedWriter runs a writer, kills it in the middle of its work and answers
// what it was told is stored.
func killedWriter(t *testing.T, path string) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerEnv+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var names []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if names = append(names, lines.Text()); len(names) == 500 {
			if err := cmd.Process.Kill(); err != nil { // SIGKILL
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || len(names) < 500 {
		t.Fatalf("the writer ended by itself after %d rows, %v", len(names), err)
	}
	return names
}

func checkAfterKill(t *testing.T, path string, acknowledged map[string]bool) {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), path, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	keys, err := s.Unsettled(t.Context(), "training-job")
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]bool{}
	for _, key := range keys {
		stored[key.Name] = true
	}
	for name := range acknowledged {
		if !stored[name] || !stored[name+"-twin"] {
			t.Errorf("%q was acknowledged and is lost", name)
		}
	}
	for name := range stored {
		if len(name) > 5 && name[len(name)-5:] == "-twin" && !stored[name[:len(name)-5]] || !stored[name] {
			t.Errorf("%q is stored without its twin", name)
		}
	}
	// Every index agrees with the table: what a list finds, a key finds.
	f := resource.Filter{Account: "111122223333", Region: "eu-west-1", Family: "training-job", Limit: len(keys) + 1}
	for _, sort := range []string{resource.SortName, resource.SortCreated, resource.SortStatus, resource.SortModified} {
		f.Sort = sort
		if page, err := s.List(t.Context(), f); err != nil || len(page.Rows) != len(keys) {
			t.Errorf("by %s: %d rows, %v, want %d", sort, len(page.Rows), err, len(keys))
		}
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity check says %q, %v", verdict, err)
	}
}
