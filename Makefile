# The commands a person needs. `make help` lists them.

# A Rust that rustup installs a moment ago is not on this shell's PATH yet.
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help run test lint bench fuzz

help: ## this list
	@echo "usage: make COMMAND"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-6s %s\n", $$1, $$2 }' Makefile

run: ## install what is missing, build and start the server; arguments by ARGS="--port 9000"
	@./scripts/setup.sh run
	@cargo build --release --locked -p ocelli
	@exec "$${CARGO_TARGET_DIR:-target}"/release/ocelli $(ARGS)

test: ## install what is missing and run every test
	@./scripts/setup.sh test
	@./scripts/test.sh

lint: ## formatting, clippy, documentation, licences, each crate alone, types of the page
	@./scripts/setup.sh lint
	@./scripts/lint.sh

bench: ## measure against a floor and against other servers
	@./scripts/setup.sh bench
	@./scripts/bench.sh $(ARGS)

fuzz: ## fuzz every parser for a minute; ARGS=600 for ten
	@./scripts/setup.sh fuzz
	@./scripts/fuzz.sh $(ARGS)
