// SPDX-License-Identifier: Apache-2.0

package training

import (
	"fmt"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/optml"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/taskgroup"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// machine is one instance that a job has asked for.
type machine struct {
	Host, Type, Group string
}

// machines are the job's hosts in order: those of the first instance group
// first. Without groups all are of one that the service names.
func machines(j Job) []machine {
	r := j.Doc.ResourceConfig
	if r == nil {
		return nil
	}
	groups := r.InstanceGroups
	if len(groups) == 0 {
		groups = []sm.InstanceGroup{{InstanceGroupName: optml.Homogeneous, InstanceType: r.InstanceType, InstanceCount: r.InstanceCount}}
	}
	var out []machine
	for _, g := range groups {
		for range max(value(g.InstanceCount), 1) {
			out = append(out, machine{Type: g.InstanceType, Group: g.InstanceGroupName})
		}
	}
	for i, host := range taskgroup.Hosts(len(out)) {
		out[i].Host = host
	}
	return out
}

// resources tell a host of the others.
func resources(j Job, m machine) optml.Resources {
	all := machines(j)
	out := optml.Resources{Host: m.Host, InstanceType: m.Type, Group: m.Group}
	for _, o := range all {
		out.Hosts = append(out.Hosts, o.Host)
		i := slices.IndexFunc(out.Groups, func(g optml.Group) bool { return g.Name == o.Group })
		if i < 0 {
			i = len(out.Groups)
			out.Groups = append(out.Groups, optml.Group{Name: o.Group, Type: o.Type})
		}
		out.Groups[i].Hosts = append(out.Groups[i].Hosts, o.Host)
	}
	return out
}

// hostNames are the names of the job's hosts.
func hostNames(j Job) []string { return taskgroup.Hosts(len(machines(j))) }

// taskID names the task of a host. Each attempt has tasks of its own.
func taskID(id string, attempt int, host string) runtime.ID {
	if attempt > 0 {
		return runtime.ID(fmt.Sprintf("train-%s-%d-%s", id, attempt, host))
	}
	return runtime.ID("train-" + id + "-" + host)
}

// feedID names the task that feeds a host's pipes.
func feedID(id string, attempt int, host string) runtime.ID {
	return taskID(id, attempt, host) + "-feed"
}

// members are the tasks of one of the job's attempts.
func members(j Job, attempt int) []taskgroup.Member {
	id := identity(j)
	var out []taskgroup.Member
	for _, m := range machines(j) {
		out = append(out, taskgroup.Member{ID: taskID(id, attempt, m.Host), Host: m.Host})
		if piped(j, m) {
			out = append(out, taskgroup.Member{ID: feedID(id, attempt, m.Host), Host: m.Host, Beside: true})
		}
	}
	return out
}

// capacity names the memory of the instance of the host that failed.
func capacity(j Job, host string) string {
	for _, m := range machines(j) {
		if m.Host == host {
			return taskgroup.Room(m.Type)
		}
	}
	return taskgroup.Room("")
}
