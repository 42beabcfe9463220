// SPDX-License-Identifier: Apache-2.0

// Package shadowtest runs inference experiments of type ShadowMode: for a time
// an endpoint's production variant is joined by a shadow variant that gets
// copies of its requests, and then one of the two stays.
//
// It owns no tasks. All that it does is what a caller could do: it makes endpoint
// configs and updates the endpoint by op.Call. Source: "Shadow tests" and
// API_CreateInferenceExperiment.
package shadowtest
