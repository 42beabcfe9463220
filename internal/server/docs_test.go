// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/builtin"
	"github.com/sagebrush-ml/sagebrush/internal/feature/hosting"
	"github.com/sagebrush-ml/sagebrush/internal/feature/processing"
	"github.com/sagebrush-ml/sagebrush/internal/feature/shadowtest"
	"github.com/sagebrush-ml/sagebrush/internal/feature/training"
	"github.com/sagebrush-ml/sagebrush/internal/feature/transform"
	"github.com/sagebrush-ml/sagebrush/internal/feature/tuning"
	"github.com/sagebrush-ml/sagebrush/internal/jumpstart"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// repository is the root of the working tree. An open server changes the
// working directory, so it is asked for before one is opened.
func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// fill checks, or rewrites, what stands between the marks
// <!-- name: generated --> and <!-- name end --> in a document.
func fill(t *testing.T, path, name, want string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+name+": generated, see internal/server/docs_test.go -->\n", "<!-- "+name+" end -->"
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s lacks the marks %q and %q", filepath.Base(path), begin, end)
	}
	check(t, path, before+begin+want+end+after)
}

// TestDocsStates draws the states of each family from the table that the store
// keeps to.
func TestDocsStates(t *testing.T) {
	var b strings.Builder
	b.WriteString("# States\n\nPrinted from the families' own tables by `internal/server/docs_test.go`; not edited by hand.\n\n" +
		"The store refuses every move that is not drawn here. A status with no way out is settled: the loop does not look at the record again.\n")
	for _, f := range []struct {
		title, note string
		life        resource.Life
	}{
		{"Training job", "Stopping ends in Completed or Failed when the container had ended by itself before it was told to stop.", training.Life()},
		{"Processing job", "Stopping ends in Completed or Failed when the containers had ended by themselves before they were told to stop.", processing.Life()},
		{"Transform job", "Stopping ends in Completed or Failed when all objects had been transformed before the job was told to stop.", transform.Life()},
		{"Hyperparameter tuning job", "Stopping ends when the trials that ran have ended.", tuning.Life()},
		{"Endpoint", "Gone is never seen: the record is deleted in that moment.", hosting.Life()},
		{"Inference experiment", "One that was not begun is cancelled at once.", shadowtest.Life()},
		{"Inference component", "Gone is never seen, as of an endpoint.", hosting.ComponentLife()},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n```mermaid\n%s```\n\n%s\n", f.title, f.life.Diagram(), f.note)
		if len(f.life.Rest) > 0 {
			fmt.Fprintf(&b, "At rest, though there is a way out of it: %s.\n", strings.Join(f.life.Rest, ", "))
		}
	}
	check(t, filepath.Join(repository(t), "docs/design/states.md"), b.String())
}

// TestDocsAlgorithms prints each algorithm's hyperparameters from its Spec.
func TestDocsAlgorithms(t *testing.T) {
	root := repository(t)
	for _, name := range builtin.Names() {
		a, _ := builtin.Lookup(name)
		fill(t, filepath.Join(root, "docs/algorithms", name+".md"), "parameters", parameters(a.Spec()))
	}
}

// TestDocsModels prints the hyperparameters of JumpStart's models, which are the
// same for each task of a library.
func TestDocsModels(t *testing.T) {
	root := repository(t)
	for _, m := range jumpstart.Models() {
		fill(t, filepath.Join(root, "docs/algorithms", m.Library+".md"), "parameters", parameters(algo.Spec{Params: m.Params}))
	}
}

func parameters(s algo.Spec) string {
	var b strings.Builder
	b.WriteString("| hyperparameter | kind | allowed | default | what it is |\n| --- | --- | --- | --- | --- |\n")
	kinds := map[algo.ParamKind]string{algo.Int: "integer", algo.Float: "number", algo.Enum: "one of", algo.Bool: "boolean",
		algo.String: "text", algo.List: "list"}
	for _, p := range s.Params {
		names := "`" + p.Name + "`"
		for _, alias := range p.Alias {
			names += ", `" + alias + "`"
		}
		allowed := p.Range()
		if len(p.Values) > 0 {
			allowed = strings.Join(p.Values, ", ")
		}
		def := p.Default
		if p.Required {
			def = "required"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", names, kinds[p.Kind], allowed, def, p.Doc)
	}
	return b.String()
}

// TestDocsConfiguration prints the settings from the tags of the flags of
// sagebrush serve. They are in package main, so their source is read.
func TestDocsConfiguration(t *testing.T) {
	root := repository(t)
	structs := map[string]*ast.StructType{}
	for _, name := range []string{"serve.go", "config.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "cmd/sagebrush", name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.TypeSpec); ok {
				if st, ok := s.Type.(*ast.StructType); ok {
					structs[s.Name.Name] = st
				}
			}
			return true
		})
	}
	var b strings.Builder
	b.WriteString("| flag | variable | what it is |\n| --- | --- | --- |\n")
	rows := 0
	for _, name := range []string{"homeFlags", "serveCmd"} {
		st := structs[name]
		if st == nil {
			t.Fatalf("cmd/sagebrush has no struct %s any more", name)
		}
		for _, f := range st.Fields.List {
			if f.Tag == nil || len(f.Names) == 0 { // embedded
				continue
			}
			text, err := strconv.Unquote(f.Tag.Value)
			if err != nil {
				t.Fatal(err)
			}
			b.WriteString(setting(f.Names[0].Name, reflect.StructTag(text)))
			rows++
		}
	}
	if rows < 5 {
		t.Fatalf("only %d settings were found", rows)
	}
	fill(t, filepath.Join(root, "docs/configuration.md"), "settings", b.String())
}

func setting(field string, tag reflect.StructTag) string {
	name := tag.Get("name")
	if name == "" {
		name = kebab(field)
	}
	flag := "--" + name
	if p := tag.Get("placeholder"); p != "" {
		flag += "=" + p
	}
	help := strings.ReplaceAll(tag.Get("help"), "${enum}", strings.ReplaceAll(tag.Get("enum"), ",", ", "))
	if d := tag.Get("default"); d != "" {
		help = strings.TrimSuffix(help, ".") + "; " + d + " by default."
	}
	return fmt.Sprintf("| `%s` | `%s` | %s |\n", flag, tag.Get("env"), help)
}

// kebab is a field's name as its flag is spelled: LogLevel gives log-level.
func kebab(s string) string {
	var b strings.Builder
	for i, r := range s {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
