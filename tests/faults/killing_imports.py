"""What a run imports, with one thread, so that children can be forked from the process
that has it.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import torch

import imglab.curation
import imglab.images.diffusion.model
import imglab.images.vae
import imglab.mixed.population
import imglab.report.results
import imglab.running.run
import imglab.solvable.categories.model
import imglab.solvable.gaussian.kde
import imglab.text.language_model
import imglab.text.ngram  # noqa: F401

torch.set_num_threads(1)
