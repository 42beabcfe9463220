// SPDX-License-Identifier: Apache-2.0

package versity

// socketAddress is an abstract socket: it needs no file, and is gone with the
// process.
func socketAddress(unique string) string { return "@sagebrush-s3-" + unique }
