// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"context"
	"errors"
	"time"
)

// The errors a DB answers with. They come wrapped with what was being done, so
// compare with errors.Is.
var (
	// ErrNotFound says that no row has the key or the ARN asked for.
	ErrNotFound = errors.New("resource: no such record")
	// ErrExists says that a row with the same key or the same ARN is stored already.
	ErrExists = errors.New("resource: record exists already")
	// ErrStale says that the row was changed since the caller read it.
	ErrStale = errors.New("resource: record was changed meanwhile")
	// ErrBadToken says that a paging token was not made by a store, or was made
	// for the list of another family or in another order.
	ErrBadToken = errors.New("resource: paging token is not valid for this list")
)

// Key names one record. Two keys are the same when all four fields are equal,
// byte for byte: names are case-sensitive.
type Key struct {
	// Account is the twelve-digit account the record belongs to.
	Account string
	// Region is the Region the record belongs to, such as "eu-west-1".
	Region string
	// Family is the kind of record, such as "training-job".
	Family string
	// Name is the record's name in its family; a family whose records are named
	// by two parts joins them: "a/b".
	Name string
}

// Row is one stored record: the columns lists filter and order by, and two JSON
// documents the store does not look into.
type Row struct {
	Key
	// ARN is the record's Amazon Resource Name, or "" for a record that has
	// none. No two rows share an ARN, compared without regard to case.
	ARN string
	// Owner is the ARN of the record that wants this one, or "".
	Owner string
	// Status is the record's state in its family's own words.
	Status string
	// Settled says that the family's loop has nothing left to do for this row.
	Settled bool
	// Created and Modified are kept to the millisecond, in UTC.
	Created, Modified time.Time
	// Version is 1 at insert and grows by one with every update.
	Version int64
	// Doc is the public document and Private what only this program may see,
	// both JSON.
	Doc, Private []byte
}

// Tag is one label on a record.
type Tag struct{ Key, Value string }

// The orders a list may have. Rows that compare equal are ordered by name.
const (
	SortName     = "Name"
	SortCreated  = "CreationTime"
	SortStatus   = "Status"
	SortModified = "LastModifiedTime"
)

// DefaultLimit is the page size of a list that names none.
const DefaultLimit = 100

// Filter chooses the rows of a list, their order and the page. Account, Region
// and Family always apply; every other zero field means "any".
type Filter struct {
	Account, Region, Family string
	// NameContains is compared without regard to the case of ASCII letters.
	NameContains string
	// Status lists the states wanted; a row matches when it has one of them.
	Status []string
	// Owner is the ARN of the record that wants the rows.
	Owner string
	// The After bounds are exclusive lower bounds, the Before bounds exclusive
	// upper bounds, compared with the times as stored, to the millisecond.
	CreatedAfter, CreatedBefore   time.Time
	ModifiedAfter, ModifiedBefore time.Time
	// Sort is one of the Sort constants; "" means SortCreated.
	Sort string
	// Desc turns the whole order around, the names of equal rows included.
	Desc bool
	// Match, when set, is asked about every row the other fields let through.
	// It must not call the store.
	Match func(Row) bool
	// Limit is the page size in rows; zero or less means DefaultLimit.
	Limit int
	// After is the Next of the page before, or "" for the first page.
	After string
}

// Page is one page of a list.
type Page struct {
	Rows []Row
	// Next is the token of the page that follows, or "" when this is the last.
	Next string
}

// Reader reads records. Outside a transaction every call sees all writes that
// returned before it began; inside one it also sees the transaction's own.
type Reader interface {
	// Get answers one row, or ErrNotFound.
	Get(ctx context.Context, key Key) (Row, error)
	// ByARN answers the row with the ARN, compared without regard to the case of
	// ASCII letters, or ErrNotFound.
	ByARN(ctx context.Context, arn string) (Row, error)
	// List answers one page. It answers ErrBadToken for a token it did not make
	// or made for another order.
	List(ctx context.Context, f Filter) (Page, error)
	// Unsettled answers the keys of the family's rows, in all accounts and
	// Regions, that are not settled, ordered by account, Region and name.
	Unsettled(ctx context.Context, family string) ([]Key, error)
	// Count answers how many rows of the family are in each state, over all
	// accounts and Regions.
	Count(ctx context.Context, family string) (map[string]int, error)
	// Tags answers the tags of an ARN ordered by key; none is not an error.
	Tags(ctx context.Context, arn string) ([]Tag, error)
}

// Tx is a transaction: what it writes appears all at once or not at all.
type Tx interface {
	Reader
	// Insert stores a new row with version 1, or answers ErrExists.
	Insert(ctx context.Context, row Row) error
	// Update replaces a row if the stored version is row.Version, and stores it
	// with the version that follows. It answers ErrNotFound when there is no
	// such row, ErrStale when its version is another and ErrExists when the new
	// ARN is another row's. When the ARN changes, the tags move with it.
	Update(ctx context.Context, row Row) error
	// Delete removes a row and its tags, or answers ErrNotFound.
	Delete(ctx context.Context, key Key) error
	// SetTags removes the tags with the keys in remove, then adds or replaces
	// those in add. It does not ask whether a row has the ARN.
	SetTags(ctx context.Context, arn string, add []Tag, remove []string) error
}

// DB is the store of all records.
type DB interface {
	Reader
	// Write runs fn in one transaction and commits when fn answers nil. When fn
	// answers an error or panics nothing is stored and the error comes back
	// unchanged, or the panic goes on. When Write has returned nil the change
	// survives the end of this process, however it ends. fn must do all its
	// reading and writing through the Tx, must not keep it and must be quick:
	// transactions run one after the other.
	Write(ctx context.Context, fn func(Tx) error) error
	// Watch has fn called once for every insert, update and delete, after the
	// commit, in the order in which they were made and before Write returns; a
	// deleted row comes with version 0. fn must be quick, must not write and
	// must not change the documents. Call Watch before the first Write.
	Watch(fn func(Row))
	// Close ends the store; calls after it fail.
	Close() error
}
