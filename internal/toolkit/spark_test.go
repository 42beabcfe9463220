// SPDX-License-Identifier: Apache-2.0

package toolkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// submit runs smspark-submit from the bin folder as an entry point does.
func (c *container) submit(t *testing.T, args ...string) (output string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.python, append([]string{filepath.Join(installed, Bin, "smspark-submit")}, args...)...)
	cmd.Env, cmd.Dir = c.env, c.root
	return finish(t, cmd)
}

// A spark-submit that tells its arguments stands for Spark where there is none.
func withSpark(t *testing.T, files map[string]string) *container {
	t.Helper()
	c := newContainer(t, files)
	for name, text := range map[string]string{"spark/bin/spark-submit": "#!/bin/sh\nfor a; do echo \"arg $a\"; done\necho \"env $MINE $PYSPARK_PYTHON\"\n", "java/bin/java": "#!/bin/sh\n"} {
		c.write(t, name, text)
		if err := os.Chmod(c.path(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return c.set("SPARK_HOME="+c.path("spark"), "JAVA_HOME="+c.path("java"), "SAGEBRUSH_CPUS=3")
}

func TestOptionsOfSparkProcessorsReachSpark(t *testing.T) {
	c := withSpark(t, map[string]string{
		"processing/input/code/app.py": "", "processing/input/py-files/a.py": "", "processing/input/py-files/b.zip": "", "processing/input/jars/x.jar": "",
		"processing/input/conf/configuration.json": `[{"Classification": "spark-defaults", "Properties": {"spark.executor.memory": "2g", "spark.ui.enabled": true}},
			{"Classification": "spark-env", "Properties": {}, "Configurations": [{"Classification": "export", "Properties": {"MINE": "set"}}]},
			{"Classification": "core-site", "Properties": {"fs.x": "y"}}, {"Classification": "yarn-site", "Properties": {}}]`})
	out, code := c.submit(t, "--class", "a.B", "--py-files", "/opt/ml/processing/input/py-files", "--jars=/opt/ml/processing/input/jars/x.jar,s3://b/y.jar",
		"--local-spark-event-logs-dir", "/opt/ml/processing/spark-events/", "--verbose", "/opt/ml/processing/input/code/app.py", "--verbose", "--class", "mine", "a b")
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	var args []string
	for line := range strings.Lines(out) {
		if a, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "arg "); ok {
			args = append(args, strings.ReplaceAll(a, c.root, "/opt/ml"))
		}
	}
	got := strings.Join(args, "\n")
	for _, want := range []string{
		"--master\nlocal[3]\n--deploy-mode\nclient\n", "--conf\nspark.executor.memory=2g\n", "--conf\nspark.ui.enabled=True\n", "--conf\nspark.hadoop.fs.x=y\n",
		"--conf\nspark.eventLog.enabled=true\n", "spark.eventLog.dir=file:///opt/ml/processing/spark-events\n",
		"--verbose\n--class\na.B\n--jars\n/opt/ml/processing/input/jars/x.jar,s3://b/y.jar\n--py-files\n/opt/ml/processing/input/py-files/a.py,/opt/ml/processing/input/py-files/b.zip\n",
	} {
		if !strings.Contains(got+"\n", want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if !strings.HasSuffix(got, "/opt/ml/processing/input/code/app.py\n--verbose\n--class\nmine\na b") || !strings.Contains(out, "env set ") {
		t.Errorf("got\n%s", out)
	}
}

func TestOnlyTheFirstHostRunsTheApplication(t *testing.T) {
	for host, runs := range map[string]bool{"algo-1": true, "algo-2": false} {
		c := withSpark(t, map[string]string{"config/resourceconfig.json": `{"current_host": "` + host + `", "hosts": ["algo-1", "algo-2"]}`})
		if out, code := c.submit(t, "app.py"); code != 0 || strings.Contains(out, "arg --master") != runs {
			t.Errorf("%s: exit code %d\n%s", host, code, out)
		}
	}
}

func TestWhatKeepsSparkFromRunningIsSaid(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		conf string
		env  []string
		want string
		code int
	}{
		{"an unknown option", []string{"--conf", "a=b", "app.py"}, "", nil, "ClientError: no such option: --conf.", 1},
		{"no application", []string{"--verbose"}, "", nil, "ClientError: missing parameter: app", 1},
		{"an option without its value", []string{"--jars"}, "", nil, "ClientError: --jars option requires an argument", 1},
		{"jars that are not there", []string{"--jars", "/opt/ml/none", "app.py"}, "", nil, "none does not exist", 1},
		{"a relative path", []string{"--files", "x", "app.py"}, "", nil, "must be an absolute path", 1},
		{"a configuration that is none", []string{"app.py"}, `{"a": 1}`, nil, "is no list of classifications", 1},
		{"no Spark", []string{"app.py"}, "", []string{"SPARK_HOME=/nowhere"}, "ClientError: Spark is not installed in this container", 1},
		{"no Java", []string{"app.py"}, "", []string{"JAVA_HOME=/nowhere"}, "ClientError: Spark needs Java, and there is none", 1},
		{"an application that fails", []string{"app.py"}, "", []string{"FAIL=1"}, "AlgorithmError: spark failed with exit code 3: ValueError: bad rows", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			box := withSpark(t, nil).set(c.env...)
			if c.conf != "" {
				box.write(t, "processing/input/conf/configuration.json", c.conf)
			}
			if c.code == 3 {
				box.write(t, "spark/bin/spark-submit", "#!/bin/sh\necho 'ValueError: bad rows' >&2\nexit 3\n")
			}
			out, code := box.submit(t, c.args...)
			if code != c.code || !strings.Contains(out, c.want) || strings.Contains(out, "Traceback") {
				t.Errorf("exit code %d\n%s", code, out)
			}
			if message := box.read(t, "output/message"); !strings.Contains(message, c.want) {
				t.Errorf("exit message %q", message)
			}
		})
	}
}

func TestPySparkRuns(t *testing.T) {
	c := newContainer(t, map[string]string{"processing/input/code/app.py": "import sys, words\nfrom pyspark.sql import SparkSession\ns = SparkSession.builder.getOrCreate()\n" +
		"print(words.total, s.range(int(sys.argv[1])).groupBy().sum().collect()[0][0], s.conf.get('spark.sql.shuffle.partitions'))\n",
		"processing/input/py-files/words.py":       "total = 'the sum is'\n",
		"processing/input/conf/configuration.json": `[{"Classification": "spark-defaults", "Properties": {"spark.sql.shuffle.partitions": "2"}}]`}, "pyspark")
	if _, err := exec.LookPath("java"); err != nil {
		t.Skipf("Spark needs Java: %v", err)
	}
	out, code := c.submit(t, "--py-files", "/opt/ml/processing/input/py-files", "--local-spark-event-logs-dir", "/opt/ml/processing/spark-events/", "/opt/ml/processing/input/code/app.py", "101")
	if code != 0 || !strings.Contains(out, "the sum is 5050 2\n") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if logs, err := os.ReadDir(c.path("processing/spark-events")); err != nil || len(logs) != 1 {
		t.Errorf("event logs: %v, %v", logs, err)
	}
}
