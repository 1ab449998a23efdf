# Everything but `conformance` needs only Go. The slower forms are for before a change is called done.

GO      ?= go
FUZZTIME ?= 3s

# No cgo anywhere but in the race detector and keyturn-pkcs11; one setting for all, so that all share what was compiled.
export CGO_ENABLED = 0
ROUNDS  ?= 200
# Of make torture: 100,000 schedules take more than an hour. With SCHEDULES=1 SEED=n it repeats a failure.
SCHEDULES ?= 100000
SEED      ?= 0

# Packages whose tests run under the race detector: those where goroutines share something.
RACE = ./internal/clock ./internal/store/... ./internal/audit ./internal/seal/... ./internal/unseal ./internal/sigv4 ./internal/service ./internal/identity ./internal/iam ./internal/sts ./internal/accounts ./internal/operator ./internal/verify/... ./internal/backup ./internal/oidc/... ./internal/kms ./internal/schedule ./internal/wire ./internal/hsm/... ./internal/xks ./internal/egress ./internal/check ./internal/telemetry ./internal/disk/... ./cmd/keyturn

.PHONY: build hsm test fips race race-full crash torture fuzz fuzz-full conformance conformance-full lint cross deploy bench bench-full generate

build:
	$(GO) build -o keyturn ./cmd/keyturn

# The last two look at more than what they import, so a cached result of theirs says nothing.
test:
	$(GO) test $$($(GO) list ./... | grep -v -e '/keyturn/crashtest$$' -e '/keyturn/internal$$')
	$(GO) test -count=1 ./crashtest ./internal

# The same tests where the standard library refuses every algorithm that FIPS 140-3 does not approve.
fips:
	GODEBUG=fips140=only $(GO) test ./internal/... ./cmd/keyturn

# A program with the detector in it sleeps for a second before it ends; the scripts of cmd/keyturn run hundreds.
race race-full: export GORACE = atexit_sleep_ms=20

race: export CGO_ENABLED = 1
race:
	$(GO) test -race -short $(RACE)

race-full: export CGO_ENABLED = 1
race-full:
	$(GO) test -race ./...

# What needs a PKCS #11 module, with cgo, against SoftHSM2.
hsm:
	./scripts/hsm

crash:
	$(GO) test ./crashtest -count=1 -timeout 30m -run TestCrash -rounds=$(ROUNDS)

# The service on a disk that fails, fills up and loses power.
torture:
	./scripts/torture $(SCHEDULES) $(SEED)

fuzz:
	./scripts/fuzz $(FUZZTIME)

fuzz-full:
	./scripts/fuzz 5m

conformance:
	./conformance/run

# Also Prowler against keyturn check, on the same server: minutes, and gigabytes to install.
conformance-full: conformance
	./conformance/prowler/run

lint:
	./scripts/lint

cross:
	./scripts/cross

# The systemd unit and the Containerfile.
deploy:
	./scripts/deploy

bench:
	$(GO) run ./bench

bench-full:
	$(GO) run ./bench -full

generate:
	$(GO) generate ./...
