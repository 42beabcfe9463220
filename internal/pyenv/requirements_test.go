// SPDX-License-Identifier: Apache-2.0

package pyenv

import (
	"slices"
	"strings"
	"testing"
)

func TestClassify(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		kept       []string
		left       []string // the lines
	}{
		{"names with versions", "numpy\nscikit_learn[alldeps] >=1.2,<1.4 ; python_version < '3.12'\nsix~=1.16\nzope.interface==5.*\n",
			[]string{"numpy", "scikit_learn[alldeps] >=1.2,<1.4 ; python_version < '3.12'", "six~=1.16", "zope.interface==5.*"}, nil},
		{"comments and blank lines", "# all\n\n  \t\nsix # why not\n six#egg\n", []string{"six", "six#egg"}, nil},
		{"Windows's line ends and its mark", "\ufeffsix\r\nnumpy\r\n", []string{"six", "numpy"}, nil},
		{"joined lines", "six \\\n  >=1.0 \\\n  # not this\n,<2\n", []string{"six   >=1.0", ",<2"}, nil},
		{"hashes", "six==1.16.0 \\\n  --hash=sha256:8abb \\\n  --hash=sha256:1e61\n", []string{"six==1.16.0   --hash=sha256:8abb   --hash=sha256:1e61"}, nil},
		{"web addresses", "https://x.org/a-1.0.whl#sha256=00\ndemo @ git+https://github.com/x/y@main\ndemo[all]@https://x.org/a.zip ; os_name == 'posix'\n",
			[]string{"https://x.org/a-1.0.whl#sha256=00", "demo @ git+https://github.com/x/y@main", "demo[all]@https://x.org/a.zip ; os_name == 'posix'"}, nil},
		{"options of the index", "--index-url https://x.org/simple\n-i https://x.org\n--extra-index-url=https://y.org\n-f https://z.org/l.html\n--pre\n--no-binary :all:\n--trusted-host x.org\n",
			[]string{"--index-url https://x.org/simple", "-i https://x.org", "--extra-index-url=https://y.org", "-f https://z.org/l.html", "--pre", "--no-binary :all:", "--trusted-host x.org"}, nil},
		{"other files", "-r other.txt\n-r/etc/passwd\n--requirement=/etc/passwd\n-c ../c.txt\n--constraint c.txt\n-rhttps://x.org/r.txt\n", nil,
			[]string{"-r other.txt", "-r/etc/passwd", "--requirement=/etc/passwd", "-c ../c.txt", "--constraint c.txt", "-rhttps://x.org/r.txt"}},
		{"folders", "-e .\n--editable ./x\n.\n./pkg\n../pkg[all]\n/home/you/pkg\npkg/sub\n~/x\ndemo @ ./x\ndemo@../x\n", nil,
			[]string{"-e .", "--editable ./x", ".", "./pkg", "../pkg[all]", "/home/you/pkg", "pkg/sub", "~/x", "demo @ ./x", "demo@../x"}},
		{"archives", "demo-1.0-py3-none-any.whl\ndemo.tar.gz\nDEMO.ZIP\n", nil, []string{"demo-1.0-py3-none-any.whl", "demo.tar.gz", "DEMO.ZIP"}},
		{"other kinds of addresses", "file:///etc/passwd\ndemo @ file:///home/you/x.whl\ngit+ssh://git@x.org/y\ngit+file:///home/you/y\nsvn+https://x.org/y\ndemo @ FILE:/x\nhg+http://x\n", nil,
			[]string{"file:///etc/passwd", "demo @ file:///home/you/x.whl", "git+ssh://git@x.org/y", "git+file:///home/you/y", "svn+https://x.org/y", "demo @ FILE:/x", "hg+http://x"}},
		{"variables of the server", "--index-url https://${PIP_TOKEN}@x.org\nsix==${V}\n", nil, []string{"--index-url https://${PIP_TOKEN}@x.org", "six==${V}"}},
		{"places that are no web address", "--find-links /home/you\n-f ./wheels\n-f file:///home/you\n--index-url file:///home/you\n--index-url git+https://x.org\n", nil,
			[]string{"--find-links /home/you", "-f ./wheels", "-f file:///home/you", "--index-url file:///home/you", "--index-url git+https://x.org"}},
		{"two options in a line", "--pre -r /etc/passwd\n--pre -r/etc/passwd\n-i https://x.org -r y\nsix -r y\nsix --global-option=x\n", nil,
			[]string{"--pre -r /etc/passwd", "--pre -r/etc/passwd", "-i https://x.org -r y", "six -r y", "six --global-option=x"}},
		{"options that pip may come to know, and short forms of those it knows", "--secret-file /etc/passwd\n--req=x\n", nil, []string{"--secret-file /etc/passwd", "--req=x"}},
		{"line ends that only Python knows", "six\u2028-r x\nnumpy\v-rx\x1cpandas", []string{"six", "numpy", "pandas"}, []string{"-r x", "-rx"}},
		{"a backslash that joins what was not seen together", "https://x.org/a\\ # \nsix\n", []string{"six"}, []string{`https://x.org/a\`}},
		{"what is no requirement is the installer's to refuse", "six = 1.0\n", []string{"six = 1.0"}, nil},
		{"other text", "\xff\xfes\x00i\x00x\x00", nil, []string{"requirements.txt"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := Classify([]byte(tt.text))
			var left []string
			for _, l := range r.Left {
				left = append(left, l.Line)
				if l.Why == "" {
					t.Errorf("%q is left without a reason", l.Line)
				}
			}
			if !slices.Equal(r.Kept, tt.kept) || !slices.Equal(left, tt.left) {
				t.Errorf("kept %q, want %q; left %q, want %q", r.Kept, tt.kept, left, tt.left)
			}
		})
	}
}

func FuzzClassify(f *testing.F) {
	for _, s := range []string{"six\n-r x", "a @ https://x/y;z", "--pre -r/etc", "x\\\n# y\nz", "-f https://x", "a --hash=sha256:00", "\u2028", "six ; a == \"/\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := Classify([]byte(text))
		for _, line := range r.Kept {
			bare := strings.TrimSpace(line)
			if bare == "" || bare != line || strings.ContainsFunc(line, breaks) || strings.Contains(line, `\`) || variable.MatchString(line) {
				t.Errorf("kept %q", line)
			}
			requirement, _, _ := strings.Cut(line, ";")
			if strings.Contains(requirement, "/") && !strings.Contains(strings.ToLower(requirement), "http://") && !strings.Contains(strings.ToLower(requirement), "https://") {
				t.Errorf("kept the path %q", line)
			}
			for _, o := range fileOptions {
				if strings.HasPrefix(line, o) {
					t.Errorf("kept the file %q", line)
				}
			}
			if lower := strings.ToLower(requirement); strings.Contains(lower, "file:") && !strings.Contains(lower, "://") {
				t.Errorf("kept the file %q", line)
			}
		}
		// What is kept means the same when it is read again.
		if again := Classify([]byte(strings.Join(r.Kept, "\n"))); !slices.Equal(again.Kept, r.Kept) || len(again.Left) > 0 {
			t.Errorf("kept %q, then kept %q and left %q", r.Kept, again.Kept, again.Left)
		}
	})
}
