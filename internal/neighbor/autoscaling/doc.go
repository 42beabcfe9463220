// SPDX-License-Identifier: Apache-2.0

// Package autoscaling is Application Auto Scaling for what SageMaker scales: the
// instances and the provisioned concurrency of endpoint variants, and the copies
// of inference components.
//
// # How it works
//
// A loop looks at each scalable target every second. It runs the scheduled
// actions that are due, follows the one change that may be under way, brings
// the capacity between the bounds after they were changed, and asks the
// policies. What the policies say is made one decision by decide, which is pure.
//
// The service touches nothing but through the operations that a client would
// call: DescribeEndpoint, UpdateEndpointWeightsAndCapacities, GetMetricData,
// DescribeAlarms, PutMetricAlarm, in the name of the service-linked role and in
// the account and Region of the target.
//
// # What is kept
//
// Targets, policies, scheduled actions and activities have a SQLite file of
// their own. They are no records of internal/resource: none has the name and
// ARN that a Record is found by (a target is named by resource and dimension, a
// policy by its target too), activities grow without bound, and a scheduled
// action changes its target and writes an activity in one transaction.
//
// # Crashes
//
// An activity is written as Pending before the change is asked for, and becomes
// InProgress, then Successful or Failed, by what is seen. The change sets a
// number and may be asked for twice. So a restart anywhere only goes on.
package autoscaling
