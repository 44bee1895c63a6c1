"""The configs and the commands by which `same_bytes.py` compares two versions."""

from __future__ import annotations

PARTS = {
    "VECTORS": "{kind: gaussian, dimensions: 2, n_train: 60, n_test: 60, components: 2}",
    "COUNTS": "{kind: categories, categories: 20, n_train: 60, n_test: 60}",
    "DIGITS": "kind: image, n_train: 200, n_test: 100, extractor: {kind: classifier, images: 5000}",
    "TEXT": "kind: text, n_train: 400, n_test: 100, token_budget: 4096, "
    "extractor: {kind: encoder, layers: 1, width: 32, tokens: 20_000}",
    "WRITTEN": "{kind: pretrained, name: text/generation_000/model}",
}
CONFIGS = {
    "gaussian": """generations: 3, modality: $VECTORS, model: {kind: gaussian},
        regime: {kind: mix, real_fraction: 0.1, real: fresh}, curate: {kind: oracle, keep: 0.5}""",
    "categories": """generations: 3, modality: $COUNTS, model: {kind: categories},
        regime: {kind: mix, real_fraction: 0.1, real: fresh}""",
    "mixed": """generations: 3, start: scratch, modality: $VECTORS, chains: {
        alternating: {model: {kind: alternating, models: [{kind: gaussian}, {kind: kde}]}},
        population: {curate: {kind: density, keep: 0.5}, model: {kind: population,
            shares: [0.6, 0.4], models: [{kind: gaussian}, {kind: mixture}]}}}""",
    "side_by_side": """generations: 3, regime: {kind: sliding_window, window: 2}, chains: {
        vectors: {modality: $VECTORS, model: {kind: gaussian}},
        counts: {modality: $COUNTS, model: {kind: categories}}}""",
    "sweep": """generations: 3, seeds: [0, 1], modality: $COUNTS, model: {kind: categories},
        arms: {replace: {regime: replace}, accumulate: {regime: accumulate}}""",
    "image": """generations: 3, samples: 120, shown: 16, modality: {$DIGITS}, model: {
        kind: diffusion, channels: [16, 32], attention: true, class_conditional: true,
        sampling_bias: 0.7, steps: 3, training: {images: 1280}, fine_tuning: {images: 640}}""",
    "pipeline": """generations: 2, samples: 60, shown: 16, modality: {$DIGITS}, model: {
        kind: pipeline, name: image/generation_000/model, lora: {rank: 2, targets: [to_q, to_v]},
        steps: 3, fine_tuning: {images: 320, batch: 32}}""",
    "vae": """generations: 3, samples: 120, shown: 16, start: scratch, regime: accumulate,
        checkpoint_every: 4000, modality: {$DIGITS}, model: {kind: vae, hidden: [64], latent: 8,
        training: {images: 10_000}, watermark: {strength: 16.0}}""",
    "ngram": "generations: 3, samples: 200, shown: 4, modality: {$TEXT}, model: {kind: ngram}",
    "text": """generations: 2, samples: 100, shown: 4, modality: {$TEXT}, model: {
        kind: language_model, network: {kind: gpt2, layers: 1, width: 32, heads: 2},
        training: {tokens: 20_000}, fine_tuning: {tokens: 10_000}, decoding: {kind: sampling}}""",
    "adapters": """generations: 2, samples: 100, shown: 4, start: base,
        modality: {$TEXT, tokenizer: $WRITTEN}, model: {kind: language_model, network: $WRITTEN,
        lora: {rank: 2}, fine_tuning: {tokens: 10_000}, decoding: {kind: beam, beams: 2}}""",
}
CASES = {
    "gaussian": "run gaussian.yaml --out gaussian; fork gaussian@1 --out fork --set generations=4 "
    "--set regime=accumulate --set curate=null; metrics gaussian fork --json; "
    "report gaussian fork --out both.html; verify gaussian fork",
    "categories": "run categories.yaml --out categories; verify categories",
    "mixed": "run mixed.yaml --out mixed; verify mixed",
    "side_by_side": "run side_by_side.yaml --out chains; verify chains",
    "sweep": "sweep sweep.yaml --out sweep; verify sweep",
    "image": "run image.yaml --out image; run pipeline.yaml --out pipeline; verify image pipeline",
    "vae": "run vae.yaml --out vae; export vae@2 --to exported; verify vae",
    "ngram": "run ngram.yaml --out ngram; verify ngram",
    "text": "run text.yaml --out text; run adapters.yaml --out adapters; verify text adapters",
    "begun": "begin gaussian/generation_000/manifest.json run gaussian.yaml --out gaussian; "
    "begin vae/generation_001/.checkpoint-* run vae.yaml --out vae; "
    "begin image/generation_000/manifest.json run image.yaml --out image; "
    "verify gaussian vae image",
    "processes": "torchrun run image.yaml --out image; verify image",
}
"""The commands of each case, in a folder of its own that holds the configs above.

begin FILE COMMAND  the commit alone begins the run; where the working tree's is made, the commit is
                    killed as soon as FILE is there, and the working tree goes on with the run;
                    events.jsonl tells of the second start, which is a difference
torchrun COMMAND    in two processes
"""
