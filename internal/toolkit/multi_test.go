// SPDX-License-Identifier: Apache-2.0

package toolkit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// ask sends a request and gives the answer with its JSON, if it is any.
func (s *served) ask(t *testing.T, method, path, body string, header ...string) (reply, map[string]any) {
	t.Helper()
	req, err := http.NewRequest(method, "http://m"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.client.Do(req)
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
		return reply{}, nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
	}
	var document map[string]any
	_ = json.Unmarshal(b, &document)
	return reply{resp.StatusCode, resp.Header.Get("Content-Type"), string(b), resp.Header}, document
}

// load asks for a model of the folder of its name, and gives the status.
func (s *served) load(t *testing.T, name string) (int, string) {
	t.Helper()
	r, document := s.ask(t, "POST", "/models", fmt.Sprintf(`{"model_name": %q, "url": "/opt/ml/models/%s/model"}`, name, name))
	message, _ := document["message"].(string)
	return r.status, message
}

func (s *served) loads(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if status, message := s.load(t, name); status != 200 {
			t.Fatalf("load %s: %d %s", name, status, message)
		}
	}
}

// to invokes one model.
func (s *served) to(t *testing.T, name, body string, header ...string) reply {
	t.Helper()
	r, _ := s.ask(t, "POST", "/models/"+name+"/invoke", body, append([]string{"Content-Type", "text/plain"}, header...)...)
	return r
}

// several makes a container of several models, with the script faults.py for all.
func several(t *testing.T, files map[string]string, modules ...string) *container {
	t.Helper()
	c := newContainer(t, files, modules...)
	c.write(t, "code/inference.py", example(t, "faults.py"))
	return c.set("SAGEMAKER_MULTI_MODEL=true")
}

func TestModelsAreLoadedListedAndUnloaded(t *testing.T) {
	box := newContainer(t, map[string]string{"models/a/model/factor.json": "2", "models/b/model/factor.json": "3", "code/scale.py": example(t, "scale.py")})
	s := box.set("SAGEMAKER_MULTI_MODEL=true", "SAGEMAKER_PROGRAM=scale.py", "SAGEMAKER_SUBMIT_DIRECTORY=/opt/ml/code").serve(t)
	if r, _ := s.ask(t, "GET", "/models", ""); r.status != 200 || r.body != `{"models": []}` {
		t.Errorf("nothing loaded: %+v", r)
	}
	if r := s.to(t, "a", "[1]"); r.status != 404 || !strings.Contains(r.body, "Model not found: a") {
		t.Errorf("not loaded: %+v", r)
	}
	s.loads(t, "a", "b")
	if status, message := s.load(t, "a"); status != 409 || message != "Model a is already registered." {
		t.Errorf("again: %d %s", status, message)
	}
	for name, want := range map[string]string{"a": "[2, 4]", "b": "[3, 6]"} {
		r, _ := s.ask(t, "POST", "/models/"+name+"/invoke", "[1, 2]", "Content-Type", "application/json")
		if r.status != 200 || r.body != want || r.typ != "application/json" {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r, _ := s.ask(t, "GET", "/models/a", ""); r.status != 200 || r.body != `{"modelName": "a", "modelUrl": "/opt/ml/models/a/model"}` {
		t.Errorf("%+v", r)
	}
	for _, c := range []struct{ path, want string }{
		{"/models", `{"models": [{"modelName": "a", "modelUrl": "/opt/ml/models/a/model"}, {"modelName": "b", "modelUrl": "/opt/ml/models/b/model"}]}`},
		{"/models?limit=1", `{"models": [{"modelName": "a", "modelUrl": "/opt/ml/models/a/model"}], "nextPageToken": "1"}`},
		{"/models?limit=1&next_page_token=1", `{"models": [{"modelName": "b", "modelUrl": "/opt/ml/models/b/model"}]}`},
	} {
		if r, _ := s.ask(t, "GET", c.path, ""); r.body != c.want {
			t.Errorf("%s: %s", c.path, r.body)
		}
	}
	if r, _ := s.ask(t, "DELETE", "/models/a", ""); r.status != 200 || r.body != `{"status": "Model \"a\" unregistered"}` {
		t.Errorf("unload: %+v", r)
	}
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/models/a", "", 404}, {"DELETE", "/models/a", "", 404}, {"POST", "/models/a/invoke", "[1]", 404},
		{"POST", "/models", "{", 400}, {"POST", "/models", `[]`, 400}, {"POST", "/models", `{"model_name": "x"}`, 400}, {"POST", "/models", `{"url": "/x", "model_name": ""}`, 400},
		{"POST", "/models", `{"model_name": "x", "url": "/opt/ml/models/x/model"}`, 404},
		{"GET", "/models?next_page_token=x", "", 400}, {"PUT", "/models/b", "", 405}, {"GET", "/models/b/invoke", "", 405}, {"POST", "/invocations", "", 404},
		{"GET", "/execution-parameters", "", 200},
	} {
		if r, _ := s.ask(t, c.method, c.path, c.body); r.status != c.status {
			t.Errorf("%s %s %s: %+v", c.method, c.path, c.body, r)
		}
	}
	s.loads(t, "a") // and again
	if r := s.to(t, "a", "[5]"); r.body != "[10]" {
		t.Errorf("%+v", r)
	}
}

// The modules of two models have the same names and nothing else in common.
func TestModelsBringTheirOwnCode(t *testing.T) {
	files := map[string]string{}
	for _, name := range []string{"a", "b"} {
		files["models/"+name+"/model/code/inference.py"] = "import helper\ndef model_fn(d, context):\n    return context.model_name + helper.word\ndef transform_fn(m, d, ct, accept):\n    return m\n"
		files["models/"+name+"/model/code/helper.py"] = "word = ' of " + name + "'\n"
	}
	s := newContainer(t, files).set("SAGEMAKER_MULTI_MODEL=true", "SAGEMAKER_SUBMIT_DIRECTORY=/opt/ml/model/code").serve(t)
	s.loads(t, "a", "b")
	for _, name := range []string{"a", "b"} {
		if r := s.to(t, name, "x"); r.body != name+" of "+name {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestWhatKeepsOneOfSeveralModelsFromBeingLoaded(t *testing.T) {
	box := several(t, map[string]string{"models/good/model/x": ""})
	for _, fault := range []string{"raise", "memory", "exit", "kill"} {
		box.write(t, "models/"+fault+"/model/fault", fault)
	}
	box.write(t, "models/wrong/model/code/inference.py", "import no_such_module_here\n")
	box.write(t, "models/wants/model/code/inference.py", "def model_fn(d): pass\n")
	box.write(t, "models/wants/model/code/requirements.txt", "/no/such/package.whl\n")
	s := box.serve(t)
	s.loads(t, "good")
	for _, c := range []struct {
		name   string
		status int
		want   []string
	}{
		{"raise", 500, []string{"the model could not be loaded\nTraceback", "ValueError: no weights in raise"}},
		{"memory", 507, []string{"MemoryError: the weights are too large"}},
		{"exit", 500, []string{"the process that loaded the model ended with code 9"}},
		{"kill", 507, []string{"the process that loaded the model ended by signal 9"}},
		{"wrong", 500, []string{"No module named 'no_such_module_here'"}},
		{"wants", 500, []string{"InstallRequirementsError"}},
	} {
		status, message := s.load(t, c.name)
		for _, want := range c.want {
			if status != c.status || !strings.Contains(message, want) {
				t.Errorf("%s: %d %s", c.name, status, message)
			}
		}
		if r, _ := s.ask(t, "GET", "/models/"+c.name, ""); r.status != 404 {
			t.Errorf("%s is there: %+v", c.name, r)
		}
	}
	if r := s.to(t, "good", "on"); r.body != "on" {
		t.Errorf("%+v", r)
	}
	// What kept it may be gone.
	box.write(t, "models/raise/model/fault", "")
	s.loads(t, "raise")
}

func TestModelsAreRefusedWhenMemoryIsTaken(t *testing.T) {
	if _, err := os.Stat("/proc/self/smaps_rollup"); err != nil {
		t.Skip("memory is measured on Linux only")
	}
	const most = 600 << 20
	box := several(t, map[string]string{"models/small/model/x": "", "models/big/model/fault": strconv.Itoa(most), "models/next/model/x": ""})
	s := box.set("SAGEBRUSH_MEMORY_BYTES=" + strconv.Itoa(most)).serve(t)
	s.loads(t, "small")
	if status, message := s.load(t, "big"); status != 507 || !strings.Contains(message, "of 600 MB are taken") {
		t.Errorf("%d %s", status, message)
	}
	if r, _ := s.ask(t, "GET", "/models/big", ""); r.status != 404 {
		t.Errorf("it is there: %+v", r)
	}
	s.loads(t, "next") // what the big one had is free again
	if r := s.to(t, "small", "memory"); r.status != 507 {
		t.Errorf("a request without room: %+v", r)
	}
}

func TestRequestsToOneOfSeveralModels(t *testing.T) {
	box := several(t, map[string]string{"models/a/model/x": "", "models/b/model/x": ""})
	s := box.serve(t)
	s.loads(t, "a", "b")
	for _, c := range []struct {
		body   string
		status int
		want   string
	}{
		{"plain", 200, "plain"}, {"header", 200, "x/a.tar.gz"}, {"raise", 500, "as asked"}, {"status", 422, "a status of its own"},
		{"exit", 500, "Model a gave no answer"}, {"after", 200, "after"},
	} {
		if r := s.to(t, "a", c.body, "X-Amzn-SageMaker-Target-Model", "x/a.tar.gz"); r.status != c.status || !strings.Contains(r.body, c.want) {
			t.Errorf("%s: %+v", c.body, r)
		}
	}
	resp := s.open(t, "/models/a/invoke", "stream")
	if got, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) || string(got) != "one two " {
		t.Errorf("%v, %q", err, got)
	}
	big := strings.Repeat("0123456789abcdef", 8<<20/16)
	if r := s.to(t, "b", big); r.body != big {
		t.Errorf("8 MB: status %d, %d bytes", r.status, len(r.body))
	}
	// A model that is busy keeps no other from answering; unloading waits for it.
	slow := make(chan reply, 1)
	go func() { slow <- s.to(t, "a", "slow") }()
	poll(t, "the request is being answered", func() bool { _, err := os.Stat(box.path("models/a/model/waiting")); return err == nil })
	if r := s.to(t, "b", "quick"); r.body != "quick" {
		t.Errorf("%+v", r)
	}
	gone := make(chan reply, 1)
	go func() { r, _ := s.ask(t, "DELETE", "/models/a", ""); gone <- r }()
	poll(t, "it is not there for others", func() bool { r, _ := s.ask(t, "GET", "/models/a", ""); return r.status == 404 })
	box.write(t, "models/a/model/go", "")
	if r := <-slow; r.status != 200 || r.body != "slow" {
		t.Errorf("%+v", r)
	}
	if r := <-gone; r.status != 200 {
		t.Errorf("%+v", r)
	}
}

// A model whose processes were killed, all of them, is loaded by its next request.
func TestAModelThatWasKilledIsLoadedAgain(t *testing.T) {
	box := several(t, map[string]string{"models/a/model/x": ""})
	s := box.serve(t)
	s.loads(t, "a")
	first := s.to(t, "a", "pid").body
	for range 5 { // its server gives up
		_ = s.to(t, "a", "exit")
	}
	poll(t, "its server has given up", func() bool { _ = s.to(t, "a", "exit"); return strings.Contains(s.log.String(), "it is loaded again") })
	poll(t, "it answers again", func() bool { return s.to(t, "a", "on").body == "on" })
	if r := s.to(t, "a", "pid"); r.status != 200 || r.body == first {
		t.Errorf("%+v, at first %s", r, first)
	}
}

func TestSeveralAskForTheSameModelAtOnce(t *testing.T) {
	box := several(t, map[string]string{"models/a/model/fault": "slow"})
	s := box.serve(t)
	var mu sync.Mutex
	count := map[int]int{}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			status, _ := s.load(t, "a")
			mu.Lock()
			count[status]++
			mu.Unlock()
		})
	}
	poll(t, "it is being loaded", func() bool { _, err := os.Stat(box.path("models/a/model/waiting")); return err == nil })
	if r := s.to(t, "a", "x"); r.status != 404 {
		t.Errorf("not loaded yet: %+v", r)
	}
	box.write(t, "models/a/model/go", "")
	wg.Wait()
	if count[200] != 1 || count[409] != 3 {
		t.Errorf("answers by status: %v", count)
	}
	// A load that hangs is ended by unloading.
	box.write(t, "models/b/model/fault", "slow")
	answer := make(chan string, 1)
	go func() { status, message := s.load(t, "b"); answer <- strconv.Itoa(status) + message }()
	poll(t, "it is being loaded", func() bool { _, err := os.Stat(box.path("models/b/model/waiting")); return err == nil })
	if r, _ := s.ask(t, "DELETE", "/models/b", ""); r.status != 200 {
		t.Errorf("%+v", r)
	}
	if got := <-answer; !strings.HasPrefix(got, "500") || !strings.Contains(got, "unloaded while it was being loaded") {
		t.Error(got)
	}
}

func TestXGBoostModelsWithoutAScript(t *testing.T) {
	t.Parallel()
	c := newContainer(t, nil, "numpy", "scipy", "xgboost")
	var want [][]float64
	if err := json.Unmarshal([]byte(c.in(t, `
import json, numpy, os, xgboost
x = numpy.random.default_rng(1).random((200, 3)).astype("float32")
out = []
for name, weights in (("a", [1, 2, 3]), ("b", [3, -2, 1])):
    b = xgboost.train({"max_depth": 3}, xgboost.DMatrix(x, label=x @ weights), 10)
    os.makedirs("models/%s/model" % name)
    b.save_model("model.json"); os.rename("model.json", "models/%s/model/xgboost-model" % name)
    out.append(b.predict(xgboost.DMatrix(numpy.array([[.1, .2, .3]], dtype="float32"))).tolist())
print(json.dumps(out))`, "")), &want); err != nil {
		t.Fatal(err)
	}
	s := c.set("SAGEBRUSH_FRAMEWORK=xgboost", "SAGEMAKER_MULTI_MODEL=true").serve(t)
	s.loads(t, "a", "b")
	for i, name := range []string{"a", "b"} {
		if r, _ := s.ask(t, "POST", "/models/"+name+"/invoke", ".1,.2,.3", "Content-Type", "text/csv"); r.status != 200 || !near(r.body, want[i], 1e-6) {
			t.Errorf("%s: %+v, want %v", name, r, want[i])
		}
	}
}

func TestStopEndsTheProcessesOfAllModels(t *testing.T) {
	box := several(t, map[string]string{"models/a/model/x": "", "models/b/model/x": ""})
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		_ = os.Remove(box.path("models/a/model/go"))
		_ = os.Remove(box.path("models/a/model/waiting"))
		s := box.serve(t)
		s.loads(t, "a", "b")
		var pids []int
		for _, name := range []string{"a", "b"} {
			pid, err := strconv.Atoi(s.to(t, name, "pid").body)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
		if signal == syscall.SIGTERM { // requests come to their end
			slow := make(chan reply, 1)
			go func() { slow <- s.to(t, "a", "slow") }()
			poll(t, "the request is being answered", func() bool { _, err := os.Stat(box.path("models/a/model/waiting")); return err == nil })
			_ = s.cmd.Process.Signal(signal)
			poll(t, "no more connections", func() bool { conn, err := s.dial(); closeIf(conn); return err != nil })
			box.write(t, "models/a/model/go", "")
			if r := <-slow; r.body != "slow" {
				t.Errorf("%+v", r)
			}
		} else {
			_ = s.cmd.Process.Signal(signal)
		}
		<-s.ended
		if signal == syscall.SIGTERM && s.err != nil {
			t.Errorf("the server ended with %v", s.err)
		}
		for _, pid := range pids {
			poll(t, "its processes have ended", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
		}
	}
}

func TestMemoryLimitsOfControlGroups(t *testing.T) {
	c := newContainer(t, map[string]string{
		"two": "0::/a/b\n", "2/a/memory.max": "3000\n", "2/a/b/memory.max": "max\n",
		"one": "5:cpu,cpuacct:/x\n4:memory:/m\n", "1/memory/m/memory.limit_in_bytes": "2000\n", "1/memory/memory.limit_in_bytes": "9223372036854771712\n",
		"none": "0::/\n",
	})
	const script = `
from sagebrush_toolkit.serve import memory
print([memory._group_limit(name, root) for name, root in (("two", "2"), ("one", "1"), ("none", "3"), ("missing", "3"))], memory.limit({"SAGEBRUSH_MEMORY_BYTES": "70"}))`
	if got := c.in(t, script, ""); got != "[3000, 2000, None, None] 70\n" {
		t.Error(got)
	}
}

// What the toolkit opens beside its own port is in the range that is told to it.
func TestInnerPortsAreInTheSafeRange(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	c := newContainer(t, nil).set(fmt.Sprintf("SAGEMAKER_SAFE_PORT_RANGE=%d-%d", port, port))
	const script = `
import os
from sagebrush_toolkit.serve import worker
try:
    print(worker._inner_listener().getsockname()[1])
except OSError as e:
    print(e)`
	if got := c.in(t, script, ""); got != "none of the ports of SAGEMAKER_SAFE_PORT_RANGE is free\n" {
		t.Error(got)
	}
	taken.Close()
	if got := c.in(t, script, ""); got != strconv.Itoa(port)+"\n" {
		t.Error(got)
	}
}
