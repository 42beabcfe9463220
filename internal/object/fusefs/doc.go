// SPDX-License-Identifier: Apache-2.0

// Package fusefs shows objects of a store as read-only files, which are fetched
// as they are read: FastFile mode for stores whose objects are no files of this
// machine. A program opens a file of 5 GB and has its first bytes after one
// request to the store.
//
// # How it reads
//
// A file is fetched in blocks of 1 MiB. One that is read in order is fetched
// ahead of its reader, by a window that doubles from 1 to 16 MiB while the order
// holds; one that is read here and there is fetched by just what is asked for.
// All files of a mount share one limit of memory; what has been read stays in
// the kernel's page cache, as long as there is room, and is not kept here.
//
// The listing is made once, when it is mounted: objects that are put later do
// not appear, and a file keeps its size. An object that is replaced by another
// meanwhile is seen as the new bytes at the old size. An object that is shorter
// then, gone, or cannot be fetched gives EIO, and the log says why.
//
// # Who serves it
//
// The process that calls Mount: when it ends the files end with it (ENOTCONN).
// So the server does not call it but Start, which has a process of its own do so,
// `sagebrush feed --mount SPEC`. That one lives on when the server is killed, and
// reads the store by its URL (Remote), with patience: while the server is away
// readers wait. It is no task of the process runtime, for what is mounted in a
// task's namespace only that task sees. It ends by Detach, when nobody has a file
// open any more.
package fusefs
