// SPDX-License-Identifier: Apache-2.0

// Sagebrush is Amazon SageMaker AI on your own machine: one binary that speaks
// the AWS protocols and does the work.
package main

import (
	"os"

	"github.com/alecthomas/kong"

	_ "github.com/sagebrush-ml/sagebrush/internal/start" // the first collection comes later
)

// cli is the command line; each command is in a file of its name.
type cli struct {
	Serve     serveCmd     `cmd:"" help:"Start the server: SageMaker, S3 and their neighbours on one port."`
	Env       envCmd       `cmd:"" help:"Print export lines that point AWS clients at the server: eval \"$(sagebrush env)\"."`
	Run       runCmd       `cmd:"" help:"Run a command against the server: sagebrush run -- python train.py. Starts one if none runs."`
	Demo      demoCmd      `cmd:"" help:"Train, deploy and ask a model, from data that comes with the binary."`
	Logs      logsCmd      `cmd:"" help:"Print the log of a job or an endpoint: sagebrush logs -f JOB."`
	Invoke    invokeCmd    `cmd:"" help:"Ask an endpoint: sagebrush invoke ENDPOINT --csv 1,2,3."`
	Top       topCmd       `cmd:"" help:"Show the endpoints as they run: requests, latency, errors, instances."`
	Interrupt interruptCmd `cmd:"" help:"Take the spot capacity of a training job away: sagebrush interrupt JOB."`
	Algo      algoCmd      `cmd:"" help:"Run a built-in algorithm by itself, on a folder laid out like /opt/ml."`
	Feed      feedCmd      `cmd:"" hidden:"" help:"Stream data to a training container; the server starts this."`
	Doctor    doctorCmd    `cmd:"" help:"Tell what this machine can and cannot do."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}

func main() {
	// A task's parent is this binary too. It is started for each job, so it
	// does not go through the command line's set-up.
	if len(os.Args) > 1 && os.Args[1] == "task" {
		os.Exit(runTask(os.Args[2:]))
	}
	var c cli
	err := kong.Parse(&c, options()...).Run()
	tell(os.Stderr, err)
	os.Exit(exitCode(err))
}

// options are how the command line is read: flags, then the environment, then
// the configuration file.
func options() []kong.Option {
	return []kong.Option{kong.Name("sagebrush"), kong.ShortUsageOnError(), kong.Resolvers(new(configFile)),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Description("Amazon SageMaker AI on your own machine. boto3, the AWS CLI and the SageMaker SDK work unchanged against it.")}
}
