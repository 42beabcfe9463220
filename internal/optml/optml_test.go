// SPDX-License-Identifier: Apache-2.0

package optml

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// write makes files below dir; a value that begins with "→" is a link.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			if target, ok := strings.CutPrefix(files[name], "→"); ok {
				err = os.Symlink(target, path)
			} else {
				err = os.WriteFile(path, []byte(files[name]), 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// read is the reverse of write.
func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if e.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			files[name] = "→" + target
			return err
		}
		b, err := os.ReadFile(path)
		files[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestConfig(t *testing.T) {
	d := Dir(t.TempDir())
	if err := d.Make(); err != nil {
		t.Fatal(err)
	}
	err := d.WriteConfig(Config{
		Channels:    map[string]Channel{"train": {TrainingInputMode: "File", S3DistributionType: "FullyReplicated", RecordWrapperType: "None"}},
		Resources:   Resources{Host: "algo-1", Hosts: []string{"algo-2", "algo-1"}, InstanceType: "ml.m5.large"},
		Checkpoints: &Checkpoints{S3URI: "s3://bucket/c", LocalPath: "/opt/ml/checkpoints"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"checkpointconfig.json": `{"S3Uri":"s3://bucket/c","LocalPath":"/opt/ml/checkpoints"}`,
		"hyperparameters.json":  `{}`,
		"inputdataconfig.json":  `{"train":{"TrainingInputMode":"File","S3DistributionType":"FullyReplicated","RecordWrapperType":"None"}}`,
		"resourceconfig.json": `{"current_host":"algo-1","current_instance_type":"ml.m5.large","current_group_name":"homogeneousCluster",` +
			`"hosts":["algo-1","algo-2"],"instance_groups":[{"instance_group_name":"homogeneousCluster","instance_type":"ml.m5.large",` +
			`"hosts":["algo-1","algo-2"]}],"network_interface_name":"eth0"}`,
	}
	got := read(t, filepath.Join(string(d), "input", "config"))
	if !maps.Equal(got, want) {
		t.Errorf("config is %v", got)
	}
	for name, text := range got {
		if !json.Valid([]byte(text)) {
			t.Errorf("%s is no JSON", name)
		}
	}
}

func TestFailure(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, filepath.Dir(secret), map[string]string{"secret": "of the host"})
	tests := []struct{ name, text, want string }{
		{"blanks around the text go", "\nClientError: no\n", "ClientError: no"},
		{"a long text is cut by characters", strings.Repeat("é", 2000), strings.Repeat("é", 1024)},
		{"bytes that are no text are replaced", "a\xffb", "a\uFFFDb"},
		{"a link out of the folder is not followed", "→" + secret, ""},
		{"an empty file says nothing", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := Dir(t.TempDir())
			write(t, string(d), map[string]string{"output/failure": tt.text})
			if got := d.Failure(); got != tt.want {
				t.Errorf("%q", got)
			}
		})
	}
	if got := Dir(t.TempDir()).Failure(); got != "" {
		t.Errorf("without a file it is %q", got)
	}
}

func TestPack(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{"xgboost-model": "tree", "code/inference.py": "pass", "a/b/c": strings.Repeat("x", 70_000),
		"latest": "→xgboost-model", "a/up": "→../code", "abs": "→/opt/ml/model/a/b"}
	write(t, dir, files)
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	if err := Pack(&first, dir, ModelPath); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(dir, "xgboost-model"), time.Unix(1, 0), time.Unix(2, 0)); err != nil {
		t.Fatal(err)
	}
	if err := Pack(&second, dir, ModelPath); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("equal trees give different bytes")
	}
	out := t.TempDir()
	if err := Unpack(&first, out, Limit{}); err != nil {
		t.Fatal(err)
	}
	files["abs"] = "→a/b"
	if got := read(t, out); !maps.Equal(got, files) {
		t.Errorf("unpacked: %v", slices.Sorted(maps.Keys(got)))
	}
}

func TestPackRefusesLinksOut(t *testing.T) {
	for _, target := range []string{"/etc/passwd", "../../etc/passwd", "/opt/ml/output/data", "/opt/ml/model/../x", ".."} {
		dir := t.TempDir()
		write(t, dir, map[string]string{"l": "→" + target})
		if err := Pack(&bytes.Buffer{}, dir, ModelPath); !errors.Is(err, ErrLink) {
			t.Errorf("link to %s: %v", target, err)
		}
	}
}

func TestPackNothing(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "missing")} {
		var b bytes.Buffer
		if err := Pack(&b, dir, ModelPath); err != nil {
			t.Fatal(err)
		}
		if err := Unpack(&b, t.TempDir(), Limit{}); err != nil {
			t.Errorf("an empty archive: %v", err)
		}
	}
}

// archive makes a tar of headers; regular files hold their own name.
func archive(t testing.TB, zipped bool, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(h.Name))
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(h.Name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !zipped {
		return b.Bytes()
	}
	var z bytes.Buffer
	zw := gzip.NewWriter(&z)
	if _, err := zw.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return z.Bytes()
}

func file(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg} }
func link(name, target string) tar.Header {
	return tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink}
}

func TestUnpack(t *testing.T) {
	hard := func(name, target string) tar.Header {
		return tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeLink}
	}
	good := archive(t, true, file("model"))
	flipped := bytes.Clone(good)
	flipped[len(flipped)-6] ^= 1 // in the check sum
	tests := []struct {
		name  string
		data  []byte
		limit Limit
		want  map[string]string
		err   error
	}{
		{"a gzip'd tar", good, Limit{}, map[string]string{"model": "model"}, nil},
		{"a plain tar", archive(t, false, file("./model"), file("./code/x.py")), Limit{}, map[string]string{"model": "./model", "code/x.py": "./code/x.py"}, nil},
		{"links inside", archive(t, true, file("a/m"), link("a/l", "m"), hard("h", "a/m")), Limit{}, map[string]string{"a/m": "a/m", "a/l": "→m", "h": "a/m"}, nil},
		{"a name twice: the last counts", archive(t, true, file("m"), link("m", "x")), Limit{}, map[string]string{"m": "→x"}, nil},
		{"the folder itself, as the SDKs' repack_model names it", archive(t, true, tar.Header{Name: "/", Typeflag: tar.TypeDir}, file("m")), Limit{}, map[string]string{"m": "m"}, nil},
		{"devices are left out", archive(t, true, tar.Header{Name: "null", Typeflag: tar.TypeChar}, file("m")), Limit{}, map[string]string{"m": "m"}, nil},
		{"just within the limits", archive(t, true, file("abc"), file("de")), Limit{Bytes: 5, Entries: 2}, map[string]string{"abc": "abc", "de": "de"}, nil},
		{"an absolute name", archive(t, true, file("/etc/x")), Limit{}, nil, ErrName},
		{"a name above", archive(t, true, file("a/../../x")), Limit{}, nil, ErrName},
		{"a link above", archive(t, true, link("a/l", "../../x")), Limit{}, nil, ErrLink},
		{"an absolute link", archive(t, true, link("l", "/etc")), Limit{}, nil, ErrLink},
		{"a file below a link", archive(t, true, link("l", "."), file("l/x")), Limit{}, nil, ErrLink},
		{"a link below a link", archive(t, true, link("s", "."), link("s/s/s/l", "../../../x")), Limit{}, nil, ErrLink},
		{"a hard link out", archive(t, true, hard("h", "../x")), Limit{}, nil, ErrLink},
		{"too many bytes", archive(t, true, file("abc"), file("de")), Limit{Bytes: 4}, nil, ErrTooLarge},
		{"too many entries", archive(t, true, file("abc"), file("de")), Limit{Entries: 1}, nil, ErrTooLarge},
		{"an empty body", nil, Limit{}, nil, ErrArchive},
		{"text", []byte("this is no archive at all"), Limit{}, nil, ErrArchive},
		{"cut short", good[:len(good)/2], Limit{}, nil, ErrArchive},
		{"a wrong check sum", flipped, Limit{}, nil, ErrArchive},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			outer := t.TempDir()
			dir := filepath.Join(outer, "in")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			err := Unpack(bytes.NewReader(tt.data), dir, tt.limit)
			if !errors.Is(err, tt.err) || (err != nil && tt.err == nil) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if got := read(t, dir); tt.err == nil && !maps.Equal(got, tt.want) {
				t.Errorf("unpacked %v", got)
			}
			if left, _ := os.ReadDir(outer); len(left) != 1 {
				t.Errorf("%d entries beside the folder", len(left))
			}
		})
	}
}

// Whatever the bytes are, nothing appears outside the folder and every link
// that is made resolves inside it.
func FuzzUnpack(f *testing.F) {
	f.Add(archive(f, true, file("m")))
	f.Add(archive(f, false, link("s", "."), link("s/l", "../x")))
	f.Add(archive(f, false, link("d/x", ".."), link("d/l", "x/../..")))
	f.Fuzz(func(t *testing.T, data []byte) {
		outer := t.TempDir()
		dir := filepath.Join(outer, "in")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		_ = Unpack(bytes.NewReader(data), dir, Limit{Bytes: 1 << 20, Entries: 100}) // any error will do
		if left, _ := os.ReadDir(outer); len(left) != 1 {
			t.Fatalf("%d entries beside the folder", len(left))
		}
		_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.Type()&fs.ModeSymlink == 0 {
				return nil
			}
			if to, err := filepath.EvalSymlinks(path); err == nil && to != dir && !strings.HasPrefix(to, dir+"/") {
				t.Fatalf("%s leads to %s", path, to)
			}
			return nil
		})
	})
}

func TestEmptyAndRemove(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	for _, tt := range []struct {
		make string
		want bool
	}{{"", true}, {"a/b/", true}, {"a/b/c", false}} {
		if tt.make != "" {
			if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(tt.make)), 0o755); err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(tt.make, "/") {
				write(t, dir, map[string]string{tt.make: "x"})
			}
		}
		if got, err := Empty(dir); got != tt.want || err != nil {
			t.Errorf("with %q: %v, %v", tt.make, got, err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "a", "b"), 0); err != nil {
		t.Fatal(err)
	}
	if err := Remove(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
	if err := Remove(dir); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"b": "2", "a/x": "1", "l": "→b", "out": "→/etc/passwd"})
	var names []string
	err := Files(dir, func(name string, f *os.File) error {
		names = append(names, name)
		return nil
	})
	if err != nil || !slices.Equal(names, []string{"a/x", "b"}) {
		t.Errorf("%v, %v", names, err)
	}
}

func TestOpenLetsEveryoneWrite(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755),
		os.WriteFile(filepath.Join(dir, "a", "f"), nil, 0o600),
		os.WriteFile(outside, nil, 0o600),
		os.Symlink(outside, filepath.Join(dir, "link")),
		Open(dir),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]os.FileMode{dir: 0o777, filepath.Join(dir, "a", "b"): 0o777, filepath.Join(dir, "a", "f"): 0o666, outside: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v", path, info.Mode(), err)
		}
	}
}
