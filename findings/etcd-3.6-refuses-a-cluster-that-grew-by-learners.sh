#!/usr/bin/env bash
# etcd 3.6 does not start as a member of a healthy cluster of 3.5.16 that has grown by two promoted learners.
#
# `member add --learner` and `member promote` are how etcd's documentation lets a cluster grow. With 3.5.16 the list says of all members
# afterwards that they are no learners, and they vote. But the promotion is not in the part of the database that 3.6 reads: 3.6 sees
# two learners and ends with "too many learner members in cluster". Clusters whose three members were there from the start are not
# affected, so a rehearsal with a fresh cluster shows nothing. Nothing is lost: 3.5.16 goes on. 3.5.30 in between mends the database.
#
# Seen with etcd 3.5.16 (etcd-server and etcd-client of Debian 13) and etcd 3.6.16, built by Go 1.26, on 2026-11-30. The build takes
# some minutes.
set -euo pipefail
command -v apt-get dpkg-deb go >/dev/null || {
    echo "apt and go are needed"
    exit 1
}
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait 2>/dev/null; rm -rf "$folder"' EXIT
cd "$folder"
mkdir -p lists/partial archives/partial new
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep --max-count=1 '/debian/*$')
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >sources.list
apt=(apt-get -qq -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache=$folder" -o APT::Sandbox::User=root)
"${apt[@]}" update
"${apt[@]}" download etcd-server etcd-client
for package in etcd-*.deb; do dpkg-deb --extract "$package" .; done
old=usr/bin/etcd new=new/etcd
printf 'package main\n\nimport (\n\t"os"\n\n\t"go.etcd.io/etcd/server/v3/etcdmain"\n)\n\nfunc main() { etcdmain.Main(os.Args) }\n' >new/main.go
(cd new && go mod init built && go get go.etcd.io/etcd/server/v3/etcdmain@v3.6.16 && CGO_ENABLED=0 go build -o etcd .) 2>build.log
for program in "$old" "$new"; do "$program" --version | sed -n 1p; done

client() { echo "http://127.0.0.1:2237$1"; }
peer() { echo "http://127.0.0.1:2238$1"; }
named() { for member in "$@"; do echo "m$member=$(peer "$member")"; done | paste -sd,; }
start() { # program, data, number, state, all members
    "$1" --name "m$3" --data-dir "$2$3" --listen-client-urls "$(client "$3")" --advertise-client-urls "$(client "$3")" \
        --listen-peer-urls "$(peer "$3")" --initial-advertise-peer-urls "$(peer "$3")" --initial-cluster "$(named "${@:5}")" \
        --initial-cluster-state "$4" --log-level error 2>>"log$3" &
    pids[$3]=$!
}
stop() { kill "${pids[$1]}" && wait "${pids[$1]}" || true; }
etcdctl() { usr/bin/etcdctl --endpoints "$(client "$1")" "${@:2}"; }
again() { # until it works: etcd refuses changes of members in the first seconds
    for _ in $(seq 100); do
        "$@" >answer 2>&1 && return
        sleep 0.3
    done
    cat answer
    exit 1
}
healthy() { again etcdctl "$1" endpoint health; }

# One cluster that has grown by learners.
start "$old" grown 1 new 1
healthy 1
for member in 2 3; do
    again etcdctl 1 member add "m$member" --learner --peer-urls "$(peer "$member")"
    id=$(awk '/^Member/ { print $2 }' answer)
    start "$old" grown "$member" existing $(seq "$member")
    again etcdctl 1 member promote "$id"
    healthy "$member"
done
learners=$(etcdctl 1 member list --write-out simple | grep -c ', true$' || true)
stop 1
start "$new" grown 1 existing 1 2 3
wait "${pids[1]}" && exit 1
reason=$(grep -o 'too many learner members in cluster' log1 | tail -1)
start "$old" grown 1 existing 1 2 3
healthy 1
for member in 1 2 3; do stop "$member"; done

# One whose members were there from the start.
for member in 1 2 3; do start "$old" fresh "$member" new 1 2 3; done
for member in 1 2 3; do healthy "$member"; done
stop 1
start "$new" fresh 1 new 1 2 3
healthy 1
echo "grown: $learners learners, says 3.5.16; 3.6.16 ends: $reason; fresh: 3.6.16 is healthy"
[ "$learners" -eq 0 ] && [ -n "$reason" ]
