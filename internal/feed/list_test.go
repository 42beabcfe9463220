// SPDX-License-Identifier: Apache-2.0

//go:build unix

package feed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// TestAugmented feeds an augmented manifest: each attribute of each line is a
// record, in the order of the names, and lines stay together when shuffled.
func TestAugmented(t *testing.T) {
	l := newLab(t)
	var text strings.Builder
	for i := range 10 {
		l.file(fmt.Sprintf("%d.jpg", i), fmt.Sprintf("image %d", i))
		fmt.Fprintf(&text, "{\"class\": %d, \"source-ref\": \"s3://b/%d.jpg\", \"name\": \"n%d\", \"other\": {}}\n", i, i, i)
	}
	find := func(u object.URI) (string, error) { return filepath.Join(l.dir, u.Key), nil }
	c := Channel{Name: "train", Dir: filepath.Join(l.dir, "data"), List: filepath.Join(l.dir, "list"), Wrap: RecordIO, ShuffleSeed: new(int64(1))}
	if err := WriteList(c.List, Augmented(strings.NewReader(text.String()), []string{"source-ref", "class", "name"}, find)); err != nil {
		t.Fatal(err)
	}
	l.spec.Channels = []Channel{c}
	l.start()
	got := l.read("train_0")
	l.stopped()
	var lines []string
	for i := range 10 {
		lines = append(lines, records(t, fmt.Sprintf("image %d", i), fmt.Sprint(i), fmt.Sprintf("n%d", i)))
	}
	if got == strings.Join(lines, "") {
		t.Error("it is not shuffled")
	}
	for _, line := range lines {
		if strings.Count(got, line) != 1 {
			t.Errorf("%q is there %d times in %q", line, strings.Count(got, line), got)
		}
	}
}

func TestShare(t *testing.T) {
	list := Files(slices.Values([]string{"/0", "/1", "/2", "/3", "/4"}))
	var got []string
	for i := range 3 {
		for s, err := range Share(list, i, 3) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(i, s[0].Path))
		}
	}
	if want := "[0/0 0/3 1/1 1/4 2/2]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestWriteListFails(t *testing.T) {
	missing := errors.New("missing")
	find := func(object.URI) (string, error) { return "", missing }
	path := filepath.Join(t.TempDir(), "list")
	err := WriteList(path, Augmented(strings.NewReader(`{"a-ref": "s3://b/k"}`), []string{"a-ref"}, find))
	if !errors.Is(err, missing) || !strings.Contains(err.Error(), `line 1: attribute "a-ref"`) {
		t.Errorf("error %v", err)
	}
	if err := WriteList(path, Files(slices.Values([]string{"relative"}))); err == nil {
		t.Error("a relative path is taken")
	}
	if left, _ := filepath.Glob(path + "*"); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestListThatIsCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	for text, want := range map[string]string{
		`[{"Path":"/a"}`:                          "unexpected EOF",
		"[{\"Path\":\"/a\"}]\nnonsense\n":         "read the list: invalid character",
		strings.Repeat("x", maxLine+1<<17) + "\n": "token too long",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		l, err := openList(path, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range l.samples(nil, 0) {
			err = e
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: error %v, want %q", text, err, want)
		}
		l.close()
	}
	if _, err := openList(path+"?", true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

// FuzzList reads any file as a list: in both orders it has the same samples.
func FuzzList(f *testing.F) {
	f.Add([]byte("[{\"Path\":\"/a\"},{\"Text\":\"x\"}]\n[]\n"), int64(3))
	f.Add([]byte("[{}"), int64(0))
	f.Fuzz(func(t *testing.T, in []byte, seed int64) {
		path := filepath.Join(t.TempDir(), "list")
		if err := os.WriteFile(path, in, 0o644); err != nil {
			t.Fatal(err)
		}
		read := func(seed *int64) (out []string, err error) {
			l, err := openList(path, seed != nil)
			if err != nil {
				return nil, err
			}
			defer l.close()
			for s, err := range l.samples(seed, 1) {
				if err != nil {
					return nil, err
				}
				for _, p := range s {
					if p.Text != nil {
						p.Path = "text " + *p.Text
					}
					out = append(out, p.Path)
				}
			}
			slices.Sort(out)
			return out, nil
		}
		plain, err := read(nil)
		shuffled, shuffledErr := read(&seed)
		if (err == nil) != (shuffledErr == nil) || !slices.Equal(plain, shuffled) {
			t.Fatalf("%q %v, shuffled %q %v", plain, err, shuffled, shuffledErr)
		}
	})
}
