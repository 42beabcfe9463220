// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func TestWhatIsToldOfImages(t *testing.T) {
	b := fresh(t)
	one, two := image(t, 2), image(t, 1)
	for ref, im := range map[string]v1.Image{"mine:v1": one, "mine:latest": one, "mine:two": two, "mine/deeper:v1": two} {
		if err := remote.Write(b.ref(t, ref), im, signedIn); err != nil {
			t.Fatal(err)
		}
	}
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: one}, mutate.IndexAddendum{Add: two})
	if err := remote.WriteIndex(b.ref(t, "mine:both"), index, signedIn); err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(b.ref(t, "mine:v1"), two, signedIn); err != nil { // the tag moves
		t.Fatal(err)
	}
	images, err := b.Images(t.Context(), "mine")
	if err != nil || len(images) != 3 {
		t.Fatalf("%d images, %v", len(images), err)
	}
	by := map[string]Image{}
	for _, im := range images {
		by[im.Digest] = im
		if since := time.Since(im.Pushed); since < 0 || since > time.Minute {
			t.Errorf("pushed %v ago", since)
		}
	}
	if im := by[digestOf(t, one)]; !slices.Equal(im.Tags, []string{"latest"}) || im.Artifact != "application/vnd.docker.container.image.v1+json" || im.Size < 8192 {
		t.Errorf("got %+v", im)
	}
	if im := by[digestOf(t, two)]; !slices.Equal(im.Tags, []string{"two", "v1"}) {
		t.Errorf("got %+v", im)
	}
	if im := by[digestOf(t, index)]; len(im.Images) != 2 || im.Size != by[digestOf(t, one)].Size || im.MediaType != "application/vnd.oci.image.index.v1+json" {
		t.Errorf("got %+v", im)
	}
	raw, err := two.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"v1", digestOf(t, two)} {
		body, _, d, err := b.Manifest(t.Context(), "mine", ref)
		if err != nil || !bytes.Equal(body, raw) || d != digestOf(t, two) {
			t.Errorf("manifest of %s: %s, %v", ref, d, err)
		}
	}
	if _, _, _, err := b.Manifest(t.Context(), "mine", "none"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if images, err := b.Images(t.Context(), "team/blobs/manifests"); err != nil || len(images) != 0 {
		t.Errorf("an empty repository: %v, %v", images, err)
	}
}

func TestPuttingAManifest(t *testing.T) {
	b := fresh(t)
	im := image(t, 1)
	if err := remote.Write(b.ref(t, "mine:v1"), im, signedIn); err != nil {
		t.Fatal(err)
	}
	raw, err := im.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	other, err := image(t, 1).RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	index, err := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image(t, 1)}).RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, repo, tag string
		body            []byte
		fixed           bool
		want            error
	}{
		{"another tag of what is there", "mine", "copy", raw, false, nil},
		{"the same tag again, immutable", "mine", "copy", raw, true, nil},
		{"without a tag", "mine", "", raw, false, nil},
		{"layers that another repository has", "mine/deeper", "v1", raw, false, ErrNoLayer},
		{"layers that nobody has", "mine", "v2", other, false, ErrNoLayer},
		{"images that nobody has", "mine", "v2", index, false, ErrNoReference},
		{"no manifest", "mine", "v2", []byte("{}"), false, ErrInvalid},
		{"no JSON", "mine", "v2", []byte("x"), false, ErrInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := b.Put(t.Context(), tt.repo, tt.tag, "", tt.body, tt.fixed)
			if !errors.Is(err, tt.want) || err == nil && d != digestOf(t, im) {
				t.Errorf("got %s, %v", d, err)
			}
		})
	}
	if err := remote.Write(b.ref(t, "mine:v3"), image(t, 1), signedIn); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(t.Context(), "mine", "v3", "", raw, true); !errors.Is(err, ErrTagTaken) {
		t.Errorf("an immutable tag: %v", err)
	}
}

func TestRemovingAndCollecting(t *testing.T) {
	b := fresh(t)
	shared, gone := image(t, 2), image(t, 2)
	for ref, im := range map[string]v1.Image{"mine:gone": gone, "mine:also": gone, "mine:shared": shared, "mine/deeper:v1": shared} {
		if err := remote.Write(b.ref(t, ref), im, signedIn); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	if err := b.Untag(ctx, "mine", "also"); err != nil {
		t.Fatal(err)
	}
	if err := b.Untag(ctx, "mine", "also"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := b.Remove(ctx, "mine", digestOf(t, gone), func(im Image) bool { return len(im.Tags) == 0 }); err != nil {
		t.Fatal(err)
	}
	if images, err := b.Images(ctx, "mine"); err != nil || len(images) != 2 {
		t.Errorf("an image goes that should be kept: %v, %v", images, err)
	}
	if err := b.Remove(ctx, "mine", digestOf(t, gone), nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Remove(ctx, "mine", digestOf(t, gone), nil); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if tags, err := remote.List(b.ref(t, "mine").Context(), signedIn); err != nil || !slices.Equal(tags, []string{"shared"}) {
		t.Errorf("tags %q, %v", tags, err)
	}
	if n, _, err := b.Collect(ctx, time.Now().Add(-time.Hour)); n != 0 || err != nil {
		t.Errorf("%d young blobs removed, %v", n, err)
	}
	old := time.Now().Add(time.Hour)
	if n, bytes, err := b.Collect(ctx, old); n != 4 || bytes < 8192 || err != nil { // manifest, configuration, two layers
		t.Errorf("%d blobs of %d bytes removed, %v", n, bytes, err)
	}
	// "mine" goes, "mine/deeper" and what both have stay.
	if err := b.Drop(ctx, "mine"); err != nil {
		t.Fatal(err)
	}
	if n, _, err := b.Collect(ctx, old); n != 0 || err != nil {
		t.Errorf("%d blobs in use removed, %v", n, err)
	}
	got, err := remote.Image(b.ref(t, "mine/deeper:v1"), signedIn)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(got); err != nil {
		t.Error(err)
	}
	if images, err := b.Images(ctx, "mine"); err != nil || len(images) != 0 {
		t.Errorf("%v, %v", images, err)
	}
	// What was collected can be pushed again.
	if err := remote.Write(b.ref(t, "mine:again"), gone, signedIn); err != nil {
		t.Error(err)
	}
	if err := remote.Delete(b.ref(t, "mine@"+digestOf(t, gone)), signedIn); err != nil {
		t.Error(err)
	}
	if images, err := b.Images(ctx, "mine"); err != nil || len(images) != 0 {
		t.Errorf("%v, %v", images, err)
	}
}

func TestManyTagsAreListedInPages(t *testing.T) {
	b := fresh(t)
	im := image(t, 1)
	if err := remote.Write(b.ref(t, "mine:t"), im, signedIn); err != nil {
		t.Fatal(err)
	}
	raw, err := im.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	const n = 700 // more than the objects of one page of the store hold
	for i := range n {
		if _, err := b.Put(t.Context(), "mine", fmt.Sprintf("t%03d", i), "", raw, false); err != nil {
			t.Fatal(err)
		}
	}
	tags, err := remote.List(b.ref(t, "mine").Context(), signedIn, remote.WithPageSize(100))
	if err != nil || len(tags) != n+1 || !slices.IsSorted(tags) {
		t.Errorf("%d tags, %v", len(tags), err)
	}
	images, err := b.Images(t.Context(), "mine")
	if err != nil || len(images) != 1 || len(images[0].Tags) != n+1 {
		t.Errorf("%d images, %v", len(images), err)
	}
}
