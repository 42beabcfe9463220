// SPDX-License-Identifier: Apache-2.0

package toolkit

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

func TestWhatKeepsAScriptFromRunningIsSaid(t *testing.T) {
	const distribution = `{"current_host": "algo-1", "hosts": ["algo-1", "algo-2"], "current_group_name": "homogeneousCluster",
		"instance_groups": [{"instance_group_name": "homogeneousCluster", "instance_type": "ml.m5.large", "hosts": ["algo-1", "algo-2"]}]}`
	for _, c := range []struct {
		name  string
		files map[string]string
		hps   map[string]any
		want  string
	}{
		{"an entry point that is not there", map[string]string{"code/other.py": "", "code/lib.py": ""}, map[string]any{"sagemaker_program": "train.py"},
			"The training entry point 'train.py' is not in the source directory, which holds: lib.py, other.py."},
		{"no entry point at all", map[string]string{"code/a.py": ""}, nil, "The training entry point name is empty."},
		{"an entry point outside the code", map[string]string{"code/a.py": ""}, map[string]any{"sagemaker_program": "../model/a.py"}, "cannot be used"},
		{"an entry point that a shell would run", map[string]string{"code/a.py": ""}, map[string]any{"sagemaker_program": "a.sh; reboot"}, "cannot be used"},
		{"no code", nil, map[string]any{"sagemaker_program": "a.py"}, "is empty: no code was given to this job."},
		{"hyperparameters that are no JSON", map[string]string{"code/a.py": "", "input/config/hyperparameters.json": "{not"}, nil,
			"hyperparameters.json cannot be read: Expecting property name"},
		{"hosts that are not told", map[string]string{"code/a.py": "", "input/config/resourceconfig.json": "{}"}, nil, "resourceconfig.json"},
		{"an archive that is none", map[string]string{"input/data/code/sourcedir.tar.gz": "no archive"},
			map[string]any{"sagemaker_program": "a.py", "sagemaker_submit_directory": "/opt/ml/input/data/code/sourcedir.tar.gz"}, "is no archive that can be unpacked"},
		{"code that does not exist", nil, map[string]any{"sagemaker_program": "a.py", "sagemaker_submit_directory": "/opt/ml/input/data/code/sourcedir.tar.gz"}, "does not exist"},
		{"parameter servers", map[string]string{"code/a.py": ""}, map[string]any{"sagemaker_program": "a.py", "sagemaker_parameter_server_enabled": true}, "parameter servers is not available here"},
		{"MPI over several hosts", map[string]string{"code/a.py": "", "input/config/resourceconfig.json": distribution, "mpi/mpirun": "#!/bin/sh\n"},
			map[string]any{"sagemaker_program": "a.py", "sagemaker_mpi_enabled": true}, "MPI over several hosts (algo-1, algo-2) is not available"},
		{"a shell script for torchrun", map[string]string{"code/a.sh": ""}, map[string]any{"sagemaker_program": "a.sh", "sagemaker_torch_distributed_enabled": true}, "runs Python scripts only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			box := newContainer(t, c.files)
			if c.hps != nil {
				box.hyperparameters(t, c.hps)
			}
			if err := os.Chmod(box.path("mpi/mpirun"), 0o755); err == nil {
				box.set("PATH=" + box.path("mpi") + ":" + os.Getenv("PATH"))
			}
			out, code := box.train(t)
			if code != 1 || !strings.Contains(out, c.want) {
				t.Errorf("exit code %d\n%s", code, out)
			}
			if failure := box.read(t, "output/failure"); !strings.Contains(failure, c.want) {
				t.Errorf("failure file: %q", failure)
			}
			if strings.Contains(out, "Traceback") {
				t.Errorf("a trace of ours:\n%s", out)
			}
		})
	}
}

// entry is an entry of an archive: a link where to is not empty.
type entry struct{ name, text, to string }

func archive(t *testing.T, path string, entries []entry) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	w := tar.NewWriter(z)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.text)), Typeflag: tar.TypeReg}
		if e.to != "" {
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.to
		}
		if strings.HasSuffix(e.name, "fifo") {
			h.Typeflag = tar.TypeFifo
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestCodeComesFromTheChannelUnderNetworkIsolation(t *testing.T) {
	script := entry{"run/train.py", "import lib, sys\nprint('it says', lib.word, sys.argv[1:])\n", ""}
	for _, c := range []struct {
		name    string
		entries []entry
		want    string
		code    int
	}{
		{"code with a module beside it", []entry{script, {"lib.py", "", ""}, {"run/lib.py", "word = 'hello'\n", ""}, {"link", "", "run/lib.py"}}, "it says hello ['--an', '1']", 0},
		{"a path that leaves the folder", []entry{script, {"../evil", "x", ""}}, "outside the source directory", 1},
		{"an absolute path", []entry{script, {"/tmp/evil", "x", ""}}, "outside the source directory", 1},
		{"a link that leaves the folder", []entry{script, {"link", "", "../../output"}}, "a link to '../../output' outside", 1},
		{"a file through a link", []entry{script, {"link", "", "/"}, {"link/evil", "x", ""}}, "outside the source directory", 1},
		{"a pipe", []entry{script, {"fifo", "", ""}}, "neither file, folder nor link", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			box := newContainer(t, map[string]string{"input/data/code/empty": ""})
			archive(t, box.path("input/data/code/sourcedir.tar.gz"), c.entries)
			box.hyperparameters(t, map[string]any{"sagemaker_program": "run/train.py", "sagemaker_submit_directory": "/opt/ml/input/data/code/sourcedir.tar.gz", "an": 1})
			out, code := box.train(t)
			if code != c.code || !strings.Contains(out, c.want) {
				t.Errorf("exit code %d\n%s", code, out)
			}
			for _, p := range []string{"evil", "output/evil"} {
				if _, err := os.Lstat(box.path(p)); err == nil {
					t.Errorf("%s was written", p)
				}
			}
		})
	}
}

func TestScriptIsToldToStopWithAllItsProcesses(t *testing.T) {
	c := newContainer(t, map[string]string{"code/train.py": `
import signal, subprocess, sys
child = subprocess.Popen(["sh", "-c", "trap 'echo child stops; exit 0' TERM; echo child runs; while :; do sleep 0.05; done"])
def stop(number, frame):
    child.wait()
    print("script stops", flush=True)
    sys.exit(5)
signal.signal(signal.SIGTERM, stop)
print("script runs", flush=True)
signal.pause()
signal.pause()
`})
	c.hyperparameters(t, map[string]any{"sagemaker_program": "train.py"})
	cmd := c.command(t, "sagebrush_toolkit.train")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	var all strings.Builder
	// That these lines come at all before the script ends shows that output is not held back.
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		all.WriteString(lines.Text() + "\n")
		seen[lines.Text()] = true
		if !seen["told"] && seen["script runs"] && seen["child runs"] {
			seen["told"] = true
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
	}
	err = cmd.Wait()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 5 || !seen["child stops"] || !seen["script stops"] {
		t.Errorf("%v\n%s", err, all.String())
	}
}

func TestRequirementsThatAreThereNeedNoPip(t *testing.T) {
	const broken = "#!/bin/sh\nexit 1\n"
	c := newContainer(t, map[string]string{
		"code/train.py":         "print('ran')\n",
		"code/requirements.txt": "# what is there\npip>=1  # any\npip ; python_version < '3'\nno-such-package-here==1 ; python_version < '3'\n\n",
		"bin/uv":                broken}, "pip")
	c.hyperparameters(t, map[string]any{"sagemaker_program": "train.py"})
	out, code := c.train(t)
	if code != 0 || !strings.Contains(out, "All of requirements.txt is installed already.") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	// One that is not there starts pip, which has no index here.
	c.write(t, "code/requirements.txt", "pip\nno-such-package-here==1\n")
	out, code = c.set("PIP_NO_INDEX=1", "PIP_FIND_LINKS=").train(t)
	if failure := c.read(t, "output/failure"); code != 1 || !strings.HasPrefix(failure, "InstallRequirementsError:\nExitCode 1\nErrorMessage \"ERROR: Could not find a version that satisfies the requirement no-such-package-here==1") {
		t.Errorf("exit code %d, %s\n%s", code, failure, out)
	}
}

func TestDistributionsRunTheirLaunchers(t *testing.T) {
	const echo = "#!/bin/sh\necho \"$0 $*\"\necho \"MASTER_ADDR=$MASTER_ADDR MASTER_PORT=$MASTER_PORT GLOO_SOCKET_IFNAME=$GLOO_SOCKET_IFNAME\"\n"
	const two = `{"current_host": "algo-2", "hosts": ["algo-1", "algo-2"], "current_group_name": "g", "network_interface_name": "lo",
		"instance_groups": [{"instance_group_name": "g", "instance_type": "ml.m5.large", "hosts": ["algo-1", "algo-2"]}]}`
	const one = `{"current_host": "algo-1", "hosts": ["algo-1"], "current_group_name": "g",
		"instance_groups": [{"instance_group_name": "g", "instance_type": "ml.m5.large", "hosts": ["algo-1"]}]}`
	for _, c := range []struct {
		name, resources string
		hps             map[string]any
		want            []string
	}{
		{"torchrun on the second of two hosts", two, map[string]any{"sagemaker_torch_distributed_enabled": true, "lr": 0.1},
			[]string{"torchrun --nnodes 2 --nproc_per_node 1 --master_addr algo-1 --master_port 7777 --node_rank 1 train.py --lr 0.1\n",
				"MASTER_ADDR=algo-1 MASTER_PORT=7777 GLOO_SOCKET_IFNAME=lo\n"}},
		{"torchrun on one host", one, map[string]any{"sagemaker_torch_distributed_enabled": true}, []string{"torchrun --nnodes 1 --nproc_per_node 1 train.py\n"}},
		{"DDP is torchrun's too", one, map[string]any{"sagemaker_pytorch_ddp_enabled": true}, []string{"torchrun --nnodes 1"}},
		{"MPI on one host", one, map[string]any{"sagemaker_mpi_enabled": true, "sagemaker_mpi_num_of_processes_per_host": 3, "sagemaker_mpi_custom_mpi_options": "-x A=1"},
			[]string{"mpirun --host localhost:3 -np 3 ", " -x A=1 ", " -x SM_HOSTS ", "train.py\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			box := newContainer(t, map[string]string{"code/train.py": "raise SystemExit('the launcher was passed over')\n", "input/config/resourceconfig.json": c.resources,
				"bin/torchrun": echo, "bin/mpirun": echo})
			for _, p := range []string{"bin/torchrun", "bin/mpirun"} {
				if err := os.Chmod(box.path(p), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			box.set("PATH="+box.path("bin")+":"+os.Getenv("PATH"), "SAGEBRUSH_FRAMEWORK=pytorch")
			c.hps["sagemaker_program"] = "train.py"
			box.hyperparameters(t, c.hps)
			out, code := box.train(t)
			if code != 0 {
				t.Errorf("exit code %d", code)
			}
			for _, w := range c.want {
				if !strings.Contains(out, w) {
					t.Errorf("no %q in\n%s", w, out)
				}
			}
		})
	}
}

func TestMPIRunsItsProcesses(t *testing.T) {
	if _, err := exec.LookPath("mpirun"); err != nil {
		t.Skipf("no MPI: %v", err)
	}
	c := newContainer(t, map[string]string{"code/train.py": "import os\nprint('rank', os.environ['OMPI_COMM_WORLD_RANK'], 'of', os.environ['OMPI_COMM_WORLD_SIZE'], os.environ['SM_CURRENT_HOST'])\n",
		"input/config/resourceconfig.json": `{"current_host": "algo-1", "hosts": ["algo-1"]}`})
	c.hyperparameters(t, map[string]any{"sagemaker_program": "train.py", "sagemaker_mpi_enabled": true, "sagemaker_mpi_num_of_processes_per_host": 3})
	out, code := c.train(t)
	for _, want := range []string{"rank 0 of 3 algo-1", "rank 1 of 3 algo-1", "rank 2 of 3 algo-1"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit code %d, no %q in\n%s", code, want, out)
		}
	}
}

func TestSeveralHostsWithoutDistributionEachRunTheScript(t *testing.T) {
	for _, host := range []string{"algo-1", "algo-2"} {
		c := newContainer(t, map[string]string{"code/train.sh": "#!/bin/sh\necho \"$SM_CURRENT_HOST of $SM_HOSTS: $*\"\n",
			"input/config/resourceconfig.json": `{"current_host": "` + host + `", "hosts": ["algo-1", "algo-2"]}`})
		c.hyperparameters(t, map[string]any{"sagemaker_program": "train.sh", "word": "a 'b'"})
		if out, code := c.train(t); code != 0 || !strings.Contains(out, host+` of ["algo-1","algo-2"]: --word a 'b'`) {
			t.Errorf("exit code %d\n%s", code, out)
		}
	}
}

func TestOutputOfAFloodIsWhole(t *testing.T) {
	c := newContainer(t, map[string]string{"code/train.py": "import sys\nfor i in range(100000):\n    print('line', i, file=sys.stderr)\n"})
	c.hyperparameters(t, map[string]any{"sagemaker_program": "train.py"})
	out, code := c.train(t)
	if n := strings.Count(out, "\nline "); code != 0 || n < 99999 {
		t.Errorf("exit code %d, %d lines", code, n)
	}
}
