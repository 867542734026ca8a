# The commands a newcomer needs. Each sets up what it needs itself and can be run again at any time.
STACK ?= local-dev
export MLOPS_STARTED_AT := $(shell date +%s)
export PYTHONDONTWRITEBYTECODE :=
PYTHON := .venv/bin/python
UV_VERSION := 0.13.9
UV_HOME := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/mlops-reference/uv-$(UV_VERSION)
UV := $(UV_HOME)/bin/uv

EXTRAS := train infra monitor feedback # what the local cloud's processes and commands use
CLOUDS := aws databricks sagemaker simulate # what `make preview` adds

.PHONY: help up down preview policies check test mutants doctor tour image benchmark-drift benchmark-serving
help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

up: .venv/.synced ## From nothing to a served model on this laptop (STACK=local-dev)
	@$(PYTHON) -m pipelines.up --stack $(STACK)

down: .venv/.synced ## End the stack; asks before it deletes data (YES=1 doesn't ask)
	@$(PYTHON) -m pipelines.down --stack $(STACK) $(if $(YES),--yes)

preview: .venv/.synced-clouds ## Any stack's plan with no account, and a picture (STACK=aws-sagemaker-prod)
	@$(PYTHON) -m pipelines.preview --stack $(STACK)

policies: .venv/.synced-clouds ## Judge a stack by every rule with no account (STACK=aws-sagemaker-prod)
	@$(PYTHON) -m pipelines.policies --stack $(STACK)

check: .venv/.synced-dev ## In seconds to a minute and a half: linters, rules, types and quick tests of what your change touches
	@$(PYTHON) -m pipelines.check --quick

test: .venv/.synced-dev ## The whole test suite: linters, types, rules, tests
	@$(PYTHON) -m pipelines.check

ONLY ?=
mutants: .venv/.synced-dev ## Plant mistakes, one at a time, and say which no test notices (ONLY=ml/release)
	@$(PYTHON) -m tests.mutants $(ONLY)

doctor: .venv/.synced ## What a run depends on, and where the engine came from
	@.venv/bin/mlops doctor

# Whole or not at all: pip leaves what it finds as it is, also half of one. The second way is for a Python without pip.
$(UV):
	@echo "==> uv $(UV_VERSION), once" >&2
	@new=$(UV_HOME).$$$$ && trap 'rm -rf $$new' EXIT \
		&& { python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target $$new uv==$(UV_VERSION) \
			|| { python3 -m venv --clear $$new && $$new/bin/pip install --quiet uv==$(UV_VERSION); }; } \
		&& rm -rf $(UV_HOME) && mv $$new $(UV_HOME)

.venv/.synced: pyproject.toml uv.lock | $(UV)
	@echo "==> installing Python packages into .venv" >&2
	@$(UV) sync --quiet --frozen --inexact $(addprefix --extra ,$(EXTRAS)) && touch $@

.venv/.synced-clouds: pyproject.toml uv.lock | $(UV)
	@echo "==> installing the cloud SDKs and their simulation into .venv" >&2
	@$(UV) sync --quiet --frozen --inexact $(addprefix --extra ,$(EXTRAS) $(CLOUDS)) && touch $@ .venv/.synced

.venv/.synced-dev: pyproject.toml uv.lock | $(UV)
	@echo "==> installing Python packages and the test tools into .venv" >&2
	@$(UV) sync --quiet --frozen --all-extras --group dev && touch $@ .venv/.synced .venv/.synced-clouds

tour: .venv/.synced ## A model's whole life on three environments of its own, in under ten minutes
	@$(PYTHON) -m pipelines.tour

TARGET ?= train
TAG ?= mlops-reference:$(TARGET)
BUILD ?= $(if $(shell command -v docker),docker build,buildah bud --format docker)
MODIFIED = $(if $(shell git status --porcelain -- Dockerfile .dockerignore pyproject.toml uv.lock keys ml),-dirty)
image: ## Build the image with docker or buildah (TARGET=serve is the lean one; docs/image.md)
	$(BUILD) --target $(TARGET) --tag $(TAG) --build-arg REVISION=$(shell git rev-parse HEAD)$(MODIFIED) .

benchmark-drift: .venv/.synced-dev ## Time drift detection beside scipy, NannyML and Evidently: twenty minutes
	@PATH="$(UV_HOME)/bin:$$PATH" $(PYTHON) -m benchmarks.drift

benchmark-serving: .venv/.synced-dev ## Time the model server beside peers of a few lines, MLflow's, BentoML, LitServe and MLServer: thirteen minutes
	@PATH="$(UV_HOME)/bin:$$PATH" $(PYTHON) -m benchmarks.serving
