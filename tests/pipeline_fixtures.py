"""Small pipelines and encoders, made from configs and saved as their libraries save them; small
captioned images.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DiTPipeline,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    LDMPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    PNDMScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    UNet2DModel,
    VQModel,
)
from diffusers.models import DiTTransformer2DModel
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Dinov2Config,
    Dinov2Model,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

from imglab import seeds
from imglab.images.render import write_png

WIDTHS = {"block_out_channels": (16, 32), "norm_num_groups": 8}
ENCODERS = {
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
}


def tiny_unet(channels, size, **keys):
    blocks = {
        "down_block_types": ("DownBlock2D",) * 2,
        "up_block_types": ("UpBlock2D",) * 2,
        "layers_per_block": 1,
    }
    return UNet2DModel(
        sample_size=size, in_channels=channels, out_channels=channels, **WIDTHS, **blocks, **keys
    )


def tiny_vae(channels, **keys):
    return AutoencoderKL(
        in_channels=channels, out_channels=channels, latent_channels=4, **WIDTHS, **ENCODERS, **keys
    )


def tiny_t5(width):
    """Return an encoder and its tokenizer of letters."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), ("\u2581", -2.0)]
    pieces += [(chr(letter), -3.0) for letter in range(97, 123)]
    layers = {
        "d_model": width,
        "d_kv": 8,
        "d_ff": 32,
        "num_layers": 1,
        "num_heads": 2,
        "vocab_size": len(pieces),
    }
    config = T5Config(**layers, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0)
    return T5EncoderModel(config), T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=16)


def transformers_that_read(reader, encoder, projecting):
    """Return pipelines around transformers that read text, by kind."""
    heads = {"num_attention_heads": 2, "attention_head_dim": 8}
    t5, letters = tiny_t5(16)
    t5_wide, _ = tiny_t5(32)
    pixart = PixArtTransformer2DModel(
        **heads,
        in_channels=4,
        out_channels=8,
        num_layers=1,
        cross_attention_dim=16,
        caption_channels=16,
        sample_size=8,
        norm_num_groups=8,
        use_additional_conditions=False,
    )
    joint = SD3Transformer2DModel(
        **heads,
        sample_size=8,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        joint_attention_dim=32,
        caption_projection_dim=16,
        pooled_projection_dim=32,
        pos_embed_max_size=16,
    )
    flux = FluxTransformer2DModel(
        num_attention_heads=1,
        attention_head_dim=16,
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        joint_attention_dim=16,
        pooled_projection_dim=16,
        guidance_embeds=True,
        axes_dims_rope=(4, 4, 8),
    )
    encoders = {
        "text_encoder": projecting(),
        "text_encoder_2": projecting(),
        "text_encoder_3": t5_wide,
    }
    tokenizers = {"tokenizer": reader, "tokenizer_2": reader, "tokenizer_3": letters}
    flow = FlowMatchEulerDiscreteScheduler
    return {
        "pixart": PixArtSigmaPipeline(
            tokenizer=letters,
            text_encoder=t5,
            vae=tiny_vae(3),
            transformer=pixart,
            scheduler=DPMSolverMultistepScheduler(),
        ),
        "stable_diffusion_3": StableDiffusion3Pipeline(
            **encoders,
            **tokenizers,
            vae=tiny_vae(3, shift_factor=0.06, scaling_factor=1.5),
            transformer=joint,
            scheduler=flow(shift=3.0),
        ),
        "flux": FluxPipeline(
            vae=tiny_vae(3, shift_factor=0.1, scaling_factor=0.4),
            text_encoder=encoder,
            tokenizer=reader,
            text_encoder_2=t5,
            tokenizer_2=letters,
            transformer=flux,
            scheduler=flow(),
        ),
    }


def tiny_reader(folder):
    letters = [*map(chr, range(97, 123)), *map(str, range(10))]
    signs = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({sign: at for at, sign in enumerate(signs)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=16), len(signs)


def text_keys(signs):
    layers = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
    }
    ends = {"bos_token_id": signs - 2, "eos_token_id": signs - 1, "pad_token_id": signs - 1}
    return {
        **layers,
        **ends,
        "vocab_size": signs,
        "max_position_embeddings": 16,
        "projection_dim": 16,
    }


def conditional_unet(first, second, **keys):
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        attention_head_dim=8,
        down_block_types=(first, second),
        up_block_types=(second.replace("Down", "Up"), first.replace("Down", "Up")),
        **WIDTHS,
        **keys,
    )


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory) -> Path:
    """A folder of saved pipelines, by kind; random weights."""
    root: Path = tmp_path_factory.mktemp("pipelines")
    with seeds.isolated("tiny pipelines"):
        DDPMPipeline(tiny_unet(1, 8), DDPMScheduler()).save_pretrained(root / "ddpm")
        DDIMPipeline(tiny_unet(1, 8).to(torch.bfloat16), DDIMScheduler()).save_pretrained(
            root / "ddim_bf16"
        )
        DDPMPipeline(tiny_unet(1, 8, num_class_embeds=11), DDPMScheduler()).save_pretrained(
            root / "by_class"
        )
        codes = VQModel(
            in_channels=1,
            out_channels=1,
            latent_channels=3,
            num_vq_embeddings=16,
            **WIDTHS,
            **ENCODERS,
        )
        LDMPipeline(codes, tiny_unet(3, 4), DDIMScheduler()).save_pretrained(root / "latent")
        transformer = DiTTransformer2DModel(
            num_attention_heads=2,
            attention_head_dim=8,
            in_channels=4,
            out_channels=8,
            num_layers=2,
            sample_size=4,
            num_embeds_ada_norm=10,
            norm_num_groups=8,
        )
        DiTPipeline(transformer, tiny_vae(1), DDIMScheduler()).save_pretrained(root / "dit")
        reader, signs = tiny_reader(root / "reader")
        encoder = CLIPTextModel(CLIPTextConfig(**text_keys(signs)))
        unet = conditional_unet("CrossAttnDownBlock2D", "DownBlock2D", cross_attention_dim=16)
        StableDiffusionPipeline(
            vae=tiny_vae(3),
            text_encoder=encoder,
            tokenizer=reader,
            unet=unet,
            scheduler=PNDMScheduler(skip_prk_steps=True, steps_offset=1),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ).save_pretrained(root / "stable_diffusion")
        unet = conditional_unet(
            "DownBlock2D",
            "CrossAttnDownBlock2D",
            cross_attention_dim=32,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 16,
        )
        StableDiffusionXLPipeline(
            vae=tiny_vae(3),
            text_encoder=encoder,
            text_encoder_2=CLIPTextModelWithProjection(CLIPTextConfig(**text_keys(signs))),
            tokenizer=reader,
            tokenizer_2=reader,
            unet=unet,
            scheduler=EulerDiscreteScheduler(),
        ).save_pretrained(root / "stable_diffusion_xl")
        projecting = lambda: CLIPTextModelWithProjection(CLIPTextConfig(**text_keys(signs)))  # noqa: E731
        for name, pipeline in transformers_that_read(reader, encoder, projecting).items():
            pipeline.save_pretrained(root / name)
        seen = {
            "hidden_size": 16,
            "num_attention_heads": 2,
            "num_hidden_layers": 2,
            "image_size": 28,
            "patch_size": 14,
        }
        prepares = CLIPImageProcessor(
            size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
        )
        Dinov2Model(Dinov2Config(**seen)).save_pretrained(root / "dinov2")
        whole = CLIPConfig(
            text_config=text_keys(signs),
            vision_config={**seen, "intermediate_size": 32, "projection_dim": 16},
            projection_dim=16,
        )
        CLIPModel(whole).save_pretrained(root / "clip")
    for name in ("dinov2", "clip"):
        prepares.save_pretrained(root / name)
    reader.save_pretrained(root / "clip")
    return root


@pytest.fixture(scope="session")
def captioned(tmp_path_factory) -> Path:
    """Twenty images in four colours, each with a caption that says which."""
    root: Path = tmp_path_factory.mktemp("captioned")
    colours = {
        "a red one": (200, 20, 20),
        "a green one": (20, 200, 20),
        "a blue one": (20, 20, 200),
        "dark": (9, 9, 9),
    }
    noise = torch.Generator().manual_seed(0)
    lines = []
    for at in range(20):
        caption, colour = list(colours.items())[at % 4]
        image = torch.tensor(colour)[:, None, None] + torch.randint(
            0, 9, (3, 16, 16), generator=noise
        )
        write_png(image.byte(), root / f"{at:02d}.png")
        lines.append(json.dumps({"file_name": f"{at:02d}.png", "text": caption}))
    (root / "metadata.jsonl").write_text("\n".join(lines))
    return root
