SHELL := bash
.SHELLFLAGS := -euo pipefail -c
# Tests start hundreds of servers; without its cache Python compiles all sources anew for each of their processes.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= $(shell scripts/find-python)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV_READY := $(VENV)/.ready-for-tests
DOCS_READY := $(VENV)/.ready-for-docs
# One more than the CPUs of a small machine: tests wait for servers and browsers for a quarter of their time.
PROCESSES ?= 3
ON_DEBIAN_13 = scripts/test-on-debian 13 -q -n $(PROCESSES)
# What depends on the versions of Python, OpenSSL and SQLite, and a server that signs, in its sandbox.
SHORT_ON_DEBIAN_13 := tests/algorithms tests/certificates tests/model tests/storage tests/wire \
	tests/docs/test_readme.py
IMAGE_TOOLS := binutils=objcopy sbsigntool=sbsign dosfstools=mkfs.vfat mtools=mcopy e2fsprogs=mkfs.ext4 fdisk=sfdisk qemu-utils=qemu-img zstd
TPM2_TOOLS := gcc pkg-config python3-dev=/usr/bin/python3-config libtss2-dev=/usr/include/tss2/tss2_esys.h

RSYSLOG_TLS = /usr/lib/$(shell uname -m)-linux-gnu/rsyslog/lmnsd_ossl.so
PKCS11_TOOLS := valgrind libjemalloc2=/usr/lib/$(shell uname -m)-linux-gnu/libjemalloc.so.2 \
	nginx-light=nginx apache2 stunnel4 knot=knotd osslsigncode gnutls-bin=p11tool \
	p11-kit p11-kit-modules=/usr/lib/$(shell uname -m)-linux-gnu/p11-kit-proxy.so \
	libengine-pkcs11-openssl=/usr/lib/$(shell uname -m)-linux-gnu/engines-3/pkcs11.so
# What takes long to install, or to run; `make apps` has it.
LARGE_TOOLS := default-jdk-headless=keytool pdns-server=pdns_server sqlite3 curl \
	pdns-backend-sqlite3=/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql \
	gpg gpgv gpgsm gpg-agent gnupg-pkcs11-scd libnss3-tools=cmsutil sbsigntool=sbsign rauc squashfs-tools=mksquashfs u-boot-tools=mkimage device-tree-compiler=dtc
DEBIAN_13_TOOLS = $(PKCS11_TOOLS) bind9=named bind9-utils=dnssec-verify bind9-dnsutils=dig curl \
	pkcs11-provider=/usr/lib/$(shell uname -m)-linux-gnu/ossl-modules/pkcs11.so opensc=pkcs11-tool golang-go=go gcc libc6-dev=/usr/include/stdio.h \
	openssh-server=/usr/sbin/sshd openssh-client=ssh ldnsutils=drill $(LARGE_TOOLS)
# On Debian 13 all but Apache, which crashes there with the engine: its recipe says so.
APPS := apache bind crypto11 firmware gnupg gnutls java knot nginx nss openssh openssl_engine openssl_provider osslsigncode p11_kit pkcs11 powerdns \
	provider_tls pykcs11 python_pkcs11 stunnel
EXAMPLE_TOOLS := ldnsutils=ldns-verify-zone bind9-utils=dnssec-verify openssh-server=/usr/sbin/sshd openssh-client=ssh age \
	knot-dnssecutils=kzonecheck gpgv sqv apt-utils=apt-ftparchive

# `make test-fast` leaves these out: servers, browsers, packages, times, and what takes 5 s or more by itself.
SLOW := appliance etcd models test_clusters.py test_forced_clusters.py storage/test_etcd.py storage/test_etcd_watch.py api/test_cluster_on_etcd.py api/test_cluster_view.py api/test_crowded_cluster.py drill \
	api/test_bad_input.py api/test_access_on_members.py api/test_cluster_endpoints_on_members.py api/test_changes_of_members_at_once.py api/test_cluster_members.py api/test_consents_in_a_cluster.py api/test_joining.py api/test_members_at_once.py api/test_long_bodies.py api/test_random_walks.py api/test_uses_fuzzed.py \
	bench/test_run.py cli client clients conformance console crash docs examples packaging pkcs11 processes release \
	test_device_keys.py timing vectors api/test_doubtful_commits.py api/test_full_disk.py api/test_nethsm_backups.py \
	api/test_restore_place.py edge/test_failing_handshakes.py edge/test_http_on_the_wire.py edge/test_slow_clients.py \
	platform/test_data_directory.py sealing/test_backup_container.py storage/test_full_disk.py storage/test_nethsm_records.py storage/test_sqlite_crash.py

.PHONY: help serve test test-fast console-keys console-walk format check model vectors timing cluster-drill etcd-builds crash flood clients docs pictures pkcs11 pkcs11-fuzz pkcs11-leaks pkcs11-soak wheel-pkcs11 apps test-debian13 test-debian14 tpm2 image appliance appliance-test appliance-power-cuts deb deb-pkcs11 deb-test container-test chart-test cosign-test openapi release audit bench

help: ## says what there is; so does `make` alone
	@sed -nE 's/^([a-z0-9-]+):[^#]*## (.*)/make \1\t\2/p' Makefile | expand -t 27

serve: $(READY) ## sets everything up and runs the server at https://localhost:8443, data in ./data (ARGS="--listen …" for more)
	exec $(BIN)/python -m keystead serve $(ARGS)

ifdef T
test: $(DEV_READY)
	$(BIN)/python -m pytest $(if $(wildcard $(firstword $(subst ::, ,$(T)))),$(T),tests -k "$(T)")
else
test: check $(DOCS_READY) ## all checks and tests; T=tests/wire or T="lock and not unlock" runs just those tests
	scripts/system-tools chromium-headless-shell curl openssl wrk spin swtpm tpm2-tools=tpm2_checkquote softhsm2=softhsm2-util opensc=pkcs11-tool \
		zsh fish prometheus rsyslog=rsyslogd rsyslog-openssl=$(RSYSLOG_TLS) $(EXAMPLE_TOOLS) $(PKCS11_TOOLS) $(TPM2_TOOLS) $(IMAGE_TOOLS)
	scripts/add-etcd || echo "etcd cannot be unpacked: tests of clusters are skipped" >&2
	scripts/add-syslog-ng || echo "syslog-ng cannot be unpacked: its test is skipped" >&2
	scripts/add-tpm2 $(VENV) || echo "tests with a TPM are skipped: tpm2-pytss cannot be built" >&2
	scripts/build-pkcs11 test || [ $$? -eq 77 ]
	scripts/run-tests $(BIN)/python -n $(PROCESSES) --dist worksteal --cov --cov-report=term:skip-covered tests
	KEYSTEAD_TEST_SECONDS=600 $(ON_DEBIAN_13) -x $(SHORT_ON_DEBIAN_13) || [ $$? -eq 77 ]
	timeout --kill-after=10 240 scripts/test-deb || status=$$?; [[ $${status:-0} =~ ^(0|77|124)$$ ]]
endif

pkcs11: ## the PKCS#11 module, into pkcs11/target/release; with Rust 1.85 or newer
	scripts/build-pkcs11

pkcs11-fuzz: $(DEV_READY) pkcs11 ## the PKCS#11 module under libFuzzer, MINUTES=10 a target, and random calls: SEED=1 and the next, CALLS=3000000 of each
	scripts/fuzz-pkcs11 $$((60 * $(or $(MINUTES),10))) || [ $$? -eq 77 ]
	KEYSTEAD_PKCS11_SEED=$(or $(SEED),1) KEYSTEAD_PKCS11_CALLS=$(or $(CALLS),3000000) KEYSTEAD_PKCS11_SECONDS=3600 $(BIN)/python -m pytest tests/pkcs11/test_random_calls.py

pkcs11-leaks: $(DEV_READY) pkcs11 ## the memory of a process that signs through the PKCS#11 module SIGNATURES=1000000 times
	scripts/system-tools valgrind gcc libc6-dev=/usr/include/stdio.h
	KEYSTEAD_PKCS11_SIGNATURES=$(or $(SIGNATURES),1000000) KEYSTEAD_PKCS11_SECONDS=7200 $(BIN)/python -m pytest -s tests/pkcs11/test_leaks.py

pkcs11-soak: $(DEV_READY) pkcs11 ## nginx and Apache under load while Keystead is restarted, killed each fifth time, and they reload: ROUNDS=125 times
	scripts/system-tools $(PKCS11_TOOLS)
	KEYSTEAD_PKCS11_ROUNDS=$(or $(ROUNDS),125) $(BIN)/python -m pytest tests/pkcs11/test_soak.py
	KEYSTEAD_PKCS11_ROUNDS=$(or $(ROUNDS),125) KEYSTEAD_TEST_PACKAGES="$(DEBIAN_13_TOOLS)" $(ON_DEBIAN_13) tests/pkcs11/test_soak.py || [ $$? -eq 77 ]

apps: $(DEV_READY) ## every program that has a recipe for the PKCS#11 module, here and on Debian 13
	scripts/system-tools $(EXAMPLE_TOOLS) $(PKCS11_TOOLS) $(LARGE_TOOLS)
	scripts/build-pkcs11
	KEYSTEAD_APPS=1 $(BIN)/python -m pytest -v -n $(PROCESSES) $(APPS:%=tests/examples/test_%.py)
	KEYSTEAD_APPS=1 KEYSTEAD_TEST_PACKAGES="$(DEBIAN_13_TOOLS)" $(ON_DEBIAN_13) -v \
		$(patsubst %,tests/examples/test_%.py,$(filter-out apache,$(APPS))) tests/pkcs11/test_soak.py || [ $$? -eq 77 ]

test-debian13: ## the tests with Debian 13's Python and OpenSSL, in a chroot; for root only
	$(ON_DEBIAN_13) $(or $(T),--ignore=tests/release --ignore=tests/timing tests)

test-debian14: ## the tests with Debian 14's Python 3.14 and OpenSSL, in a chroot; for root only
	scripts/test-on-debian 14 -q -n $(PROCESSES) $(or $(T),--ignore=tests/release --ignore=tests/timing tests)

tpm2: $(READY) ## adds what the device key provider tpm2 needs
	scripts/system-tools $(TPM2_TOOLS)
	scripts/add-tpm2 $(VENV)

test-fast: $(DEV_READY) ## the tests that need no server of their own and measure no times
	$(BIN)/python -m pytest -n $(PROCESSES) $(addprefix --ignore=tests/,$(SLOW)) tests

model: $(DEV_READY) ## the rules of a cluster, checked by Spin in every order of events
	scripts/system-tools spin gcc libc6-dev=/usr/include/stdio.h
	$(BIN)/python -m pytest -v tests/models

vectors: $(DEV_READY) ## published test vectors through the API: how many by algorithm, and why some are skipped
	$(BIN)/python -m pytest -q tests/vectors

timing: $(DEV_READY) ## whether times tell secrets: t-values, with SAMPLES=20 times the samples
	KEYSTEAD_TIMING_SAMPLES=$(or $(SAMPLES),20) $(BIN)/python -m pytest tests/timing

cluster-drill: $(DEV_READY) ## three or five members under clients and faults, and whether one HSM could have answered so: ROUNDS=20
	scripts/add-etcd
	KEYSTEAD_DRILL_ROUNDS=$(or $(ROUNDS),20) $(BIN)/python -m pytest -s tests/drill

etcd-builds: $(DEV_READY) ## builds etcd 3.5.35 and 3.6.16, and one whose clock can be set, for the drill and the tests of updates: needs Go, takes minutes
	scripts/build-etcd 3.5.35
	scripts/build-etcd 3.6.16
	$(BIN)/python -m tests.support.etcd_clock

crash: $(DEV_READY) ## kills everything under writes, again and again: ROUNDS=100 times
	KEYSTEAD_CRASH_ROUNDS=$(or $(ROUNDS),100) $(BIN)/python -m pytest tests/crash

flood: $(DEV_READY) ## 10,000 idle connections, storms of handshakes and logins against a server
	KEYSTEAD_FLOOD=full $(BIN)/python -m pytest -s tests/processes/test_floods.py

console-keys: $(DEV_READY) ## how quick the console is with 100,000 keys: KEYS=100000
	scripts/system-tools chromium-headless-shell
	KEYSTEAD_CONSOLE_KEYS=$(or $(KEYS),100000) $(BIN)/python -m pytest -s tests/console/test_many_keys.py

console-walk: $(DEV_READY) ## everything in the console: each type of key, each page of each role with each refusal
	scripts/system-tools chromium-headless-shell
	KEYSTEAD_CONSOLE_WALK=1 $(BIN)/python -m pytest tests/console

format: $(DEV_READY) ## puts the code into the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(DOCS_READY) ## the documentation as a site, into dist/site
	scripts/make-site $(BIN)/python dist/site

pictures: $(DEV_READY) ## the documentation's diagrams, recordings of terminals and screenshots, anew
	PYTHONPATH=. $(BIN)/python scripts/pictures/diagrams.py docs/pictures
	PYTHONPATH=. $(BIN)/python scripts/pictures/recordings.py docs/pictures
	scripts/system-tools chromium-headless-shell
	PYTHONPATH=. $(BIN)/python scripts/pictures/screenshots.py docs/pictures

clients: $(DEV_READY) ## other people's clients and their own test suites against real servers
	scripts/add-clients $(BIN)/python .clients
	KEYSTEAD_CLIENTS=1 $(BIN)/python -m pytest -v -s tests/clients

check: $(DEV_READY) ## formatting, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

deb: $(READY) ## the Debian package for the Debian that this is, into dist
	packaging/deb/build $(VENV) dist

deb-pkcs11: pkcs11 ## the Debian package of the PKCS#11 module, into dist
	packaging/deb/build-pkcs11 dist

wheel-pkcs11: pkcs11 $(READY) ## the wheel of the PKCS#11 module, into dist
	scripts/add-locked $(BIN)/python $(VENV)/add-ons pkcs11
	packaging/wheel-pkcs11/build $(VENV)/add-ons/pkcs11/bin/python dist

VM_TOOLS := qemu-system-x86=qemu-system-x86_64 ovmf=/usr/share/OVMF/OVMF_CODE_4M.secboot.fd swtpm

image: $(READY) ## builds the bootable image of the appliance into dist/appliance; KEYS=DIR signs it
	scripts/system-tools $(IMAGE_TOOLS)
	scripts/system-tools $(TPM2_TOOLS)
	scripts/add-tpm2 $(VENV) || echo "the image will have no TPM: tpm2-pytss cannot be built" >&2
	rm -rf dist/appliance && mkdir -p dist
	$(BIN)/python -m keystead image build $(if $(KEYS),--keys $(KEYS)) --format qcow2 --format vmdk --format vhdx dist/appliance

appliance: image ## builds the appliance and boots it in QEMU, with HTTPS at localhost:8443
	scripts/system-tools $(VM_TOOLS)
	cp /usr/share/OVMF/OVMF_VARS_4M.fd dist/appliance/variables.fd
	scripts/run-appliance dist/appliance/keystead.raw dist/appliance/variables.fd

appliance-test: $(DEV_READY) ## builds the appliance and boots it again and again, with Secure Boot; takes many minutes
	scripts/system-tools $(IMAGE_TOOLS) $(VM_TOOLS) $(TPM2_TOOLS)
	scripts/add-tpm2 $(VENV)
	$(BIN)/python -m pip --disable-pip-version-check --quiet install --require-hashes --no-deps -r requirements-appliance.lock
	KEYSTEAD_APPLIANCE=1 $(BIN)/python -m pytest -v tests/appliance

appliance-power-cuts: $(DEV_READY) ## cuts the power in the middle of updates: ROUNDS=10 times, each takes minutes
	scripts/system-tools $(IMAGE_TOOLS) $(VM_TOOLS)
	$(BIN)/python -m pip --disable-pip-version-check --quiet install --require-hashes --no-deps -r requirements-appliance.lock
	KEYSTEAD_POWER_CUTS=$(or $(ROUNDS),10) $(BIN)/python -m pytest -v -s tests/appliance/test_updates.py

deb-test: $(READY) ## builds and tries the package in booted chroots of Debian 12 and 13; for root only
	scripts/test-deb bookworm trixie

container-test: $(READY) ## builds the container image and tries it with podman; for root only, on Debian
	scripts/test-container

chart-test: $(DEV_READY) ## builds Helm, which takes minutes once, and tests the chart with it
	scripts/add-helm $(BIN)/python
	$(BIN)/python -m pytest tests/packaging/test_chart.py

cosign-test: $(DEV_READY) ## builds cosign, which takes minutes once, and tries the example that needs it
	scripts/add-cosign
	$(BIN)/python -m pytest tests/examples/test_cosign.py

openapi: $(DEV_READY) ## the API's description, checked, into openapi.json
	$(BIN)/python scripts/openapi.py > openapi.json
	$(BIN)/python -m openapi_spec_validator openapi.json

release: $(DEV_READY) ## wheel, sdist, bill of materials and SHA256SUMS of the commit, into dist
	rm -rf dist
	scripts/release $(BIN)/python dist

audit: $(DEV_READY) ## known vulnerabilities of the pinned dependencies; needs the network
	scripts/audit $(BIN)/pip-audit && scripts/audit-crates $(BIN)/python

bench: $(DEV_READY) ## everything that is measured, in one table (ARGS="--only p256,rsa2048 --seconds 5")
	scripts/system-tools wrk gcc libc6-dev=/usr/include/stdio.h softhsm2=softhsm2-util
	scripts/build-pkcs11 || [ $$? -eq 77 ]
	$(BIN)/python -m bench $(ARGS)

$(READY): requirements.lock pyproject.toml
	scripts/make-venv $(PYTHON) $(VENV) requirements.lock
	touch $@

$(DEV_READY): requirements-dev.lock pyproject.toml
	scripts/make-venv $(PYTHON) $(VENV) requirements-dev.lock
	touch $@

$(DOCS_READY): requirements-docs.lock $(DEV_READY)
	$(BIN)/python -m pip --disable-pip-version-check --quiet install --require-hashes --no-deps -r $<
	touch $@
