# Keystead: `make help` lists what there is.

PYTHON ?= python3
VENV := .venv
CLIENTS := .venv-clients
KRYOPTIC := .kryoptic
VERSITYGW := .versitygw
BIN := $(VENV)/bin
# In how many processes `make test` runs, each with a server's database and token of its own.
TESTERS ?= 2
# Options for `manage.py run`, e.g. make run ARGS="--admin-email me@example.org"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help assets run ldap test test-kryoptic test-kubernetes vectors lint bench scale compat model mutate lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.run-lock ## Set up what is missing and serve
	@exec $(BIN)/python manage.py run $(ARGS)

ldap: $(VENV)/.run-lock $(VENV)/.ldap-lock ## Add sign-on by LDAP to the environment

test: $(VENV)/.dev-lock $(CLIENTS)/.clients-lock ## Run every test, the vendor's own clients included
	@sh tests/tools.sh
	@sh tests/kit/versitygw/build.sh $(VERSITYGW) || [ $$? = 3 ]
	@$(BIN)/python -m pytest -n $(TESTERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-kryoptic: $(VENV)/.dev-lock ## Run what touches the token on a second one, Kryoptic, built on first use
	@sh tests/hsm/kryoptic/build.sh $(KRYOPTIC)
	@KEYSTEAD_PKCS11_MODULE=$(CURDIR)/$(KRYOPTIC)/libkryoptic_pkcs11.so \
	  $(BIN)/python -m pytest $(or $(ARGS),tests/operations tests/objects tests/crypto tests/vectors tests/hsm)

test-kubernetes: $(VENV)/.dev-lock ## Run a real etcd and API servers on the KMS plugin; Kubernetes is built on first use
	@sh tests/tools.sh
	@sh tests/acceptance/kubernetes/build.sh >/dev/null
	@sh tests/acceptance/kubernetes/helm/build.sh >/dev/null || true
	@$(BIN)/python -m pytest $(or $(ARGS),tests/k8s tests/acceptance/kubernetes)

vectors: $(VENV)/.dev-lock ## Run every published vector, on each token there is, and print how they ended
	@failed=0; for module in "" $(wildcard $(CURDIR)/$(KRYOPTIC)/libkryoptic_pkcs11.so); do \
	  KEYSTEAD_PKCS11_MODULE=$$module $(BIN)/python -m pytest -q tests/vectors --vectors=all $(ARGS) || failed=1; \
	done; exit $$failed

lint: $(VENV)/.dev-lock ## Style, types, walls between rooms, migrations, deployment checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if command -v gofmt >/dev/null; then cd k8s/launcher && test -z "$$(gofmt -l . | tee /dev/stderr)" && go vet ./... ; fi
	$(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	$(BIN)/python manage.py check --deploy --fail-level WARNING

bench: $(VENV)/.dev-lock ## Measure requests per second and latency against this machine's ceilings
	@$(BIN)/python -m tests.bench $(ARGS)

scale: $(VENV)/.dev-lock ## Measure what a million objects cost beside a thousand (takes about ten minutes)
	@$(BIN)/python -m tests.bench.scale $(ARGS)

compat: $(VENV)/.dev-lock $(CLIENTS)/.clients-lock ## Count the vendor's operations that work, are refused, are missing
	@$(BIN)/python -m tests.acceptance.compat $(ARGS)

model: $(VENV)/.dev-lock ## Prove what can be: the quorum's protocol in Alloy (needs Java, Maven), a million decisions judged twice
	@$(BIN)/python -m tests.model
	@$(BIN)/python -m tests.policies.differential $(ARGS)

mutate: $(VENV)/.dev-lock ## Change the pure rooms of policies/ in hundreds of small ways; the tests must notice nine of ten
	@$(BIN)/python -m tests.mutation $(ARGS)

lock: $(VENV)/.dev-lock ## Turn requirements/*.in into the .lock files with hashes
	@for name in server run ldap k8s dev clients; do \
	  ( cd requirements && ../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	      $$name.in -o $$name.lock ) || exit 1; \
	done

assets: ## Copy what the console's bundle takes from npm's packages, as static/vendor/package-lock.json names them
	@sh static/vendor/copy.sh static/vendor

clean: ## Remove environments and caches; the data folder stays
	rm -rf $(VENV) $(CLIENTS) $(KRYOPTIC) $(VERSITYGW) .node .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is as good as its lock file: the stamp is a copy of the lock that was installed, so that a checkout with
# new dates and the same locks installs nothing.
.PHONY: check-locks
$(VENV)/.run-lock $(VENV)/.ldap-lock $(VENV)/.dev-lock $(CLIENTS)/.clients-lock: check-locks
	@sh requirements/install.sh "$(PYTHON)" "$(@D)" "requirements/$(patsubst .%-lock,%,$(@F)).lock" "$@"
