#!/usr/bin/env bash
# Run on GPUs, with one command, what a laptop cannot: about a day on one H100.
#
#     scripts/at_size.sh [OUT]      default: runs/at_size
#
# It goes on where it was stopped. Fashion-MNIST and CIFAR-10 are downloaded to data/ by torchvision,
# WikiText-2 comes from the hub, SmolLM2 by `imglab get`. Parts whose data cannot be had are left
# out, and the last lines say so. The figures go into OUT, to be set beside docs/results.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-runs/at_size}
mkdir -p "$out"
left_out=()

part() {
    local name=$1
    shift
    echo "== $name: $*"
    "$@" || left_out+=("$name (exit code $?)")
}

speedrun() {
    [ -s "$out/speedrun-$1.json" ] ||
        python scripts/speedrun.py --data "$2" --seconds 60 --seeds 3 --out "$out/speedrun-$1.json"
}

in_two_processes() {
    accelerate launch --num_processes 2 -m imglab run configs/image_digits.yaml \
        --out "$out/two_processes"
}

part "speedrun on digits" speedrun digits mnist5k
part "speedrun on clothes" speedrun clothes data/FashionMNIST
part "speedrun on photographs" speedrun photographs data/CIFAR10
part "Fashion-MNIST" imglab run configs/image_fashion_mnist.yaml --out "$out/fashion_mnist"
part "CIFAR-10" imglab run configs/image_cifar10.yaml --out "$out/cifar10"
part "remedies on digits" imglab sweep configs/remedies_digits.yaml --out "$out/remedies_digits"
part "remedies on text" imglab sweep configs/remedies_text.yaml --out "$out/remedies_text"
part "Shumailov's protocol" imglab run configs/text_shumailov.yaml --out "$out/text_shumailov"
part "SmolLM2" imglab get smollm2
part "SmolLM2's chains" imglab run configs/text_smollm2_full.yaml --out "$out/text_smollm2"
if [ "$(nvidia-smi --list-gpus 2>/dev/null | wc -l)" -ge 2 ]; then
    part "two processes" in_two_processes
else
    left_out+=("two processes (needs two GPUs)")
fi

for each in "${left_out[@]}"; do
    echo "left out, or not finished: $each"
done
[ ${#left_out[@]} -eq 0 ]
