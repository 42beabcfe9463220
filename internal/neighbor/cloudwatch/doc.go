// SPDX-License-Identifier: Apache-2.0

// Package cloudwatch is CloudWatch's metrics and alarms as far as SageMaker's
// clients use them, in a SQLite file of its own: data in, statistics,
// percentiles and metric math out, and alarms that watch them.
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
// # How alarms are evaluated
//
// A metric alarm is evaluated at the end of each of its periods, or of each
// minute where they are longer, one second later, so that who reports once a
// second has done so. decide is the policy, pure, and knows the service's rules
// for missing data. A composite alarm is evaluated when a child changes. All
// alarms are in memory too: to describe one costs microseconds.
//
// A state that SetAlarmState has set stays until the next evaluation, which
// comes ten seconds later at the earliest.
//
// A change of state is one transaction: the alarm, its history, and the actions
// that are due. Those are then done by Actions, and may be done again after a
// crash. An Auto Scaling action is done once per change of state and not, as in
// the service, once per period: who scales asks for the states.
//
// # Durability
//
// Queries see all data that were put before them. A kill -9 may lose the data
// of the last half second; Close loses none. Alarms and their history are
// stored when the caller is answered.
package cloudwatch
