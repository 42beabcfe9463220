// SPDX-License-Identifier: Apache-2.0

package versity

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// python is an interpreter that has boto3: that of SAGEBRUSH_TEST_PYTHON, or
// python3. A test that needs one is skipped where there is none.
func python(t *testing.T) string {
	t.Helper()
	name := cmp.Or(os.Getenv("SAGEBRUSH_TEST_PYTHON"), "python3")
	if out, err := exec.Command(name, "-c", "import boto3").CombinedOutput(); err != nil {
		if os.Getenv("SAGEBRUSH_TEST_PYTHON") != "" {
			t.Fatalf("SAGEBRUSH_TEST_PYTHON=%s has no boto3: %v\n%s", name, err, out)
		}
		t.Skipf("%s has no boto3 (%v); set SAGEBRUSH_TEST_PYTHON to one that has", name, err)
	}
	return name
}

var (
	userKey    = auth.Key{ID: "AKIAUSER000000000001", Secret: "user-secret", Account: account, Principal: "arn:aws:iam::" + account + ":user/u"}
	rootKey    = auth.Key{ID: "AKIAROOT000000000001", Secret: "root-secret", Account: account, Principal: "arn:aws:iam::" + account + ":root"}
	sessionKey = auth.Key{ID: "ASIASESSION000000001", Secret: "session-secret", SessionToken: "the/token+of==the session", Expires: time.Now().Add(time.Hour),
		Account: account, Principal: "arn:aws:sts::" + account + ":assumed-role/r/s"}
	pastKey = auth.Key{ID: "ASIAPAST000000000001", Secret: "session-secret", SessionToken: "the/token+of==the session", Expires: time.Now().Add(-time.Hour), Account: account}
)

// serve runs a Store behind a front of its own and gives both.
func serve(t testing.TB, o Options) (*Store, string) {
	t.Helper()
	o.Keys = keyring{userKey.ID: userKey, sessionKey.ID: sessionKey, pastKey.ID: pastKey}
	o.RootKey = rootKey
	s := newStore(t, o)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	front := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		front.Close()
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s, front.URL
}

func TestDoorWithBoto3(t *testing.T) {
	interpreter := python(t)
	script, err := filepath.Abs("testdata/door.py")
	if err != nil {
		t.Fatal(err)
	}
	for name, sidecar := range map[string]bool{"extended attributes": false, "attributes in files": true} {
		t.Run(name, func(t *testing.T) {
			root, state := t.TempDir(), t.TempDir()
			// A job has written here without asking anyone.
			if err := os.MkdirAll(filepath.Join(root, "by-hand", "out"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, "by-hand", "out", "model.bin"), []byte("weights"), 0o644); err != nil {
				t.Fatal(err)
			}
			s, address := serve(t, Options{Root: root, State: state, Sidecar: sidecar, SplitHost: splitHost})
			if err := s.MakeBucket(t.Context(), "inside"); err != nil {
				t.Fatal(err)
			}
			inside, err := s.Put(t.Context(), object.URI{Bucket: "inside", Key: "d/ü.json"}, strings.NewReader(`{"a":1}`))
			if err != nil {
				t.Fatal(err)
			}
			// Over TLS the SDK sends checksums behind its bodies.
			encrypted := httptest.NewTLSServer(s.Handler())
			defer encrypted.Close()
			settings, err := json.Marshal(map[string]any{
				"url": address, "tls": encrypted.URL, "root": root, "account": account, "folders": []string{"by-hand", "inside"},
				"key": userKey.ID, "secret": userKey.Secret, "rootKey": rootKey.ID, "rootSecret": rootKey.Secret,
				"sessionKey": sessionKey.ID, "sessionSecret": sessionKey.Secret, "sessionToken": sessionKey.SessionToken, "oldKey": pastKey.ID,
				"inside": map[string]any{"bucket": "inside", "key": "d/ü.json", "value": `{"a":1}`, "etag": inside.ETag},
			})
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), interpreter, script)
			cmd.Dir = t.TempDir()
			cmd.Env = append(os.Environ(), "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "NO_PROXY=127.0.0.1")
			cmd.Stdin = bytes.NewReader(settings)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("door.py: %v\n%s", err, out)
			}
			// What the SDK uploaded is a file, and its parts are one.
			u := object.URI{Bucket: "sagemaker-us-east-1-123456789012", Key: "big/model.tar.gz"}
			info, err := s.Stat(t.Context(), u)
			if err != nil || info.Size != 20<<20 || !strings.HasSuffix(info.ETag, "-3") {
				t.Errorf("Stat %v: %+v, %v", u, info, err)
			}
			// A deleted object of a bucket with versions is not there.
			if page, _, err := s.List(t.Context(), object.URI{Bucket: "versioned"}, "", 10); err != nil || len(page) != 0 {
				t.Errorf("List of the bucket with versions: %v, %v", page, err)
			}
		})
	}
}
