# SPDX-License-Identifier: Apache-2.0
#
# The only front door. meson and ninja do the work; every target first installs the Debian packages
# that it needs and that are missing (tools/packages). `make help` lists what there is.

SAN      ?=
TSAN     ?=
DATAPATH ?= native
K        ?=
QUICK    ?=
OUT      ?=
SECS     ?= 60
DESTDIR  ?=
PREFIX   ?= /usr/local

# Debian's tools come first: a python of pyenv or pip has neither scapy nor openstacksdk.
export PATH := /usr/sbin:/usr/bin:/sbin:/bin:$(PATH)
export PYTHONNOUSERSITE := 1
export PYTHONDONTWRITEBYTECODE := 1
unexport PYTHONPATH PYTHONHOME

BUILD := $(if $(filter-out 0,$(TSAN)),build-tsan,$(if $(filter-out 0,$(SAN)),build-san,build))
# What tests and tools read to find the programs.
export WEFT_BUILD := $(CURDIR)/$(BUILD)

deps = @tools/deps.sh $(1)
step = @echo "==> $(1)"

.DEFAULT_GOAL := help
.PHONY: help build demo check unit wire crash tempest stress bench lint fmt fuzz install deb clean

help: ## this list
	@echo "Weft: the network of an OpenStack compute node."
	@echo
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 18

build: ## compile build/weftd and build/weft
	$(call deps,build)
	@tools/build.sh $(BUILD)

demo: ## show a node at work: builds, starts it, two tenants, who may talk to whom
	$(call deps,build demo)
	@tools/build.sh build
	@tools/run.sh demo/run

check: ## every test: unit, wire, crash [SAN=1: with ASan and UBSan; TSAN=1: with ThreadSanitizer]
	$(call deps,build unit wire crash)
	@SAN=$(SAN) TSAN=$(TSAN) tools/check.sh unit wire crash

unit: ## the unit tests only (need no root) [SAN=1] [TSAN=1]
	$(call deps,build unit)
	@SAN=$(SAN) TSAN=$(TSAN) tools/check.sh unit

wire: ## the wire tests only [DATAPATH=native|ovs-learn|ovs-conntrack|linux] [K=expression] [WORKERS=n] [UNIT=1: with the systemd unit's rights] [SAN=1] [TSAN=1]
	$(call deps,build unit wire)
	@SAN=$(SAN) TSAN=$(TSAN) DATAPATH=$(DATAPATH) WORKERS=$(WORKERS) UNIT=$(UNIT) K="$(K)" tools/check.sh wire

crash: ## kill -9 under load, 200 times; the state must survive
	$(call deps,build unit crash)
	@tools/check.sh crash

tempest: ## Neutron's own API tests (Tempest) against weftd and a real Keystone [K=regular expression]
	$(call deps,build tempest)
	@tools/build.sh build
	@tools/run.sh tests/tempest/run $(if $(K),--test "$(K)")

stress: ## everything at once for SECS=60 seconds, every packet accounted for; one worker, then two [SAN=1]
	$(call deps,build stress)
	@tools/build.sh $(BUILD)
	@tools/run.sh tests/stress/run --seconds $(SECS) $(if $(filter-out 0,$(SAN)),--rate 200 --sessions 16384)

bench: ## throughput and setup rate [QUICK=1] [OUT=file.json]
	$(call deps,build bench)
	@tools/build.sh build
	@tools/run.sh bench/run $(if $(filter-out 0,$(QUICK)),--quick) $(if $(OUT),--out "$(OUT)")

lint: ## style, layers, headers, static analysis, gcc and clang
	$(call deps,build lint)
	@tools/lint.sh

fmt: ## format the C code
	$(call deps,fmt)
	@git -c safe.directory='*' ls-files -co --exclude-standard '*.c' '*.h' | xargs -r clang-format -i

fuzz: ## every fuzz target for SECS=60 seconds
	$(call deps,build fuzz)
	@tools/fuzz.sh $(SECS)

install: ## programs, unit, configuration, man pages [DESTDIR=] [PREFIX=/usr/local]
	$(call deps,build)
	@tools/build.sh build -Dprefix=$(PREFIX) -Dsysconfdir=/etc
	DESTDIR=$(DESTDIR) meson install -C build --no-rebuild

deb: ## the Debian package, in build-deb/
	$(call deps,build deb)
	@tools/deb.sh

clean: ## remove the build directories
	rm -rf build build-*
