// SPDX-License-Identifier: Apache-2.0

package taskgroup

import (
	"sync"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// Owners know whose tasks are whose, so that a task's event wakes its job, which
// K names. The zero value is ready.
type Owners[K comparable] struct {
	mu   sync.Mutex
	keys map[runtime.ID]K
}

// Note remembers the tasks of a job. It must be called before they are
// inspected, so that a change after that is not missed.
func (o *Owners[K]) Note(key K, members []Member) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.keys == nil {
		o.keys = map[runtime.ID]K{}
	}
	for _, m := range members {
		o.keys[m.ID] = key
	}
}

// Forget drops tasks.
func (o *Owners[K]) Forget(members []Member) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range members {
		delete(o.keys, m.ID)
	}
}

// Follow wakes the owner of each task that events tells of, until it is closed.
func (o *Owners[K]) Follow(events <-chan runtime.ID, wake func(K)) {
	for id := range events {
		o.mu.Lock()
		key, ok := o.keys[id]
		o.mu.Unlock()
		if ok {
			wake(key)
		}
	}
}
