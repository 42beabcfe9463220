// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"bytes"
	"context"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/runtime/runtimetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		dropImage()
		os.Exit(code)
	}))
}

// dropImage takes the suite's image out of the engine again.
var dropImage = func() {}

// testImage is the suite's image in the engine of the tests.
const testImage = "sagebrush-runtimetest:1"

// host is the address of the engine for tests: SAGEBRUSH_TEST_DOCKER, which
// then must answer, else the usual one if it does.
func host(t *testing.T) string {
	t.Helper()
	at := os.Getenv("SAGEBRUSH_TEST_DOCKER")
	r, err := New(t.Context(), Options{Host: at, Name: "probe", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Ping(t.Context()); err != nil {
		if at != "" {
			t.Fatal(err)
		}
		t.Skipf("no container engine (test/dockerd.sh starts one): %v", err)
	}
	return at
}

// image puts the suite's image into the engine, once in a run.
var image = func() func(t *testing.T, r *Runtime) {
	var once sync.Once
	return func(t *testing.T, r *Runtime) {
		t.Helper()
		once.Do(func() {
			// An image whose own entry point and environment must not show.
			data := runtimetest.ImageTar(t, runtimetest.ImageRoot(t))
			res, err := r.api.ImageImport(t.Context(), client.ImageImportSource{Source: bytes.NewReader(data), SourceName: "-"}, testImage,
				client.ImageImportOptions{Changes: []string{`ENTRYPOINT ["/guest","say","entry point"]`, `CMD ["of the image"]`, "ENV FLAVOUR=of-the-image", "USER 77", "WORKDIR /data"}})
			if err != nil {
				t.Fatal(err)
			}
			defer res.Close()
			if _, err := io.Copy(io.Discard, res); err != nil {
				t.Fatal(err)
			}
			at := os.Getenv("SAGEBRUSH_TEST_DOCKER")
			dropImage = func() {
				opts := []client.Opt{client.FromEnv}
				if at != "" {
					opts = append(opts, client.WithHost(at))
				}
				if api, err := client.New(opts...); err == nil {
					_, _ = api.ImageRemove(context.Background(), testImage, client.ImageRemoveOptions{})
					_ = api.Close()
				}
			}
		})
	}
}()

func open(t *testing.T, o Options) *Runtime {
	t.Helper()
	r, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// fresh is a runtime of a home that no other has.
func fresh(t *testing.T) *Runtime {
	t.Helper()
	dir := t.TempDir()
	r := open(t, Options{Host: host(t), Name: dir, Dir: dir})
	image(t, r)
	t.Cleanup(func() { empty(t, r) })
	return r
}

// empty fails the test when something of the home is left in the engine.
func empty(t *testing.T, r *Runtime) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	containers, err := r.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: r.ours()})
	if err != nil || len(containers.Items) > 0 {
		t.Errorf("containers are left: %v, %v", containers.Items, err)
	}
	networks, err := r.api.NetworkList(ctx, client.NetworkListOptions{Filters: r.ours()})
	if err != nil || len(networks.Items) > 0 {
		t.Errorf("networks are left: %v, %v", networks.Items, err)
	}
	volumes, err := r.api.VolumeList(ctx, client.VolumeListOptions{Filters: r.ours()})
	if err != nil || len(volumes.Items) > 0 {
		t.Errorf("volumes are left: %v, %v", volumes.Items, err)
	}
	if r.Holds() {
		t.Error("notes are left")
	}
}

func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute")
	}
	probe := open(t, Options{Host: host(t), Name: "probe", Dir: t.TempDir()})
	gateway, err := probe.Gateway(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dirs := map[runtime.Runtime]string{}
	runtimetest.Run(t, func(t *testing.T) runtime.Runtime {
		dir := t.TempDir()
		r := open(t, Options{Host: host(t), Name: dir, Dir: dir})
		image(t, r)
		t.Cleanup(func() { empty(t, r) })
		dirs[r] = dir
		return r
	}, runtimetest.Traits{
		Runs: true, Isolates: true, Outside: gateway,
		Image: func(k *runtime.Task) { k.Image = testImage },
		Reopen: func(t *testing.T, first runtime.Runtime) runtime.Runtime {
			_ = first.(*Runtime).Close()
			return open(t, Options{Host: host(t), Name: dirs[first], Dir: dirs[first]})
		},
	})
}
