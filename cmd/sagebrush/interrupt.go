// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/sagebrush-ml/sagebrush/internal/client"
)

type interruptCmd struct {
	homeFlags
	Job string `arg:"" help:"Name of a training job that runs under managed spot training."`
}

// Help is the text below the usage.
func (interruptCmd) Help() string {
	return `Takes the spot capacity of a training job away, so that you can see whether it goes on from its checkpoints: its containers get SIGTERM, SIGKILL 120 seconds later, and the job begins again.

The job must have been created with EnableManagedSpotTraining and must be in Training. To have all spot jobs interrupted now and then, start the server with --spot-interrupt-every.

Example:

  sagebrush interrupt my-job`
}

// Run asks the server of the home.
func (c *interruptCmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	home, err := c.dir()
	if err != nil {
		return err
	}
	at, err := locate(ctx, home)
	if err != nil {
		return err
	}
	if err := at.client.Call(ctx, client.Sagebrush, "InterruptTrainingJob", map[string]string{"TrainingJobName": c.Job}, nil); err != nil {
		return err
	}
	fmt.Printf("%s is interrupted\n", c.Job)
	return nil
}
