// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/sagebrush-ml/sagebrush/internal/runtime/process"

// runTask is the small parent of one task; see package process.
func runTask(args []string) int { return process.RunTask(args) }
