// SPDX-License-Identifier: Apache-2.0

package data

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// channel is a channel named train with files.
func channel(t *testing.T, contentType string, files map[string]string) *algo.Channel {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &algo.Channel{Name: "train", Dir: dir, ContentType: contentType}
}

func TestLoadReadsFilesInOrder(t *testing.T) {
	ch := channel(t, "text/csv", map[string]string{
		"b.csv": "2,0\n", "a.csv": "1,0", "c/d/e/f.csv": "3,0\n",
		"c/d/e/f/too-deep.csv": "9,0\n", ".hidden": "x", "_SUCCESS": "x", "_temporary/x": "x", "dtrain.cache": "x", "empty.csv": "",
	})
	if err := os.Symlink(filepath.Join(ch.Dir, "b.csv"), filepath.Join(ch.Dir, "z.csv")); err != nil {
		t.Fatal(err)
	}
	m, err := Load(ch, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(m.Label, []float32{1, 2, 3, 2}) {
		t.Errorf("labels %v", m.Label)
	}
}

func TestLoadFollowsALinkToTheChannel(t *testing.T) {
	ch := channel(t, "csv", map[string]string{"a": "1,2\n"})
	link := filepath.Join(t.TempDir(), "train")
	if err := os.Symlink(ch.Dir, link); err != nil {
		t.Fatal(err)
	}
	ch.Dir = link
	if m, err := Load(ch, Options{}); err != nil || m.Rows != 1 {
		t.Errorf("%v, error %v", m, err)
	}
}

func TestLoadMapsLargeFiles(t *testing.T) {
	ch := channel(t, "text/csv", map[string]string{"a": strings.Repeat("1,0.5\n", 100_000), "b": strings.Repeat("0,0.25\n", 100_000)})
	m, err := Load(ch, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Rows != 200_000 || m.Values[99_999] != 0.5 || m.Values[100_000] != 0.25 || m.Label[199_999] != 0 {
		t.Errorf("%d rows", m.Rows)
	}
}

func TestLoadContentTypes(t *testing.T) {
	for _, c := range []struct {
		contentType, text string
		opts              Options
		want              string // error; "" for none
	}{
		{"", "1 0:1\n", Options{}, ""},
		{"text/libsvm ;charset=utf8", "1 0:1\n", Options{}, ""},
		{"text/x-libsvm", "1 0:1\n", Options{}, ""},
		{"LIBSVM", "1 0:1\n", Options{}, ""},
		{"text/csv; label_size=1;", "1,2\n", Options{}, ""},
		{"text/csv;label_size=0", "1,2\n", Options{NoLabel: true}, ""},
		{"text/csv;label_size=2", "1,2\n", Options{}, "train channel: text/csv;label_size=2 is not an accepted csv ContentType. Optional parameter label_size must be equal to 1"},
		{"application/x-parquet", "", Options{}, "train channel: file data: is empty, and no Parquet file"},
		{"image/png", "", Options{}, "train channel: image/png is not an accepted ContentType: csv, libsvm, parquet, recordio-protobuf, " +
			"text/csv, text/libsvm, text/x-libsvm, application/x-parquet, application/x-recordio-protobuf."},
		{"text/csv", "\n\n", Options{}, "train channel: 1 file, but no rows: file data is empty, where at least one row was expected"},
		{"text/csv", "1,2\n3,x\n", Options{}, `train channel: file data, line 2: column 2: "x" is not a number`},
		{"", "1 0:a\n", Options{}, `train channel: file data, line 1: feature "0:a" is not index:value: "a" is not a number`},
	} {
		t.Run(c.contentType, func(t *testing.T) {
			_, err := Load(channel(t, c.contentType, map[string]string{"data": c.text}), c.opts)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
			} else if err == nil || err.Error() != c.want || !algo.IsClientError(err) {
				t.Errorf("error %v\n want %s", err, c.want)
			}
		})
	}
}

func TestLoadEmptyChannel(t *testing.T) {
	ch := channel(t, "text/csv", map[string]string{"_SUCCESS": ""})
	for _, dir := range []string{ch.Dir, filepath.Join(ch.Dir, "absent")} {
		ch.Dir = dir
		if _, err := Load(ch, Options{}); err == nil || err.Error() != "train channel: no data files found: at least one was expected, of a name that does not begin with . or _" || !algo.IsClientError(err) {
			t.Errorf("error %v", err)
		}
	}
}

func TestLoadRaggedAcrossFiles(t *testing.T) {
	ch := channel(t, "text/csv", map[string]string{"a.csv": "1,2\n", "b.csv": "1,2,3\n"})
	if _, err := Load(ch, Options{}); err == nil || err.Error() != "train channel: file b.csv, line 1: has 3 columns, but the first row has 2" {
		t.Errorf("error %v", err)
	}
}

// What a file is, is told by its first bytes; text that only begins alike is text.
func TestLoadTellsOtherKinds(t *testing.T) {
	for _, c := range []struct{ contentType, text, want string }{
		{"text/csv", "\x1f\x8b\x08\x00", "train channel: file data: is compressed with gzip, which was not expected: the channel's CompressionType Gzip unpacks it"},
		{"text/csv", "BZh91AY&SY\x00", "train channel: file data: is compressed with bzip2; unpack it"},
		{"", "\x28\xb5\x2f\xfd\x04", "train channel: file data: is compressed with zstd; unpack it"},
		{"application/x-recordio-protobuf", "\xfd7zXZ\x00\x00", "train channel: file data: is compressed with xz; unpack it"},
		{"application/x-parquet", "PK\x03\x04", "train channel: file data: is a zip archive; unpack it"},
		{"text/csv", "PAR1 1 2 PAR1", "train channel: file data: is a Parquet file, which was not expected: its ContentType is application/x-parquet"},
		{"text/csv", "PAR1,2\n", `train channel: file data, line 1: column 1: "PAR1" is not a number`},
		{"text/csv", "\xff\xfe1\x00", "train channel: file data: is UTF-16 text; UTF-8 was expected"},
		{"text/libsvm", "1 0:2\x00\n", "train channel: file data: is no text, which was expected by the ContentType text/libsvm"},
		{"application/x-recordio-protobuf", "1,2\n", "train channel: file data: is no RecordIO, which was expected by the ContentType application/x-recordio-protobuf"},
	} {
		_, err := Load(channel(t, c.contentType, map[string]string{"data": c.text}), Options{})
		if err == nil || err.Error() != c.want || !algo.IsClientError(err) {
			t.Errorf("error %v\n want %s", err, c.want)
		}
	}
}
