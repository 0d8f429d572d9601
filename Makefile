# SPDX-License-Identifier: Apache-2.0
.PHONY: help build clean
help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

build: build/build.ninja ## compile into build/
	ninja -C build

build/build.ninja:
	meson setup build

clean: ## remove all build directories
	rm -rf build build-*
