// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/server"
)

var update = flag.Bool("update", false, "rewrite docs/coverage.md and the table in README.md")

// open builds a server on a fresh home; nothing runs.
func open(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.New(t.Context(), server.Options{Home: filepath.Join(t.TempDir(), "home"), Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// TestCoverage writes docs/coverage.md from the running table, so that it can
// say nothing else than what is bound.
func TestCoverage(t *testing.T) {
	root, err := filepath.Abs("../..") // the server changes the working directory
	if err != nil {
		t.Fatal(err)
	}
	table := open(t).Table()
	check(t, filepath.Join(root, "docs/coverage.md"), coverage(table))
	readme := filepath.Join(root, "README.md")
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- coverage: generated, see internal/server/coverage_test.go -->\n", "<!-- coverage end -->"
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("README.md lacks the marks %q and %q", begin, end)
	}
	check(t, readme, before+begin+summary(table)+end+after)
}

func check(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err == nil && string(got) == want {
		return
	}
	if !*update {
		t.Errorf("%s is not what the operation table says; run make generate", filepath.Base(path))
		return
	}
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

func coverage(table *op.Table) string {
	var b strings.Builder
	b.WriteString("# Coverage\n\nGenerated from the running operation table by `make generate`; not edited by hand.\n\n" +
		"An operation that is marked works as its AWS page says; what of it is accepted without effect, or refused, is listed in [limits.md](limits.md). " +
		"Every other operation answers `NotImplementedException` (HTTP 501), naming itself. Amazon S3 is served whole by the embedded gateway and is not in this list.\n\n" +
		summary(table))
	for _, s := range server.Services() {
		names := append(s.Operations(), s.Schema().Others...)
		slices.Sort(names)
		fmt.Fprintf(&b, "\n## %s\n\n", s.Name)
		for _, n := range names {
			mark := " "
			if table.Has(s.Name, n) {
				mark = "x"
			}
			fmt.Fprintf(&b, "- [%s] %s\n", mark, n)
		}
	}
	return b.String()
}

func summary(table *op.Table) string {
	var b strings.Builder
	b.WriteString("| service | operations | built | which |\n| --- | ---: | ---: | --- |\n")
	for _, s := range server.Services() {
		var built []string
		for _, n := range s.Operations() {
			if table.Has(s.Name, n) {
				built = append(built, n)
			}
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %s |\n", s.Name, len(s.Operations())+len(s.Schema().Others), len(built), strings.Join(built, ", "))
	}
	return b.String()
}
