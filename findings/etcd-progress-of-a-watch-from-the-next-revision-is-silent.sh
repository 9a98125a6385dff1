#!/usr/bin/env bash
# etcd never tells the progress of a watch that begins with the next revision, until something is written anywhere.
#
# One reads at revision R and watches from R + 1, so that no change is missed or told twice. Then one asks how far the watch is
# (RequestProgress, `progress` in `etcdctl watch --interactive`), to know that a cache is up to date. etcd 3.5.16 answers R. 3.5.30
# answers nothing: no error, no refusal, and none later for the questions that were asked. So a client that waits for an answer hangs
# for as long as the cluster is idle, and works in every test that writes. One such watch also silences all others of its stream.
# A watch from R is answered, and tells R's own changes once more. It was changed on purpose ("Skip sending progress notification for
# watch with starting revision in the future", pull request 20229), and the API's description does not say so.
#
# Seen with etcd 3.5.30 (etcd-server and etcd-client 3.5.30-2 of Debian sid) on 2026-11-30. It was not so with 3.5.16 of Debian 13.
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
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >sources.list
apt=(apt-get -qq -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache=$folder" -o APT::Sandbox::User=root)
"${apt[@]}" update
"${apt[@]}" download etcd-server=3.5.30-2 etcd-client=3.5.30-2
sha256sum --check --quiet <<'HASHES'
11a4f7e350c5020b83edff5160a6063d4e56ac9cd014d21ce8916378bf96de79  etcd-server_3.5.30-2_amd64.deb
1e66ad2aba4cba6842a1ac35d5c525e750102b8fb42748225bcb2e34d6595931  etcd-client_3.5.30-2_amd64.deb
HASHES
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
etcdctl put a value >/dev/null
present=$(etcdctl get a --write-out json | grep -oE '"revision":[0-9]+' | cut -d: -f2)

change() { etcdctl put another value >/dev/null; }
ask() { for _ in $(seq 10); do sleep 0.2 && echo progress; done; }
answers() { # to 20 questions: the first revision of the watch, then what is done in the middle
    { echo "watch --rev=$1 b" && ask && "$2" && ask; } | etcdctl watch --interactive 2>/dev/null | grep -c 'progress notify' || true
}
exists=$(answers "$present" true)
to_come=$(answers $((present + 1)) true)
changed=$(answers $((present + 1)) change)
echo "answers to 20 questions: $exists to a watch from revision $present, $to_come from $((present + 1)), $changed if another key is changed after 10 of them"
[ "$exists" -gt 0 ] && [ "$to_come" -eq 0 ] && [ "$changed" -gt 0 ] && [ "$changed" -le 10 ]
