// SPDX-License-Identifier: Apache-2.0

package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/resource/sqlstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource/storetest"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(writerEnv); path != "" {
		writeUntilKilled(path)
		return
	}
	goleak.VerifyTestMain(m)
}

// open opens the file at path and closes it when the test ends.
func open(t testing.TB, path string, opts sqlstore.Options) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.Open(context.Background(), path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) resource.DB {
		return open(t, filepath.Join(t.TempDir(), "records.db"), sqlstore.Options{})
	})
}

func TestPowerSafeStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) resource.DB {
		return open(t, filepath.Join(t.TempDir(), "records.db"), sqlstore.Options{PowerSafe: true, Readers: 1})
	})
}

func row(name string) resource.Row {
	return resource.Row{
		Key:    resource.Key{Account: "111122223333", Region: "eu-west-1", Family: "training-job", Name: name},
		ARN:    "arn:aws:sagemaker:eu-west-1:111122223333:training-job/" + name,
		Status: "InProgress",
		Doc:    []byte(`{"TrainingJobName":"` + name + `","Padding":"` + strings.Repeat("x", 600) + `"}`),
	}
}

func insert(ctx context.Context, s *sqlstore.Store, rows ...resource.Row) error {
	return s.Write(ctx, func(tx resource.Tx) error {
		for _, row := range rows {
			if err := tx.Insert(ctx, row); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestOpen(t *testing.T) {
	t.Run("a path with signs that mean something to SQLite is taken as it is", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "a b?mode=memory#c%41.db")
		s, err := sqlstore.Open(t.Context(), path, sqlstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := insert(t.Context(), s, row("job")); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		again := open(t, path, sqlstore.Options{})
		if _, err := again.Get(t.Context(), row("job").Key); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(filepath.Dir(path))
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries { // the file, its log and its index
			if !strings.HasPrefix(entry.Name(), filepath.Base(path)) {
				t.Errorf("a file %q was made", entry.Name())
			}
			if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%q has mode %v, %v", entry.Name(), info.Mode(), err)
			}
		}
	})
	t.Run("a file of a newer release is refused", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "records.db")
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("PRAGMA user_version = 1000"); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := sqlstore.Open(t.Context(), path, sqlstore.Options{}); err == nil || !strings.Contains(err.Error(), "newer release") {
			t.Fatalf("error is %v", err)
		}
	})
	t.Run("a file that is no database is refused and left alone", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "records.db")
		text := strings.Repeat("these are my notes\n", 100)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := sqlstore.Open(t.Context(), path, sqlstore.Options{}); err == nil {
			t.Fatal("it was taken")
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Fatalf("it was changed, or %v", err)
		}
	})
	t.Run("a missing folder is an error", func(t *testing.T) {
		if _, err := sqlstore.Open(t.Context(), filepath.Join(t.TempDir(), "no", "records.db"), sqlstore.Options{}); err == nil {
			t.Fatal("it was taken")
		}
	})
}

// TestListsOfManyShapes asks for more shapes of list than statements are kept.
func TestListsOfManyShapes(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "records.db"), sqlstore.Options{Readers: 1})
	if err := insert(t.Context(), s, row("job")); err != nil {
		t.Fatal(err)
	}
	for n := range 300 {
		f := resource.Filter{Account: "111122223333", Region: "eu-west-1", Family: "training-job"}
		for i := range n {
			f.Status = append(f.Status, fmt.Sprint(i))
		}
		f.Status = append(f.Status, "InProgress")
		if page, err := s.List(t.Context(), f); err != nil || len(page.Rows) != 1 {
			t.Fatalf("%d statuses: %d rows, %v", n+1, len(page.Rows), err)
		}
	}
}
