// SPDX-License-Identifier: Apache-2.0

package wire

import "net/http"

// DecodeTree reads a REST request by way of a tree.
func DecodeTree(o *Operation, r *http.Request, labels map[string]string, body []byte) (any, error) {
	return o.decodeTree(o.Binding().Input, r, labels, body)
}

// DecodeDirect reads a REST request without one, where that can be.
func DecodeDirect(o *Operation, r *http.Request, labels map[string]string, body []byte) (any, bool) {
	return o.decodeDirect(o.Binding().Input, r, labels, body)
}
