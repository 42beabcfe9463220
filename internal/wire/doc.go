// SPDX-License-Identifier: Apache-2.0

// Package wire speaks the AWS protocols: JSON 1.0 and 1.1, REST JSON and query.
//
// Each protocol turns a request into a tree (map[string]any, []any, string,
// json.Number, bool, nil), one walk checks the tree against the model's
// constraints, and one more binds it to the generated message. Answers go the
// other way. Messages and operation values are generated into one package per
// service below this one; what the model says of a shape is read at run time
// from the digests in package model, so that nothing is said twice.
package wire
