// SPDX-License-Identifier: Apache-2.0

// Package cloudwatch is CloudWatch's metrics as far as SageMaker's clients use
// them, in a SQLite file of its own: data in, statistics and percentiles out.
//
// # How data are kept
//
// Data are gathered in memory per series and second, and written together a few
// times a second, so that an endpoint may report each request. A sample keeps
// count, sum, minimum and maximum, and how the values are spread: each distinct
// value with its count up to 128 of them, beyond that a histogram with
// logarithmic buckets. Percentiles are then exact, or within one per cent of
// the value. After three hours seconds become minutes, as in the service;
// minutes are kept for fifteen days.
//
// # Durability
//
// Queries see all data that were put before them. A kill -9 may lose the data
// of the last half second; Close loses none.
package cloudwatch
