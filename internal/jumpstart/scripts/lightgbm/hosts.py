# SPDX-License-Identifier: Apache-2.0
"""Hosts that train one model of LightGBM: they meet at the first one, tell each other what all must know, and LightGBM connects them.

What LightGBM sends is its own protocol, of its documentation's "Distributed Learning Guide"; AWS reaches the same by way of Dask.
"""

import json
import os
import socket
import time

import tabular

PORT = 12399  # of the first host, where all meet
WAIT = 300  # seconds that a host waits for the others to come


class Hosts:
    """The hosts of a job, in the order of their names. One by itself has nobody to talk to."""

    def __init__(self):
        self.names = sorted(json.loads(os.environ.get("SM_HOSTS", "[]"))) or ["algo-1"]
        self.rank = self.names.index(os.environ.get("SM_CURRENT_HOST", self.names[0]))
        self.peers = []  # files to read and write: of the first host those of all others, of another that of the first
        if len(self.names) > 1:
            self._meet()

    def __len__(self):
        return len(self.names)

    def _meet(self):
        first = socket.gethostbyname(self.names[0])
        if self.rank > 0:
            end = time.monotonic() + WAIT
            while True:
                try:
                    peer = socket.create_connection((first, PORT), timeout=WAIT)
                    break
                except OSError as e:
                    if time.monotonic() > end:
                        raise RuntimeError(f"host {self.names[0]} cannot be reached: {e}") from None
                    time.sleep(0.1)
            self.peers = [self._file(peer)]
            self._write(self.peers[0], self.rank)
            return
        with socket.create_server((first, PORT)) as door:
            door.settimeout(WAIT)
            come = {}
            while len(come) < len(self.names) - 1:
                try:
                    peer = self._file(door.accept()[0])
                except TimeoutError:
                    missing = [n for i, n in enumerate(self.names) if i not in (0, *come)]
                    raise RuntimeError(f"hosts {missing} did not come") from None
                come[self._read(peer)] = peer
        self.peers = [come[i] for i in sorted(come)]

    @staticmethod
    def _file(peer):
        peer.settimeout(None)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return peer.makefile("rw", encoding="utf-8")

    @staticmethod
    def _write(peer, value):
        peer.write(json.dumps(value) + "\n")
        peer.flush()

    @staticmethod
    def _read(peer):
        line = peer.readline()
        if not line.endswith("\n"):
            raise RuntimeError("another host has ended")
        return json.loads(line)

    def share(self, value):
        """The values of all hosts, in their order."""
        if not self.peers:
            return [value]
        if self.rank > 0:
            self._write(self.peers[0], value)
            return self._read(self.peers[0])
        values = [value, *(self._read(p) for p in self.peers)]
        for p in self.peers:
            self._write(p, values)
        return values

    def network(self):
        """LightGBM's parameters of its network, none for one host."""
        if not self.peers:
            return {}
        with socket.socket() as s:
            s.bind(("", 0))
            port = s.getsockname()[1]
        at = self.share([socket.gethostbyname(self.names[self.rank]), port])
        if all(address.startswith("127.") for address, _ in at):
            # All are on one machine, whose names are addresses of the loopback that LightGBM does not know for its own.
            at = [("127.0.0.1", p) for _, p in at]
        return {"num_machines": len(self), "machines": ",".join(f"{address}:{p}" for address, p in at), "local_listen_port": port}

    def divided(self):
        """Whether each host has its own part of the training data (ShardedByS3Key), not all of it."""
        channels = json.loads(os.environ.get("SM_INPUT_DATA_CONFIG", "{}"))
        return any(channels.get(n, {}).get("S3DistributionType") == "ShardedByS3Key" for n in ("train", "training"))

    def together(self, part):
        """The rows of all hosts."""
        columns = part.features.to_dict("list")
        said = self.share([part.labels.to_list(), columns])
        if len({len(c) for _, c in said}) > 1:
            raise tabular.ClientError(f"The hosts' data have {sorted({len(c) for _, c in said})} features")
        labels = [v for l, _ in said for v in l]
        features = {name: [v for _, c in said for v in c[name]] for name in columns}
        return tabular.Table.of(labels, features, part)

    def agree(self, results):
        """Puts the first host's metrics in place of this one's, whose last digits may differ: all must stop in the same round."""
        if self.peers:
            told = self.share([list(r) for r in results])[0]
            # From 4.7 on they are named tuples.
            results[:] = [tuple(t) if type(r) is tuple else type(r)(*t) for r, t in zip(results, told)]
