// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package blazingtext

func preferLargePages([]float32) {}
