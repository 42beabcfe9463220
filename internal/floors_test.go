// SPDX-License-Identifier: Apache-2.0

package internal_test

import (
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/sagebrush-ml/sagebrush/"

// floor tells on which floor of the house a package stands. Imports run down
// only, or along the same floor between packages of one family (resource and
// resource/sqlstore). ARCHITECTURE.md draws the same table.
var floors = []struct {
	prefix string
	floor  int
}{
	{"cmd/", 10},
	{"internal/demo", 9}, {"internal/client", 4},
	{"internal/server", 9},
	{"internal/feature/", 8}, {"internal/neighbor/", 8},
	{"internal/serving", 7},
	{"internal/taskgroup", 6},
	{"internal/gateway", 5}, {"internal/resource", 5},
	{"internal/image", 5}, {"internal/transfer", 5},
	{"internal/telemetry/hostmetrics", 4}, {"internal/telemetry", 3}, {"internal/op", 4}, {"internal/reconcile", 4}, {"internal/optml", 4}, {"internal/proxy", 4},
	{"internal/framework", 4}, {"internal/oci", 4}, {"internal/registry", 4}, {"internal/feed", 4},
	{"internal/pyenv", 2}, {"internal/auth", 2}, {"internal/wire", 3}, {"internal/object", 3}, {"internal/runtime", 3},
	{"internal/jumpstart", 2}, {"internal/algo/builtin", 2}, {"internal/algo/", 2},
	{"internal/fault", 1}, {"internal/arn", 1}, {"internal/algo", 1}, {"internal/instance", 1}, {"internal/tune", 1}, {"internal/sqlfile", 1}, {"internal/recordio", 1}, {"internal/eventstream", 1}, {"internal/toolkit", 1}, {"internal/start", 1}, {"internal/door", 1}, {"model", 1},
}

func floorOf(pkg string) int {
	for _, f := range floors {
		if strings.HasPrefix(pkg, f.prefix) {
			return f.floor
		}
	}
	return 0
}

// house is the part of a package's path within which files may see each other
// on one floor: internal/resource/sqlstore and internal/resource are one house.
func house(pkg string) string {
	parts := strings.Split(strings.TrimPrefix(pkg, "internal/"), "/")
	if (parts[0] == "feature" || parts[0] == "neighbor") && len(parts) > 1 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

func TestImportsRunDown(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		from := strings.TrimPrefix(p.ImportPath, module)
		if !strings.HasPrefix(from, "internal/") && !strings.HasPrefix(from, "cmd/") {
			continue
		}
		seen++
		if floorOf(from) == 0 {
			t.Errorf("%s stands on no floor: add it to the table", from)
		}
		for _, i := range p.Imports {
			to, ours := strings.CutPrefix(i, module)
			if !ours || house(to) == house(from) {
				continue
			}
			if floorOf(to) >= floorOf(from) {
				t.Errorf("%s (floor %d) imports %s (floor %d)", from, floorOf(from), to, floorOf(to))
			}
		}
	}
	if seen < 10 {
		t.Fatalf("only %d packages were looked at", seen)
	}
}
