// SPDX-License-Identifier: Apache-2.0

// Package sns is Amazon SNS: standard topics, and subscriptions of SQS queues
// and of HTTP and HTTPS endpoints. What asynchronous inference and alarms tell
// comes to topics by Notify, what users tell by Publish.
//
// # How a message goes out
//
// Publish writes a row of the outbox for each subscription that wants the
// message, and answers. Run delivers the rows: each subscription has a lane of
// its own, so that a slow endpoint keeps nobody else waiting. A row goes when
// its delivery succeeded, or when it is given up: after the tries of the
// delivery policy, or at once where trying again cannot help. Then it moves to
// the dead letter queue of the subscription's RedrivePolicy, if there is one,
// and is logged.
//
// # Durability
//
// A row is in the file before its message is answered, and goes out at least
// once through kill -9 at any moment. A delivery to a queue has a name of its
// own, by which the queue takes it once; an endpoint may see a message twice
// and tells so by its MessageId, as with AWS.
//
// # What endpoints may be
//
// Any HTTP address that this machine reaches, as a subscription is the user's
// own wish; but never a listener of this server, nor the link-local addresses
// where clouds keep their machines' credentials. This is checked for the
// address that is really dialled. Redirects are not followed.
package sns
