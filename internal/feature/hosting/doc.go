// SPDX-License-Identifier: Apache-2.0

// Package hosting serves models: Model, EndpointConfig, Endpoint and the
// InvokeEndpoint door.
//
// A Model says which image serves which artifact; an EndpointConfig says how
// many instances of which models share the traffic; an Endpoint runs a config.
// What an endpoint runs is copied into its record when it is created or
// updated (a fleet), because it goes on serving after its config and models
// were deleted. Each fleet has a generation, and names of tasks derive from
// endpoint, generation, variant and instance, so that a restart of the server
// finds them again.
//
// The endpoint's loop brings what runs to what the record wants: it starts
// tasks, asks their /ping, routes to those that answer, replaces those that
// die, and moves the status. The route table is in memory and swapped whole;
// a request reads no database.
package hosting
