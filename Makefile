# `make` alone tells what there is, and what each target needs. Everything beyond that, a target fetches or builds itself.

SHELL := /bin/bash
CARGO ?= cargo
# Where tools/dist.sh puts the program that the image has.
SHIPPED = target/dist/$$(tools/dist.sh --arch)
.DEFAULT_GOAL := help
.PHONY: help demo test faults bench bench-micro simulate planted e2e interop mutants bench-token lint crd docs manifests build image sbom reproducible tools tools-e2e clean-tools

help:
	@printf '%s\n' \
	'make demo          see it work: a real API server, the simulator, the operator, live in the terminal' \
	'                     FOR=40s           ends by itself; exit 0 only if grants were refreshed and none ever stood expired' \
	'                     FAULT=500:30s     5 s in, the Media API answers 500 for 30 s (or 429:21s, hang:7s); exit 1 when grants expire' \
	'                     needs: Rust, a C compiler, Go (once, to build the tools)' \
	'make test          all tests: the pure core, the Media API client, and the operator on a real API server' \
	'                     needs: the same' \
	'make faults        what faults cost: 200 requests, the program of the image, one fault after the other, a table; exit 1 where a promise is broken' \
	'                     RUNS=5            medians of so many    ONLY=hang    those alone' \
	'                     QUICK=1           50 requests, short faults, the program as built for development: minutes instead of hours' \
	'                     needs: as make test, and the C library to be linked in (glibc); root, for packets that are lost' \
	'make bench         what it costs: a thousand to ten thousand requests, the program of the image, a table; exit 1 where a figure is above its bar' \
	'                     ONLY=1000         loads with that word in their names    SECONDS=90   measured for so long    needs: as make test, and that C library' \
	'                     QUICK=1           100 requests, the program as built for development: what it asks for, lets expire and leaves behind, not what it costs' \
	'make simulate      the whole controller through random histories on simulated time, each from its seed'  \
	'                     SEEDS=1000        so many     FIRST=0   from this seed on        needs: Rust, a C compiler' \
	'make planted       plants one fault after the other and counts the histories until it is found    needs: the same' \
	'make e2e           image, chart and manifests on a real single-node Kubernetes: installs, upgrades, kills, uninstalls' \
	'                     needs: the same, root, and what tests/e2e/node/README.md says' \
	'make interop       others accept our Access Tokens: the vendor'"'"'s libraries for Python and Node, and its Player SDK' \
	'                     needs: Rust, a C compiler, Node 20 with npm, Python 3.11 with venv; downloads their packages once' \
	'make bench-token   what it costs to sign one, beside those libraries; exit 1 above 10 µs   needs: the same' \
	'make bench-micro   how long the parts of a refresh take that matter, and what has changed since the last time   needs: Rust, a C compiler' \
	'make mutants       changes lifecycle, media, telemetry and what ownership rests on in every way that cargo-mutants knows: does a test fail? an hour or two' \
	'                     FILES=src/…       these files alone; SINCE=COMMIT what has changed since   needs: Rust, a C compiler, Python 3' \
	'make lint          format, clippy with warnings denied, sizes of files, generated files current, the Helm chart, dependencies   needs: Rust, a C compiler, Go' \
	'make docs          writes docs/reference.md and docs/configuration.md anew           needs: Rust, a C compiler' \
	'make manifests     writes target/install.yaml, all manifests in one file            needs: Go' \
	'make build         the operator and the simulator, for development                   needs: Rust, a C compiler' \
	'make image         static binaries as OCI archives in target/image; exit 1 above 15 MB' \
	'                     IMAGE_TAG=next    their tag, by default the version' \
	'                     needs: Rust, a C compiler, buildah (on Debian, as root, fetched by itself)' \
	'make sbom          what the binaries of make image are made of, in CycloneDX          needs: the same' \
	'make reproducible  builds the images twice in two folders and compares: one digest    needs: the same; about 10 minutes' \
	'make crd           writes crds/ and the chart'"'"'s copy anew from the resource'"'"'s types  needs: Rust, a C compiler' \
	'make tools         the programs of pinned Go modules that test, demo and lint build for themselves, once  needs: Go; about 15 minutes' \
	'make tools-e2e     those of make e2e, once                                           needs: Go, a C compiler; 5 minutes more' \
	'make clean-tools   removes them, and the packages of make interop, from the cache folder' \
	'' \
	'Tools and packages go to $$PLAYBACK_GRANT_CACHE (by default playback-grant-operator in your cache folder), once; tools' \
	'found in $$KUBEBUILDER_ASSETS are used as they are.'

demo:
	@tools/build.sh etcd kube-apiserver kubectl >/dev/null
	@$(CARGO) build --bins --example demo
	@$(CARGO) run --quiet --example demo -- $(if $(FOR),--for $(FOR)) $(if $(FAULT),--fault $(FAULT))

test:
	@printf '%s\n' \
	'The tests cover: the pure core by properties on simulated time; the Media API client against the simulator and recorded' \
	'answers; the programs'"'"' command lines; and the operator against a real etcd and kube-apiserver, as its own service account' \
	'with the shipped RBAC. Nothing is skipped: without a control plane they fail.'
	@tools/build.sh etcd kube-apiserver kube-controller-manager kubectl >/dev/null
	@$(CARGO) test --workspace
	@tests/deploy/install.sh

SEEDS ?= 1000
FIRST ?= 0

faults:
	@tools/build.sh etcd kube-apiserver kubectl >/dev/null
	@$(if $(QUICK),$(CARGO) build --bin playback-grant-operator,tools/dist.sh)
	@$(CARGO) run --quiet $(if $(QUICK),,--profile simulate) --example cluster-bench -- $(if $(QUICK),target/debug,$(SHIPPED))/playback-grant-operator faults $(if $(QUICK),--quick) $(if $(RUNS),--runs $(RUNS)) $(if $(ONLY),--only "$(ONLY)")

bench:
	@tools/build.sh etcd kube-apiserver kubectl >/dev/null
	@$(if $(QUICK),$(CARGO) build --bin playback-grant-operator,tools/dist.sh)
	@$(CARGO) run --quiet $(if $(QUICK),,--profile simulate) --example cluster-bench -- $(if $(QUICK),target/debug,$(SHIPPED))/playback-grant-operator load $(if $(QUICK),--quick) $(if $(ONLY),--only "$(ONLY)") $(if $(SECONDS),--seconds $(SECONDS))

bench-micro:
	@$(CARGO) bench --quiet --bench micro

simulate:
	@set -o pipefail; program=$$($(CARGO) test --quiet --profile simulate --no-run --test simulation --message-format=json-render-diagnostics \
	  | sed -n 's/.*"executable":"\([^"]*simulation-[^"]*\)".*/\1/p') && "$$program" seeds "$(FIRST)" "$(SEEDS)"

planted:
	@tests/simulation/planted.sh

e2e:
	@tests/e2e/run.sh

interop:
	@tests/interop/run.sh

mutants:
	@SINCE=$(SINCE) tests/mutants/run.sh $(FILES)

bench-token:
	@packages=$$(tests/interop/setup.sh) && $(CARGO) bench --bench token -- "$$packages"

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	@git ls-files -z '*.rs' | xargs -0 wc -l | grep -v ' total$$' | sort -n \
	  | awk '{lines[NR] = $$1; if ($$1 > 400) {print "error: " $$2 " has more than 400 lines: is there a second question in it?"; bad = 1}} \
	    END {median = lines[int((NR + 1) / 2)]; print NR " Rust files, median " median " lines"; exit bad || median >= 150}'
	@mkdir -p target
	$(CARGO) run --quiet -- crd >target/playbackgrantrequests.yaml
	@diff -u crds/playbackgrantrequests.yaml target/playbackgrantrequests.yaml \
	  || { echo 'error: crds/playbackgrantrequests.yaml is not what the types say: run `make crd` and commit it' >&2; exit 1; }
	@mkdir -p target/docs
	$(CARGO) run --quiet --example docs -- target/docs
	@for name in reference.md configuration.md; do diff -u docs/$$name target/docs/$$name \
	  || { echo "error: docs/$$name is not what the types say: run \`make docs\` and commit it" >&2; exit 1; }; done
	@for fault in tests/simulation/planted/*.patch; do git apply --check "$$fault" \
	  || { echo "error: $$fault doesn't fit the code any more: write it anew" >&2; exit 1; }; done
	@tests/deploy/docs.sh
	@tests/deploy/chart.sh
	@tests/deploy/manifests.sh
	@tests/deploy/argocd.sh
	@tests/deploy/workflows.sh
	@tools=$$(tools/cargo-tools.sh cargo-deny) && $(CARGO) fetch --locked --quiet \
	  && "$$tools/cargo-deny" --workspace --locked --offline --log-level error check --hide-inclusion-graph licenses bans sources

crd:
	@mkdir -p crds target
	$(CARGO) run --quiet -- crd >target/playbackgrantrequests.yaml
	mv target/playbackgrantrequests.yaml crds/playbackgrantrequests.yaml
	cp crds/playbackgrantrequests.yaml deploy/chart/files/playbackgrantrequests.yaml

docs:
	$(CARGO) run --quiet --example docs -- docs

manifests:
	@mkdir -p target
	@"$$(tools/build.sh kubectl)/kubectl" kustomize deploy/manifests/base >target/install.yaml
	@echo 'target/install.yaml: everything for all namespaces in one file'

build:
	$(CARGO) build --bins

image:
	@tools/image.sh

sbom:
	@tools/sbom.sh

reproducible:
	@tools/reproducible.sh

tools:
	@tools/build.sh etcd kube-apiserver kube-controller-manager kubectl helm helm3 helm-unittest helm-docs kubeconform kube-score actionlint \
	  glua kubectl-oldest >/dev/null

tools-e2e:
	@tools/build.sh etcd kube-apiserver kube-controller-manager kubectl helm kube-scheduler kubelet kube-proxy coredns containerd \
	  containerd-shim-runc-v2 ctr runc bridge host-local loopback portmap >/dev/null
	@tools/debian.sh nft >/dev/null
	@tools/buildah.sh >/dev/null

clean-tools:
	@tools/build.sh --clean
	@tools/cargo-tools.sh --clean
	@tools/buildah.sh --clean
	@tests/interop/setup.sh --clean
