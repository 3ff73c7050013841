.DEFAULT_GOAL := help
.PHONY: help demo test run fmt lint doc clean-local

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

demo: ## the service with a private PostgreSQL and simulated orders; Ctrl-C stops everything
	@deploy/local/demo.sh

test: ## all tests on a throw-away PostgreSQL; ARGS='...' goes to cargo test
	@deploy/local/test.sh $(ARGS)

run: ## the service with a private PostgreSQL, without the simulated orders
	@deploy/local/run.sh

fmt: ## format the code
	@cargo fmt --all

lint: ## clippy, warnings are errors
	@cargo clippy --workspace --all-targets --locked -- -D warnings

doc: ## the documentation, warnings are errors
	@RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked

clean-local: ## stop and delete the database of the demo (./.local)
	@deploy/local/clean.sh
