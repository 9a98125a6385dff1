#!/usr/bin/env bash
# The last acknowledged change of an etcd cluster is dropped by --force-new-cluster, though it is in the log of the member that goes on.
#
# The leader answers a client when a majority has the change in its log. That it is committed gets into the log with the next
# change only, and into the database within 100 ms. If all members are killed in between and one of them is made a cluster of its own
# by --force-new-cluster, the change is dropped as uncommitted, though this member was the leader and has it on its disk. So after a loss
# of power, a disaster recovery of etcd gives back less than was acknowledged and is there.
#
# Seen with etcd 3.5.16 (etcd-server and etcd-client of Debian 13) on 2026-11-29.
set -euo pipefail
command -v apt-get dpkg-deb >/dev/null || {
    echo "apt is needed"
    exit 1
}
folder=$(mktemp -d)
pids=()
stop() {
    kill -KILL "${pids[@]}" 2>/dev/null || true
    sleep 1
}
trap 'stop; rm -rf "$folder"' EXIT
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

client() { echo "http://127.0.0.1:2237$1"; }
peer() { echo "http://127.0.0.1:2238$1"; }
start() { # number, more options
    usr/bin/etcd --name "m$1" --data-dir "data$1" --listen-client-urls "$(client "$1")" --advertise-client-urls "$(client "$1")" \
        --listen-peer-urls "$(peer "$1")" --initial-advertise-peer-urls "$(peer "$1")" \
        --initial-cluster "m1=$(peer 1),m2=$(peer 2),m3=$(peer 3)" --logger zap --log-level error "${@:2}" 2>>"log$1" &
    pids+=($!)
    disown
}
etcdctl() { usr/bin/etcdctl --endpoints "$(client "$1")" "${@:2}"; }
healthy() {
    for _ in $(seq 100); do
        etcdctl "$1" endpoint health >/dev/null 2>&1 && return
        sleep 0.2
    done
}
for member in 1 2 3; do start $member; done
for member in 1 2 3; do healthy $member; done
for member in 1 2 3; do
    ids=$(etcdctl $member endpoint status -w json | grep -oE '"(member_id|leader)":[0-9]+' | cut -d: -f2 | sort -u | wc -l)
    [ "$ids" -ne 1 ] || leader=$member
done

for number in 1 2 3; do etcdctl "$leader" put "key$number" value >/dev/null; done
stop
start "$leader" --force-new-cluster
healthy "$leader"
kept=$(etcdctl "$leader" get --prefix key --keys-only | grep -c key)
echo "acknowledged before the kill: 3 changes; kept by the one that was the leader: $kept"
[ "$kept" -eq 2 ]
