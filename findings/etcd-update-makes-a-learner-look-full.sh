#!/usr/bin/env bash
# After the URLs of a learner are updated, etcd's list of members says that it is no learner.
#
# MemberUpdate changes the peer URLs of a member, and the list afterwards shows `learner: false` for one that was added as a learner
# and was never promoted. A program that reads the list takes it for a member with a vote. So remove and add a learner whose URLs
# were wrong, instead of updating it.
#
# Seen with etcd 3.5.16 (etcd-server and etcd-client of Debian 13) on 2026-11-28.
set -euo pipefail
command -v apt-get dpkg-deb >/dev/null || {
    echo "apt is needed"
    exit 1
}
folder=$(mktemp -d)
trap 'kill "${pid:-}" 2>/dev/null; wait 2>/dev/null; rm -rf "$folder"' EXIT
cd "$folder"
mkdir -p lists/partial archives/partial
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep --max-count=1 '/debian/*$')
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >sources.list
apt=(apt-get -qq -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache=$folder" -o APT::Sandbox::User=root)
"${apt[@]}" update
"${apt[@]}" download etcd-server etcd-client
for package in etcd-*.deb; do dpkg-deb --extract "$package" .; done
usr/bin/etcd --version | sed -n 1p

client=http://127.0.0.1:22379 peer=http://127.0.0.1:22380
usr/bin/etcd --name one --data-dir data --listen-client-urls $client --advertise-client-urls $client --listen-peer-urls $peer \
    --initial-advertise-peer-urls $peer --initial-cluster one=$peer --logger zap --log-level error 2>log &
pid=$!
etcdctl() { usr/bin/etcdctl --endpoints $client "$@"; }
for _ in $(seq 100); do
    etcdctl endpoint health >/dev/null 2>&1 && break
    sleep 0.2
done
is_learner() { etcdctl member list --write-out simple | grep "$learner" | awk -F', ' '{ print $6 }'; }

learner=$(etcdctl member add two --learner --peer-urls http://127.0.0.1:22381 | awk '/^Member/ { print $2 }')
before=$(is_learner)
etcdctl member update "$learner" --peer-urls http://127.0.0.1:22382 >/dev/null
after=$(is_learner)
echo "is it a learner? as added: $before; after an update of its URL: $after"
[ "$before" = true ] && [ "$after" = false ]
