// SPDX-License-Identifier: Apache-2.0

package memstore_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/resource/memstore"
	"github.com/sagebrush-ml/sagebrush/internal/resource/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) resource.DB {
		s := memstore.New()
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	})
}

func TestStoreWorksInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		woken := make(chan resource.Row, 1)
		s.Watch(func(row resource.Row) { woken <- row })
		go func() {
			time.Sleep(time.Hour)
			row := resource.Row{Key: resource.Key{Name: "job"}, Created: time.Now()}
			if err := s.Write(t.Context(), func(tx resource.Tx) error { return tx.Insert(t.Context(), row) }); err != nil {
				t.Error(err)
			}
		}()
		row := <-woken // waits an hour of the bubble's time
		if got, err := s.Get(t.Context(), row.Key); err != nil || !got.Created.Equal(time.Now().Truncate(time.Millisecond)) {
			t.Fatalf("row is %+v, %v", got, err)
		}
	})
}
