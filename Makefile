.DEFAULT_GOAL := help
.PHONY: help bench bench-domain chaos demo test run pool fmt lint doc fuzz fuzz-api clean-local

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

demo: ## the service with a private PostgreSQL and simulated orders; Ctrl-C stops everything
	@deploy/local/demo.sh

test: ## all tests on a throw-away PostgreSQL; ARGS='...' goes to cargo test
	@deploy/local/test.sh $(ARGS)

run: ## the service with a private PostgreSQL, without the simulated orders
	@deploy/local/run.sh

pool: ## NODES=3 nodes behind nginx, on the database of DATABASE_URL or a private primary and standby
	@deploy/local/pool.sh

chaos: ## everything in a pool dies, freezes and is cut off while SM plays; SEED=random MINUTES=10 RATE=40 hooks/s, all must be zero
	@ORDERHOOK_CHAOS_SEED=$(or $(SEED),random) ORDERHOOK_CHAOS_MINUTES=$(or $(MINUTES),10) ORDERHOOK_CHAOS_RATE=$(RATE) \
		deploy/local/test.sh --test chaos -- --nocapture a_pool_in_which_everything_fails_loses_nothing

fmt: ## format the code
	@cargo fmt --all

lint: ## clippy, warnings are errors
	@cargo clippy --workspace --all-targets --locked -- -D warnings

doc: ## the documentation, warnings are errors
	@RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked

fuzz: ## the parser with hostile bodies; SECONDS=600 of them unless told
	@ORDERHOOK_FUZZ_SECONDS=$(or $(SECONDS),600) cargo test --release --locked -p orderhook-domain --test protocol_fuzz -- --nocapture

bench: ## hooks per second and answer times against two floors and a baseline; ARGS='--seconds 5 --repetitions 3'
	@cargo bench --locked --bench load -- $(ARGS)

bench-domain: ## what parsing, applying and comparing cost, by themselves; ARGS='parse'
	@cargo bench --locked -p orderhook-domain --bench hook -- $(ARGS)

fuzz-api: ## both listeners by their OpenAPI description (schemathesis); FUZZ_SECONDS=60 each
	@deploy/local/fuzz-api.sh

clean-local: ## stop and delete the database of the demo (./.local)
	@deploy/local/clean.sh
