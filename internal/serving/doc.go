// SPDX-License-Identifier: Apache-2.0

// Package serving is what endpoints and transform jobs have in common: a Model
// is a copy of what CreateModel was told, a Launcher starts one of its
// containers as a task, and a Backend is such a task as requests see it.
package serving
