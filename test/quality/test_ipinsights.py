# SPDX-License-Identifier: Apache-2.0
"""IP Insights beside counts of networks, the plain way to do it by hand: no library has the algorithm."""

import json
from collections import Counter

import numpy
from sklearn import metrics

USERS, PAIRS = 300, 20_000


def logins(draw, n):
    """Pairs of a user and an address: of each user's three providers, each with a region of networks."""
    home = numpy.random.default_rng(1)
    providers = home.integers(1 << 8, 222 << 8, 40)  # the leading 16 bits
    of_user = home.choice(providers, (USERS, 3))
    part = home.integers(0, 256 - 8, (USERS, 3))
    user, which = draw.integers(0, USERS, n), draw.choice(3, n, p=(0.6, 0.3, 0.1))
    return user, (of_user[user, which] << 16) + ((part[user, which] + draw.integers(0, 8, n)) << 8) + draw.integers(1, 255, n)


def lines(user, ip):
    return "".join(f"user_{u},{i >> 24}.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}\n" for u, i in zip(user.tolist(), ip.tolist())).encode()


def counted(seen, user, ip):
    """The log-odds of an address's leading 16 bits for a user against those of false pairs, half drawn and half of others."""
    pairs, nets, users = Counter(zip(seen[0].tolist(), (seen[1] >> 16).tolist())), Counter((seen[1] >> 16).tolist()), Counter(seen[0].tolist())
    scores = []
    for u, net in zip(user.tolist(), (ip >> 16).tolist()):
        false = nets[net] / len(seen[0]) / 2 + 2**-16 / 2
        scores.append(numpy.log((pairs[u, net] + false) / (users[u] + 1) / false))
    return scores


def test_logins(train, record):
    draw = numpy.random.default_rng(0)
    seen, (user, ip) = logins(draw, PAIRS), logins(draw, 3000)
    false = numpy.where(draw.random(len(ip)) < 0.5, draw.integers(1 << 24, 223 << 24, len(ip)), logins(draw, len(ip))[1])
    user, ip, real = numpy.tile(user, 2), numpy.concatenate([ip, false]), numpy.repeat([1, 0], len(ip))
    model = train("ipinsights", {"num_entity_vectors": 2 * USERS, "vector_dim": 64, "mini_batch_size": 1000, "epochs": 20, "learning_rate": 0.01},
                  {"train": lines(*seen)})
    answers = model.ask(lines(user, ip), accept="application/jsonlines").splitlines()
    record("IP Insights", f"{PAIRS} generated logins of {USERS} users", "AUC", "counts of networks", metrics.roc_auc_score(real, counted(seen, user, ip)),
           metrics.roc_auc_score(real, [json.loads(a)["dot_product"] for a in answers]), 0.01, "counts cannot overfit what one user never shows", higher=True)
