// SPDX-License-Identifier: Apache-2.0

package training

import (
	"bytes"
	"compress/gzip"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/optml"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What the container finds in a channel, from a store in memory, which is
// copied, and from one on this machine, which is not.
func TestChannels(t *testing.T) {
	manifest := func(c *sm.Channel) { c.DataSource.S3DataSource.S3DataType = "ManifestFile" }
	gz := func(c *sm.Channel) { c.CompressionType = "Gzip" }
	folderRoot := "bucket/"
	tests := []struct {
		name, uri string
		change    func(*sm.Channel)
		want      map[string]string
		how       string // local: the mount shows the store's "folder", "links" or nothing ("copy")
		reason    string // the job fails with it
	}{
		{"a folder", "s3://bucket/data/train", nil, map[string]string{"a.csv": "1", "sub/b.csv": "2"}, "folder", ""},
		{"a folder with its slash", "s3://bucket/data/train/", nil, map[string]string{"a.csv": "1", "sub/b.csv": "2"}, "folder", ""},
		{"a folder with a folder marker", "s3://bucket/marked", nil, map[string]string{"x": "3"}, "folder", ""},
		{"a single object", "s3://bucket/data/train/a.csv", nil, map[string]string{"a.csv": "1"}, "links", ""},
		{"a prefix of several folders", "s3://bucket/data/t", nil,
			map[string]string{"train/a.csv": "1", "train/sub/b.csv": "2", "test/c.csv": "4"}, "links", ""},
		{"a folder with a sibling of like name", "s3://bucket/twin", nil, map[string]string{"a": "5", "twins": "6"}, "links", ""},
		{"a folder that holds more than objects", "s3://bucket/mixed", nil, map[string]string{"a": "7"}, "links", ""},
		{"a whole bucket", "s3://small", nil, map[string]string{"k/v": "8"}, "links", ""},
		{"a manifest", "s3://bucket/list.json", manifest, map[string]string{"a.csv": "1", "sub/b.csv": "2"}, "links", ""},
		{"compressed objects", "s3://bucket/zipped", gz, map[string]string{"a.csv": "plain"}, "copy", ""},
		{"objects that are not compressed", "s3://bucket/data/train", gz, nil, "", "is not compressed with gzip"},
		{"a manifest that is none", "s3://bucket/data/train/a.csv", manifest, nil, "", "it is no JSON array"},
		{"a manifest of a missing key", "s3://bucket/bad.json", manifest, nil, "", "object not found"},
	}
	for _, local := range []bool{false, true} {
		for _, tt := range tests {
			name := tt.name + ", copied"
			if local {
				name = tt.name + ", on this machine"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLab(t)
					on := folder{l.store, t.TempDir()}
					var store object.Store = l.store
					if local {
						store = on
						l.options.Objects = on
					}
					if err := store.MakeBucket(t.Context(), "small"); err != nil {
						t.Fatal(err)
					}
					for key, text := range map[string]string{"bucket/data/train/a.csv": "1", "bucket/data/train/sub/b.csv": "2", "bucket/data/test/c.csv": "4",
						"bucket/marked/": "", "bucket/marked/x": "3", "bucket/twin/a": "5", "bucket/twins": "6", "bucket/mixed/a": "7", "small/k/v": "8",
						"bucket/zipped/a.csv.gz": zipped(t, "plain"), "bucket/list.json": `[{"prefix": "s3://bucket/data/train/"}, "a.csv", "sub/b.csv"]`,
						"bucket/bad.json": `[{"prefix": "s3://bucket/"}, "none"]`} {
						bucket, key, _ := strings.Cut(key, "/")
						if _, err := store.Put(t.Context(), object.URI{Bucket: bucket, Key: key}, strings.NewReader(text)); err != nil {
							t.Fatal(err)
						}
					}
					if local { // a file that is no object
						if err := os.WriteFile(filepath.Join(on.root, "bucket/mixed/hidden"), nil, 0o644); err != nil {
							t.Fatal(err)
						}
					}
					l.run()
					in := request("churn", map[string]string{"FAKE_RUN_FOR": "1m"})
					in.InputDataConfig = []sm.Channel{channel("train", tt.uri)}
					if tt.change != nil {
						tt.change(&in.InputDataConfig[0])
					}
					l.create(in)
					synctest.Wait()
					if tt.reason != "" {
						d := l.settled("churn")
						if d.TrainingJobStatus != Failed || !strings.Contains(d.FailureReason, tt.reason) || !strings.HasPrefix(d.FailureReason, "ClientError: ") {
							t.Errorf("%s: %s", d.TrainingJobStatus, d.FailureReason)
						}
						return
					}
					mounts := l.tasks.Tasks()[0].Mounts
					host := outside(t, mounts, "/opt/ml/input/data/train")
					got := map[string]string{}
					err := optml.Files(host, func(name string, f *os.File) error {
						b, err := os.ReadFile(filepath.Join(host, name))
						got[name] = string(b)
						return err
					})
					if err != nil || !maps.Equal(got, tt.want) {
						t.Errorf("the container finds %v, %v", got, err)
					}
					how := "copy"
					if len(mounts) > 1 {
						how = "links"
						if !mounts[1].ReadOnly {
							t.Error("the store's files can be written to")
						}
						if strings.HasPrefix(host, filepath.Join(on.root, folderRoot)) {
							how = "folder"
						}
					}
					if want := map[bool]string{true: tt.how, false: "copy"}[local]; how != want {
						t.Errorf("the data came by %s, want %s", how, want)
					}
					if how == "links" { // the same file, not a copy of it
						for name := range tt.want {
							one, err := os.Stat(filepath.Join(host, name))
							if err != nil {
								t.Fatal(err)
							}
							if same := slices.ContainsFunc(allFiles(t, on.root), func(p string) bool {
								two, err := os.Stat(p)
								return err == nil && os.SameFile(one, two)
							}); !same {
								t.Errorf("%s is a copy", name)
							}
						}
					}
					config := seenInside(t, mounts, "/opt/ml/input/config/inputdataconfig.json")
					if want := `{"train":{"TrainingInputMode":"File","S3DistributionType":"FullyReplicated","RecordWrapperType":"None","ContentType":"text/csv"}}`; config != want {
						t.Errorf("inputdataconfig.json is %s", config)
					}
					if got := seenInside(t, mounts, "/opt/ml/input/config/hyperparameters.json"); got != `{"num_round":"3"}` {
						t.Errorf("hyperparameters.json is %s", got)
					}
					if d := l.settled("churn"); d.TrainingJobStatus != Completed {
						t.Errorf("%s: %s", d.TrainingJobStatus, d.FailureReason)
					}
					if files := allFiles(t, on.root); local && len(files) < 12 {
						t.Errorf("the store has lost objects: %v", files)
					}
					l.clean()
				})
			})
		}
	}
}

func allFiles(t *testing.T, root string) []string {
	t.Helper()
	var out []string
	err := optml.Files(root, func(name string, _ *os.File) error {
		out = append(out, filepath.Join(root, name))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A store whose keys are no file names.
func TestKeysThatCannotBeFiles(t *testing.T) {
	for name, keys := range map[string][]string{
		"a key that leads out":            {"bad/../../x"},
		"a key that is file and folder":   {"bad/a", "bad/a/b"},
		"two keys with the same name":     {"bad/x", "bad/./x"},
		"a compressed and a plain object": {"bad/x", "bad/x.gz"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				for _, key := range keys {
					l.put(key, zipped(t, "x"))
				}
				l.run()
				in := request("churn", nil)
				in.InputDataConfig = []sm.Channel{channel("train", "s3://bucket/bad")}
				if strings.HasSuffix(keys[len(keys)-1], ".gz") {
					in.InputDataConfig[0].CompressionType = "Gzip"
				}
				l.create(in)
				d := l.settled("churn")
				if d.TrainingJobStatus != Failed || !strings.HasPrefix(d.FailureReason, `ClientError: Data download failed: channel "train": `) {
					t.Errorf("%s: %s", d.TrainingJobStatus, d.FailureReason)
				}
				l.clean()
			})
		})
	}
}
