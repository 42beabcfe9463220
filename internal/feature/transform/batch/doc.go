// SPDX-License-Identifier: Apache-2.0

// Package batch is the data path of batch transform: how an object is cut into
// mini-batches, what DataProcessing sends of a record and keeps of it, and how
// answers are put together. It knows no jobs, no containers and no store.
//
// Sources: API_TransformInput, API_TransformOutput, API_DataProcessing, and
// "Associate Prediction Results with Input Records" in the developer guide.
package batch
