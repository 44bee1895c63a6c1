#!/usr/bin/env bash
# Run tests on the oldest versions that pyproject.toml allows (about two minutes, unless others are named).
# Each lower bound is installed into a fresh virtual environment, which is removed afterwards.
#
#     scripts/test_oldest.sh                         # a test or more for each library
#     scripts/test_oldest.sh tests/metrics   # whatever pytest takes; `tests` is the whole quick suite
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1 OMP_NUM_THREADS=1

if [ $# -eq 0 ]; then
    set -- \
        -m "" \
        tests/metrics \
        tests/store/test_run_directory.py::test_layout \
        tests/cli/test_cli.py::test_run_then_metrics \
        tests/cli/test_wrong_input.py::test_wrong_input_is_one_message_and_exit_2 \
        tests/images/test_extractors.py::test_scores_agree_with_torch_fidelity \
        tests/images/test_pipelines.py::test_keeps_the_contracts \
        tests/images/test_pipelines.py::test_text_to_image_keeps_the_contracts \
        tests/text/test_pretrained.py \
        tests/text/test_data.py::TestSources \
        tests/studies/test_sweeps.py::test_on_a_ray_cluster \
        tests/report/test_page.py::TestPage::test_one_page_of_all_kinds \
        tests/report/test_results.py::TestTakeAway \
        tests/running/test_tracking.py
fi

echo "== install"
python3 -m venv "$scratch/uv"
"$scratch/uv/bin/pip" install --quiet uv
uv=$scratch/uv/bin/uv
"$uv" venv --quiet --python "$(command -v python3)" "$scratch/venv"
"$scratch/venv/bin/python" - > "$scratch/bounds.txt" <<'PYTHON'
import pathlib
import re

project = pathlib.Path("pyproject.toml").read_text().partition("[project]")[2].partition("[tool.")[0]
for name, oldest in re.findall(r'"([\w.-]+)>=([\w.]+)"', project):
    print(f"{name}=={oldest}")
PYTHON
"$uv" pip install --quiet --python "$scratch/venv/bin/python" --resolution lowest-direct \
    --constraint "$scratch/bounds.txt" --editable '.[test]'

echo "== versions"
"$scratch/venv/bin/python" --version
"$uv" pip freeze --python "$scratch/venv/bin/python" |
    grep --ignore-case --fixed-strings --file <(sed 's/==.*/==/; y/_/-/' "$scratch/bounds.txt")

echo "== tests"
"$scratch/venv/bin/python" -m pytest -n "${PYTEST_WORKERS:-2}" -W ignore::DeprecationWarning "$@"
