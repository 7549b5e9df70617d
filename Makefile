# Every command of the project; the work itself is in package.json's scripts, which run under the Node pinned there.
IMAGE ?= homechef/webhook-service
VERSION ?= $(shell sed -n 's/^  "version": "\(.*\)",$$/\1/p' package.json)
ARGS ?=
# What `npm start` runs: npm itself would stay beside it, larger than half the service.
START = PATH="$(CURDIR)/node_modules/.bin:$$PATH" $(shell sed -n 's/^    "start": "\(.*\)",$$/\1/p' package.json)

.DEFAULT_GOAL := help
.PHONY: help setup run dev test test-coverage fmt lint build swagger protos check sbom docker-build docker-push docker-run

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: node_modules/.installed ## Install what package-lock.json names
run: setup ## Start the service: on an embedded PostgreSQL, or on DB_HOST and REDIS_HOST
	@npm run --silent prestart
	@$(START)
dev: setup ## The same, restarted when a file changes
	@npm run --silent dev
test: setup ## Run every test (ARGS="tests/domain" for some)
	@npm test --silent -- $(ARGS)
test-coverage: setup ## Run every test and measure what they reach
	@npm run --silent test:coverage
fmt: setup ## Format everything
	@npm run --silent fmt
lint: setup ## Lint TypeScript and protobuf
	@npm run --silent lint
build: setup ## Check the types, build the console, bundle the service
	@npm run --silent build
swagger: setup ## Make gen/openapi.json and gen/asyncapi.json from the .proto files, and lint them
	@npm run --silent swagger
protos: setup ## Write dist/protos: our .proto files with all that they import, for protoc and the like
	@npm run --silent protos
check: setup ## Everything that must hold before a commit
	@npm run --silent check
sbom: setup ## Write dist/sbom.json: what the image is made of, as CycloneDX
	@mkdir -p dist
	npm sbom --sbom-format=cyclonedx --sbom-type=application --omit=dev --omit=optional --package-lock-only > dist/sbom.json
docker-build: ## Build the image
	docker build -t $(IMAGE):$(VERSION) -t $(IMAGE):latest .
docker-push: ## Push the image
	docker push $(IMAGE):$(VERSION)
	docker push $(IMAGE):latest
docker-run: ## Start the service, PostgreSQL and Redis in containers
	docker compose up --build

# `npm ci` would want the binaries of every platform; this leaves the lock file as it is, too.
node_modules/.installed: package.json package-lock.json
	npm install --no-save --loglevel=error
	@touch $@
