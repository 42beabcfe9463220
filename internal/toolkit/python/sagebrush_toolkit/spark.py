# SPDX-License-Identifier: Apache-2.0
"""smspark-submit: what AWS's Spark image starts jobs with, on the Spark of the
environment's pyspark and this host alone.

There it sets up a cluster of YARN over the hosts of the job. Here the first
host runs the application by all of its processors, and the others have nothing
to do. SPARK_MASTER names another master.
"""

import importlib.util
import json
import logging
import os
import shutil
import sys

from sagebrush_toolkit import errors
from sagebrush_toolkit.folders import Folders, cpus
from sagebrush_toolkit.run import exit_code, run

log = logging.getLogger("smspark-submit")

# Options with a value, and which of them list files.
_OPTIONS = ("--class", "--jars", "--py-files", "--files", "--spark-event-logs-s3-uri", "--local-spark-event-logs-dir")
_FILES = ("--jars", "--py-files", "--files")

# Classifications whose properties are Hadoop's, which Spark takes with a prefix.
_HADOOP = ("core-site", "hdfs-site", "hive-site", "mapred-site")


def parse(words):
    """Options and, from the application on, its own words.

    The options of smspark-submit come first; what follows the application is
    the application's, whatever it looks like.
    """
    options, words = {}, list(words)
    while words:
        word = words.pop(0)
        if word in ("-v", "--verbose"):
            options["--verbose"] = True
            continue
        if not word.startswith("-"):
            return options, [word] + words
        name, equals, value = word.partition("=")
        if name not in _OPTIONS:
            raise errors.ClientError("no such option: %s. smspark-submit takes %s and --verbose; Spark is configured by configuration.json." % (name, ", ".join(_OPTIONS)))
        if not equals:
            if not words:
                raise errors.ClientError("%s option requires an argument" % name)
            value = words.pop(0)
        options[name] = value
    raise errors.ClientError("missing parameter: app")


def expand(text, folders):
    """A list of files, with the files of folders in place of those."""
    out = []
    for path in text.split(","):
        if "://" in path and not path.startswith("file:"):
            out.append(path)
            continue
        path = folders.here(path[len("file:"):] if path.startswith("file:/") and not path.startswith("file://") else path)
        if not os.path.isabs(path):
            raise errors.ClientError("file path %s must be an absolute path to a file or directory" % path)
        if not os.path.exists(path):
            raise errors.ClientError("file path %s does not exist" % path)
        if os.path.isdir(path):
            files = sorted(os.path.join(path, f) for f in os.listdir(path) if os.path.isfile(os.path.join(path, f)))
            if not files:
                raise errors.ClientError("Found zero files in %s" % path)
            out += files
        else:
            out.append(path)
    return ",".join(out)


def configuration(path):
    """Spark's properties and environment variables of a configuration.json,
    a list (or a single object) of classifications as EMR has them."""
    if not os.path.exists(path):
        return {}, {}
    try:
        with open(path, encoding="utf-8") as f:
            document = json.load(f)
        entries = document if isinstance(document, list) else [document]
        properties, variables = {}, {}
        for entry in entries:
            name, given = entry["Classification"], entry.get("Properties", {})
            if name == "spark-defaults":
                properties.update(given)
            elif name == "spark-env":
                for export in entry.get("Configurations", []):
                    if export["Classification"] == "export":
                        variables.update(export.get("Properties", {}))
            elif name in _HADOOP:
                properties.update(("spark.hadoop." + k, v) for k, v in given.items())
            else:
                log.warning("the classification %s of configuration.json has no effect here", name)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as e:
        raise errors.ClientError("%s is no list of classifications: %r" % (path, e)) from None
    return {k: str(v) for k, v in properties.items()}, {k: str(v) for k, v in variables.items()}


def spark_submit():
    """Where spark-submit is: in SPARK_HOME, beside pyspark, or in PATH."""
    home = os.environ.get("SPARK_HOME")
    if not home:
        spec = importlib.util.find_spec("pyspark")
        if spec and spec.submodule_search_locations:
            home = spec.submodule_search_locations[0]
    path = os.path.join(home, "bin", "spark-submit") if home else shutil.which("spark-submit")
    if not path or not os.path.exists(path):
        raise errors.ClientError("Spark is not installed in this container: there is no pyspark, and no spark-submit in PATH.")
    java = os.environ.get("JAVA_HOME")
    if not (os.path.exists(os.path.join(java, "bin", "java")) if java else shutil.which("java")):
        raise errors.ClientError("Spark needs Java, and there is none: neither in JAVA_HOME nor in PATH.")
    return path


def build(options, application, properties, folders):
    """The command of spark-submit."""
    settings = {}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:  # for applications that bring hadoop-aws
        settings.update({"spark.hadoop.fs.s3a.endpoint": endpoint, "spark.hadoop.fs.s3a.path.style.access": "true",
                         "spark.hadoop.fs.s3a.connection.ssl.enabled": str(endpoint.startswith("https:")).lower(),
                         "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem"})
    # Names of containers need not be known to Java, and a job talks to itself.
    settings["spark.driver.bindAddress"] = settings["spark.driver.host"] = "127.0.0.1"
    settings["spark.ui.enabled"] = "false"
    events = options.get("--local-spark-event-logs-dir")
    if options.get("--spark-event-logs-s3-uri") and not events:
        events = os.path.join(folders.root, "processing", "spark-events")
    if events:
        events = folders.here(events)
        os.makedirs(events, exist_ok=True)
        settings.update({"spark.eventLog.enabled": "true", "spark.eventLog.dir": "file://" + os.path.abspath(events)})
    settings.update(properties)
    master = os.environ.get("SPARK_MASTER") or "local[%d]" % cpus()
    command = [spark_submit(), "--master", master, "--deploy-mode", "client"]
    for name, value in sorted(settings.items()):
        command += ["--conf", "%s=%s" % (name, value)]
    if options.get("--verbose"):
        command.append("--verbose")
    if options.get("--class"):
        command += ["--class", options["--class"]]
    for name in _FILES:
        if options.get(name):
            command += [name, expand(options[name], folders)]
    return command + [folders.here(application[0])] + application[1:], events


def first_host(folders):
    """Whether this is the host that runs the application."""
    for path in (os.path.join(folders.root, "config", "resourceconfig.json"), os.path.join(folders.config, "resourceconfig.json")):
        try:
            with open(path, encoding="utf-8") as f:
                hosts = json.load(f)
            return hosts["current_host"] == sorted(hosts["hosts"])[0]
        except (OSError, ValueError, KeyError):
            continue
    return True


def upload(folder, uri):
    """Copies the event logs to S3."""
    bucket, _, prefix = uri[len("s3://"):].partition("/")
    import boto3
    client = boto3.client("s3")
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            client.upload_file(path, bucket, "/".join(p for p in (prefix.rstrip("/"), name) if p))


def main(words=None):
    """Runs the application, and returns the exit code."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    folders = Folders()
    try:
        options, application = parse(sys.argv[1:] if words is None else words)
        if not first_host(folders):
            log.info("the first host of the job runs the application; this one has nothing to do")
            return 0
        properties = {}
        # Of a processing job, and of a remote function's training job.
        for path in (os.path.join(folders.root, "processing", "input", "conf"), os.path.join(folders.data, "conf")):
            more, variables = configuration(os.path.join(path, "configuration.json"))
            properties.update(more)
            os.environ.update(variables)
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        # A user that the system does not know has no name for Hadoop.
        os.environ.setdefault("HADOOP_USER_NAME", "root")
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        command, events = build(options, application, properties, folders)
        log.info("running spark-submit: %s", " ".join(command))
        sys.stdout.flush()
        try:
            run(command, os.getcwd())
        finally:
            if options.get("--spark-event-logs-s3-uri"):
                try:
                    upload(events, options["--spark-event-logs-s3-uri"])
                except Exception as e:
                    log.error("the event logs could not be copied to %s: %s", options["--spark-event-logs-s3-uri"], e)
        log.info("spark submit was successful")
        return 0
    except errors.ExecuteUserScriptError as e:
        return _failed(folders, "AlgorithmError: spark failed with exit code %s: %s" % (e.return_code, e.output or "see the job's log"), exit_code(e.return_code))
    except errors.ClientError as e:
        return _failed(folders, "ClientError: %s" % e, 1)


def _failed(folders, message, code):
    """Leaves the reason where processing jobs have their exit message."""
    log.error(message)
    try:
        os.makedirs(folders.output, exist_ok=True)
        with open(os.path.join(folders.output, "message"), "w", encoding="utf-8", errors="replace") as f:
            f.write(message)
    except OSError as e:
        log.error("the exit message could not be written: %s", e)
    return code
