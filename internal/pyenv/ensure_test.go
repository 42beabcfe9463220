// SPDX-License-Identifier: Apache-2.0

package pyenv

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAnEnvironmentIsMadeOnceAndFoundAgain(t *testing.T) {
	installers(t, func(t *testing.T, uv string) {
		wheels := t.TempDir()
		wheel(t, wheels, "demo", "1.2.1", "helper")
		wheel(t, wheels, "demo", "1.3.0", "helper")
		wheel(t, wheels, "helper", "2.0")
		s := open(t, Options{Wheels: wheels, Offline: true, UV: uv})
		spec := Spec{Name: "demo 1.2", Packages: []Choice{{Package: "demo", Wanted: []string{"==1.2.1"}}}}
		env, said := ensure(t, s, spec)
		if env.Packages["demo"] != "1.2.1" || env.Packages["helper"] != "2.0" || env.Packages["pip"] == "" {
			t.Errorf("it has %v", env.Packages)
		}
		if env.Substituted() || env.Bytes == 0 || !filepath.IsAbs(env.Base) {
			t.Errorf("got %+v", env)
		}
		for _, want := range []string{"demo 1.2", "Installing demo==1.2.1", "Python " + env.Python, "is ready after"} {
			if !strings.Contains(said, want) {
				t.Errorf("it did not say %q:\n%s", want, said)
			}
		}
		out, err := exec.Command(env.Interpreter(), "-c", "import demo, sys; print(demo.version, sys.prefix)").CombinedOutput()
		if string(out) != "1.2.1 "+env.Dir+"\n" {
			t.Errorf("python printed %q, %v", out, err)
		}
		compiled, _ := filepath.Glob(filepath.Join(env.Dir, "lib/python3*/site-packages/__pycache__/demo.*.pyc"))
		if len(compiled) != 1 {
			t.Errorf("compiled modules are %v: jobs cannot write them", compiled)
		}
		left, _ := filepath.Glob(filepath.Join(s.o.Dir, "*.tmp"))
		if len(left) > 0 {
			t.Errorf("working folders are left: %v", left)
		}

		again, said := ensure(t, s, spec)
		if again.Dir != env.Dir || said != "" || !again.Made.Equal(env.Made) || again.Packages["demo"] != "1.2.1" {
			t.Errorf("the second time it gave %+v and said %q", again, said)
		}
		spec.Packages[0].Wanted = []string{"==1.3.0"}
		if other, _ := ensure(t, s, spec); other.Dir == env.Dir || other.Packages["demo"] != "1.3.0" {
			t.Errorf("another version gave %+v", other)
		}
	})
}

func TestWhatCannotBeHadIsReplacedAndSaid(t *testing.T) {
	installers(t, func(t *testing.T, uv string) {
		wheels := t.TempDir()
		for _, v := range []string{"0.9", "1.1.3", "1.2.2", "1.10", "2.0rc1"} {
			wheel(t, wheels, "demo-kit", v)
		}
		for _, v := range []string{"1.5", "2.0"} {
			wheel(t, wheels, "helper", v)
		}
		wheel(t, wheels, "torchlike", "2.6.0")
		wheel(t, wheels, "torchlike", "2.6.0+cpu")
		s := open(t, Options{Wheels: wheels, Offline: true, UV: uv})
		py := minorVersion(s.interpreters(t.Context())[0].Version)
		old := []Companion{{Below: "1.4", Requirement: "helper<2"}}
		for _, tt := range []struct {
			name     string
			packages []Choice
			want     map[string]string
			note     string // "" for none
			pip      bool   // also with pip, which takes seconds to be installed
		}{
			{"the best", []Choice{{Package: "demo-kit", Wanted: []string{"==1.2.2", "~=1.2.0"}, Nearest: "1.2.2", With: old}},
				map[string]string{"demo-kit": "1.2.2", "helper": "1.5"}, "", false},
			{"the same minor version", []Choice{{Package: "demo-kit", Wanted: []string{"==1.2.1", "~=1.2.0"}, Nearest: "1.2.1"}},
				map[string]string{"demo-kit": "1.2.2"}, "demo-kit 1.2.1 has no wheel for Python " + py + "; demo-kit 1.2.2 is used instead", false},
			{"the nearest above, by numbers, with the companion of what it is", []Choice{{Package: "helper"}, {Package: "demo-kit", Wanted: []string{"==1.0.0", "~=1.0.0"}, Nearest: "1.0.0", With: old}},
				map[string]string{"demo-kit": "1.1.3", "helper": "1.5"}, "demo-kit 1.0.0 has no wheel for Python " + py + "; demo-kit 1.1.3 is used instead", true},
			{"the newest, when all are older, and no pre-release", []Choice{{Package: "demo-kit", Wanted: []string{"==3.1"}, Nearest: "3.1", With: old}},
				map[string]string{"demo-kit": "1.10", "helper": ""}, "demo-kit 3.1 has no wheel for Python " + py + "; demo-kit 1.10 is used instead", false},
			{"a build for processors wins over the plain one", []Choice{{Package: "torchlike", Wanted: []string{"==2.6.0"}}},
				map[string]string{"torchlike": "2.6.0+cpu"}, "", true},
		} {
			if uv == NoUV && !tt.pip {
				continue
			}
			t.Run(tt.name, func(t *testing.T) {
				env, said := ensure(t, s, Spec{Name: "x", Packages: tt.packages})
				for name, version := range tt.want {
					if env.Packages[name] != version {
						t.Errorf("%s is %q, want %q; it said\n%s", name, env.Packages[name], version, said)
					}
				}
				if got := strings.Join(env.Notes, "|"); got != tt.note || !strings.Contains(said, tt.note) {
					t.Errorf("it notes %q, want %q", got, tt.note)
				}
			})
		}
	})
}

func TestWhatCannotBeHadAtAllIsAnErrorThatSaysWhy(t *testing.T) {
	installers(t, func(t *testing.T, uv string) {
		wheels := t.TempDir()
		wheel(t, wheels, "demo", "1.0", "helper<2")
		wheel(t, wheels, "helper", "2.0")
		wheel(t, wheels, "helper", "1.0")
		write(t, filepath.Join(wheels, "sourced-1.0.tar.gz"), "no archive")
		index := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.NotFound(w, r)
		}))
		defer index.Close()
		broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "out of order", http.StatusBadGateway)
		}))
		defer broken.Close()
		at := func(url string) []string {
			return environ("PIP_INDEX_URL="+url, "PIP_RETRIES=0", "PIP_TIMEOUT=5", "UV_HTTP_RETRIES=0", "UV_NO_CACHE=1")
		}
		for _, tt := range []struct {
			name    string
			o       Options
			spec    Spec
			want    error
			reasons []string
			uvOnly  bool // as pip takes seconds, and its words are in TestJudge
		}{
			{"a package that no index has", Options{Environ: at(index.URL + "/simple")}, Spec{Packages: []Choice{{Package: "no-such-thing", Wanted: []string{"==1.0"}}}},
				ErrUnavailable, []string{"no-such-thing", index.URL, "wheels folder"}, false},
			{"an index that does not listen", Options{Environ: at("http://127.0.0.1:9/simple")}, Spec{Packages: []Choice{{Package: "no-such-thing"}}},
				ErrNetwork, []string{"no-such-thing", "127.0.0.1"}, false},
			{"an index that does not listen, asked for requirements", Options{Environ: at("http://user:secret@127.0.0.1:9/simple")}, Spec{Requirements: []byte("no-such-thing")},
				ErrNetwork, []string{"requirements.txt", "127.0.0.1"}, true},
			{"an index that is out of order", Options{Environ: at(broken.URL + "/simple")}, Spec{Packages: []Choice{{Package: "no-such-thing"}}},
				ErrNetwork, []string{"no-such-thing"}, false},
			{"a requirement that the folder lacks", Options{Offline: true}, Spec{Requirements: []byte("demo==9.9\n")},
				ErrUnavailable, []string{"requirements.txt", "demo==9.9", "offline", "wheels folder"}, true},
			{"requirements that contradict each other", Options{Offline: true}, Spec{Requirements: []byte("demo\nhelper>=2\n")},
				ErrUnavailable, []string{"helper"}, true},
			{"what is no requirement", Options{Offline: true}, Spec{Requirements: []byte("demo = 1.0\n")},
				ErrUnavailable, []string{"demo = 1.0"}, true},
			{"a framework that has no wheel", Options{Offline: true}, Spec{Packages: []Choice{{Package: "sourced", Wanted: []string{"==1.0"}}}},
				ErrUnavailable, []string{"sourced"}, true},
			{"a requirement that has no wheel, where only wheels will do", Options{Offline: true, OnlyWheels: true}, Spec{Requirements: []byte("sourced")},
				ErrUnavailable, []string{"sourced"}, false},
			{"a file without end", Options{Offline: true}, Spec{Requirements: make([]byte, MaxRequirements+1)},
				ErrUnavailable, []string{"1048577 bytes"}, true},
		} {
			if tt.uvOnly && uv == NoUV {
				continue
			}
			t.Run(tt.name, func(t *testing.T) {
				tt.o.UV, tt.o.Wheels, tt.spec.Name = uv, wheels, "framework"
				s := open(t, tt.o)
				var said lines
				_, err := s.Ensure(t.Context(), tt.spec, &said)
				if !errors.Is(err, tt.want) {
					t.Fatalf("got %v, want %v", err, tt.want)
				}
				other := map[error]error{ErrNetwork: ErrUnavailable, ErrUnavailable: ErrNetwork}[tt.want]
				if errors.Is(err, other) {
					t.Errorf("it is both: %v", err)
				}
				for _, r := range tt.reasons {
					if !strings.Contains(err.Error(), r) {
						t.Errorf("%v\ndoes not say %q", err, r)
					}
				}
				if strings.Contains(err.Error(), "secret") || len(strings.Split(err.Error(), "\n")) > maxReason+5 {
					t.Errorf("it says too much: %v", err)
				}
				dirs, _ := filepath.Glob(filepath.Join(s.o.Dir, "*", "bin"))
				if len(dirs) > 0 {
					t.Errorf("it left %v", dirs)
				}
			})
		}
	})
}

func TestRequirementsOfTheUserAreInstalledAfterThePackages(t *testing.T) {
	installers(t, func(t *testing.T, uv string) {
		wheels := t.TempDir()
		for _, v := range []string{"1.0", "2.0"} {
			wheel(t, wheels, "demo", v)
			wheel(t, wheels, "extra", v)
		}
		s := open(t, Options{Wheels: wheels, Offline: true, UV: uv})
		spec := Spec{Name: "demo", Packages: []Choice{{Package: "demo", Wanted: []string{"==2.0"}}}}
		plain, _ := ensure(t, s, spec)
		spec.Requirements = []byte("# ours\nextra<2 # the old one\n-r more.txt\n./local\n-r /etc/passwd\n")
		env, said := ensure(t, s, spec)
		if env.Dir == plain.Dir || env.Packages["demo"] != "2.0" || env.Packages["extra"] != "1.0" || plain.Packages["extra"] != "" {
			t.Errorf("got %+v", env)
		}
		if !slices.Equal(env.Left, []string{"-r more.txt", "./local", "-r /etc/passwd"}) || len(env.Notes) != 3 || !strings.Contains(said, `"-r more.txt" names the file or folder more.txt; it is left to the job`) {
			t.Errorf("left %q, notes %q, said\n%s", env.Left, env.Notes, said)
		}
		if again, _ := ensure(t, s, spec); !slices.Equal(again.Left, env.Left) || !slices.Equal(again.Notes, env.Notes) {
			t.Errorf("found again it tells %+v", again)
		}
		wheel(t, wheels, "extra", "3.0b1")
		spec.Requirements = []byte("--pre\nextra\n")
		if early, _ := ensure(t, s, spec); early.Packages["extra"] != "3.0b1" {
			t.Errorf("--pre has no effect: %v", early.Packages)
		}
		spec.Requirements = []byte("demo<2")
		if changed, _ := ensure(t, s, spec); changed.Packages["demo"] != "1.0" {
			t.Errorf("requirements did not change the framework: %v", changed.Packages)
		}
	})
}

// hanging is an index that accepts requests and never answers. asked gets one
// value per request, gone one when its client has gone.
func hanging(t *testing.T) (url string, asked, gone chan bool) {
	asked, gone = make(chan bool, 100), make(chan bool, 100)
	index := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- true
		<-r.Context().Done()
		gone <- true
	}))
	t.Cleanup(func() { index.CloseClientConnections(); index.Close() })
	return index.URL + "/simple", asked, gone
}

func within(t *testing.T, what string, c chan bool) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(60 * time.Second):
		t.Fatalf("%s did not happen in 60 s", what)
	}
}

func TestAStoppedJobStopsTheInstallerAndLeavesNothing(t *testing.T) {
	url, asked, gone := hanging(t)
	s := open(t, Options{UV: NoUV, Environ: environ("PIP_INDEX_URL=" + url)})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	spec := Spec{Name: "demo", Packages: []Choice{{Package: "demo"}}}
	go func() {
		_, err := s.Ensure(ctx, spec, nil)
		ended <- err
	}()
	within(t, "pip's request", asked)

	// Another job that wants the same waits, and is not stopped with the first.
	var said lines
	second, stop := context.WithCancel(t.Context())
	defer stop()
	ended2 := make(chan error, 1)
	go func() {
		_, err := s.Ensure(second, spec, &said)
		ended2 <- err
	}()
	eventually(t, "waiting", func() bool { return strings.Contains(said.String(), "Waiting for another job") })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	within(t, "pip's end", gone)
	within(t, "the request of the second job's pip", asked)
	stop()
	if err := <-ended2; !errors.Is(err, context.Canceled) {
		t.Errorf("the second ended with %v", err)
	}
	for _, pattern := range []string{"*/bin", "*.tmp"} {
		if left, _ := filepath.Glob(filepath.Join(s.o.Dir, pattern)); len(left) > 0 {
			t.Errorf("it left %v", left)
		}
	}
}

func TestTwoServersMakeOneEnvironment(t *testing.T) {
	wheels, dir := t.TempDir(), t.TempDir()
	wheel(t, wheels, "demo", "1.0")
	type result struct {
		env Env
		err error
	}
	results := make(chan result, 4)
	said := make([]lines, 4)
	for i := range 4 {
		if i%2 == 0 {
			s := open(t, Options{Dir: dir, Wheels: wheels, Offline: true, UV: NoUV})
			for j := range 2 {
				go func() {
					env, err := s.Ensure(context.Background(), Spec{Name: "demo", Packages: []Choice{{Package: "demo"}}}, &said[i+j])
					results <- result{env, err}
				}()
			}
		}
	}
	made := 0
	var first Env
	for range 4 {
		r := <-results
		if r.err != nil {
			t.Fatal(r.err)
		}
		if first.Dir == "" {
			first = r.env
		}
		if r.env.Dir != first.Dir || !r.env.Made.Equal(first.Made) {
			t.Errorf("two environments: %+v and %+v", first, r.env)
		}
	}
	for i := range said {
		if strings.Contains(said[i].String(), "Preparing") {
			made++
		}
	}
	if made != 1 {
		t.Errorf("it was made %d times", made)
	}
}

// TestMain is also the server that a test kills while it prepares an
// environment from an index that never answers.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SAGEBRUSH_TEST_PYENV_DIR"); dir != "" {
		s, err := New(Options{Dir: dir, UV: NoUV})
		if err == nil {
			_, err = s.Ensure(context.Background(), Spec{Name: "demo", Packages: []Choice{{Package: "demo"}}}, os.Stderr)
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestAKilledServerLeavesNoInstallerAndTheEnvironmentIsMadeAnew(t *testing.T) {
	url, asked, gone := hanging(t)
	dir, wheels := t.TempDir(), t.TempDir()
	wheel(t, wheels, "demo", "1.0")
	s := open(t, Options{Dir: dir, Wheels: wheels, Offline: true, UV: NoUV})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	server := exec.Command(self)
	server.Env = environ("SAGEBRUSH_TEST_PYENV_DIR="+dir, "PIP_INDEX_URL="+url)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	within(t, "pip's request", asked)
	if err := server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	server.Wait()
	within(t, "pip's end with its server", gone)
	left, _ := filepath.Glob(filepath.Join(dir, "*", "bin"))
	if len(left) != 1 {
		t.Fatalf("the killed server left %v", left)
	}
	spec := Spec{Name: "demo", Packages: []Choice{{Package: "demo"}}}
	// The folder that it left is that of its own sources; put it where ours is.
	ours := filepath.Join(dir, s.folder(spec, s.interpreters(t.Context())[0], Requirements{}))
	if err := os.Rename(filepath.Dir(left[0]), ours); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(ours, "rubbish"), "")
	env, _ := ensure(t, s, spec)
	if _, err := os.Stat(filepath.Join(ours, "rubbish")); env.Dir != ours || err == nil {
		t.Errorf("it went on with what was left: %+v", env)
	}
}
