# Thin: every line of work is done by a CMake preset or by a file of scripts/.
.PHONY: all demo test test-all bench check mutate golden peers build-time clean help
.DEFAULT_GOAL := all

all: ## build the program, build/intarsia
	@scripts/setup
	@scripts/build release intarsia_cli

demo: ## chat with a small model, then train one on a book; about ten minutes
	@scripts/demo

test: ## build everything and run the tests
	@scripts/setup
	@scripts/build release
	@ctest --preset release -j2

test-all: ## the same with the slow proofs, and again under the sanitizers
	@scripts/setup
	@scripts/build release
	@ctest --test-dir build --output-on-failure -j2
	@scripts/sanitize

bench: ## measure against PyTorch, interleaved in one run
	@scripts/bench

check: ## format, lints, the rules of the house
	@scripts/check

mutate: ## make each operation wrong in turn: the proof must notice every time
	@scripts/mutate

golden: ## rerun the checks that need Python
	@scripts/golden

peers: ## make the Python environment that bench and golden compare with
	@scripts/peers

build-time: ## print how long a cold build, the tests, and one changed file take
	@scripts/build-time

clean: ## remove the build folders; runs/ and models/ stay
	@rm -rf build build-debug build-asan build-asan-kernels build-tsan build-time

help: ## this list
	@sed -n 's/^\([a-z-]*\): ## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18
